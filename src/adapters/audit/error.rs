//! Why a trail cannot be kept where the settings say.

use std::io;
use std::path::PathBuf;

/// Why a trail cannot be kept where the settings say; names what to do.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The directory is missing.
    #[error(
        "[audit] file {path}: its directory does not exist; make it: install -d -m 0700 {directory}",
        path = .path.display(), directory = .path.parent().unwrap_or(std::path::Path::new("/")).display()
    )]
    NoDirectory {
        /// The file.
        path: PathBuf,
    },
    /// A symbolic link could lead anywhere.
    #[error("[audit] file {path} is a symbolic link; name the file itself", path = .path.display())]
    Link {
        /// The file.
        path: PathBuf,
    },
    /// A directory, a pipe, a device.
    #[error(
        "[audit] file {path} is not a regular file; name one in a directory of its own, or write journald = true \
         instead of file",
        path = .path.display()
    )]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Others could change the record.
    #[error(
        "others can write to [audit] file {path} (mode {mode:04o}), so they could forge the record; run: chmod go-w \
         {path}",
        path = .path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Its owner could change the record.
    #[error(
        "[audit] file {path} belongs to uid {uid}, who could forge the record; chown it to root or to the user of tfcfs",
        path = .path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// Its lines would come back to us as writes.
    #[error("[audit] file {path} is inside the mount; name a place outside", path = .path.display())]
    InMount {
        /// The file.
        path: PathBuf,
    },
    /// The system says no.
    #[error("[audit] file {path} cannot be opened for appending: {error}; correct the path or its mode", path = .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// No journal.
    #[error(
        "[audit] journald = true, but {socket} cannot be reached: {error}; is systemd-journald running? Else leave \
         journald out and name a file",
        socket = .socket.display()
    )]
    NoJournal {
        /// Its socket.
        socket: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}
