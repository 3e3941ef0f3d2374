//! The routes' answers. Each function is called after the checks that all routes share (see `pipeline`).

mod lookup;
mod policies;
mod registry;
mod request;
mod show;
mod slots;
mod tokens;
mod workspaces;

use super::access::Caller;
use super::answer::{Answer, Query};
use super::route::Route;
use super::world::World;

/// A request as far as answers need it.
pub struct Call<'a> {
    pub route: Route,
    /// The name or id in the path.
    pub subject: &'a str,
    pub path: &'a str,
    pub query: &'a Query,
    pub body: &'a [u8],
}

/// Either way it is an answer; `Err` is for `?`.
pub type Outcome = Result<Answer, Answer>;

/// What `ping`, discovery and packages say, to anybody.
pub fn answer_anybody(world: &World, call: &Call<'_>) -> Answer {
    match call.route {
        Route::Ping => Answer::empty(204),
        Route::ModulePackage => registry::package(world, call),
        _ => lookup::discovery(world),
    }
}

/// What a known caller gets.
pub fn answer(world: &mut World, caller: &Caller, call: &Call<'_>) -> Answer {
    let outcome = match call.route {
        Route::Any | Route::Unknown => Err(Answer::error(404)),
        Route::Ping | Route::Discovery | Route::ModulePackage => Ok(answer_anybody(world, call)),
        Route::AccountDetails => lookup::account_details(world, caller),
        Route::ShowUser => lookup::show_user(world, caller, call),
        Route::ListOrganizations => lookup::list_organizations(world, caller, call),
        Route::ShowOrganization => lookup::show_organization(world, caller, call),
        Route::EntitlementSet => lookup::entitlement_set(world, caller, call),
        Route::ListTeams => lookup::list_teams(world, caller, call),
        Route::ShowTeam => lookup::show_team(world, caller, call),
        Route::ListMemberships => lookup::list_memberships(world, caller, call),
        Route::OwnMemberships => lookup::own_memberships(world, caller, call),
        Route::CreateOrganizationToken | Route::CreateTeamLegacyToken => slots::create(world, caller, call),
        Route::ShowOrganizationToken | Route::ShowTeamLegacyToken => slots::show(world, caller, call),
        Route::DeleteOrganizationToken | Route::DeleteTeamLegacyToken => slots::delete(world, caller, call),
        Route::CreateTeamToken => tokens::create_for_team(world, caller, call),
        Route::ListTeamTokens => tokens::list_of_teams(world, caller, call),
        Route::BulkDeleteTeamTokens => tokens::bulk_delete(world, caller, call),
        Route::CreateUserToken => tokens::create_for_user(world, caller, call),
        Route::ListUserTokens => tokens::list_of_user(world, caller, call),
        Route::ShowToken => tokens::show(world, caller, call),
        Route::DeleteToken => tokens::delete(world, caller, call),
        Route::ShowTtlPolicies => policies::show(world, caller, call),
        Route::UpdateTtlPolicies => policies::update(world, caller, call),
        Route::ModuleVersions => registry::versions(world, caller, call),
        Route::ModuleDownload => registry::download(world, caller, call),
        Route::ShowWorkspace => workspaces::show(world, caller, call),
        Route::CurrentStateVersion => workspaces::current_state(),
    };
    outcome.unwrap_or_else(|error| error)
}
