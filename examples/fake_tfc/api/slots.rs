//! The slots: organization token, audit-trails token, undescribed team token.

use serde_json::json;

use super::super::access::Caller;
use super::super::answer::Answer;
use super::super::owner::{Kind, Owner};
use super::super::route::Route;
use super::super::world::World;
use super::request::TokenRequest;
use super::{Call, Outcome, show};

/// Makes a token, which kills the one before.
pub fn create(world: &mut World, caller: &Caller, call: &Call<'_>) -> Outcome {
    let (owner, kind) = slot(world, caller, call)?;
    let new = TokenRequest::parse(call.body, true)?.validate(world, owner, kind, &caller.owner)?;
    let id = world.tokens.insert(new).id.clone();
    super::tokens::created(world, &id)
}

/// Shows what is there, without the secret.
pub fn show(world: &World, caller: &Caller, call: &Call<'_>) -> Outcome {
    let (owner, kind) = slot(world, caller, call)?;
    let row = world.tokens.in_slot(&owner, kind).ok_or_else(|| Answer::error(404))?;
    Ok(Answer::json(200, &json!({ "data": show::token(world, row, false) })))
}

/// Empties the slot.
pub fn delete(world: &mut World, caller: &Caller, call: &Call<'_>) -> Outcome {
    let (owner, kind) = slot(world, caller, call)?;
    let id = world.tokens.in_slot(&owner, kind).map(|row| row.id.clone()).ok_or_else(|| Answer::error(404))?;
    super::tokens::remove(world, caller, &id)
}

fn slot(world: &World, caller: &Caller, call: &Call<'_>) -> Result<(Owner, Kind), Answer> {
    let subject = call.subject.to_owned();
    let about_team =
        [Route::CreateTeamLegacyToken, Route::ShowTeamLegacyToken, Route::DeleteTeamLegacyToken].contains(&call.route);
    let (allowed, owner, kind) = if about_team {
        let team = world.teams.get(&subject);
        let allowed = team.is_some_and(|team| world.may_manage_team_tokens(caller, team));
        (allowed, Owner::Team(subject), Kind::TeamLegacy)
    } else {
        let audit = world.mode.is_hcp() && call.query.get("token") == Some("audit-trails");
        let kind = if audit { Kind::AuditTrails } else { Kind::Organization };
        (world.may_manage_organization_token(caller, &subject), Owner::Organization(subject), kind)
    };
    if allowed { Ok((owner, kind)) } else { Err(Answer::error(404)) }
}
