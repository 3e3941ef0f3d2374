//! What an operator changes: roles, and what the settings file says. Check, commit to the ledger, put into force, tell.
//! `config.rs` has the mount's anchors.

use std::sync::Arc;
use std::time::Duration;

use super::Issuer;
use crate::domain::anchor::{Address, Anchor};
use crate::domain::book::{Grave, Origin, RoleEntry};
use crate::domain::error::{Ended, Error};
use crate::domain::event::Event;
use crate::domain::lease::later;
use crate::domain::ledger::{Entry, StoredRole, team_key};
use crate::domain::name::{AnchorName, RoleName};
use crate::domain::role::Role;

impl Issuer {
    /// Creates or replaces a role of the mount. Makes and kills no token.
    ///
    /// # Errors
    /// A role that the configuration file owns; the ledger's.
    pub async fn write_role(&self, name: &RoleName, role: Role) -> Result<(), Error> {
        let _one_at_a_time = self.admin.lock().await;
        self.may_change_role(name)?;
        let now = self.now();
        let number = self.book.lock().number(name);
        let stored = StoredRole { role: role.clone(), changed_at: now };
        self.ledger.write(vec![Entry::Number(name.clone(), number), Entry::Role(name.clone(), stored)]).await?;
        let written = self.book.lock().write_role(name, role, Origin::Mount, now);
        // It may have a schedule now.
        self.wake.notify_one();
        self.observe(Event::RoleWritten { role: name.clone(), existed: written.existed });
        Ok(())
    }

    /// Removes a role of the mount. It stops issuing at once; what it issued is revoked after the grace, unless the
    /// same name with the same owner comes back.
    ///
    /// # Errors
    /// Unknown role; a role that the configuration file owns; the ledger's.
    pub async fn remove_role(&self, name: &RoleName) -> Result<(), Error> {
        let _one_at_a_time = self.admin.lock().await;
        self.may_change_role(name)?;
        self.book.lock().find_role(name)?;
        self.ledger.write(vec![Entry::NoRole(name.clone())]).await?;
        let until = later(self.now(), self.settings.delete_grace);
        self.book.lock().remove_role(name, until);
        self.arm(until);
        self.observe(Event::RoleRemoved { role: name.clone() });
        Ok(())
    }

    /// Gives a role of the mount another name, replacing a role there. Its leases come along.
    ///
    /// # Errors
    /// As [`Issuer::write_role`] and [`Issuer::remove_role`].
    pub async fn rename_role(&self, from: &RoleName, to: &RoleName) -> Result<(), Error> {
        let _one_at_a_time = self.admin.lock().await;
        self.may_change_role(from)?;
        self.may_change_role(to)?;
        let now = self.now();
        let (entries, existed) = {
            let mut book = self.book.lock();
            let role = book.find_role(from)?.role.clone();
            let mut entries = vec![
                Entry::Number(to.clone(), book.number(to)),
                Entry::Role(to.clone(), StoredRole { role, changed_at: now }),
                Entry::NoRole(from.clone()),
            ];
            entries.extend(book.leases_renamed(from, to).into_iter().map(|lease| Entry::Lease(Box::new(lease))));
            (entries, book.role(to).is_some())
        };
        self.ledger.write(entries).await?;
        self.book.lock().rename_role(from, to, now);
        self.wake.notify_one();
        self.observe(Event::RoleRemoved { role: from.clone() });
        self.observe(Event::RoleWritten { role: to.clone(), existed });
        Ok(())
    }

    /// Whether the mount may write, rename or remove a role of this name.
    ///
    /// # Errors
    /// It belongs to the configuration file.
    pub fn may_change_role(&self, name: &RoleName) -> Result<(), Error> {
        match self.book.lock().role(name) {
            Some(entry) if entry.origin == Origin::File => Err(Error::OwnedByFile { what: format!("role \"{name}\"") }),
            _ => Ok(()),
        }
    }

