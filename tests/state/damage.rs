//! Files that are no good: a clear sentence, exit code 9, not one byte changed.

use std::fs;

use tfcfs::adapters::sealing_key::SealingKeySettings;
use tfcfs::adapters::state_directory::{Inspection, StateDirectory, StateError};
use tfcfs::domain::ports::StoreError;

use super::support::{SECRETS, State, finish};

/// Runs all commands, each of which must refuse, and expects the state as it was.
#[track_caller]
fn refused(state: &State, words: &[&str]) {
    let before = state.files();
    for command in ["check", "export", "rekey"] {
        let ran = state.run(command, &[]);
        assert!(!SECRETS.iter().any(|secret| ran.out.contains(secret)), "{}", ran.out);
        ran.failed(9, words);
    }
    let ran = finish(state.mount(&[]));
    assert_eq!(ran.code, 9, "{}", ran.err);
    assert!(words.iter().any(|word| ran.err.contains(word)), "{}", ran.err);
    assert!(state.files() == before, "something was touched");
}

#[test]
fn a_wrong_key() {
    let state = State::filled();
    state.put("sealing.key", &[1; 32], 0o600);
    refused(&state, &["wrong sealing key", "opens none of the 9 records", "--sealing-key", "backup"]);
}

#[test]
fn truncated() {
    let state = State::filled();
    let whole = fs::read(state.ledger()).unwrap();
    for len in [0, 1, 100, 4096, whole.len() / 2, whole.len() - 1] {
        fs::write(state.ledger(), &whole[..len]).unwrap();
        refused(&state, &["is damaged", "restore it from a backup", "move it away"]);
    }
}

#[test]
fn foreign() {
    let state = State::filled();
    fs::write(state.ledger(), "roles: none\n".repeat(1000)).unwrap();
    refused(&state, &["is not a ledger of tfcfs", "move it away"]);
    fs::remove_file(state.ledger()).unwrap();
    drop(redb::Database::create(state.ledger()).unwrap());
    refused(&state, &["is not a ledger of tfcfs", "move it away"]);
}

#[test]
fn newer() {
    let state = State::filled();
    const META: redb::TableDefinition<'static, &str, u64> = redb::TableDefinition::new("meta");
    let database = redb::Database::open(state.ledger()).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(META).unwrap().insert("format", 99).unwrap();
    write.commit().unwrap();
    drop(database);
    refused(&state, &["written by a newer tfcfs", "ledger format 99", "run that version"]);
}

/// Sealed is what records say, not how often the ledger was written: a commit would count on.
#[test]
fn an_impossible_version() {
    let state = State::filled();
    const META: redb::TableDefinition<'static, &str, u64> = redb::TableDefinition::new("meta");
    let database = redb::Database::open(state.ledger()).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(META).unwrap().insert("version", u64::MAX).unwrap();
    write.commit().unwrap();
    drop(database);
    refused(&state, &["is damaged (its version is impossible)", "move it away"]);
}

/// Whole by its checksums, with tables that only have our names.
#[test]
fn tables_of_other_types() {
    use redb::{MultimapTableDefinition, TableDefinition, WriteTransaction};
    type Make = fn(&WriteTransaction);
    let numbers: Make = |write| drop(write.open_table(TableDefinition::<u64, &str>::new("records")).unwrap());
    let bytes: Make = |write| {
        let mut table = write.open_table(TableDefinition::<&[u8], (u64, &[u8])>::new("records")).unwrap();
        table.insert(&b"\xff"[..], (1, &b"x"[..])).unwrap();
    };
    let many: Make =
        |write| drop(write.open_multimap_table(MultimapTableDefinition::<&str, u64>::new("meta")).unwrap());
    for make in [numbers, bytes, many] {
        let state = State::empty();
        let database = redb::Database::create(state.ledger()).unwrap();
        let write = database.begin_write().unwrap();
        make(&write);
        write.commit().unwrap();
        drop(database);
        refused(&state, &["is not a ledger of tfcfs", "move it away"]);
    }
}

