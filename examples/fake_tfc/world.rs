//! Everything the server knows, kept behind one lock: principals, tokens, limits, faults, the request log.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::fault::Script;
use super::ids;
use super::log::{RequestLog, Trapped};
use super::options::{FakeOptions, Mode};
use super::owner::{Kind, Owner};
use super::rate::Limiter;
use super::switches::Switches;
use super::tokens::{Row, TokenInfo, TokenTable};

/// The organization that every fake starts with. It has the teams `owners` and `deploy` and the user `alice`, an owner.
pub const ACME: &str = "acme";

/// What the lifetime policies tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenType {
    Organization,
    Team,
    User,
    AuditTrails,
    Metrics,
}

impl TokenType {
    /// Those for which an organization has a policy from the start. `metrics` is not among them: HashiCorp's pytfe
    /// cannot read a list that contains it.
    pub const LISTED: [Self; 4] = [Self::Organization, Self::Team, Self::User, Self::AuditTrails];

    /// The type that a kind counts as.
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Organization => Self::Organization,
            Kind::AuditTrails => Self::AuditTrails,
            Kind::Team | Kind::TeamLegacy => Self::Team,
            Kind::User => Self::User,
        }
    }
}

/// A maximum lifetime.
#[derive(Debug, Clone)]
pub struct Policy {
    pub id: String,
    pub max_ttl_ms: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// An organization.
#[derive(Debug)]
pub struct Organization {
    pub name: String,
    pub external_id: String,
    /// User id of the hidden service user.
    pub service_id: String,
    pub service_name: String,
    /// User id -> membership id.
    pub members: BTreeMap<String, String>,
    pub user_tokens_enabled: bool,
    pub max_ttl_enabled: bool,
    pub policies: BTreeMap<TokenType, Policy>,
}

/// A team.
#[derive(Debug)]
pub struct Team {
    pub id: String,
    pub organization: String,
    pub name: String,
    pub service_id: String,
    pub service_name: String,
    pub members: BTreeSet<String>,
    pub secret: bool,
    pub manage_teams: bool,
    pub members_manage_tokens: bool,
}

impl Team {
    /// Whether this is the team of those who may do everything.
    pub fn is_owners(&self) -> bool {
        self.name == "owners"
    }
}

/// A user.
#[derive(Debug)]
pub struct User {
    pub id: String,
    pub name: String,
    pub email: String,
    pub service_account: bool,
    pub saml_expired: bool,
}

/// The server's state.
pub struct World {
    pub mode: Mode,
    pub clock: Clock,
    pub switches: Switches,
    pub organizations: BTreeMap<String, Organization>,
    pub teams: BTreeMap<String, Team>,
    pub users: BTreeMap<String, User>,
    pub tokens: TokenTable,
    pub limiter: Limiter,
    pub script: Script,
    pub log: RequestLog,
    pub trapped: Vec<Trapped>,
    pub anchors: BTreeMap<Owner, String>,
    pub trap: String,
    /// Packages of modules that somebody was shown the way to.
    pub objects: BTreeSet<String>,
}

impl World {
    /// An empty server.
    pub fn new(options: &FakeOptions, trap: String) -> Self {
        Self {
            mode: options.mode,
            clock: Clock::new(),
            switches: Switches::new(options),
            organizations: BTreeMap::new(),
            teams: BTreeMap::new(),
            users: BTreeMap::new(),
            tokens: TokenTable::default(),
            limiter: Limiter::default(),
            script: Script::default(),
            log: RequestLog::default(),
            trapped: Vec::new(),
            anchors: BTreeMap::new(),
            trap,
            objects: BTreeSet::new(),
        }
    }

    /// The owners team of an organization.
    pub fn owners_team(&self, organization: &str) -> Option<&Team> {
        self.teams.values().find(|team| team.organization == organization && team.is_owners())
    }

    /// The organization of an organization or a team.
    pub fn organization_of(&self, owner: &Owner) -> Option<&Organization> {
        match owner {
            Owner::Organization(name) => self.organizations.get(name),
            Owner::Team(id) => self.organizations.get(&self.teams.get(id)?.organization),
            Owner::User(_) => None,
        }
    }

