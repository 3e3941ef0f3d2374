//! Open files that outlive the daemon: what the next one must know of them to go on where this one stopped.
//!
//! The kernel keeps a file open, with the number we gave it, whoever serves the mount. The table that says what the numbers
//! mean belongs to the connection, not to the process and not to the disk (see [`HandleTable`]): no content is in it and
//! nothing secret, for the ledger has the tokens. What is written is written before the kernel hears of it, so that a
//! request whose answer got lost, and which the kernel sends again, finds what was done.

use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::doors::{self, Secret};
use super::ino::{Door, Ino, Node};
use super::opens::Open;
use super::{Opened, Vfs};
use crate::domain::lease::Serial;

/// An open file, for the next daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandleRecord {
    /// Its number.
    pub handle: u64,
    /// What was opened.
    pub node: Ino,
    /// What it is.
    pub kind: HandleKind,
    /// The request that opened it; 0 once its answer has surely arrived.
    pub opened_by: u64,
    /// The kernel's number for whoever polls it.
    pub poll: Option<u64>,
}

/// What an open file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandleKind {
    /// A credential file.
    Door {
        /// The lease it holds.
        lease: Serial,
        /// It reads past the page cache.
        direct: bool,
    },
    /// A text as it was at open.
    Text {
        /// Its length in bytes.
        size: u64,
    },
    /// The growing list of events.
    Events,
    /// A document being written, which is lost with the process.
    Draft,
}

/// Where records are kept while the connection lives. Called for each open and close: fast, and never waits.
pub trait HandleTable: Send + Sync {
    /// Keeps a record, in place of the one with its number.
    fn put(&self, record: &HandleRecord);
    /// Notes who polls it.
    fn set_poll(&self, handle: u64, poll: u64);
    /// Drops a record.
    fn remove(&self, handle: u64);
}

/// The table, and what was taken over with it.
#[derive(Default)]
pub(super) struct Inherited {
    table: std::sync::OnceLock<Arc<dyn HandleTable>>,
    /// Handles by the request that opened them: the kernel may not have heard of them yet.
    unanswered: Mutex<FxHashMap<u64, u64>>,
}

impl Vfs {
    /// Keeps open files in `table` from now on, and goes on with those that it has: `records`. Called before anything is
    /// served. The leases were told before ([`Book::take_over`](crate::domain::book::Book::take_over)).
    pub fn take_over(&self, table: Arc<dyn HandleTable>, records: &[HandleRecord]) {
        let mut rendered: FxHashMap<(Ino, Serial), Arc<Secret>> = FxHashMap::default();
        for record in records {
            let open = match record.kind {
                HandleKind::Door { lease, direct } => {
                    let bytes =
                        rendered.entry((record.node, lease)).or_insert_with(|| self.rendered(record.node, lease));
                    Open::Door { lease, bytes: bytes.clone(), direct, waited: false }
                }
                HandleKind::Text { size } => Open::Text(Arc::new(self.text_again(record.node, size))),
                HandleKind::Events => Open::Events { shift: None, inherited: true, seen: 0 },
                HandleKind::Draft => Open::Lost,
            };
            self.opens.adopt(record.handle, record.node, open);
        }
        let unanswered = records.iter().filter(|record| record.opened_by != 0);
        *self.inherited.unanswered.lock() = unanswered.map(|record| (record.opened_by, record.handle)).collect();
        self.doors.take_over(self.first_serial, self.issuer.now());
        let _ = self.inherited.table.set(table);
    }

    /// Nothing, when the lease is gone: its reads fail anyhow.
    fn rendered(&self, node: Ino, lease: Serial) -> Arc<Secret> {
        let Some(Node::SharedDoor { role, door, .. } | Node::OpenDoor { role, door, .. }) = Node::from_ino(node) else {
            return Arc::default();
        };
        let book = self.issuer.book();
        let bytes = book
            .name_of(role)
            .zip(book.lease(lease))
            .and_then(|(name, lease)| doors::render(door, name, &lease.record));
        bytes.map(Arc::new).unwrap_or_default()
    }

    /// A text that changed meanwhile is cut to what its reader was told: whoever has read it all must find its end there.
    fn text_again(&self, node: Ino, size: u64) -> Vec<u8> {
        let text = Node::from_ino(node).and_then(|node| self.text(node).ok().flatten()).unwrap_or_default();
        let mut bytes = text.into_bytes();
        bytes.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        bytes
    }

    /// Keeps a handle for the next daemon. Called before the request `opened_by` is answered.
    pub fn keep_handle(&self, handle: u64, opened_by: u64) {
        let Some(table) = self.inherited.table.get() else { return };
        let Some((node, kind)) = self.opens.describe(handle) else { return };
        table.put(&HandleRecord { handle, node, kind, opened_by, poll: None });
    }

    /// Keeps who polls a handle.
    pub fn keep_poll(&self, handle: u64, poll: u64) {
        if let Some(table) = self.inherited.table.get() {
            table.set_poll(handle, poll);
        }
    }

    /// Keeps whether a document is still being written: whoever closes it after a restart must hear that it is lost.
    pub fn keep_draft(&self, handle: u64) {
        let Some(table) = self.inherited.table.get() else { return };
        let Some(Open::Write(draft)) = self.opens.get(handle) else { return };
        let lost = draft.lock().is_lost_with_us();
        if lost { self.keep_handle(handle, 0) } else { table.remove(handle) }
    }

    pub(super) fn drop_handle(&self, handle: u64) {
        if let Some(table) = self.inherited.table.get() {
            table.remove(handle);
        }
    }

    /// The answer to an OPEN that the kernel sends again because it never got the first one.
    pub fn answered_before(&self, opened_by: u64) -> Option<Opened> {
        let handle = self.inherited.unanswered.lock().remove(&opened_by)?;
        let direct = match self.opens.get(handle)? {
            Open::Door { direct, .. } => return Some(Opened { handle, direct, keep_cache: true, no_flush: true }),
            Open::Lost => return None,
            _ => true,
        };
        Some(Opened { handle, direct, keep_cache: false, no_flush: true })
    }

    /// Nodes of a role that a former daemon announced, of leases that live.
    pub(super) fn inherited_nodes(&self, role: u32) -> Vec<Ino> {
        let Some(first) = self.doors.inherited() else { return Vec::new() };
        let (now, book) = (self.issuer.now(), self.issuer.book());
        let Some(name) = book.name_of(role) else { return Vec::new() };
        let serials = book.live_leases(name, now).into_iter().map(|lease| lease.record.serial);
        let nodes = |serial| Door::ALL.map(|door| Node::SharedDoor { role, door, serial }.ino());
        serials.filter(|serial| *serial < first).flat_map(nodes).collect()
    }

    /// The kernel may have anything cached of what changed while nobody served: a settings file that says otherwise now.
    /// Called once the kernel side is attached.
    pub fn tell_all(&self) {
        let (names, gone) = {
            let book = self.issuer.book();
            let (known, gone): (Vec<_>, Vec<_>) = book.names().partition(|(name, _)| book.role(name).is_some());
            let known: Vec<u32> = known.into_iter().map(|(_, number)| number).collect();
            (known, gone.into_iter().map(|(name, _)| name.clone()).collect::<Vec<_>>())
        };
        gone.iter().for_each(|name| self.role_removed(name));
        names.into_iter().for_each(|number| self.tell_attributes(number));
    }
}
