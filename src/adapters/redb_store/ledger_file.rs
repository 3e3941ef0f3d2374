//! The ledger's file: made whole, locked, checked before it is touched, and opened.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, StorageBackend};

use super::format::{checked, image_of, known};
use super::medium::{FileMedium, Overlay};
use super::sentences::{corrupt, in_use, unavailable};
use super::snapshot::Snapshot;
use crate::adapters::whole_file;
use crate::domain::ports::StoreError;

/// Bytes rewritten at a time after a failure.
const PAGE: usize = 4096;

/// Against whom a ledger is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// Everybody else.
    Exclusive,
    /// Whoever would write.
    Shared,
}

/// The locked file of a ledger.
#[derive(Debug)]
pub(super) struct LedgerFile {
    path: PathBuf,
    file: Arc<File>,
}

impl LedgerFile {
    /// Opens and locks `path`, after making an empty ledger there if nothing is.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        Self::lock(path, Lock::Exclusive, || match open_writable(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                match whole_file::create(path, &image_of(&Snapshot::default(), path)?) {
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(unavailable(path, &e)),
                    _ => {}
                }
                open_writable(path).map_err(|e| unavailable(path, &e))
            }
            opened => opened.map_err(|e| unavailable(path, &e)),
        })
    }

    /// Opens and locks a ledger that must be there. With [`Lock::Shared`] the medium may be read-only.
    pub(super) fn existing(path: &Path, lock: Lock) -> Result<Self, StoreError> {
        Self::lock(path, lock, || {
            let opened = if lock == Lock::Shared { File::open(path) } else { open_writable(path) };
            opened.map_err(|e| unavailable(path, &e))
        })
    }

    fn lock(path: &Path, lock: Lock, open: impl Fn() -> Result<File, StoreError>) -> Result<Self, StoreError> {
        loop {
            let file = open()?;
            let locked = if lock == Lock::Shared { file.try_lock_shared() } else { file.try_lock() };
            match locked {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(in_use(path)),
                Err(TryLockError::Error(e)) => return Err(unavailable(path, &e)),
            }
            // A rekey may have replaced it between the open and the lock: what is locked then has no name.
            if has_name(&file, path).map_err(|e| unavailable(path, &e))? {
                return Ok(Self { path: path.to_owned(), file: Arc::new(file) });
            }
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The database, checked, of which nothing that is written reaches the file: opening may repair or migrate, that is
    /// write, so a file is tried this way first, and one that cannot be used stays byte for byte what it was.
    pub(super) fn image(&self) -> Result<Database, StoreError> {
        let overlay = Overlay::new(self.file.clone()).map_err(|e| unavailable(&self.path, &e))?;
        match overlay.len() {
            Ok(0) => Err(corrupt(&self.path, "it is empty")),
            _ => checked(overlay, &self.path),
        }
    }

    /// The database in it, once its [`Self::image`] was found good.
    pub(super) fn database(&self) -> Result<Database, StoreError> {
        self.make_private().map_err(|e| unavailable(&self.path, &e))?;
        known(FileMedium(self.file.clone()), &self.path)
    }

    /// The database after a failure, when the kernel may have dropped what it had: after a failed `fsync` it shows us pages
    /// that are not on the disk and that no later `fsync` would write. So all is made durable anew.
    pub(super) fn reopen(&self) -> Result<Database, StoreError> {
        self.rewrite(&self.read()?).map_err(|e| unavailable(&self.path, &e))?;
        drop(self.image()?);
        self.database()
    }

    fn make_private(&self) -> io::Result<()> {
        if self.file.metadata()?.mode() & 0o077 != 0 {
            self.file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
        Ok(())
    }

    fn read(&self) -> Result<Vec<u8>, StoreError> {
        let read = || -> io::Result<Vec<u8>> {
            let len = usize::try_from(self.file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
            let mut bytes = vec![0; len];
            self.file.read_exact_at(&mut bytes, 0)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) if bytes.is_empty() => Err(corrupt(&self.path, "it is empty")),
            Ok(bytes) => Ok(bytes),
            Err(e) => Err(unavailable(&self.path, &e)),
        }
    }

    fn rewrite(&self, bytes: &[u8]) -> io::Result<()> {
        for (index, page) in bytes.chunks(PAGE).enumerate() {
            // Zeros may be a hole, and filling holes takes space that a full disk has not got.
            if page.iter().any(|byte| *byte != 0) {
                self.file.write_all_at(page, (index * PAGE) as u64)?;
            }
        }
        self.file.sync_all()
    }
}

fn open_writable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Whether `path` still names this file.
fn has_name(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (opened.dev(), opened.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
