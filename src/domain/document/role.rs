//! Role documents: their keys, and the role they make.

mod rules;

use std::time::Duration;

use rules::Owners;

use super::DocumentError;
use super::fields::Fields;
use super::reader::{read, read_prefix};
use super::suggest::shown_key;
use super::table::{Table, Value};
use super::times;
use crate::domain::name::AnchorName;
use crate::domain::owner::{CredentialType, Owner};
use crate::domain::role::{Access, LEAST_ROTATE_EVERY, OnClose, Role, Share};
use crate::domain::unit::{AllowedUnit, MOST_UNITS};

const KEYS: &[&str] = &[
    "organization",
    "team_id",
    "team",
    "user_id",
    "credential_type",
    "description",
    "share",
    "ttl",
    "max_ttl",
    "on_close",
    "max_leases",
    "min_rotation_interval",
    "rotate_every",
    "uid",
    "gid",
    "mode",
    "allow_units",
    "anchor",
];

/// Longest description, in bytes: upstream gets it with a unique end.
const LONGEST_DESCRIPTION: usize = 120;

/// Names of users and groups, for `uid` and `gid`.
pub trait Accounts: Send + Sync {
    /// Number of a user.
    fn uid(&self, name: &str) -> Option<u32>;
    /// Number of a group.
    fn gid(&self, name: &str) -> Option<u32>;
}

/// A team to be looked up by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamLookup {
    /// Its organization.
    pub organization: String,
    /// Its name.
    pub team: String,
}

/// A checked role document. Its team may still have to be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSpec {
    /// With the team's name in place of its id while `lookup` says so.
    role: Role,
    lookup: Option<TeamLookup>,
}

impl RoleSpec {
    /// Reads a finished document.
    ///
    /// # Errors
    /// What is wrong or missing, and what to do.
    pub fn parse(bytes: &[u8], accounts: &dyn Accounts) -> Result<Self, DocumentError> {
        let table = match read(bytes) {
            // What is wrong for good before an unfinished end is the better answer.
            Err(error) if !error.certain => return check_role_prefix(bytes, accounts).and(Err(error)),
            table => table?,
        };
        if table.is_empty() {
            return Err(DocumentError::missing(format!("the document is empty: {}", rules::NO_OWNER)));
        }
        check(table, accounts, "")
    }

    /// The same from a table of a larger document; `place` names it in messages.
    ///
    /// # Errors
    /// What is wrong or missing, and what to do.
    pub fn from_table(table: Table, accounts: &dyn Accounts, place: &str) -> Result<Self, DocumentError> {
        check(table, accounts, place)
    }

    /// The team whose id must be found before the role can be in force.
    pub fn lookup(&self) -> Option<&TeamLookup> {
        self.lookup.as_ref()
    }

    /// The anchor that mints for it, and looks up its team.
    pub fn anchor(&self) -> &AnchorName {
        &self.role.anchor
    }

    /// The role, with the id of the team that was looked up.
    pub fn resolve(mut self, team_id: Option<String>) -> Role {
        if let Some(id) = team_id {
            self.role.owner = Owner::Team { id };
        }
        self.role
    }
}

/// What of an unfinished role document is wrong for good.
///
/// # Errors
/// Only what more text could not repair.
pub fn check_role_prefix(bytes: &[u8], accounts: &dyn Accounts) -> Result<(), DocumentError> {
    match read_prefix(bytes)?.map(|table| check(table, accounts, "")) {
        Some(Err(error)) if error.certain => Err(error),
        _ => Ok(()),
    }
}

/// Values first, then what is wrong between them for good, then what more text could still repair: so an error that
/// can be told in the `write` never hides behind one that cannot.
fn check(table: Table, accounts: &dyn Accounts, place: &str) -> Result<RoleSpec, DocumentError> {
    let mut fields = Fields::new(table, KEYS, place)?;
    let owners = Owners {
        organization: fields.id("organization")?,
        team: fields.id("team")?,
        team_id: fields.id("team_id")?,
        user_id: fields.id("user_id")?,
    };
    let kinds: Vec<(&str, CredentialType)> = CredentialType::ALL.iter().map(|kind| (kind.as_str(), *kind)).collect();
    let kind = fields.word("credential_type", &kinds)?;
    let description = description(&mut fields)?;
    let share = fields.word("share", &[("role", Share::Role), ("unit", Share::Unit), ("open", Share::Open)])?;
    let ttl = fields.time("ttl")?;
    let max_ttl = fields.time("max_ttl")?;
    let on_close = fields.word("on_close", &[("linger", OnClose::Linger), ("revoke", OnClose::Revoke)])?;
    let max_leases = fields.number("max_leases", 1, 1_000_000)?;
    let min_rotation_interval = fields.time("min_rotation_interval")?;
    let rotate_every = rotate_every(&mut fields, min_rotation_interval)?;
    let access = Access {
        uid: fields.account("uid", &|name| accounts.uid(name))?,
        gid: fields.account("gid", &|name| accounts.gid(name))?,
        mode: parse_mode(&mut fields)?,
    };
    let allow_units = allow_units(&mut fields)?;
    let anchor = anchor(&mut fields)?;

    if ttl.zip(max_ttl).is_some_and(|(ttl, max_ttl)| ttl > max_ttl) {
        return Err(fields.wrong("ttl", "is greater than max_ttl; a token cannot linger longer than it lives"));
    }
    if rotate_every.is_some() && share == Some(Share::Open) {
        return Err(fields.wrong(
            "rotate_every",
            "cannot be had with share = \"open\": every open already gets a token of its own, so there is nothing to rotate",
        ));
    }
    let policy = rules::Policy {
        share: share.unwrap_or_default(),
        on_close: on_close.unwrap_or_default(),
        described: description.is_some(),
    };
    owners.certainly_wrong(kind)?;
    if let Some(kind) = kind {
        policy.check(kind).map_err(DocumentError::certain)?;
    }
    let (owner, lookup) = owners.decide(kind)?;
    let credential_type = kind.unwrap_or_else(|| rules::inferred(&owner));
    policy.check(credential_type).map_err(DocumentError::missing)?;

    let is_team = owner.kind() == "team";
    let role = Role {
        organization: owners.organization.filter(|_| is_team),
        team: owners.team.filter(|_| is_team),
        owner,
        credential_type,
        description,
        share: policy.share,
        ttl,
        max_ttl,
        on_close: policy.on_close,
        max_leases,
        min_rotation_interval,
        rotate_every,
        access,
        allow_units,
        anchor,
    };
    Ok(RoleSpec { role, lookup })
}

