//! Another sealing key for a state, crash-safe at every step.
//!
//! ```text
//! 1. the new key is durable as KEY.new        opens with KEY
//! 2. the ledger is replaced, in one rename    opens with KEY.new, and whoever opens it does step 3
//! 3. KEY.new becomes KEY, in one rename       opens with KEY
//! ```
//!
//! The new ledger is a file of its own: nothing sealed with the old key is left in free pages. A key that is not ours to
//! replace (a systemd credential) needs step 2 only; its keeper puts the new one in its place.

use std::fs;
use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use super::{StateDirectory, StateError};
use crate::adapters::redb_store::{OfflineLedger, Snapshot};
use crate::adapters::seal::Seal;
use crate::adapters::sealing_key::{FoundKey, KeyPlace, Owners, SealingKey, SealingKeySettings, unless_missing};
use crate::adapters::whole_file;
use crate::domain::parallel::in_parts;
use crate::domain::ports::{Record, StoreError};

/// How a rekey ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rekeyed {
    /// Records sealed anew.
    pub records: usize,
    /// Where the new key is expected from now on.
    pub place: KeyPlace,
}

/// A rekey of which everything is known and nothing is written yet. The steps are to be taken in the order in which they
/// stand here. While this lives no daemon can open the state.
#[derive(Debug)]
pub struct Rekey {
    ledger: OfflineLedger,
    sealed: Snapshot,
    key: SealingKey,
    place: KeyPlace,
}

impl StateDirectory {
    /// Locks the state, finishes a rekey that was interrupted, opens every record and seals it anew in memory.
    ///
    /// `new`: the new key; a random one if left out.
    ///
    /// # Errors
    /// [`StateError`]; nothing was changed then.
    pub fn rekey(&self, keys: &SealingKeySettings, new: Option<SealingKey>) -> Result<Rekey, StateError> {
        let ledger = OfflineLedger::open(&self.existing_ledger()?)?;
        let snapshot = ledger.snapshot()?;
        let found = keys.find(Owners::Trusted)?;
        let (place, pending) = (found.place.clone(), pending(&found)?);
        let old = finish(the_one_that_fits(found, pending, &snapshot.records), place)?;
        if let (KeyPlace::Credential(path), None) = (&old.place, &new) {
            return Err(StateError::NotReplaceable { path: path.clone() });
        }
        let key = match new {
            Some(new) => new,
            None => SealingKey::random().map_err(|error| step("no new key can be made", error, UNCHANGED))?,
        };
        if key == old.key {
            return Err(StateError::SameKey);
        }
        let sealed = sealed_anew(snapshot, &old, &key)?;
        Ok(Rekey { ledger, sealed, key, place: old.place })
    }
}

const UNCHANGED: &str = "nothing was changed, the former key opens the state";

fn step(what: impl Into<String>, error: io::Error, state: impl Into<String>) -> StateError {
    StateError::Rekey { what: what.into(), error, state: state.into() }
}

fn sealed_anew(snapshot: Snapshot, old: &FoundKey, new: &SealingKey) -> Result<Snapshot, StateError> {
    let to = Seal::new(new);
    let mut records = open_all(old, snapshot.records)?;
    for record in &mut records {
        let value = Zeroizing::new(std::mem::take(&mut record.value));
        record.value = to.seal(&record.key, &value)?;
    }
    Ok(Snapshot { records, ..snapshot })
}

impl Rekey {
    /// All steps.
    ///
    /// # Errors
    /// [`StateError::Rekey`], which says which key opens the state now.
    pub fn run(mut self) -> Result<Rekeyed, StateError> {
        self.store_key()?;
        self.replace_ledger()?;
        self.install_key()
    }

