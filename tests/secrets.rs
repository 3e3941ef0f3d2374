//! One planted token, searched for in every `Debug`, error, log line, control file and file of the state directory.

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};

use common::api::{ANCHOR, Fault};
use common::machine::{Machine, Options};
use common::{ManualClock, seconds};
use tfcfs::adapters::redb_store::{FILE_NAME, RedbStore};
use tfcfs::adapters::sealed_store::SealedStore;
use tfcfs::adapters::sealing_key::SealingKey;
use tfcfs::domain::ports::ApiErrorKind;

const TEAM: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\n";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Every token here has this in it.
fn is_clean(place: &str, text: &str) {
    assert!(!text.contains(".atlasv1."), "a secret in {place}");
}

#[tokio::test]
async fn no_secret_is_anywhere_but_behind_a_door() {
    let log = Log::default();
    let writer = log.clone();
    let _ = tracing_subscriber::fmt().with_env_filter("trace").with_writer(move || writer.clone()).try_init();
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let api = common::api::FakeApi::new(clock.clone());
    let key = SealingKey::from_bytes([7; 32]);
    let store = RedbStore::open(directory.path().join(FILE_NAME)).unwrap();
    let store = Arc::new(SealedStore::new(store, &key));
    let m = Machine::boot(clock, api, store, Options::default()).await;
    let config = format!("token = \"{ANCHOR}\"\n");
    m.write("config", &config).await.unwrap();
    m.write("roles/app", TEAM).await.unwrap();
    m.write("roles/slot", "organization = \"acme\"\n").await.unwrap();
    let held = m.open("creds/app/token").await.unwrap();
    assert!(m.read(&held).unwrap().contains(".atlasv1."), "the plant works");
    m.cat("creds/slot/token").await.unwrap();
    // Everything that fails, fails once.
    for kind in [ApiErrorKind::Unauthorized, ApiErrorKind::Remote, ApiErrorKind::Timeout, ApiErrorKind::Invalid] {
        m.api.script("create", [Fault::After(kind)]);
        let _ = m.write("rotate/app", "revoke").await;
        m.pass(seconds(11)).await;
    }
    let _ = m.write("config", "token = \"other.atlasv1.token with blanks\"\n").await;
    let _ = m.write("config", "token = \"other.atlasv1.refused\"\n").await;
    let _ = m.write("config", "tokn = \"other.atlasv1.typo\"\n").await;
    let _ = m.write("config", "token = other.atlasv1.unquoted blank\n").await;
    let _ = m.write("config", "{\"token\": \"other.atlasv1.json\", \"x\": }").await;
    let _ = m.write("roles/app", "description = \"other.atlasv1.role\nbogus").await;
    m.write("rotate/config", "\n").await.unwrap();
    for file in [
        "README",
        "config",
        "errors",
        "events",
        "status",
        "metrics",
        "revocations",
        "roles/app",
        "rotate/app",
        "rotate/config",
    ] {
        is_clean(file, &m.cat(file).await.unwrap());
    }
    for id in m.list("leases/app") {
        is_clean("leases", &m.cat(&format!("leases/app/{id}")).await.unwrap());
    }
    is_clean("Debug of the book", &format!("{:?}", m.issuer.book()));
    is_clean("Debug of pending", &format!("{:?}", m.issuer.pending()));
    let records = m.store.load().await.unwrap();
    is_clean("Debug of records", &format!("{records:?}"));
    assert!(
        records.iter().any(|record| String::from_utf8_lossy(&record.value).contains(".atlasv1.")),
        "sealed, not lost"
    );
    is_clean("the log", &String::from_utf8_lossy(&log.0.lock().unwrap()));
    assert!(!log.0.lock().unwrap().is_empty(), "the log was captured");
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        is_clean("the state directory", &String::from_utf8_lossy(&bytes));
    }
}
