//! `state rekey`: at every moment the state opens with exactly one of the two keys, and somebody says which.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tfcfs::adapters::redb_store::RedbStore;
use tfcfs::adapters::sealing_key::{KeyPlace, SealingKeySettings};
use tfcfs::adapters::state_directory::{Rekey, StateDirectory};
use tfcfs::domain::ports::Store;

use super::support::{KEY, State, block_on, finish};

fn settings(state: &State) -> SealingKeySettings {
    SealingKeySettings { state_directory: state.dir.path().into(), ..Default::default() }
}

fn begin(state: &State) -> Rekey {
    StateDirectory::prepare(state.dir.path()).unwrap().rekey(&settings(state), None).unwrap()
}

/// What the next daemon does: open, and read every record.
fn start(state: &State) -> usize {
    let directory = StateDirectory::prepare(state.dir.path()).unwrap();
    let records = block_on(async { directory.open(&settings(state)).unwrap().load().await.unwrap() });
    records.len()
}

/// The keys among the files that open the ledger.
fn opening(state: &State) -> Vec<String> {
    let keys = ["sealing.key", "sealing.key.new"].into_iter().filter(|name| state.path(name).exists());
    keys.filter(|name| state.load(state.key(name)).is_ok()).map(str::to_owned).collect()
}

#[test]
fn a_random_key() {
    let state = State::filled();
    let exported = state.run("export", &[]).ok();
    let report = state.run("rekey", &["--json"]).json();
    assert_eq!((&report["records"], &report["replace_credential"]), (&9.into(), &false.into()));
    assert_eq!(state.names(), ["ledger.redb", "sealing.key"], "nothing is left");
    let new = state.key("sealing.key");
    assert!(new != KEY && state.load(KEY).is_err() && state.load(new).is_ok());
    assert_eq!(state.run("export", &[]).ok(), exported, "the same records in the same versions");
    assert_eq!(start(&state), 9);
    assert!(state.run("rekey", &[]).ok().contains("9 records are sealed with the new key in"));
    assert_ne!(state.key("sealing.key"), new);
}

#[test]
fn a_key_from_a_file() {
    let state = State::filled();
    let new = state.put("new", "ab".repeat(32).as_bytes(), 0o600);
    state.run("rekey", &["--new-key", &new]).ok();
    assert_eq!(state.key("sealing.key"), [0xab; 32]);
    assert!(state.load([0xab; 32]).is_ok());
    let before = state.files();
    state.run("rekey", &["--new-key", &new]).failed(2, &["is the one in use", "openssl rand -hex 32"]);
    let bad = state.put("bad", b"short", 0o600);
    state.run("rekey", &["--new-key", &bad]).failed(6, &["must be 32 raw bytes"]);
    fs::remove_file(bad).unwrap();
    assert!(state.files() == before);
}

/// Nothing that the old key opens is left in the file, not even in pages that are free.
#[test]
fn the_old_key_opens_nothing_any_more() {
    let state = State::filled();
    let store = RedbStore::open(state.ledger()).unwrap();
    let sealed: Vec<Vec<u8>> = block_on(store.load()).unwrap().into_iter().map(|record| record.value).collect();
    drop(store);
    state.run("rekey", &[]).ok();
    let bytes = fs::read(state.ledger()).unwrap();
    for value in sealed {
        assert!(!bytes.windows(24).any(|window| window == &value[1..25]), "an old nonce");
    }
}

#[test]
fn a_key_file_elsewhere_is_replaced_where_it_is() {
    let (state, place) = (State::filled(), State::empty());
    fs::remove_file(state.path("sealing.key")).unwrap();
    std::os::unix::fs::symlink(place.path("sealing.key"), place.path("link")).unwrap();
    let link = place.path("link").display().to_string();
    let keys = SealingKeySettings { key_file: Some(place.path("link")), ..settings(&state) };
    let mut interrupted = StateDirectory::prepare(state.dir.path()).unwrap().rekey(&keys, None).unwrap();
    interrupted.store_key().unwrap();
    interrupted.replace_ledger().unwrap();
    drop(interrupted);
    assert_eq!(state.run("check", &["--sealing-key", &link, "--json"]).json()["interrupted_rekey"], true);
    state.run("rekey", &["--sealing-key", &link]).ok();
    assert!(fs::symlink_metadata(place.path("link")).unwrap().is_symlink());
    assert_ne!(place.key("sealing.key"), KEY);
    state.run("check", &["--sealing-key", &link]).ok();
}

#[test]
fn a_credential_is_for_its_keeper_to_replace() {
    let (state, place) = (State::filled(), State::empty());
    fs::rename(state.path("sealing.key"), place.path("tfcfs-sealing-key")).unwrap();
    let run = |more: &[&str]| {
        let mut rekey = state.command("rekey", more);
        rekey.env("CREDENTIALS_DIRECTORY", place.dir.path());
        finish(rekey)
    };
    let before = state.files();
    run(&[]).failed(2, &["is the credential", "--new-key", "openssl rand -hex 32"]);
    assert!(state.files() == before);
    let new = place.put("new", &[5; 32], 0o600);
    let said = run(&["--new-key", &new]).ok();
    assert!(said.contains("put it into the credential") && said.contains(&new), "{said}");
    assert!(state.load([5; 32]).is_ok() && state.load(KEY).is_err());
    assert_eq!(place.key("tfcfs-sealing-key"), KEY, "not ours");
}

