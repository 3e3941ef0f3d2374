//! Tokens of which an owner has many, and whatever is addressed by a token's id.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::access::Caller;
use super::super::answer::{Answer, page, page_if_asked};
use super::super::owner::{Kind, Owner};
use super::super::tokens::Row;
use super::super::world::World;
use super::request::{TokenRequest, data};
use super::{Call, Outcome, show};

fn not_found() -> Answer {
    Answer::error(404)
}

/// 201 with the secret, this once.
pub fn created(world: &World, id: &str) -> Outcome {
    let row = world.tokens.get(id).ok_or_else(not_found)?;
    Ok(Answer::json(201, &json!({ "data": show::token(world, row, true) })))
}

/// Deletes by id: 204, or 404 if it is gone already.
pub fn remove(world: &mut World, caller: &Caller, id: &str) -> Outcome {
    if id == caller.token_id && !world.switches.may_delete_itself {
        return Err(not_found());
    }
    let now = world.clock.now();
    if world.tokens.delete(id, now) { Ok(Answer::empty(204)) } else { Err(not_found()) }
}

/// A described team token. Without a description it is the undescribed one, whose slot it takes.
pub fn create_for_team(world: &mut World, caller: &Caller, call: &Call<'_>) -> Outcome {
    let team = world.teams.get(call.subject).ok_or_else(not_found)?;
    if !world.may_manage_team_tokens(caller, team) {
        return Err(not_found());
    }
    let request = TokenRequest::parse(call.body, false)?;
    let kind = if request.description.is_some() { Kind::Team } else { Kind::TeamLegacy };
    let new = request.validate(world, Owner::Team(call.subject.to_owned()), kind, &caller.owner)?;
    let id = world.tokens.insert(new).id.clone();
    created(world, &id)
}

/// A user token, by that user alone.
pub fn create_for_user(world: &mut World, caller: &Caller, call: &Call<'_>) -> Outcome {
    if !caller.is_user(call.subject) {
        return Err(not_found());
    }
    let request = TokenRequest::parse(call.body, false)?;
    let new = request.validate(world, caller.owner.clone(), Kind::User, &caller.owner)?;
    let id = world.tokens.insert(new).id.clone();
    created(world, &id)
}

/// The caller's own tokens; another user's list is empty, not forbidden.
pub fn list_of_user(world: &World, caller: &Caller, call: &Call<'_>) -> Outcome {
    let rows = caller.is_user(call.subject).then(|| world.tokens.of(&caller.owner));
    let items = rows.into_iter().flatten().map(|row| show::token(world, row, false)).collect();
    Ok(page_if_asked(call.path, call.query, items))
}

/// Any token that the caller manages.
pub fn show(world: &World, caller: &Caller, call: &Call<'_>) -> Outcome {
    let row = world.tokens.get(call.subject).filter(|row| world.may_manage_token(caller, row)).ok_or_else(not_found)?;
    Ok(Answer::json(200, &json!({ "data": show::token(world, row, false) })))
}

/// Deletes any token that the caller manages.
pub fn delete(world: &mut World, caller: &Caller, call: &Call<'_>) -> Outcome {
    let allowed = world.tokens.get(call.subject).is_some_and(|row| world.may_manage_token(caller, row));
    if allowed { remove(world, caller, call.subject) } else { Err(not_found()) }
}

/// The tokens of all teams whose tokens the caller manages.
pub fn list_of_teams(world: &World, caller: &Caller, call: &Call<'_>) -> Outcome {
    if !world.may_see_organization(caller, call.subject) {
        return Err(not_found());
    }
    let wanted = call.query.get("q").unwrap_or_default().to_lowercase();
    let managed = world.teams.values().filter(|team| {
        team.organization == call.subject
            && team.name.to_lowercase().contains(&wanted)
            && world.may_manage_team_tokens(caller, team)
    });
    let statuses = [call.query.list("filter[status]"), call.query.list("filter[expiry_status]")].concat();
    let now = world.clock.now();
    let mut rows: Vec<(&str, &Row)> = managed
        .flat_map(|team| world.tokens.of(&Owner::Team(team.id.clone())).map(|row| (team.name.as_str(), row)))
        .filter(|(_, row)| statuses.is_empty() || statuses.iter().any(|status| has_status(row, status, now)))
        .collect();
    sort(&mut rows, call.query.get("sort").unwrap_or("expired-at"));
    let items = rows.into_iter().map(|(_, row)| show::token(world, row, false)).collect();
    Ok(page(call.path, call.query, items, None))
}

fn has_status(row: &Row, status: &str, now: Timestamp) -> bool {
    let expired = row.is_expired(now);
    let within = |days: i64| {
        let left = row.expires_at.map(|end| end.duration_since(now));
        !expired && left.is_some_and(|left| left <= SignedDuration::from_hours(24 * days))
    };
    match status {
        "active" => !expired,
        "expired" => expired,
        "no_expiration" => row.expires_at.is_none(),
        "expiring_in_7_days" => within(7),
        "expiring_in_30_days" => within(30),
        _ => false,
    }
}

/// By one key, `-` reverses; tokens without the value come last in ascending order.
fn sort(rows: &mut [(&str, &Row)], key: &str) {
    let (key, reverse) = key.strip_prefix('-').map_or((key, false), |key| (key, true));
    let last = |time: Option<Timestamp>| time.unwrap_or(Timestamp::MAX);
    rows.sort_by(|(team_a, a), (team_b, b)| {
        let order = match key {
            "team-name" => team_a.cmp(team_b),
            "created-by" => a.created_by.cmp(&b.created_by),
            "last-used-at" => last(a.last_used_at).cmp(&last(b.last_used_at)),
            "expired-at" => last(a.expires_at).cmp(&last(b.expires_at)),
            _ => Ordering::Equal,
        };
        if reverse { order.reverse() } else { order }
    });
}

/// Deletes several team tokens of one organization at once.
pub fn bulk_delete(world: &mut World, caller: &Caller, call: &Call<'_>) -> Outcome {
    if !world.may_see_organization(caller, call.subject) {
        return Err(not_found());
    }
    if !world.is_owner(caller, call.subject) {
        return Err(Answer::error(403));
    }
    let data = data(call.body)?;
    let data = data.as_array().ok_or_else(|| Answer::invalid(422, "data must be an array"))?;
    let ids: Option<Vec<&str>> = data.iter().map(|item| item.get("id").and_then(Value::as_str)).collect();
    let ids = ids.ok_or_else(|| Answer::invalid(422, "each item needs an id"))?;
    let now = world.clock.now();
    for id in ids {
        let row = world.tokens.get(id).filter(|row| matches!(row.owner, Owner::Team(_)));
        let organization = row.and_then(|row| world.organization_of(&row.owner));
        if organization.is_some_and(|organization| organization.name == call.subject) {
            world.tokens.delete(id, now);
        }
    }
    Ok(Answer::empty(204))
}
