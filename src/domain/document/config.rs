//! The mount's `config` document: anchors. The top level is the anchor `default`, `[anchors.NAME]` are others.

use std::time::Duration;

use super::DocumentError;
use super::fields::Fields;
use super::reader::{read, read_prefix};
use super::suggest::shown_key;
use super::table::Table;
use super::times;
use crate::domain::anchor::{Access, Address, AddressError, Anchor, DEFAULT_ADDRESS, DEFAULT_BASE_PATH};
use crate::domain::anchor_rotation::{LEAST_ROTATE_EVERY, MOST_ROTATE_EVERY};
use crate::domain::name::AnchorName;
use crate::domain::token::Token;

const KEYS: &[&str] = &["address", "base_path", "token", "insecure", "rotate_every"];
const TOP_KEYS: &[&str] = &["address", "base_path", "token", "insecure", "rotate_every", "anchors"];

/// What a token reads as; written back, it keeps the stored one.
pub const SET: &str = "(set)";

/// One anchor as written. What is absent keeps what is stored; [`AnchorSpec::merge`] has the exact rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorSpec {
    /// Its name.
    pub name: AnchorName,
    /// Scheme, host and port.
    pub address: Option<String>,
    /// Path of the API below them.
    pub base_path: Option<String>,
    /// Whether clear text to another machine is accepted.
    pub insecure: Option<bool>,
    /// The token; `None` also for `"(set)"`.
    pub token: Option<Token>,
    /// Distance of scheduled rotations; `None` = only on command.
    pub rotate_every: Option<Duration>,
}

/// A checked document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSpec {
    /// Its anchors, `default` first. `default` is among them if any of its keys was written.
    pub anchors: Vec<AnchorSpec>,
}

impl ConfigSpec {
    /// Reads a finished document.
    ///
    /// # Errors
    /// What is wrong, and what to do. Never a token.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let table = match read(bytes) {
            // What is wrong for good before an unfinished end is the better answer.
            Err(error) if !error.certain => return check_config_prefix(bytes).and(Err(error)),
            table => table?,
        };
        let spec = check(table)?;
        if spec.anchors.is_empty() {
            return Err(DocumentError::missing("the document is empty: write at least token = \"…\""));
        }
        Ok(spec)
    }
}

/// What of an unfinished `config` document is wrong for good.
///
/// # Errors
/// Only what more text could not repair.
pub fn check_config_prefix(bytes: &[u8]) -> Result<(), DocumentError> {
    match read_prefix(bytes)?.map(check) {
        Some(Err(error)) if error.certain => Err(error),
        _ => Ok(()),
    }
}

fn check(mut table: Table) -> Result<ConfigSpec, DocumentError> {
    let others = table.take_tables("anchors")?;
    let mut anchors = Vec::new();
    let default = AnchorName::default();
    // A document of other anchors only leaves `default` as it is.
    if !table.is_empty() {
        anchors.push(anchor(Fields::new(table, TOP_KEYS, "")?, default.clone())?);
    }
    for (name, line, table) in others {
        let place = format!("[anchors.{}]", shown_key(&name));
        let name: AnchorName =
            name.parse().map_err(|error| DocumentError::certain(format!("line {line}: {place}: {error}")))?;
        if name == default && !anchors.is_empty() {
            return Err(DocumentError::certain(format!(
                "line {line}: anchor \"default\" is given twice: the keys at the top of the document are its keys"
            )));
        }
        anchors.push(anchor(Fields::new(table, KEYS, &place)?, name)?);
    }
    Ok(ConfigSpec { anchors })
}

