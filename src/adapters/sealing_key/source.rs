//! Where the key is looked for: the first place that has one decides.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{CREDENTIAL, FILE_NAME, Owners, SealingKey, SealingKeyError};
use crate::adapters::{redb_store, whole_file};

/// Where to look for the key, in this order; the first place that has one decides.
#[derive(Debug, Clone, Default)]
pub struct SealingKeySettings {
    /// A key file named by an option or in the settings. If it is named, it must be good.
    pub key_file: Option<PathBuf>,
    /// `$CREDENTIALS_DIRECTORY`, of which the file [`CREDENTIAL`] is used if there is one.
    pub credentials_directory: Option<PathBuf>,
    /// State directory, whose [`FILE_NAME`] is used, and generated at first start.
    pub state_directory: PathBuf,
}

/// A place for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// A file that is ours to replace.
    File(PathBuf),
    /// A credential that systemd hands us; only whoever keeps it can replace it.
    Credential(PathBuf),
}

/// A key and where it was found.
#[derive(Debug, Clone)]
pub struct FoundKey {
    /// The key.
    pub key: SealingKey,
    /// Where it was.
    pub place: KeyPlace,
}

impl KeyPlace {
    /// The file itself if `path` is a symbolic link: the link stays, and whoever replaces the file finds what waits beside it.
    fn file(path: &Path) -> Self {
        Self::File(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Credential(path) => path,
        }
    }

    /// Where the successor of a key file waits while the ledger is sealed anew; `None` for what we cannot replace.
    pub fn pending(&self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(whole_file::beside(path, ".new")),
            Self::Credential(_) => None,
        }
    }
}

impl SealingKeySettings {
    /// Reads the key from the first place that has one, or makes one in the state directory, which must exist.
    ///
    /// # Errors
    /// [`SealingKeyError`]; a place that has a bad key is never passed over.
    pub fn load(&self) -> Result<FoundKey, SealingKeyError> {
        match self.find(Owners::Trusted) {
            Err(SealingKeyError::Missing { path }) => {
                Ok(FoundKey { key: SealingKey::generate(&path)?, place: KeyPlace::File(path) })
            }
            found => found,
        }
    }

    /// The same without making one.
    ///
    /// # Errors
    /// [`SealingKeyError`]; [`SealingKeyError::Missing`] if no place has one and nothing is sealed yet.
    pub fn find(&self, owners: Owners) -> Result<FoundKey, SealingKeyError> {
        if let Some(path) = &self.key_file {
            let key = SealingKey::read(path, owners)?;
            return Ok(FoundKey { key, place: KeyPlace::file(path) });
        }
        if let Some(directory) = &self.credentials_directory {
            let path = directory.join(CREDENTIAL);
            if let Some(key) = unless_missing(SealingKey::read_credential(&path))? {
                return Ok(FoundKey { key, place: KeyPlace::Credential(path) });
            }
        }
        let path = self.state_directory.join(FILE_NAME);
        if let Some(key) = unless_missing(SealingKey::read(&path, owners))? {
            return Ok(FoundKey { key, place: KeyPlace::file(&path) });
        }
        let ledger = self.state_directory.join(redb_store::FILE_NAME);
        if ledger.exists() {
            return Err(SealingKeyError::Lost { path, ledger });
        }
        Err(SealingKeyError::Missing { path })
    }
}

/// What was read; `None` if there is no such file.
pub(in crate::adapters) fn unless_missing(
    read: Result<SealingKey, SealingKeyError>,
) -> Result<Option<SealingKey>, SealingKeyError> {
    match read {
        Err(SealingKeyError::Unreadable { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}
