//! A state directory: the ledger and, unless it is kept elsewhere, its sealing key.
//!
//! [`inspect`] looks at it without a daemon, [`rekey`] gives it another key.

mod error;
mod inspect;
mod rekey;

use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

pub use self::error::StateError;
pub use self::inspect::{Inspection, OpenedRecord};
pub use self::rekey::{Rekey, Rekeyed};
use super::private_path::{WRITE_BY_OTHERS, foreign_owner, too_open};
use super::redb_store::{self, RedbStore};
use super::sealed_store::SealedStore;
use super::sealing_key::{Owners, SealingKeySettings};

/// A directory that was found fit to hold a state.
#[derive(Debug, Clone)]
pub struct StateDirectory(PathBuf);

impl StateDirectory {
    /// For the daemon: made (mode 0700) if it is missing.
    ///
    /// # Errors
    /// [`StateError`] if it cannot be made, or if others could change what is in it.
    pub fn prepare(path: &Path) -> Result<Self, StateError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| StateError::Make { path: path.to_owned(), error })?;
        Self::existing(path, Owners::Trusted)
    }

    /// One that is there.
    ///
    /// # Errors
    /// [`StateError`] if it is not, or if others could change what is in it.
    pub fn existing(path: &Path, owners: Owners) -> Result<Self, StateError> {
        let unusable = |error| StateError::Unusable { path: path.to_owned(), error };
        let metadata = std::fs::metadata(path).map_err(unusable)?;
        if !metadata.is_dir() {
            return Err(unusable(io::ErrorKind::NotADirectory.into()));
        }
        refuse_strangers(path, &metadata, owners)?;
        Ok(Self(path.to_owned()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where its ledger is.
    pub fn ledger(&self) -> PathBuf {
        self.0.join(redb_store::FILE_NAME)
    }

    /// Where its ledger is, if there is one.
    fn existing_ledger(&self) -> Result<PathBuf, StateError> {
        match self.ledger() {
            path if path.exists() => Ok(path),
            _ => Err(StateError::NoLedger { path: self.0.clone() }),
        }
    }

    /// Opens the ledger for a daemon, and finishes a rekey that was interrupted. `keys` names this directory.
    ///
    /// # Errors
    /// [`StateError`]; no byte of a ledger was written then.
    pub fn open(&self, keys: &SealingKeySettings) -> Result<SealedStore<RedbStore>, StateError> {
        let found = keys.load()?;
        let pending = rekey::pending(&found)?;
        let place = found.place.clone();
        let (store, (fitting, records)) = RedbStore::open_verified(self.ledger(), |records| {
            let fitting = rekey::the_one_that_fits(found, pending, &records);
            let records = rekey::open_all(&fitting, records)?;
            Ok((fitting, records))
        })?;
        Ok(SealedStore::loaded(store, &rekey::finish(fitting, place)?.key, records))
    }
}

fn refuse_strangers(path: &Path, metadata: &Metadata, owners: Owners) -> Result<(), StateError> {
    if let Some(mode) = too_open(metadata, WRITE_BY_OTHERS) {
        return Err(StateError::Exposed { path: path.to_owned(), mode });
    }
    match foreign_owner(metadata) {
        Some(uid) if owners == Owners::Trusted => Err(StateError::Foreign { path: path.to_owned(), uid }),
        _ => Ok(()),
    }
}
