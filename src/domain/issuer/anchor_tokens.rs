//! What the rotation of an anchor leaves behind: the former token, or a new one that did not come into force. Deleted
//! through the queue of revocations, for ever if need be, and never while an anchor in force has that token.

use std::sync::Arc;

use jiff::Timestamp;

use super::Issuer;
use super::queue::{Cause, Doomed, Lost, Outcome, Pending, Search, not_yet, unremoved, unwritten};
use super::revoke::SETTLED;
use crate::domain::anchor::{Access, Anchor};
use crate::domain::anchor_rotation::AnchorToken;
use crate::domain::book::Origin;
use crate::domain::lease::{Phase, later};
use crate::domain::ledger::Entry;
use crate::domain::name::AnchorName;
use crate::domain::ports::{ApiErrorKind, StoreError};

impl Issuer {
    /// Queues a token of an anchor and makes the first attempt in the background.
    pub(super) fn condemn_soon(self: &Arc<Self>, token: AnchorToken) {
        let (issuer, serial) = (self.clone(), token.serial);
        self.enqueue(Doomed::Anchor(Box::new(token)));
        self.runtime.spawn(async move { issuer.attempt(serial).await });
    }

    /// Decisions about new tokens that the ledger may wrongly have in force. A commit that puts other tokens into force
    /// for the anchors that `changed` names carries them, else it would make the ledger forget those tokens.
    pub(super) fn undecided(&self, changed: impl Fn(&AnchorName) -> bool) -> Vec<Entry> {
        let pending = self.pending.lock();
        let tokens = pending.values().filter_map(Pending::anchor_token);
        let open = tokens.filter(|token| token.phase == Phase::Live && !token.credential_type.is_slot());
        open.filter(|token| changed(&token.anchor))
            .map(|token| Entry::AnchorToken(Box::new(token.revoking())))
            .collect()
    }

    /// Anchors, at their servers, without whose access a token that may exist upstream cannot be found; and whose token.
    pub(super) fn searches(&self) -> Vec<Search> {
        let pending = self.pending.lock();
        let searched = pending.values().filter(|one| one.is_search());
        searched
            .map(|one| Search {
                anchor: one.anchor().clone(),
                address: one.address().clone(),
                role: one.role().cloned(),
            })
            .collect()
    }

    pub(super) async fn attempt_anchor(self: &Arc<Self>, token: AnchorToken, since: Timestamp) -> Outcome {
        let token = match self.anchor_decision(token).await {
            Ok(token) => token,
            Err(error) => return unwritten(&error),
        };
        match self.prove_anchor_gone(&token, since).await {
            Outcome::Gone => {
                if let Err(error) = self.ledger.write(vec![Entry::NoAnchorToken(token.id.clone())]).await {
                    return unremoved(&error);
                }
                self.pending.lock().remove(token.serial);
                tracing::info!(anchor = %token.anchor, rotation = %token.id, "nothing is left of this rotation");
                self.wake.notify_one();
                Outcome::Gone
            }
            not_yet => not_yet,
        }
    }

    /// The ledger says what this process believes before anything is deleted: else a crash could find a deleted token in
    /// force.
    async fn anchor_decision(&self, token: AnchorToken) -> Result<AnchorToken, StoreError> {
        if token.phase != Phase::Live {
            return Ok(token);
        }
        let _no_other_commit = self.admin.lock().await;
        let in_force = self.book.lock().anchor(&token.anchor).cloned();
        let mut entries: Vec<Entry> = in_force
            .filter(|entry| entry.origin == Origin::Mount)
            .map(|entry| Entry::Anchor(entry.anchor))
            .into_iter()
            .collect();
        // The new token of a slot stays in force; all that is left is to write so.
        let decided = if token.credential_type.is_slot() { token.never_made() } else { token.revoking() };
        entries.push(Entry::AnchorToken(Box::new(decided.clone())));
        self.ledger.write(entries).await?;
        if let Some(mut one) = self.pending.lock().change(token.serial) {
            one.redirect(decided.clone());
        }
        Ok(decided)
    }

