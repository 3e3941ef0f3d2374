//! The queue of revocations: what stands in it, what an attempt finds, and when the next one is.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::anchor_rotation::AnchorToken;
use crate::domain::error::Error;
use crate::domain::lease::{LeaseRecord, Serial};
use crate::domain::owner::Owner;
use crate::domain::ports::{ApiError, StoreError};

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
    pub(super) running: bool,
    pub(super) doomed: Doomed,
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

pub(super) type Queue = HashMap<Serial, Pending>;

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
    NotYet(String),
}

pub(super) fn not_yet(error: ApiError, owner: &Owner) -> Outcome {
    Outcome::NotYet(Error::upstream(error, Some(owner)).to_string())
}

pub(super) fn unwritten(error: &StoreError) -> Outcome {
    Outcome::NotYet(format!("the ledger cannot be written: {error}"))
}

pub(super) fn unremoved(error: &StoreError) -> Outcome {
    Outcome::NotYet(format!("it is gone, but the ledger cannot be written: {error}"))
}

/// Doubling, capped, with up to a quarter of jitter so that a fleet does not knock in step.
pub(super) fn backoff(attempts: u32, now: Timestamp) -> Duration {
    let base = BACKOFF_LEAST.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(BACKOFF_MOST);
    let spread = u32::try_from(now.subsec_nanosecond()).unwrap_or_default() % 1000;
    base + base / 4 * spread / 1000
}
