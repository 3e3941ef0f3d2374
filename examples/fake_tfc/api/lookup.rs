//! The routes that only look: whose token, which organizations, teams, users.

use serde_json::{Value, json};

use super::super::access::Caller;
use super::super::answer::{Answer, page, page_if_asked};
use super::super::owner::Owner;
use super::super::world::{Organization, Team, World};
use super::{Call, Outcome, show};

fn not_found() -> Answer {
    Answer::error(404)
}

/// Service discovery.
pub fn discovery(world: &World) -> Answer {
    let mut services = json!({
        "modules.v1": "/api/registry/v1/modules/",
        "providers.v1": "/api/registry/v1/providers/",
        "motd.v1": "/api/terraform/motd",
        "state.v2": "/api/v2/",
        "tfe.v2": "/api/v2/",
        "tfe.v2.1": "/api/v2/",
        "tfe.v2.2": "/api/v2/",
    });
    if world.mode.is_hcp() {
        services["versions.v1"] = json!("https://checkpoint-api.hashicorp.com/v1/versions/");
    }
    Answer::text(200, "application/json", services.to_string())
}

/// Whose token it is. Teams and organizations appear as their hidden service users.
pub fn account_details(world: &World, caller: &Caller) -> Outcome {
    let (id, name, email, service) = match &caller.owner {
        Owner::User(id) => {
            let user = world.users.get(id).ok_or_else(not_found)?;
            (&user.id, &user.name, user.email.clone(), user.service_account)
        }
        Owner::Team(id) => {
            let team = world.teams.get(id).ok_or_else(not_found)?;
            (&team.service_id, &team.service_name, format!("{}@hashicorp.com", team.service_name), true)
        }
        Owner::Organization(name) => {
            let org = world.organizations.get(name).ok_or_else(not_found)?;
            (&org.service_id, &org.service_name, format!("{}@hashicorp.com", org.service_name), true)
        }
    };
    let is_user = matches!(caller.owner, Owner::User(_));
    let mut data = json!({
        "id": id,
        "type": "users",
        "attributes": {
            "username": name,
            "is-service-account": service,
            "auth-method": "tfc",
            "avatar-url": format!("https://avatars.example/{name}"),
            "v2-only": false,
            "email": email,
            "unconfirmed-email": null,
            "is-site-admin": false,
            "is-sso-login": false,
            "permissions": {
                "can-create-organizations": is_user,
                "can-change-email": is_user,
                "can-change-username": is_user,
                "can-manage-user-tokens": is_user,
            },
        },
        "relationships": {
            "authentication-tokens": {"links": {"related": format!("/api/v2/users/{id}/authentication-tokens")}},
            "authenticated-resource": {
                "data": show::reference(&caller.owner),
                "links": {"related": format!("/api/v2/{}", caller.owner)},
            },
        },
        "links": {"self": format!("/api/v2/users/{id}")},
    });
    if let Some(relationships) = data["relationships"].as_object_mut()
        && world.switches.hide_authenticated_resource
    {
        relationships.remove("authenticated-resource");
    }
    let mut answer = Answer::json(200, &json!({ "data": data }));
    if world.mode.names_token_in_use() {
        let auth_token = json!(format!("/api/v2/authentication-tokens/{}", caller.token_id));
        if world.switches.repeat_links_key {
            let repeated = format!("{{\"data\":{{\"links\":{{\"auth-token\":{auth_token}}},");
            let body = json!({ "data": data }).to_string();
            answer.body = body.replacen("{\"data\":{", &repeated, 1).into();
        } else {
            data["links"]["auth-token"] = auth_token;
            answer = Answer::json(200, &json!({ "data": data }));
        }
    }
    Ok(answer)
}

/// Oneself, or somebody with whom one shares an organization.
pub fn show_user(world: &World, caller: &Caller, call: &Call<'_>) -> Outcome {
    let user = world.users.get(call.subject).ok_or_else(not_found)?;
    let mut shared = world.organizations.values().filter(|org| org.members.contains_key(&user.id));
    if caller.is_user(&user.id) || shared.any(|org| world.may_see_organization(caller, &org.name)) {
        Ok(Answer::json(200, &json!({ "data": show::user(user) })))
    } else {
        Err(not_found())
    }
}

/// The organizations that the caller sees; whole unless a page is asked for.
pub fn list_organizations(world: &World, caller: &Caller, call: &Call<'_>) -> Outcome {
    let name = call.query.get("q").or_else(|| call.query.get("q[name]")).unwrap_or_default().to_lowercase();
    let items = world.organizations.values();
    let items = items.filter(|org| org.name.to_lowercase().contains(&name));
    let items = items.filter(|org| world.may_see_organization(caller, &org.name));
    let items = items.map(|org| show::organization(world, caller, org)).collect();
    Ok(page_if_asked(call.path, call.query, items))
}

fn visible<'a>(world: &'a World, caller: &Caller, call: &Call<'_>) -> Result<&'a Organization, Answer> {
    let organization = world.organizations.get(call.subject);
    organization.filter(|org| world.may_see_organization(caller, &org.name)).ok_or_else(not_found)
}

