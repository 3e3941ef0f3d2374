//! The way back: end for the readers, `revoking` durable, DELETE, proven gone, removed. For ever, if need be.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Issuer;
use super::queue::{
    BACKOFF_LEAST, Cause, Doomed, Lost, Outcome, Pending, PendingSummary, backoff, not_yet, unremoved, unwritten,
};
use super::stops::Stops;
use crate::domain::anchor::{Access, Address};
use crate::domain::book::Ending;
use crate::domain::error::{Ended, Error};
use crate::domain::event::Event;
use crate::domain::lease::{LeaseRecord, Phase, Scope, Serial, later};
use crate::domain::owner::Owner;
use crate::domain::ports::{ApiErrorKind, StoreError};
use crate::domain::token::Token;

/// Attempts under way at once for each anchor; the rate limit spaces them further.
const PARALLEL: usize = 8;

/// A create call whose answer was lost may still be at work upstream for this long after we gave it up: only a later
/// search that finds nothing proves that no token was made.
pub(super) const SETTLED: Duration = Duration::from_secs(90);

/// After upstream's own end of a token plus this, it is gone whatever the answers say.
pub(super) const END_SKEW: Duration = Duration::from_secs(600);

/// When an attempt asks upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Haste {
    /// Now: somebody waits for it, or a call was just lost.
    AtOnce,
    /// When its turn comes.
    InLine,
}

impl Issuer {
    /// Revocations that are not proven yet, oldest first.
    pub fn pending(&self) -> Vec<Pending> {
        let mut pending: Vec<Pending> = self.pending.lock().values().cloned().collect();
        pending.sort_by_key(|pending| pending.since);
        pending
    }

    /// What there is to say about them.
    pub fn pending_summary(&self) -> PendingSummary {
        PendingSummary::of(self.pending.lock().values())
    }

    /// Ends a lease and starts its revocation; returns when the decision is durable and the first attempt was made.
    ///
    /// # Errors
    /// Unknown or ended lease.
    pub async fn revoke(self: &Arc<Self>, serial: Serial, how: Ended) -> Result<(), Error> {
        let Some(ending) = self.book.lock().end(serial, how) else {
            return Err(Error::not_found("live lease of that name"));
        };
        self.finish(ending).await;
        Ok(())
    }

    /// The same in the background.
    pub(in crate::domain) fn end_soon(self: &Arc<Self>, serial: Serial, how: Ended) {
        let ending = self.book.lock().end(serial, how);
        if let Some(ending) = ending {
            self.finish_soon(ending);
        }
    }

    /// Carries an ending out in the background.
    pub(super) fn finish_soon(self: &Arc<Self>, ending: Ending) {
        if !ending.gone {
            // Queued before this returns: a stop that follows at once sees it.
            self.queue(ending.record.clone());
        }
        let issuer = self.clone();
        self.runtime.spawn(async move { issuer.finish_by(ending, Haste::InLine).await });
    }

    /// Carries an ending out: tell, then revoke or, if a rotation did that already, remove.
    pub(in crate::domain) async fn finish(self: &Arc<Self>, ending: Ending) {
        self.finish_by(ending, Haste::AtOnce).await;
    }

    async fn finish_by(self: &Arc<Self>, ending: Ending, haste: Haste) {
        let serial = ending.record.serial;
        self.observe(Event::Ended { lease: Box::new(ending.record.clone()), how: ending.how });
        if ending.gone {
            self.remove(&ending.record).await;
        } else {
            self.queue(ending.record);
            self.attempt_by(serial, haste).await;
        }
    }

    /// A lease that the book already shows as ended.
    pub(super) async fn revoke_ended(self: &Arc<Self>, serial: Serial) {
        let record = self.book.lock().lease(serial).map(|lease| lease.record.clone());
        if let Some(record) = record {
            self.queue(record);
            self.attempt(serial).await;
        }
    }

    /// A token that never gets into the book: revoke it in the background.
    pub(super) fn discard_soon(self: &Arc<Self>, record: LeaseRecord) {
        let serial = record.serial;
        self.book.lock().spend(serial);
        self.queue(record);
        let issuer = self.clone();
        self.runtime.spawn(async move { issuer.attempt(serial).await });
    }

