//! One token with an end: what is recorded of it, and the pure decisions about its life.
//!
//! ```text
//! Intent --created--> Live --last close, end, revoke, rotation--> Revoking --proven gone--> (removed)
//! ```
//!
//! Every function takes `now`; nothing here waits or calls anybody.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::anchor::Address;
use super::error::Ended;
use super::name::{AnchorName, RoleName};
use super::owner::{CredentialType, Owner};
use super::role::{OnClose, Role, Times};
use super::timeline::earlier;
use super::token::{Issued, Token, TokenId};

/// A number that is never given twice, not even over restarts. Names lease nodes and unshared nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Serial(pub u64);

/// Public name of a lease: 32 hexadecimal digits, ordered by time of issue.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeaseId(String);

impl LeaseId {
    /// Digits of every id.
    pub const LENGTH: usize = 32;

    /// A fresh one.
    pub fn new(now: Timestamp) -> Self {
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or_default();
        let stamp = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos);
        Self(uuid::Uuid::new_v7(stamp).simple().to_string())
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for LeaseId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who shares one lease. At most one lease of a scope is current.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// A slot upstream: all roles on that owner share it.
    Slot {
        /// Which upstream.
        address: Address,
        /// Organization or legacy team.
        owner: Owner,
    },
    /// Every opener of the role.
    Role(RoleName),
    /// Openers of the role with this uid in this cgroup.
    Unit {
        /// The role.
        role: RoleName,
        /// Caller's uid.
        uid: u32,
        /// Caller's cgroup path.
        unit: String,
    },
    /// One node of an unshared role.
    Open {
        /// The role.
        role: RoleName,
        /// Serial of the node.
        node: Serial,
    },
}

/// How far a record has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// About to be made. Whether a token exists upstream is unknown.
    Intent,
    /// Made and stored.
    Live,
    /// To be deleted upstream, for ever if need be.
    Revoking,
}

/// Who caused the lease: owner of its file in `leases/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opener {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// What the ledger keeps of a lease. The secret is sealed by the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// Public name.
    pub id: LeaseId,
    /// Node number.
    pub serial: Serial,
    /// The role it was issued for.
    pub role: RoleName,
    /// Who shares it.
    pub scope: Scope,
    /// Whose token.
    pub owner: Owner,
    /// Which kind.
    pub credential_type: CredentialType,
    /// A team's organization, where known: needed to list tokens.
    pub organization: Option<String>,
    /// Which anchor made it.
    pub anchor: AnchorName,
    /// Where.
    pub address: Address,
    /// Unique upstream description; the handle on a token whose answer was lost.
    pub description: String,
    /// Phase.
    pub phase: Phase,
    /// Upstream's id, once known.
    pub token_id: Option<TokenId>,
    /// The secret, once known.
    pub token: Option<Token>,
    /// When the intent was written.
    pub issued_at: Timestamp,
    /// Absolute end of the lease (`max_ttl`). Upstream's own end is a little later.
    pub ends_at: Timestamp,
    /// Times of the role at issue.
    pub times: Times,
    /// What the last close does.
    pub on_close: OnClose,
    /// Who caused it.
    pub opener: Opener,
}

impl LeaseRecord {
    /// How much life an opener is entitled to (DESIGN 5); of a token that upstream made shorter, at most half of that.
    pub fn needed(&self) -> Duration {
        let whole = Duration::try_from(self.issued_at.duration_until(self.ends_at)).unwrap_or_default();
        self.times.needed().min(whole / 2)
    }

    /// Whether it is what `role` means now: the same owner, type and anchor.
    pub fn is_of(&self, role: &Role) -> bool {
        self.owner == role.owner && self.credential_type == role.credential_type && self.anchor == role.anchor
    }

    /// The record of an intent that upstream answered.
    pub fn made(&self, issued: &Issued) -> Self {
        let (token_id, token) = (Some(issued.id.clone()), Some(issued.token.clone()));
        Self { phase: Phase::Live, token_id, token, ..self.clone() }
    }

