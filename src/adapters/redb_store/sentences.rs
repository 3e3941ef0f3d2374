//! What went wrong with a ledger's file, in words that name the file and a way out.

use std::io;
use std::path::Path;

use crate::domain::ports::StoreError;

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

pub(super) fn corrupt(path: &Path, cause: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "{path} is not a ledger of tfcfs, or is damaged ({cause}); it was left as it is: restore it from a backup, or \
         move it away and start with an empty ledger (the tokens it recorded then live until their own end)",
        path = path.display()
    ))
}

pub(super) fn newer(path: &Path, found: u64, known: u64) -> StoreError {
    StoreError::Corrupt(format!(
        "{path} was written by a newer tfcfs (ledger format {found}, this one knows up to {known}); run that \
         version, or move the file away and start with an empty ledger",
        path = path.display()
    ))
}

pub(super) fn in_use(path: &Path) -> StoreError {
    StoreError::InUse(format!(
        "another tfcfs uses this state directory ({path} is locked); stop that one, or give this one a state directory \
         of its own (--state)",
        path = path.display()
    ))
}

/// The kind of error for a file that has no name any more: what is written there is lost with the process.
pub(super) const REPLACED: io::ErrorKind = io::ErrorKind::StaleNetworkFileHandle;

pub(super) fn unavailable(path: &Path, error: &io::Error) -> StoreError {
    use io::ErrorKind::{IsADirectory, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let way_out = match error.kind() {
        NotFound => "create the state directory, or name another one with --state",
        PermissionDenied => "run tfcfs as the owner of the file, or correct owner and mode",
        ReadOnlyFilesystem => "make the filesystem writable, or name another state directory with --state",
        StorageFull | QuotaExceeded => "free some space; it goes on by itself then",
        IsADirectory => "move the directory away",
        REPLACED => {
            "while this tfcfs runs, its ledger is still among the files of /proc/PID/fd: copy it back, then restart tfcfs"
        }
        _ => "check the disk and the kernel log",
    };
    StoreError::Unavailable(format!("{}: {error}; {way_out}", path.display()))
}
