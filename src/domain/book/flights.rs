//! The book's flights: tokens being made, one at a time for each scope, and what becomes of them.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::{Book, Flight, Landing};
use crate::domain::anchor::Anchor;
use crate::domain::error::{Ended, Error};
use crate::domain::lease::{Adequacy, Lease, LeaseId, LeaseRecord, Opener, Phase, Scope, Serial, later};
use crate::domain::ledger::Durable;
use crate::domain::name::RoleName;
use crate::domain::role::{DEFAULT_MAX_LEASES, OnClose};

/// How long a token that was made for nobody waits for an opener, if its role revokes at the last close.
const UNCLAIMED: Duration = Duration::from_secs(5);

/// Background renewals that fail are repeated after this, doubled up to [`COOLING_MOST`].
const COOLING_LEAST: Duration = Duration::from_secs(5);

/// See [`COOLING_LEAST`].
const COOLING_MOST: Duration = Duration::from_secs(120);

/// What became of a new token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// Openers get it.
    Current {
        /// The lease it replaces.
        former: Option<Serial>,
    },
    /// Its role is gone or means another owner now: it is kept only to be revoked.
    Unwanted,
}

impl Book {
    /// Serial that the next lease of a shared scope will have.
    ///
    /// # Errors
    /// No serials left.
    pub fn prospect(&mut self, scope: &Scope) -> Result<Serial, Error> {
        if let Some(serial) = self.prospects.get(scope) {
            return Ok(*serial);
        }
        let serial = self.take_serial()?;
        self.prospects.insert(scope.clone(), serial);
        Ok(serial)
    }

    /// A serial that a record may have is never given to another one, whatever became of the token.
    pub fn spend(&mut self, serial: Serial) {
        self.prospects.retain(|_, prospect| *prospect != serial);
    }

    /// Whether `serial` is the prospect of `scope`.
    pub fn is_prospect(&self, scope: &Scope, serial: Serial) -> bool {
        self.prospects.get(scope) == Some(&serial)
    }

    pub(super) fn assign_spare(&mut self, scope: &Scope, role: &RoleName, now: Timestamp) -> bool {
        if self.current.contains(scope) {
            return false;
        }
        while let Some(serial) = self.spares.get_mut(role).and_then(Vec::pop) {
            let Some(mut lease) = self.leases.change(serial) else { continue };
            if matches!(lease.adequacy(now), Adequacy::Enough | Adequacy::Renew) {
                lease.record.scope = scope.clone();
                drop(lease);
                self.make_current(serial);
                return true;
            }
        }
        false
    }

    pub(super) fn unclaimed(lease: &mut Lease, now: Timestamp) {
        if lease.record.credential_type.is_slot() {
            return;
        }
        let wait = if lease.record.on_close == OnClose::Revoke { UNCLAIMED } else { lease.record.times.ttl };
        lease.expires_at = later(now, wait).min(lease.record.ends_at);
    }

    /// Joins the flight of a scope, or starts one: then the second value is true and the caller makes the token.
    pub fn board(&mut self, scope: &Scope, waiters: u32) -> (watch::Receiver<Landing>, bool) {
        if let Some(flight) = self.flights.get_mut(scope) {
            flight.waiters += waiters;
            return (flight.landing.subscribe(), false);
        }
        let (landing, receiver) = watch::channel(None);
        self.flights.insert(scope.clone(), Flight { waiters, landing });
        (receiver, true)
    }

    /// A waiter gives up.
    pub fn leave(&mut self, scope: &Scope, landing: &watch::Receiver<Landing>, now: Timestamp) {
        let landed = match &*landing.borrow() {
            Some(Ok(serial)) => Some(*serial),
            Some(Err(_)) => return,
            None => None,
        };
        match landed {
            Some(serial) => self.give_back(serial, now),
            None => {
                if let Some(flight) = self.flights.get_mut(scope) {
                    flight.waiters = flight.waiters.saturating_sub(1);
                }
            }
        }
    }

    /// Whether a token is being made for `scope`.
    pub fn is_flying(&self, scope: &Scope) -> bool {
        self.flights.contains_key(scope)
    }

    /// How many tokens are being made.
    pub fn flying(&self) -> usize {
        self.flights.len()
    }

