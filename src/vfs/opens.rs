//! Open files: handle -> what it reads or writes.
//!
//! A handle number never repeats, also over restarts: it starts at a fresh serial times 2^28.

use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::doors::Secret;
use super::handles::HandleKind;
use super::ino::Ino;
use crate::domain::lease::{Opener, Serial};
use crate::domain::name::RoleName;

/// An open file.
#[derive(Clone)]
pub enum Open {
    /// A door: holds a lease and its one content for the whole life of the handle.
    Door {
        /// The lease.
        lease: Serial,
        /// Its bytes.
        bytes: Arc<Secret>,
        /// It reads past the page cache.
        direct: bool,
        /// Its opener waited for a token to be made.
        waited: bool,
    },
    /// A text as it was at open.
    Text(Arc<Vec<u8>>),
    /// The growing list of events.
    Events {
        /// What is added to an offset, wrapping around, to get a position: set at the first read.
        shift: Option<u64>,
        /// Its offsets are in the list of a former daemon: the next one continues here with its first line.
        inherited: bool,
        /// Position up to which this handle has read, for `poll`.
        seen: u64,
    },
    /// A document being written.
    Write(Arc<Mutex<Draft>>),
    /// A temporary file of an editor.
    Scratch(Serial),
    /// Our own write-open that announces a change; reads and writes nothing.
    Announce,
    /// A document whose text went with a former daemon.
    Lost,
}

/// What a document becomes when it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A role.
    Role(RoleName),
    /// The anchors.
    Config,
    /// A rotation of a role; `None` = of the anchor.
    Rotate(Option<RoleName>),
    /// The renewal of a lease.
    Lease(Serial),
    /// What is given up of the revocations that wait.
    Revocations,
}

/// A document being written: one for each handle (fuse-nodes 8.4).
/// No `Debug`: a draft of `config` holds the anchor token.
pub struct Draft {
    /// What it becomes.
    pub target: Target,
    /// Text so far.
    pub bytes: Secret,
    /// Written since it was last committed.
    pub dirty: bool,
    /// Never to be committed: refused, or its writer was killed.
    pub void: bool,
    /// The process that opened it.
    pub process: Option<u32>,
    /// Its user.
    pub opener: Opener,
}

impl Draft {
    /// Whether it is still to be committed. Its handle may stay longer, by a copy in a child: a role that was renamed or
    /// removed meanwhile must not seem to be there, empty.
    pub fn is_pending(&self) -> bool {
        !self.void && (self.dirty || self.bytes.is_empty())
    }

    /// Whether a text in it would be lost with this process. What acts at once (a rotation, a renewal) has acted.
    pub fn is_lost_with_us(&self) -> bool {
        self.is_pending() && matches!(self.target, Target::Role(_) | Target::Config)
    }
}

/// The table.
pub struct Opens {
    handles: Arc<Mutex<Table>>,
}

struct Table {
    next: u64,
    open: FxHashMap<u64, (Ino, Open)>,
    /// Openers of current nodes between their claim and their handle.
    seats: FxHashMap<Ino, u32>,
}

/// A place at a node for an opener who is about to claim its lease and to read it through its pages. Taken *before* the
/// claim: whoever finds the node superseded, and neither seat nor handle there, knows that nobody comes any more.
pub struct Seat {
    handles: Arc<Mutex<Table>>,
    node: Ino,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.handles.lock();
        if let Some(count) = table.seats.get_mut(&self.node) {
            *count -= 1;
            if *count == 0 {
                table.seats.remove(&self.node);
            }
        }
    }
}

impl Opens {
    /// Numbers begin at `base`, a serial that nobody else uses.
    pub fn new(base: Serial) -> Self {
        let table = Table { next: base.0 << 28 | 1, open: FxHashMap::default(), seats: FxHashMap::default() };
        Self { handles: Arc::new(Mutex::new(table)) }
    }

    /// Takes a place at a node.
    pub fn seat(&self, node: Ino) -> Seat {
        *self.handles.lock().seats.entry(node).or_default() += 1;
        Seat { handles: self.handles.clone(), node }
    }

    /// Adds an open file of `node`.
    pub fn add(&self, node: Ino, open: Open) -> u64 {
        let mut table = self.handles.lock();
        let handle = table.next;
        table.next += 1;
        table.open.insert(handle, (node, open));
        handle
    }

