//! The book's roles and anchors.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;

use super::{AnchorEntry, Book, Origin, RoleEntry};
use crate::domain::anchor::Anchor;
use crate::domain::error::Error;
use crate::domain::lease::{LeaseRecord, Scope, Serial, later};
use crate::domain::ledger::Rotation;
use crate::domain::name::{AnchorName, RoleName};
use crate::domain::owner::{CredentialType, Owner};
use crate::domain::role::{Role, Share};

/// How long the leases of a role that is missing at a start wait for it.
const ORPHAN_GRACE: Duration = Duration::from_secs(10);

/// A removed role whose leases live for a grace: `install` and `mv` remove a file before they write it anew.
#[derive(Debug, Clone)]
pub struct Grave {
    /// Its name.
    pub name: RoleName,
    /// What it had issued was of this owner.
    pub owner: Owner,
    /// And of this type.
    pub credential_type: CredentialType,
    /// And made by this anchor.
    pub anchor: AnchorName,
    /// What it had issued.
    pub serials: Vec<Serial>,
    /// End of the grace.
    pub until: Timestamp,
}

impl Grave {
    fn is_of(&self, role: &Role) -> bool {
        self.owner == role.owner && self.credential_type == role.credential_type && self.anchor == role.anchor
    }
}

/// What writing a role did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    /// The name was in use.
    pub existed: bool,
    /// Tokens already issued stay in use.
    pub kept_tokens: bool,
}

/// When tokens of which `oldest` is the time of issue are `every` old, counted from the `last` rotation at the earliest, or
/// from when the role was put `in_force`.
fn due(every: Duration, last: Option<Timestamp>, in_force: Timestamp, oldest: Timestamp) -> Timestamp {
    later(last.unwrap_or(in_force).max(oldest), every)
}

impl Book {
    /// A role in force.
    pub fn role(&self, name: &RoleName) -> Option<&RoleEntry> {
        self.roles.get(name)
    }

