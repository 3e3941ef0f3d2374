//! Who else could read or replace what is there: refused, as ssh does.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use super::support::{KEY, State, finish};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_key_that_others_can_read() {
    let state = State::filled();
    for mode in [0o640, 0o604, 0o620] {
        set_mode(&state.path("sealing.key"), mode);
        let (words, mode) = ("chmod 600", format!("{mode:04o}"));
        for command in ["check", "export", "rekey"] {
            state.run(command, &[]).failed(6, &["can be read by others", words, &mode]);
        }
        finish(state.mount(&[])).failed(6, &["can be read by others", words, &mode]);
    }
}

#[test]
fn a_new_key_that_others_can_read() {
    let state = State::filled();
    let new = state.put("other", &[9; 32], 0o644);
    state.run("rekey", &["--new-key", &new]).failed(6, &["other can be read by others", "chmod 600"]);
    assert!(state.load(KEY).is_ok());
}

#[test]
fn a_directory_that_others_can_write() {
    let state = State::filled();
    for mode in [0o770, 0o707, 0o1777] {
        set_mode(state.dir.path(), mode);
        let (words, mode) = ("chmod go-w", format!("{mode:04o}"));
        for command in ["check", "export", "rekey"] {
            state.run(command, &[]).failed(6, &["others can write to the state directory", words, &mode]);
        }
        finish(state.mount(&[])).failed(6, &["others can write to the state directory", words, &mode]);
    }
    set_mode(state.dir.path(), 0o755);
    state.run("check", &[]).ok();
}

#[test]
fn what_belongs_to_somebody_else() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let state = State::filled();
    chown(state.dir.path(), Some(65534), None).unwrap();
    let words = ["the state directory", "belongs to uid 65534", "run tfcfs as that user"];
    state.run("rekey", &[]).failed(6, &words);
    finish(state.mount(&[])).failed(6, &words);
    state.run("check", &[]).ok();
    state.run("export", &[]).ok();
    chown(state.dir.path(), Some(0), None).unwrap();
    chown(state.path("sealing.key"), Some(65534), None).unwrap();
    let words = ["sealing.key belongs to uid 65534", "run tfcfs as that user"];
    state.run("rekey", &[]).failed(6, &words);
    finish(state.mount(&[])).failed(6, &words);
    state.run("check", &[]).ok();
}