    /// A create call whose answer was lost: search for its token at once.
    pub(super) fn search_soon(self: &Arc<Self>, intent: LeaseRecord) {
        tracing::warn!(lease = %intent.id, role = %intent.role, "the answer to a create call was lost: searching for its token");
        self.discard_soon(intent);
    }

    /// What a start found in the ledger that is not alive.
    pub(super) fn enqueue_found(&self) {
        let found: Vec<LeaseRecord> = {
            let book = self.book.lock();
            book.leases().filter(|lease| lease.record.phase != Phase::Live).map(|lease| lease.record.clone()).collect()
        };
        for record in found {
            self.queue(record);
        }
        let tokens = self.book.lock().take_anchor_tokens();
        for token in tokens {
            self.enqueue(Doomed::Anchor(Box::new(token)));
        }
    }

    fn queue(&self, record: LeaseRecord) {
        self.enqueue(Doomed::Lease(Box::new(record)));
    }

    pub(super) fn enqueue(&self, doomed: Doomed) {
        let (now, serial) = (self.now(), doomed.serial());
        self.pending.lock().insert(serial, Pending::new(doomed, now));
    }

    /// The anchors changed: whatever waited for a good one is tried now.
    pub(super) fn retry_all(&self) {
        let now = self.now();
        *self.stops.lock() = Stops::default();
        self.pending.lock().change_all(|pending| pending.next = now);
        self.wake.notify_one();
    }

    /// Starts the attempts that are due; returns when the next one is.
    pub(in crate::domain) fn attempt_due(self: &Arc<Self>) -> Option<Timestamp> {
        let (due, next) = self.pending.lock().due(self.now(), PARALLEL);
        for serial in due {
            let issuer = self.clone();
            self.runtime.spawn(async move { issuer.attempt_by(serial, Haste::InLine).await });
        }
        next
    }

    /// One attempt for one token.
    pub(super) async fn attempt(self: &Arc<Self>, serial: Serial) {
        self.attempt_by(serial, Haste::AtOnce).await;
    }

    async fn attempt_by(self: &Arc<Self>, serial: Serial, haste: Haste) {
        let (doomed, since, place) = {
            let mut pending = self.pending.lock();
            match pending.change(serial) {
                Some(mut one) if !one.running => {
                    one.running = true;
                    let place = one.next;
                    // Holds if this attempt ends without a word.
                    one.next = later(self.now(), BACKOFF_LEAST);
                    (one.doomed.clone(), one.since, place)
                }
                _ => return,
            }
        };
        let _running = Running { issuer: self, serial };
        let outcome = match doomed {
            Doomed::Lease(record) => self.attempt_lease(*record, since, haste).await,
            Doomed::Anchor(token) => self.attempt_anchor(*token, since).await,
        };
        let (cause, reason) = match outcome {
            Outcome::Gone => return,
            Outcome::NotYet(cause, reason) => (cause, reason),
            Outcome::Stopped(until, cause, reason) => {
                if let Some(mut one) = self.pending.lock().change(serial) {
                    (one.next, one.cause, one.reason) = (until, cause, Some(reason));
                }
                return;
            }
            Outcome::Crowded => {
                if let Some(mut one) = self.pending.lock().change(serial) {
                    one.next = place;
                }
                return;
            }
        };
        let now = self.now();
        let told = {
            let mut pending = self.pending.lock();
            let Some(mut one) = pending.change(serial) else { return };
            one.attempts += 1;
            one.next = later(now, backoff(one.attempts, now));
            if cause == Cause::Settling {
                // Then the next look is the last one.
                let settled = later(one.since, SETTLED + BACKOFF_LEAST);
                one.next = one.next.min(settled.max(later(now, BACKOFF_LEAST)));
            }
            let told = one.reason.as_ref() != Some(&reason);
            (one.cause, one.reason) = (cause, Some(reason.clone()));
            told.then(|| one.doomed.clone())
        };
        match told {
            Some(Doomed::Lease(record)) => {
                self.observe(Event::RevocationDelayed { lease: record, reason });
            }
            Some(Doomed::Anchor(token)) => self.observe(Event::AnchorTrouble { anchor: token.anchor, reason }),
            None => {}
        }
    }

