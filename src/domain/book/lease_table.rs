//! The leases of the book, and what is known about all of them without looking at each: their names, their roles, how many
//! are in which state, and which comes next in time.
//!
//! A lease is changed through [`LeaseTable::change`] only, whose guard brings the indices up to date when it goes: so no
//! change can forget them. Pure.

use std::collections::{BTreeSet, HashMap};
use std::ops::{Deref, DerefMut};

use jiff::Timestamp;
use rustc_hash::FxHashMap;

use super::Counts;
use crate::domain::lease::{Lease, LeaseId, Phase, Scope, Serial};
use crate::domain::name::RoleName;

/// A lease, and the time under which it stands in the agenda.
#[derive(Debug)]
struct Entry {
    lease: Lease,
    noted: Option<Timestamp>,
}

/// What is to be looked at, and when.
///
/// Holds, for each lease that something will happen to by itself: it is noted, under a time that is never later than
/// [`Lease::next_time`]. It may be earlier, because a time that moves away costs nothing: each open and close of a token
/// moves its end, and the agenda learns of that when the former time comes.
type Agenda = BTreeSet<(Timestamp, Serial)>;

/// All leases.
#[derive(Debug, Default)]
pub(super) struct LeaseTable {
    /// In boxes: a table of this size is moved as it grows.
    entries: FxHashMap<Serial, Box<Entry>>,
    ids: FxHashMap<LeaseId, Serial>,
    by_role: HashMap<RoleName, BTreeSet<Serial>>,
    agenda: Agenda,
    /// By state, as if no time had run out since it was last looked at.
    tally: Counts,
}

impl LeaseTable {
    /// Room for so many more.
    pub(super) fn reserve(&mut self, leases: usize) {
        self.entries.reserve(leases);
        self.ids.reserve(leases);
    }

    pub(super) fn get(&self, serial: Serial) -> Option<&Lease> {
        Some(&self.entries.get(&serial)?.lease)
    }

    /// By its public name.
    pub(super) fn by_id(&self, id: &str) -> Option<&Lease> {
        self.get(*self.ids.get(id)?)
    }

    /// Serials of everything issued for a role.
    pub(super) fn of_role(&self, role: &RoleName) -> impl Iterator<Item = Serial> {
        self.by_role.get(role).into_iter().flatten().copied()
    }

    /// Every role that something was issued for.
    pub(super) fn roles(&self) -> impl Iterator<Item = &RoleName> {
        self.by_role.keys()
    }

    /// How many leases a role has, ended ones included.
    pub(super) fn count_of_role(&self, role: &RoleName) -> usize {
        self.by_role.get(role).map_or(0, BTreeSet::len)
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.entries.values().map(|entry| &entry.lease)
    }

    pub(super) fn insert(&mut self, lease: Lease) {
        let serial = lease.record.serial;
        self.remove(serial);
        self.ids.insert(lease.record.id.clone(), serial);
        match self.by_role.get_mut(&lease.record.role) {
            Some(serials) => drop(serials.insert(serial)),
            None => drop(self.by_role.insert(lease.record.role.clone(), BTreeSet::from([serial]))),
        }
        count(&mut self.tally, &lease).into_iter().for_each(|count| *count += 1);
        let mut entry = Box::new(Entry { lease, noted: None });
        note(&mut self.agenda, &mut entry);
        self.entries.insert(serial, entry);
    }

    pub(super) fn remove(&mut self, serial: Serial) {
        let Some(entry) = self.entries.remove(&serial) else { return };
        let Entry { lease, noted } = *entry;
        if let Some(at) = noted {
            self.agenda.remove(&(at, serial));
        }
        count(&mut self.tally, &lease).into_iter().for_each(|count| *count -= 1);
        self.ids.remove(&lease.record.id);
        self.leave_role(&lease.record.role, serial);
    }

    fn leave_role(&mut self, role: &RoleName, serial: Serial) {
        if let Some(serials) = self.by_role.get_mut(role) {
            serials.remove(&serial);
            if serials.is_empty() {
                self.by_role.remove(role);
            }
        }
    }

