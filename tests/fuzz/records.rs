//! The records of a ledger once they are unsealed: a line `KEY VALUE` for each. What can be read is what a daemon starts with.

use std::sync::Arc;
use std::time::Duration;

use tfcfs::adapters::memory_store::MemoryStore;
use tfcfs::domain::ledger::{Entry, Ledger, Stored};
use tfcfs::domain::ports::{Change, Expect, Store};

use crate::common::ManualClock;
use crate::common::api::FakeApi;
use crate::common::machine::{Machine, Options};
use crate::properties::{planted, secretless, sentence};

pub fn target(input: &[u8]) {
    let mut records = Vec::new();
    for line in input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let at = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        // A store has no other keys than text.
        let Ok(key) = std::str::from_utf8(&line[..at]) else { continue };
        let written = line.get(at + 1..).unwrap_or_default();
        // Keys are not sealed, and no place for a secret.
        let value = planted(written);
        match Stored::decode(key, &value) {
            Err(error) => sentence(&error.to_string()),
            Ok(stored) => {
                if value == written {
                    secretless(&format!("{stored:?}"));
                }
                records.push((key.to_owned(), value, stored));
            }
        }
    }
    if records.is_empty() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        for (key, _, stored) in &records {
            reads_back(key, stored).await;
        }
        let store = Arc::new(MemoryStore::default());
        let change = |(key, value, _)| Change { key, expect: Expect::Any, value: Some(value) };
        store.commit(records.into_iter().map(change).collect()).await.unwrap();
        live(store).await;
    });
}

/// What was read, written and read again is the same.
async fn reads_back(key: &str, stored: &Stored) {
    let entry = match stored.clone() {
        Stored::Role(name, role) => Entry::Role(name, role),
        Stored::Anchor(anchor) => Entry::Anchor(anchor),
        Stored::AnchorToken(token) => Entry::AnchorToken(token),
        Stored::Team(key, id) => Entry::Team(key, id),
        Stored::Lease(lease) => Entry::Lease(lease),
        Stored::Linger(id, end) => Entry::Linger(id, Some(end)),
        Stored::End(id, end) => Entry::End(id, Some(end)),
        Stored::Number(name, number) => Entry::Number(name, number),
        Stored::Rotation(name, rotation) => Entry::Rotation(name, rotation),
        Stored::NextSerial(_) => return,
    };
    let store = Arc::new(MemoryStore::default());
    Ledger::new(store.clone()).write(vec![entry]).await.unwrap();
    let written = store.load().await.unwrap();
    let again = Stored::decode(&written[0].key, &written[0].value).unwrap();
    assert_eq!(format!("{again:?}"), format!("{stored:?}"), "{key}");
}

/// A daemon on these records: everything is looked at, opened and closed, and a day passes.
async fn live(store: Arc<MemoryStore>) {
    let clock = ManualClock::new();
    let api = FakeApi::new(clock.clone());
    if let Err(error) = Ledger::new(store.clone()).load().await {
        return sentence(&error.to_string());
    }
    let machine = Machine::boot(clock, api, store, Options::default()).await;
    machine.settle().await;
    look(&machine).await;
    for role in machine.list("creds") {
        if let Ok(opened) = machine.open(&format!("creds/{role}/token")).await {
            let _ = machine.read(&opened);
            machine.close(opened);
        }
    }
    for time in [Duration::from_secs(60), Duration::from_secs(86_400)] {
        machine.pass(time).await;
    }
    look(&machine).await;
}

/// All files that say something, and all names.
async fn look(machine: &Machine) {
    for directory in ["", "roles", "creds", "leases", "rotate"] {
        for name in machine.list(directory) {
            let path = format!("{directory}/{name}");
            if directory == "leases" {
                machine.list(&path);
            }
            if directory.is_empty() || directory == "roles" {
                let _ = machine.cat(&path).await;
            }
        }
    }
}
