//! Who is calling, and what that caller may do.

use super::owner::{Kind, Owner};
use super::route::Route;
use super::tokens::Row;
use super::world::{Team, World};

/// Whoever the request's token belongs to.
#[derive(Debug, Clone)]
pub struct Caller {
    pub token_id: String,
    pub owner: Owner,
    pub kind: Kind,
}

impl Caller {
    /// Whether the caller is that user, with a user token.
    pub fn is_user(&self, id: &str) -> bool {
        matches!(&self.owner, Owner::User(me) if me == id)
    }

    fn is_organization(&self, name: &str) -> bool {
        self.kind == Kind::Organization && self.owner.id() == name
    }

    fn is_in(&self, team: &Team) -> bool {
        match &self.owner {
            Owner::User(id) => team.members.contains(id),
            Owner::Team(id) => *id == team.id,
            Owner::Organization(_) => false,
        }
    }
}

impl World {
    /// The caller behind a bearer token, or `None` for 401.
    ///
    /// A user's token that is good in general may still be refused by the organization that `route` is about.
    pub fn authenticate(&self, bearer: Option<&str>, route: Route, subject: &str) -> Option<Caller> {
        let row = self.tokens.by_secret(bearer?)?;
        if !self.is_alive(row) {
            return None;
        }
        if let Owner::User(_) = &row.owner
            && let Some(organization) = self.route_organization(route, subject)
        {
            let organization = self.organizations.get(organization)?;
            if !organization.user_tokens_enabled || self.exceeds_policy(organization, row) {
                return None;
            }
        }
        Some(Caller { token_id: row.id.clone(), owner: row.owner.clone(), kind: row.kind })
    }

    fn route_organization<'a>(&'a self, route: Route, subject: &'a str) -> Option<&'a str> {
        if route.is_about_organization() {
            return Some(subject).filter(|name| self.organizations.contains_key(*name));
        }
        if route.is_about_team() {
            return self.teams.get(subject).map(|team| team.organization.as_str());
        }
        if matches!(route, Route::ShowToken | Route::DeleteToken) {
            return self.organization_of(&self.tokens.get(subject)?.owner).map(|org| org.name.as_str());
        }
        None
    }

    /// Whether the caller sees the organization at all.
    pub fn may_see_organization(&self, caller: &Caller, name: &str) -> bool {
        let Some(organization) = self.organizations.get(name) else { return false };
        match &caller.owner {
            Owner::Organization(_) => caller.is_organization(name),
            Owner::Team(id) => self.teams.get(id).is_some_and(|team| team.organization == name),
            Owner::User(id) => organization.members.contains_key(id),
        }
    }

    /// Owners by user token, the owners team's token, the organization token.
    pub fn is_owner(&self, caller: &Caller, organization: &str) -> bool {
        caller.is_organization(organization)
            || self.owners_team(organization).is_some_and(|owners| caller.is_in(owners))
    }

    /// Whether the caller sees the team.
    pub fn may_see_team(&self, caller: &Caller, team: &Team) -> bool {
        let public = !team.secret && self.may_see_organization(caller, &team.organization);
        public || caller.is_in(team) || self.is_owner(caller, &team.organization)
    }

    /// Whether the caller may make, see and delete tokens of the team.
    pub fn may_manage_team_tokens(&self, caller: &Caller, team: &Team) -> bool {
        if self.is_owner(caller, &team.organization) {
            return true;
        }
        let mut of_same = self.teams.values().filter(|other| other.organization == team.organization);
        let manages_teams = !team.secret && of_same.any(|other| other.manage_teams && caller.is_in(other));
        manages_teams || (team.members_manage_tokens && caller.is_in(team))
    }

    /// Whether the caller may use the organization's own slots.
    pub fn may_manage_organization_token(&self, caller: &Caller, organization: &str) -> bool {
        let by_kind = matches!(caller.owner, Owner::User(_)) || self.switches.services_manage_organization_token;
        by_kind && self.organizations.contains_key(organization) && self.is_owner(caller, organization)
    }

    /// Whether the caller may see and delete the token by its id.
    pub fn may_manage_token(&self, caller: &Caller, row: &Row) -> bool {
        match &row.owner {
            Owner::User(id) => caller.is_user(id),
            Owner::Team(id) => self.teams.get(id).is_some_and(|team| self.may_manage_team_tokens(caller, team)),
            Owner::Organization(name) => self.may_manage_organization_token(caller, name),
        }
    }
}
