//! `tfcfs check`: documents, offline.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::print;
use crate::adapters::accounts::SystemAccounts;
use crate::cli::Kind;
use crate::config::Settings;
use crate::domain::document::{ConfigSpec, RoleSpec, read_document};
use crate::exit::{ExitCode, Failure};

pub(super) fn check(files: &[PathBuf], kind: Option<Kind>, as_json: bool) -> Result<(), Failure> {
    let mut bad = 0;
    let mut results = Vec::new();
    for file in files {
        let (kind, error) = match one(file, kind) {
            (kind, Ok(())) => (kind, None),
            (kind, Err(message)) => (kind, Some(message)),
        };
        bad += usize::from(error.is_some());
        let kind = match kind {
            Kind::Role => "role",
            Kind::Config => "config",
            Kind::Settings => "settings",
        };
        if as_json {
            results.push(
                json!({ "file": file.display().to_string(), "kind": kind, "ok": error.is_none(), "error": error }),
            );
        } else {
            let verdict = error.map_or_else(|| "ok".to_owned(), |error| format!("BAD: {error}"));
            print::line(&format!("{} ({kind}): {verdict}", file.display()))?;
        }
    }
    if as_json {
        print::json(&results.into())?;
    }
    match bad {
        0 => Ok(()),
        _ => Err(Failure::new(ExitCode::Settings, format!("{bad} of {} would be refused", files.len()))),
    }
}

fn one(file: &Path, kind: Option<Kind>) -> (Kind, Result<(), String>) {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => return (kind.unwrap_or(Kind::Role), Err(format!("cannot be read: {error}"))),
    };
    let kind = kind.unwrap_or_else(|| guess(&bytes));
    let result = match kind {
        Kind::Role => RoleSpec::parse(&bytes, &SystemAccounts).map(|_| ()).map_err(|error| error.message),
        Kind::Config => ConfigSpec::parse(&bytes)
            .and_then(|spec| spec.anchors.iter().try_for_each(|anchor| anchor.check_alone()))
            .map_err(|error| error.message),
        Kind::Settings => Settings::load(file).map(|_| ()).map_err(|error| error.message),
    };
    (kind, result)
}

/// From the keys: an owner makes a role, what only a daemon has makes settings, a token makes a config.
fn guess(bytes: &[u8]) -> Kind {
    let Ok(table) = read_document(bytes) else { return Kind::Role };
    let has = |keys: &[&str]| keys.iter().any(|key| table.contains_key(*key));
    let anchors = table.get("anchors").and_then(toml::Value::as_table);
    let anchors_have = |key: &str| {
        anchors.is_some_and(|all| all.values().filter_map(toml::Value::as_table).any(|anchor| anchor.contains_key(key)))
    };
    if has(&["organization", "team", "team_id", "user_id", "credential_type"]) {
        Kind::Role
    } else if has(SETTINGS_ONLY) || anchors_have("token_file") {
        Kind::Settings
    } else if has(&["token", "address", "base_path", "insecure", "anchors"]) {
        Kind::Config
    } else {
        Kind::Role
    }
}

/// Keys that neither a role nor a config has.
const SETTINGS_ONLY: &[&str] = &[
    "roles",
    "state",
    "sealing_key_file",
    "default_ttl",
    "open_deadline",
    "rotate_deadline",
    "deadline",
    "delete_grace",
    "rate",
    "ca_file",
    "proxy",
    "no_proxy",
    "allow_other",
    "threads",
];
