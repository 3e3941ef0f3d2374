//! The command line: the real binary against a directory that imitates a mount, and every exit code that needs none.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn tfcfs(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tfcfs"));
    for name in ["TFCFS_MOUNTPOINT", "TFCFS_CONFIG", "TFCFS_STATE", "TFCFS_EPHEMERAL", "TFCFS_ALLOW_OTHER"] {
        command.env_remove(name);
    }
    command.args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What ran well printed.
fn out(arguments: &[&str]) -> String {
    let output = tfcfs(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Exit code and standard error of what failed.
fn failed(arguments: &[&str]) -> (i32, String) {
    let output = tfcfs(arguments);
    (output.status.code().unwrap(), text(&output.stderr))
}

const LEASE: &str = "01a20d7f864e7dd1aeb1ddeeb4dcbc43";

fn mount() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("status", "version = \"0.1.0\"\nroles = 1\n[leases]\nlive = 1\n");
    write("roles/app", "team_id = \"team-1\"\ncredential_type = \"team\"\nttl = \"10m\"\n");
    write("creds/app/token", "x");
    write(
        &format!("leases/app/{LEASE}"),
        &format!(
            "lease_id = \"{LEASE}\"\nrole = \"app\"\ncredential_type = \"team\"\ntoken_id = \"at-1\"\nstate = \"held\"\n\
             handles = 2\nexpires_at = \"2026-11-25T12:00:00.000Z\"\nopened_by_uid = 7\n"
        ),
    );
    fs::create_dir_all(directory.path().join("leases/idle")).unwrap();
    write("errors", "2026-11-24T11:00:00.123Z uid=1000 EACCES creds/a\\x20b/token: not you; ask: somebody\n");
    write("events", "{\"time\":\"2026-11-24T11:00:00.000Z\",\"event\":\"issued\",\"role\":\"app\",\"uid\":7}\n");
    directory
}

fn path(directory: &TempDir) -> &str {
    directory.path().to_str().unwrap()
}

#[test]
fn the_commands_that_look() {
    let mount = mount();
    let at = ["--mount", path(&mount)];
    let show = |words: &[&str]| out(&[words, &at[..]].concat());
    let json = |words: &[&str]| -> serde_json::Value {
        serde_json::from_str(&out(&[words, &at[..], &["--json"]].concat())).unwrap()
    };
    assert!(show(&["status"]).contains("live = 1"));
    assert_eq!(json(&["status"])["leases"]["live"], 1);
    let leases = show(&["leases"]);
    assert!(leases.contains(LEASE) && leases.contains("held") && leases.contains("at-1"), "{leases}");
    assert_eq!(json(&["leases", "app"])[0]["handles"], 2);
    assert_eq!(show(&["leases", "idle"]).trim(), "no live leases");
    let roles = show(&["roles"]);
    assert!(roles.contains("team team-1") && roles.contains("10m"), "{roles}");
    assert_eq!(json(&["roles"])["app"]["ttl"], "10m");
    assert!(show(&["errors"]).contains("not you"));
    let error = &json(&["errors"])[0];
    assert_eq!((&error["uid"], &error["errno"]), (&1000.into(), &"EACCES".into()));
    assert_eq!(error["message"], "not you; ask: somebody");
    assert!(show(&["events"]).contains("issued"));
    assert_eq!(json(&["events"])["role"], "app");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mount = mount();
    let many = "{\"event\":\"issued\"}\n".repeat(100_000);
    fs::write(mount.path().join("events"), many).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tfcfs"))
        .args(["events", "--mount", path(&mount)])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn exit_codes() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let state = at("state");
    let code = |arguments: &[&str], expected: i32, says: &str| {
        let (code, error) = failed(arguments);
        assert_eq!(code, expected, "{arguments:?}: {error}");
        assert!(error.contains(says), "{arguments:?}: {error}");
    };
    code(&["mout"], 2, "mount");
    code(&["mount", &at("x"), "--state", &state, "--ephemeral"], 2, "cannot be used with");
    code(&["mount", &at("x"), "-o", "allow_othr"], 2, "did you mean allow_other?");
    code(&["mount", &at("x"), "-o", "ro"], 2, "hint:");
    code(&["status", "--mount", &at("nowhere")], 3, "hint:");
    code(&["mount", &at("missing"), "--state", &state], 4, "mkdir -p");
    fs::write(at("file"), "").unwrap();
    code(&["mount", &at("file"), "--state", &state], 4, "is not a directory");
    fs::write(at("bad.toml"), "stat = \"x\"\n").unwrap();
    fs::create_dir(at("mnt")).unwrap();
    code(&["mount", &at("mnt"), "--config", &at("bad.toml")], 5, "did you mean \"state\"?");
    code(&["mount", &at("mnt"), "--config", &at("none.toml")], 5, "cannot be read");
    code(&["mount", &at("mnt"), "--state", &at("file")], 6, "--ephemeral");
    code(&["umount", &at("mnt")], 3, "");
}

#[test]
fn options_of_mount_8_are_accepted() {
    // Unknown ones are refused before the mount point is looked at; these get as far as that.
    let options = "rw,dev,suid,_netdev,nofail,x-systemd.automount,allow_other,ephemeral";
    let (code, error) = failed(&["mount", "/nonexistent/tfcfs", "-o", options]);
    assert_eq!(code, 4, "{error}");
}

#[test]
fn check_says_what_would_be_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = file("good", "team_id = \"team-1\"\ncredential_type = \"team\"\n");
    let bad = file("bad", "team_id = \"team-1\"\ntll = 5\n");
    let config = file("config", "address = \"https://tfe.example\"\ntoken = \"abc.atlasv1.planted\"\n");
    let settings = file("tfcfs.toml", "allow_other = true\n[roles.app]\nuser_id = \"user-1\"\n");
    let said = out(&["check", &good, &config, &settings]);
    assert!(said.contains("(role): ok") && said.contains("(config): ok") && said.contains("(settings): ok"), "{said}");
    let output = tfcfs(&["check", "--json", &good, &bad]);
    assert_eq!(output.status.code(), Some(5));
    let results: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&results[0]["ok"], &results[1]["ok"]), (&true.into(), &false.into()));
    assert!(results[1]["error"].as_str().unwrap().contains("did you mean \"ttl\"?"));
    let clear = file("clear", "address = \"http://tfe.example\"\ntoken = \"abc.atlasv1.planted\"\n");
    let output = tfcfs(&["check", &clear]);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(said.contains("clear text") && !said.contains("planted"), "{said}");
}

#[test]
fn completions_manual_and_help() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(out(&["completions", shell]).contains("leases"), "{shell}");
    }
    let script = out(&["completions", "bash"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tfcfs.bash");
    fs::write(&file, script).unwrap();
    assert!(Command::new("bash").arg("-n").arg(&file).status().unwrap().success());
    assert!(out(&["man"]).contains(".TH tfcfs"));
    out(&["man", path(&directory)]);
    assert!(Path::new(&directory.path().join("tfcfs-mount.1")).exists());
    let help = out(&["--help"]);
    assert!(help.contains("Exit codes: 0 done") && help.contains("130"), "{help}");
}