    async fn attempt_lease(self: &Arc<Self>, record: LeaseRecord, since: Timestamp, haste: Haste) -> Outcome {
        let record = match self.durable_decision(record).await {
            Ok(record) => record,
            Err(error) => return unwritten(&error),
        };
        if let Some(stopped) = self.stopped(&record) {
            return stopped;
        }
        if !self.may_ask(&record, haste) {
            return Outcome::Crowded;
        }
        let outcome = self.prove_gone(&record, since).await;
        self.learn(&record, &outcome);
        match outcome {
            Outcome::Gone => self.proven_gone(&record).await.map_or_else(|error| unremoved(&error), |()| Outcome::Gone),
            not_yet => not_yet,
        }
    }

    /// Whether upstream may be asked now; the rest stands in line, decided and durable.
    fn may_ask(&self, record: &LeaseRecord, haste: Haste) -> bool {
        if record.is_never_made() {
            return true;
        }
        let mut pending = self.pending.lock();
        if haste == Haste::InLine && pending.is_crowded(&record.anchor, PARALLEL) {
            return false;
        }
        if let Some(mut one) = pending.change(record.serial) {
            one.asking = true;
        }
        true
    }

    /// The decision to revoke is durable before anything is deleted: else a crash would leave a dead token that the
    /// ledger calls alive.
    async fn durable_decision(&self, record: LeaseRecord) -> Result<LeaseRecord, StoreError> {
        if record.phase != Phase::Live {
            return Ok(record);
        }
        let record = self.ledger.revoking(&record).await?.into_inner();
        self.book.lock().revoking(record.serial);
        if let Some(mut one) = self.pending.lock().change(record.serial) {
            one.doomed = Doomed::Lease(Box::new(record.clone()));
        }
        Ok(record)
    }

    async fn prove_gone(self: &Arc<Self>, record: &LeaseRecord, since: Timestamp) -> Outcome {
        if record.is_never_made() {
            return Outcome::Gone;
        }
        if self.now() > later(record.ends_at, END_SKEW) && record.phase != Phase::Intent {
            // `expired-at` has ended it (DESIGN 8.5); trust that only if the token itself is refused.
            if let Some(outcome) = self.ask_the_token(record).await {
                return outcome;
            }
        }
        let anchor = self.book.lock().anchor(&record.anchor).map(|entry| entry.anchor.access.clone());
        let anchor = anchor.filter(|access| access.address.same_server(&record.address));
        let Some(access) = anchor else {
            return match self.ask_the_token(record).await {
                Some(Outcome::Gone) => Outcome::Gone,
                _ => Outcome::NotYet(
                    Cause::Anchor,
                    format!(
                        "anchor \"{}\" for {} is not configured any more; write it to config again",
                        record.anchor, record.address
                    ),
                ),
            };
        };
        match (record.phase, record.credential_type.is_slot()) {
            (Phase::Intent, true) => self.settle_slot(record, &access, since).await,
            (Phase::Intent, false) => {
                let (owner, organization) = (&record.owner, record.organization.as_deref());
                self.search(Lost { owner, organization, description: &record.description, since }, &access).await
            }
            (_, true) => self.empty_slot(record, &access).await,
            (_, false) => self.delete(record, &access).await,
        }
    }

    async fn delete(&self, record: &LeaseRecord, access: &Access) -> Outcome {
        let Some(id) = &record.token_id else { return Outcome::Gone };
        let _still = self.keep_still(&record.address, &record.owner, record.organization.as_deref()).await;
        match self.api.revoke(access, id).await {
            Ok(()) => Outcome::Gone,
            // The anchor may have lost its rights: then 404 proves nothing, and the token itself must be refused.
            Err(error) if error.kind == ApiErrorKind::NotVisible => {
                self.ask_the_token(record).await.unwrap_or_else(|| {
                    Outcome::NotYet(
                        Cause::Hidden,
                        format!("upstream hides token {id} from anchor \"{}\", yet it still works", record.anchor),
                    )
                })
            }
            Err(error) => not_yet(error, &record.owner),
        }
    }

    /// `Some(Gone)` when upstream refuses the token, `Some(NotYet)` when that cannot be told, `None` when it works.
    pub(super) async fn ask_the_token(&self, record: &LeaseRecord) -> Option<Outcome> {
        self.ask(&record.address, record.token.as_ref(), &record.owner).await
    }