/// Every kind of flip is refused or without effect, and never changes the file.
#[test]
fn flipped_bits() {
    let state = State::filled();
    let whole = fs::read(state.ledger()).unwrap();
    let healthy = state.run("export", &[]).ok();
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let mut refused = 0;
    for (n, at) in used.iter().step_by(used.len() / 120 + 1).enumerate() {
        let mut bad = whole.clone();
        bad[*at] ^= 1 << (n % 8);
        fs::write(state.ledger(), &bad).unwrap();
        let ran = state.run("export", &[]);
        assert!(fs::read(state.ledger()).unwrap() == bad, "byte {at}: touched");
        match ran.code {
            0 => assert_eq!(ran.out, healthy, "byte {at}"),
            _ => {
                ran.failed(9, &[]);
                refused += 1;
            }
        }
    }
    assert!(refused > 20, "only {refused} flips were found");
}

/// The same for many more bytes, in one process: a panic would end it. `TFCFS_EVERY_BYTE=1` takes every byte there is, and
/// minutes.
#[test]
fn bytes_flipped_one_by_one() {
    let state = State::filled();
    let whole = fs::read(state.ledger()).unwrap();
    let keys = SealingKeySettings { state_directory: state.dir.path().into(), ..Default::default() };
    let directory = StateDirectory::prepare(state.dir.path()).unwrap();
    let export = |inspection: &Inspection| format!("{:?}", inspection.records);
    let healthy = export(&directory.inspect(&keys).unwrap());
    let (mut refused, mut harmless) = (0, 0);
    // A prime, so that every offset within a page has its turn.
    let stride = if std::env::var_os("TFCFS_EVERY_BYTE").is_some() { 1 } else { 4999 };
    for at in (0..whole.len()).step_by(stride) {
        let mut bad = whole.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(state.ledger(), &bad).unwrap();
        match directory.inspect(&keys) {
            Ok(inspection) => {
                assert_eq!(export(&inspection), healthy, "byte {at}");
                harmless += 1;
            }
            Err(StateError::Store(StoreError::Corrupt(_))) => refused += 1,
            Err(error) => panic!("byte {at}: {error:?}"),
        }
        assert!(fs::read(state.ledger()).unwrap() == bad, "byte {at}: touched");
    }
    println!("{refused} refused, {harmless} harmless");
}

/// Sealed by the right key, so only the binding of a record to its name can tell.
#[test]
fn swapped_records() {
    const RECORDS: redb::TableDefinition<'static, &str, (u64, &[u8])> = redb::TableDefinition::new("records");
    use redb::ReadableDatabase;
    let state = State::filled();
    let leases = [1, 2].map(|number| format!("lease/{number:032x}"));
    let database = redb::Database::open(state.ledger()).unwrap();
    let read = database.begin_read().unwrap().open_table(RECORDS).unwrap();
    let [one, two] = leases.clone().map(|key| {
        let value = read.get(&*key).unwrap().unwrap();
        let (version, bytes) = value.value();
        (version, bytes.to_vec())
    });
    let write = database.begin_write().unwrap();
    {
        let mut records = write.open_table(RECORDS).unwrap();
        records.insert(&*leases[0], (two.0, &*two.1)).unwrap();
        records.insert(&*leases[1], (one.0, &*one.1)).unwrap();
    }
    write.commit().unwrap();
    drop((read, database));
    let before = state.files();
    let ran = state.run("check", &[]);
    for lease in &leases {
        assert!(ran.out.contains(&format!("BAD {lease}: wrong sealing key or damaged record")), "{}", ran.out);
    }
    assert!(ran.out.contains("DAMAGED") && ran.out.contains("records         9"), "{}", ran.out);
    ran.failed(9, &["2 of 9 records cannot be opened", "restore"]);
    state.run("rekey", &[]).failed(9, &["damaged record", "restore"]);
    finish(state.mount(&[])).failed(9, &["damaged record", "restore"]);
    assert!(state.files() == before);
}
