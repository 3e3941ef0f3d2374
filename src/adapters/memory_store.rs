//! A ledger that lives as long as the process: for tests and `--ephemeral`.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::domain::ports::{Change, Record, Store, StoreError, Version};

/// A [`Store`] in a map. Values are wiped when they are replaced, removed or dropped.
#[derive(Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Default)]
struct State {
    version: Version,
    records: BTreeMap<String, (Version, Zeroizing<Vec<u8>>)>,
}

impl MemoryStore {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn load(&self) -> Result<Vec<Record>, StoreError> {
        let state = self.0.lock();
        Ok(state
            .records
            .iter()
            .map(|(key, (version, value))| Record { key: key.clone(), value: value.to_vec(), version: *version })
            .collect())
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Version, StoreError> {
        let mut state = self.0.lock();
        if !changes.iter().all(|c| c.expect.holds(state.records.get(&c.key).map(|(version, _)| *version))) {
            return Err(StoreError::Conflict);
        }
        let version = Version(state.version.0 + 1);
        state.version = version;
        for Change { key, value, .. } in changes {
            match value {
                Some(value) => state.records.insert(key, (version, Zeroizing::new(value))),
                None => state.records.remove(&key),
            };
        }
        Ok(version)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryStore({} records)", self.0.lock().records.len())
    }
}
