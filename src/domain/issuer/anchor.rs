//! Rotation of the anchor itself, in the order of DESIGN 8: intent durable, call, try, one commit that puts the new token
//! into force and condemns the former, published, deleted. `anchor_tokens.rs` is what follows, and the way back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::queue::Doomed;
use super::{Issuer, check_lifetime, later, upstream_end};
use crate::domain::anchor::{Access, Anchor};
use crate::domain::anchor_rotation::{ANCHOR_INTERVAL, AnchorToken, rotatable, would_kill};
use crate::domain::book::Origin;
use crate::domain::error::Error;
use crate::domain::event::Event;
use crate::domain::lease::Serial;
use crate::domain::ledger::Entry;
use crate::domain::name::AnchorName;
use crate::domain::owner::{CredentialType, Owner};
use crate::domain::ports::{CreateToken, Effect};
use crate::domain::token::Issued;

impl Issuer {
    /// Replaces an anchor's token by a new one of the same owner, and deletes the former. A deletion that fails is
    /// repeated for ever; the new token is in force all the same.
    ///
    /// # Errors
    /// An anchor of the configuration file or (unless allowed) of an organization, whose owner upstream does not tell, or
    /// too soon; one whose token another anchor uses; what making the token met. The old token stays in force then,
    /// but for an organization's after [`Error::AnchorMayBeDead`].
    pub async fn rotate_anchor(self: &Arc<Self>, name: &AnchorName, deadline: Duration) -> Result<(), Error> {
        let rotated = tokio::time::timeout(deadline, self.carry_rotation(name)).await;
        self.unless_left(rotated.unwrap_or(Err(Error::Deadline(deadline)))).await
    }

    /// Carried to its end even if the caller gives up.
    pub(super) async fn carry_rotation(self: &Arc<Self>, name: &AnchorName) -> Result<(), Error> {
        let (issuer, name) = (self.clone(), name.clone());
        let work = self.runtime.spawn(async move { issuer.replace_anchor(&name).await });
        work.await.unwrap_or(Err(Error::Internal))
    }

    async fn replace_anchor(self: &Arc<Self>, name: &AnchorName) -> Result<(), Error> {
        let left = {
            let _one_at_a_time = self.anchors.lock().await;
            self.make_next(name).await?
        };
        self.observe(Event::ConfigWritten);
        if let Some(former) = left {
            self.attempt(former).await;
        }
        // The schedule begins anew.
        self.wake.notify_one();
        Ok(())
    }

