//! The queue of revocations: what stands in it, what an attempt finds, and when the next one is.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::anchor::Address;
use crate::domain::anchor_rotation::AnchorToken;
use crate::domain::error::Error;
use crate::domain::lease::{LeaseId, LeaseRecord, Phase, Serial};
use crate::domain::name::{AnchorName, RoleName};
use crate::domain::owner::Owner;
use crate::domain::ports::{ApiError, ApiErrorKind, StoreError};
use crate::domain::token::TokenId;

/// First wait after a failed attempt; doubled each time up to [`BACKOFF_MOST`].
pub(super) const BACKOFF_LEAST: Duration = Duration::from_secs(1);

/// See [`BACKOFF_LEAST`].
const BACKOFF_MOST: Duration = Duration::from_secs(300);

/// One revocation that is not proven yet.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Failed attempts.
    pub attempts: u32,
    /// Next attempt.
    pub next: Timestamp,
    /// When it was asked for.
    pub since: Timestamp,
    /// Why the last attempt failed, as a sentence.
    pub reason: Option<String>,
    /// The same as one word.
    pub cause: Cause,
    pub(super) running: bool,
    /// That attempt asks upstream, or is about to.
    pub(super) asking: bool,
    pub(super) doomed: Doomed,
}

/// Why a revocation is not proven yet, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// No attempt was made yet.
    New,
    /// A lost call may still arrive.
    Settling,
    /// Upstream refuses the anchor, or it is not configured any more.
    Anchor,
    /// Upstream hides the token or its owner from the anchor.
    Hidden,
    /// Upstream cannot be reached, or failed.
    Upstream,
    /// The ledger cannot be written.
    Ledger,
    /// A person must look.
    Unclear,
}

impl Cause {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Settling => "settling",
            Self::Anchor => "anchor",
            Self::Hidden => "hidden",
            Self::Upstream => "upstream",
            Self::Ledger => "ledger",
            Self::Unclear => "unclear",
        }
    }
}

/// What is to be deleted upstream.
#[derive(Debug, Clone)]
pub(super) enum Doomed {
    /// The token of a lease.
    Lease(Box<LeaseRecord>),
    /// The token of a rotated anchor.
    Anchor(Box<AnchorToken>),
}

impl Doomed {
    pub(super) fn serial(&self) -> Serial {
        match self {
            Self::Lease(record) => record.serial,
            Self::Anchor(token) => token.serial,
        }
    }
}

impl Pending {
    /// One that was just asked for.
    pub(super) fn new(doomed: Doomed, now: Timestamp) -> Self {
        let (running, asking) = (false, false);
        Self { attempts: 0, next: now, since: now, reason: None, cause: Cause::New, running, asking, doomed }
    }

    /// Public name of the lease, or of the rotation of an anchor.
    pub fn id(&self) -> &LeaseId {
        match &self.doomed {
            Doomed::Lease(record) => &record.id,
            Doomed::Anchor(token) => &token.id,
        }
    }

    /// The role it was issued for; `None` for the token of an anchor.
    pub fn role(&self) -> Option<&RoleName> {
        match &self.doomed {
            Doomed::Lease(record) => Some(&record.role),
            Doomed::Anchor(_) => None,
        }
    }

    /// The anchor that made it.
    pub fn anchor(&self) -> &AnchorName {
        match &self.doomed {
            Doomed::Lease(record) => &record.anchor,
            Doomed::Anchor(token) => &token.anchor,
        }
    }

    /// Whose token it is.
    pub fn owner(&self) -> &Owner {
        match &self.doomed {
            Doomed::Lease(record) => &record.owner,
            Doomed::Anchor(token) => &token.owner,
        }
    }

    /// Upstream's id of the token; `None` when its answer was lost.
    pub fn token_id(&self) -> Option<&TokenId> {
        match &self.doomed {
            Doomed::Lease(record) => record.token_id.as_ref(),
            Doomed::Anchor(token) => token.token_id.as_ref(),
        }
    }

    /// Where it was made.
    pub(super) fn address(&self) -> &Address {
        match &self.doomed {
            Doomed::Lease(record) => &record.address,
            Doomed::Anchor(token) => &token.address,
        }
    }

    /// Whether a token has to be found by its description. Slots are told by their owner.
    pub(super) fn is_search(&self) -> bool {
        let (phase, credential_type) = match &self.doomed {
            Doomed::Lease(record) => (record.phase, record.credential_type),
            Doomed::Anchor(token) => (token.phase, token.credential_type),
        };
        phase == Phase::Intent && !credential_type.is_slot()
    }

    /// What is decided about the token of an anchor.
    pub(super) fn redirect(&mut self, token: AnchorToken) {
        self.doomed = Doomed::Anchor(Box::new(token));
    }

    /// The token of an anchor, if it is one.
    pub(super) fn anchor_token(&self) -> Option<&AnchorToken> {
        match &self.doomed {
            Doomed::Lease(_) => None,
            Doomed::Anchor(token) => Some(token),
        }
    }
}

/// An anchor that is needed to find a token whose answer was lost.
pub(super) struct Search {
    /// The anchor.
    pub(super) anchor: AnchorName,
    /// Where it must be.
    pub(super) address: Address,
    /// The role it was made for; `None` for a rotation of the anchor itself.
    pub(super) role: Option<RoleName>,
}

