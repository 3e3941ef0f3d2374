//! What every [`Store`] promises, run for each of them and for each way of stacking them.

#[path = "common/fail_nth_store.rs"]
mod fail_nth_store;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tfcfs::adapters::memory_store::MemoryStore;
use tfcfs::adapters::redb_store::{self, RedbStore};
use tfcfs::adapters::sealed_store::SealedStore;
use tfcfs::adapters::sealing_key::SealingKey;
use tfcfs::domain::ports::{Change, Expect, Record, Store, StoreError, Version};

use fail_nth_store::{FailNth, Failure};

/// Stands for a token; must be found nowhere on a disk.
const SECRET: &[u8] = b"hunter2.atlasv1.planted-secret";

fn change(key: &str, expect: Expect, value: Option<&[u8]>) -> Change {
    Change { key: key.into(), expect, value: value.map(<[u8]>::to_vec) }
}

fn set(key: &str, value: &[u8]) -> Vec<Change> {
    vec![change(key, Expect::Any, Some(value))]
}

fn record(key: &str, value: &[u8], version: Version) -> Record {
    Record { key: key.into(), value: value.to_vec(), version }
}

/// The contract.
async fn contract(store: Arc<dyn Store>) {
    expectations(&*store).await;
    all_or_nothing(&*store).await;
    order_and_sizes(&*store).await;
    increments(store.clone()).await;
    for record in store.load().await.unwrap() {
        store.commit(vec![change(&record.key, Expect::Version(record.version), None)]).await.unwrap();
    }
    assert_eq!(store.load().await.unwrap(), []);
}

async fn expectations(store: &dyn Store) {
    assert_eq!(store.load().await.unwrap(), []);
    let conflict = Err(StoreError::Conflict);
    let stale = Expect::Version(Version(1_000_000));
    assert_eq!(store.commit(vec![change("a", stale, Some(b"x"))]).await, conflict, "version of nothing");
    let first = store.commit(vec![change("a", Expect::Absent, Some(b"1"))]).await.unwrap();
    assert_eq!(store.load().await.unwrap(), [record("a", b"1", first)]);
    assert_eq!(store.commit(vec![change("a", Expect::Absent, Some(b"x"))]).await, conflict);
    assert_eq!(store.commit(vec![change("a", stale, Some(b"x"))]).await, conflict);
    assert_eq!(store.load().await.unwrap(), [record("a", b"1", first)]);
    let second = store.commit(vec![change("a", Expect::Version(first), Some(b"2"))]).await.unwrap();
    assert!(second > first);
    assert_eq!(store.commit(vec![change("a", Expect::Version(first), None)]).await, conflict, "an old version");
    let third = store.commit(set("a", b"3")).await.unwrap();
    assert_eq!(store.load().await.unwrap(), [record("a", b"3", third)]);
    store.commit(vec![change("a", Expect::Version(third), None)]).await.unwrap();
    assert_eq!(store.load().await.unwrap(), []);
    assert_eq!(store.commit(vec![change("a", Expect::Version(third), Some(b"x"))]).await, conflict, "it is removed");
    store.commit(vec![change("a", Expect::Any, None)]).await.unwrap();
    let again = store.commit(vec![change("a", Expect::Absent, Some(b"4"))]).await.unwrap();
    assert!(again > third, "a version is never used twice, not even for a record that comes back");
    store.commit(vec![change("a", Expect::Any, None)]).await.unwrap();
}

async fn all_or_nothing(store: &dyn Store) {
    let version = store.commit(set("kept", b"1")).await.unwrap();
    for bad in 0..3 {
        let mut changes = vec![
            change("new", Expect::Absent, Some(b"x")),
            change("kept", Expect::Version(version), None),
            change("other", Expect::Any, Some(b"x")),
        ];
        changes[bad].expect = Expect::Version(Version(1_000_000));
        assert_eq!(store.commit(changes).await, Err(StoreError::Conflict), "change {bad}");
        assert_eq!(store.load().await.unwrap(), [record("kept", b"1", version)], "change {bad}");
    }
    let both = store
        .commit(vec![
            change("new", Expect::Absent, Some(b"2")),
            change("kept", Expect::Version(version), Some(b"3")),
            change("gone", Expect::Absent, None),
        ])
        .await
        .unwrap();
    assert_eq!(store.load().await.unwrap(), [record("kept", b"3", both), record("new", b"2", both)]);
    store.commit(vec![change("kept", Expect::Any, None), change("new", Expect::Any, None)]).await.unwrap();
}