    /// A lease to be changed in anything but its role. The indices follow when the guard goes.
    pub(super) fn change(&mut self, serial: Serial) -> Option<Changing<'_>> {
        let entry = self.entries.get_mut(&serial)?;
        count(&mut self.tally, &entry.lease).into_iter().for_each(|count| *count -= 1);
        Some(Changing { entry, agenda: &mut self.agenda, tally: &mut self.tally })
    }

    /// Moves a lease to another role. Returns its former scope.
    pub(super) fn rename(&mut self, serial: Serial, to: &RoleName) -> Option<Scope> {
        let record = &mut self.entries.get_mut(&serial)?.lease.record;
        let from = std::mem::replace(&mut record.role, to.clone());
        let scope = record.scope.renamed(to);
        let former = std::mem::replace(&mut record.scope, scope);
        self.leave_role(&from, serial);
        self.by_role.entry(to.clone()).or_default().insert(serial);
        Some(former)
    }

    /// Changes all of them.
    pub(super) fn change_all(&mut self, change: impl Fn(&mut Lease)) {
        let serials: Vec<Serial> = self.entries.keys().copied().collect();
        for serial in serials {
            if let Some(mut lease) = self.change(serial) {
                change(&mut lease);
            }
        }
    }

    /// Leases to look at by `now`: whatever may happen by then happens to one of these.
    pub(super) fn noted_by(&self, now: Timestamp) -> impl Iterator<Item = &Lease> {
        let noted = self.agenda.range(..=(now, Serial(u64::MAX)));
        noted.filter_map(|(_, serial)| self.get(*serial))
    }

    /// The lease to look at first after `now`, and the time it is noted under.
    pub(super) fn noted_after(&self, now: Timestamp) -> Option<(Timestamp, &Lease)> {
        let (at, serial) = self.agenda.range((now, Serial(u64::MAX))..).next()?;
        Some((*at, self.get(*serial)?))
    }

    /// Nothing happens to a lease by itself before `at`, whatever its own times say: something else holds it up. What
    /// may end that calls [`Self::renote`].
    pub(super) fn put_off(&mut self, serial: Serial, at: Timestamp) {
        if let Some(entry) = self.entries.get_mut(&serial) {
            move_note(&mut self.agenda, entry, Some(at));
        }
    }

    /// Nothing holds it up any more.
    pub(super) fn renote(&mut self, serial: Serial) {
        if let Some(entry) = self.entries.get_mut(&serial) {
            note(&mut self.agenda, entry);
        }
    }

    /// How many there are by state.
    pub(super) fn counts(&self, now: Timestamp) -> Counts {
        let mut counts = self.tally;
        for lease in self.noted_by(now).filter(|lease| lease.ended.is_none() && !lease.is_live(now)) {
            // Its time has run out, and nobody has ended it yet.
            count(&mut counts, lease).into_iter().for_each(|count| *count -= 1);
            counts.revoking += usize::from(lease.record.token.is_some());
        }
        counts
    }
}

/// A lease that is being changed.
pub(super) struct Changing<'a> {
    entry: &'a mut Entry,
    agenda: &'a mut Agenda,
    tally: &'a mut Counts,
}

impl Deref for Changing<'_> {
    type Target = Lease;
    fn deref(&self) -> &Lease {
        &self.entry.lease
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut Lease {
        &mut self.entry.lease
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        count(self.tally, &self.entry.lease).into_iter().for_each(|count| *count += 1);
        note(self.agenda, self.entry);
    }
}

/// Notes a lease unless it is noted early enough.
fn note(agenda: &mut Agenda, entry: &mut Entry) {
    let next = entry.lease.next_time();
    match (entry.noted, next) {
        (Some(noted), Some(next)) if noted <= next => {}
        _ => move_note(agenda, entry, next),
    }
}

fn move_note(agenda: &mut Agenda, entry: &mut Entry, to: Option<Timestamp>) {
    if entry.noted == to {
        return;
    }
    let serial = entry.lease.record.serial;
    if let Some(noted) = entry.noted {
        agenda.remove(&(noted, serial));
    }
    if let Some(at) = to {
        agenda.insert((at, serial));
    }
    entry.noted = to;
}

/// Where a lease counts; nowhere once its token is proven gone.
fn count<'a>(counts: &'a mut Counts, lease: &Lease) -> Option<&'a mut usize> {
    if lease.ended.is_some() || lease.record.phase != Phase::Live {
        let may_exist = lease.record.token.is_some() || lease.record.phase == Phase::Intent;
        return may_exist.then_some(&mut counts.revoking);
    }
    Some(match lease.state() {
        "held" => &mut counts.held,
        "lingering" => &mut counts.lingering,
        _ => &mut counts.superseded,
    })
}
