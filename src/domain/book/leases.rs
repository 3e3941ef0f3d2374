//! The book's leases: claims, flights, ends.

use std::time::Duration;

use jiff::Timestamp;

use super::{Book, RoleEntry};
use crate::domain::error::Ended;
use crate::domain::lease::{Adequacy, AfterClose, Lease, LeaseRecord, Phase, Scope, Serial};
use crate::domain::name::RoleName;
use crate::domain::role::{OnClose, Share};
use crate::domain::timeline::earlier;

/// How long the bytes of a slot token stay readable after a rotation killed it (fuse-nodes 0.6 step 5).
const SLOT_GRACE: Duration = Duration::from_millis(1500);

/// The answer to an opener.
#[derive(Debug)]
pub enum Claim {
    /// Held now. `renew`: its successor should be made in the background.
    Held {
        /// The lease.
        serial: Serial,
        /// Start a flight.
        renew: bool,
    },
    /// A flight must land first. `fallback`: a lease that still lives, for when minting fails.
    Wait {
        /// Still alive, with little time.
        fallback: Option<Serial>,
    },
}

/// What a hold just taken asks for.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    /// It was not held before: its end moves.
    pub first: bool,
    /// When it wants its successor.
    pub renew_at: Option<Timestamp>,
    /// Its token should be checked upstream.
    pub check: bool,
}

impl Hold {
    fn of(lease: &mut Lease, now: Timestamp) -> Self {
        Self { first: lease.handles == 1, renew_at: lease.renew_at(), check: lease.wants_check(now) }
    }
}

/// A lease that has just ended.
#[derive(Debug)]
pub struct Ending {
    /// Its record.
    pub record: LeaseRecord,
    /// How.
    pub how: Ended,
    /// Nothing to delete upstream: a rotation did it.
    pub gone: bool,
}

/// Live leases by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// With handles, current.
    pub held: usize,
    /// Without handles, current.
    pub lingering: usize,
    /// With a successor.
    pub superseded: usize,
    /// To be deleted upstream.
    pub revoking: usize,
}

impl Book {
    /// Takes in a record found at start. Handles do not survive a crash, so a lease counts as closed: at the time the
    /// ledger noted, else now.
    pub(super) fn adopt(
        &mut self,
        mut record: LeaseRecord,
        linger: Option<Timestamp>,
        end: Option<Timestamp>,
        now: Timestamp,
    ) {
        let phase = record.phase;
        record.ends_at = end.map_or(record.ends_at, |end| end.min(record.ends_at));
        // It may have been issued by a clock that ran ahead.
        record.issued_at = record.issued_at.min(now);
        let mut lease = Lease::new(record, now);
        if let Some(end) = linger {
            lease.expires_at = end.min(lease.record.ends_at);
        }
        if lease.record.on_close == OnClose::Revoke {
            // Its holders are gone, and that was to be its end.
            lease.expires_at = now;
            lease.ends_as = Ended::Revoked;
        }
        if phase != Phase::Live {
            lease.ended = Some(Ended::Revoked);
        }
        let serial = lease.record.serial;
        // A role that was written anew meanwhile may mean another owner; one that is not in force yet may come back.
        // A slot is its owner's, whichever roles use it.
        let of_role = lease.record.credential_type.is_slot()
            || self.role(&lease.record.role).is_none_or(|entry| lease.record.is_of(&entry.role));
        let reusable = phase == Phase::Live && of_role && !matches!(lease.record.scope, Scope::Open { .. });
        let scope = reusable.then(|| lease.record.scope.clone());
        self.leases.insert(lease);
        let Some(scope) = scope else { return };
        // Serials of one scope grow with time, whatever the clock does.
        match self.current.get(&scope) {
            Some(other) if other > serial => self.superseded_before(serial, other),
            _ => {
                if let Some(older) = self.make_current(serial) {
                    self.superseded_before(older, serial);
                }
            }
        }
    }

    /// Found at start: it was superseded when its successor was made, not now. Whoever comes to it comes late.
    fn superseded_before(&mut self, serial: Serial, successor: Serial) {
        if let Some(at) = self.leases.get(successor).map(|lease| lease.record.issued_at) {
            self.mark_superseded(serial, at);
        }
    }

    pub(super) fn mark_superseded(&mut self, serial: Serial, now: Timestamp) {
        if let Some(mut lease) = self.leases.change(serial) {
            lease.supersede(now, SLOT_GRACE);
        }
    }

