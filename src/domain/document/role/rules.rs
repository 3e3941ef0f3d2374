//! What the values of a role must be to each other: one owner (with Vault's inference of types), no contradictions.

use super::{DocumentError, TeamLookup};
use crate::domain::owner::{CredentialType, Owner};
use crate::domain::role::{OnClose, Share};

/// What to write when there is no owner.
pub(super) const NO_OWNER: &str = "a role needs an owner: organization = \"…\", team_id = \"team-…\", organization and team = \"name\", or user_id = \"user-…\"";

/// The four keys that name an owner.
pub(super) struct Owners {
    pub(super) organization: Option<String>,
    pub(super) team: Option<String>,
    pub(super) team_id: Option<String>,
    pub(super) user_id: Option<String>,
}

impl Owners {
    /// What no further key could repair: two owners, or a type that none of the keys there can have.
    pub(super) fn certainly_wrong(&self, kind: Option<CredentialType>) -> Result<(), DocumentError> {
        let (organization, team) = (self.organization.is_some(), self.team.is_some() || self.team_id.is_some());
        let user = self.user_id.is_some();
        if user && (organization || team) {
            let other = [("organization", organization), ("team_id", self.team_id.is_some()), ("team", team)];
            let other = other.iter().find(|(_, there)| *there).map_or("team", |(key, _)| key);
            return Err(DocumentError::certain(format!(
                "two owners: user_id excludes {other}; a role has exactly one owner"
            )));
        }
        let has = match () {
            () if user => "a user (user_id)",
            () if self.team_id.is_some() => "a team (team_id)",
            () if team => "a team (team)",
            // Its team may follow.
            () if organization && kind == Some(CredentialType::User) => "an organization",
            () => return Ok(()),
        };
        let fits = match kind {
            None => true,
            Some(CredentialType::Organization) => false,
            Some(CredentialType::Team | CredentialType::TeamLegacy) => team,
            Some(CredentialType::User) => user,
        };
        match kind.filter(|_| !fits) {
            Some(kind) => Err(DocumentError::certain(contradiction(kind, has))),
            None => Ok(()),
        }
    }

    /// The owner. While a team is to be looked up, its name stands for its id.
    pub(super) fn decide(&self, kind: Option<CredentialType>) -> Result<(Owner, Option<TeamLookup>), DocumentError> {
        match (&self.organization, &self.team, &self.team_id, &self.user_id) {
            // A name says nothing without its organization.
            (None, Some(_), ..) => Err(DocumentError::missing(format!("organization is missing: {NO_OWNER}"))),
            (_, _, Some(id), _) => Ok((Owner::Team { id: id.clone() }, None)),
            (Some(organization), Some(team), None, _) => {
                let lookup = TeamLookup { organization: organization.clone(), team: team.clone() };
                Ok((Owner::Team { id: team.clone() }, Some(lookup)))
            }
            (_, _, _, Some(id)) => Ok((Owner::User { id: id.clone() }, None)),
            (Some(name), ..) => match kind {
                Some(kind @ (CredentialType::Team | CredentialType::TeamLegacy)) => {
                    Err(DocumentError::missing(contradiction(kind, "an organization")))
                }
                _ => Ok((Owner::Organization { name: name.clone() }, None)),
            },
            _ => Err(DocumentError::missing(NO_OWNER)),
        }
    }
}

fn contradiction(kind: CredentialType, has: &str) -> String {
    let needs = match kind {
        CredentialType::Organization => "organization alone",
        CredentialType::Team | CredentialType::TeamLegacy => "team_id, or organization and team",
        CredentialType::User => "user_id",
    };
    format!("credential_type = \"{kind}\" contradicts the owner, which is {has}: it needs {needs}")
}

/// The type of an owner's tokens if nobody says, as Vault infers it.
pub(super) fn inferred(owner: &Owner) -> CredentialType {
    match owner {
        Owner::Organization { .. } => CredentialType::Organization,
        Owner::Team { .. } => CredentialType::TeamLegacy,
        Owner::User { .. } => CredentialType::User,
    }
}

/// What a slot cannot have.
pub(super) struct Policy {
    pub(super) share: Share,
    pub(super) on_close: OnClose,
    pub(super) described: bool,
}

impl Policy {
    /// The first thing that tokens of this type cannot have.
    pub(super) fn check(&self, kind: CredentialType) -> Result<(), String> {
        if !kind.is_slot() {
            return Ok(());
        }
        let what = if self.share != Share::Role {
            "share other than \"role\""
        } else if self.on_close == OnClose::Revoke {
            "on_close = \"revoke\""
        } else if self.described {
            "a description"
        } else {
            return Ok(());
        };
        let way_out = match kind {
            CredentialType::TeamLegacy => {
                "leave it out, or write credential_type = \"team\" for tokens of which there can be many"
            }
            _ => "leave it out, or let a team or a user own the role",
        };
        Err(format!(
            "{what} cannot be had with credential_type = \"{kind}\": its one token is the same for everybody until rotated; {way_out}"
        ))
    }
}
