//! The settings file: a good one, and what is said about every bad one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tfcfs::config::Settings;

const ANCHOR: &str = "[anchors.default]\ntoken_file = \"token\"\n";

/// A directory with a token file that only its owner can read.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    write(&directory.path().join("token"), "hunter2.atlasv1.x\n", 0o600);
    directory
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn load(directory: &TempDir, text: &str) -> Result<Settings, String> {
    let file = directory.path().join("tfcfs.toml");
    write(&file, text, 0o644);
    Settings::load(&file).map_err(|error| {
        assert_eq!(error.path, file);
        let shown = error.to_string();
        assert!(shown.starts_with(&format!("{}: ", file.display())), "the file is named: {shown}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        error.message
    })
}

fn refused_in(directory: &TempDir, text: &str, words: &[&str]) {
    let message = load(directory, text).expect_err(text);
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

fn refused(text: &str, words: &[&str]) {
    refused_in(&directory(), text, words);
}

#[test]
fn an_empty_file_is_all_defaults() {
    let settings = load(&directory(), "").unwrap();
    assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()));
}

#[test]
fn a_full_file() {
    let directory = directory();
    let settings = load(
        &directory,
        r#"
        state = "state"
        sealing_key_file = "/etc/tfcfs/key"
        default_ttl = "30m"
        max_ttl = "2d"
        open_deadline = 5
        rotate_deadline = "20s"
        deadline = "1s"
        delete_grace = "15s"
        revoke_on_stop = true
        rate = 10
        ca_file = "pki/ca.pem"
        proxy = "http://proxy.example:3128"
        no_proxy = "localhost,.example"
        uid = "root"
        gid = 0
        mode = "0440"
        allow_other = true
        threads = 4
        allow_organization_anchor_rotation = true
        audit = { file = "audit.jsonl", journald = true, required = true }

        [anchors.default]
        token_file = "token"

        [anchors.tfe]
        address = "https://tfe.example"
        base_path = "/tfe/api/v2"
        token_file = "token"

        [roles.deploy]
        organization = "acme"
        team = "ops"
        credential_type = "team"
        share = "open"

        [roles.org]
        organization = "acme"
        anchor = "tfe"
        "#,
    )
    .unwrap();
    let at = |name: &str| Some(directory.path().join(name));
    assert_eq!((settings.state, settings.ca_file), (at("state"), at("pki/ca.pem")), "relative to the file");
    assert_eq!(settings.sealing_key_file.as_deref(), Some(Path::new("/etc/tfcfs/key")));
    let times = [settings.default_ttl, settings.max_ttl, settings.open_deadline, settings.rotate_deadline];
    assert_eq!(times.map(|time| time.as_secs()), [1800, 172_800, 5, 20]);
    assert_eq!((settings.deadline, settings.delete_grace), (Duration::from_secs(1), Duration::from_secs(15)));
    assert_eq!((settings.rate, settings.threads, settings.mode), (10, 4, 0o440));
    assert!(settings.allow_organization_anchor_rotation && settings.revoke_on_stop);
    let audit = settings.audit.unwrap();
    assert_eq!((audit.file, audit.journald, audit.required), (at("audit.jsonl"), true, true));
    assert_eq!((settings.uid, settings.gid, settings.allow_other), (Some(0), Some(0), true));
    assert_eq!(settings.proxy.map(|proxy| proxy.0).as_deref(), Some("http://proxy.example:3128"));
    assert_eq!(settings.no_proxy.as_deref(), Some("localhost,.example"));
    let anchors: Vec<_> = settings.anchors.iter().map(|(name, access)| (name.as_str(), access)).collect();
    assert_eq!(anchors[0].0, "default");
    assert_eq!(anchors[0].1.address.origin(), "https://app.terraform.io");
    assert_eq!(anchors[0].1.token.expose(), "hunter2.atlasv1.x", "without the line break of the file");
    assert_eq!((anchors[1].0, anchors[1].1.address.base_path()), ("tfe", "/tfe/api/v2/"));
    assert!(!format!("{anchors:?}").contains("hunter2"));
    let (name, role) = &settings.roles[0];
    let lookup = role.lookup().expect("a team by name is looked up");
    assert_eq!((name.as_str(), &*lookup.organization, &*lookup.team), ("deploy", "acme", "ops"));
    assert_eq!((settings.roles[1].0.as_str(), settings.roles[1].1.anchor().as_str()), ("org", "tfe"));
}

