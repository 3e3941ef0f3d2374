//! Whose tokens, and of which kind.

use std::fmt;

use serde::Serialize;

/// The principal a token belongs to and acts as.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// By name.
    Organization(String),
    /// By id.
    Team(String),
    /// By id.
    User(String),
}

impl Owner {
    /// Name or id.
    pub fn id(&self) -> &str {
        match self {
            Self::Organization(id) | Self::Team(id) | Self::User(id) => id,
        }
    }

    /// The JSON:API type.
    pub fn resource_type(&self) -> &'static str {
        match self {
            Self::Organization(_) => "organizations",
            Self::Team(_) => "teams",
            Self::User(_) => "users",
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.resource_type(), self.id())
    }
}

/// Which of an owner's collections a token is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The one token of an organization.
    Organization,
    /// The one audit-trails token of an organization.
    AuditTrails,
    /// The one undescribed token of a team.
    TeamLegacy,
    /// One of a team's described tokens.
    Team,
    /// One of a user's tokens.
    User,
}

impl Kind {
    /// Whether an owner has at most one of these.
    pub fn is_slot(self) -> bool {
        matches!(self, Self::Organization | Self::AuditTrails | Self::TeamLegacy)
    }
}
