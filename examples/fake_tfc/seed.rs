//! Filling the server without the API.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::Fake;
use super::clock::whole_milliseconds;
use super::ids;
use super::owner::{Kind, Owner};
use super::tokens::NewToken;
use super::world::{ACME, Organization, Policy, Team, TokenType, User, World};

/// Two average years, upstream's default maximum.
const DEFAULT_MAX_TTL_MS: i64 = 63_113_904_000;

/// Long enough for every test, and below the default maximum, which takes effect as soon as any maximum does.
const ANCHOR_LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);

/// What a new organization limits.
fn default_policy(now: Timestamp) -> Policy {
    Policy { id: ids::id("ttl"), max_ttl_ms: DEFAULT_MAX_TTL_MS, created_at: now, updated_at: now }
}

impl World {
    /// The world that every fake starts with.
    pub fn seed_default(&mut self) {
        self.add_organization(ACME);
        self.add_team(ACME, "deploy").expect("the organization was just added");
        let alice = self.add_user(ACME, "alice").expect("the organization was just added");
        let owners = self.owners_team(ACME).expect("each organization has owners").id.clone();
        self.add_member(&owners, &alice);
    }

    /// An organization with its owners team; one that exists stays as it is.
    pub fn add_organization(&mut self, name: &str) {
        if self.organizations.contains_key(name) {
            return;
        }
        let now = self.clock.now();
        let organization = Organization {
            name: name.to_owned(),
            external_id: ids::id("org"),
            service_id: ids::id("user"),
            service_name: format!("api-org-{name}-{}", &ids::id("x")[2..12]),
            members: BTreeMap::new(),
            user_tokens_enabled: true,
            max_ttl_enabled: false,
            policies: TokenType::LISTED.into_iter().map(|token_type| (token_type, default_policy(now))).collect(),
        };
        self.organizations.insert(name.to_owned(), organization);
        self.add_team(name, "owners").expect("the organization was just added");
    }

    /// A visible team without members; `None` without the organization. A team of that name stays as it is.
    pub fn add_team(&mut self, organization: &str, name: &str) -> Option<String> {
        self.organizations.get(organization)?;
        if let Some(team) = self.teams.values().find(|team| team.organization == organization && team.name == name) {
            return Some(team.id.clone());
        }
        let id = ids::id("team");
        let team = Team {
            id: id.clone(),
            organization: organization.to_owned(),
            name: name.to_owned(),
            service_id: ids::id("user"),
            service_name: format!("api-team_{}", 1000 + self.teams.len()),
            members: BTreeSet::new(),
            secret: false,
            manage_teams: false,
            members_manage_tokens: true,
        };
        self.teams.insert(id.clone(), team);
        Some(id)
    }

    /// A member of the organization, in no team; `None` without the organization. A user of that name only joins.
    pub fn add_user(&mut self, organization: &str, name: &str) -> Option<String> {
        self.organizations.get(organization)?;
        let known = self.users.values().find(|user| user.name == name).map(|user| user.id.clone());
        let id = known.unwrap_or_else(|| ids::id("user"));
        self.users.entry(id.clone()).or_insert_with(|| User {
            id: id.clone(),
            name: name.to_owned(),
            email: format!("{name}@example.org"),
            service_account: false,
            saml_expired: false,
        });
        let organization = self.organizations.get_mut(organization)?;
        organization.members.entry(id.clone()).or_insert_with(|| ids::id("ou"));
        Some(id)
    }

    /// Puts a user into a team; false without the team.
    pub fn add_member(&mut self, team: &str, user: &str) -> bool {
        self.teams.get_mut(team).is_some_and(|team| team.members.insert(user.to_owned()))
    }

    /// A token out of nothing; slots lose the former. Returns id and secret.
    pub fn add_token(
        &mut self,
        owner: Owner,
        kind: Kind,
        description: Option<&str>,
        expires_at: Option<Timestamp>,
    ) -> (String, String) {
        let secret = ids::secret(self.switches.token_length);
        let row = self.tokens.insert(NewToken {
            secret: secret.clone(),
            owner,
            kind,
            description: description.map(str::to_owned),
            created_at: whole_milliseconds(self.clock.now()),
            expires_at: expires_at.map(whole_milliseconds),
            created_by: None,
            seeded: true,
        });
        (row.id.clone(), secret)
    }

    /// A seeded token of the owner, made at the first call.
    pub fn anchor(&mut self, owner: Owner, kind: Kind) -> String {
        if let Some(secret) = self.anchors.get(&owner) {
            return secret.clone();
        }
        let description = matches!(kind, Kind::Team | Kind::User).then_some("anchor");
        let end = self.clock.now() + ANCHOR_LIFETIME;
        let (_, secret) = self.add_token(owner.clone(), kind, description, Some(end));
        self.anchors.insert(owner, secret.clone());
        secret
    }
}

impl Fake {
    /// An organization with an owners team and nobody in it.
    pub fn seed_organization(&self, name: &str) {
        self.shared.world.lock().add_organization(name);
    }

    /// A team that all members of the organization see; returns its id.
    pub fn seed_team(&self, organization: &str, name: &str) -> String {
        self.shared.world.lock().add_team(organization, name).expect("the organization is seeded first")
    }

    /// A member of the organization, in no team; returns the id.
    pub fn seed_user(&self, organization: &str, name: &str) -> String {
        self.shared.world.lock().add_user(organization, name).expect("the organization is seeded first")
    }

    /// Puts a user into a team.
    pub fn seed_member(&self, team_id: &str, user_id: &str) {
        self.shared.world.lock().add_member(team_id, user_id);
    }

    /// A token as if made long ago; returns id and secret. Never counted by [`Fake::creates`] or as an orphan.
    pub fn seed_token(
        &self,
        owner: Owner,
        kind: Kind,
        description: Option<&str>,
        expires_at: Option<Timestamp>,
    ) -> (String, String) {
        self.shared.world.lock().add_token(owner, kind, description, expires_at)
    }

    /// The id of a team by name.
    pub fn team_id(&self, organization: &str, name: &str) -> String {
        let world = self.shared.world.lock();
        let team = world.teams.values().find(|team| team.organization == organization && team.name == name);
        team.expect("the team is seeded first").id.clone()
    }

    /// The id of a user by name.
    pub fn user_id(&self, name: &str) -> String {
        let world = self.shared.world.lock();
        world.users.values().find(|user| user.name == name).expect("the user is seeded first").id.clone()
    }

    /// A user token of alice, an owner of acme, good for a year. Made at the first call, the same later, also if it has died meanwhile
    /// (so with the other anchors).
    pub fn anchor_user_token(&self) -> String {
        let owner = Owner::User(self.user_id("alice"));
        self.shared.world.lock().anchor(owner, Kind::User)
    }

    /// The organization token of acme: it fills the slot, which is empty before the first call.
    pub fn anchor_org_token(&self) -> String {
        self.shared.world.lock().anchor(Owner::Organization(ACME.into()), Kind::Organization)
    }

    /// A described token of acme's owners team (the undescribed one where the product knows no other).
    pub fn anchor_team_token(&self) -> String {
        let owner = Owner::Team(self.team_id(ACME, "owners"));
        let mut world = self.shared.world.lock();
        let kind = if world.mode.has_multi_team_tokens() { Kind::Team } else { Kind::TeamLegacy };
        world.anchor(owner, kind)
    }
}
