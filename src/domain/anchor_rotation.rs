//! Rotation of an anchor: the pure decisions, and the ledger's record of the one token that must not outlive it.
//!
//! ```text
//! Intent --the new token is in force--> Revoking (the former) --proven gone--> (removed)
//!    \----not found, refused, not stored--> Revoking (the new one) ------^
//! ```
//!
//! One record for both, so that a single commit puts the new token into force and condemns the former: there is no
//! moment in which a crash could keep both, or none.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::anchor::{Address, Anchor};
use super::error::Error;
use super::lease::{LeaseId, Phase, Serial, later};
use super::name::AnchorName;
use super::owner::{CredentialType, Owner};
use super::token::{Issued, Token, TokenId};

/// Life of a new anchor token; upstream ends it then if nobody rotates before.
pub const ANCHOR_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Shortest distance of two rotations of an anchor.
pub const ANCHOR_INTERVAL: Duration = Duration::from_secs(10);

/// Smallest `rotate_every` of an anchor.
pub const LEAST_ROTATE_EVERY: Duration = Duration::from_secs(10 * 60);

/// Largest `rotate_every`: leaves two months of [`ANCHOR_LIFE`] for an upstream that cannot be reached.
pub const MOST_ROTATE_EVERY: Duration = Duration::from_secs(300 * 24 * 3600);

/// Of a token that upstream ends earlier than we asked, this part of its life is left when it is rotated.
const LEFT_OF_A_SHORT_LIFE: u32 = 10;

/// A token of an anchor that is to be deleted, or may exist and then is. The secret is sealed by the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorToken {
    /// Name of the rotation.
    pub id: LeaseId,
    /// Its number in the queue of revocations.
    pub serial: Serial,
    /// The anchor that is rotated, and with whose token in force this one is deleted.
    pub anchor: AnchorName,
    /// Whose token.
    pub owner: Owner,
    /// Which kind.
    pub credential_type: CredentialType,
    /// Where.
    pub address: Address,
    /// Unique upstream description of the new token.
    pub description: String,
    /// [`Phase::Live`] is never stored: made, but whether the ledger has it in force is not known.
    pub phase: Phase,
    /// Upstream's id, once known.
    pub token_id: Option<TokenId>,
    /// The secret, once known.
    pub token: Option<Token>,
    /// When the intent was written.
    pub issued_at: Timestamp,
    /// End of the new token.
    pub ends_at: Timestamp,
}

impl AnchorToken {
    /// The intent to make a new token for `anchor`.
    pub fn intent(
        anchor: &Anchor,
        (owner, credential_type): (Owner, CredentialType),
        serial: Serial,
        host: &str,
        now: Timestamp,
    ) -> Self {
        let id = LeaseId::new(now);
        let host: String = host.chars().take(40).collect();
        let name: String = anchor.name.as_str().chars().take(60).collect();
        Self {
            description: format!("tfcfs {host} anchor {name} {id}"),
            id,
            serial,
            anchor: anchor.name.clone(),
            owner,
            credential_type,
            address: anchor.access.address.clone(),
            phase: Phase::Intent,
            token_id: None,
            token: None,
            issued_at: now,
            ends_at: later(now, ANCHOR_LIFE),
        }
    }

    /// The record of an intent that upstream answered.
    pub fn made(&self, issued: &Issued) -> Self {
        let (token_id, token) = (Some(issued.id.clone()), Some(issued.token.clone()));
        Self { phase: Phase::Live, token_id, token, ..self.clone() }
    }

    /// The new token is in force: what is left to do is to delete the former.
    pub fn condemn(&self, former: &Anchor) -> Self {
        let (token_id, token) = (former.token_id.clone(), Some(former.access.token.clone()));
        Self { phase: Phase::Revoking, token_id, token, ..self.clone() }
    }

    /// The decision to delete this token.
    pub fn revoking(&self) -> Self {
        Self { phase: Phase::Revoking, ..self.clone() }
    }

    /// The record of a token that does not exist: nothing is left to do but to remove it.
    pub fn never_made(&self) -> Self {
        Self { phase: Phase::Revoking, token_id: None, token: None, ..self.clone() }
    }
}

