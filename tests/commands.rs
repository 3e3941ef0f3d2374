//! The program itself, on a plain directory tree that looks like a mount.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tfcfs");

/// What a run left behind.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    fn failed(self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in: {}", self.err);
        }
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TFCFS_")) {
        command.env_remove(name);
    }
    command
}

fn finish(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().expect("an exit code"), out: text(output.stdout), err: text(output.stderr) }
}

fn run(arguments: &[&str]) -> Ran {
    finish(command(arguments))
}

/// A tree as the mount shows it.
struct Tree(TempDir);

impl Tree {
    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn new() -> Self {
        let tree = Self::empty();
        tree.put("status", "version = \"0.1.0\"\nroles = 2\n\n[leases]\nlive = 1\n");
        tree.put("errors", "2026-11-24T12:00:00.000Z id=7h2k9x3q uid=7 EACCES creds/a\\x20b/token: no way: ask root\n");
        tree.put(
            "events",
            concat!(
                r#"{"time":"2026-11-24T12:00:00Z","event":"issued","role":"app","lease_id":"1"}"#,
                "\n",
                r#"{"time":"2026-11-24T12:00:01Z","event":"revoked","role":"app","lease_id":"1"}"#,
                "\n"
            ),
        );
        tree.put("roles/app", "team_id = \"team-1\"\ncredential_type = \"team\"\nttl = \"5m\"\n");
        tree.put("roles/me", "user_id = \"user-1\"\nshare = \"open\"\n");
        tree.put("roles/.draft", "not a role\n");
        tree.put("creds/app/token", "hunter2");
        tree.put("creds/me/token", "hunter2");
        tree.put(
            "leases/app/1",
            "lease_id = \"1\"\nrole = \"app\"\ncredential_type = \"team\"\ntoken_id = \"at-1\"\nstate = \"held\"\nhandles = 2\nexpires_at = \"2026-11-24T13:00:00Z\"\nopened_by_uid = 7\n",
        );
        fs::create_dir(tree.path("leases/me")).unwrap();
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a file, and says where it is.
    fn put(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self.text(name)
    }

    fn look(&self, arguments: &[&str]) -> Ran {
        run(&[arguments, &["--mount", &self.text("")]].concat())
    }
}

#[test]
fn status() {
    let tree = Tree::new();
    let shown = tree.look(&["status"]).ok();
    assert!(shown.starts_with("SERVING on ") && shown.contains("1 live"), "{shown}");
    let read = tree.look(&["status", "--json"]).json();
    assert_eq!((&read["leases"]["live"], &read["serving"]), (&json!(1), &json!(true)));
    assert!(read["trouble"][0]["what"].as_str().unwrap().contains("no anchor"), "{read}");
    let mut by_environment = command(&["status"]);
    by_environment.env("TFCFS_MOUNTPOINT", tree.text(""));
    assert!(finish(by_environment).ok().contains("2 roles"));
    tree.put("status", "something else");
    tree.look(&["status", "--json"]).failed(3, &["status is not what tfcfs writes", "another version"]);
}

#[test]
fn leases_that_wait_for_revocation() {
    let tree = Tree::new();
    tree.put("revocations", "# a hint\npending = []\n");
    assert_eq!(tree.look(&["leases", "--pending"]).ok(), "nothing waits for revocation\n");
    tree.put(
        "revocations",
        "# a hint\n[[pending]]\nlease_id = \"1\"\nrole = \"app\"\nanchor = \"default\"\nowner = \"team t\"\nsince = \"2026-11-24T12:00:00.000Z\"\nattempts = 3\nnext_attempt = \"2026-11-24T12:05:00.000Z\"\ncause = \"anchor\"\nreason = \"refused\"\n",
    );
    let shown = tree.look(&["leases", "--pending"]).ok();
    assert!(shown.trim_start().starts_with("ROLE") && shown.contains("anchor") && shown.contains("refused"), "{shown}");
    let found = tree.look(&["leases", "app", "--pending", "--json"]).json();
    assert_eq!((&found[0]["attempts"], &found[0]["cause"]), (&json!(3), &json!("anchor")));
    assert_eq!(tree.look(&["leases", "gone", "--pending", "--json"]).json(), json!([]));
}

#[test]
fn forget_writes_to_the_mount_and_its_help_says_what_it_means() {
    let tree = Tree::new();
    tree.look(&["forget", "1"]).failed(3, &["revocations cannot be"]);
    tree.put("revocations", &" ".repeat(9));
    assert!(tree.look(&["forget", "1"]).ok().contains("may live upstream"));
    assert_eq!(fs::read_to_string(tree.path("revocations")).unwrap(), "forget 1\n");
    let help = run(&["forget", "--help"]).ok();
    assert!(help.contains("no longer knows it") && help.contains("Only root"), "{help}");
}

#[test]
fn leases() {
    let tree = Tree::new();
    let shown = tree.look(&["leases"]).ok();
    let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ROLE", "TYPE", "STATE", "HANDLES", "EXPIRES", "UID", "TOKEN", "LEASE"]);
    assert_eq!(lines[1], ["app", "team", "held", "2", "2026-11-24T13:00:00Z", "7", "at-1", "1"]);
    assert_eq!(lines.len(), 2);
    assert_eq!(tree.look(&["leases", "app", "--json"]).json()[0]["handles"], 2);
    assert_eq!(tree.look(&["leases", "me"]).ok(), "no live leases\n");
    assert_eq!(tree.look(&["leases", "me", "--json"]).json(), json!([]));
    tree.look(&["leases", "ap"]).failed(2, &["there is no role \"ap\"", "did you mean app?", "tfcfs roles"]);
}

#[test]
fn roles() {
    let tree = Tree::new();
    let shown = tree.look(&["roles"]).ok();
    let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ROLE", "TYPE", "OWNER", "SHARE", "TTL", "MAX_TTL", "ON_CLOSE"]);
    assert_eq!(lines[1], ["app", "team", "team", "team-1", "role", "5m", "default", "linger"]);
    assert_eq!(lines[2], ["me", "user", "user", "user-1", "open", "default", "default", "linger"]);
    assert_eq!(lines.len(), 3, "drafts are no roles");
    assert_eq!(tree.look(&["roles", "--json"]).json()["app"]["ttl"], "5m");
    let none = Tree::empty();
    fs::create_dir(none.path("creds")).unwrap();
    assert!(none.look(&["roles"]).ok().starts_with("no roles"));
    assert_eq!(none.look(&["roles", "--json"]).json(), json!({}));
}

#[test]
fn errors_and_events() {
    let tree = Tree::new();
    assert!(tree.look(&["errors"]).ok().ends_with("creds/a\\x20b/token: no way: ask root\n"));
    let error = json!({
        "time": "2026-11-24T12:00:00.000Z", "id": "7h2k9x3q", "uid": 7, "errno": "EACCES",
        "path": "creds/a\\x20b/token", "message": "no way: ask root"
    });
    assert_eq!(tree.look(&["errors", "--json"]).json(), json!([error]));
    tree.put("errors", "");
    assert_eq!(tree.look(&["errors"]).ok(), "no errors\n");
    assert_eq!(tree.look(&["errors", "--json"]).json(), json!([]));
    let events = tree.look(&["events"]).ok();
    let first: Vec<&str> = events.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(first, ["2026-11-24T12:00:00Z", "issued", "app", "lease_id=1"]);
    let lines = tree.look(&["events", "--json"]).ok();
    assert_eq!(lines, fs::read_to_string(tree.path("events")).unwrap(), "as they are");
}

#[test]
fn where_nothing_is_mounted() {
    let tree = Tree::empty();
    for arguments in [&["status"][..], &["leases"], &["leases", "app"], &["roles"], &["errors"], &["events"]] {
        tree.look(arguments).failed(3, &["cannot be read", "hint: is a tfcfs mounted on"]);
    }
    let file = tree.put("file", "");
    run(&["status", "--mount", &file]).failed(3, &["hint: is a tfcfs mounted on"]);
    let umount = run(&["umount", &tree.text("")]);
    assert!(matches!(umount.code, 3 | 7), "7 where the right to unmount is missing: {}", umount.err);
}

#[test]
fn a_mount_of_somebody_else() {
    let tree = Tree::new();
    let mut status = Command::new(PROGRAM);
    if rustix::process::geteuid().is_root() {
        // Somebody who may run the program and come near, but not in.
        let program = tree.path("tfcfs");
        if fs::hard_link(PROGRAM, &program).is_err() {
            fs::copy(PROGRAM, &program).unwrap();
        }
        fs::set_permissions(tree.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        status = Command::new(program);
        status.uid(65534);
    }
    fs::set_permissions(tree.path("status"), fs::Permissions::from_mode(0o000)).unwrap();
    status.args(["status", "--mount", &tree.text("")]);
    finish(status).failed(7, &["status cannot be read", "hint: run it as the owner of the mount, or as root"]);
}

#[test]
fn check() {
    let tree = Tree::empty();
    let role = tree.put("role", "team_id = \"team-1\"\n");
    let config = tree.put("config", "token = \"hunter2\"\n");
    let others = tree.put("others", "[anchors.ci]\ntoken = \"hunter2\"\n");
    let settings = tree.put("settings", "open_deadline = 5\n");
    assert_eq!(
        run(&["check", &role, &config, &others, &settings]).ok(),
        format!("{role} (role): ok\n{config} (config): ok\n{others} (config): ok\n{settings} (settings): ok\n")
    );
    let clear = tree.put("clear", "address = \"http://tfe.example\"\ntoken = \"hunter2\"\n");
    let bad = tree.put("bad", "tem_id = \"team-1\"\n");
    let anchor = tree.put("anchor", "[anchors.ci]\ntoken_file = \"none\"\n");
    let ran = run(&["check", &role, &clear, &bad, &anchor, &tree.text("none")]);
    for line in [
        format!("{role} (role): ok\n"),
        format!("{clear} (config): BAD: anchor \"default\": http:// would send the token to tfe.example in clear text"),
        format!("{bad} (role): BAD: line 1: unknown key \"tem_id\"; did you mean \"team_id\"?"),
        format!("{anchor} (settings): BAD: line 2: [anchors.ci]: token_file"),
        format!("{} (role): BAD: cannot be read: No such file", tree.text("none")),
    ] {
        assert!(ran.out.contains(&line), "{line} is not in {}", ran.out);
    }
    ran.failed(5, &["4 of 5 would be refused"]);
    let ran = run(&["check", "--json", &role, &bad]);
    assert_eq!(ran.code, 5);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report[0], json!({ "file": role, "kind": "role", "ok": true, "error": null }));
    assert!(report[1]["error"].as_str().unwrap().contains("tem_id"));
    run(&["check", "--kind", "config", &role]).failed(5, &["1 of 1"]);
}

#[test]
fn wrong_command_lines() {
    for arguments in [&[][..], &["bogus"], &["mount"], &["check"], &["status", "--bogus"], &["completions", "dos"]] {
        assert_eq!(run(arguments).code, 2, "{arguments:?}");
    }
    let tree = Tree::empty();
    let place = tree.text("");
    let mount = |more: &[&str]| run(&[&["mount", &place][..], more].concat());
    mount(&["--log-level", "a=b=c"]).failed(2, &["log level", "error, warn, info"]);
    mount(&["--ephemeral", "--state", "x"]).failed(2, &["choose one"]);
    mount(&["--ephemeral", "-o", "state=x"]).failed(2, &["choose one"]);
    mount(&["-o", "alow_other"]).failed(2, &["unknown mount option \"alow_other\"", "did you mean allow_other?"]);
    mount(&["-o", "zzz"]).failed(2, &["unknown mount option", "allow_other, config, state, sealing_key"]);
    mount(&["-o", "remount"]).failed(2, &["not changed by a remount", "kill -HUP"]);
    mount(&["-o", "allow_root"]).failed(2, &["allow_root does not exist", "allow_other"]);
    mount(&["-o", "setuid="]).failed(2, &["setuid needs a value: setuid=USER"]);
    mount(&["-o", "rw=1"]).failed(2, &["unknown mount option \"rw\""]);
    run(&["supervise", &place, "-o", "setuid=root"]).failed(2, &["setuid= belongs to tfcfs mount", "User="]);
    mount(&["-o", "rw,ro"]).failed(2, &["read-only mount", "leave ro out"]);
    mount(&["-o", "state="]).failed(2, &["mount option state needs a value: state=PATH"]);
    mount(&["-o", "config"]).failed(2, &["mount option config needs a value: config=PATH"]);
    mount(&["-o", "ephemeral=1"]).failed(2, &["mount option ephemeral takes no value"]);
    mount(&["-o", "x-mount.mkdir=rwx"]).failed(2, &["x-mount.mkdir: \"rwx\" is no mode", "x-mount.mkdir=0755"]);
}

#[test]
fn mount_points_that_cannot_be_used() {
    let tree = Tree::empty();
    let settings = tree.put("settings", "");
    let mount = |place: &str, more: &[&str]| run(&[&["mount", place, "--config", &settings][..], more].concat());
    mount(&tree.text("none"), &["--ephemeral"]).failed(4, &["none does not exist", "mkdir -p"]);
    mount(&settings, &["--ephemeral"]).failed(4, &["is not a directory", "name a directory"]);
    // Whatever mount(8) adds is accepted: it comes as far as the mount point.
    let options = "rw,dev,suid,nosuid,nodev,noexec,relatime,_netdev,nofail,x-systemd.automount,allow_other,ephemeral";
    mount(&settings, &["-o", options, "-o", "noauto"]).failed(4, &["is not a directory"]);
}

#[test]
fn a_mount_point_is_made_where_the_options_say_so() {
    let tree = Tree::empty();
    let settings = tree.put("settings", "");
    for (place, option, mode) in [("a/b", "x-mount.mkdir", 0o755), ("c", "x-mount.mkdir=0700", 0o700)] {
        let place = tree.text(place);
        // It comes as far as the state.
        run(&["mount", &place, "--config", &settings, "-o", option, "--state", &settings]).failed(6, &[]);
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, mode, "{place}");
    }
    let options = ["--config", &settings, "-o", "x-mount.mkdir,ephemeral"];
    run(&[&["mount", "/proc/none"][..], &options].concat())
        .failed(4, &["/proc/none cannot be made", "make it by hand"]);
}

