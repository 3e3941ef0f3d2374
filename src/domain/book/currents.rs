//! Which lease the openers of each scope get, and which of a role's leases those are. Pure.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use rustc_hash::FxHashMap;

use crate::domain::lease::{LeaseRecord, Scope, Serial};
use crate::domain::name::RoleName;

/// The current lease of every scope that has one.
#[derive(Debug, Default)]
pub(super) struct Currents {
    by_scope: FxHashMap<Scope, (Serial, Timestamp)>,
    /// Of the scopes that belong to a role: their leases by time of issue.
    by_role: HashMap<RoleName, BTreeSet<(Timestamp, Serial)>>,
}

impl Currents {
    pub(super) fn get(&self, scope: &Scope) -> Option<Serial> {
        Some(self.by_scope.get(scope)?.0)
    }

    pub(super) fn contains(&self, scope: &Scope) -> bool {
        self.by_scope.contains_key(scope)
    }

    /// Makes a lease the current one of its scope; returns the former.
    pub(super) fn put(&mut self, record: &LeaseRecord) -> Option<Serial> {
        let (scope, one) = (&record.scope, (record.issued_at, record.serial));
        let former = self.remove(scope);
        if let Some(role) = scope.role() {
            match self.by_role.get_mut(role) {
                Some(currents) => drop(currents.insert(one)),
                None => drop(self.by_role.insert(role.clone(), BTreeSet::from([one]))),
            }
        }
        self.by_scope.insert(scope.clone(), (record.serial, record.issued_at));
        former
    }

    pub(super) fn remove(&mut self, scope: &Scope) -> Option<Serial> {
        let (serial, issued_at) = self.by_scope.remove(scope)?;
        if let Some(role) = scope.role()
            && let Some(currents) = self.by_role.get_mut(role)
        {
            currents.remove(&(issued_at, serial));
            if currents.is_empty() {
                self.by_role.remove(role);
            }
        }
        Some(serial)
    }

    /// Every time of issue moves.
    pub(super) fn move_issue(&mut self, to: impl Fn(Timestamp) -> Timestamp) {
        self.by_scope.values_mut().for_each(|(_, at)| *at = to(*at));
        for currents in self.by_role.values_mut() {
            *currents = currents.iter().map(|(at, serial)| (to(*at), *serial)).collect();
        }
    }

    /// The current leases of a role's own scopes, the oldest first.
    pub(super) fn of_role(&self, role: &RoleName) -> impl Iterator<Item = Serial> {
        self.by_role.get(role).into_iter().flatten().map(|(_, serial)| *serial)
    }

    /// When the oldest of them was issued.
    pub(super) fn oldest_of_role(&self, role: &RoleName) -> Option<Timestamp> {
        Some(self.by_role.get(role)?.first()?.0)
    }
}