#[test]
fn keys_and_values() {
    refused("bogus = 1\n", &["unknown key \"bogus\"; Known keys: state"]);
    refused("defualt_ttl = \"1h\"\n", &["did you mean \"default_ttl\"?"]);
    refused("[anchor.default]\n", &["unknown key \"anchor\"; did you mean \"anchors\"?"]);
    refused("rate = 0\n", &["rate must be between 1 and 10000"]);
    refused("threads = \"two\"\n", &["threads must be a whole number, not text"]);
    refused("deadline = -1\n", &["deadline is negative"]);
    refused("allow_other = \"yes\"\n", &["allow_other must be true or false"]);
    refused("mode = \"0666\"\n", &["mode must be octal text with read bits only"]);
    refused("uid = \"no-such-user\"\n", &["uid names an account that this machine does not know"]);
    refused("state = \"\"\n", &["state is empty"]);
    refused("rate = 5\n\nrate = 6\n", &["line 3: rate is given twice"]);
    refused("state = \"/var\n", &["line 1"]);
    refused("roles = 1\n", &["roles must be tables: [roles.NAME]"]);
    refused("anchors.default = \"x\"\n", &["anchors must be tables: [anchors.NAME]"]);
    refused("default_ttl = \"2h\"\nmax_ttl = \"1h\"\n", &["default_ttl is greater than max_ttl"]);
    refused("default_ttl = \"2d\"\n", &["default_ttl is greater than max_ttl (24 h unless set)"]);
    refused("max_ttl = \"30m\"\n", &["default_ttl (1 h unless set) is greater than max_ttl"]);
    refused("open_deadline = \"1d\"\n", &["line 1: open_deadline must be between 0s and 10m"]);
    refused("delete_grace = \"2d\"\n", &["delete_grace must be between 0s and 1d"]);
    refused("no_proxy = [1]\n", &["no_proxy must be text", "not a whole number"]);
    refused("mode = 440\n", &["440 without quotes is a decimal number"]);
    // The settings file is TOML as everybody else reads it.
    refused("state=/var/lib/x\n", &["line 1"]);
    refused("{\"rate\": 5}\n", &["line 1"]);
}

#[test]
fn zero_is_the_default_of_a_deadline_and_no_grace_at_all() {
    let text = "deadline = 0\ndelete_grace = 0\nno_proxy = ['a', 'b']\nmode = 0o444\nproxy = ''\n";
    let settings = load(&directory(), text).unwrap();
    assert_eq!((settings.deadline, settings.delete_grace), (Duration::from_secs(2), Duration::ZERO));
    assert_eq!((settings.no_proxy.as_deref(), settings.mode), (Some("a,b"), 0o444));
    assert_eq!(settings.proxy.unwrap().0, "", "no proxy, whatever the environment says");
}