    async fn prove_anchor_gone(&self, token: &AnchorToken, since: Timestamp) -> Outcome {
        let anchor = self.book.lock().anchor(&token.anchor).map(|entry| entry.anchor.clone());
        let access = anchor.map(|anchor| anchor.access).filter(|access| access.address == token.address);
        match (token.phase, &access) {
            (Phase::Intent, None) => Outcome::NotYet(
                Cause::Anchor,
                format!(
                    "the answer to a rotation was lost, and anchor \"{}\" for {} is not configured any more; write it to config again",
                    token.anchor, token.address
                ),
            ),
            (Phase::Intent, Some(access)) if token.credential_type.is_slot() => {
                self.settle_anchor(token, access, since).await
            }
            // Upstream shows the tokens of a user to that user alone; to others it says that there are none.
            (Phase::Intent, Some(access)) if access.owner.as_ref() != Some(&token.owner) => {
                let (anchor, owner) = (&token.anchor, &token.owner);
                Outcome::NotYet(
                    Cause::Unclear,
                    format!(
                        "the answer to a rotation was lost, and anchor \"{anchor}\" is not of {owner} any more: delete a token \"{}\" of {owner} by hand if there is one",
                        token.description
                    ),
                )
            }
            (Phase::Intent, Some(access)) => {
                let (owner, description) = (&token.owner, token.description.as_str());
                self.search(Lost { owner, organization: None, description, since }, access).await
            }
            _ => self.delete_anchor_token(token, access.as_ref()).await,
        }
    }

    async fn delete_anchor_token(&self, token: &AnchorToken, access: Option<&Access>) -> Outcome {
        // Nobody puts it into force between the look and the call.
        let _no_change_of_anchors = self.anchors.lock().await;
        let Some(secret) = &token.token else { return Outcome::Gone };
        let uses = |anchor: &Anchor| anchor.access.address == token.address && &anchor.access.token == secret;
        if self.book.lock().anchors().any(|(_, entry)| uses(&entry.anchor)) {
            // An operator wrote it to config again: it is the operator's.
            return Outcome::Gone;
        }
        let Some(id) = &token.token_id else {
            return self.ask(&token.address, Some(secret), &token.owner).await.unwrap_or_else(|| {
                Outcome::NotYet(Cause::Unclear, format!(
                    "anchor \"{}\" is rotated, but upstream did not tell the id of its former token: delete that by hand in the web interface",
                    token.anchor
                ))
            });
        };
        if let Some(access) = access {
            match self.api.revoke(access, id).await {
                Ok(()) => return Outcome::Gone,
                Err(error) if error.kind == ApiErrorKind::NotVisible => {}
                // That the anchor in force is refused is a reason to keep every other token.
                Err(error) => return not_yet(error, &token.owner),
            }
        }
        if let Some(outcome) = self.ask(&token.address, Some(secret), &token.owner).await {
            return outcome;
        }
        // The anchor in force is somebody else's by now, and does not see it. The token may delete itself.
        let itself = Access { address: token.address.clone(), token: secret.clone(), owner: Some(token.owner.clone()) };
        match self.api.revoke(&itself, id).await {
            Ok(()) => Outcome::Gone,
            Err(error) if error.kind == ApiErrorKind::NotVisible => Outcome::NotYet(
                Cause::Hidden,
                format!(
                    "upstream hides token {id}, which still works, from anchor \"{}\" and from itself: delete it by hand in the web interface",
                    token.anchor
                ),
            ),
            Err(error) => not_yet(error, &token.owner),
        }
    }

    /// A slot's regeneration was not answered: does the anchor still work?
    async fn settle_anchor(&self, token: &AnchorToken, access: &Access, since: Timestamp) -> Outcome {
        match self.ask(&access.address, Some(&access.token), &token.owner).await {
            None if self.now() > later(since, SETTLED) => Outcome::Gone,
            None => {
                Outcome::NotYet(Cause::Settling, "waiting until a lost regenerate call cannot arrive any more".into())
            }
            Some(Outcome::Gone) => Outcome::NotYet(
                Cause::Anchor,
                format!(
                    "anchor \"{}\" is dead: the token of {} was regenerated and the answer was lost; write a new token to config",
                    token.anchor, token.owner
                ),
            ),
            Some(not_yet) => not_yet,
        }
    }
}
