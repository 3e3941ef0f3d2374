//! Whose the token in a slot is, after a regenerate call without an answer, and what follows from that. Pure.
//!
//! A slot's token has no description. What tells ours from another is its end: upstream stores the one that our call
//! asked for, which comes from the second in which the intent was written.

use std::time::Duration;

use jiff::Timestamp;

use super::request::{LIFETIME_TOLERANCE, upstream_end};
use super::revoke::END_SKEW;
use crate::domain::lease::{LeaseRecord, later};
use crate::domain::token::SlotToken;

/// How far upstream's clock may be behind ours.
const CLOCK_SKEW: Duration = END_SKEW;

/// Who made the token in a slot, as far as can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    /// The call of the intent.
    Intent,
    /// Perhaps the call of the intent: made since, with an end that a policy may have shortened, or without one.
    Unclear,
    /// Certainly somebody else, or an earlier or later call of ours.
    Other,
}

/// What to do about an intent whose call was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its token does not exist, or not any more.
    Gone,
    /// Regenerate once more: then the ledger has the token that is in the slot.
    Regenerate,
    /// Empty the slot: the token in it is the lost one and nobody uses it.
    Empty,
    /// The call may still arrive.
    Wait,
    /// Only a person can tell.
    Report,
}

/// Who made `found`.
pub(super) fn maker(intent: &LeaseRecord, found: &SlotToken) -> Maker {
    if found.created_at.is_some_and(|at| later(at, CLOCK_SKEW) < intent.issued_at) {
        return Maker::Other;
    }
    let asked = upstream_end(intent.ends_at);
    match found.expires_at {
        Some(end) if later(asked, LIFETIME_TOLERANCE) < end => Maker::Other,
        Some(end) if later(end, LIFETIME_TOLERANCE) >= asked => Maker::Intent,
        _ => Maker::Unclear,
    }
}

/// Whether upstream has ended `found` for certain.
pub(super) fn has_ended(found: &SlotToken, now: Timestamp) -> bool {
    found.expires_at.is_some_and(|end| later(end, END_SKEW) < now)
}

/// What follows from what is in the slot (`None`: nothing, or ended) while no token of ours in it works. `used`: a role
/// in force uses the slot. `settled`: the call cannot arrive any more.
pub(super) fn verdict(found: Option<Maker>, used: bool, settled: bool) -> Verdict {
    match found {
        Some(Maker::Intent) if used => Verdict::Regenerate,
        Some(Maker::Intent) => Verdict::Empty,
        _ if !settled => Verdict::Wait,
        None | Some(Maker::Other) => Verdict::Gone,
        Some(Maker::Unclear) if used => Verdict::Regenerate,
        Some(Maker::Unclear) => Verdict::Report,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::anchor::Address;
    use crate::domain::lease::{LeaseId, Opener, Phase, Scope, Serial};
    use crate::domain::owner::{CredentialType, Owner};
    use crate::domain::role::{OnClose, Times};
    use crate::domain::token::TokenId;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn intent() -> LeaseRecord {
        let (now, owner) = (at("2026-08-20T10:00:00.7Z"), Owner::Organization { name: "acme".into() });
        LeaseRecord {
            id: LeaseId::new(now),
            serial: Serial(1),
            role: "app".parse().unwrap(),
            scope: Scope::Slot { address: Address::hcp(), owner: owner.clone() },
            owner,
            credential_type: CredentialType::Organization,
            organization: None,
            anchor: Default::default(),
            address: Address::hcp(),
            description: String::new(),
            phase: Phase::Intent,
            token_id: None,
            token: None,
            issued_at: now,
            ends_at: later(now, DAY),
            times: Times { ttl: DAY, max_ttl: DAY },
            on_close: OnClose::Linger,
            opener: Opener { uid: 0, gid: 0 },
        }
    }

    fn found(created: Option<&str>, expires: Option<&str>) -> SlotToken {
        SlotToken { id: TokenId("at-1".into()), created_at: created.map(at), expires_at: expires.map(at) }
    }

    #[test]
    fn the_end_that_was_asked_for_tells_our_token() {
        let asked = Some("2026-08-21T10:01:00Z");
        for created in [None, Some("2026-08-20T10:00:01Z"), Some("2026-08-20T09:55:00Z")] {
            assert_eq!(maker(&intent(), &found(created, asked)), Maker::Intent, "{created:?}");
        }
        assert_eq!(maker(&intent(), &found(Some("2026-08-20T09:00:00Z"), asked)), Maker::Other, "made before");
    }

    #[test]
    fn a_later_end_is_somebody_elses_and_an_earlier_one_or_none_is_unclear() {
        let created = Some("2026-08-20T10:00:30Z");
        assert_eq!(maker(&intent(), &found(created, Some("2026-08-21T10:01:10Z"))), Maker::Other);
        assert_eq!(maker(&intent(), &found(created, Some("2026-08-20T12:00:00Z"))), Maker::Unclear);
        assert_eq!(maker(&intent(), &found(created, None)), Maker::Unclear);
        assert_eq!(maker(&intent(), &found(Some("2026-08-20T09:00:00Z"), None)), Maker::Other);
    }

    #[test]
    fn somebody_elses_token_is_never_touched() {
        for (found, used) in [(Maker::Other, true), (Maker::Other, false), (Maker::Unclear, false)] {
            for settled in [false, true] {
                let verdict = verdict(Some(found), used, settled);
                assert!(matches!(verdict, Verdict::Wait | Verdict::Gone | Verdict::Report), "{verdict:?}");
            }
        }
    }

    #[test]
    fn nothing_is_called_gone_while_the_call_may_arrive() {
        for found in [None, Some(Maker::Intent), Some(Maker::Unclear), Some(Maker::Other)] {
            for used in [false, true] {
                assert_ne!(verdict(found, used, false), Verdict::Gone);
            }
        }
    }
}