#[test]
fn a_password_in_the_proxy_is_not_shown() {
    let settings = load(&directory(), "proxy = 'http://me:hunter2@proxy:3128'\n").unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn thousands_of_roles_are_possible() {
    let roles = (0..3000).map(|n| format!("[roles.role-{n}]\nteam_id = \"team-{n}\"\ncredential_type = \"team\"\n"));
    let text: String = roles.collect();
    assert_eq!(load(&directory(), &text).unwrap().roles.len(), 3000);
}

#[test]
fn anchors() {
    refused("[anchors.default]\n", &["token_file in [anchors.default] is missing: name a file"]);
    refused("[anchors.ci]\ntoken = \"hunter2\"\n", &["token in [anchors.ci]", "others may read", "token_file"]);
    refused("[anchors.ci]\ntokenfile = \"x\"\n", &["\"tokenfile\" in [anchors.ci]; did you mean \"token_file\"?"]);
    refused("[anchors.CI]\ntoken_file = \"token\"\n", &["[anchors.CI]: names are lower case: try \"ci\""]);
    let with = |line: &str| format!("{ANCHOR}{line}\n");
    refused(&with("address = \"tfe.example\""), &["[anchors.default]: address is not a URL"]);
    refused(&with("address = \"http://tfe.example\""), &["[anchors.default]: http://", "insecure = true"]);
    refused(&with("base_path = \"x\""), &["[anchors.default]: base_path must begin"]);
    refused(&with("rotate_every = \"1d\""), &["rotate_every in [anchors.default] is not possible", "token_file"]);
    let settings = load(&directory(), &with("address = \"http://tfe.example\"\ninsecure = true")).unwrap();
    assert!(settings.anchors[0].1.address.insecure());
}

#[test]
fn audit() {
    for (text, words) in [
        ("\naudit = true\n", "line 2: audit must be a table: [audit], with file ="),
        ("audit = \"/var/log/a\"\n", "line 1: audit must be a table"),
        ("rate = 5\n[audit]\n", "line 2: [audit] says nowhere to keep the trail: add file = "),
        ("[audit]\njournald = false\n", "says nowhere to keep the trail"),
        ("[audit]\nrequired = true\n", "line 2: [audit] says nowhere to keep the trail: add file = "),
        ("[audit]\nfile = \"\"\n", "line 2: file in [audit] is empty"),
        ("[audit]\nfile = 7\n", "line 2: file in [audit] must be text"),
        ("[audit]\njournald = \"yes\"\n", "line 2: journald in [audit] must be true or false"),
        ("[audit]\nfile = \"a\"\nrequired = 1\n", "line 3: required in [audit] must be true or false"),
        ("[audit]\nfil = \"a\"\n", "line 2: unknown key \"fil\" in [audit]; did you mean \"file\"?"),
        ("[audit.file]\nx = 1\n", "file in [audit] must be text, not a table"),
        ("[[audit]]\nfile = \"a\"\n", "audit must be a table"),
        ("audit_required = true\n", "unknown key \"audit_required\"; write it as required in [audit]"),
    ] {
        refused(text, &[words]);
    }
    let settings = load(&directory(), "[audit]\njournald = true\n").unwrap().audit.unwrap();
    assert_eq!((settings.file, settings.journald, settings.required), (None, true, false));
}

#[test]
fn token_files() {
    let directory = directory();
    let token = directory.path().join("token");
    let shown = token.display().to_string();
    for mode in [0o644, 0o640, 0o604] {
        write(&token, "hunter2\n", mode);
        let chmod = format!("run: chmod 600 {shown}");
        let mode = format!("mode {mode:04o}");
        refused_in(&directory, ANCHOR, &["[anchors.default]: token_file", "can be read by others", &mode, &chmod]);
    }
    for (text, words) in [
        ("", "the token is empty"),
        (" \n", "the token is empty"),
        ("hunter2\nhunter2\n", "the token contains a blank, a line break"),
        (&"hunter2".repeat(1000), "the token is longer than 4096 bytes"),
    ] {
        write(&token, text, 0o600);
        refused_in(&directory, ANCHOR, &[&format!("[anchors.default]: token_file {shown}: {words}")]);
    }
    fs::remove_file(&token).unwrap();
    refused_in(&directory, ANCHOR, &["token_file", &shown, "No such file", "correct the path"]);
    fs::create_dir(&token).unwrap();
    refused_in(&directory, ANCHOR, &["token_file", &shown, "is not a file"]);
}

#[test]
fn roles() {
    refused("[roles.app]\n", &["[roles.app]: a role needs an owner"]);
    refused("[roles.app]\nteamid = \"x\"\n", &["\"teamid\" in [roles.app]; did you mean \"team_id\"?"]);
    refused("[roles.app]\nteam_id = \"x\"\nttl = \"soon\"\n", &["ttl in [roles.app] is not a time"]);
    refused("[roles.app]\nteam_id = \"x\"\nuser_id = \"y\"\n", &["[roles.app]: two owners"]);
    refused("[roles.Deploy]\nteam_id = \"x\"\n", &["[roles.Deploy]: names are lower case: try \"deploy\""]);
    refused("\n[roles.app]\nteam_id = \"x\"\nttl = \"soon\"\n", &["line 4: ttl in [roles.app]"]);
    refused("[roles.config]\nteam_id = \"x\"\n", &["[roles.config]", "reserved"]);
}

#[test]
fn a_file_that_cannot_be_read() {
    let directory = directory();
    for (path, reason) in [(directory.path().join("none"), "No such file"), (directory.path().into(), "directory")] {
        let message = Settings::load(&path).unwrap_err().to_string();
        assert!(message.starts_with(&path.display().to_string()), "{message}");
        assert!(message.contains(reason) && message.contains("correct the path or its mode"), "{message}");
    }
}