    /// What to make for an opener of `scope`.
    ///
    /// # Errors
    /// Role or anchor gone, too many leases, no serials.
    pub fn plan(
        &mut self,
        name: &RoleName,
        scope: &Scope,
        opener: Opener,
        now: Timestamp,
    ) -> Result<(LeaseRecord, Anchor), Error> {
        let role = self.find_role(name)?.role.clone();
        let anchor = self.find_anchor(&role.anchor)?.anchor.clone();
        let limit = role.max_leases.unwrap_or(DEFAULT_MAX_LEASES);
        let flying = self.flights.keys().filter(|other| *other != scope && other.role() == Some(name)).count();
        // A successor takes the place of the current lease. Superseded ones do not count: their successors do, and a
        // rotation of all would run into the limit half-way.
        let replaces = usize::from(self.current_lease(scope).is_some_and(|lease| lease.is_live(now)));
        if self.has_live_leases(name, (limit as usize + replaces).saturating_sub(flying), now) {
            return Err(Error::TooManyLeases { role: name.clone(), limit });
        }
        let serial = match scope {
            Scope::Open { .. } => self.take_serial()?,
            _ => self.prospect(scope)?,
        };
        let times = role.times(&self.limits);
        let record = LeaseRecord {
            id: LeaseId::new(now),
            serial,
            role: name.clone(),
            scope: scope.clone(),
            owner: role.owner,
            credential_type: role.credential_type,
            organization: role.organization,
            anchor: role.anchor,
            address: anchor.access.address.clone(),
            description: role.description.unwrap_or_else(|| name.to_string()),
            phase: Phase::Intent,
            token_id: None,
            token: None,
            issued_at: now,
            ends_at: later(now, times.max_ttl),
            times,
            on_close: role.on_close,
            opener,
        };
        Ok((record, anchor))
    }

    /// A token was made and is durable: makes it current, with one hold for each waiter, and lands the flight.
    pub fn publish(&mut self, record: Durable<LeaseRecord>, now: Timestamp) -> Published {
        self.changed();
        let record = record.into_inner();
        let (scope, serial, name) = (record.scope.clone(), record.serial, record.role.clone());
        self.spend(serial);
        // A slot is wanted as long as any role uses it.
        let wanted =
            self.slot_user(&record).is_some() || self.role(&name).is_some_and(|entry| record.is_of(&entry.role));
        let mut lease = Lease::new(record, now);
        if !wanted {
            lease.ended = Some(Ended::Revoked);
            self.leases.insert(lease);
            self.land(&scope, Err(Error::not_found(format!("role \"{name}\" any more"))));
            return Published::Unwanted;
        }
        let waiters = self.flights.get(&scope).map_or(0, |flight| flight.waiters);
        for _ in 0..waiters {
            lease.open();
        }
        if waiters == 0 {
            Self::unclaimed(&mut lease, now);
        }
        self.leases.insert(lease);
        if waiters == 0 && matches!(scope, Scope::Open { .. }) {
            self.spares.entry(name).or_default().push(serial);
            self.land(&scope, Ok(serial));
            return Published::Current { former: None };
        }
        let former = self.make_current(serial);
        if let Some(former) = former {
            self.mark_superseded(former, now);
        }
        self.cooling.remove(&scope);
        self.land(&scope, Ok(serial));
        Published::Current { former }
    }

    /// Ends a flight without a token.
    pub fn crash(&mut self, scope: &Scope, error: Error, now: Timestamp) {
        let failures = self.cooling.get(scope).map_or(0, |(_, failures)| *failures);
        let wait = COOLING_LEAST.saturating_mul(1 << failures.min(8)).min(COOLING_MOST);
        if matches!(scope, Scope::Open { .. }) {
            self.current.remove(scope);
        } else {
            self.cooling.insert(scope.clone(), (later(now, wait), failures + 1));
        }
        self.land(scope, Err(error));
    }

    fn land(&mut self, scope: &Scope, result: Result<Serial, Error>) {
        if let Some(flight) = self.flights.remove(scope) {
            flight.landing.send_replace(Some(result));
        }
        // A renewal that an earlier failure has put off may come sooner now.
        if let Some(serial) = self.current.get(scope) {
            self.leases.renote(serial);
        }
    }

    /// The kernel has forgotten a node that was looked up but never opened: its name may get another.
    pub fn forget_prospect(&mut self, serial: Serial) {
        let flights = &self.flights;
        self.prospects.retain(|scope, prospect| *prospect != serial || flights.contains_key(scope));
    }

    /// Forgets failures that are long past.
    pub fn forget_failures(&mut self, now: Timestamp) {
        self.cooling.retain(|_, (until, _)| later(*until, COOLING_MOST) > now);
    }
}