    /// Makes the new token and puts it into force; returns the former's place in the queue of revocations.
    async fn make_next(self: &Arc<Self>, name: &AnchorName) -> Result<Option<Serial>, Error> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(Error::Stopping);
        }
        let (former, owner, kind) = self.may_rotate(name).await?;
        let serial = self.take_serial()?;
        let intent = AnchorToken::intent(&former, (owner.clone(), kind), serial, &self.settings.host, self.now());
        if let Err(error) = self.ledger.write(vec![Entry::AnchorToken(Box::new(intent.clone()))]).await {
            // It may have reached the disk all the same.
            self.condemn_soon(intent.never_made());
            return Err(error.into());
        }
        let request = CreateToken {
            owner: owner.clone(),
            credential_type: kind,
            description: intent.description.clone(),
            expires_at: upstream_end(intent.ends_at),
        };
        match self.api.create(&former.access, &request).await {
            Ok(issued) if kind.is_slot() => {
                self.adopt_slot(&former, &intent, &issued, &request).await?;
                Ok(None)
            }
            Ok(issued) => self.put_in_force(&former, &intent, &issued, &request).await.map(Some),
            Err(error) if error.effect == Effect::Unknown => {
                self.condemn_soon(intent);
                Err(match kind.is_slot() {
                    true => Error::AnchorMayBeDead { anchor: name.clone(), owner, error },
                    false => Error::upstream(error, Some(&owner)),
                })
            }
            Err(error) => {
                self.condemn_soon(intent.never_made());
                Err(Error::upstream(error, Some(&owner)))
            }
        }
    }

    async fn may_rotate(&self, name: &AnchorName) -> Result<(Anchor, Owner, CredentialType), Error> {
        let entry = self.book.lock().find_anchor(name)?.clone();
        let former = entry.anchor;
        if entry.origin == Origin::File {
            return Err(Error::OwnedByFile { what: format!("anchor \"{name}\" (its token_file)") });
        }
        if self.settings.ephemeral {
            return Err(Error::NotSupported(
                "nothing outlives an ephemeral mount: at its stop nobody would have the anchor's new token; keep a --state, or write a new token to config yourself".into(),
            ));
        }
        if former.rotated_at.is_some_and(|at| at <= self.now() && later(at, ANCHOR_INTERVAL) > self.now()) {
            return Err(Error::RotationTooSoon { interval: ANCHOR_INTERVAL });
        }
        let (owner, kind) = rotatable(&former, self.settings.allow_organization_anchor_rotation)?;
        // Whose slot another anchor is in matters only where a slot is regenerated.
        let others = match kind.is_slot() {
            true => self.told_anchors(&former.access.address).await?,
            false => self.book.lock().anchors().map(|(_, entry)| entry.anchor.clone()).collect(),
        };
        for other in others {
            if would_kill(&former, kind, &other) {
                return Err(Error::NotSupported(format!(
                    "rotating anchor \"{name}\" would destroy the token of anchor \"{}\" too; give each a token of its own in config",
                    other.name
                )));
            }
        }
        Ok((former, owner, kind))
    }

    /// A minted token was made: tries it, and puts it into force together with the decision to delete the former.
    async fn put_in_force(
        self: &Arc<Self>,
        former: &Anchor,
        intent: &AnchorToken,
        issued: &Issued,
        request: &CreateToken,
    ) -> Result<Serial, Error> {
        let refuse = |error| {
            self.condemn_soon(intent.made(issued));
            Error::upstream(error, Some(&request.owner))
        };
        check_lifetime(issued, request.expires_at, self.now()).map_err(refuse)?;
        let next = successor(former, issued, self.now());
        // The new token must work before anything depends on it.
        self.api.whoami(&next.access).await.map_err(refuse)?;
        let condemned = intent.condemn(former);
        let _commit_and_publication = self.admin.lock().await;
        let mut entries = self.undecided(|name| name == &next.name);
        entries.push(Entry::Anchor(next.clone()));
        entries.push(Entry::AnchorToken(Box::new(condemned.clone())));
        if let Err(error) = self.ledger.write(entries).await {
            // The ledger may have it in force: that is taken back before the token is deleted.
            self.condemn_soon(intent.made(issued));
            return Err(error.into());
        }
        self.book.lock().put_anchor(next, Origin::Mount);
        let serial = condemned.serial;
        self.enqueue(Doomed::Anchor(Box::new(condemned)));
        Ok(serial)
    }

    /// A slot was regenerated: the former token is dead, so the new one is in force whatever else fails.
    async fn adopt_slot(
        self: &Arc<Self>,
        former: &Anchor,
        intent: &AnchorToken,
        issued: &Issued,
        request: &CreateToken,
    ) -> Result<(), Error> {
        let next = successor(former, issued, self.now());
        {
            let _commit_and_publication = self.admin.lock().await;
            let entries = vec![Entry::Anchor(next.clone()), Entry::NoAnchorToken(intent.id.clone())];
            let written = self.ledger.write(entries).await;
            self.book.lock().put_anchor(next.clone(), Origin::Mount);
            if let Err(error) = written {
                self.condemn_soon(intent.made(issued));
                return Err(error.into());
            }
        }
        let tried = self.api.whoami(&next.access).await.map(|_| ());
        if let Err(error) = check_lifetime(issued, request.expires_at, self.now()).and(tried) {
            let reason = format!("the new token is in force, for the former is dead, but: {}", error.detail);
            self.observe(Event::AnchorTrouble { anchor: next.name, reason });
        }
        Ok(())
    }
}

fn successor(former: &Anchor, issued: &Issued, now: jiff::Timestamp) -> Anchor {
    let access = Access { token: issued.token.clone(), ..former.access.clone() };
    let token_id = Some(issued.id.clone());
    Anchor { access, token_id, rotated_at: Some(now), ends_at: issued.expires_at, ..former.clone() }
}
