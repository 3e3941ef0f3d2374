//! From the text of the settings file to [`Settings`].

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use toml::{Table, Value};

use super::{Settings, SettingsError};
use crate::adapters::accounts::SystemAccounts;
use crate::domain::anchor::{Access, Address, DEFAULT_ADDRESS, DEFAULT_BASE_PATH};
use crate::domain::document::{Accounts, DocumentError, Fields, RoleSpec, parse_mode, read_document};
use crate::domain::name::{AnchorName, NameError, RoleName};
use crate::domain::token::Token;

const KEYS: &[&str] = &[
    "state",
    "sealing_key_file",
    "default_ttl",
    "max_ttl",
    "open_deadline",
    "rotate_deadline",
    "deadline",
    "delete_grace",
    "rate",
    "ca_file",
    "proxy",
    "no_proxy",
    "uid",
    "gid",
    "mode",
    "allow_other",
    "threads",
    // Taken out before the others.
    "anchors",
    "roles",
];

const ANCHOR_KEYS: &[&str] = &["address", "base_path", "insecure", "token_file", "token"];

type Result<T> = std::result::Result<T, DocumentError>;

pub(super) fn load(path: &Path) -> std::result::Result<Settings, SettingsError> {
    let fail = |message: String| SettingsError { path: path.to_owned(), message };
    let bytes =
        fs::read(path).map_err(|error| fail(format!("cannot be read: {error}; correct the path or its mode")))?;
    let base = path.parent().unwrap_or(Path::new("/"));
    parse(&bytes, base).map_err(|error| fail(error.message))
}

fn parse(bytes: &[u8], base: &Path) -> Result<Settings> {
    let mut table = read_document(bytes)?;
    let anchors = section(&mut table, "anchors")?;
    let roles = section(&mut table, "roles")?;
    let mut fields = Fields::new(table, KEYS, "")?;
    let standard = Settings::default();
    let path = |fields: &mut Fields, key: &str| Ok::<_, DocumentError>(fields.text(key)?.map(|text| base.join(text)));
    let settings = Settings {
        state: path(&mut fields, "state")?,
        sealing_key_file: path(&mut fields, "sealing_key_file")?,
        default_ttl: fields.time("default_ttl")?.unwrap_or(standard.default_ttl),
        max_ttl: fields.time("max_ttl")?.unwrap_or(standard.max_ttl),
        open_deadline: fields.time("open_deadline")?.unwrap_or(standard.open_deadline),
        rotate_deadline: fields.time("rotate_deadline")?.unwrap_or(standard.rotate_deadline),
        deadline: fields.time("deadline")?.unwrap_or(standard.deadline),
        delete_grace: fields.time("delete_grace")?.unwrap_or(standard.delete_grace),
        rate: fields.number("rate", 1, 10_000)?.unwrap_or(standard.rate),
        ca_file: path(&mut fields, "ca_file")?,
        proxy: fields.text("proxy")?,
        no_proxy: fields.text("no_proxy")?,
        uid: fields.account("uid", &|name| SystemAccounts.uid(name))?,
        gid: fields.account("gid", &|name| SystemAccounts.gid(name))?,
        mode: parse_mode(&mut fields)?.unwrap_or(standard.mode),
        allow_other: fields.flag("allow_other")?.unwrap_or(standard.allow_other),
        threads: fields.number("threads", 1, 64)?.map_or(standard.threads, |threads| threads as usize),
        anchors: anchors.into_iter().map(|(name, table)| anchor(&name, table, base)).collect::<Result<_>>()?,
        roles: roles.into_iter().map(|(name, table)| role(&name, table)).collect::<Result<_>>()?,
    };
    if settings.default_ttl > settings.max_ttl {
        // Only what is not standard was written.
        let unless_set = |time, default, text| if time == default { text } else { "" };
        return Err(DocumentError::certain(format!(
            "default_ttl{} is greater than max_ttl{}; a token cannot linger longer than it lives",
            unless_set(settings.default_ttl, standard.default_ttl, " (1 h unless set)"),
            unless_set(settings.max_ttl, standard.max_ttl, " (24 h unless set)"),
        )));
    }
    Ok(settings)
}

fn section(table: &mut Table, key: &str) -> Result<Vec<(String, Table)>> {
    let wrong = || DocumentError::certain(format!("{key} must be tables: [{key}.NAME]"));
    match table.remove(key) {
        None => Ok(Vec::new()),
        Some(Value::Table(tables)) => tables
            .into_iter()
            .map(|(name, value)| match value {
                Value::Table(table) => Ok((name, table)),
                _ => Err(wrong()),
            })
            .collect(),
        Some(_) => Err(wrong()),
    }
}

fn name<N: std::str::FromStr<Err = NameError>>(section: &str, text: &str) -> Result<N> {
    text.parse().map_err(|error| DocumentError::certain(format!("[{section}.{text}]: {error}")))
}

fn role(text: &str, table: Table) -> Result<(RoleName, RoleSpec)> {
    let place = format!("[roles.{text}]");
    let spec =
        RoleSpec::from_table(table, &SystemAccounts, &place).map_err(|error| match error.message.contains(&place) {
            true => error,
            false => DocumentError::certain(format!("{place}: {}", error.message)),
        })?;
    Ok((name("roles", text)?, spec))
}

fn anchor(text: &str, table: Table, base: &Path) -> Result<(AnchorName, Access)> {
    let place = format!("[anchors.{text}]");
    let mut fields = Fields::new(table, ANCHOR_KEYS, &place)?;
    if fields.take("token").is_some() {
        return Err(fields.wrong(
            "token",
            "has no place in a file that others may read: put it into a file of its own and name that as token_file",
        ));
    }
    let file = fields.text("token_file")?.map(|text| base.join(text));
    let file =
        file.ok_or_else(|| fields.wrong("token_file", "is missing: name a file that holds the token, mode 0600"))?;
    let address = fields.text("address")?.unwrap_or_else(|| DEFAULT_ADDRESS.to_owned());
    let base_path = fields.text("base_path")?.unwrap_or_else(|| DEFAULT_BASE_PATH.to_owned());
    let insecure = fields.flag("insecure")?.unwrap_or(false);
    let address =
        Address::parse(&address, &base_path, insecure).map_err(|e| DocumentError::certain(format!("{place}: {e}")))?;
    let token = token(&file).map_err(|message| DocumentError::certain(format!("{place}: {message}")))?;
    Ok((name("anchors", text)?, Access { address, token, owner: None }))
}

fn token(path: &Path) -> std::result::Result<Token, String> {
    let shown = path.display();
    let unreadable = |error| format!("token_file {shown} cannot be read: {error}; correct the path or its mode");
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(format!("token_file {shown} is not a file; name a file that holds the token, mode 0600"));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("token_file {shown} can be read by others (mode {mode:04o}); run: chmod 600 {shown}"));
    }
    let text = fs::read_to_string(path).map(zeroize::Zeroizing::new).map_err(unreadable)?;
    Token::parse(&text).map_err(|error| format!("token_file {shown}: {error}"))
}
