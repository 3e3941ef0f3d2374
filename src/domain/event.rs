//! What happened, told to whoever shows it: the kernel's caches, `events`, `metrics`.

use jiff::Timestamp;

use super::error::Ended;
use super::lease::{LeaseRecord, Serial};
use super::name::{AnchorName, RoleName};

/// Something that has taken effect. Sent after the book is updated, with no lock held.
#[derive(Debug, Clone)]
pub enum Event {
    /// A lease was made and is current in its scope; `former` is the lease it replaces there.
    Issued {
        /// The new lease. Its `Debug` shows no secret.
        lease: Box<LeaseRecord>,
        /// The lease that is superseded now.
        former: Option<Serial>,
    },
    /// A lease has ended: its handles fail from now on.
    Ended {
        /// The lease.
        lease: Box<LeaseRecord>,
        /// How.
        how: Ended,
    },
    /// Upstream refuses the token of a live lease: somebody else deleted or replaced it. [`Self::Ended`] follows.
    Refused {
        /// The lease.
        lease: Box<LeaseRecord>,
    },
    /// Upstream has proven a token gone.
    Gone {
        /// The lease.
        lease: Box<LeaseRecord>,
    },
    /// A revocation that was not proven was given up on command: the token may live upstream.
    Forgotten {
        /// The lease.
        lease: Box<LeaseRecord>,
        /// Who asked.
        uid: u32,
    },
    /// A revocation attempt failed; it will be repeated.
    RevocationDelayed {
        /// The lease.
        lease: Box<LeaseRecord>,
        /// Why, as a sentence.
        reason: String,
    },
    /// A rotation succeeded.
    Rotated {
        /// The role.
        role: RoleName,
        /// Who asked.
        uid: Option<u32>,
    },
    /// A scheduled rotation of a role failed; it will be repeated.
    RotationFailed {
        /// The role.
        role: RoleName,
        /// Why, as a sentence.
        reason: String,
    },
    /// A role was created or changed.
    RoleWritten {
        /// Its name.
        role: RoleName,
        /// False when it is new.
        existed: bool,
    },
    /// A role was removed.
    RoleRemoved {
        /// Its name.
        role: RoleName,
    },
    /// The anchors were changed.
    ConfigWritten,
    /// The rotation of an anchor, or what it left behind, wants attention; it goes on by itself where it can.
    AnchorTrouble {
        /// The anchor.
        anchor: AnchorName,
        /// What is wrong and what to do, as a sentence without anything secret.
        reason: String,
    },
}

impl Event {
    /// One word for `events` and `metrics`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Issued { .. } => "issued",
            Self::Ended { how: Ended::Expired, .. } => "expired",
            Self::Ended { how: Ended::Revoked, .. } => "revoked",
            Self::Refused { .. } => "refused",
            Self::Gone { .. } => "gone",
            Self::Forgotten { .. } => "forgotten",
            Self::RevocationDelayed { .. } => "revocation_delayed",
            Self::Rotated { .. } => "rotated",
            Self::RotationFailed { .. } => "rotation_failed",
            Self::RoleWritten { existed: false, .. } => "role_created",
            Self::RoleWritten { existed: true, .. } => "role_changed",
            Self::RoleRemoved { .. } => "role_removed",
            Self::ConfigWritten => "config_written",
            Self::AnchorTrouble { .. } => "anchor_trouble",
        }
    }

    /// The lease it is about.
    pub fn lease(&self) -> Option<&LeaseRecord> {
        match self {
            Self::Issued { lease, .. }
            | Self::Ended { lease, .. }
            | Self::Refused { lease }
            | Self::Gone { lease }
            | Self::Forgotten { lease, .. }
            | Self::RevocationDelayed { lease, .. } => Some(lease),
            _ => None,
        }
    }

    /// The role it is about.
    pub fn role(&self) -> Option<&RoleName> {
        match self {
            Self::Rotated { role, .. }
            | Self::RotationFailed { role, .. }
            | Self::RoleWritten { role, .. }
            | Self::RoleRemoved { role } => Some(role),
            _ => self.lease().map(|lease| &lease.role),
        }
    }
}

/// Whoever is told. Must return at once and must not call back into the domain.
pub trait Observer: Send + Sync {
    /// `event` took effect at `at`.
    fn observe(&self, at: Timestamp, event: &Event);
}

/// Tells nobody.
impl Observer for () {
    fn observe(&self, _: Timestamp, _: &Event) {}
}
