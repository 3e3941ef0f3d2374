//! From the text of the settings file to [`Settings`].

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use super::{ProxySetting, Settings, SettingsError};
use super::{audit, token_file};
use crate::adapters::accounts::SystemAccounts;
use crate::domain::anchor::{Access, Address, DEFAULT_ADDRESS, DEFAULT_BASE_PATH};
use crate::domain::document::table::{Table, Value};
use crate::domain::document::{
    Accounts, DocumentError, Fields, LARGEST_SETTINGS, RoleSpec, parse_mode, read_toml, shown_key,
};
use crate::domain::name::NameError;

const KEYS: &[&str] = &[
    "state",
    "sealing_key_file",
    "default_ttl",
    "max_ttl",
    "open_deadline",
    "rotate_deadline",
    "deadline",
    "delete_grace",
    "revoke_on_stop",
    "rate",
    "ca_file",
    "proxy",
    "no_proxy",
    "uid",
    "gid",
    "mode",
    "allow_other",
    "threads",
    "allow_organization_anchor_rotation",
    "deny_programs",
    // Taken out before the others.
    "audit",
    "anchors",
    "roles",
];

const ANCHOR_KEYS: &[&str] = &["address", "base_path", "insecure", "token_file", "token", "rotate_every"];

/// No request ever blocks without a deadline, and no caller waits longer than that.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// A grace longer than that would be a revocation that never comes.
const LONGEST_GRACE: Duration = Duration::from_secs(24 * 3600);

/// Most entries of `deny_programs`: each open looks at them.
const MOST_PROGRAMS: usize = 64;

/// The kernel cuts the name of a program after that many bytes.
const LONGEST_PROGRAM: usize = 15;

type Result<T> = std::result::Result<T, DocumentError>;

pub(super) fn load(path: &Path) -> std::result::Result<Settings, SettingsError> {
    let fail = |message: String| SettingsError { path: path.to_owned(), message };
    let bytes = read(path).map_err(|error| fail(format!("cannot be read: {error}; correct the path or its mode")))?;
    let base = path.parent().unwrap_or(Path::new("/"));
    parse(&bytes, base).map_err(|error| fail(error.message))
}

/// No more than what shows that it is too large, of `/dev/zero` as well.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_SETTINGS as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(bytes: &[u8], base: &Path) -> Result<Settings> {
    let mut table = read_toml(bytes)?;
    let anchors = section(&mut table, "anchors", |table, place| anchor(table, place, base))?;
    let roles = section(&mut table, "roles", |table, place| RoleSpec::from_table(table, &SystemAccounts, place))?;
    let audit = audit::take(&mut table, base)?;
    let mut fields = Fields::new(table, KEYS, "")?;
    let standard = Settings::default();
    let path = |fields: &mut Fields, key: &str| Ok::<_, DocumentError>(fields.text(key)?.map(|text| base.join(text)));
    let wait = |fields: &mut Fields, key: &str, otherwise: Duration| {
        Ok::<_, DocumentError>(
            fields
                .time_within(key, &(Duration::ZERO..=LONGEST_WAIT))?
                .filter(|time| !time.is_zero())
                .unwrap_or(otherwise),
        )
    };
    let settings = Settings {
        state: path(&mut fields, "state")?,
        sealing_key_file: path(&mut fields, "sealing_key_file")?,
        default_ttl: fields.time("default_ttl")?.unwrap_or(standard.default_ttl),
        max_ttl: fields.time("max_ttl")?.unwrap_or(standard.max_ttl),
        open_deadline: wait(&mut fields, "open_deadline", standard.open_deadline)?,
        rotate_deadline: wait(&mut fields, "rotate_deadline", standard.rotate_deadline)?,
        deadline: wait(&mut fields, "deadline", standard.deadline)?,
        // Zero means no grace here: a default of ten seconds would surprise whoever wrote it.
        delete_grace: fields
            .time_within("delete_grace", &(Duration::ZERO..=LONGEST_GRACE))?
            .unwrap_or(standard.delete_grace),
        revoke_on_stop: fields.flag("revoke_on_stop")?.unwrap_or(standard.revoke_on_stop),
        rate: fields.number("rate", 1, 10_000)?.unwrap_or(standard.rate),
        ca_file: path(&mut fields, "ca_file")?,
        proxy: proxy(&mut fields)?,
        no_proxy: no_proxy(&mut fields)?,
        uid: fields.account("uid", &|name| SystemAccounts.uid(name))?,
        gid: fields.account("gid", &|name| SystemAccounts.gid(name))?,
        mode: parse_mode(&mut fields)?.unwrap_or(standard.mode),
        allow_other: fields.flag("allow_other")?.unwrap_or(standard.allow_other),
        threads: fields.number("threads", 1, 64)?.map_or(standard.threads, |threads| threads as usize),
        allow_organization_anchor_rotation: fields
            .flag("allow_organization_anchor_rotation")?
            .unwrap_or(standard.allow_organization_anchor_rotation),
        deny_programs: programs(&mut fields)?,
        audit,
        anchors,
        roles,
    };
    if settings.default_ttl > settings.max_ttl {
        let key = if fields.has("default_ttl") { "default_ttl" } else { "max_ttl" };
        let unless_set = |key: &str, text| if fields.has(key) { "" } else { text };
        return Err(fields.wrong_at(
            key,
            &format!(
                "default_ttl{} is greater than max_ttl{}; a token cannot linger longer than it lives",
                unless_set("default_ttl", " (1 h unless set)"),
                unless_set("max_ttl", " (24 h unless set)"),
            ),
        ));
    }
    Ok(settings)
}

