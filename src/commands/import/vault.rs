//! From what Vault's Terraform secrets engine shows to role documents and settings. Pure.
//!
//! Roles of type `team` and `user` get `share = "open"`: each read made a token of its own there.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::adapters::accounts::SystemAccounts;
use crate::domain::anchor::{Address, DEFAULT_ADDRESS, DEFAULT_BASE_PATH};
use crate::domain::document::{RoleSpec, render_role, shown_key};
use crate::domain::name::RoleName;
use crate::domain::owner::CredentialType;
use crate::domain::role::{Limits, Role};

/// What the caller decides.
pub(super) struct Options {
    /// For `[anchors.default]`.
    pub(super) token_file: String,
    /// Old and new names.
    pub(super) renames: Vec<(String, String)>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Imported {
    /// Role documents, by name.
    pub(super) roles: BTreeMap<RoleName, String>,
    /// All as a settings file.
    pub(super) settings: String,
    /// What the operator should know, a sentence each.
    pub(super) notes: Vec<String>,
    /// Objects of which nothing came.
    pub(super) left_out: usize,
}

/// What of `config` we know.
const CONFIG: &[&str] = &["address", "base_path", "explicit_max_ttl", "token_owner_type", "owner_id", "token_id"];

/// Vault's rotation of its own token, in whatever form.
const ROTATION: &[&str] = &[
    "rotation_period",
    "rotation_schedule",
    "rotation_window",
    "rotation_policy",
    "disable_automated_rotation",
    "last_vault_rotation",
    "next_vault_rotation",
];

const ROLE: &[&str] =
    &["name", "organization", "team_id", "user_id", "credential_type", "description", "ttl", "max_ttl"];

/// Reads objects, one after the other or in arrays.
///
/// # Errors
/// Nothing that Vault prints, in a sentence. It repeats no value: there may be a token in it.
pub(super) fn import(input: &[u8], options: &Options) -> Result<Imported, String> {
    let mut objects = Vec::new();
    for value in serde_json::Deserializer::from_slice(input).into_iter::<Value>() {
        let value =
            value.map_err(|error| format!("this is not JSON (line {}, column {})", error.line(), error.column()))?;
        collect(value, &mut objects)?;
    }
    if objects.is_empty() {
        return Err("there is nothing to import".into());
    }
    let mut work = Work { options, imported: Imported::default(), roles: BTreeMap::new(), anchor: None };
    for object in objects {
        work.one(object);
    }
    Ok(work.finish())
}

fn collect(value: Value, objects: &mut Vec<Map<String, Value>>) -> Result<(), String> {
    match value {
        Value::Array(values) => values.into_iter().try_for_each(|value| collect(value, objects)),
        Value::Object(mut answer) => {
            // The whole answer, or only its data (-field=data).
            objects.push(match answer.remove("data") {
                Some(Value::Object(data)) => data,
                _ => answer,
            });
            Ok(())
        }
        Value::String(_) => {
            Err("this is a list of names (vault list): read each role, and give what that prints".into())
        }
        _ => Err("this is no answer of Vault to a read".into()),
    }
}

struct Work<'a> {
    options: &'a Options,
    imported: Imported,
    roles: BTreeMap<RoleName, Role>,
    /// The table of the anchor.
    anchor: Option<String>,
}