/// Zero means off. A schedule that the role's own interval forbids would fail at every turn.
fn rotate_every(fields: &mut Fields, interval: Option<Duration>) -> Result<Option<Duration>, DocumentError> {
    let time = fields.time("rotate_every")?;
    let least = LEAST_ROTATE_EVERY.max(interval.unwrap_or_default());
    if time.is_some_and(|time| time < least) {
        let what =
            format!("must be at least {}, and not less than min_rotation_interval", times::shown(LEAST_ROTATE_EVERY));
        return Err(fields.wrong("rotate_every", &what));
    }
    Ok(time)
}

fn description(fields: &mut Fields) -> Result<Option<String>, DocumentError> {
    match fields.text("description")? {
        Some(text) if text.len() > LONGEST_DESCRIPTION || text.contains(char::is_control) => {
            Err(fields.wrong("description", &format!("must be at most {LONGEST_DESCRIPTION} bytes of printable text")))
        }
        text => Ok(text),
    }
}

/// An empty list is refused: whoever wrote it may have meant nobody, and it would mean everybody.
fn allow_units(fields: &mut Fields) -> Result<Vec<AllowedUnit>, DocumentError> {
    const KEY: &str = "allow_units";
    let Some(texts) = fields.texts(KEY)? else { return Ok(Vec::new()) };
    if texts.is_empty() {
        return Err(fields.wrong(KEY, "is empty; leave the key out to allow every unit, or remove the role"));
    }
    if texts.len() > MOST_UNITS {
        return Err(
            fields.wrong(KEY, &format!("has more than {MOST_UNITS} entries; name a slice or a cgroup above them"))
        );
    }
    let entry =
        |text: &String| text.parse().map_err(|error| fields.wrong(KEY, &format!("\"{}\" {error}", shown_key(text))));
    texts.iter().map(entry).collect()
}

fn anchor(fields: &mut Fields) -> Result<AnchorName, DocumentError> {
    match fields.text("anchor")? {
        Some(text) => text.parse().map_err(|error| fields.wrong("anchor", &format!("is not a name: {error}"))),
        None => Ok(AnchorName::default()),
    }
}

/// The `mode` of credential files: octal, as `chmod` reads it. A number in ten digits is refused, because 440 and 0440
/// would mean different bits and nobody could tell which one was meant.
///
/// # Errors
/// Anything but read bits.
pub fn parse_mode(fields: &mut Fields) -> Result<Option<u16>, DocumentError> {
    let wrong = |fields: &Fields, why: &str| {
        let what = format!("must be octal text with read bits only, such as \"0440\"; {why}");
        fields.wrong("mode", &what)
    };
    let bits = match fields.take("mode") {
        None => return Ok(None),
        Some(Value::Text(text)) => {
            let digits = text.trim();
            let octal = digits.strip_prefix("0o").unwrap_or(digits);
            // from_str_radix would take a sign.
            let only_digits = octal.bytes().all(|b| b.is_ascii_digit());
            let bits = u32::from_str_radix(octal, 8).ok().filter(|_| only_digits);
            bits.ok_or_else(|| wrong(fields, "this is not octal"))?
        }
        Some(Value::Octal(bits)) => u32::try_from(bits).map_err(|_| wrong(fields, "this is not a mode"))?,
        Some(Value::Integer(number)) => {
            return Err(wrong(fields, &format!("{number} without quotes is a decimal number")));
        }
        Some(other) => return Err(wrong(fields, &format!("this is {}", other.kind()))),
    };
    if bits & !0o444 != 0 {
        return Err(wrong(fields, "credentials are read, never written or run"));
    }
    Ok(u16::try_from(bits).ok())
}
