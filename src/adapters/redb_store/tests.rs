//! What the contract suite cannot show from outside: a failing medium, a damaged file, group commit.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::format::{FORMAT, META, Migration};
use super::medium::FileMedium;
use super::*;
use crate::domain::ports::Expect;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, StorageBackend};

fn put(key: &str, value: &[u8]) -> Vec<Change> {
    vec![Change { key: key.into(), expect: Expect::Any, value: Some(value.to_vec()) }]
}

struct Place {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    Place { path: directory.path().join(FILE_NAME), _directory: directory }
}

impl Place {
    /// A ledger with a few records, closed.
    async fn filled() -> Self {
        let place = place();
        let store = RedbStore::open(&place.path).unwrap();
        for key in ["a", "b", "c"] {
            store.commit(put(key, &[7; 3000])).await.unwrap();
        }
        place
    }

    /// Expects a refusal that leaves the file as it is, and returns the sentence.
    fn refused(&self) -> String {
        let before = fs::read(&self.path).unwrap();
        let error = RedbStore::open(&self.path).unwrap_err();
        assert!(fs::read(&self.path).unwrap() == before, "the file was touched: {error}");
        let StoreError::Corrupt(sentence) = error else { panic!("{error:?}") };
        assert!(sentence.contains(&self.path.display().to_string()), "{sentence}");
        sentence
    }
}

#[tokio::test]
async fn foreign_and_empty_files_are_left_alone() {
    let zeros = vec![0; 1 << 20];
    for content in [&b""[..], b"x", b"SQLite format 3\0", &[0xff; 5000], &zeros] {
        let place = place();
        fs::write(&place.path, content).unwrap();
        assert!(place.refused().contains("move it away"));
    }
    let place = place();
    Database::create(&place.path).unwrap();
    assert!(place.refused().contains("'records' does not exist"));
}

#[tokio::test]
async fn a_newer_format_is_refused_untouched() {
    let place = Place::filled().await;
    let database = Database::open(&place.path).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(META).unwrap().insert("format", FORMAT + 1).unwrap();
    write.commit().unwrap();
    drop(database);
    assert!(place.refused().contains("written by a newer tfcfs (ledger format 2, this one knows up to 1)"));
}

/// No format but the first was ever written, so the steps here are made up: what is proven is that each step from the file's
/// format on is done once, in order and together with the new number, and that a step that fails changes nothing.
#[tokio::test]
async fn an_older_format_is_migrated_in_one_transaction() {
    fn mark(write: &redb::WriteTransaction, step: u64) -> Result<(), redb::Error> {
        let mut meta = write.open_table(META)?;
        let before = meta.get("steps")?.map_or(0, |steps| steps.value());
        meta.insert("steps", before * 10 + step)?;
        Ok(())
    }
    let steps: [Migration; 3] = [|write| mark(write, 1), |write| mark(write, 2), |write| mark(write, 3)];
    let fails: [Migration; 2] = [steps[0], |_| Err(redb::Error::Corrupted("made up".into()))];
    let place = Place::filled().await;
    let numbers = |database: &Database| {
        let meta = database.begin_read().unwrap().open_table(META).unwrap();
        let number = |key| meta.get(key).unwrap().map(|number| number.value());
        (number("format"), number("steps"))
    };
    let open = |first, steps: &[Migration]| {
        let file = File::options().read(true).write(true).open(&place.path).unwrap();
        format::opened(FileMedium(Arc::new(file)), &place.path, format::Pages::Unknown, first, steps)
    };
    assert!(matches!(open(1, &fails), Err(StoreError::Corrupt(_))));
    assert_eq!(numbers(&open(1, &[]).unwrap()), (Some(1), None));
    assert_eq!(numbers(&open(1, &steps[..2]).unwrap()), (Some(3), Some(12)));
    assert_eq!(numbers(&open(1, &steps).unwrap()), (Some(4), Some(123)));
    assert_eq!(numbers(&open(1, &steps).unwrap()), (Some(4), Some(123)), "once");
    assert!(place.refused().contains("ledger format 4"), "this tfcfs is the older one now");
    // The first format is forgotten some day: what is older still is not guessed at.
    assert!(matches!(open(5, &[]), Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn truncated_files_are_refused_untouched() {
    let place = Place::filled().await;
    let whole = fs::read(&place.path).unwrap();
    for len in [1, 9, 320, 4096, 5000, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        fs::write(&place.path, &whole[..len]).unwrap();
        place.refused();
    }
}

/// One flipped bit on each stretch of the file: refused, or without effect on what is read (free pages, and whatever
/// redb can prove whole by itself).
#[tokio::test]
async fn flipped_bits_are_refused_or_harmless() {
    let place = Place::filled().await;
    let whole = fs::read(&place.path).unwrap();
    let expected = RedbStore::open(&place.path).unwrap().load().await.unwrap();
    let mut refused = 0;
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    for at in used.iter().step_by(used.len() / 150 + 1) {
        let mut bad = whole.clone();
        bad[*at] ^= 0x10;
        fs::write(&place.path, &bad).unwrap();
        match RedbStore::open(&place.path) {
            Ok(store) => assert_eq!(store.load().await.unwrap(), expected, "byte {at}"),
            Err(error) => {
                assert!(matches!(error, StoreError::Corrupt(_)), "byte {at}: {error:?}");
                assert!(fs::read(&place.path).unwrap() == bad, "byte {at}: touched");
                refused += 1;
            }
        }
    }
    assert!(refused > 20, "only {refused} flips were found");
}

#[tokio::test]
async fn a_second_opener_is_told_so() {
    let place = Place::filled().await;
    let first = RedbStore::open(&place.path).unwrap();
    let StoreError::InUse(sentence) = RedbStore::open(&place.path).unwrap_err() else { panic!() };
    assert!(sentence.contains("another tfcfs uses this state directory"), "{sentence}");
    drop(first);
    RedbStore::open(&place.path).unwrap();
}

#[tokio::test]
async fn the_file_is_private_and_made_so() {
    let place = Place::filled().await;
    let mode = || fs::metadata(&place.path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o644)).unwrap();
    RedbStore::open(&place.path).unwrap();
    assert_eq!(mode(), 0o600);
}

#[test]
fn a_place_that_cannot_hold_a_ledger_is_named_with_a_way_out() {
    let directory = tempfile::tempdir().unwrap();
    for (path, hint) in
        [(directory.path().join("gone/ledger"), "create the state directory"), (directory.path().into(), "move")]
    {
        let StoreError::Unavailable(sentence) = RedbStore::open(&path).unwrap_err() else { panic!() };
        assert!(sentence.contains(hint) && sentence.contains(&path.display().to_string()), "{sentence}");
    }
}

/// A file whose disk fills up, and which counts what it is asked to make durable.
#[derive(Debug, Clone)]
struct Faulty {
    file: Arc<File>,
    full: Arc<AtomicBool>,
    syncs: Arc<AtomicUsize>,
}

impl Faulty {
    fn check(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        FileMedium(self.file.clone()).len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        FileMedium(self.file.clone()).read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        self.check()?;
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.file.write_all_at(data, offset)
    }
}

impl Faulty {
    fn new(path: &Path) -> Self {
        let file = Arc::new(OpenOptions::new().read(true).write(true).open(path).unwrap());
        Self { file, full: Arc::default(), syncs: Arc::default() }
    }

    fn store(&self, path: &Path) -> RedbStore {
        let (medium, name) = (self.clone(), path.to_owned());
        let open = move |_| {
            let database = Builder::new().create_with_backend(medium.clone());
            database.map_err(|e| sentences::explain(&name, e))
        };
        RedbStore::start(path, Box::new(open)).unwrap()
    }
}

#[tokio::test]
async fn a_full_disk_is_reported_and_forgiven() {
    let place = Place::filled().await;
    let medium = Faulty::new(&place.path);
    let store = medium.store(&place.path);
    medium.full.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let error = store.commit(put("lost", b"x")).await.unwrap_err();
        let StoreError::Unavailable(sentence) = error else { panic!("{error:?}") };
        assert!(sentence.contains("free some space"), "{sentence}");
    }
    medium.full.store(false, Ordering::SeqCst);
    let version = store.commit(put("kept", b"y")).await.unwrap();
    let records = store.load().await.unwrap();
    assert_eq!(records.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), ["a", "b", "c", "kept"]);
    assert_eq!(records[3].version, version);
    drop(store);
    assert_eq!(RedbStore::open(&place.path).unwrap().load().await.unwrap(), records);
}

