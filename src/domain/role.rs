//! A role: an owner and a policy. Unset values stay unset, so that reading a role shows exactly what was decided.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::name::AnchorName;
use super::owner::{CredentialType, Owner};
use super::unit::AllowedUnit;

/// Who gets the same token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// Every opener of the role.
    #[default]
    Role,
    /// Openers with the same uid and the same cgroup (systemd unit, container).
    Unit,
    /// Nobody: every open has its own.
    Open,
}

/// What the last close of a lease does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnClose {
    /// The token lives on for `ttl`.
    #[default]
    Linger,
    /// The token is revoked at once.
    Revoke,
}

/// Owner, group and mode of the files below `creds/<role>/`. `None` = the mount's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Access {
    /// User id.
    pub uid: Option<u32>,
    /// Group id.
    pub gid: Option<u32>,
    /// Permission bits, read bits only (`0444` is the widest).
    pub mode: Option<u16>,
}

/// A role as it is in force. Built by [`super::document`] from what an operator wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Whose tokens.
    pub owner: Owner,
    /// Which kind of token.
    pub credential_type: CredentialType,
    /// The organization of a team, kept for messages and to look for tokens upstream.
    pub organization: Option<String>,
    /// The team's name, if the role was written with a name that was looked up.
    pub team: Option<String>,
    /// Start of the upstream description; default: the role's name.
    pub description: Option<String>,
    /// Who shares one token.
    pub share: Share,
    /// Life after the last close; `None` = the daemon's default.
    pub ttl: Option<Duration>,
    /// Absolute life of one token; `None` = the daemon's maximum.
    pub max_ttl: Option<Duration>,
    /// What the last close does.
    pub on_close: OnClose,
    /// Live leases allowed; `None` = [`DEFAULT_MAX_LEASES`].
    pub max_leases: Option<u32>,
    /// Shortest distance of two rotations; `None` = [`DEFAULT_MIN_ROTATION_INTERVAL`].
    pub min_rotation_interval: Option<Duration>,
    /// Longest age of a shared token in use; `None` = not rotated by schedule.
    #[serde(default)]
    pub rotate_every: Option<Duration>,
    /// Who may read.
    pub access: Access,
    /// From which units; empty = from any.
    #[serde(default)]
    pub allow_units: Vec<AllowedUnit>,
    /// Which anchor mints.
    pub anchor: AnchorName,
}

/// Live leases of a role unless it says otherwise.
pub const DEFAULT_MAX_LEASES: u32 = 100;

/// Distance of two rotations unless the role says otherwise.
pub const DEFAULT_MIN_ROTATION_INTERVAL: Duration = Duration::from_secs(10);

/// Shortest `rotate_every`.
pub const LEAST_ROTATE_EVERY: Duration = Duration::from_secs(60);

/// `expired-at` is this much later than the lease's own end: the net under a lost revocation (DESIGN 8.5).
pub const UPSTREAM_MARGIN: Duration = Duration::from_secs(60);

/// The daemon's own limits on every role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `ttl` of roles that name none.
    pub default_ttl: Duration,
    /// Upper bound of every `max_ttl`, and the `max_ttl` of roles that name none.
    pub max_ttl: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { default_ttl: Duration::from_secs(3600), max_ttl: Duration::from_secs(24 * 3600) }
    }
}

/// The times that bind one lease, with every default filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// Life after the last close.
    pub ttl: Duration,
    /// Absolute life.
    pub max_ttl: Duration,
}

impl Times {
    /// How much life an opener is entitled to: `min(ttl, max_ttl / 2)` (DESIGN 5, "enough life").
    pub fn needed(&self) -> Duration {
        self.ttl.min(self.max_ttl / 2)
    }
}

impl Role {
    /// Whether it matters in which unit an opener is.
    pub fn asks_for_unit(&self) -> bool {
        self.share == Share::Unit || !self.allow_units.is_empty()
    }

    /// Whether a caller in the cgroup `unit` may open its files; `None` = a caller whose cgroup is not known.
    pub fn allows(&self, unit: Option<&str>) -> bool {
        self.allow_units.is_empty() || unit.is_some_and(|path| self.allow_units.iter().any(|allowed| allowed.has(path)))
    }

    /// The times in force: the smaller of role and daemon wins, and `ttl` never exceeds `max_ttl`.
    pub fn times(&self, limits: &Limits) -> Times {
        let max_ttl = self.max_ttl.unwrap_or(limits.max_ttl).min(limits.max_ttl);
        Times { ttl: self.ttl.unwrap_or(limits.default_ttl).min(max_ttl), max_ttl }
    }

    /// Whether writing `next` over `self` leaves the tokens already issued in use: same owner, type and anchor.
    pub fn same_principal(&self, next: &Role) -> bool {
        self.owner == next.owner && self.credential_type == next.credential_type && self.anchor == next.anchor
    }
}