/// One organization.
pub fn show_organization(world: &World, caller: &Caller, call: &Call<'_>) -> Outcome {
    let organization = visible(world, caller, call)?;
    Ok(Answer::json(200, &json!({ "data": show::organization(world, caller, organization) })))
}

/// What the plan includes: everything.
pub fn entitlement_set(world: &World, caller: &Caller, call: &Call<'_>) -> Outcome {
    let organization = visible(world, caller, call)?;
    let attributes = json!({
        "agents": true, "audit-logging": world.mode.is_hcp(), "cost-estimation": true, "operations": true,
        "private-module-registry": true, "sentinel": true, "sso": true, "state-storage": true, "teams": true,
        "vcs-integrations": true, "user-limit": null,
    });
    let data = json!({"id": organization.external_id, "type": "entitlement-sets", "attributes": attributes});
    Ok(Answer::json(200, &json!({ "data": data })))
}

/// The teams that the caller sees.
pub fn list_teams(world: &World, caller: &Caller, call: &Call<'_>) -> Outcome {
    call.query.check_include(&["users", "organization-memberships"])?;
    let organization = visible(world, caller, call)?;
    let part = call.query.get("q").unwrap_or_default().to_lowercase();
    let names = call.query.list("filter[names]");
    let by_name = call.query.get("filter[names]").is_some();
    let hides_owners = world.switches.hide_owners_from_filter && matches!(caller.owner, Owner::Organization(_));
    let same = |name: &str, wanted: &str| {
        if world.switches.filter_names_case_sensitive { name == wanted } else { name.eq_ignore_ascii_case(wanted) }
    };
    let teams: Vec<&Team> = world
        .teams
        .values()
        .filter(|team| team.organization == organization.name && world.may_see_team(caller, team))
        .filter(|team| team.name.to_lowercase().contains(&part))
        .filter(|team| !by_name || names.iter().any(|wanted| same(&team.name, wanted)))
        .filter(|team| !(by_name && hides_owners && team.is_owners()))
        .collect();
    let included = included(world, organization, &teams, &call.query.list("include"));
    let items = teams.into_iter().map(|team| show::team(world, caller, team)).collect();
    Ok(page(call.path, call.query, items, included))
}

/// One team.
pub fn show_team(world: &World, caller: &Caller, call: &Call<'_>) -> Outcome {
    call.query.check_include(&["users", "organization-memberships"])?;
    let team = world.teams.get(call.subject).filter(|team| world.may_see_team(caller, team)).ok_or_else(not_found)?;
    let organization = world.organizations.get(&team.organization).ok_or_else(not_found)?;
    let mut body = json!({ "data": show::team(world, caller, team) });
    if let Some(included) = included(world, organization, &[team], &call.query.list("include")) {
        body["included"] = Value::Array(included);
    }
    Ok(Answer::json(200, &body))
}

fn included(world: &World, organization: &Organization, teams: &[&Team], include: &[&str]) -> Option<Vec<Value>> {
    if include.is_empty() {
        return None;
    }
    let mut ids: Vec<_> = teams.iter().flat_map(|team| &team.members).collect();
    ids.sort();
    ids.dedup();
    let mut items = Vec::new();
    for id in ids {
        if include.contains(&"users") {
            items.extend(world.users.get(id).map(show::user));
        }
        if include.contains(&"organization-memberships") {
            let membership = organization.members.get(id);
            items.extend(membership.map(|membership| show::membership(world, organization, id, membership)));
        }
    }
    Some(items)
}

/// The members of an organization.
pub fn list_memberships(world: &World, caller: &Caller, call: &Call<'_>) -> Outcome {
    call.query.check_include(&["user", "teams"])?;
    let organization = visible(world, caller, call)?;
    let part = call.query.get("q").unwrap_or_default().to_lowercase();
    let emails = call.query.list("filter[email]");
    let members: Vec<_> = organization
        .members
        .iter()
        .filter_map(|(user, membership)| Some((world.users.get(user)?, membership)))
        .filter(|(user, _)| user.name.to_lowercase().contains(&part) || user.email.to_lowercase().contains(&part))
        .filter(|(user, _)| emails.is_empty() || emails.contains(&user.email.as_str()))
        .collect();
    let wants_user = call.query.list("include").contains(&"user");
    let included = wants_user.then(|| members.iter().map(|(user, _)| show::user(user)).collect());
    let items = members.into_iter().map(|(user, id)| show::membership(world, organization, &user.id, id)).collect();
    Ok(page(call.path, call.query, items, included))
}

/// The caller's own memberships.
pub fn own_memberships(world: &World, caller: &Caller, call: &Call<'_>) -> Outcome {
    let mut items = Vec::new();
    if let Owner::User(id) = &caller.owner {
        for organization in world.organizations.values() {
            let membership = organization.members.get(id);
            items.extend(membership.map(|membership| show::membership(world, organization, id, membership)));
        }
    }
    Ok(page(call.path, call.query, items, None))
}
