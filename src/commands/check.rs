//! `tfcfs check`: documents, offline.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::print;
use crate::adapters::accounts::SystemAccounts;
use crate::adapters::tfc::{TfcClient, TfcSettings};
use crate::cli::Kind;
use crate::config::Settings;
use crate::domain::document::{ConfigSpec, RoleSpec, read_document, read_toml};
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
        Kind::Settings => settings(file),
    };
    (kind, result)
}

/// Also what only the start would find: a CA file or a proxy that is none.
fn settings(file: &Path) -> Result<(), String> {
    let settings = Settings::load(file).map_err(|error| error.message)?;
    let tfc = TfcSettings {
        ca_file: settings.ca_file,
        proxy: settings.proxy.map(|proxy| proxy.0),
        no_proxy: settings.no_proxy,
        ..TfcSettings::default()
    };
    TfcClient::new(tfc).map(|_| ()).map_err(|error| error.to_string())
}

/// From the keys: an owner makes a role, what only a daemon has makes settings, a token makes a config.
fn guess(bytes: &[u8]) -> Kind {
    let Ok(table) = read_document(bytes).or_else(|_| read_toml(bytes)) else { return Kind::Role };
    let has = |keys: &[&str]| keys.iter().any(|key| table.contains(key));
    let anchors = table.table("anchors");
    let anchors_have = |key: &str| {
        anchors.is_some_and(|all| all.iter().any(|(name, _)| all.table(name).is_some_and(|one| one.contains(key))))
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
    "revoke_on_stop",
    "rate",
    "ca_file",
    "proxy",
    "no_proxy",
    "allow_other",
    "threads",
    "deny_programs",
    "audit",
];