#[tokio::test]
async fn a_ledger_that_lost_its_name_takes_no_more_records() {
    for replace in [false, true] {
        let place = Place::filled().await;
        let store = RedbStore::open(&place.path).unwrap();
        let copy = place.path.with_extension("copy");
        fs::copy(&place.path, &copy).unwrap();
        if replace {
            fs::rename(&copy, &place.path).unwrap()
        } else {
            fs::remove_file(&place.path).unwrap()
        }
        for _ in 0..2 {
            let StoreError::Unavailable(sentence) = store.commit(put("lost", b"x")).await.unwrap_err() else {
                panic!()
            };
            assert!(sentence.contains("removed or replaced") && sentence.contains("/proc/PID/fd"), "{sentence}");
        }
    }
}

#[tokio::test]
async fn making_durable_again_changes_nothing() {
    let place = Place::filled().await;
    let before = RedbStore::open(&place.path).unwrap().load().await.unwrap();
    let file = LedgerFile::open(&place.path).unwrap();
    let store = RedbStore::start(&place.path, Box::new(move |_| file.reopen())).unwrap();
    assert_eq!(store.load().await.unwrap(), before);
}

/// What waits while one commit is made durable shares the next one's `fsync`.
#[tokio::test]
async fn waiting_commits_share_one_sync() {
    let place = Place::filled().await;
    let medium = Faulty::new(&place.path);
    let store = Arc::new(medium.store(&place.path));
    medium.syncs.store(0, Ordering::SeqCst);
    let commits: Vec<_> = (0..200)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(put(&format!("k{n:03}"), b"v")).await.unwrap() })
        })
        .collect();
    let mut versions = Vec::new();
    for commit in commits {
        versions.push(commit.await.unwrap());
    }
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), 200, "each commit has a version of its own");
    let syncs = medium.syncs.load(Ordering::SeqCst);
    assert!((1..=40).contains(&syncs), "{syncs} syncs for 200 commits");
}

#[tokio::test]
async fn what_was_asked_for_is_done_before_the_store_is_gone() {
    let place = Place::filled().await;
    let store = RedbStore::open(&place.path).unwrap();
    let mut asked = Box::pin(store.commit(put("late", b"z")));
    tokio::select! {
        biased;
        _ = &mut asked => {}
        () = std::future::ready(()) => {}
    }
    drop(asked);
    drop(store);
    let records = RedbStore::open(&place.path).unwrap().load().await.unwrap();
    assert!(records.iter().any(|record| record.key == "late"));
}
