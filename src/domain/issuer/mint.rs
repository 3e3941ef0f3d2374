//! Making one token, in the order of DESIGN 8: intent durable, call, answer durable, published, waiters answered. One call for
//! each flight; `issuer.rs` starts them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Issuer;
use super::request::{LIFETIME_TOLERANCE, check_lifetime, clock_ahead, describe, own_end, upstream_end};
use crate::domain::anchor::Anchor;
use crate::domain::book::Published;
use crate::domain::error::Error;
use crate::domain::event::Event;
use crate::domain::lease::{LeaseRecord, Opener, Scope, later};
use crate::domain::name::RoleName;
use crate::domain::owner::{CredentialType, Owner};
use crate::domain::ports::{ApiErrorKind, CreateToken, Effect};
use crate::domain::timeline::{Moment, earlier};
use crate::domain::token::Issued;

/// Descriptions tried before giving up; each has a new random id, so a second clash is already a miracle.
const DESCRIPTION_TRIES: usize = 4;

impl Issuer {
    /// Makes one token, in the order of DESIGN 8.
    pub(super) async fn make(self: &Arc<Self>, scope: &Scope, role: &RoleName, opener: Opener) -> Result<(), Error> {
        // Filling and emptying a slot take turns: else the DELETE for the former token would hit this one.
        let slot = self.slot_turn(scope);
        let _turn = match &slot {
            Some(slot) => Some(slot.lock().await),
            None => None,
        };
        let mut last = None;
        for _ in 0..DESCRIPTION_TRIES {
            if self.stopping.load(Ordering::Acquire) {
                return Err(Error::Stopping);
            }
            let begun = self.moment();
            let (mut record, anchor) = self.book.lock().plan(role, scope, opener, begun.wall)?;
            self.spare_anchor(&record).await?;
            record.description = describe(&self.settings.host, &record);
            let (id, serial) = (record.id.clone(), record.serial);
            let intent = match self.ledger.intent(record).await {
                Ok(intent) => intent.into_inner(),
                Err(error) => {
                    // It may have reached the disk all the same: its number is spent.
                    self.book.lock().spend(serial);
                    let _ = self.ledger.gone(&id).await;
                    return Err(error.into());
                }
            };
            let request = CreateToken {
                owner: intent.owner.clone(),
                credential_type: intent.credential_type,
                description: intent.description.clone(),
                expires_at: upstream_end(intent.ends_at),
            };
            match self.api.create(&anchor.access, &request).await {
                Ok(issued) => return self.keep(intent, issued, &request, begun).await,
                Err(error) if error.effect == Effect::Unknown => {
                    let owner = intent.owner.clone();
                    self.search_soon(intent);
                    return Err(Error::upstream(error, Some(&owner)));
                }
                Err(error) => {
                    if let Err(error) = self.ledger.gone(&intent.id).await {
                        self.discard_soon(intent.never_made());
                        return Err(error.into());
                    }
                    if error.kind != ApiErrorKind::DescriptionTaken {
                        return Err(Error::upstream(error, Some(&intent.owner)));
                    }
                    last = Some(Error::upstream(error, Some(&intent.owner)));
                }
            }
        }
        Err(last.unwrap_or(Error::Internal))
    }

    /// The answer is here: check its end, make it durable, publish it.
    async fn keep(
        self: &Arc<Self>,
        mut intent: LeaseRecord,
        issued: Issued,
        request: &CreateToken,
        begun: Moment,
    ) -> Result<(), Error> {
        // The keeper sleeps while nothing is due: a step that it has not seen would be taken off the new lease twice.
        self.follow_clock();
        let (asked, now) = (request.expires_at, self.moment());
        if let Err(error) = check_lifetime(&issued, asked, now.wall) {
            // Revoked, not handed out.
            let owner = intent.owner.clone();
            self.discard_issued(intent, issued);
            return Err(Error::upstream(error, Some(&owner)));
        }
        let ahead = clock_ahead(&issued, now.wall);
        if let Some(end) = issued.expires_at
            && (later(end, LIFETIME_TOLERANCE) < asked || ahead.is_some())
        {
            // A policy upstream made it shorter, or their clock comes there first: our end comes before theirs.
            intent.ends_at = own_end(earlier(end, ahead.unwrap_or_default())).min(intent.ends_at);
        }
        if let Some(back) = begun.set_back_until(now) {
            intent.ends_at = earlier(intent.ends_at, back);
        }
        let durable = match self.ledger.live(&intent, &issued).await {
            Ok(durable) => durable,
            Err(error) => {
                // Nobody may have it. The ledger has it as an intent or as alive: it is deleted as soon as the ledger
                // takes that decision, lest a crash leave a dead token that is called alive.
                self.discard_issued(intent, issued);
                return Err(error.into());
            }
        };
        let (serial, id) = (intent.serial, intent.id.clone());
        let published = self.book.lock().publish(durable, self.now());
        match published {
            Published::Current { former } => {
                let lease = self.book.lock().lease(serial).map(|lease| Box::new(lease.record.clone()));
                if let Some(lease) = lease {
                    self.observe(Event::Issued { lease, former });
                }
                if let Some(former) = former
                    && intent.credential_type.is_slot()
                {
                    self.slot_replaced(former).await;
                }
            }
            Published::Unwanted => {
                tracing::info!(lease = %id, "its role is gone: revoking the token just made");
                let issuer = self.clone();
                self.runtime.spawn(async move { issuer.revoke_ended(serial).await });
            }
        }
        Ok(())
    }

    /// A token that was made and that nobody may have.
    fn discard_issued(self: &Arc<Self>, intent: LeaseRecord, issued: Issued) {
        if intent.credential_type.is_slot() {
            // It took the slot all the same: the token that openers got so far is dead.
            self.end_replaced(&intent.scope);
        }
        self.discard_soon(intent.made(&issued));
    }

    /// The lock of a slot; `None` for other scopes.
    pub(super) fn slot_turn(&self, scope: &Scope) -> Option<Arc<tokio::sync::Mutex<()>>> {
        let Scope::Slot { .. } = scope else { return None };
        Some(self.slots.lock().entry(scope.clone()).or_default().clone())
    }

    /// Refuses to fill a slot whose present token is our own anchor.
    async fn spare_anchor(&self, record: &LeaseRecord) -> Result<(), Error> {
        if !record.credential_type.is_slot() {
            return Ok(());
        }
        // Every anchor there counts, not only the one that mints.
        for anchor in self.told_anchors(&record.address).await? {
            self.spare_one(record, &anchor).await?;
        }
        Ok(())
    }

    async fn spare_one(&self, record: &LeaseRecord, anchor: &Anchor) -> Result<(), Error> {
        if anchor.access.owner.as_ref() != Some(&record.owner) {
            return Ok(());
        }
        let kills = Err(Error::WouldKillAnchor(anchor.name.clone()));
        match (record.credential_type, &record.owner, &anchor.token_id) {
            // A team has described tokens beside its slot: the anchor may be one of those.
            (CredentialType::TeamLegacy, Owner::Team { .. }, Some(own)) => {
                match self.api.slot(&anchor.access, &record.owner).await {
                    Ok(slot) if slot.as_ref().map(|found| &found.id) != Some(own) => Ok(()),
                    Ok(_) => kills,
                    Err(error) => Err(Error::upstream(error, Some(&record.owner))),
                }
            }
            _ => kills,
        }
    }
}
