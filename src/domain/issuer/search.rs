//! Tokens whose answer was lost: found by their description, among all of their owner.

use super::Issuer;
use super::queue::{Cause, Lost, Outcome, not_yet};
use super::revoke::SETTLED;
use crate::domain::anchor::Access;
use crate::domain::lease::later;
use crate::domain::ports::ApiErrorKind;

impl Issuer {
    /// A minted token whose answer was lost: find it by its description.
    pub(super) async fn search(&self, lost: Lost<'_>, access: &Access) -> Outcome {
        let not_yet = |error| not_yet(error, lost.owner);
        let found = match self.look_up(&lost, access).await {
            Ok(found) => found,
            Err(error) => return not_yet(error),
        };
        for id in &found.tokens {
            let _still = self.keep_still(&access.address, lost.owner, lost.organization).await;
            match self.api.revoke(access, id).await {
                Ok(()) => tracing::info!(token_id = %id, owner = %lost.owner, "deleted the token of a lost answer"),
                Err(error) if error.kind == ApiErrorKind::NotVisible => {}
                Err(error) => return not_yet(error),
            }
        }
        if !found.tokens.is_empty() || found.begun > later(lost.since, SETTLED) {
            Outcome::Gone
        } else {
            Outcome::NotYet(
                Cause::Settling,
                "the answer to its create call was lost; searching until it cannot arrive any more".into(),
            )
        }
    }
}