    /// Makes a lease the one that openers of its scope get; returns the former.
    pub(super) fn make_current(&mut self, serial: Serial) -> Option<Serial> {
        let former = self.current.put(&self.leases.get(serial)?.record);
        // Only a current lease is renewed.
        self.leases.renote(serial);
        former
    }

    /// A lease by its number.
    pub fn lease(&self, serial: Serial) -> Option<&Lease> {
        self.leases.get(serial)
    }

    /// A lease by its public name.
    pub fn lease_by_id(&self, id: &str) -> Option<&Lease> {
        self.leases.by_id(id)
    }

    /// Serials of everything issued for a role.
    pub(super) fn serials_of(&self, role: &RoleName) -> impl Iterator<Item = Serial> {
        self.leases.of_role(role)
    }

    /// Live leases of a role, oldest first. The current one of a shared slot counts for each of its roles.
    pub fn live_leases(&self, role: &RoleName, now: Timestamp) -> Vec<&Lease> {
        let mut live: Vec<&Lease> = self.leases_of(role).filter(|lease| lease.is_live(now)).collect();
        live.sort_by_key(|lease| lease.record.serial);
        live
    }

    /// Whether so many or more of them are live and have no successor.
    pub(super) fn has_live_leases(&self, role: &RoleName, limit: usize, now: Timestamp) -> bool {
        // The limit is far away most of the time: then nobody is looked at.
        let counts = |lease: &&Lease| lease.superseded_at.is_none() && lease.is_live(now);
        self.leases.count_of_role(role) + 1 >= limit && self.leases_of(role).filter(counts).take(limit).count() >= limit
    }

    fn leases_of(&self, role: &RoleName) -> impl Iterator<Item = &Lease> {
        let slot = self.slot_lease(role).filter(move |lease| &lease.record.role != role);
        self.serials_of(role).filter_map(|serial| self.leases.get(serial)).chain(slot)
    }

    /// The lease in the slot of a role; `None` for roles without one.
    pub fn slot_lease(&self, role: &RoleName) -> Option<&Lease> {
        let entry = self.role(role).filter(|entry| entry.role.credential_type.is_slot())?;
        let address = self.anchor(&entry.role.anchor)?.anchor.access.address.clone();
        self.current_lease(&Scope::Slot { address, owner: entry.role.owner.clone() })
    }

    /// The lease that openers of a scope get.
    pub fn current_lease(&self, scope: &Scope) -> Option<&Lease> {
        self.leases.get(self.current.get(scope)?)
    }