    /// A role in force, or the error for the reader.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn find_role(&self, name: &RoleName) -> Result<&RoleEntry, Error> {
        self.roles.get(name).ok_or_else(|| Error::not_found(format!("role \"{name}\"")))
    }

    /// All roles, by name.
    pub fn roles(&self) -> impl Iterator<Item = (&RoleName, &RoleEntry)> {
        self.roles.iter()
    }

    /// The name that has a number, whether or not a role is in force under it.
    pub fn name_of(&self, number: u32) -> Option<&RoleName> {
        self.names.get(&number)
    }

    /// Every name that was ever numbered, deleted ones included.
    pub fn names(&self) -> impl Iterator<Item = (&RoleName, u32)> {
        self.numbers.iter().map(|(name, number)| (name, *number))
    }

    /// The number of a name; a new one for a new name.
    pub fn number(&mut self, name: &RoleName) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.keys().max().map_or(1, |last| last + 1);
        self.numbers.insert(name.clone(), number);
        self.names.insert(number, name.clone());
        number
    }

    /// An anchor in force.
    pub fn anchor(&self, name: &AnchorName) -> Option<&AnchorEntry> {
        self.anchors.get(name)
    }

    /// An anchor in force, or the error for the reader.
    ///
    /// # Errors
    /// [`Error::NoAnchor`].
    pub fn find_anchor(&self, name: &AnchorName) -> Result<&AnchorEntry, Error> {
        self.anchors.get(name).ok_or_else(|| Error::NoAnchor(name.clone()))
    }

    /// All anchors, by name.
    pub fn anchors(&self) -> impl Iterator<Item = (&AnchorName, &AnchorEntry)> {
        self.anchors.iter()
    }

    /// Puts anchors into force; those of the mount that are not among them go.
    pub fn set_anchors(&mut self, anchors: Vec<Anchor>, origin: Origin) {
        self.changed();
        self.anchors.retain(|_, entry| entry.origin != origin);
        for anchor in anchors {
            self.anchors.insert(anchor.name.clone(), AnchorEntry { anchor, origin });
        }
    }

    /// Puts one anchor into force.
    pub fn put_anchor(&mut self, anchor: Anchor, origin: Origin) {
        self.changed();
        self.anchors.insert(anchor.name.clone(), AnchorEntry { anchor, origin });
    }

    /// Puts a role into force. Never touches a token: those already issued stay in use if owner, type and anchor are
    /// the same; else they live on for their holders only.
    pub fn write_role(&mut self, name: &RoleName, role: Role, origin: Origin, now: Timestamp) -> Write {
        self.changed();
        let number = self.number(name);
        let former = self.roles.get(name).map(|entry| entry.role.clone());
        let existed = former.is_some();
        let kept_tokens = match &former {
            Some(former) => former.same_principal(&role) && former.share == role.share,
            None => {
                // It comes back within its grace, or from the configuration file at a start.
                let buried = self.graves.len();
                self.graves.retain(|grave| &grave.name != name || !grave.is_of(&role));
                // Another owner may have had the name in between.
                self.graves.len() < buried && self.currents_of(name).all(|lease| lease.record.is_of(&role))
            }
        };
        if !kept_tokens {
            self.detach(name, now);
        }
        self.awaited.remove(name);
        self.roles.insert(name.clone(), RoleEntry { role, number, origin, changed_at: now });
        Write { existed, kept_tokens }
    }

    /// Takes a role out of force. What it issued waits in a grave until `until`.
    pub fn remove_role(&mut self, name: &RoleName, until: Timestamp) -> Option<RoleEntry> {
        self.changed();
        let entry = self.roles.remove(name)?;
        let serials = self.serials_of(name).collect();
        let Role { owner, credential_type, anchor, .. } = entry.role.clone();
        self.graves.push(Grave { name: name.clone(), owner, credential_type, anchor, serials, until });
        Some(entry)
    }

    /// Gives a role another name; its leases come along. Returns their serials.
    pub fn rename_role(&mut self, from: &RoleName, to: &RoleName, now: Timestamp) -> Vec<Serial> {
        self.changed();
        let Some(entry) = self.roles.remove(from) else { return Vec::new() };
        if self.roles.contains_key(to) {
            self.detach(to, now);
        }
        self.write_role(to, entry.role, entry.origin, now);
        let moved: Vec<Serial> = self.serials_of(from).collect();
        for serial in &moved {
            self.move_lease(*serial, to, now);
        }
        // Nothing that was prepared under the old name is left for a role that gets it next.
        self.detach(from, now);
        moved
    }

    /// At a start: leases whose role is not in force wait for it, as if it had just been removed. The roles of the
    /// configuration file come back at once; one that a crash cut off from its burial does not.
    pub(super) fn bury_orphans(&mut self, now: Timestamp) {
        let mut orphans: Vec<Grave> = Vec::new();
        for name in self.leases.roles().filter(|name| self.role(name).is_none()) {
            let first = orphans.len();
            let left = self.serials_of(name).filter_map(|serial| self.lease(serial));
            for LeaseRecord { serial, owner, credential_type, anchor, .. } in
                left.filter(|lease| lease.ended.is_none()).map(|lease| &lease.record)
            {
                // One grave for each principal that the name has stood for: there are few, and of leases many.
                let same = |grave: &&mut Grave| {
                    &grave.owner == owner && grave.credential_type == *credential_type && &grave.anchor == anchor
                };
                match orphans[first..].iter_mut().find(same) {
                    Some(grave) => grave.serials.push(*serial),
                    None => orphans.push(Grave {
                        name: name.clone(),
                        owner: owner.clone(),
                        credential_type: *credential_type,
                        anchor: anchor.clone(),
                        serials: vec![*serial],
                        until: later(now, ORPHAN_GRACE),
                    }),
                }
            }
        }
        self.graves.extend(orphans);
    }

    /// Roles of the configuration file that are not in force yet, because upstream must be asked first.
    pub fn await_roles(&mut self, names: HashSet<RoleName>) {
        self.awaited = names;
    }

    /// The id that a team had when it was last looked up.
    pub fn team(&self, key: &str) -> Option<&String> {
        self.teams.get(key)
    }

    /// Notes the id of a team.
    pub fn know_team(&mut self, key: String, id: String) {
        self.teams.insert(key, id);
    }

    /// Graves whose grace is over.
    pub fn take_graves(&mut self, now: Timestamp) -> Vec<Grave> {
        let awaited = &self.awaited;
        let is_due = |grave: &Grave| grave.until <= now && !awaited.contains(&grave.name);
        let (due, rest) = std::mem::take(&mut self.graves).into_iter().partition(is_due);
        self.graves = rest;
        due
    }

    /// Earliest end of a grace.
    pub(super) fn next_grave(&self) -> Option<Timestamp> {
        let graves = self.graves.iter().filter(|grave| !self.awaited.contains(&grave.name));
        graves.map(|grave| grave.until).min()
    }

    /// The last rotation of a role.
    pub fn rotation(&self, name: &RoleName) -> Option<Rotation> {
        self.rotations.get(name).copied()
    }

    /// When a role is to be rotated by schedule; `None` without `rotate_every`, and while nobody has a token of it.
    pub fn next_role_rotation(&self, name: &RoleName) -> Option<Timestamp> {
        let entry = self.role(name)?;
        let every = entry.role.rotate_every?;
        let oldest = match entry.role.share {
            Share::Open => None,
            Share::Role => {
                let scope = self.scope(name, 0, None, Serial(0)).ok()?;
                self.current_lease(&scope).map(|lease| lease.record.issued_at)
            }
            Share::Unit => self.current.oldest_of_role(name),
        };
        let last = self.rotation(name).map(|last| last.at);
        Some(due(every, last, entry.changed_at, oldest?))
    }

    /// Notes a rotation.
    pub fn rotated(&mut self, name: &RoleName, rotation: Rotation) {
        self.rotations.insert(name.clone(), rotation);
    }

    /// Takes a noted rotation back: it did not happen.
    pub fn unrotated(&mut self, name: &RoleName, former: Option<Rotation>) {
        match former {
            Some(former) => self.rotations.insert(name.clone(), former),
            None => self.rotations.remove(name),
        };
    }

    /// Who shares what an opener gets. `node` is the serial of the opened node, used by unshared roles.
    ///
    /// # Errors
    /// Unknown role; a slot whose anchor is not configured; a caller whose unit is unknown where that decides.
    pub fn scope(&self, name: &RoleName, uid: u32, unit: Option<&str>, node: Serial) -> Result<Scope, Error> {
        let role = &self.find_role(name)?.role;
        if role.credential_type.is_slot() {
            let address = self.find_anchor(&role.anchor)?.anchor.access.address.clone();
            return Ok(Scope::Slot { address, owner: role.owner.clone() });
        }
        Ok(match role.share {
            Share::Role => Scope::Role(name.clone()),
            Share::Open => Scope::Open { role: name.clone(), node },
            Share::Unit => {
                let unit = unit.ok_or_else(|| {
                    Error::NotAllowed(format!(
                        "role \"{name}\" is shared by unit, and the unit of this caller cannot be told (it comes from another pid namespace)"
                    ))
                })?;
                Scope::Unit { role: name.clone(), uid, unit: unit.to_owned() }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_counts_from_the_latest_of_rotation_or_force_and_issue() {
        let at = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
        let hour = Duration::from_secs(3600);
        assert_eq!(due(hour, None, at(10), at(5)), at(70), "from when the role was put in force");
        assert_eq!(due(hour, Some(at(20)), at(10), at(5)), at(80), "from the last rotation");
        assert_eq!(due(hour, Some(at(3)), at(10), at(5)), at(65), "an edit does not put it off");
        assert_eq!(due(hour, Some(at(3)), at(1), at(30)), at(90), "a token just made is not replaced at once");
    }
}