    /// Puts the configuration file's roles and anchors into force, at start and at a reload. What the file named
    /// before and names no more goes, with the grace of a removed role; a role without a value stays as it is.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn apply_file(&self, anchors: Vec<Anchor>, roles: Vec<(RoleName, Option<Role>)>) -> Result<(), Error> {
        let _one_at_a_time = self.admin.lock().await;
        let now = self.now();
        let numbers: Vec<Entry> = {
            let mut book = self.book.lock();
            roles.iter().map(|(name, _)| Entry::Number(name.clone(), book.number(name))).collect()
        };
        if !numbers.is_empty() {
            self.ledger.write(numbers).await?;
        }
        let mut events = Vec::new();
        {
            let mut book = self.book.lock();
            book.set_anchors(anchors, Origin::File);
            let gone: Vec<RoleName> = book
                .roles()
                .filter(|(name, entry)| entry.origin == Origin::File && !roles.iter().any(|(other, _)| other == *name))
                .map(|(name, _)| name.clone())
                .collect();
            for role in gone {
                book.remove_role(&role, later(now, self.settings.delete_grace));
                events.push(Event::RoleRemoved { role });
            }
            let awaited = roles.iter().filter(|(_, role)| role.is_none()).map(|(name, _)| name.clone());
            book.await_roles(awaited.collect());
            for (name, role) in roles {
                let Some(role) = role else { continue };
                if book.role(&name).is_some_and(|entry| entry.origin == Origin::File && entry.role == role) {
                    continue;
                }
                let existed = book.write_role(&name, role, Origin::File, now).existed;
                events.push(Event::RoleWritten { role: name, existed });
            }
        }
        self.retry_all();
        for event in events {
            self.observe(event);
        }
        Ok(())
    }

    /// Puts one more role of the configuration file into force, unless it is already.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn add_file_role(&self, name: RoleName, role: Role) -> Result<(), Error> {
        let _one_at_a_time = self.admin.lock().await;
        let same = |entry: &RoleEntry| entry.origin == Origin::File && entry.role == role;
        if self.book.lock().role(&name).is_some_and(same) {
            return Ok(());
        }
        let number = self.book.lock().number(&name);
        self.ledger.write(vec![Entry::Number(name.clone(), number)]).await?;
        let written = self.book.lock().write_role(&name, role, Origin::File, self.now());
        self.wake.notify_one();
        self.observe(Event::RoleWritten { role: name, existed: written.existed });
        Ok(())
    }

    /// The id of a team by name, as a role document asked.
    ///
    /// # Errors
    /// No such anchor, no such team, upstream's.
    pub async fn team_id(&self, anchor: &AnchorName, organization: &str, team: &str) -> Result<String, Error> {
        let access = self.book.lock().find_anchor(anchor)?.anchor.access.clone();
        let found = self.api.team_id(&access, organization, team).await;
        let id = found.map_err(|error| Error::upstream(error, None))?.ok_or_else(|| {
            Error::NotAllowed(format!(
                "organization \"{organization}\" has no team \"{team}\" that this token may see; check both names, or write team_id"
            ))
        })?;
        let key = team_key(&access.address, organization, team);
        let known = self.book.lock().team(&key) == Some(&id);
        if !known {
            self.ledger.write(vec![Entry::Team(key.clone(), id.clone())]).await?;
            self.book.lock().know_team(key, id.clone());
        }
        Ok(id)
    }

    /// The id that a team had when it was last asked for: a start need not wait for upstream.
    pub fn known_team_id(&self, address: &Address, organization: &str, team: &str) -> Option<String> {
        self.book.lock().team(&team_key(address, organization, team)).cloned()
    }

    /// Revokes a live lease by its public name, for `rm leases/<role>/<id>`: waits for upstream at most `deadline`;
    /// the decision is durable either way.
    ///
    /// # Errors
    /// Unknown lease.
    pub async fn revoke_by_id(self: &Arc<Self>, id: &str, deadline: Duration) -> Result<(), Error> {
        let serial = self.book.lock().lease_by_id(id).map(|lease| lease.record.serial);
        let serial = serial.ok_or_else(|| Error::not_found("live lease of that name"))?;
        let issuer = self.clone();
        let revoking = self.runtime.spawn(async move { issuer.revoke(serial, Ended::Revoked).await });
        match tokio::time::timeout(deadline, revoking).await {
            Ok(Ok(result)) => result,
            // Under way and queued for ever: the lease has ended for everybody here.
            _ => Ok(()),
        }
    }

    /// Gives a lingering lease its full `ttl` again from now.
    ///
    /// # Errors
    /// Unknown or ended lease.
    pub fn renew(&self, id: &str) -> Result<(), Error> {
        let now = self.now();
        let serial = {
            let mut book = self.book.lock();
            let serial = book.lease_by_id(id).filter(|lease| lease.is_live(now)).map(|lease| lease.record.serial);
            let serial = serial.ok_or_else(|| Error::not_found("live lease of that name"))?;
            book.renew(serial, now);
            serial
        };
        self.note_linger(serial, now);
        Ok(())
    }

    /// What a removed role had issued is revoked when its grace is over.
    pub(in crate::domain) async fn bury(self: &Arc<Self>, grave: Grave) {
        for serial in grave.serials {
            let heir = {
                let book = self.book.lock();
                book.lease(serial).and_then(|lease| book.slot_user(&lease.record))
            };
            match heir {
                Some(heir) => self.book.lock().inherit(serial, &heir, self.now()),
                None => self.end_soon(serial, Ended::Revoked),
            }
        }
    }
}