#[test]
fn a_running_daemon_is_in_the_way() {
    let state = State::filled();
    let daemon = RedbStore::open(state.ledger()).unwrap();
    let before = state.files();
    for command in ["check", "export", "rekey"] {
        state.run(command, &[]).failed(8, &["another tfcfs uses this state directory", "stop that one"]);
    }
    assert!(state.files() == before);
    drop(daemon);
    state.run("rekey", &[]).ok();
}

/// As long as a rekey is under way no daemon gets in, not even between the replacement of ledger and key.
#[test]
fn a_daemon_cannot_come_in_between() {
    let state = State::filled();
    let mut rekey = begin(&state);
    let locked = || state.run("check", &[]).failed(8, &["another tfcfs"]);
    locked();
    rekey.store_key().unwrap();
    locked();
    rekey.replace_ledger().unwrap();
    locked();
    assert_eq!(
        rekey.install_key().unwrap().place,
        KeyPlace::File(fs::canonicalize(state.path("sealing.key")).unwrap())
    );
    state.run("check", &[]).ok();
}

/// A kill after each of the steps; what the commands and the next start make of it.
#[test]
fn interrupted_after_each_step() {
    for steps in 0..=2 {
        let state = State::filled();
        let exported = state.run("export", &[]).json()["records"].clone();
        let mut rekey = begin(&state);
        if steps > 0 {
            rekey.store_key().unwrap();
        }
        if steps > 1 {
            rekey.replace_ledger().unwrap();
        }
        drop(rekey);
        assert_eq!(opening(&state), [["sealing.key", "sealing.key", "sealing.key.new"][steps]], "{steps}");
        let new = (steps > 0).then(|| state.key("sealing.key.new"));

        let before = state.files();
        let report = state.run("check", &["--json"]).json();
        assert_eq!(report["interrupted_rekey"], steps > 0);
        let text = state.run("check", &[]).ok();
        assert_eq!(text.contains("a rekey was interrupted"), steps > 0, "{text}");
        assert_eq!(state.run("export", &[]).json()["records"], exported);
        assert!(state.files() == before, "looking finishes nothing");

        let again = state.copy();
        again.run("rekey", &[]).ok();
        assert_eq!(again.names(), ["ledger.redb", "sealing.key"], "{steps}");
        assert!(again.key("sealing.key") != KEY && again.load(again.key("sealing.key")).is_ok());

        assert_eq!(start(&state), 9, "{steps}");
        assert_eq!(opening(&state), ["sealing.key"]);
        let expected = if steps > 1 { new.unwrap() } else { KEY };
        assert_eq!(state.key("sealing.key"), expected);
    }
}

/// What changes a file or a name, or waits for the disk.
const CALLS: [&str; 8] = ["openat", "write", "fsync", "linkat", "unlink", "rename", "flock", "ftruncate"];

/// Killed before every single call to the kernel that matters.
#[test]
fn killed_at_every_call() {
    let original = State::filled();
    let mut outcomes = [0, 0, 0];
    for call in CALLS {
        for n in 1.. {
            let state = original.copy();
            let rekey = state.command("rekey", &[]);
            let mut traced = Command::new("strace");
            traced.args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}")]);
            traced.args(["-e", &format!("inject={call}:signal=KILL:when={n}")]).arg(rekey.get_program());
            traced.args(rekey.get_args()).env("TFCFS_CONFIG", state.dir.path().with_extension("settings"));
            let status = match traced.stdout(Stdio::null()).stderr(Stdio::null()).status() {
                Ok(status) if status.success() => break,
                Ok(status) if status.signal() == Some(libc::SIGKILL) => status,
                other => {
                    eprintln!("NOT CHECKED: strace cannot be used here ({other:?})");
                    return;
                }
            };
            let keys = opening(&state);
            assert_eq!(keys.len(), 1, "{call} {n}: {keys:?} of {:?}, {status}", state.names());
            outcomes[outcome(&state, &keys)] += 1;
            assert_eq!(start(&state), 9, "{call} {n}");
            state.run("rekey", &[]).ok();
            assert_eq!(state.names(), ["ledger.redb", "sealing.key"], "{call} {n}");
        }
    }
    println!("opens with the old key, the pending one, the new one: {outcomes:?}");
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}

/// 0: the old key opens it, 1: the new one, which waits, 2: the new one in its place.
fn outcome(state: &State, keys: &[String]) -> usize {
    if keys[0] != "sealing.key" { 1 } else { usize::from(state.key("sealing.key") != KEY) * 2 }
}

/// Killed at any time from the start of the program to its end.
#[test]
fn killed_at_any_time() {
    let original = State::filled();
    let timed = original.copy();
    let begun = Instant::now();
    timed.run("rekey", &[]).ok();
    let whole = begun.elapsed();
    let mut outcomes = [0, 0, 0];
    for n in 0..60 {
        let state = original.copy();
        let mut child = state.command("rekey", &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * n / 50 + Duration::from_micros(u64::from(n) * 7));
        let _ = child.kill();
        child.wait().unwrap();
        let keys = opening(&state);
        assert_eq!(keys.len(), 1, "after kill {n}: {keys:?} of {:?}", state.names());
        outcomes[outcome(&state, &keys)] += 1;
        assert_eq!(start(&state), 9, "after kill {n}");
        state.run("rekey", &[]).ok();
        assert_eq!(state.names(), ["ledger.redb", "sealing.key"], "after kill {n}");
    }
    println!("before, between, after: {outcomes:?}");
    assert!(outcomes[0] > 0, "{outcomes:?}");
}
