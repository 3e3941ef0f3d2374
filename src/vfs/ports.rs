//! What the tree needs from around it: the kernel's caches, facts about callers, the health of upstream.

use std::sync::Arc;

use async_trait::async_trait;

use super::doors::Secret;
use super::ino::Ino;
use crate::domain::anchor::Access;

/// The kernel side of the mount. Nothing here may be called with a lock held that a request handler takes
/// (fuse-nodes 4: breaking that deadlocks beyond kill -9).
#[async_trait]
pub trait Kernel: Send + Sync {
    /// Makes size and pages of a node true (fuse-nodes 0.5). Awaited before an OPEN is answered, never inline.
    async fn rewrite(&self, node: Ino, bytes: Arc<Secret>);

    /// Queues a change for the notification thread and returns at once.
    fn tell(&self, change: Change);
}

/// Something that the kernel, and through it the watchers, should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A name means another node now: announce a write to it (inotify), then drop the entry.
    Replaced {
        /// Path below the mount point, for the self-made write-open.
        path: String,
        /// Its directory.
        dir: Ino,
        /// The node that it was.
        node: Ino,
        /// Its name there.
        name: String,
    },
    /// A name is gone.
    Removed {
        /// Its directory.
        dir: Ino,
        /// The node that it was; `None` if the same node may come back under the name.
        node: Option<Ino>,
        /// Its name there.
        name: String,
    },
    /// The content of a node may not be read any more.
    Ended {
        /// The node.
        node: Ino,
    },
    /// Mode, owner or size changed.
    Attributes {
        /// The node.
        node: Ino,
    },
    /// Whoever polls these handles shall wake.
    Wake {
        /// The handles.
        handles: Vec<u64>,
    },
}

/// Whether a writer closed its file or was killed (fuse-nodes 8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It runs: it called `close`.
    Running,
    /// It exits without having closed.
    Exiting,
    /// A signal is killing it.
    Killed,
    /// Cannot be told (pid 0): treated as `close`.
    Unknown,
}

/// Facts about a calling thread. `tid` is the number in the request's header.
pub trait Callers: Send + Sync {
    /// Its cgroup; `None` when that cannot be told.
    fn unit(&self, tid: u32) -> Option<String>;
    /// The name of its program, as `ps -o comm` shows it; `None` when that cannot be told.
    fn program(&self, tid: u32) -> Option<String>;
    /// Its process; `None` when that cannot be told.
    fn process(&self, tid: u32) -> Option<u32>;
    /// The file of the program that it runs; `None` when that cannot be told. Not for a thread that serves the mount.
    fn exe(&self, tid: u32) -> Option<String> {
        let _ = tid;
        None
    }
    /// Whether it has that user id now: a number that was given to somebody else's thread meanwhile has another.
    fn runs_as(&self, tid: u32, uid: u32) -> bool {
        let _ = (tid, uid);
        true
    }
    /// How it stands while its FLUSH waits. **May block for as long as that FLUSH is not answered**: a thread in `execve`
    /// closes its files under a lock that this question needs. So it is asked with a deadline, from a thread of its own.
    fn exit(&self, tid: u32) -> Exit;
}

/// Last contact with an upstream, for `status` and `metrics`. Nothing secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether the last call got an answer; `None` before the first.
    pub reachable: Option<bool>,
    /// Since when no call succeeds; `None` while they do.
    pub failing_since: Option<jiff::Timestamp>,
    /// Since when it refuses the token that was asked about; `None` when that was accepted last, or never used.
    pub refused_since: Option<jiff::Timestamp>,
    /// Last answer.
    pub last_contact: Option<jiff::Timestamp>,
    /// Last failure, as a sentence.
    pub last_error: Option<String>,
    /// Calls by method and outcome since the start.
    pub calls: Vec<(String, String, u64)>,
    /// Version and name that the server gives.
    pub server: Option<String>,
    /// Its clock minus ours, to about a second.
    pub clock_offset: Option<jiff::SignedDuration>,
}

/// Knows the health of upstreams.
pub trait Upstreams: Send + Sync {
    /// Of one, as called with that token.
    fn health(&self, access: &Access) -> Health;
}

/// Knows whether the ledger can be written.
pub trait LedgerHealth: Send + Sync {
    /// Since when it cannot, and why; `None` when the last attempt succeeded.
    fn failing(&self) -> Option<(jiff::Timestamp, String)>;
}

/// Nothing known.
impl Upstreams for () {
    fn health(&self, _: &Access) -> Health {
        Health::default()
    }
}
