//! The mount's `config`: replaces the anchors, after asking upstream about each, without losing a token that it ends.

use std::time::Duration;

use super::Issuer;
use super::queue::{Doomed, Search};
use crate::domain::anchor::{Access, Address, Anchor};
use crate::domain::anchor_rotation::{AnchorToken, rotatable};
use crate::domain::book::Origin;
use crate::domain::document::{ConfigSpec, DocumentError};
use crate::domain::error::Error;
use crate::domain::event::Event;
use crate::domain::lease::LeaseRecord;
use crate::domain::ledger::Entry;
use crate::domain::name::AnchorName;

/// An anchor as the document wants it, before upstream was asked about it.
struct Wanted {
    name: AnchorName,
    access: Access,
    rotate_every: Option<Duration>,
}

impl Issuer {
    /// Replaces the mount's anchors, after asking upstream about each of them. On any failure the old ones stay.
    ///
    /// # Errors
    /// A token that upstream refuses, an upstream that cannot be asked, an anchor that a role or the file needs, a
    /// schedule for an anchor that cannot be rotated.
    pub async fn write_config(&self, document: ConfigSpec) -> Result<(), Error> {
        let _one_at_a_time = self.anchors.lock().await;
        let wanted = self.merge(document)?;
        let mut anchors = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            anchors.push(self.complete_anchor(wanted).await?);
        }
        // Roles may have been written meanwhile.
        let _no_role_meanwhile = self.admin.lock().await;
        self.keep_servers(&anchors)?;
        let dropped = self.dropped_anchors(&anchors)?;
        let retired = self.retired_tokens(&anchors)?;
        let mut entries =
            self.undecided(|name| dropped.contains(name) || anchors.iter().any(|anchor| &anchor.name == name));
        entries.extend(anchors.iter().cloned().map(Entry::Anchor));
        entries.extend(dropped.into_iter().map(Entry::NoAnchor));
        entries.extend(retired.iter().cloned().map(|token| Entry::AnchorToken(Box::new(token))));
        self.ledger.write(entries).await?;
        self.book.lock().set_anchors(anchors, Origin::Mount);
        for token in retired {
            self.enqueue(Doomed::Anchor(Box::new(token)));
        }
        self.retry_all();
        self.observe(Event::ConfigWritten);
        Ok(())
    }

    /// Completes a document by what is in force. Under the lock of the anchors: what a rotation is about to replace would
    /// come back else.
    fn merge(&self, document: ConfigSpec) -> Result<Vec<Wanted>, Error> {
        let book = self.book.lock();
        let mut wanted = Vec::new();
        for spec in document.anchors {
            let previous = book.anchor(&spec.name);
            let access = spec.merge(previous.map(|entry| &entry.anchor))?;
            if let Some(file) = previous.filter(|entry| entry.origin == Origin::File).map(|entry| &entry.anchor.access)
            {
                // What is read back can be written back: the file's anchors stand in the text too.
                if file.address == access.address && file.token == access.token && spec.rotate_every.is_none() {
                    continue;
                }
                return Err(Error::OwnedByFile { what: format!("anchor \"{}\"", spec.name) });
            }
            wanted.push(Wanted { name: spec.name, access, rotate_every: spec.rotate_every });
        }
        Ok(wanted)
    }

    /// Whose token is it? The answer completes the anchor.
    ///
    /// # Errors
    /// Upstream's.
    pub async fn verify_anchor(&self, name: AnchorName, mut access: Access) -> Result<Anchor, Error> {
        let identity = self.api.whoami(&access).await.map_err(|error| Error::upstream(error, None))?;
        access.owner = identity.owner;
        Ok(Anchor::new(name, access, identity.token_id))
    }

    /// A token that stays keeps what is known of its past.
    async fn complete_anchor(&self, wanted: Wanted) -> Result<Anchor, Error> {
        let Wanted { name, access, rotate_every } = wanted;
        let previous = self.book.lock().anchor(&name).map(|entry| entry.anchor.clone());
        let anchor = self.verify_anchor(name, access).await?;
        let same = |previous: &Anchor| {
            previous.access.token == anchor.access.token && previous.access.address == anchor.access.address
        };
        let past = previous.filter(same);
        let anchor = Anchor {
            rotate_every,
            rotated_at: past.as_ref().and_then(|past| past.rotated_at),
            in_force_since: past.as_ref().and_then(|past| past.in_force_since).or(Some(self.now())),
            ends_at: past.as_ref().and_then(|past| past.ends_at),
            token_id: anchor.token_id.or(past.and_then(|past| past.token_id)),
            ..anchor
        };
        if rotate_every.is_some() {
            rotatable(&anchor, self.settings.allow_organization_anchor_rotation)?;
        }
        Ok(anchor)
    }

    /// Tokens that rotations made and the new document replaces: nobody but us ever had them.
    fn retired_tokens(&self, wanted: &[Anchor]) -> Result<Vec<AnchorToken>, Error> {
        let replaced: Vec<Anchor> = {
            let book = self.book.lock();
            let ours =
                book.anchors().filter(|(_, entry)| entry.origin == Origin::Mount).map(|(_, entry)| &entry.anchor);
            let stays = |anchor: &Anchor| wanted.iter().any(|other| other.access.token == anchor.access.token);
            ours.filter(|anchor| anchor.rotated_at.is_some() && !stays(anchor)).cloned().collect()
        };
        let mut retired = Vec::new();
        for anchor in replaced {
            // What is in an organization's slot now may be the operator's.
            let Ok(principal) = rotatable(&anchor, false) else { continue };
            let serial = self.take_serial()?;
            retired.push(
                AnchorToken::intent(&anchor, principal, serial, &self.settings.host, self.now()).condemn(&anchor),
            );
        }
        Ok(retired)
    }

    /// All anchors of one upstream, with their owners as far as it tells.
    ///
    /// # Errors
    /// Upstream's: whose tokens they are is not known then.
    pub(super) async fn told_anchors(&self, address: &Address) -> Result<Vec<Anchor>, Error> {
        let found: Vec<(Anchor, Origin)> = {
            let book = self.book.lock();
            let here = book.anchors().filter(|(_, entry)| &entry.anchor.access.address == address);
            here.map(|(_, entry)| (entry.anchor.clone(), entry.origin)).collect()
        };
        let mut anchors = Vec::with_capacity(found.len());
        for (mut anchor, origin) in found {
            if anchor.access.owner.is_none() {
                // The settings file names a token, upstream knows whose it is; until it was asked nothing is regenerated.
                let told = self.verify_anchor(anchor.name.clone(), anchor.access.clone()).await?;
                anchor = Anchor { access: told.access, token_id: told.token_id, ..anchor };
                let mut book = self.book.lock();
                // Another one may have taken its place while upstream was asked.
                let still = book.anchor(&anchor.name).is_some_and(|entry| {
                    let access = &entry.anchor.access;
                    entry.origin == origin
                        && access.address == anchor.access.address
                        && access.token == anchor.access.token
                });
                if still {
                    book.put_anchor(anchor.clone(), origin);
                }
            }
            anchors.push(anchor);
        }
        Ok(anchors)
    }

    /// Refuses to take an anchor to another server while tokens live that it made at the former one: nothing else could
    /// revoke them.
    fn keep_servers(&self, wanted: &[Anchor]) -> Result<(), Error> {
        let searches = self.searches();
        let book = self.book.lock();
        for Anchor { name, access, .. } in wanted {
            let searched = |search: &&Search| &search.anchor == name && !search.address.same_server(&access.address);
            if let Some(search) = searches.iter().find(searched) {
                return Err(missing(format!(
                    "anchor \"{name}\" is still needed to search {} for {}: wait until none is pending, or give the anchor for {} another name",
                    search.address,
                    search.what(),
                    access.address
                )));
            }
            let elsewhere =
                |record: &LeaseRecord| &record.anchor == name && !record.address.same_server(&access.address);
            if let Some(lease) = book.leases().find(|lease| elsewhere(&lease.record)) {
                let (role, former) = (&lease.record.role, &lease.record.address);
                return Err(missing(format!(
                    "anchor \"{name}\" is still needed to revoke tokens it made at {former} (role \"{role}\"): remove them first (rm leases/{role}/*) and wait until none is pending, or give the anchor for {} another name",
                    access.address
                )));
            }
        }
        Ok(())
    }

    /// Anchors of the mount that the new document does not name.
    fn dropped_anchors(&self, wanted: &[Anchor]) -> Result<Vec<AnchorName>, Error> {
        let searches = self.searches();
        let book = self.book.lock();
        let mut dropped = Vec::new();
        for (name, entry) in book.anchors() {
            if entry.origin == Origin::File || wanted.iter().any(|anchor| &anchor.name == name) {
                continue;
            }
            if let Some((role, _)) = book.roles().find(|(_, entry)| &entry.role.anchor == name) {
                return Err(missing(format!(
                    "this document leaves out anchor \"{name}\", which role \"{role}\" uses; keep a section [anchors.{name}], or change the role first"
                )));
            }
            if let Some(search) = searches.iter().find(|search| &search.anchor == name) {
                return Err(missing(format!(
                    "this document leaves out anchor \"{name}\", which is still needed to search for {}; keep a section [anchors.{name}] until revocations shows none of them",
                    search.what()
                )));
            }
            if book.leases().any(|lease| &lease.record.anchor == name) {
                return Err(missing(format!(
                    "this document leaves out anchor \"{name}\", which is still needed to revoke tokens it made; keep a section [anchors.{name}] until leases/ shows none of them"
                )));
            }
            dropped.push(name.clone());
        }
        Ok(dropped)
    }
}

fn missing(sentence: String) -> Error {
    Error::Document(DocumentError::missing(sentence))
}