    /// Whether nothing is left to do but to remove it.
    pub fn is_never_made(&self) -> bool {
        self.phase == Phase::Revoking && self.token_id.is_none()
    }

    /// The record of a token that does not exist: nothing is left to do but to remove it.
    pub fn never_made(&self) -> Self {
        Self { phase: Phase::Revoking, token_id: None, token: None, ..self.clone() }
    }
}

/// A lease in memory.
#[derive(Debug, Clone)]
pub struct Lease {
    /// What the ledger has. Its times are earlier than there if the wall clock was set back since.
    pub record: LeaseRecord,
    /// Open handles.
    pub handles: u32,
    /// End as it stands: absolute while held, last close + `ttl` while lingering.
    pub expires_at: Timestamp,
    /// When a successor took over.
    pub superseded_at: Option<Timestamp>,
    /// How it ended; its handles get an error from then on.
    pub ended: Option<Ended>,
    /// How it will have ended when `expires_at` comes.
    pub ends_as: Ended,
    /// When its token was last known to work upstream.
    pub checked_at: Timestamp,
    /// The state of the book, and the role number, for which it was found to be what an opener gets.
    pub(super) confirmed: Option<(u64, u32)>,
}

/// A token in use is checked upstream this often: somebody else may have deleted it, and a hit asks nobody. One call in
/// that time, with the token's own right, and none while nobody opens it.
pub const CHECK_EVERY: Duration = Duration::from_secs(300);

/// Whether a token has enough life for an opener (DESIGN 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adequacy {
    /// Hand it out.
    Enough,
    /// Hand it out and mint the successor in the background.
    Renew,
    /// Wait for the successor; hand it out only if minting fails.
    Wait,
    /// It has ended.
    Dead,
}

/// What a close leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterClose {
    /// Others hold it.
    Held,
    /// Lives until `expires_at`.
    Lingers,
    /// To be revoked now.
    Revoke,
    /// Had ended before; nothing left to do.
    Over,
}

impl Lease {
    /// A lease just made or found at start, without handles.
    pub fn new(record: LeaseRecord, now: Timestamp) -> Self {
        let mut lease = Self {
            expires_at: record.ends_at,
            record,
            handles: 0,
            superseded_at: None,
            ended: None,
            ends_as: Ended::Expired,
            checked_at: now,
            confirmed: None,
        };
        lease.expires_at = lease.lingering_end(now);
        lease
    }

    /// Slots are the same for everybody until rotated: the last close does not shorten their life.
    fn lingering_end(&self, now: Timestamp) -> Timestamp {
        if self.record.credential_type.is_slot() {
            return self.record.ends_at;
        }
        later(now, self.record.times.ttl).min(self.record.ends_at)
    }

    /// The wall clock was set back: the lease ends when it would have ended.
    pub fn clock_set_back(&mut self, back: Duration) {
        self.expires_at = earlier(self.expires_at, back);
        self.record.ends_at = earlier(self.record.ends_at, back);
        self.checked_at = earlier(self.checked_at, back);
        self.record.issued_at = earlier(self.record.issued_at, back);
    }