/// Names as `ps -o comm` shows them. A path would never match one.
fn programs(fields: &mut Fields) -> Result<Vec<String>> {
    const KEY: &str = "deny_programs";
    let names = fields.texts(KEY)?.unwrap_or_default();
    if names.len() > MOST_PROGRAMS {
        return Err(fields.wrong(KEY, &format!("has more than {MOST_PROGRAMS} names")));
    }
    for name in &names {
        if name.is_empty() || name.len() > LONGEST_PROGRAM || name.contains(|c: char| c == '/' || c.is_control()) {
            let what = format!(
                "must be names of programs as `ps -o comm` shows them, without a path, at most {LONGEST_PROGRAM} bytes: not \"{}\"",
                shown_key(name)
            );
            return Err(fields.wrong(KEY, &what));
        }
    }
    Ok(names)
}

/// The tables `[section.NAME]`, each read by `read`, which gets the place for its messages. Every message names it.
fn section<N, T>(table: &mut Table, section: &str, read: impl Fn(Table, &str) -> Result<T>) -> Result<Vec<(N, T)>>
where
    N: std::str::FromStr<Err = NameError>,
{
    let one = |(text, line, table): (String, usize, Table)| {
        let place = format!("[{section}.{}]", shown_key(&text));
        let name = text.parse().map_err(|error| DocumentError::certain(format!("line {line}: {place}: {error}")))?;
        let value = read(table, &place).map_err(|error| match error.message.contains(&place) {
            true => error,
            false => error.within(&place),
        })?;
        Ok((name, value))
    };
    table.take_tables(section)?.into_iter().map(one).collect()
}

fn anchor(table: Table, place: &str, base: &Path) -> Result<Access> {
    let mut fields = Fields::new(table, ANCHOR_KEYS, place)?;
    if fields.take("token").is_some() {
        return Err(fields.wrong(
            "token",
            "has no place in a file that others may read: put it into a file of its own, mode 0600, and name that as token_file",
        ));
    }
    if fields.has("rotate_every") {
        return Err(fields.wrong(
            "rotate_every",
            "is not possible: the token comes from token_file, which tfcfs cannot write; put a new token into that file, or write the anchor to the mount's config",
        ));
    }
    let text = |fields: &mut Fields, key: &str, standard: &str| {
        Ok::<_, DocumentError>(fields.text(key)?.unwrap_or_else(|| standard.to_owned()))
    };
    let address = text(&mut fields, "address", DEFAULT_ADDRESS)?;
    let base_path = text(&mut fields, "base_path", DEFAULT_BASE_PATH)?;
    let insecure = fields.flag("insecure")?.unwrap_or(false);
    let key = if fields.has("address") { "address" } else { "base_path" };
    let address = Address::parse(&address, &base_path, insecure)
        .map_err(|error| fields.wrong_at(key, &format!("{place}: {error}")))?;
    let Some(file) = fields.text("token_file")? else {
        return Err(fields.wrong("token_file", "is missing: name a file that holds the token, mode 0600"));
    };
    let token = token_file::read(&base.join(file))
        .map_err(|what| fields.wrong_at("token_file", &format!("{place}: token_file {what}")))?;
    Ok(Access { address, token, owner: None })
}

/// Its text may hold a password, so no message repeats it.
fn proxy(fields: &mut Fields) -> Result<Option<ProxySetting>> {
    // Empty text is a value: no proxy, whatever the environment says.
    match fields.take("proxy") {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(ProxySetting(text.to_string()))),
        Some(other) => Err(fields.type_error("proxy", "text such as \"http://proxy:3128\"", &other, "")),
    }
}

/// A list, or text with commas.
fn no_proxy(fields: &mut Fields) -> Result<Option<String>> {
    const FORM: &str = "text such as \"localhost,10.0.0.0/8\", or a list of such texts";
    match fields.take("no_proxy") {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.to_string())),
        Some(Value::List(items)) => {
            let one = |item: &Value| match item {
                Value::Text(text) => Ok(text.to_string()),
                other => Err(fields.type_error("no_proxy", FORM, other, "")),
            };
            Ok(Some(items.iter().map(one).collect::<Result<Vec<_>>>()?.join(",")))
        }
        Some(other) => Err(fields.type_error("no_proxy", FORM, &other, "")),
    }
}