async fn order_and_sizes(store: &dyn Store) {
    let big: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[(n % 3) as usize]).collect();
    let sorted = ["a/1", "a/10", "a/2", "b", "é"];
    for key in ["b", "a/2", "é", "a/10", "a/1"] {
        store.commit(set(key, key.as_bytes())).await.unwrap();
    }
    let empty = store.commit(set("b", b"")).await.unwrap();
    let large = store.commit(set("a/2", &big)).await.unwrap();
    let records = store.load().await.unwrap();
    assert_eq!(records.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), sorted);
    assert!(records[2] == record("a/2", &big, large) && records[3] == record("b", b"", empty));
    store.commit(sorted.iter().map(|key| change(key, Expect::Any, None)).collect()).await.unwrap();
}

/// 200 tasks add one to the same number, each trying again when another was faster.
async fn increments(store: Arc<dyn Store>) {
    store.commit(set("count", b"0")).await.unwrap();
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                loop {
                    let found = store.load().await.unwrap().pop().unwrap();
                    let count: u32 = String::from_utf8(found.value).unwrap().parse().unwrap();
                    let next =
                        change("count", Expect::Version(found.version), Some((count + 1).to_string().as_bytes()));
                    match store.commit(vec![next]).await {
                        Ok(_) => return,
                        Err(error) => assert_eq!(error, StoreError::Conflict),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.load().await.unwrap()[0].value, b"200");
    store.commit(vec![change("count", Expect::Any, None)]).await.unwrap();
}

/// What a store on a disk promises beyond that. `open` opens the same ledger anew each time.
async fn durable_contract(open: impl Fn() -> Box<dyn Store>) {
    contract(open().into()).await;
    let (removed, kept) = {
        let store = open();
        let removed = store.commit(set("removed", b"1")).await.unwrap();
        let kept = store.commit(set("kept", b"2")).await.unwrap();
        store.commit(vec![change("removed", Expect::Any, None)]).await.unwrap();
        (removed, kept)
    };
    let store = open();
    assert_eq!(store.load().await.unwrap(), [record("kept", b"2", kept)], "it is there after a reopen");
    let back = store.commit(vec![change("removed", Expect::Absent, Some(b"3"))]).await.unwrap();
    assert!(back > kept && kept > removed, "versions go on growing");
    assert_eq!(store.commit(vec![change("removed", Expect::Version(removed), None)]).await, Err(StoreError::Conflict));
}

fn key(byte: u8) -> SealingKey {
    SealingKey::from_bytes([byte; 32])
}

struct State {
    directory: TempDir,
}

impl State {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn ledger(&self) -> PathBuf {
        self.directory.path().join(redb_store::FILE_NAME)
    }

    fn plain(&self) -> RedbStore {
        RedbStore::open(self.ledger()).unwrap()
    }

    fn sealed(&self, byte: u8) -> SealedStore<RedbStore> {
        SealedStore::new(self.plain(), &key(byte))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    contract(Arc::new(MemoryStore::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealed_memory() {
    contract(Arc::new(SealedStore::new(MemoryStore::new(), &key(1)))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb() {
    let state = State::new();
    durable_contract(|| Box::new(state.plain())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealed_redb() {
    let state = State::new();
    durable_contract(|| Box::new(state.sealed(1))).await;
}

#[tokio::test]
async fn one_opener_at_a_time() {
    let state = State::new();
    let first = state.plain();
    let StoreError::InUse(sentence) = RedbStore::open(state.ledger()).unwrap_err() else { panic!() };
    assert!(sentence.contains("another tfcfs uses this state directory") && sentence.contains("--state"), "{sentence}");
    drop(first);
    state.plain();
}

fn assert_wrong_key_or_damaged(loaded: Result<Vec<Record>, StoreError>) {
    let StoreError::Corrupt(sentence) = loaded.unwrap_err() else { panic!() };
    assert!(sentence.contains("wrong sealing key or damaged record"), "{sentence}");
    assert!(sentence.contains("restore") && !sentence.contains("hunter2"), "{sentence}");
}

#[tokio::test]
async fn the_wrong_key_opens_nothing_and_harms_nothing() {
    let state = State::new();
    let version = state.sealed(1).commit(set("k", SECRET)).await.unwrap();
    assert_wrong_key_or_damaged(state.sealed(2).load().await);
    assert_eq!(state.sealed(1).load().await.unwrap(), [record("k", SECRET, version)]);
}

#[tokio::test]
async fn swapped_and_unsealed_records_are_found() {
    let state = State::new();
    let sealed = state.sealed(1);
    sealed.commit(vec![change("a", Expect::Any, Some(b"1")), change("b", Expect::Any, Some(b"2"))]).await.unwrap();
    drop(sealed);
    let plain = state.plain();
    let below = plain.load().await.unwrap();
    let swapped =
        vec![change("a", Expect::Any, Some(&below[1].value)), change("b", Expect::Any, Some(&below[0].value))];
    plain.commit(swapped).await.unwrap();
    drop(plain);
    assert_wrong_key_or_damaged(state.sealed(1).load().await);

    state.plain().commit(vec![change("a", Expect::Any, None), change("b", Expect::Any, Some(b""))]).await.unwrap();
    assert_wrong_key_or_damaged(state.sealed(1).load().await);
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn holds(path: &Path, needle: &[u8]) -> bool {
    fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn no_file_holds_a_secret() {
    let state = State::new();
    let sealed = state.sealed(1);
    let long = SECRET.repeat(1000);
    for value in [SECRET, &long, SECRET] {
        sealed.commit(set("k", value)).await.unwrap();
    }
    let open: Vec<PathBuf> = files(state.directory.path());
    assert!(!open.iter().any(|file| holds(file, SECRET)), "while it is open");
    drop(sealed);
    let closed = files(state.directory.path());
    assert_eq!(closed.iter().map(|file| file.file_name().unwrap()).collect::<Vec<_>>(), [redb_store::FILE_NAME]);
    assert!(!holds(&closed[0], SECRET), "when it is closed");

    state.plain().commit(set("plain", SECRET)).await.unwrap();
    assert!(holds(&state.ledger(), SECRET), "the search finds what is there");
}

#[tokio::test]
async fn a_damaged_ledger_is_refused_and_left_alone() {
    let state = State::new();
    state.sealed(1).commit(set("k", SECRET)).await.unwrap();
    let whole = fs::read(state.ledger()).unwrap();
    for damaged in [&whole[..whole.len() / 2], &whole[..100], b"something else"] {
        fs::write(state.ledger(), damaged).unwrap();
        let StoreError::Corrupt(sentence) = RedbStore::open(state.ledger()).unwrap_err() else { panic!() };
        assert!(
            sentence.contains(redb_store::FILE_NAME) && sentence.contains("restore it from a backup"),
            "{sentence}"
        );
        assert!(fs::read(state.ledger()).unwrap() == damaged);
    }
    fs::write(state.ledger(), whole).unwrap();
    assert_eq!(state.sealed(1).load().await.unwrap().len(), 1);
}

/// The process is gone without closing anything: what `commit` answered is there, and the file opens.
#[tokio::test]
async fn a_copy_taken_at_any_commit_is_a_whole_ledger() {
    let (state, copy) = (State::new(), State::new());
    let store = state.sealed(1);
    for n in 0..20 {
        store.commit(set(&format!("k{n:02}"), &[n; 2000])).await.unwrap();
        fs::copy(state.ledger(), copy.ledger()).unwrap();
        assert_eq!(copy.sealed(1).load().await.unwrap(), store.load().await.unwrap(), "after commit {n}");
    }
}

#[tokio::test]
async fn the_failing_store_fails_where_it_should() {
    for (failure, effect, answers) in [
        (Failure::Before, false, true),
        (Failure::After, true, true),
        (Failure::Stop, false, false),
        (Failure::StopAfter, true, false),
    ] {
        let store = FailNth::new(MemoryStore::new(), 2, failure);
        store.commit(set("one", b"1")).await.unwrap();
        let second = at_once(store.commit(set("two", b"2"))).await;
        assert_eq!(second.map(|result| result.is_err()), answers.then_some(true), "{failure:?}");
        let third = at_once(store.commit(set("three", b"3"))).await;
        assert_eq!(third.map(|result| result.is_ok()), answers.then_some(true), "{failure:?}");
        let keys: Vec<String> = store.load().await.unwrap().into_iter().map(|record| record.key).collect();
        assert_eq!(keys.contains(&"two".into()), effect, "{failure:?}");
        assert_eq!((keys.contains(&"three".into()), store.commits()), (answers, 3), "{failure:?}");
    }
}

/// What a future answers without waiting for anything.
async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        answer = future => Some(answer),
        () = std::future::ready(()) => None,
    }
}
