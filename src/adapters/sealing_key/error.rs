//! Why there is no key, and what to do.

use std::io;
use std::path::PathBuf;

use super::KEY_LEN;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SealingKeyError {
    /// A file cannot be read.
    #[error("the sealing key {} cannot be read: {error}; correct the path, its owner or its mode", .path.display())]
    Unreadable {
        /// The key file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Others may read it.
    #[error("the sealing key {path} can be read by others (mode {mode:04o}); run: chmod 600 {path}", path = .path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Somebody else could replace it.
    #[error(
        "the sealing key {path} belongs to uid {uid}, who could replace it; run tfcfs as that user, or chown it",
        path = .path.display()
    )]
    Foreign {
        /// The key file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// Not a key.
    #[error(
        "the sealing key {} must be {KEY_LEN} raw bytes or {} hex characters; make one with: openssl rand -hex {KEY_LEN}",
        .path.display(), 2 * KEY_LEN
    )]
    Malformed {
        /// The key file.
        path: PathBuf,
    },
    /// There is a ledger, but the key that sealed it is gone.
    #[error(
        "the ledger {} is there but its sealing key {} is not; restore the key, or move the ledger away and start with \
         an empty one (the tokens it recorded then live until their own end)", .ledger.display(), .path.display()
    )]
    Lost {
        /// Where the key should be.
        path: PathBuf,
        /// The ledger it sealed.
        ledger: PathBuf,
    },
    /// There is no key yet, and none is to be made.
    #[error("there is no sealing key {}; the first start of tfcfs makes one, or name another with --sealing-key", .path.display())]
    Missing {
        /// Where the key should be.
        path: PathBuf,
    },
    /// A new key cannot be made.
    #[error("a new sealing key cannot be written to {}: {error}; make the state directory writable", .path.display())]
    Generate {
        /// Where it should go.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}