impl Work<'_> {
    fn note(&mut self, note: impl Into<String>) {
        self.imported.notes.push(note.into());
    }

    fn leave_out(&mut self, note: impl Into<String>) {
        self.note(note);
        self.imported.left_out += 1;
    }

    fn one(&mut self, object: Map<String, Value>) {
        let has = |keys: &[&str]| keys.iter().any(|key| object.contains_key(*key));
        if has(&["token"]) && !has(&["name", "address"]) {
            self.leave_out("an answer of terraform/creds holds a token; it was not looked at: import roles (terraform/role/NAME) and terraform/config only");
        } else if has(&["keys"]) && !has(&["name"]) {
            self.leave_out("an answer of vault list has names only: read each role, and give what that prints");
        } else if has(&["name", "team_id", "user_id", "organization"]) {
            self.role(&object);
        } else if has(CONFIG) {
            self.config(&object);
        } else {
            self.leave_out("an object is neither a role nor the config of the Terraform secrets engine");
        }
    }

    fn role(&mut self, object: &Map<String, Value>) {
        let Some(given) = text(object, "name") else {
            self.leave_out("a role has no name; add \"name\" to the object");
            return;
        };
        let shown = shown_key(&given);
        let renamed = self.options.renames.iter().find(|(old, _)| *old == given).map(|(_, new)| new.clone());
        let name = match renamed.unwrap_or_else(|| given.clone()).parse::<RoleName>() {
            Ok(name) => name,
            Err(error) => {
                self.leave_out(format!(
                    "role \"{shown}\": {error}; run it again with --rename '{shown}={}'",
                    suggestion(&given)
                ));
                return;
            }
        };
        let role = match document(object)
            .and_then(|text| RoleSpec::parse(text.as_bytes(), &SystemAccounts).map_err(|error| error.message))
        {
            Ok(spec) => spec.resolve(None),
            Err(error) => {
                self.leave_out(format!("role \"{shown}\": {error}"));
                return;
            }
        };
        self.unknown(object, ROLE, &format!("role \"{name}\""));
        self.differences(&name, &role, object);
        match self.roles.get(&name) {
            Some(other) if *other != role => {
                self.leave_out(format!(
                    "role \"{name}\" is there twice, with different content; only the first was taken"
                ));
            }
            Some(_) => {}
            None => drop(self.roles.insert(name, role)),
        }
    }

    /// What Vault does otherwise with this role.
    fn differences(&mut self, name: &RoleName, role: &Role, object: &Map<String, Value>) {
        if role.credential_type.is_slot() {
            let of = &role.owner;
            self.note(format!(
                "role \"{name}\": {of} has one token; its first open here replaces the one that Vault hands out, which is dead then: \
                 move its readers together, and delete the role in Vault first"
            ));
            if text(object, "description").is_some() {
                self.note(format!("role \"{name}\": its description was left out: such a token has none upstream"));
            }
        } else {
            self.note(format!(
                "role \"{name}\": every open makes a token of its own, as every read of Vault did (share = \"open\", at most max_leases = 100 \
                 at a time); without that line all readers share one, which costs far fewer calls"
            ));
        }
        let limits = Limits::default();
        match (role.ttl, role.max_ttl) {
            (None, _) => self.note(format!(
                "role \"{name}\": it has no ttl, so Vault's default is in force there (768h unless changed); here it is default_ttl, 1h unless \
                 the settings say otherwise: write ttl = \"…\" if that is too short"
            )),
            (Some(ttl), _) if ttl > limits.max_ttl => self.cut(name, "ttl", ttl),
            _ => {}
        }
        if let Some(max_ttl) = role.max_ttl.filter(|max_ttl| *max_ttl > limits.max_ttl) {
            self.cut(name, "max_ttl", max_ttl);
        }
    }

    fn cut(&mut self, name: &RoleName, key: &str, time: Duration) {
        let hours = time.as_secs().div_ceil(3600);
        self.note(format!(
            "role \"{name}\": its {key} is longer than this daemon allows (24h): put max_ttl = \"{hours}h\" at the top of the settings, or it \
             is cut to 24h"
        ));
    }

    fn config(&mut self, object: &Map<String, Value>) {
        let address = text(object, "address").unwrap_or_else(|| DEFAULT_ADDRESS.into());
        let base_path = text(object, "base_path").unwrap_or_else(|| DEFAULT_BASE_PATH.into());
        let parsed = match Address::parse(&address, &base_path, false) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.leave_out(format!("config: {error}"));
                return;
            }
        };
        let mut table = String::from("[anchors.default]\n");
        let mut line = |key: &str, value: &str| {
            let _ = writeln!(table, "{key} = {}", toml::Value::from(value));
        };
        if parsed.origin() != DEFAULT_ADDRESS {
            line("address", parsed.origin());
        }
        if parsed.base_path() != DEFAULT_BASE_PATH {
            line("base_path", parsed.base_path());
        }
        line("token_file", &self.options.token_file);
        if self.anchor.as_ref().is_some_and(|other| *other != table) {
            self.leave_out("config is there twice, with different content; only the first was taken: one settings file for each engine, or name the anchors yourself");
            return;
        }
        self.anchor = Some(table);
        self.note(format!(
            "config: Vault never shows its token; make one upstream for tfcfs, and put it into {} (mode 0600) beside the settings file",
            self.options.token_file
        ));
        let is_set = |key: &&&str| {
            object
                .get(**key)
                .is_some_and(|value| !matches!(value, Value::Null | Value::Bool(_)) && *value != 0 && *value != "")
        };
        if ROTATION.iter().find(is_set).is_some() {
            self.note(
                "config: Vault rotated its token by schedule; here that is possible for an anchor that is written to the file config of the \
                 mount (rotate_every = \"30d\"), not for one of a token_file",
            );
        }
        if seconds(object, "explicit_max_ttl").is_ok_and(|time| time.is_some()) {
            self.note(
                "config: explicit_max_ttl was left out: a rotation here gives the anchor's new token an end of its own",
            );
        }
        let known: Vec<&str> = CONFIG.iter().chain(ROTATION).copied().collect();
        self.unknown(object, &known, "config");
    }

    /// What a newer Vault may have, and we do not know.
    fn unknown(&mut self, object: &Map<String, Value>, known: &[&str], what: &str) {
        let unknown: Vec<String> = object
            .keys()
            .filter(|key| !known.contains(&key.as_str()) && *key != "token" && *key != "token_id")
            .map(|key| shown_key(key))
            .collect();
        if !unknown.is_empty() {
            self.note(format!("{what}: not known here, and left out: {}", unknown.join(", ")));
        }
    }

    fn finish(mut self) -> Imported {
        let mut settings = String::new();
        if let Some(anchor) = &self.anchor {
            settings.push_str(anchor);
        }
        for (name, role) in &self.roles {
            let document = render_role(role);
            let gap = if settings.is_empty() { "" } else { "\n" };
            let _ = write!(settings, "{gap}[roles.{}]\n{document}", quoted(name));
            self.imported.roles.insert(name.clone(), document);
        }
        self.imported.settings = settings;
        self.imported
    }
}

