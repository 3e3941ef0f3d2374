//! What is due, and when the next thing will be: answered from the agenda, without a look at every lease.

#[cfg(any(test, debug_assertions))]
mod reference;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

use super::Book;
use crate::domain::error::Ended;
use crate::domain::lease::{Lease, Scope, Serial};
use crate::domain::name::RoleName;

/// What is due.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Leases whose time is over.
    pub ends: Vec<(Serial, Ended)>,
    /// Scopes whose held lease wants a successor.
    pub renewals: Vec<(Scope, RoleName)>,
    /// When to look again.
    pub next: Option<Timestamp>,
}

/// What the present moment means for a lease.
struct Turn {
    end: Option<Ended>,
    renew: bool,
    /// When something happens to it next.
    next: Option<Timestamp>,
    /// Its renewal is due and waits for something that has no time: the end of a flight, or a role that comes back.
    waits: bool,
}

impl Due {
    fn look_at(&mut self, at: Timestamp) {
        self.next = Some(self.next.map_or(at, |other| other.min(at)));
    }

    fn take(&mut self, lease: &Lease, turn: &Turn) {
        let record = &lease.record;
        self.ends.extend(turn.end.map(|how| (record.serial, how)));
        if turn.renew {
            self.renewals.push((record.scope.clone(), record.role.clone()));
        }
        if let Some(at) = turn.next {
            self.look_at(at);
        }
    }
}

impl Book {
    /// What is due at `now`, and when to look again.
    pub fn due(&mut self, now: Timestamp) -> Due {
        let mut due = Due::default();
        let mut later = Vec::new();
        for lease in self.leases.noted_by(now) {
            let turn = self.turn(lease, now);
            due.take(lease, &turn);
            if let Some(at) = turn.next.filter(|_| !turn.renew && !turn.waits) {
                later.push((lease.record.serial, at));
            }
        }
        for (serial, at) in later.drain(..) {
            self.leases.put_off(serial, at);
        }
        // The first of the others, once it is certain that it is the first.
        while let Some((noted, lease)) = self.leases.noted_after(now) {
            let (serial, next) = (lease.record.serial, self.turn(lease, now).next);
            match next {
                Some(at) if at > noted => self.leases.put_off(serial, at),
                _ => {
                    due.look_at(noted);
                    break;
                }
            }
        }
        if let Some(at) = self.next_grave() {
            due.look_at(at);
        }
        #[cfg(debug_assertions)]
        reference::check(self, &due, now);
        due
    }

    fn turn(&self, lease: &Lease, now: Timestamp) -> Turn {
        let mut turn = Turn { end: None, renew: false, next: None, waits: false };
        if lease.ended.is_some() {
            return turn;
        }
        let end = lease.end();
        if end <= now {
            turn.end = Some(if end < lease.record.ends_at { lease.ends_as } else { Ended::Expired });
            return turn;
        }
        turn.next = Some(end);
        let scope = &lease.record.scope;
        if let Some(at) = lease.renew_at().filter(|_| self.current.get(scope) == Some(lease.record.serial)) {
            let at = self.cooling.get(scope).map_or(at, |(until, _)| at.max(*until));
            if at > now {
                turn.next = Some(at.min(end));
            } else {
                turn.renew = !self.flights.contains_key(scope) && self.role(&lease.record.role).is_some();
                turn.waits = !turn.renew;
            }
        }
        turn
    }
}