impl Search {
    /// The token, in a sentence.
    pub(super) fn what(&self) -> String {
        match &self.role {
            Some(role) => format!("the token of role \"{role}\" whose answer was lost"),
            None => "the token of a rotation whose answer was lost".into(),
        }
    }
}

/// A minted token whose answer was lost.
pub(super) struct Lost<'a> {
    /// Whose it is, if it was made.
    pub(super) owner: &'a Owner,
    /// A team's organization, where known.
    pub(super) organization: Option<&'a str>,
    /// Its unique description.
    pub(super) description: &'a str,
    /// When its call was given up.
    pub(super) since: Timestamp,
}

/// What an attempt found.
pub(super) enum Outcome {
    Gone,
    NotYet(Cause, String),
    /// Not asked: the anchor's queue stands still until then.
    Stopped(Timestamp, Cause, String),
    /// Not asked: enough others are.
    Crowded,
}

pub(super) fn not_yet(error: ApiError, owner: &Owner) -> Outcome {
    let cause = match error.kind {
        ApiErrorKind::Unauthorized => Cause::Anchor,
        ApiErrorKind::NotVisible => Cause::Hidden,
        _ => Cause::Upstream,
    };
    Outcome::NotYet(cause, Error::upstream(error, Some(owner)).to_string())
}

pub(super) fn unwritten(error: &StoreError) -> Outcome {
    Outcome::NotYet(Cause::Ledger, format!("the ledger cannot be written: {error}"))
}

pub(super) fn unremoved(error: &StoreError) -> Outcome {
    Outcome::NotYet(Cause::Ledger, format!("it is gone, but the ledger cannot be written: {error}"))
}

/// What there is to say about all of them.
#[derive(Debug, Default)]
pub struct PendingSummary {
    /// How many.
    pub count: usize,
    /// The same by anchor and cause.
    pub waiting: BTreeMap<(AnchorName, Cause), usize>,
    /// When the oldest was asked for.
    pub oldest: Option<Timestamp>,
    /// Why the oldest that was tried in vain is not proven.
    pub reason: Option<String>,
}

impl PendingSummary {
    pub(super) fn of<'a>(pending: impl Iterator<Item = &'a Pending>) -> Self {
        let mut summary = Self::default();
        let mut failed: Option<&Pending> = None;
        for one in pending {
            summary.count += 1;
            *summary.waiting.entry((one.anchor().clone(), one.cause)).or_default() += 1;
            summary.oldest = Some(summary.oldest.map_or(one.since, |oldest| oldest.min(one.since)));
            if one.reason.is_some() && failed.is_none_or(|failed| one.since < failed.since) {
                failed = Some(one);
            }
        }
        summary.reason = failed.and_then(|failed| failed.reason.clone());
        summary
    }
}

/// Doubling, capped, with up to a quarter of jitter so that a fleet does not knock in step.
pub(super) fn backoff(attempts: u32, now: Timestamp) -> Duration {
    let base = BACKOFF_LEAST.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(BACKOFF_MOST);
    let spread = u32::try_from(now.subsec_nanosecond()).unwrap_or_default() % 1000;
    base + base / 4 * spread / 1000
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::anchor::Address;
    use crate::domain::lease::{Opener, Phase, Scope};
    use crate::domain::owner::CredentialType;
    use crate::domain::role::{OnClose, Times};

    /// Some record.
    pub(in crate::domain::issuer) fn record(serial: u64) -> LeaseRecord {
        let (now, owner) = (Timestamp::UNIX_EPOCH, Owner::User { id: "user-1".into() });
        let hour = Duration::from_secs(3600);
        LeaseRecord {
            id: LeaseId::new(now),
            serial: Serial(serial),
            role: "app".parse().unwrap(),
            scope: Scope::Role("app".parse().unwrap()),
            owner,
            credential_type: CredentialType::User,
            organization: None,
            anchor: Default::default(),
            address: Address::hcp(),
            description: String::new(),
            phase: Phase::Revoking,
            token_id: None,
            token: None,
            issued_at: now,
            ends_at: now + hour,
            times: Times { ttl: hour, max_ttl: hour },
            on_close: OnClose::Linger,
            opener: Opener { uid: 0, gid: 0 },
        }
    }

    #[test]
    fn a_summary_tells_the_oldest_and_its_reason() {
        let one = |serial: u64, since: i64, reason: Option<&str>| Pending {
            reason: reason.map(str::to_owned),
            cause: if reason.is_some() { Cause::Hidden } else { Cause::New },
            ..Pending::new(Doomed::Lease(Box::new(record(serial))), Timestamp::from_second(since).unwrap())
        };
        let all = [one(1, 30, Some("late")), one(2, 10, None), one(3, 20, Some("early"))];
        let summary = PendingSummary::of(all.iter());
        assert_eq!((summary.count, summary.oldest), (3, Timestamp::from_second(10).ok()));
        assert_eq!(summary.reason.as_deref(), Some("early"));
        assert_eq!(summary.waiting.into_values().collect::<Vec<_>>(), [1, 2]);
    }
}