fn anchor(mut fields: Fields, name: AnchorName) -> Result<AnchorSpec, DocumentError> {
    let token = match fields.secret("token")? {
        Some(text) if text.trim() != SET => {
            Some(Token::parse(&text).map_err(|error| fields.wrong("token", &format!("is refused: {error}")))?)
        }
        _ => None,
    };
    let spec = AnchorSpec {
        name,
        address: fields.text("address")?,
        base_path: fields.text("base_path")?,
        insecure: fields.flag("insecure")?,
        token,
        rotate_every: rotate_every(&mut fields)?,
    };
    // `insecure = true` may still follow, unless it was denied: only what it cannot repair is certain.
    let insecure = spec.insecure.unwrap_or(true);
    let wrong = |key: &str, error| fields.wrong_at(key, &format!("anchor \"{}\": {error}", spec.name));
    Address::parse(DEFAULT_ADDRESS, spec.base_path(None), insecure).map_err(|error| wrong("base_path", error))?;
    if let Some(address) = &spec.address {
        Address::parse(address, DEFAULT_BASE_PATH, insecure).map_err(|error| wrong("address", error))?;
    }
    Ok(spec)
}

/// Zero means off, as in Vault.
fn rotate_every(fields: &mut Fields) -> Result<Option<Duration>, DocumentError> {
    let (least, most) = (LEAST_ROTATE_EVERY, MOST_ROTATE_EVERY);
    match fields.time("rotate_every")? {
        Some(time) if !(least..=most).contains(&time) => {
            let (least, most) = (times::shown(least), times::shown(most));
            Err(fields.wrong("rotate_every", &format!("must be between {least} and {most}")))
        }
        time => Ok(time),
    }
}

impl AnchorSpec {
    /// What can be said without knowing what is stored: whether its address would be accepted.
    ///
    /// # Errors
    /// An address that would send the token in clear text.
    pub fn check_alone(&self) -> Result<(), DocumentError> {
        let Some(address) = &self.address else { return Ok(()) };
        self.checked(address, self.base_path(None), self.insecure.unwrap_or(false)).map(|_| ())
    }

    fn base_path<'a>(&'a self, stored: Option<&'a Address>) -> &'a str {
        self.base_path.as_deref().or(stored.map(Address::base_path)).unwrap_or(DEFAULT_BASE_PATH)
    }

    fn checked(&self, address: &str, base_path: &str, insecure: bool) -> Result<Address, DocumentError> {
        Address::parse(address, base_path, insecure)
            .map_err(|error: AddressError| DocumentError::missing(format!("anchor \"{}\": {error}", self.name)))
    }

    /// The anchor to verify upstream: what is written, completed by what is stored.
    ///
    /// An address that is absent keeps the stored one, with its base path and its consent to clear text. An address that
    /// is written stands for itself: neither comes from what is stored. A token that is absent keeps the stored one, but
    /// a stored token is sent to the server it was given for and to no other: with another address it must be written.
    ///
    /// # Errors
    /// No token anywhere, or an address that would send it in clear text. More text could repair either.
    pub fn merge(&self, previous: Option<&Anchor>) -> Result<Access, DocumentError> {
        let stored = previous.map(|anchor| &anchor.access.address);
        let kept = stored.filter(|_| self.address.is_none());
        let address = self.address.as_deref().or(kept.map(Address::origin)).unwrap_or(DEFAULT_ADDRESS);
        let insecure = self.insecure.or(kept.map(Address::insecure)).unwrap_or(false);
        let address = self.checked(address, self.base_path(kept), insecure)?;
        let token = match (&self.token, previous) {
            (Some(token), _) => token.clone(),
            (None, Some(anchor)) if anchor.access.address.origin() == address.origin() => anchor.access.token.clone(),
            (None, Some(_)) => {
                return Err(DocumentError::missing(format!(
                    "anchor \"{}\" has a new address: write its token too, the stored one is not sent to another host",
                    self.name
                )));
            }
            (None, None) => {
                return Err(DocumentError::missing(format!(
                    "anchor \"{}\" has no token: write token = \"…\"",
                    self.name
                )));
            }
        };
        Ok(Access { address, token, owner: None })
    }
}
