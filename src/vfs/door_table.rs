//! What is known of the nodes behind doors: which of them the kernel holds, what they were announced with, whose content they
//! show. `creds.rs` decides by it what an OPEN gets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::audit::Subject;
use super::doors::{Lengths, Secret};
use super::ino::{Door, Ino, Node};
use crate::domain::lease::{Scope, Serial, later};

/// Within this time the same caller at the same door is the kernel's retry, not a new open.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// What is known of door nodes. Taken for moments, never together with the book.
#[derive(Default)]
pub(super) struct DoorTable(Mutex<Doors>, Mutex<FxHashMap<Ino, Kept>>);

/// What the next opens of a current node need not make again.
struct Kept {
    bytes: Arc<Secret>,
    /// What the audit trail says of it, once it was asked.
    subject: Option<Arc<Subject>>,
}

#[derive(Default)]
struct Doors {
    /// Shared nodes that the kernel holds: those it must be told about.
    known: HashMap<Ino, Known>,
    /// Superseded nodes that pinned dentries reach, and unshared nodes that were opened: which lease their pages
    /// show, and for whom.
    pages: HashMap<Ino, Arc<Pages>>,
    /// Who was answered ESTALE, and when.
    stale: HashMap<(u32, Door, u32), (Timestamp, Ino)>,
    /// Sizes by role number.
    sizes: HashMap<u32, Sizes>,
    /// Of a role that nobody has seen a token of: what the last token of any role had.
    usual: Sizes,
    /// Nodes with a serial below this were announced by a former daemon of the same mount; 0 without one.
    inherited: u64,
    /// Until then an opener may have been answered ESTALE by that one.
    unsure_until: Option<Timestamp>,
}

impl Doors {
    fn sizes(&self, role: u32) -> Sizes {
        self.sizes.get(&role).copied().unwrap_or(self.usual)
    }
}

/// A shared node that the kernel holds.
struct Known {
    lookups: u64,
    /// What it was announced with, maybe before its token was made.
    mtime: Timestamp,
}

/// What an OPEN of a superseded node is.
pub(super) enum Knocking {
    /// The first of this caller: the kernel looks the path up again after ESTALE.
    First,
    /// The same node again: no path leads past a pinned dentry.
    Pinned,
    /// Another node: its path was replaced between its two tries.
    Unlucky,
    /// Nobody knows: a former daemon may have answered it before. The name has to be looked up anew by the next opener.
    Unsure,
}

/// The pages of a node whose content changes over time.
pub(super) struct Pages {
    /// Whose content it is: one inode has one page cache, so it never serves two scopes.
    pub(super) scope: Scope,
    /// The lease that the pages show. Held while they are made to show another one.
    pub(super) shows: tokio::sync::Mutex<Option<Serial>>,
}

/// What sizes are guessed from.
#[derive(Clone, Copy, Default)]
struct Sizes {
    lengths: Lengths,
    /// Nodes older than this were announced with other lengths.
    since: u64,
}

impl DoorTable {
    /// LOOKUP. Returns the mtime that the node was first announced with: one that moved when its token was made would
    /// look to `tar` like a change under its hands.
    pub(super) fn looked_up(&self, node: Ino, mtime: Timestamp) -> Timestamp {
        let mut doors = self.0.lock();
        let known = doors.known.entry(node).or_insert(Known { lookups: 0, mtime });
        known.lookups += 1;
        known.mtime
    }

    /// The mtime that a shared node was announced with.
    pub(super) fn announced_mtime(&self, node: Ino) -> Option<Timestamp> {
        self.0.lock().known.get(&node).map(|known| known.mtime)
    }

    /// FORGET. True when the kernel knows the node no more.
    pub(super) fn forgotten(&self, node: Ino, count: u64) -> bool {
        let mut doors = self.0.lock();
        // Unshared nodes are not counted: each has one lookup, and a lookup that lost a race is forgotten unopened.
        if let Some(known) = doors.known.get_mut(&node) {
            known.lookups = known.lookups.saturating_sub(count);
            if known.lookups > 0 {
                return false;
            }
            doors.known.remove(&node);
        }
        doors.pages.remove(&node);
        true
    }

    /// Whether the kernel may hold a node.
    pub(super) fn is_known(&self, node: Ino) -> bool {
        let doors = self.0.lock();
        let inherited = |serial: Serial| serial.0 < doors.inherited;
        doors.known.contains_key(&node)
            || matches!(Node::from_ino(node), Some(Node::SharedDoor { serial, .. }) if inherited(serial))
    }

    /// Nodes with a serial below this may be held by the kernel although no lookup of ours says so.
    pub(super) fn inherited(&self) -> Option<Serial> {
        let first = self.0.lock().inherited;
        (first > 0).then_some(Serial(first))
    }

