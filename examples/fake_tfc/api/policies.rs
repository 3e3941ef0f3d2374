//! Maximum lifetimes of an organization's tokens.

use serde_json::{Value, json};

use super::super::access::Caller;
use super::super::answer::Answer;
use super::super::world::{TokenType, World};
use super::request::{attributes, data};
use super::{Call, Outcome, show};

/// All policies.
pub fn show(world: &World, caller: &Caller, call: &Call<'_>) -> Outcome {
    check(world, caller, call)?;
    let organization = world.organizations.get(call.subject).ok_or_else(|| Answer::error(404))?;
    let data: Vec<_> = organization.policies.iter().map(|(kind, policy)| show::policy(*kind, policy)).collect();
    Ok(Answer::json(200, &json!({ "data": data })))
}

/// Changes the given ones.
pub fn update(world: &mut World, caller: &Caller, call: &Call<'_>) -> Outcome {
    check(world, caller, call)?;
    let invalid = |detail: &str| Answer::invalid(422, detail);
    let mut changes = Vec::new();
    for item in items(call.body)? {
        let kind = item.get("token-type").cloned().unwrap_or_default();
        let kind: TokenType = serde_json::from_value(kind).map_err(|_| invalid("token-type is unknown"))?;
        let most = item.get("max-ttl-ms").and_then(Value::as_i64).filter(|most| *most > 0);
        changes.push((kind, most.ok_or_else(|| invalid("max-ttl-ms must be positive"))?));
    }
    for (kind, most) in changes {
        world.set_policy(call.subject, kind, most);
    }
    show(world, caller, call)
}

/// The documentation sends one object with a list, pytfe a list of objects; both are understood.
fn items(body: &[u8]) -> Result<Vec<Value>, Answer> {
    let list = if let Ok(Value::Array(objects)) = data(body) {
        Some(objects.iter().map(|object| object["attributes"].clone()).collect())
    } else {
        attributes(body)?.get("token-ttl-policies").and_then(Value::as_array).cloned()
    };
    list.ok_or_else(|| Answer::invalid(422, "token-ttl-policies must be an array"))
}

fn check(world: &World, caller: &Caller, call: &Call<'_>) -> Result<(), Answer> {
    if !world.may_see_organization(caller, call.subject) {
        return Err(Answer::error(404));
    }
    if world.is_owner(caller, call.subject) { Ok(()) } else { Err(Answer::error(403)) }
}
