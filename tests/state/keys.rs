//! Which key is used: an option, then the settings file, then systemd's credential, then the state directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::support::{KEY, State, finish};

const CREDENTIAL: &str = "tfcfs-sealing-key";

/// A state whose own key is wrong, and a directory of credentials with another wrong key.
fn misleading() -> (State, tempfile::TempDir) {
    let (state, credentials) = (State::filled(), tempfile::tempdir().unwrap());
    state.put("sealing.key", &[1; 32], 0o600);
    fs::write(credentials.path().join(CREDENTIAL), [2; 32]).unwrap();
    fs::set_permissions(credentials.path().join(CREDENTIAL), fs::Permissions::from_mode(0o400)).unwrap();
    (state, credentials)
}

#[test]
fn an_option_comes_before_all() {
    let (state, credentials) = misleading();
    let settings = state.put("settings", b"sealing_key_file = \"wrong\"\n", 0o600);
    state.put("wrong", &[3; 32], 0o600);
    let right = state.put("right", &KEY, 0o600);
    let run = |more: &[&str]| {
        let mut check = state.command("check", &[&["--config", &settings], more].concat());
        check.env("CREDENTIALS_DIRECTORY", credentials.path());
        check
    };
    finish(run(&["--sealing-key", &right])).ok();
    let mut by_environment = run(&[]);
    by_environment.env("TFCFS_SEALING_KEY", &right);
    finish(by_environment).ok();
    finish(run(&[])).failed(9, &["wrong opens none"]);
    finish(run(&["--sealing-key", "/nowhere/key"])).failed(6, &["/nowhere/key cannot be read"]);
}

#[test]
fn the_settings_come_before_the_credential() {
    let (state, credentials) = misleading();
    state.put("right", &KEY, 0o600);
    let text = format!("state = {:?}\nsealing_key_file = \"right\"\n", state.dir.path());
    let settings = state.put("settings", text.as_bytes(), 0o600);
    let mut check = state.command("check", &["--config", &settings]);
    check.env("CREDENTIALS_DIRECTORY", credentials.path());
    finish(check).ok();
}

#[test]
fn the_credential_comes_before_the_state_directory() {
    let (state, credentials) = misleading();
    let check = || {
        let mut check = state.command("check", &[]);
        check.env("CREDENTIALS_DIRECTORY", credentials.path());
        check
    };
    finish(check()).failed(9, &["tfcfs-sealing-key opens none"]);
    let hex: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(credentials.path().join(CREDENTIAL), hex + "\n").unwrap();
    // As systemd lets a unit's user in.
    fs::set_permissions(credentials.path().join(CREDENTIAL), fs::Permissions::from_mode(0o440)).unwrap();
    finish(check()).ok();
    fs::remove_file(credentials.path().join(CREDENTIAL)).unwrap();
    finish(check()).failed(9, &["sealing.key opens none"]);
    state.put("sealing.key", &KEY, 0o600);
    finish(check()).ok();
}

#[test]
fn a_lost_key_is_said_to_be_lost() {
    let state = State::filled();
    fs::remove_file(state.path("sealing.key")).unwrap();
    let before = state.files();
    for command in ["check", "export", "rekey"] {
        state.run(command, &[]).failed(6, &["sealing key", "is not; restore the key"]);
    }
    assert!(state.files() == before);
}

#[test]
fn a_start_looks_in_the_same_places_in_the_same_order() {
    let (state, credentials) = misleading();
    let wrong = state.put("wrong", &[3; 32], 0o600);
    let settings = state.put("settings", b"sealing_key_file = \"listed\"\n", 0o600);
    state.put("listed", &[4; 32], 0o600);
    let before = state.files();
    let mount = |more: &[&str], credential: bool, words: &str| {
        let mut mount = state.mount(more);
        if credential {
            mount.env("CREDENTIALS_DIRECTORY", credentials.path());
        }
        finish(mount).failed(9, &[words]);
    };
    mount(&["--sealing-key", &wrong, "--config", &settings], true, "wrong opens none");
    mount(&["--config", &settings], true, "listed opens none");
    mount(&[], true, "tfcfs-sealing-key opens none");
    mount(&[], false, "sealing.key opens none");
    assert!(state.files() == before);
}