/// A name as a TOML key: a dot would make two of it.
fn quoted(name: &RoleName) -> String {
    match name.as_str().contains('.') {
        true => format!("\"{name}\""),
        false => name.to_string(),
    }
}

/// A role as the document that we would write by hand.
fn document(object: &Map<String, Value>) -> Result<String, String> {
    let kind = text(object, "credential_type");
    let is_slot = match kind.as_deref() {
        Some("organization" | "team_legacy") => true,
        Some(_) => false,
        // As Vault infers it.
        None => text(object, "user_id").is_none(),
    };
    let mut lines = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(lines, "{key} = {}", toml::Value::from(value));
    };
    for key in ["organization", "team_id", "user_id"] {
        if let Some(value) = text(object, key) {
            line(key, &value);
        }
    }
    if let Some(kind) = &kind {
        if !CredentialType::ALL.iter().any(|known| known.as_str() == kind) {
            return Err(format!("credential_type \"{}\" is not known here", shown_key(kind)));
        }
        line("credential_type", kind);
    }
    if !is_slot {
        if let Some(description) = text(object, "description") {
            line("description", &description);
        }
        line("share", "open");
    }
    for key in ["ttl", "max_ttl"] {
        if let Some(time) = seconds(object, key)? {
            line(key, &format!("{}s", time.as_secs()));
        }
    }
    Ok(lines)
}

/// A text that is not empty.
fn text(object: &Map<String, Value>, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A time: a number of seconds, or text as Vault and Go write it (`3600`, `1h30m`, `768h0m0s`). Zero is none: the default.
fn seconds(object: &Map<String, Value>, key: &str) -> Result<Option<Duration>, String> {
    let wrong = || format!("{key} is no time");
    let time = match object.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => {
            let seconds = number.as_f64().filter(|seconds| *seconds >= 0.0 && *seconds < 1e10).ok_or_else(wrong)?;
            Duration::from_secs(seconds.ceil() as u64)
        }
        Some(Value::String(text)) => go_duration(text).ok_or_else(wrong)?,
        Some(_) => return Err(wrong()),
    };
    Ok(Some(time).filter(|time| !time.is_zero()))
}

fn go_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let mut total = 0_u64;
    let mut digits = String::new();
    for c in text.chars() {
        let unit = match c {
            '0'..='9' => {
                digits.push(c);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        total = total.checked_add(std::mem::take(&mut digits).parse::<u64>().ok()?.checked_mul(unit)?)?;
    }
    (digits.is_empty() && !text.is_empty()).then_some(Duration::from_secs(total))
}

/// A legal name like this one.
fn suggestion(name: &str) -> String {
    let legal =
        |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '-') { c } else { '-' };
    let text: String = name.to_ascii_lowercase().chars().map(legal).take(64).collect();
    match text.trim_matches(['_', '.', '-']) {
        "" | "config" => "role-1".to_owned(),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