    /// Step 1.
    ///
    /// # Errors
    /// See [`Self::run`].
    pub fn store_key(&mut self) -> Result<(), StateError> {
        let Some(path) = self.place.pending() else { return Ok(()) };
        let failed = |error| step(format!("the new key cannot be written to {}", path.display()), error, UNCHANGED);
        // Of a rekey that never came to its second step: it sealed nothing.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        whole_file::remove_drafts(&path).map_err(failed)?;
        self.key.create(&path).map_err(failed)
    }

    /// Step 2.
    ///
    /// # Errors
    /// See [`Self::run`].
    pub fn replace_ledger(&mut self) -> Result<(), StateError> {
        Ok(self.ledger.replace(&self.sealed)?)
    }

    /// Step 3.
    ///
    /// # Errors
    /// See [`Self::run`].
    pub fn install_key(self) -> Result<Rekeyed, StateError> {
        if let Some(pending) = self.place.pending() {
            install(&pending, self.place.path())?;
        }
        Ok(Rekeyed { records: self.sealed.records.len(), place: self.place })
    }
}

fn install(pending: &Path, path: &Path) -> Result<(), StateError> {
    whole_file::rename(pending, path).map_err(|error| {
        let (from, to) = (pending.display(), path.display());
        let state = format!("the ledger is sealed with {from} already: finish with: mv {from} {to}");
        step(format!("{from} cannot take the place of {to}"), error, state)
    })
}

/// The new key of a rekey that was interrupted, if there is one.
pub(super) fn pending(found: &FoundKey) -> Result<Option<FoundKey>, StateError> {
    let Some(path) = found.place.pending() else { return Ok(None) };
    let key = unless_missing(SealingKey::read(&path, Owners::Any))?;
    Ok(key.map(|key| FoundKey { key, place: KeyPlace::File(path) }))
}

/// Of the two keys of an interrupted rekey, the one that opens the records; the old one if neither or both do.
pub(super) fn the_one_that_fits(found: FoundKey, pending: Option<FoundKey>, records: &[Record]) -> FoundKey {
    match pending {
        Some(pending) if !fits(&found.key, records) && fits(&pending.key, records) => pending,
        _ => found,
    }
}

/// Does what an interrupted rekey has left to do: puts the key that fits in its `place`.
pub(super) fn finish(fitting: FoundKey, place: KeyPlace) -> Result<FoundKey, StateError> {
    if fitting.place != place {
        install(fitting.place.path(), place.path())?;
        tracing::warn!(key = %place.path().display(), "finished a rekey that was interrupted");
    }
    Ok(FoundKey { key: fitting.key, place })
}

/// The records with their values opened.
pub(super) fn open_all(found: &FoundKey, mut records: Vec<Record>) -> Result<Vec<Record>, StoreError> {
    let seal = Seal::new(&found.key);
    let parts = in_parts(&mut records, |part| {
        let (mut opened, mut damaged) = (0, None);
        for record in part {
            match seal.unseal(&record.key, &record.value) {
                Ok(value) => {
                    record.value = value;
                    opened += 1;
                }
                Err(error) => {
                    damaged.get_or_insert(error);
                }
            }
        }
        (opened, damaged)
    });
    let opened: usize = parts.iter().map(|(opened, _)| opened).sum();
    match parts.into_iter().find_map(|(_, damaged)| damaged) {
        None => Ok(records),
        Some(_) if opened == 0 => Err(wrong_key(found, records.len())),
        Some(error) => Err(error),
    }
}

/// Whether a key opens the first record; all are sealed with one key. A ledger without records fits any.
fn fits(key: &SealingKey, records: &[Record]) -> bool {
    let seal = Seal::new(key);
    records.first().is_none_or(|record| seal.unseal(&record.key, &record.value).is_ok())
}

pub(super) fn wrong_key(found: &FoundKey, records: usize) -> StoreError {
    StoreError::Corrupt(format!(
        "wrong sealing key: {} opens none of the {records} records; name the key that sealed this ledger with \
         --sealing-key, restore ledger and key from the same backup, or move the ledger away and start with an empty \
         one (the tokens it recorded then live until their own end)",
        found.place.path().display()
    ))
}