    /// Whether it still may be handed out or read.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended.is_none() && self.record.phase == Phase::Live && now < self.end()
    }

    /// Whether nobody has use for it any more: proven gone, and its last handle closed.
    pub fn is_over(&self) -> bool {
        self.handles == 0 && self.record.phase == Phase::Revoking && self.record.token.is_none()
    }

    /// Life left if somebody held it from now on.
    pub fn remaining(&self, now: Timestamp) -> Duration {
        Duration::try_from(now.duration_until(self.record.ends_at)).unwrap_or_default()
    }

    /// Judges it for an opener at `now`.
    pub fn adequacy(&self, now: Timestamp) -> Adequacy {
        if !self.is_live(now) {
            return Adequacy::Dead;
        }
        let (remaining, needed) = (self.remaining(now), self.record.needed());
        // A slot has no overlap: its successor kills it. So it is not renewed early for everybody's sake.
        if remaining >= needed || (self.record.credential_type.is_slot() && remaining >= needed / 2) {
            Adequacy::Enough
        } else if remaining >= needed / 2 {
            Adequacy::Renew
        } else {
            Adequacy::Wait
        }
    }

    /// Whether an opener is the first one for [`CHECK_EVERY`]: true once, and its token should be checked upstream.
    pub fn wants_check(&mut self, now: Timestamp) -> bool {
        let wants = now >= later(self.checked_at, CHECK_EVERY);
        if wants {
            self.checked_at = now;
        }
        wants
    }

    /// One handle more.
    pub fn open(&mut self) {
        self.handles += 1;
        // A superseded slot keeps the end its rotation gave it.
        if self.superseded_at.is_none() || !self.record.credential_type.is_slot() {
            self.expires_at = self.record.ends_at;
        }
    }

    /// A handle on it stayed open over a restart, so it was not closed although it was taken for that.
    pub fn take_over(&mut self) {
        self.handles += 1;
        if self.ended.is_none() && (self.superseded_at.is_none() || !self.record.credential_type.is_slot()) {
            (self.expires_at, self.ends_as) = (self.record.ends_at, Ended::Expired);
        }
    }

    /// One handle less.
    pub fn close(&mut self, now: Timestamp) -> AfterClose {
        self.handles = self.handles.saturating_sub(1);
        if self.ended.is_some() {
            return AfterClose::Over;
        }
        if self.handles > 0 {
            return AfterClose::Held;
        }
        if self.record.on_close == OnClose::Revoke {
            return AfterClose::Revoke;
        }
        if self.superseded_at.is_none() || !self.record.credential_type.is_slot() {
            self.expires_at = self.lingering_end(now);
        }
        AfterClose::Lingers
    }

    /// Gives it `ttl` anew if it lingers; a held lease has more than that.
    pub fn renew(&mut self, now: Timestamp) {
        if self.handles == 0 && self.ends_as == Ended::Expired {
            self.expires_at = self.lingering_end(now);
        }
    }

    /// A successor has taken its place. The former token of a slot is dead already; its bytes stay readable for
    /// `grace`, so that a program between open and read is not hit (fuse-nodes 0.6).
    pub fn supersede(&mut self, now: Timestamp, grace: Duration) {
        self.superseded_at = Some(now);
        if self.record.credential_type.is_slot() {
            self.expires_at = later(now, grace).min(self.record.ends_at);
            self.ends_as = Ended::Revoked;
        }
    }

    /// When a held lease that is current wants its successor. `None` for slots (no overlap) and unshared leases.
    pub fn renew_at(&self) -> Option<Timestamp> {
        let shared = matches!(self.record.scope, Scope::Role(_) | Scope::Unit { .. });
        if !shared || self.handles == 0 || self.superseded_at.is_some() || self.ended.is_some() {
            return None;
        }
        self.record.ends_at.checked_sub(self.record.needed()).ok()
    }

    /// Its end as it stands.
    pub fn end(&self) -> Timestamp {
        self.expires_at.min(self.record.ends_at)
    }

    /// When something happens to it by itself, at the earliest; `None` once it has ended.
    pub fn next_time(&self) -> Option<Timestamp> {
        let end = self.ended.is_none().then(|| self.end())?;
        Some(self.renew_at().map_or(end, |at| at.min(end)))
    }

    /// `held`, `lingering` or `superseded`: the words of DESIGN 2.
    pub fn state(&self) -> &'static str {
        match (self.superseded_at, self.handles) {
            (Some(_), _) => "superseded",
            (None, 0) => "lingering",
            (None, _) => "held",
        }
    }
}

/// `now` + `by`, stopping at the end of time.
pub fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}