    /// The kernel holds nodes that a former daemon announced, who knows how: those with a serial below `first`.
    pub(super) fn take_over(&self, first: Serial, now: Timestamp) {
        let mut doors = self.0.lock();
        doors.unsure_until = Some(later(now, RETRY));
        doors.inherited = first.0;
        doors.usual.since = first.0;
    }

    /// Bytes of a node that was opened before.
    pub(super) fn bytes(&self, node: Ino) -> Option<Arc<Secret>> {
        self.1.lock().get(&node).map(|kept| kept.bytes.clone())
    }

    /// Keeps the bytes of a current node: the next opens need not make them again.
    pub(super) fn keep_bytes(&self, node: Ino, bytes: &Arc<Secret>) {
        self.1.lock().insert(node, Kept { bytes: bytes.clone(), subject: None });
    }

    /// What the audit trail says of a node whose bytes are kept.
    pub(super) fn subject(&self, node: Ino) -> Option<Arc<Subject>> {
        self.1.lock().get(&node)?.subject.clone()
    }

    /// Keeps that as long as the bytes.
    pub(super) fn keep_subject(&self, node: Ino, subject: &Arc<Subject>) {
        if let Some(kept) = self.1.lock().get_mut(&node) {
            kept.subject = Some(subject.clone());
        }
    }

    /// A lease has ended: its bytes go.
    pub(super) fn drop_bytes(&self, lease: Serial) {
        let of = |node: &Ino| matches!(Node::from_ino(*node), Some(Node::SharedDoor { serial, .. }) if serial == lease);
        self.1.lock().retain(|node, _| !of(node));
    }

    /// Nodes of a role whose attributes the kernel may have.
    pub(super) fn nodes_of(&self, role: u32) -> Vec<Ino> {
        let doors = self.0.lock();
        let of = |node: &&Ino| match Node::from_ino(**node) {
            Some(Node::SharedDoor { role: of, .. } | Node::OpenDoor { role: of, .. }) => of == role,
            _ => false,
        };
        doors.known.keys().chain(doors.pages.keys()).filter(of).copied().collect()
    }

    pub(super) fn is_portal(&self, node: Ino) -> bool {
        self.0.lock().pages.contains_key(&node)
    }

    /// The lease whose bytes a node of changing content shows.
    pub(super) fn shown_by(&self, node: Ino) -> Option<Scope> {
        self.0.lock().pages.get(&node).map(|pages| pages.scope.clone())
    }

    pub(super) fn pages(&self, node: Ino, scope: &Scope) -> Arc<Pages> {
        let fresh = || Arc::new(Pages { scope: scope.clone(), shows: tokio::sync::Mutex::default() });
        let mut doors = self.0.lock();
        let pages = doors.pages.entry(node).or_insert_with(fresh);
        // Its role is shared otherwise now. Between callers of one role nothing leaks; the pages are made true again.
        let by_unit = |scope: &Scope| matches!(scope, Scope::Unit { .. });
        if pages.scope != *scope && !by_unit(&pages.scope) && !by_unit(scope) {
            *pages = fresh();
        }
        pages.clone()
    }

    /// Tells a first OPEN from a second try: no caller is ever answered ESTALE twice in a row.
    pub(super) fn knocking(&self, key: (u32, Door, u32), node: Ino, now: Timestamp) -> Knocking {
        let mut doors = self.0.lock();
        if doors.unsure_until.is_some_and(|until| now < until) {
            return Knocking::Unsure;
        }
        match doors.stale.remove(&key) {
            Some((at, former)) if later(at, RETRY) > now && former == node => Knocking::Pinned,
            Some((at, _)) if later(at, RETRY) > now => Knocking::Unlucky,
            _ => {
                if doors.stale.len() > 1024 {
                    doors.stale.retain(|_, (at, _)| later(*at, RETRY) > now);
                }
                doors.stale.insert(key, (now, node));
                Knocking::First
            }
        }
    }

    pub(super) fn lengths(&self, role: u32) -> Lengths {
        self.0.lock().sizes(role).lengths
    }

    /// Whether a node was announced with the lengths that hold now.
    pub(super) fn announced_well(&self, role: u32, serial: Serial) -> bool {
        serial.0 >= self.0.lock().sizes(role).since
    }

    /// Notes the lengths of a new token, or with `None` that sizes of a role changed for another reason. Nodes below
    /// `next` may have been announced otherwise.
    pub(super) fn learn(&self, role: u32, lengths: Option<Lengths>, next: Serial) {
        let mut doors = self.0.lock();
        let mut sizes = doors.sizes(role);
        match lengths {
            Some(lengths) if lengths == sizes.lengths => {}
            Some(lengths) => sizes = Sizes { lengths, since: next.0 },
            None => sizes.since = next.0,
        }
        doors.sizes.insert(role, sizes);
        if sizes.lengths != doors.usual.lengths {
            doors.usual = Sizes { lengths: sizes.lengths, since: next.0 };
        }
    }
}
