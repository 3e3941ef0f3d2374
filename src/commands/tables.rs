//! `leases`, `roles`, `errors`, `events`: the mount's own files, made readable.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use toml::Table;

use super::look::{failure, find_mount, list, read};
use super::print;
use crate::cli::LookArgs;
use crate::domain::document::nearest;
use crate::exit::{ExitCode, Failure};

/// How often `events --follow` looks for more.
const FOLLOW: Duration = Duration::from_millis(250);

pub(super) fn parse(path: &str, text: &str) -> Result<Table, Failure> {
    text.parse().map_err(|_| {
        Failure::new(ExitCode::NotMounted, format!("{path} is not what tfcfs writes"))
            .hint("is another version mounted?")
    })
}

pub(super) fn to_json(table: &Table) -> Value {
    serde_json::to_value(table).unwrap_or(Value::Null)
}

/// A value as a table shows it: text without quotes, nothing for what is not there.
pub(super) fn cell(table: &Table, key: &str) -> String {
    match table.get(key) {
        None => String::new(),
        Some(toml::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

pub(super) fn leases(look: &LookArgs, role: Option<&str>) -> Result<(), Failure> {
    let mount = find_mount(look.mount.as_deref())?;
    let roles = match role {
        Some(role) => vec![known_role(&mount, role)?],
        None => list(&mount, "leases")?,
    };
    let mut leases = Vec::new();
    for role in roles {
        for id in list(&mount, &format!("leases/{role}"))? {
            let path = format!("leases/{role}/{id}");
            match read(&mount, &path) {
                Ok(text) => leases.push(parse(&path, &text)?),
                // It ended while we were looking.
                Err(failure) if failure.code == ExitCode::NotMounted && mount.join("leases").exists() => {}
                Err(failure) => return Err(failure),
            }
        }
    }
    if look.json {
        return print::json(&Value::Array(leases.iter().map(to_json).collect()));
    }
    let keys = ["role", "credential_type", "state", "handles", "expires_at", "opened_by_uid", "token_id", "lease_id"];
    let rows = leases.iter().map(|lease| keys.iter().map(|key| cell(lease, key)).collect()).collect();
    print::table(&["ROLE", "TYPE", "STATE", "HANDLES", "EXPIRES", "UID", "TOKEN", "LEASE"], rows, "no live leases")
}

pub(super) fn pending(look: &LookArgs, role: Option<&str>) -> Result<(), Failure> {
    let mount = find_mount(look.mount.as_deref())?;
    let text = read(&mount, "revocations")?;
    let table = parse("revocations", &text)?;
    // A role that is gone may have left something: its name is not looked up.
    let of_role = |one: &&Table| role.is_none_or(|role| cell(one, "role") == role);
    let all = table.get("pending").and_then(toml::Value::as_array).into_iter().flatten();
    let pending: Vec<&Table> = all.filter_map(toml::Value::as_table).filter(of_role).collect();
    if look.json {
        return print::json(&Value::Array(pending.into_iter().map(to_json).collect()));
    }
    let keys =
        ["role", "anchor", "owner", "since", "attempts", "next_attempt", "cause", "token_id", "lease_id", "reason"];
    let rows = pending.into_iter().map(|one| keys.iter().map(|key| cell(one, key)).collect()).collect();
    print::table(
        &["ROLE", "ANCHOR", "OWNER", "SINCE", "TRIES", "NEXT", "CAUSE", "TOKEN", "LEASE", "WHY"],
        rows,
        "nothing waits for revocation",
    )
}

pub(super) fn known_role(mount: &Path, role: &str) -> Result<String, Failure> {
    let roles = list(mount, "leases")?;
    if roles.iter().any(|known| known == role) {
        return Ok(role.to_owned());
    }
    let near = nearest(role, roles.iter().map(String::as_str)).map(|near| format!("did you mean {near}? "));
    let hint = format!("{}tfcfs roles lists what there is", near.unwrap_or_default());
    Err(Failure::new(ExitCode::Usage, format!("there is no role {role:?}")).hint(hint))
}

pub(super) fn roles(look: &LookArgs) -> Result<(), Failure> {
    let mount = find_mount(look.mount.as_deref())?;
    let mut rows = Vec::new();
    let mut all = serde_json::Map::new();
    for name in list(&mount, "creds")? {
        let path = format!("roles/{name}");
        let role = match read(&mount, &path) {
            Ok(text) => parse(&path, &text)?,
            // It was removed while we were looking.
            Err(failure) if failure.code == ExitCode::NotMounted && mount.join("roles").exists() => continue,
            Err(failure) => return Err(failure),
        };
        let owner = ["user_id", "team_id", "organization"].into_iter().find_map(|key| {
            role.get(key).and_then(toml::Value::as_str).map(|id| format!("{} {id}", key.trim_end_matches("_id")))
        });
        let or = |key: &str, otherwise: &str| match cell(&role, key) {
            text if text.is_empty() => otherwise.to_owned(),
            text => text,
        };
        let kind = match (role.contains_key("user_id"), role.contains_key("organization")) {
            (true, _) => "user",
            (_, true) => "organization",
            _ => "team_legacy",
        };
        rows.push(vec![
            name.clone(),
            or("credential_type", kind),
            owner.unwrap_or_default(),
            or("share", "role"),
            or("ttl", "default"),
            or("max_ttl", "default"),
            or("on_close", "linger"),
        ]);
        all.insert(name, to_json(&role));
    }
    if look.json {
        return print::json(&Value::Object(all));
    }
    print::table(
        &["ROLE", "TYPE", "OWNER", "SHARE", "TTL", "MAX_TTL", "ON_CLOSE"],
        rows,
        "no roles; write one to roles/NAME",
    )
}

pub(super) fn errors(look: &LookArgs) -> Result<(), Failure> {
    let mount = find_mount(look.mount.as_deref())?;
    let text = read(&mount, "errors")?;
    if look.json {
        return print::json(&Value::Array(text.lines().filter_map(error_line).collect()));
    }
    print::line(if text.is_empty() { "no errors" } else { text.trim_end() })
}

/// `TIME id=ID uid=N ERRNO PATH: SENTENCE`
fn error_line(line: &str) -> Option<Value> {
    let mut fields = line.splitn(5, ' ');
    let (time, id) = (fields.next()?, fields.next()?.strip_prefix("id=")?);
    let (uid, errno) = (fields.next()?.strip_prefix("uid=")?, fields.next()?);
    let (path, sentence) = fields.next()?.split_once(": ")?;
    let uid: u32 = uid.parse().ok()?;
    Some(json!({ "time": time, "id": id, "uid": uid, "errno": errno, "path": path, "message": sentence }))
}

pub(super) fn events(look: &LookArgs, follow: bool) -> Result<(), Failure> {
    let mount = find_mount(look.mount.as_deref())?;
    let path = mount.join("events");
    let failed = |error: std::io::Error| failure(&mount, &path, &error);
    let mut reader = BufReader::new(File::open(&path).map_err(failed)?);
    let mut line = String::new();
    loop {
        let more = reader.read_line(&mut line).map_err(failed)? > 0;
        if line.ends_with('\n') {
            show_event(line.trim_end(), look.json)?;
            line.clear();
        } else if more {
            // Half a line: the rest comes with the next read.
        } else if !follow {
            return if line.is_empty() { Ok(()) } else { show_event(&line, look.json) };
        } else if !Path::new(&path).exists() {
            return Err(Failure::new(ExitCode::NotMounted, "the mount is gone"));
        } else {
            thread::sleep(FOLLOW);
        }
    }
}

fn show_event(line: &str, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return print::line(line);
    }
    let Ok(Value::Object(event)) = serde_json::from_str(line) else { return print::line(line) };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let shown = |key: &str| event.get(key).map(text).unwrap_or_default();
    let rest = event.iter().filter(|(key, _)| !matches!(key.as_str(), "time" | "event" | "role"));
    let rest: Vec<String> = rest.map(|(key, value)| format!("{key}={}", text(value))).collect();
    print::line(&format!("{} {:<12} {:<16} {}", shown("time"), shown("event"), shown("role"), rest.join(" ")))
}