    /// The same for a token of whatever use.
    pub(super) async fn ask(&self, address: &Address, token: Option<&Token>, owner: &Owner) -> Option<Outcome> {
        let Some(token) = token else { return Some(Outcome::NotYet(Cause::Unclear, "its secret is not known".into())) };
        // Its owner's calls, whichever token makes them, are counted together.
        let access = Access { address: address.clone(), token: token.clone(), owner: Some(owner.clone()) };
        match self.api.whoami_in_background(&access).await {
            Ok(_) => None,
            Err(error) if error.kind == ApiErrorKind::Unauthorized => Some(Outcome::Gone),
            Err(error) => Some(not_yet(error, owner)),
        }
    }

    /// Empties a slot, only if it still holds the token that we made.
    async fn empty_slot(&self, record: &LeaseRecord, access: &Access) -> Outcome {
        let slot = self.slot_turn(&record.scope);
        let _turn = match &slot {
            Some(slot) => Some(slot.lock().await),
            None => None,
        };
        let replaced = {
            let book = self.book.lock();
            book.current_lease(&record.scope).is_some_and(|lease| lease.record.serial > record.serial)
        };
        if replaced {
            return self.ask_the_token(record).await.unwrap_or_else(|| {
                Outcome::NotYet(
                    Cause::Unclear,
                    format!("the slot of {} has a newer token, yet the former still works", record.owner),
                )
            });
        }
        match self.api.slot(access, &record.owner).await {
            Ok(Some(found)) if Some(&found.id) == record.token_id.as_ref() => {
                match self.api.revoke_slot(access, &record.owner).await {
                    Ok(()) => Outcome::Gone,
                    Err(error) if error.kind == ApiErrorKind::NotVisible => {
                        self.ask_the_token(record).await.unwrap_or_else(|| not_yet(error, &record.owner))
                    }
                    Err(error) => not_yet(error, &record.owner),
                }
            }
            // Another token is in the slot, or none: ours is dead unless the slot is merely hidden from us.
            Ok(_) => self.ask_the_token(record).await.unwrap_or_else(|| {
                Outcome::NotYet(
                    Cause::Hidden,
                    format!("the slot of {} is hidden from anchor \"{}\"", record.owner, record.anchor),
                )
            }),
            Err(error) => not_yet(error, &record.owner),
        }
    }

    /// A rotation has put a new token into the slot of `former`.
    pub(super) async fn slot_replaced(&self, former: Serial) {
        let record = self.book.lock().lease(former).map(|lease| lease.record.clone());
        if let Some(record) = record
            && let Err(error) = self.ledger.gone(&record.id).await
        {
            // Harmless: at the next start it is superseded by the newer record of its slot and removed then.
            tracing::warn!(lease = %record.id, %error, "could not remove the record of a replaced slot token");
        }
    }

    /// The current lease of a slot whose token a regeneration has killed, though its successor came to nobody.
    pub(super) fn end_replaced(self: &Arc<Self>, scope: &Scope) {
        let ending = {
            let mut book = self.book.lock();
            let serial = book.current_lease(scope).map(|lease| lease.record.serial);
            serial.and_then(|serial| book.end(serial, Ended::Revoked))
        };
        if let Some(ending) = ending {
            self.observe(Event::Ended { lease: Box::new(ending.record.clone()), how: ending.how });
            self.queue(ending.record.never_made());
            self.wake.notify_one();
        }
    }

    /// The token of a lease is gone already: removes its record, for ever if need be.
    async fn remove(self: &Arc<Self>, record: &LeaseRecord) {
        self.queue(record.never_made());
        self.attempt(record.serial).await;
    }

    async fn proven_gone(&self, record: &LeaseRecord) -> Result<(), StoreError> {
        self.ledger.gone(&record.id).await?;
        self.pending.lock().remove(record.serial);
        self.book.lock().gone(record.serial);
        self.observe(Event::Gone { lease: Box::new(record.clone()) });
        self.wake.notify_one();
        Ok(())
    }
}

/// An attempt under way. Dropped however it ends, a panic included: a lease must never be left without a next attempt.
struct Running<'a> {
    issuer: &'a Issuer,
    serial: Serial,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(mut one) = self.issuer.pending.lock().change(self.serial) {
            (one.running, one.asking) = (false, false);
        }
        self.issuer.wake.notify_one();
    }
}
