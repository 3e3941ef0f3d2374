//! The meaning of the files: lookup, getattr, open, read, write in our own types. Knows no fuser.
//!
//! Rules that every method keeps (fuse-nodes 4): LOOKUP, GETATTR, READ, READDIR, RELEASE and FORGET answer at once,
//! call nobody and touch no disk. Only OPEN, WRITE, FLUSH, UNLINK, RENAME and SETATTR may have to wait; they return
//! [`Reply::Later`] then, with a deadline inside.

mod acting;
mod audit;
mod changing;
mod control;
mod creds;
mod door_table;
mod doors;
mod drafts;
mod errno;
mod error_id;
mod events;
mod handles;
mod ino;
mod journal;
mod metrics;
mod opens;
mod ports;
mod record;
mod revocations;
mod tree;
mod writing;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::document::Accounts;
use crate::domain::error::Error;
use crate::domain::event::{Event, Observer};
use crate::domain::issuer::Issuer;
use crate::domain::lease::{Opener, Serial};

pub use audit::{AuditEntry, AuditHealth, Auditor, DestinationHealth, Subject, TokenFacts, Who};
pub use doors::{Secret, env_name};
pub use errno::{Errno, errno};
pub use error_id::ErrorId;
pub use handles::{HandleKind, HandleRecord, HandleTable};
pub use ino::{Door, Fixed, Ino, Node};
pub use ports::{Callers, Change, Exit, Health, Kernel, LedgerHealth, Upstreams};
pub use tree::{Attr, DirEntry, Entry, Kind, SetAttr};
pub use writing::Created;

/// What the tree is told about the daemon.
#[derive(Debug, Clone)]
pub struct VfsSettings {
    /// Owner of the tree.
    pub uid: u32,
    /// Group of the tree.
    pub gid: u32,
    /// Mode of the files in `creds/` unless a role says otherwise.
    pub mode: u16,
    /// Longest wait of an open that mints.
    pub open_deadline: Duration,
    /// Longest wait of a rotation.
    pub rotate_deadline: Duration,
    /// Longest wait of all else.
    pub deadline: Duration,
    /// Names of programs that may open nothing in `creds/`: indexers, which would make tokens and keep them. A program
    /// chooses its name, so this keeps the clumsy out and nobody else.
    pub deny_programs: Vec<String>,
    /// Version shown in `status`.
    pub version: &'static str,
}

/// Who asks: from the header of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Thread id in the mounter's pid namespace; 0 = unknown.
    pub tid: u32,
}

impl Caller {
    fn opener(self) -> Opener {
        Opener { uid: self.uid, gid: self.gid }
    }
}

/// An errno for the kernel, and whether `errors` has a line for it.
pub type Result<T> = std::result::Result<T, Errno>;

/// An answer now or later.
pub enum Reply<T> {
    /// At hand: answered on the thread that asked.
    Now(Result<T>),
    /// Must wait: answered from a task.
    Later(Pin<Box<dyn Future<Output = Result<T>> + Send>>),
}

impl<T> Reply<T> {
    fn later(future: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }

    /// Waits for it, whichever it is.
    pub async fn wait(self) -> Result<T> {
        match self {
            Self::Now(result) => result,
            Self::Later(future) => future.await,
        }
    }
}

/// How the kernel shall treat an open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Its handle.
    pub handle: u64,
    /// Bypass the page cache.
    pub direct: bool,
    /// Keep the pages that are cached.
    pub keep_cache: bool,
    /// No FLUSH at close.
    pub no_flush: bool,
}

/// The tree.
pub struct Vfs {
    me: Weak<Vfs>,
    issuer: Arc<Issuer>,
    kernel: OnceLock<Arc<dyn Kernel>>,
    callers: Arc<dyn Callers>,
    upstreams: Arc<dyn Upstreams>,
    accounts: Arc<dyn Accounts>,
    settings: VfsSettings,
    errors: journal::ErrorLog,
    events: journal::EventLog,
    counters: metrics::Counters,
    opens: opens::Opens,
    doors: door_table::DoorTable,
    drafts: drafts::Drafts,
    snapshots: control::Snapshots,
    trail: record::Trail,
    inherited: handles::Inherited,
    ledger: OnceLock<Arc<dyn LedgerHealth>>,
    started_at: Timestamp,
    /// Serials from here on were given out by this daemon.
    first_serial: Serial,
    /// The thread whose write-opens are announcements (fuse-nodes 7).
    announcer: std::sync::atomic::AtomicU32,
}