    /// All leases, ended ones included.
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.leases.iter()
    }

    /// An opener of `scope` at `now`: holds a lease if one has enough life.
    pub fn claim(&mut self, scope: &Scope, role: &RoleName, now: Timestamp) -> Claim {
        let spare = matches!(scope, Scope::Open { .. }) && self.assign_spare(scope, role, now);
        let cooling = self.cooling.get(scope).is_some_and(|(until, _)| now < *until);
        let flying = self.flights.contains_key(scope);
        let serial = self.current.get(scope);
        let Some(mut lease) = serial.and_then(|serial| self.leases.change(serial)) else {
            return Claim::Wait { fallback: None };
        };
        let serial = lease.record.serial;
        // A node of an unshared role is opened twice only through a pinned dentry: it shares what is held, no more.
        if matches!(scope, Scope::Open { .. }) && lease.handles == 0 && !spare {
            return Claim::Wait { fallback: None };
        }
        match lease.adequacy(now) {
            Adequacy::Enough => {
                lease.open();
                Claim::Held { serial, renew: false }
            }
            Adequacy::Renew => {
                lease.open();
                Claim::Held { serial, renew: !flying && !cooling }
            }
            Adequacy::Wait => Claim::Wait { fallback: Some(serial) },
            Adequacy::Dead => Claim::Wait { fallback: None },
        }
    }

    /// The fast way in: holds a lease that was confirmed for this role, if nothing has changed since and it has enough
    /// life.
    pub fn reopen(&mut self, serial: Serial, role: u32, now: Timestamp) -> Option<Hold> {
        let state = self.state;
        let mut lease = self.leases.change(serial)?;
        if lease.confirmed != Some((state, role)) || lease.adequacy(now) != Adequacy::Enough {
            return None;
        }
        lease.open();
        Some(Hold::of(&mut lease, now))
    }

    /// What a hold just taken asks for.
    pub fn held(&mut self, serial: Serial, now: Timestamp) -> Option<Hold> {
        Some(Hold::of(&mut *self.leases.change(serial)?, now))
    }

    /// Notes that a lease is what every opener of a role gets, whoever it is, until something changes.
    pub fn confirm(&mut self, serial: Serial, role: u32) {
        // A rotation or a change of the role may have come since the lease was found.
        let Some(name) = self.name_of(role) else { return };
        let by_caller =
            self.role(name).is_none_or(|entry| entry.role.share == Share::Open || entry.role.asks_for_unit());
        let scope = self.scope(name, 0, None, Serial(0)).ok();
        let is_current = scope.and_then(|scope| self.current.get(&scope)) == Some(serial);
        let state = self.state;
        if let Some(mut lease) = self.leases.change(serial).filter(|_| is_current && !by_caller) {
            lease.confirmed = Some((state, role));
        }
    }

    /// Holds a lease that lives, whatever its remaining time.
    pub fn hold(&mut self, serial: Serial, now: Timestamp) -> bool {
        match self.leases.change(serial) {
            Some(mut lease) if lease.is_live(now) => {
                lease.open();
                true
            }
            _ => false,
        }
    }

    /// A handle on a lease outlived the daemon that gave it out. Told before the issuer looks at ends.
    pub fn take_over(&mut self, serial: Serial) {
        if let Some(mut lease) = self.leases.change(serial) {
            lease.take_over();
        }
    }

    /// A handle was closed. [`AfterClose::Revoke`] leaves the ending to the caller.
    pub fn release(&mut self, serial: Serial, now: Timestamp) -> AfterClose {
        let Some(mut lease) = self.leases.change(serial) else { return AfterClose::Over };
        let after = lease.close(now);
        drop(lease);
        self.forget_if_over(serial);
        after
    }

    /// A hold that nobody will read is given back; the opener comes again at once through another node, so the last
    /// close does not revoke.
    pub fn give_back(&mut self, serial: Serial, now: Timestamp) {
        let Some(mut lease) = self.leases.change(serial) else { return };
        lease.handles = lease.handles.saturating_sub(1);
        if lease.handles > 0 {
            return;
        }
        Self::unclaimed(&mut lease, now);
        drop(lease);
        self.forget_if_over(serial);
    }

    fn forget_if_over(&mut self, serial: Serial) {
        if self.leases.get(serial).is_some_and(Lease::is_over) {
            self.leases.remove(serial);
        }
    }

    /// Ends a lease for its handles. `None` if it had ended before.
    pub fn end(&mut self, serial: Serial, how: Ended) -> Option<Ending> {
        self.changed();
        let mut lease = self.leases.change(serial).filter(|lease| lease.ended.is_none())?;
        lease.ended = Some(how);
        let (scope, record) = (lease.record.scope.clone(), lease.record.clone());
        let gone = lease.superseded_at.is_some() && record.credential_type.is_slot();
        if self.current.get(&scope) == Some(serial) {
            self.current.remove(&scope);
        }
        if let Some(spares) = self.spares.get_mut(&record.role) {
            spares.retain(|spare| *spare != serial);
        }
        Some(Ending { record, how, gone })
    }

    /// Notes that the revocation of an ended lease is durable.
    pub fn revoking(&mut self, serial: Serial) {
        if let Some(mut lease) = self.leases.change(serial) {
            lease.record.phase = Phase::Revoking;
        }
    }

    /// The token is proven gone: its secret is dropped, and the lease with its last handle.
    pub fn gone(&mut self, serial: Serial) {
        if let Some(mut lease) = self.leases.change(serial) {
            lease.record.phase = Phase::Revoking;
            lease.record.token = None;
        }
        self.forget_if_over(serial);
    }

    /// Nobody can open a node of an unshared role any more.
    pub fn forget_node(&mut self, scope: &Scope) {
        if matches!(scope, Scope::Open { .. }) && !self.flights.contains_key(scope) {
            self.current.remove(scope);
        }
    }

    /// Takes a role's leases out of use: they live on for their holders only.
    pub(super) fn detach(&mut self, name: &RoleName, now: Timestamp) {
        let scopes: Vec<Scope> = self.currents_of(name).map(|lease| lease.record.scope.clone()).collect();
        for scope in &scopes {
            self.current.remove(scope);
        }
        self.prospects.retain(|scope, _| scope.role() != Some(name));
        self.spares.remove(name);
        let serials: Vec<Serial> = self.serials_of(name).collect();
        for serial in serials {
            if let Some(mut lease) = self.leases.change(serial)
                && !lease.record.credential_type.is_slot()
            {
                lease.superseded_at = lease.superseded_at.or(Some(now));
            }
        }
    }

    /// Moves a lease to another role name.
    pub(super) fn move_lease(&mut self, serial: Serial, to: &RoleName, now: Timestamp) {
        self.changed();
        let Some(former) = self.leases.rename(serial, to) else { return };
        if self.current.get(&former) == Some(serial) {
            self.current.remove(&former);
            if let Some(other) = self.make_current(serial)
                && other != serial
            {
                self.mark_superseded(other, now);
            }
        }
    }

    /// The records of a role's leases as they will be under another name.
    pub fn leases_renamed(&self, from: &RoleName, to: &RoleName) -> Vec<LeaseRecord> {
        let own = self.serials_of(from).filter_map(|serial| self.leases.get(serial));
        // The record of an ended lease, or of a slot token that a rotation has replaced, may be removed already.
        let recorded = |lease: &&Lease| {
            let replaced = lease.superseded_at.is_some() && lease.record.credential_type.is_slot();
            lease.ended.is_none() && !replaced
        };
        own.filter(recorded)
            .map(|lease| {
                let scope = lease.record.scope.renamed(to);
                LeaseRecord { role: to.clone(), scope, ..lease.record.clone() }
            })
            .collect()
    }

    /// Gives a lingering lease its `ttl` anew.
    pub fn renew(&mut self, serial: Serial, now: Timestamp) {
        if let Some(mut lease) = self.leases.change(serial) {
            lease.renew(now);
        }
    }

    /// A role in force that uses the slot of a lease, rather the one it was issued for.
    pub fn slot_user(&self, record: &LeaseRecord) -> Option<RoleName> {
        if !record.credential_type.is_slot() {
            return None;
        }
        let uses = |entry: &RoleEntry| {
            let role = &entry.role;
            let anchor = self.anchor(&role.anchor);
            role.owner == record.owner
                && role.credential_type == record.credential_type
                && anchor.is_some_and(|anchor| anchor.anchor.access.address == record.address)
        };
        if self.role(&record.role).is_some_and(uses) {
            return Some(record.role.clone());
        }
        self.roles().find(|(_, entry)| uses(entry)).map(|(name, _)| name.clone())
    }

    /// Hands a slot lease to another role that uses the slot.
    pub fn inherit(&mut self, serial: Serial, heir: &RoleName, now: Timestamp) {
        self.move_lease(serial, heir, now);
    }

    /// The current leases of a role's own scopes.
    pub(super) fn currents_of(&self, name: &RoleName) -> impl Iterator<Item = &Lease> {
        self.current.of_role(name).filter_map(|serial| self.leases.get(serial))
    }

    /// Scopes of a role that have a current lease made before that time.
    pub fn scopes_in_use(&self, name: &RoleName, made_before: Timestamp) -> Vec<Scope> {
        let former = self.currents_of(name).filter(|lease| lease.record.issued_at < made_before);
        former.map(|lease| lease.record.scope.clone()).collect()
    }

    /// The wall clock was set back: what was to happen at a time happens when it would have happened.
    pub fn clock_set_back(&mut self, back: Duration) {
        self.changed();
        self.leases.change_all(|lease| lease.clock_set_back(back));
        self.current.move_issue(|at| earlier(at, back));
        self.cooling.values_mut().for_each(|(until, _)| *until = earlier(*until, back));
        self.graves.iter_mut().for_each(|grave| grave.until = earlier(grave.until, back));
        self.move_past(|at| earlier(at, back));
    }

    /// Moves what schedules count from.
    pub(super) fn move_past(&mut self, to: impl Fn(Timestamp) -> Timestamp) {
        self.rotations.values_mut().for_each(|rotation| rotation.at = to(rotation.at));
        self.roles.values_mut().for_each(|entry| entry.changed_at = to(entry.changed_at));
        for entry in self.anchors.values_mut() {
            let past = [&mut entry.anchor.rotated_at, &mut entry.anchor.in_force_since];
            past.into_iter().flatten().for_each(|at| *at = to(*at));
        }
    }

    /// Live leases by state.
    pub fn counts(&self, now: Timestamp) -> Counts {
        self.leases.counts(now)
    }
}

impl Scope {
    /// The role it belongs to; `None` for slots, which several roles share.
    pub fn role(&self) -> Option<&RoleName> {
        match self {
            Self::Slot { .. } => None,
            Self::Role(role) | Self::Unit { role, .. } | Self::Open { role, .. } => Some(role),
        }
    }

    pub(super) fn renamed(&self, to: &RoleName) -> Self {
        let mut scope = self.clone();
        match &mut scope {
            Self::Slot { .. } => {}
            Self::Role(role) | Self::Unit { role, .. } | Self::Open { role, .. } => *role = to.clone(),
        }
        scope
    }
}
