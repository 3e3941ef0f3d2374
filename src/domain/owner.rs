//! Whose token: the upstream principal and the four credential types.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest id or name of upstream, in bytes.
pub const LONGEST_ID: usize = 255;

/// Whether a text can be an id or a name of upstream: it may be put into a path, a document or a message then.
pub fn is_id(text: &str) -> bool {
    // `?`, `#` and `%` mean something in the paths of the API.
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '?' | '#' | '%');
    !text.is_empty() && text.len() <= LONGEST_ID && !text.contains(bad) && !matches!(text, "." | "..")
}

/// The four kinds of token, named as in Vault's engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialType {
    /// The one token of an organization (a slot).
    Organization,
    /// The one undescribed token of a team (a slot).
    TeamLegacy,
    /// One of many described tokens of a team.
    Team,
    /// One of many tokens of a user.
    User,
}

impl CredentialType {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Organization, Self::TeamLegacy, Self::Team, Self::User];

    /// A slot holds one token: making a new one kills the former at once.
    pub fn is_slot(self) -> bool {
        matches!(self, Self::Organization | Self::TeamLegacy)
    }

    /// The name used in documents and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::TeamLegacy => "team_legacy",
            Self::Team => "team",
            Self::User => "user",
        }
    }
}

impl fmt::Display for CredentialType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The upstream principal a token belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// An organization, by name.
    Organization {
        /// Its name, which is also its id upstream.
        name: String,
    },
    /// A team, by id.
    Team {
        /// `team-…`.
        id: String,
    },
    /// A user, by id.
    User {
        /// `user-…`.
        id: String,
    },
}

impl Owner {
    /// Name or id, whichever upstream uses in paths.
    pub fn id(&self) -> &str {
        match self {
            Self::Organization { name } => name,
            Self::Team { id } | Self::User { id } => id,
        }
    }

    /// `organization`, `team` or `user`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Organization { .. } => "organization",
            Self::Team { .. } => "team",
            Self::User { .. } => "user",
        }
    }

    /// Whether `kind` is a type of token that this owner can have.
    pub fn can_have(&self, kind: CredentialType) -> bool {
        match self {
            Self::Organization { .. } => kind == CredentialType::Organization,
            Self::Team { .. } => matches!(kind, CredentialType::Team | CredentialType::TeamLegacy),
            Self::User { .. } => kind == CredentialType::User,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.id())
    }
}