/// Whose token a rotation makes, and of which kind.
///
/// # Errors
/// An owner that upstream does not tell; an organization unless `allow_organization`.
pub fn rotatable(anchor: &Anchor, allow_organization: bool) -> Result<(Owner, CredentialType), Error> {
    match &anchor.access.owner {
        Some(owner @ Owner::User { .. }) => Ok((owner.clone(), CredentialType::User)),
        Some(owner @ Owner::Team { .. }) => Ok((owner.clone(), CredentialType::Team)),
        Some(owner @ Owner::Organization { .. }) if allow_organization => {
            Ok((owner.clone(), CredentialType::Organization))
        }
        Some(Owner::Organization { name }) => Err(Error::NotSupported(format!(
            "the token of organization {name} dies the moment it is regenerated: if the answer is lost, tfcfs is locked out until a new token is written to config. Use a team or user token as anchor, or accept that with allow_organization_anchor_rotation = true in the settings file"
        ))),
        None => Err(Error::NotSupported(
            "upstream does not tell whose token this anchor is, so it cannot be rotated; write a new token to config"
                .into(),
        )),
    }
}

/// Whether rotating `anchor` would take the token from `other`, another anchor in force.
pub fn would_kill(anchor: &Anchor, kind: CredentialType, other: &Anchor) -> bool {
    let same_server = anchor.access.address == other.access.address && anchor.name != other.name;
    let same_slot = kind.is_slot() && anchor.access.owner == other.access.owner;
    let same_id = anchor.token_id.is_some() && anchor.token_id == other.token_id;
    same_server && (same_slot || same_id || anchor.access.token == other.access.token)
}

/// When an anchor is to be rotated by schedule; `None` without `rotate_every`. A token that upstream ends earlier is
/// rotated before that.
pub fn next_rotation(anchor: &Anchor) -> Option<Timestamp> {
    let since = anchor.rotated_at.or(anchor.in_force_since)?;
    let due = later(since, anchor.rotate_every?);
    let Some(end) = anchor.ends_at else { return Some(due) };
    let life = Duration::try_from(since.duration_until(end)).unwrap_or_default();
    Some(due.min(later(since, life - life / LEFT_OF_A_SHORT_LIFE)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::anchor::Access;

    fn anchor(name: &str, owner: Option<Owner>, token: &str) -> Anchor {
        let access = Access { address: Address::hcp(), token: Token::parse(token).unwrap(), owner };
        Anchor::new(name.parse().unwrap(), access, None)
    }

    fn acme() -> Option<Owner> {
        Some(Owner::Organization { name: "acme".into() })
    }

    #[test]
    fn an_organization_only_if_allowed() {
        let anchor = anchor("default", acme(), "a");
        let error = rotatable(&anchor, false).unwrap_err().to_string();
        assert!(error.contains("dies the moment") && error.contains("allow_organization_anchor_rotation"), "{error}");
        assert_eq!(rotatable(&anchor, true).unwrap().1, CredentialType::Organization);
    }

    #[test]
    fn an_anchor_of_a_ledger_from_before_schedules_is_read() {
        let new = Anchor { rotate_every: Some(ANCHOR_INTERVAL), ..anchor("ci", acme(), "x") };
        let mut old = serde_json::to_value(&new).unwrap();
        for key in ["rotate_every", "in_force_since", "ends_at"] {
            old.as_object_mut().unwrap().remove(key).unwrap();
        }
        assert_eq!(serde_json::from_value::<Anchor>(old).unwrap(), anchor("ci", acme(), "x"));
    }

    #[test]
    fn another_anchor_with_the_same_token_or_slot_is_spared() {
        let (one, same, other) = (anchor("a", acme(), "x"), anchor("b", None, "x"), anchor("c", acme(), "y"));
        assert!(would_kill(&one, CredentialType::User, &same));
        assert!(would_kill(&one, CredentialType::Organization, &other));
        assert!(!would_kill(&one, CredentialType::User, &other));
        assert!(!would_kill(&one, CredentialType::Organization, &one), "itself");
    }

    #[test]
    fn due_from_the_last_rotation_else_from_the_start_and_before_an_early_end() {
        let at = |hour: i64| Timestamp::from_second(hour * 3600).unwrap();
        let mut anchor = anchor("a", None, "x");
        assert_eq!(next_rotation(&anchor), None);
        anchor.rotate_every = Some(Duration::from_secs(20 * 3600));
        anchor.in_force_since = Some(at(1));
        assert_eq!(next_rotation(&anchor), Some(at(21)));
        anchor.rotated_at = Some(at(10));
        assert_eq!(next_rotation(&anchor), Some(at(30)));
        anchor.ends_at = Some(at(20));
        assert_eq!(next_rotation(&anchor), Some(at(19)));
    }
}
