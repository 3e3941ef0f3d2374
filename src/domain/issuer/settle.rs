//! A slot whose regeneration was not answered: found out by us, not by the next open. `provenance.rs` decides.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::Issuer;
use super::provenance::{Verdict, has_ended, maker, verdict};
use super::queue::{Cause, Outcome, not_yet};
use super::revoke::SETTLED;
use crate::domain::anchor::Access;
use crate::domain::lease::{LeaseRecord, later};
use crate::domain::name::RoleName;
use crate::domain::token::SlotToken;

impl Issuer {
    /// One attempt to find out what became of the lost call of `intent`.
    pub(super) async fn settle_slot(
        self: &Arc<Self>,
        intent: &LeaseRecord,
        access: &Access,
        since: Timestamp,
    ) -> Outcome {
        let judged = {
            // Nobody fills the slot between the look and the decision.
            let slot = self.slot_turn(&intent.scope);
            let _turn = match &slot {
                Some(slot) => Some(slot.lock().await),
                None => None,
            };
            self.judge_slot(intent, access, since).await
        };
        match judged {
            Ok(role) => self.regenerate_lost(intent, role).await,
            Err(outcome) => outcome,
        }
    }

    /// What there is to say, or the role for which the slot is to be regenerated. The caller has the slot's turn.
    async fn judge_slot(
        self: &Arc<Self>,
        intent: &LeaseRecord,
        access: &Access,
        since: Timestamp,
    ) -> Result<RoleName, Outcome> {
        let waiting =
            || Outcome::NotYet(Cause::Settling, "waiting until a lost regenerate call cannot arrive any more".into());
        let settled = self.now() > later(since, SETTLED);
        // A newer one of ours proves nothing before that: the lost call may arrive late and kill it.
        let current = self.book.lock().current_lease(&intent.scope).map(|lease| lease.record.clone());
        if let Some(current) = current {
            match self.ask_the_token(&current).await {
                None if settled => return Err(Outcome::Gone),
                None => return Err(waiting()),
                Some(Outcome::Gone) => self.end_replaced(&intent.scope),
                Some(unclear) => return Err(unclear),
            }
        }
        let shown = self.api.slot(access, &intent.owner).await.map_err(|error| not_yet(error, &intent.owner))?;
        let shown = shown.filter(|shown| !has_ended(shown, self.now()) && !self.is_anchor(shown));
        let user = self.slot_user(intent);
        match (verdict(shown.as_ref().map(|shown| maker(intent, shown)), user.is_some(), settled), user) {
            (Verdict::Regenerate, Some(role)) => Ok(role),
            (Verdict::Empty, _) => Err(match self.api.revoke_slot(access, &intent.owner).await {
                Ok(()) => Outcome::Gone,
                // Whether it was emptied is seen by the next attempt.
                Err(error) => not_yet(error, &intent.owner),
            }),
            (Verdict::Gone, _) => Err(Outcome::Gone),
            (Verdict::Wait, _) => Err(waiting()),
            (Verdict::Report | Verdict::Regenerate, _) => {
                Err(Outcome::NotYet(Cause::Unclear, unclear_slot(intent, shown.as_ref())))
            }
        }
    }

    /// The role that shall have the slot's next token. A stop that ends everything makes none.
    fn slot_user(&self, intent: &LeaseRecord) -> Option<RoleName> {
        let ends_all = self.settings.stop_ends_all() && self.stopping.load(Ordering::Acquire);
        self.book.lock().slot_user(intent).filter(|_| !ends_all)
    }

    fn is_anchor(&self, shown: &SlotToken) -> bool {
        let book = self.book.lock();
        book.anchors().any(|(_, entry)| entry.anchor.token_id.as_ref() == Some(&shown.id))
    }

    /// Puts a token that the ledger has into the slot: by the flight of the scope, which an open at the same moment joins.
    async fn regenerate_lost(self: &Arc<Self>, intent: &LeaseRecord, role: RoleName) -> Outcome {
        // It may be the very flight whose call was lost, about to land.
        let under_way = {
            let mut book = self.book.lock();
            book.is_flying(&intent.scope).then(|| book.board(&intent.scope, 0).0)
        };
        if let Some(mut landing) = under_way {
            let _ = landing.wait_for(Option::is_some).await;
        }
        let mut landing = {
            let mut book = self.book.lock();
            if book.current_lease(&intent.scope).is_some() {
                // An open was faster, so the lost token is dead.
                return Outcome::Gone;
            }
            tracing::info!(owner = %intent.owner, lease = %intent.id, "a lost regenerate call had its effect: regenerating once more");
            self.start_flight(&mut book, &intent.scope, &role, intent.opener, 0)
        };
        let landed = match landing.wait_for(Option::is_some).await {
            Ok(landed) => landed.clone(),
            Err(_) => None,
        };
        match landed {
            Some(Ok(_)) => Outcome::Gone,
            Some(Err(error)) => Outcome::NotYet(
                Cause::Upstream,
                format!(
                    "a lost call has regenerated the slot of {}, and regenerating it once more failed: {error}",
                    intent.owner
                ),
            ),
            None => Outcome::NotYet(Cause::Settling, "the daemon is stopping".into()),
        }
    }
}

fn unclear_slot(intent: &LeaseRecord, shown: Option<&SlotToken>) -> String {
    let token = shown.map_or_else(|| "a token".to_owned(), |shown| format!("token {}", shown.id));
    format!(
        "the slot of {} holds {token}, made about when a call of role \"{}\" was lost, and nothing tells whether that call made it: delete it by hand if it is nobody's",
        intent.owner, intent.role
    )
}
