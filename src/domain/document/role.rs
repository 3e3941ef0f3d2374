//! Role documents: Vault's inference of types, one owner, no contradictions.

use super::fields::Fields;
use super::reader::{read, read_prefix};
use super::{DocumentError, hopeless};
use crate::domain::name::AnchorName;
use crate::domain::owner::{CredentialType, Owner};
use crate::domain::role::{Access, OnClose, Role, Share};
use toml::{Table, Value};

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
    "uid",
    "gid",
    "mode",
    "anchor",
    "allow_units",
    "rotate_every",
];

/// Keys of the contract that this version does not have yet.
const NOT_YET: &[&str] = &["allow_units", "rotate_every"];

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
    role: Role,
    lookup: Option<TeamLookup>,
}

impl RoleSpec {
    /// Reads a finished document.
    ///
    /// # Errors
    /// What is wrong or missing, and what to do.
    pub fn parse(bytes: &[u8], accounts: &dyn Accounts) -> Result<Self, DocumentError> {
        Self::from_table(read(bytes)?, accounts, "")
    }

    /// The same from a table of a larger document; `place` names it in messages.
    ///
    /// # Errors
    /// What is wrong or missing, and what to do.
    pub fn from_table(table: Table, accounts: &dyn Accounts, place: &str) -> Result<Self, DocumentError> {
        let (spec, owner) = check(table, accounts, place)?;
        match owner {
            true => Ok(spec),
            false => Err(DocumentError::missing(
                "a role needs an owner: organization = \"…\", team_id = \"team-…\", organization and team = \"name\", or user_id = \"user-…\"",
            )),
        }
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
    hopeless(read_prefix(bytes)?, |table| check(table, accounts, ""))
}

/// Checks everything that is there. False: no owner yet.
fn check(table: Table, accounts: &dyn Accounts, place: &str) -> Result<(RoleSpec, bool), DocumentError> {
    let mut fields = Fields::new(table, KEYS, place)?;
    for key in NOT_YET {
        if fields.take(key).is_some() {
            return Err(fields.wrong(key, "is not supported by this version of tfcfs; leave it out"));
        }
    }
    let organization = fields.id("organization")?;
    let team_id = fields.id("team_id")?;
    let team = fields.id("team")?;
    let user_id = fields.id("user_id")?;
    let kinds: Vec<(&str, CredentialType)> = CredentialType::ALL.iter().map(|kind| (kind.as_str(), *kind)).collect();
    let kind = fields.word("credential_type", &kinds)?;
    if user_id.is_some() && (organization.is_some() || team_id.is_some() || team.is_some()) {
        return Err(DocumentError::certain(
            "two owners: user_id excludes organization, team_id and team; a role has exactly one owner",
        ));
    }
    let lookup = match (&organization, &team, &team_id) {
        (Some(organization), Some(team), None) => {
            Some(TeamLookup { organization: organization.clone(), team: team.clone() })
        }
        _ => None,
    };
    let (owner, complete) = match (&organization, &team, &team_id, &user_id) {
        (_, _, Some(id), _) => (Some(Owner::Team { id: id.clone() }), true),
        // Only more text can tell; a finished document says what is missing.
        (None, Some(_), None, _) => (None, false),
        (Some(_), Some(team), None, _) => (Some(Owner::Team { id: team.clone() }), true),
        (_, _, _, Some(id)) => (Some(Owner::User { id: id.clone() }), true),
        (Some(name), ..) => (Some(Owner::Organization { name: name.clone() }), true),
        _ => (None, false),
    };
    contradiction(kind, owner.as_ref(), team.is_some())?;
    let fallback = Owner::User { id: String::new() };
    let owner = owner.unwrap_or(fallback);
    let kind = kind.unwrap_or(match owner {
        Owner::Organization { .. } => CredentialType::Organization,
        Owner::Team { .. } => CredentialType::TeamLegacy,
        Owner::User { .. } => CredentialType::User,
    });
    let is_team = matches!(owner, Owner::Team { .. });
    let role = Role {
        organization: organization.filter(|_| is_team),
        team: team.filter(|_| is_team),
        owner,
        credential_type: kind,
        description: description(&mut fields)?,
        share: fields
            .word("share", &[("role", Share::Role), ("unit", Share::Unit), ("open", Share::Open)])?
            .unwrap_or_default(),
        ttl: fields.time("ttl")?,
        max_ttl: fields.time("max_ttl")?,
        on_close: fields
            .word("on_close", &[("linger", OnClose::Linger), ("revoke", OnClose::Revoke)])?
            .unwrap_or_default(),
        max_leases: fields.number("max_leases", 1, 1_000_000)?,
        min_rotation_interval: fields.time("min_rotation_interval")?,
        access: access(&mut fields, accounts)?,
        anchor: anchor(&mut fields)?,
    };
    if let (Some(ttl), Some(max_ttl)) = (role.ttl, role.max_ttl)
        && ttl > max_ttl
    {
        return Err(DocumentError::certain("ttl is greater than max_ttl; a token cannot linger longer than it lives"));
    }
    if complete {
        slot_rules(&role)?;
    }
    Ok((RoleSpec { role, lookup }, complete))
}

/// A type that its owner cannot have. While the owner may still become a team, an organization proves nothing.
fn contradiction(kind: Option<CredentialType>, owner: Option<&Owner>, team: bool) -> Result<(), DocumentError> {
    let (Some(kind), Some(owner)) = (kind, owner) else { return Ok(()) };
    if owner.can_have(kind) {
        return Ok(());
    }
    let wants = match kind {
        CredentialType::Organization => "organization alone",
        CredentialType::Team | CredentialType::TeamLegacy => "team_id (or organization and team)",
        CredentialType::User => "user_id",
    };
    let has = if team { "team" } else { owner.kind() };
    let message = format!("credential_type = \"{kind}\" contradicts the owner, which is a {has}: it needs {wants}");
    // An organization may be followed by its team.
    match (owner, kind) {
        (Owner::Organization { .. }, CredentialType::Team | CredentialType::TeamLegacy) => {
            Err(DocumentError::missing(message))
        }
        _ => Err(DocumentError::certain(message)),
    }
}

/// A slot token is the same for everybody until it is rotated.
fn slot_rules(role: &Role) -> Result<(), DocumentError> {
    if !role.credential_type.is_slot() {
        return Ok(());
    }
    let kind = role.credential_type;
    let hint = match kind {
        CredentialType::TeamLegacy => "; write credential_type = \"team\" for tokens of which there can be many",
        _ => "",
    };
    // Without a type yet, `credential_type = "team"` may still follow; so this is decided at the close.
    let refuse = |what: &str| {
        Err(DocumentError::missing(format!(
            "{what} cannot be had with credential_type = \"{kind}\": its one token is the same for everybody until rotated{hint}"
        )))
    };
    if role.share != Share::Role {
        return refuse("share other than \"role\"");
    }
    if role.on_close == OnClose::Revoke {
        return refuse("on_close = \"revoke\"");
    }
    if role.description.is_some() {
        return refuse("a description");
    }
    Ok(())
}

fn description(fields: &mut Fields) -> Result<Option<String>, DocumentError> {
    let text = fields.text("description")?;
    match text {
        Some(text) if text.len() > 120 || text.chars().any(char::is_control) => {
            Err(fields.wrong("description", "must be at most 120 bytes of printable text"))
        }
        text => Ok(text),
    }
}

fn anchor(fields: &mut Fields) -> Result<AnchorName, DocumentError> {
    match fields.text("anchor")? {
        Some(text) => text.parse().map_err(|error| fields.wrong("anchor", &format!("is not a name: {error}"))),
        None => Ok(AnchorName::default()),
    }
}

fn access(fields: &mut Fields, accounts: &dyn Accounts) -> Result<Access, DocumentError> {
    Ok(Access {
        uid: fields.account("uid", &|name| accounts.uid(name))?,
        gid: fields.account("gid", &|name| accounts.gid(name))?,
        mode: parse_mode(fields)?,
    })
}

/// The `mode` of credential files.
///
/// # Errors
/// Anything but read bits.
pub fn parse_mode(fields: &mut Fields) -> Result<Option<u16>, DocumentError> {
    const WHAT: &str = "must be octal text with read bits only, such as \"0440\"";
    let bits = match fields.take("mode") {
        None => return Ok(None),
        Some(Value::String(text)) => {
            let digits = text.strip_prefix("0o").unwrap_or(&text);
            let octal = digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
            u32::from_str_radix(digits, 8).ok().filter(|_| octal).ok_or_else(|| fields.wrong("mode", WHAT))?
        }
        // TOML's 0o440 and a decimal 440 both arrive as numbers; 440 as a number has bits that no mode here has.
        Some(Value::Integer(number)) => u32::try_from(number).map_err(|_| fields.wrong("mode", WHAT))?,
        Some(other) => return Err(fields.type_error("mode", "octal text such as \"0440\"", &other)),
    };
    if bits & !0o444 != 0 {
        return Err(fields.wrong("mode", &format!("{WHAT}; credentials are read, never written or run")));
    }
    Ok(u16::try_from(bits).ok())
}
