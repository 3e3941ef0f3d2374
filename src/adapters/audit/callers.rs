//! Who the callers of a batch of entries are, asked from `/proc` by the writer's thread: after the fact, and never on a
//! thread that serves the mount.

use std::collections::HashMap;

use crate::domain::printable::printable;
use crate::vfs::{Callers, Who};

/// As much of what somebody else chose as a line shows, in characters.
const LONGEST: usize = 1024;

/// What could be found out about a caller. All of it is unknown once the process has gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) pid: Option<u32>,
    pub(super) exe: Option<String>,
    pub(super) unit: Option<String>,
}

/// Looks callers up, each thread once: a batch is what came within a moment.
pub(super) struct Lookup<'a> {
    callers: &'a dyn Callers,
    found: HashMap<(u32, u32), Found>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(callers: &'a dyn Callers) -> Self {
        Self { callers, found: HashMap::new() }
    }

    pub(super) fn of(&mut self, who: Who) -> &Found {
        self.found.entry((who.tid, who.uid)).or_insert_with(|| find(self.callers, who))
    }
}

fn find(callers: &dyn Callers, who: Who) -> Found {
    if who.tid == 0 {
        return Found::default();
    }
    let shown = |text: String| printable(&text, LONGEST);
    let found = Found {
        pid: callers.process(who.tid),
        exe: callers.exe(who.tid).map(shown),
        unit: callers.unit(who.tid).map(shown),
    };
    // Asked last: the number may have been given to somebody else's process meanwhile.
    if callers.runs_as(who.tid, who.uid) { found } else { Found::default() }
}