    /// Whether the token's lifetime is above what `organization` allows.
    pub fn exceeds_policy(&self, organization: &Organization, row: &Row) -> bool {
        if !organization.max_ttl_enabled || !self.mode.ends_tokens_by_default() {
            return false;
        }
        let policy = organization.policies.get(&TokenType::of(row.kind));
        policy.is_some_and(|policy| row.lifetime().is_none_or(|life| life.as_millis() > i128::from(policy.max_ttl_ms)))
    }

    /// What a row shows as `is-ttl-rejected`: for a user's token, that any of the user's organizations rejects it.
    pub fn is_ttl_rejected(&self, row: &Row) -> bool {
        match &row.owner {
            Owner::User(id) => {
                self.organizations.values().any(|org| org.members.contains_key(id) && self.exceeds_policy(org, row))
            }
            owner => self.organization_of(owner).is_some_and(|org| self.exceeds_policy(org, row)),
        }
    }

    /// Whether `account/details` accepts the token. An organization may refuse a user's token all the same.
    pub fn is_alive(&self, row: &Row) -> bool {
        let now = self.clock.now();
        let lag = jiff::SignedDuration::from_millis(self.switches.revocation_lag_ms);
        let deleted = row.deleted_at.is_some_and(|at| now >= at + lag);
        if deleted || row.is_expired(now) {
            return false;
        }
        match &row.owner {
            Owner::User(id) => {
                self.users.get(id).is_some_and(|user| self.mode.is_hcp() || user.service_account || !user.saml_expired)
            }
            owner => self.organization_of(owner).is_some_and(|org| !self.exceeds_policy(org, row)),
        }
    }

    /// The token without its secret.
    pub fn info(&self, row: &Row) -> TokenInfo {
        TokenInfo {
            id: row.id.clone(),
            owner: row.owner.clone(),
            kind: row.kind,
            description: row.description.clone(),
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            alive: self.is_alive(row),
            deleted: row.deleted_at.is_some(),
            seeded: row.seeded,
        }
    }

    /// Changes one maximum lifetime; nothing happens if the organization is unknown.
    pub fn set_policy(&mut self, organization: &str, token_type: TokenType, max_ttl_ms: i64) {
        let now = self.clock.now();
        if let Some(organization) = self.organizations.get_mut(organization) {
            let fresh = || Policy { id: ids::id("ttl"), max_ttl_ms, created_at: now, updated_at: now };
            let policy = organization.policies.entry(token_type).or_insert_with(fresh);
            policy.max_ttl_ms = max_ttl_ms;
            policy.updated_at = now;
        }
    }

    /// Removes a principal's tokens at once and without lag, as its owner is gone too.
    fn delete_tokens_of(&mut self, owner: &Owner) {
        let now = self.clock.now();
        let ids: Vec<_> = self.tokens.of(owner).map(|row| row.id.clone()).collect();
        for id in ids {
            self.tokens.delete(&id, now);
        }
    }

    /// Removes a team and its tokens; false if there is none.
    pub fn delete_team(&mut self, id: &str) -> bool {
        self.delete_tokens_of(&Owner::Team(id.to_owned()));
        self.teams.remove(id).is_some()
    }

    /// Removes a user, the memberships and the tokens; false if there is none.
    pub fn delete_user(&mut self, id: &str) -> bool {
        self.delete_tokens_of(&Owner::User(id.to_owned()));
        for team in self.teams.values_mut() {
            team.members.remove(id);
        }
        for organization in self.organizations.values_mut() {
            organization.members.remove(id);
        }
        self.users.remove(id).is_some()
    }

    /// Removes an organization with its teams and all their tokens; false if there is none.
    pub fn delete_organization(&mut self, name: &str) -> bool {
        let teams: Vec<_> =
            self.teams.values().filter(|team| team.organization == name).map(|t| t.id.clone()).collect();
        for team in teams {
            self.delete_team(&team);
        }
        self.delete_tokens_of(&Owner::Organization(name.to_owned()));
        self.organizations.remove(name).is_some()
    }
}
