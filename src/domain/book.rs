//! Everything known in memory: roles, anchors, leases and who shares them. Pure: `now` is an argument, nothing waits.
//!
//! One mutex guards the book (see [`super::issuer::Issuer`]); it is held for moments and never over an await or a
//! kernel notification. `roles.rs` has the part about roles and anchors, `leases.rs` and `flights.rs` the parts about leases and their making.

mod currents;
mod due;
mod flights;
mod lease_table;
mod leases;
mod roles;

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use tokio::sync::watch;

use super::anchor::Anchor;
use super::anchor_rotation::AnchorToken;
use super::error::Error;
use super::lease::{Scope, Serial};
use super::ledger::{Contents, Rotation, SERIAL_STEP};
use super::name::{AnchorName, RoleName};
use super::role::{Limits, Role};

use currents::Currents;
use lease_table::LeaseTable;

pub use due::Due;
pub use flights::Published;
pub use leases::{Claim, Counts, Ending, Hold};
pub use roles::{Grave, Write};

/// Where a role or anchor comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The configuration file: read-only in the mount.
    File,
    /// Written through the mount, kept in the ledger.
    Mount,
}

/// A role in force.
#[derive(Debug, Clone)]
pub struct RoleEntry {
    /// The role.
    pub role: Role,
    /// Its number in node ids; belongs to the name for ever.
    pub number: u32,
    /// Where it comes from.
    pub origin: Origin,
    /// Last write.
    pub changed_at: Timestamp,
}

/// An anchor in force.
#[derive(Debug, Clone)]
pub struct AnchorEntry {
    /// The anchor.
    pub anchor: Anchor,
    /// Where it comes from.
    pub origin: Origin,
}

/// The answer of a flight: the lease that was made, held once for every waiter.
pub type Landing = Option<Result<Serial, Error>>;

/// A token being made: one at a time for each scope.
#[derive(Debug)]
pub struct Flight {
    /// How many openers wait for it.
    pub waiters: u32,
    /// Where they hear of it.
    pub landing: watch::Sender<Landing>,
}

/// The book.
#[derive(Debug)]
pub struct Book {
    limits: Limits,
    roles: BTreeMap<RoleName, RoleEntry>,
    numbers: HashMap<RoleName, u32>,
    names: HashMap<u32, RoleName>,
    anchors: BTreeMap<AnchorName, AnchorEntry>,
    leases: LeaseTable,
    /// The lease that openers of a scope get.
    current: Currents,
    /// The serial that the next lease of a scope will have; LOOKUP hands it out before anything is made.
    prospects: HashMap<Scope, Serial>,
    /// Leases of unshared roles whose openers gave up waiting: the next open takes one.
    spares: HashMap<RoleName, Vec<Serial>>,
    flights: HashMap<Scope, Flight>,
    /// No background renewal of a scope before that time: the last one failed.
    cooling: HashMap<Scope, (Timestamp, u32)>,
    graves: Vec<Grave>,
    rotations: HashMap<RoleName, Rotation>,
    /// What a start found of unfinished rotations of anchors, until the queue of revocations takes it.
    anchor_tokens: Vec<AnchorToken>,
    /// Ids of teams that were looked up before, by [`super::ledger::team_key`].
    teams: HashMap<String, String>,
    /// Roles of the configuration file that wait for upstream: what they had issued waits for them.
    awaited: HashSet<RoleName>,
    next_serial: u64,
    serial_limit: u64,
    /// Grows with every change that could make another lease the right one for some opener.
    state: u64,
}

impl Book {
    /// What a start finds. Serials may be given out up to [`Book::serial_limit`], which the caller reserves first.
    pub fn new(limits: Limits, contents: Contents, now: Timestamp) -> Self {
        let mut book = Self {
            limits,
            roles: BTreeMap::new(),
            names: contents.numbers.iter().map(|(name, number)| (*number, name.clone())).collect(),
            numbers: contents.numbers,
            anchors: contents
                .anchors
                .into_iter()
                .map(|anchor| (anchor.name.clone(), AnchorEntry { anchor, origin: Origin::Mount }))
                .collect(),
            leases: LeaseTable::default(),
            current: Currents::default(),
            prospects: HashMap::new(),
            spares: HashMap::new(),
            flights: HashMap::new(),
            cooling: HashMap::new(),
            graves: Vec::new(),
            rotations: contents.rotations,
            anchor_tokens: contents.anchor_tokens,
            teams: contents.teams,
            awaited: HashSet::new(),
            next_serial: contents.next_serial,
            serial_limit: contents.next_serial + SERIAL_STEP,
            state: 0,
        };
        for (name, stored) in contents.roles {
            let number = book.number(&name);
            let entry = RoleEntry { role: stored.role, number, origin: Origin::Mount, changed_at: stored.changed_at };
            book.roles.insert(name, entry);
        }
        book.leases.reserve(contents.leases.len());
        for record in contents.leases {
            let linger = contents.lingers.get(&record.id).copied();
            let end = contents.ends.get(&record.id).copied();
            book.adopt(record, linger, end, now);
        }
        book.bury_orphans(now);
        // A clock that ran ahead may have noted it; schedules would begin when that time comes again.
        book.move_past(|at| at.min(now));
        book
    }

    /// Whatever was confirmed has to be looked at again.
    fn changed(&mut self) {
        self.state += 1;
    }

    /// The next serial.
    ///
    /// # Errors
    /// When all reserved ones are used and the ledger could not reserve more.
    pub fn take_serial(&mut self) -> Result<Serial, Error> {
        if self.next_serial >= self.serial_limit {
            let text = "no serials are left and no more could be reserved".to_owned();
            return Err(Error::Ledger(super::ports::StoreError::Unavailable(text)));
        }
        self.next_serial += 1;
        Ok(Serial(self.next_serial - 1))
    }

    /// The serial that will be given out next.
    pub fn peek_serial(&self) -> Serial {
        Serial(self.next_serial)
    }

    /// First serial that may not be given out.
    pub fn serial_limit(&self) -> Serial {
        Serial(self.serial_limit)
    }

    /// The limit to reserve next, when less than half a step is left.
    pub fn wants_serials(&self) -> Option<Serial> {
        let left = self.serial_limit - self.next_serial;
        (left < SERIAL_STEP / 2).then_some(Serial(self.serial_limit + SERIAL_STEP))
    }

    /// Serials up to `limit` are reserved.
    pub fn serials_reserved(&mut self, limit: Serial) {
        self.serial_limit = self.serial_limit.max(limit.0);
    }

    /// Tokens of rotated anchors that a start found in the ledger; the second call returns none.
    pub fn take_anchor_tokens(&mut self) -> Vec<AnchorToken> {
        std::mem::take(&mut self.anchor_tokens)
    }

    /// The daemon's limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Replaces the daemon's limits (reload).
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }
}
