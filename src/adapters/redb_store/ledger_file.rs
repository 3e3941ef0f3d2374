//! The ledger's file: made whole, locked, checked before it is touched, and opened.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Builder, Database, ReadableDatabase, StorageBackend, TableDefinition};

use super::medium::{FileMedium, Image};
use crate::adapters::whole_file;
use crate::domain::ports::StoreError;

/// Key -> version of the commit that wrote it, bytes.
pub(super) const RECORDS: TableDefinition<'static, &str, (u64, &[u8])> = TableDefinition::new("records");
/// [`FORMAT_KEY`] and [`VERSION_KEY`].
pub(super) const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
/// Version of the last commit.
pub(super) const VERSION_KEY: &str = "version";
const FORMAT_KEY: &str = "format";
/// The format written here. Raise it when an older tfcfs would misread what a newer one wrote.
pub(super) const FORMAT: u64 = 1;

/// Bytes of redb's page cache; a ledger is small and its pages are in the kernel's cache as well.
const CACHE: usize = 4 << 20;
/// Bytes rewritten at a time after a failure.
const PAGE: usize = 4096;

/// The locked file of a ledger.
#[derive(Debug)]
pub(super) struct LedgerFile {
    path: PathBuf,
    file: Arc<File>,
}

impl LedgerFile {
    /// Opens and locks `path`, after making an empty ledger there if nothing is.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let denied = |e: io::Error| unavailable(path, &e);
        let file = match open_existing(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                match whole_file::create(path, &empty_ledger(path)?) {
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(denied(e)),
                    _ => {}
                }
                open_existing(path)
            }
            opened => opened,
        }
        .map_err(denied)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path)),
            Err(TryLockError::Error(e)) => return Err(denied(e)),
        }
        Ok(Self { path: path.to_owned(), file: Arc::new(file) })
    }

    /// The database in it. Tried on a copy in memory first (opening may repair, that is: write), so that a file that
    /// cannot be used stays byte for byte what it was.
    ///
    /// `after_failure` makes durable again what the kernel may have dropped: after a failed `fsync` it shows us pages
    /// that are not on the disk and that no later `fsync` would write.
    pub(super) fn database(&self, after_failure: bool) -> Result<Database, StoreError> {
        let bytes = self.read().map_err(|e| unavailable(&self.path, &e))?;
        if bytes.is_empty() {
            return Err(corrupt(&self.path, "it is empty"));
        }
        if after_failure {
            self.rewrite(&bytes).map_err(|e| unavailable(&self.path, &e))?;
        }
        drop(checked(Image::new(bytes), &self.path)?);
        self.make_private().map_err(|e| unavailable(&self.path, &e))?;
        checked(FileMedium(self.file.clone()), &self.path)
    }

    fn make_private(&self) -> io::Result<()> {
        if self.file.metadata()?.mode() & 0o077 != 0 {
            self.file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
        Ok(())
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let len = usize::try_from(self.file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
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

fn open_existing(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Opens a database and verifies every page and the format record. Without the integrity check redb trusts a file that
/// was closed properly, and panics over a damaged one.
fn checked(medium: impl StorageBackend, path: &Path) -> Result<Database, StoreError> {
    let database = Builder::new()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(true)
        .create_with_backend(medium)
        .map_err(|e| explain(path, e))?;
    match format(&database).map_err(|e| explain(path, e))? {
        Some(FORMAT) => Ok(database),
        Some(newer) if newer > FORMAT => Err(StoreError::Corrupt(format!(
            "{path} was written by a newer tfcfs (ledger format {newer}, this one knows up to {FORMAT}); run that \
             version, or move the file away and start with an empty ledger",
            path = path.display()
        ))),
        _ => Err(corrupt(path, "it has no format number")),
    }
}

fn format(database: &Database) -> Result<Option<u64>, redb::Error> {
    let read = database.begin_read()?;
    read.open_table(RECORDS)?;
    let meta = read.open_table(META)?;
    if meta.get(VERSION_KEY)?.is_none() {
        return Ok(None);
    }
    Ok(meta.get(FORMAT_KEY)?.map(|format| format.value()))
}

/// The bytes of a ledger without records.
fn empty_ledger(path: &Path) -> Result<Vec<u8>, StoreError> {
    let image = Image::default();
    let make = || -> Result<(), redb::Error> {
        let database = Builder::new().create_with_backend(image.clone())?;
        let write = database.begin_write()?;
        write.open_table(RECORDS)?;
        {
            let mut meta = write.open_table(META)?;
            meta.insert(FORMAT_KEY, FORMAT)?;
            meta.insert(VERSION_KEY, 0)?;
        }
        write.commit()?;
        database.close()?;
        Ok(())
    };
    make().map_err(|e| explain(path, e))?;
    Ok(image.take())
}

/// Puts a failure of redb into our words.
pub(super) fn explain(path: &Path, error: impl Into<redb::Error>) -> StoreError {
    use redb::Error;
    match error.into() {
        Error::DatabaseAlreadyOpen => in_use(path),
        Error::Io(e) if !matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            unavailable(path, &e)
        }
        Error::PreviousIo => unavailable(path, &io::Error::other("an earlier write failed")),
        other => corrupt(path, &other.to_string()),
    }
}

fn corrupt(path: &Path, cause: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "{path} is not a ledger of tfcfs, or is damaged ({cause}); it was left as it is: restore it from a backup, or \
         move it away and start with an empty ledger (the tokens it recorded then live until their own end)",
        path = path.display()
    ))
}

fn in_use(path: &Path) -> StoreError {
    StoreError::Unavailable(format!(
        "another tfcfs uses this state directory ({path} is locked); stop that one, or give this one a state directory \
         of its own (--state)",
        path = path.display()
    ))
}

fn unavailable(path: &Path, error: &io::Error) -> StoreError {
    use io::ErrorKind::{IsADirectory, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let way_out = match error.kind() {
        NotFound => "create the state directory, or name another one with --state",
        PermissionDenied => "run tfcfs as the owner of the file, or correct owner and mode",
        ReadOnlyFilesystem => "make the filesystem writable, or name another state directory with --state",
        StorageFull | QuotaExceeded => "free some space; it goes on by itself then",
        IsADirectory => "move the directory away",
        _ => "check the disk and the kernel log",
    };
    StoreError::Unavailable(format!("{}: {error}; {way_out}", path.display()))
}
