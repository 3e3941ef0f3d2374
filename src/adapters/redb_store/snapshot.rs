//! A ledger as a whole, read without a running store: for the commands that work on the state directory.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::format::{self, META, RECORDS, VERSION_KEY};
use super::ledger_file::{LedgerFile, Lock};
use super::sentences::explain;
use crate::adapters::whole_file::{self, Draft};
use crate::domain::ports::{Record, StoreError, Version};

/// All records of a ledger, values as they are stored (sealed).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Version of the last commit.
    pub version: Version,
    /// The records in key order.
    pub records: Vec<Record>,
}

impl Snapshot {
    /// The ledger's format, as far as this program writes it: what was read is in this format or was migrated in memory.
    pub const FORMAT: u64 = format::FORMAT;

    /// Reads and checks an existing ledger, of which not one byte is written: works on a read-only copy as well.
    ///
    /// # Errors
    /// As [`super::RedbStore::open`]; [`StoreError::Unavailable`] too if there is none.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        of(&LedgerFile::existing(path, Lock::Shared)?.image()?, path)
    }
}

/// An existing ledger that nobody else can open while this lives, to be replaced as a whole.
#[derive(Debug)]
pub struct OfflineLedger {
    file: LedgerFile,
    /// The one that took its place, locked before it got the name.
    successor: Option<Draft>,
}

impl OfflineLedger {
    /// Opens and locks it. Nothing is written.
    ///
    /// # Errors
    /// As [`super::RedbStore::open`]; [`StoreError::Unavailable`] too if there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { file: LedgerFile::existing(path, Lock::Exclusive)?, successor: None })
    }

    /// What is in it, checked.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for a foreign, damaged or newer file.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        of(&self.file.image()?, self.file.path())
    }

    /// Puts a ledger with these records in its place, in one step: a crash leaves one or the other, whole and durable.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the medium says no; then the former one stands.
    pub fn replace(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let path = self.file.path().to_owned();
        let bytes = format::image_of(snapshot, &path)?;
        let failed = |e: std::io::Error| super::sentences::unavailable(&path, &e);
        // This ledger is locked, so nobody else is writing one.
        whole_file::remove_drafts(&path).map_err(failed)?;
        let mut draft = Draft::write(&path, &bytes).map_err(failed)?;
        draft.lock().map_err(failed)?;
        draft.replace().map_err(failed)?;
        self.successor = Some(draft);
        Ok(())
    }
}

/// What is in a database.
pub(super) fn of(database: &Database, path: &Path) -> Result<Snapshot, StoreError> {
    let read = || -> Result<Snapshot, redb::Error> {
        let version = database.begin_read()?.open_table(META)?.get(VERSION_KEY)?.map_or(0, |version| version.value());
        Ok(Snapshot { version: Version(version), records: load(database)? })
    };
    read().map_err(|e| explain(path, e))
}

/// All records in key order.
pub(super) fn load(database: &Database) -> Result<Vec<Record>, redb::Error> {
    let records = database.begin_read()?.open_table(RECORDS)?;
    let mut loaded = Vec::with_capacity(usize::try_from(records.len()?).unwrap_or_default());
    for entry in records.iter()? {
        let (key, value) = entry?;
        let (version, bytes) = value.value();
        loaded.push(Record { key: key.value().to_owned(), value: bytes.to_vec(), version: Version(version) });
    }
    Ok(loaded)
}
