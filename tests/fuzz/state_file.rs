//! The bytes of a ledger file. The first byte of an input says how it is made: edits of a good file, or a database of redb
//! with tables of our names and records of anybody's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use redb::{Builder, TableDefinition};
use tempfile::TempDir;
use tfcfs::adapters::sealing_key::{self, SealingKeySettings};
use tfcfs::adapters::state_directory::StateDirectory;
use tfcfs::domain::ports::{Change, Expect, Store};

use crate::properties::LONGEST_WITH_PATH;
use crate::state_records::{KEY, SECRETS, block_on, fill};

const RECORDS: TableDefinition<'static, &str, (u64, &[u8])> = TableDefinition::new("records");
/// The largest version that is accepted. A commit on top of it is the last one, which nobody will ever see.
const LAST: u64 = u64::MAX / 2;
const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");

/// Directories in memory where there are such: a file is written for each input.
fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// A good state, and one for each input.
pub struct States {
    good: Vec<u8>,
    tried: TempDir,
}

impl States {
    pub fn new() -> Self {
        let good = directory();
        fill(good.path());
        let tried = directory();
        let key = tried.path().join(sealing_key::FILE_NAME);
        fs::write(&key, KEY).unwrap();
        fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
        Self { good: fs::read(good.path().join("ledger.redb")).unwrap(), tried }
    }

    pub fn target(self) -> impl FnMut(&[u8]) {
        move |input| {
            let ledger = self.tried.path().join("ledger.redb");
            let Some((kind, rest)) = input.split_first() else { return };
            let _ = fs::remove_file(&ledger);
            match kind % 2 {
                0 => fs::write(&ledger, edited(&self.good, rest)).unwrap(),
                _ => made(&ledger, rest),
            }
            self.look(&ledger);
        }
    }

    fn look(&self, ledger: &PathBuf) {
        let before = fs::read(ledger).unwrap();
        let keys = SealingKeySettings { state_directory: self.tried.path().into(), ..Default::default() };
        let directory = StateDirectory::prepare(self.tried.path()).unwrap();
        let inspected = directory.inspect(&keys);
        assert!(fs::read(ledger).unwrap() == before, "a look has written");
        match &inspected {
            Err(error) => said(&error.to_string()),
            Ok(inspection) => inspection
                .records
                .iter()
                .filter_map(|record| record.content.as_ref().err())
                .for_each(|error| said(&error.to_string())),
        }
        match directory.open(&keys) {
            Err(error) => {
                said(&error.to_string());
                assert!(fs::read(ledger).unwrap() == before, "a refused ledger was touched");
            }
            Ok(store) => {
                let inspected = inspected.expect("only what can be looked at is opened");
                in_use(store);
                let again = directory.inspect(&keys).expect("a ledger that was in use");
                assert!(again.records.iter().any(|record| record.key == "number/fuzz"));
                assert!(again.records.len() >= inspected.records.len());
            }
        }
    }
}

/// What a daemon does with it: reads all, writes one record.
fn in_use(store: impl Store) {
    block_on(async {
        store.load().await.unwrap();
        let change = Change { key: "number/fuzz".into(), expect: Expect::Any, value: Some(b"7".to_vec()) };
        store.commit(vec![change]).await.expect("an opened ledger takes a record");
    });
}

fn said(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.len() < LONGEST_WITH_PATH, "{} bytes: {text}", text.len());
    assert!(!SECRETS.iter().any(|secret| text.contains(secret)), "{text}");
}

/// Edits of 8 bytes each: where, what, and how much of it.
fn edited(good: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for edit in edits.chunks_exact(8).take(32) {
        let place = u32::from_le_bytes([edit[0], edit[1], edit[2], 0]) as usize;
        let (kind, value, count) = (edit[3], edit[4], usize::from(edit[5]) + 1);
        let from = u16::from_le_bytes([edit[6], edit[7]]) as usize;
        if bytes.is_empty() {
            break;
        }
        // The first pages matter most.
        let at = if kind & 0x80 == 0 { place % bytes.len() } else { place % bytes.len().min(8192) };
        let end = (at + count).min(bytes.len());
        match kind & 0x7f {
            0..=39 => bytes[at] ^= value,
            40..=69 => bytes[at] = value,
            70..=89 => bytes[at..end].fill(value),
            90..=109 => {
                let piece: Vec<u8> = (0..end - at).map(|n| bytes[(from + n) % bytes.len()]).collect();
                bytes[at..end].copy_from_slice(&piece);
            }
            110..=117 => bytes.truncate(at),
            118..=123 => bytes.resize(bytes.len() + count * 512, value),
            _ => drop(bytes.drain(at..end)),
        }
    }
    bytes
}

/// A database with the lines of a text: `meta KEY NUMBER`, `records KEY VERSION VALUE`. Words may be empty.
fn made(path: &Path, text: &[u8]) {
    let database = Builder::new().create(path).unwrap();
    let write = database.begin_write().unwrap();
    {
        let mut records = write.open_table(RECORDS).unwrap();
        let mut meta = write.open_table(META).unwrap();
        for line in text.split(|byte| *byte == b'\n') {
            let mut words = line.splitn(4, |byte| *byte == b' ');
            let table = words.next().unwrap_or_default();
            let key = String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned();
            let number = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok()).unwrap_or(0);
            let number = if number == LAST { LAST - 1 } else { number };
            let value = words.next().unwrap_or_default();
            match table {
                b"meta" => drop(meta.insert(&*key, number).unwrap()),
                b"records" => drop(records.insert(&*key, (number, value)).unwrap()),
                _ => {}
            }
        }
    }
    write.commit().unwrap();
}
