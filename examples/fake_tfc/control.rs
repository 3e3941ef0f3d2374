//! The same steering over HTTP, for the stand-alone program. `GET /_fake/` prints this:
//!
//! ```text
#![doc = include_str!("control.txt")]
//! ```

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answer::{Answer, Query};
use super::clock::iso;
use super::fault::{Calls, Fault};
use super::log::most_in_one_second;
use super::pipeline::Incoming;
use super::route::Route;
use super::world::{TokenType, World};

const HELP: &str = include_str!("control.txt");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetFault {
    route: Route,
    #[serde(default = "next")]
    calls: Calls,
    fault: Fault,
}

fn next() -> Calls {
    Calls::Nth(1)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveClock {
    advance_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeOrganization {
    user_tokens_enabled: Option<bool>,
    max_ttl_enabled: Option<bool>,
    #[serde(default)]
    max_ttl_ms: std::collections::BTreeMap<TokenType, i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeTeam {
    secret: Option<bool>,
    manage_teams: Option<bool>,
    members_manage_tokens: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeUser {
    saml_expired: Option<bool>,
    service_account: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
}

/// Answers a request below `/_fake`.
pub fn answer(world: &mut World, incoming: &Incoming) -> Answer {
    let parts: Vec<&str> = incoming.path.split('/').filter(|part| !part.is_empty()).skip(1).collect();
    let query = Query::parse(&incoming.query);
    let outcome = match (incoming.method.as_str(), parts.as_slice()) {
        ("GET", []) => return Answer::text(200, "text/plain; charset=utf-8", HELP),
        ("GET", ["tokens"]) => Ok(json!(world.all())),
        ("GET", ["orphans"]) => {
            let known: BTreeSet<String> = query.list("known").into_iter().map(str::to_owned).collect();
            Ok(json!(world.orphans(&known)))
        }
        ("GET", ["requests"]) => Ok(json!(world.log.entries())),
        ("GET", ["trapped"]) => Ok(json!(world.trapped)),
        ("GET", ["stats"]) => {
            let entries = world.log.entries();
            let most = most_in_one_second(entries.iter().map(|logged| logged.arrived));
            Ok(json!({"requests": entries.len(), "max_requests_in_one_second": most,
                      "live_tokens": world.live().len(), "pending_faults": world.script.pending()}))
        }
        ("GET", ["world"]) => Ok(principals(world)),
        ("GET", ["clock"]) => Ok(json!({ "now": iso(world.clock.now()) })),
        ("GET", ["switches"]) => Ok(json!(world.switches)),
        ("POST", rest) => post(world, rest, &incoming.body),
        ("DELETE", rest) => delete(world, rest),
        _ => Err((404, "no such path; GET /_fake/ lists them".to_owned())),
    };
    match outcome {
        Ok(body) => Answer::text(200, "application/json", format!("{body:#}\n")),
        Err((status, text)) => Answer::text(status, "text/plain; charset=utf-8", text + "\n"),
    }
}

type Outcome = Result<Value, (u16, String)>;

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, (u16, String)> {
    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
}

fn done(found: bool) -> Outcome {
    if found { Ok(json!({ "done": true })) } else { Err((404, "there is none".into())) }
}

fn post(world: &mut World, parts: &[&str], body: &[u8]) -> Outcome {
    match parts {
        ["faults"] => {
            let SetFault { route, calls, fault } = parse(body)?;
            fault.check().map_err(|error| (400, error))?;
            world.script.add(route, calls, fault);
        }
        ["clock"] => world.clock.advance(Duration::from_millis(parse::<MoveClock>(body)?.advance_ms)),
        ["switches"] => {
            let mut merged = json!(world.switches);
            for (key, value) in parse::<serde_json::Map<String, Value>>(body)? {
                merged[key] = value;
            }
            world.switches = serde_json::from_value(merged).map_err(|error| (400, error.to_string()))?;
        }
        ["organizations"] => world.add_organization(&parse::<New>(body)?.name),
        ["organizations", organization, "teams"] => {
            let id = world.add_team(organization, &parse::<New>(body)?.name);
            return id.map(|id| json!({ "id": id })).ok_or_else(|| (404, "no such organization".into()));
        }
        ["organizations", organization, "users"] => {
            let id = world.add_user(organization, &parse::<New>(body)?.name);
            return id.map(|id| json!({ "id": id })).ok_or_else(|| (404, "no such organization".into()));
        }
        ["organizations", name] => {
            let change: ChangeOrganization = parse(body)?;
            for (token_type, most) in change.max_ttl_ms {
                world.set_policy(name, token_type, most);
            }
            let organization = world.organizations.get_mut(*name);
            let organization = organization.ok_or_else(|| (404, "no such organization".to_owned()))?;
            set(&mut organization.user_tokens_enabled, change.user_tokens_enabled);
            set(&mut organization.max_ttl_enabled, change.max_ttl_enabled);
        }
        ["teams", id] => {
            let change: ChangeTeam = parse(body)?;
            let team = world.teams.get_mut(*id).ok_or_else(|| (404, "no such team".to_owned()))?;
            set(&mut team.secret, change.secret);
            set(&mut team.manage_teams, change.manage_teams);
            set(&mut team.members_manage_tokens, change.members_manage_tokens);
        }
        ["teams", id, "members", user] => return done(world.add_member(id, user)),
        ["users", id] => {
            let change: ChangeUser = parse(body)?;
            let user = world.users.get_mut(*id).ok_or_else(|| (404, "no such user".to_owned()))?;
            set(&mut user.saml_expired, change.saml_expired);
            set(&mut user.service_account, change.service_account);
        }
        _ => return Err((404, "no such path; GET /_fake/ lists them".into())),
    }
    done(true)
}

fn set(place: &mut bool, value: Option<bool>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn delete(world: &mut World, parts: &[&str]) -> Outcome {
    match parts {
        ["faults"] => world.script.clear(),
        ["requests"] => world.log.clear(),
        ["tokens", id] => {
            let now = world.clock.now();
            return done(world.tokens.delete(id, now));
        }
        ["teams", id] => return done(world.delete_team(id)),
        ["users", id] => return done(world.delete_user(id)),
        ["organizations", name] => return done(world.delete_organization(name)),
        _ => return Err((404, "no such path; GET /_fake/ lists them".into())),
    }
    done(true)
}

fn principals(world: &World) -> Value {
    let teams = world.teams.values();
    let users = world.users.values();
    json!({
        "organizations": world.organizations.keys().collect::<Vec<_>>(),
        "teams": teams.map(|t| json!({"id": t.id, "name": t.name, "organization": t.organization})).collect::<Vec<_>>(),
        "users": users.map(|u| json!({"id": u.id, "name": u.name})).collect::<Vec<_>>(),
    })
}