impl Vfs {
    /// The tree over an issuer.
    ///
    /// # Errors
    /// No serial left for the handles.
    pub fn new(
        issuer: Arc<Issuer>,
        callers: Arc<dyn Callers>,
        upstreams: Arc<dyn Upstreams>,
        accounts: Arc<dyn Accounts>,
        settings: VfsSettings,
    ) -> std::result::Result<Arc<Self>, Error> {
        let first_serial = issuer.book().take_serial()?;
        let started_at = issuer.now();
        Ok(Arc::new_cyclic(|me| Self {
            me: me.clone(),
            issuer,
            kernel: OnceLock::new(),
            callers,
            upstreams,
            accounts,
            settings,
            errors: journal::ErrorLog::default(),
            events: journal::EventLog::default(),
            counters: metrics::Counters::default(),
            opens: opens::Opens::new(first_serial),
            doors: door_table::DoorTable::default(),
            drafts: drafts::Drafts::default(),
            snapshots: control::Snapshots::default(),
            trail: record::Trail::default(),
            inherited: handles::Inherited::default(),
            ledger: OnceLock::new(),
            started_at,
            first_serial,
            announcer: std::sync::atomic::AtomicU32::new(0),
        }))
    }

    /// Connects the kernel side once the mount exists.
    pub fn attach(&self, kernel: Arc<dyn Kernel>) {
        let _ = self.kernel.set(kernel);
    }

    /// From now on `status` tells whether the ledger can be written.
    pub fn watch_ledger(&self, ledger: Arc<dyn LedgerHealth>) {
        let _ = self.ledger.set(ledger);
    }

    /// Names the thread whose write-opens of doors are announcements.
    pub fn set_announcer(&self, tid: u32) {
        self.announcer.store(tid, std::sync::atomic::Ordering::Release);
    }

    fn is_announcer(&self, caller: Caller) -> bool {
        let announcer = self.announcer.load(std::sync::atomic::Ordering::Acquire);
        caller.tid != 0 && caller.tid == announcer
    }

    /// The issuer behind it.
    pub fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }

    fn me(&self) -> Arc<Self> {
        self.me.upgrade().unwrap_or_else(|| unreachable!("a method runs on a living value"))
    }

    fn tell(&self, change: Change) {
        if let Some(kernel) = self.kernel.get() {
            kernel.tell(change);
        }
    }

    /// A line in `errors` about something that nobody waits for.
    pub fn note_error(&self, what: &str, error: &Error) {
        self.fail(Caller { uid: self.settings.uid, gid: self.settings.gid, tid: 0 }, what, error);
    }

    /// Turns an error into an errno, with a line in `errors`.
    fn fail(&self, caller: Caller, path: &str, error: &Error) -> Errno {
        self.refuse(caller, path, errno(error).0, &error.to_string())
    }

    /// The same for what only the tree knows.
    fn refuse(&self, caller: Caller, path: &str, errno: i32, sentence: &str) -> Errno {
        let (errno, id) = (Errno(errno), ErrorId::new());
        self.counters.error(errno);
        self.errors.add(self.issuer.now(), id, caller.uid, path, errno, sentence);
        self.audit_denied(caller, id, path, errno, sentence);
        errno
    }
}

/// Passes events to a tree that is built after its issuer.
#[derive(Default)]
pub struct Relay(OnceLock<Weak<Vfs>>);

impl Relay {
    /// From now on events reach `vfs`.
    pub fn connect(&self, vfs: &Arc<Vfs>) {
        let _ = self.0.set(Arc::downgrade(vfs));
    }
}

impl Observer for Relay {
    fn observe(&self, at: Timestamp, event: &Event) {
        if let Some(vfs) = self.0.get().and_then(Weak::upgrade) {
            vfs.happened(at, event);
        }
    }
}
