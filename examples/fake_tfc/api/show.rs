//! How things look in JSON.

use serde_json::{Value, json};

use super::super::access::Caller;
use super::super::clock::iso;
use super::super::owner::{Kind, Owner};
use super::super::tokens::Row;
use super::super::world::{Organization, Policy, Team, TokenType, User, World};

/// A token. The secret is shown in the answer to the create call only.
pub fn token(world: &World, row: &Row, with_secret: bool) -> Value {
    let mut relationships = json!({ "created-by": { "data": row.created_by.as_ref().map(reference) } });
    if matches!(row.kind, Kind::Team | Kind::TeamLegacy) {
        relationships["team"] = json!({ "data": reference(&row.owner) });
    }
    json!({
        "id": row.id,
        "type": "authentication-tokens",
        "attributes": {
            "created-at": iso(row.created_at),
            "last-used-at": row.last_used_at.map(iso),
            "description": row.description,
            "token": with_secret.then_some(&row.secret),
            "expired-at": row.expires_at.map(iso),
            "is-ttl-rejected": world.is_ttl_rejected(row),
        },
        "relationships": relationships,
    })
}

/// `{id, type}`.
pub fn reference(owner: &Owner) -> Value {
    json!({"id": owner.id(), "type": owner.resource_type()})
}

/// An organization as the caller sees it.
pub fn organization(world: &World, caller: &Caller, organization: &Organization) -> Value {
    let name = &organization.name;
    let owner = world.is_owner(caller, name);
    json!({
        "id": name,
        "type": "organizations",
        "attributes": {
            "name": name,
            "external-id": organization.external_id,
            "email": format!("admin@{name}.example"),
            "user-tokens-enabled": organization.user_tokens_enabled,
            "max-ttl-enabled": organization.max_ttl_enabled,
            "permissions": {
                "can-update": owner,
                "can-destroy": owner,
                "can-update-api-token": world.may_manage_organization_token(caller, name),
                "can-manage-users": owner,
                "can-create-team": owner,
                "can-access-via-teams": true,
            },
        },
        "relationships": {
            "authentication-token": {"links": {"related": format!("/api/v2/organizations/{name}/authentication-token")}},
            "entitlement-set": {"data": {"id": organization.external_id, "type": "entitlement-sets"}},
        },
        "links": {"self": format!("/api/v2/organizations/{name}")},
    })
}

/// A team as the caller sees it.
pub fn team(world: &World, caller: &Caller, team: &Team) -> Value {
    let id = &team.id;
    let owner = world.is_owner(caller, &team.organization);
    let manage = world.may_manage_team_tokens(caller, team);
    let users: Vec<_> = team.members.iter().map(|user| json!({"id": user, "type": "users"})).collect();
    let link = |last: &str| json!({"links": {"related": format!("/api/v2/teams/{id}/{last}")}});
    json!({
        "id": id,
        "type": "teams",
        "attributes": {
            "name": team.name,
            "users-count": team.members.len(),
            "visibility": if team.secret { "secret" } else { "organization" },
            "allow-member-token-management": team.members_manage_tokens,
            "organization-access": {"manage-teams": team.manage_teams || team.is_owners()},
            "permissions": {
                "can-update-membership": owner,
                "can-destroy": owner && !team.is_owners(),
                "can-update-organization-access": owner,
                "can-update-api-token": manage,
                "can-view-api-token": manage,
                "can-update-visibility": owner,
            },
        },
        "relationships": {
            "users": {"data": users},
            "organization": {"data": {"id": team.organization, "type": "organizations"}},
            "authentication-token": link("authentication-token"),
            "authentication-tokens": link("authentication-tokens"),
        },
        "links": {"self": format!("/api/v2/teams/{id}")},
    })
}

/// A user as others see it.
pub fn user(user: &User) -> Value {
    json!({
        "id": user.id,
        "type": "users",
        "attributes": {
            "username": user.name,
            "is-service-account": user.service_account,
            "avatar-url": format!("https://avatars.example/{}", user.name),
            "v2-only": false,
        },
        "links": {"self": format!("/api/v2/users/{}", user.id)},
    })
}

/// A membership of an organization.
pub fn membership(world: &World, organization: &Organization, user_id: &str, membership_id: &str) -> Value {
    let user = world.users.get(user_id);
    let teams = world.teams.values();
    let teams = teams.filter(|team| team.organization == organization.name && team.members.contains(user_id));
    let teams: Vec<_> = teams.map(|team| json!({"id": team.id, "type": "teams"})).collect();
    json!({
        "id": membership_id,
        "type": "organization-memberships",
        "attributes": {
            "status": "active",
            "email": user.map(|user| &user.email),
            "username": user.map(|user| &user.name),
            "created-at": "2024-01-01T00:00:00.000Z",
        },
        "relationships": {
            "user": {"data": {"id": user_id, "type": "users"}},
            "organization": {"data": {"id": organization.name, "type": "organizations"}},
            "teams": {"data": teams},
        },
    })
}

/// A lifetime policy.
pub fn policy(token_type: TokenType, policy: &Policy) -> Value {
    json!({
        "id": policy.id,
        "type": "organization-token-ttl-policies",
        "attributes": {
            "token-type": token_type,
            "max-ttl-ms": policy.max_ttl_ms,
            "created-at": iso(policy.created_at),
            "updated-at": iso(policy.updated_at),
        },
    })
}