#[test]
fn settings_that_are_wrong() {
    let tree = Tree::empty();
    let bad = tree.put("bad", "bogus = 1\n");
    let place = tree.text("");
    for more in [["--config", &bad], ["-o", &format!("config={bad}")], ["--config", &tree.text("none")]] {
        run(&[&["mount", &place][..], &more].concat()).failed(5, &[more[1].trim_start_matches("config=")]);
    }
    let mut by_environment = command(&["mount", &place]);
    by_environment.env("TFCFS_CONFIG", &bad);
    finish(by_environment).failed(5, &["unknown key \"bogus\"", "\nhint: tfcfs check FILE"]);
}

#[test]
fn state_directories_that_cannot_be_used() {
    let tree = Tree::empty();
    let settings = tree.put("settings", "");
    let file = tree.put("file", "");
    tree.put("state/sealing.key", "short");
    fs::set_permissions(tree.path("state/sealing.key"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(tree.path("place")).unwrap();
    let mount = |more: &[&str]| {
        run(&[&["mount", &tree.text("place"), "--config", &settings, "--log-level", "error"][..], more].concat())
    };
    mount(&["--state", &file]).failed(6, &["state directory", "cannot be made", "--state", "--ephemeral"]);
    mount(&["-o", &format!("state={file}/below")]).failed(6, &["state directory"]);
    mount(&["--state", &tree.text("state")]).failed(6, &["sealing.key", "openssl rand -hex 32"]);
}

#[test]
fn flags_from_the_environment() {
    let tree = Tree::empty();
    let settings = tree.put("settings", "");
    for (value, state) in [("1", false), ("true", false), ("0", true), ("", true)] {
        let mut mount = command(&["mount", &settings, "--config", &settings, "-o", "state=x"]);
        mount.env("TFCFS_EPHEMERAL", value);
        let code = if state { 4 } else { 2 };
        assert_eq!(finish(mount).code, code, "TFCFS_EPHEMERAL={value:?}");
    }
}

fn pipe(script: &str) -> String {
    let mut shell = Command::new("bash");
    shell.args(["-o", "pipefail", "-c", script]).env("T", PROGRAM);
    finish(shell).ok()
}

#[test]
fn completions_and_manual() {
    for (shell, words) in [("bash", "complete -F _tfcfs"), ("zsh", "#compdef tfcfs"), ("fish", "complete -c tfcfs")] {
        assert!(run(&["completions", shell]).ok().contains(words), "{shell}");
    }
    pipe("$T completions bash | bash -n");
    let page = run(&["man"]).ok();
    assert!(page.contains(".TH tfcfs 1") && page.contains("Exit codes"));
    let tree = Tree::empty();
    run(&["man", &tree.text("")]).ok();
    assert!(tree.path("tfcfs.1").exists() && tree.path("tfcfs-mount.1").exists());
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let tree = Tree::new();
    tree.put("events", &"{\"event\":\"x\"}\n".repeat(20_000));
    tree.put("status", &"# long\n".repeat(100_000));
    let at = format!("--mount {}", tree.0.path().display());
    for arguments in [&*format!("events {at}"), &format!("status {at}"), "completions bash", "man", "--help"] {
        assert!(!pipe(&format!("$T {arguments} | head -1")).is_empty(), "{arguments}");
        pipe(&format!("$T {arguments} | true"));
    }
}

#[test]
fn help_tells_the_exit_codes() {
    let help = run(&["--help"]).ok();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for (code, meaning) in tfcfs::exit::ExitCode::ALL {
        assert!(help.contains(&format!("{} {meaning}", code as i32)), "{meaning} is not in {help}");
    }
    for name in [
        "mount",
        "umount",
        "status",
        "leases",
        "roles",
        "errors",
        "events",
        "check",
        "exec",
        "terraform-credentials",
        "completions",
        "man",
    ] {
        assert!(help.contains(name));
        assert!(!run(&[name, "--help"]).ok().is_empty());
    }
    assert!(run(&["--version"]).ok().starts_with("tfcfs 0."));
}

#[test]
fn half_a_line_of_events_waits_for_the_other_half() {
    use std::io::{BufRead, BufReader, Write};

    let tree = Tree::new();
    tree.put("events", "{\"time\":\"1\",\"event\":\"iss");
    let mut follow = command(&["events", "--follow", "--json", "--mount", &tree.text("")]);
    let mut child = follow.stdout(Stdio::piped()).spawn().unwrap();
    let mut events = fs::OpenOptions::new().append(true).open(tree.path("events")).unwrap();
    // Long enough for several looks at the first half.
    std::thread::sleep(std::time::Duration::from_millis(600));
    events.write_all(b"ued\"}\n").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["event"], "issued");
}

#[test]
fn check_finds_what_only_a_start_would() {
    let tree = Tree::empty();
    let proxy = tree.put("proxy", "proxy = \"socks5://me:hunter2@h\"\n");
    let ca = tree.put("ca", "ca_file = \"none.pem\"\n");
    let ran = run(&["check", &proxy, &ca]);
    assert!(ran.out.contains("the setting proxy names no usable proxy") && !ran.out.contains("hunter2"), "{}", ran.out);
    assert!(ran.out.contains("none.pem cannot be read"), "{}", ran.out);
    ran.failed(5, &["2 of 2"]);
}
