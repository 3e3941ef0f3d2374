//! Looking at a state without a daemon: every record opened, nothing written.

use super::rekey;
use super::{StateDirectory, StateError};
use crate::adapters::redb_store::Snapshot;
use crate::adapters::seal::Seal;
use crate::adapters::sealing_key::{FoundKey, Owners, SealingKeySettings};
use crate::domain::ledger::Stored;
use crate::domain::ports::{StoreError, Version};

/// A record as it was found.
#[derive(Debug)]
pub struct OpenedRecord {
    /// Its key.
    pub key: String,
    /// Of the commit that wrote it.
    pub version: Version,
    /// What it says, or why that cannot be said. A [`Stored`] has secrets in it: see what it shows.
    pub content: Result<Stored, StoreError>,
}

/// What is in a state.
#[derive(Debug)]
pub struct Inspection {
    /// Format of the file.
    pub format: u64,
    /// Version of the last commit.
    pub version: Version,
    /// The key that opened it, and where that is.
    pub key: FoundKey,
    /// Whether a rekey was interrupted: its new key lies beside the key.
    pub interrupted_rekey: bool,
    /// Every record, in key order.
    pub records: Vec<OpenedRecord>,
}

impl Inspection {
    /// How many records could not be opened.
    pub fn damaged(&self) -> usize {
        self.records.iter().filter(|record| record.content.is_err()).count()
    }
}

impl StateDirectory {
    /// Reads everything. No byte is written, not even a time of access by us: a read-only medium will do.
    ///
    /// # Errors
    /// [`StateError`]; a single record that is damaged is no error but part of the answer, a key that opens none is.
    pub fn inspect(&self, keys: &SealingKeySettings) -> Result<Inspection, StateError> {
        let snapshot = Snapshot::read(&self.existing_ledger()?)?;
        let found = keys.find(Owners::Any)?;
        let pending = rekey::pending(&found)?;
        let interrupted_rekey = pending.is_some();
        let key = rekey::the_one_that_fits(found, pending, &snapshot.records);
        let seal = Seal::new(&key.key);
        let mut unsealed = 0;
        let mut records = Vec::with_capacity(snapshot.records.len());
        for record in snapshot.records {
            let value = seal.unseal(&record.key, &record.value).map(zeroize::Zeroizing::new);
            unsealed += usize::from(value.is_ok());
            let content = value.and_then(|value| Stored::decode(&record.key, &value));
            records.push(OpenedRecord { key: record.key, version: record.version, content });
        }
        if unsealed == 0 && !records.is_empty() {
            return Err(rekey::wrong_key(&key, records.len()).into());
        }
        Ok(Inspection { format: Snapshot::FORMAT, version: snapshot.version, key, interrupted_rekey, records })
    }
}