    /// Adds one that a former daemon gave out.
    pub fn adopt(&self, handle: u64, node: Ino, open: Open) {
        self.handles.lock().open.insert(handle, (node, open));
    }

    /// What the next daemon must know of a handle; `None` for what no daemon keeps.
    pub fn describe(&self, handle: u64) -> Option<(Ino, HandleKind)> {
        let table = self.handles.lock();
        let (node, open) = table.open.get(&handle)?;
        let kind = match open {
            Open::Door { lease, direct, .. } => HandleKind::Door { lease: *lease, direct: *direct },
            Open::Text(bytes) => HandleKind::Text { size: bytes.len() as u64 },
            Open::Events { .. } => HandleKind::Events,
            Open::Write(_) | Open::Scratch(_) | Open::Lost => HandleKind::Draft,
            Open::Announce => return None,
        };
        Some((*node, kind))
    }

    /// The open file behind a handle.
    pub fn get(&self, handle: u64) -> Option<Open> {
        self.handles.lock().open.get(&handle).map(|(_, open)| open.clone())
    }

    /// Changes an open file in place.
    pub fn update<T>(&self, handle: u64, change: impl FnOnce(&mut Open) -> T) -> Option<T> {
        self.handles.lock().open.get_mut(&handle).map(|(_, open)| change(open))
    }

    /// Takes an open file out.
    pub fn remove(&self, handle: u64) -> Option<Open> {
        self.handles.lock().open.remove(&handle).map(|(_, open)| open)
    }

    /// Handles of a lease.
    pub fn of_lease(&self, serial: Serial) -> Vec<u64> {
        let table = self.handles.lock();
        let held = |open: &Open| matches!(open, Open::Door { lease, .. } if *lease == serial);
        table.open.iter().filter(|(_, (_, open))| held(open)).map(|(handle, _)| *handle).collect()
    }

    /// Whether an opener has taken a place at a node.
    pub fn is_seated(&self, node: Ino) -> bool {
        self.handles.lock().seats.contains_key(&node)
    }

    /// Lease and size of each handle that reads a node through its pages.
    pub fn page_readers(&self, node: Ino) -> Vec<(Serial, u64)> {
        let table = self.handles.lock();
        let cached = table.open.values().filter_map(|(other, open)| match open {
            Open::Door { lease, bytes, direct: false, .. } if *other == node => Some((*lease, bytes.len() as u64)),
            _ => None,
        });
        cached.collect()
    }

    /// Nodes through which a lease is open.
    pub fn nodes_of_lease(&self, serial: Serial) -> Vec<Ino> {
        let table = self.handles.lock();
        let held = |open: &Open| matches!(open, Open::Door { lease, .. } if *lease == serial);
        table.open.values().filter(|(_, open)| held(open)).map(|(node, _)| *node).collect()
    }

    /// Handles of a node.
    pub fn of_node(&self, node: Ino) -> Vec<u64> {
        let table = self.handles.lock();
        table.open.iter().filter(|(_, (other, _))| *other == node).map(|(handle, _)| *handle).collect()
    }

    /// Lease and size of an open door of a node: of one that reads it through its pages if there is one, for that one's
    /// reads are cut to the size that the kernel is told.
    pub fn door_of_node(&self, node: Ino) -> Option<(Serial, u64)> {
        let table = self.handles.lock();
        let doors = table.open.values().filter(|(other, _)| *other == node);
        let doors = doors.filter_map(|(_, open)| match open {
            Open::Door { lease, bytes, direct, .. } => Some((*direct, *lease, bytes.len() as u64)),
            _ => None,
        });
        doors.min_by_key(|(direct, ..)| *direct).map(|(_, lease, size)| (lease, size))
    }

    /// Documents being written for `target`.
    pub fn drafts_of(&self, target: &Target) -> Vec<Arc<Mutex<Draft>>> {
        let drafts: Vec<Arc<Mutex<Draft>>> = {
            let table = self.handles.lock();
            let draft = |open: &Open| match open {
                Open::Write(draft) => Some(draft.clone()),
                _ => None,
            };
            table.open.values().filter_map(|(_, open)| draft(open)).collect()
        };
        drafts.into_iter().filter(|draft| &draft.lock().target == target).collect()
    }

    /// How many files are open.
    pub fn len(&self) -> usize {
        self.handles.lock().open.len()
    }
}
