//! Why a state directory cannot be used, and what to do.

use std::io;
use std::path::PathBuf;

use crate::adapters::sealing_key::SealingKeyError;
use crate::domain::ports::StoreError;

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made.
    #[error("the state directory {} cannot be made: {error}; name another with --state, or keep nothing with --ephemeral", .path.display())]
    Make {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is not there, or is no directory.
    #[error("the state directory {} cannot be used: {error}; name the one that tfcfs mount uses with --state", .path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Nothing was ever kept in it.
    #[error("there is no ledger in {}; name the state directory that tfcfs mount uses with --state", .path.display())]
    NoLedger {
        /// The directory.
        path: PathBuf,
    },
    /// Others may create and remove files in it.
    #[error(
        "others can write to the state directory {path} (mode {mode:04o}), so they could replace ledger and key; run: \
         chmod go-w {path}, or name a directory below it with --state",
        path = .path.display()
    )]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Somebody else owns it.
    #[error(
        "the state directory {path} belongs to uid {uid}, who could replace ledger and key; run tfcfs as that user, or \
         chown it",
        path = .path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// The key is not usable.
    #[error(transparent)]
    Key(#[from] SealingKeyError),
    /// The ledger is not usable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new key is the old one.
    #[error("the new sealing key is the one in use; nothing was changed: make another with: openssl rand -hex 32")]
    SameKey,
    /// Where the key is, we cannot put another.
    #[error(
        "the sealing key is the credential {path}, which tfcfs cannot replace; make a new one (openssl rand -hex 32), \
         name it with --new-key, and put it into the credential afterwards",
        path = .path.display()
    )]
    NotReplaceable {
        /// The credential.
        path: PathBuf,
    },
    /// A step of a rekey failed.
    #[error("{what}: {error}; {state}")]
    Rekey {
        /// Which step.
        what: String,
        /// What the system says.
        error: io::Error,
        /// How things stand, and what to do.
        state: String,
    },
}
