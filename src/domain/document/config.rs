//! The mount's `config` document: anchors. The top level is the anchor `default`, `[anchors.NAME]` are others.

use toml::{Table, Value};

use super::fields::{Fields, shown_key};
use super::reader::{read, read_prefix};
use super::{DocumentError, hopeless};
use crate::domain::anchor::{Access, Address, AddressError, Anchor, DEFAULT_ADDRESS, DEFAULT_BASE_PATH};
use crate::domain::name::AnchorName;
use crate::domain::token::Token;

const KEYS: &[&str] = &["address", "base_path", "token", "insecure"];
const TOP_KEYS: &[&str] = &["address", "base_path", "token", "insecure", "anchors"];

/// What a token reads as; written back, it keeps the stored one.
pub const SET: &str = "(set)";

/// One anchor as written. What is absent keeps what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorSpec {
    /// Its name.
    pub name: AnchorName,
    address: Option<String>,
    base_path: Option<String>,
    insecure: Option<bool>,
    token: Option<Token>,
}

/// A checked document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSpec {
    /// Its anchors, `default` first.
    pub anchors: Vec<AnchorSpec>,
}

impl ConfigSpec {
    /// Reads a finished document.
    ///
    /// # Errors
    /// What is wrong, and what to do. Never a token.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let table = read(bytes)?;
        if table.is_empty() {
            return Err(DocumentError::missing("the document is empty: write at least token = \"…\""));
        }
        check(table)
    }
}

/// What of an unfinished `config` document is wrong for good.
///
/// # Errors
/// Only what more text could not repair.
pub fn check_config_prefix(bytes: &[u8]) -> Result<(), DocumentError> {
    hopeless(read_prefix(bytes)?, check)
}

fn check(mut table: Table) -> Result<ConfigSpec, DocumentError> {
    let others = table.remove("anchors");
    let mut anchors = Vec::new();
    // A document of other anchors only leaves `default` as it is.
    let speaks_of_default = !table.is_empty() || others.is_none();
    let mut fields = Fields::new(table, TOP_KEYS, "")?;
    if speaks_of_default {
        anchors.push(anchor(&mut fields, AnchorName::default())?);
    }
    match others {
        None => {}
        Some(Value::Table(others)) => {
            for (name, value) in others {
                let place = format!("[anchors.{}]", shown_key(&name));
                let name: AnchorName =
                    name.parse().map_err(|error| DocumentError::certain(format!("{place}: {error}")))?;
                let Value::Table(table) = value else {
                    return Err(DocumentError::certain(format!("{place} must be a table with address and token")));
                };
                if speaks_of_default && name == AnchorName::default() {
                    return Err(DocumentError::certain(
                        "anchor \"default\" is given twice: the keys at the top are its keys",
                    ));
                }
                anchors.push(anchor(&mut Fields::new(table, KEYS, &place)?, name)?);
            }
        }
        Some(_) => return Err(DocumentError::certain("anchors must be tables: [anchors.NAME]")),
    }
    Ok(ConfigSpec { anchors })
}

fn anchor(fields: &mut Fields, name: AnchorName) -> Result<AnchorSpec, DocumentError> {
    let token = match fields.text("token")? {
        None => None,
        Some(text) if text.trim() == SET => None,
        Some(text) => {
            let text = zeroize::Zeroizing::new(text);
            Some(Token::parse(&text).map_err(|error| fields.wrong("token", &format!("is refused: {error}")))?)
        }
    };
    let spec = AnchorSpec {
        name,
        address: fields.text("address")?,
        base_path: fields.text("base_path")?,
        insecure: fields.flag("insecure")?,
        token,
    };
    // `insecure = true` may still follow: only what it cannot repair is certain.
    let wrong = |error| DocumentError::certain(format!("anchor \"{}\": {error}", spec.name));
    spec.parse_address(true).map_err(wrong)?;
    Ok(spec)
}

impl AnchorSpec {
    /// What can be said without knowing what is stored: whether its address would be accepted.
    ///
    /// # Errors
    /// An address that would send the token in clear text.
    pub fn check_alone(&self) -> Result<(), DocumentError> {
        let checked = self.parse_address(self.insecure.unwrap_or(false));
        checked.map(|_| ()).map_err(|error| DocumentError::missing(format!("anchor \"{}\": {error}", self.name)))
    }

    /// Its address, with defaults for what is absent.
    fn parse_address(&self, insecure: bool) -> Result<Address, AddressError> {
        let address = self.address.as_deref().unwrap_or(DEFAULT_ADDRESS);
        Address::parse(address, self.base_path.as_deref().unwrap_or(DEFAULT_BASE_PATH), insecure)
    }

    /// The anchor to verify upstream: what is written, completed by what is stored.
    ///
    /// # Errors
    /// No token anywhere, or an address that would send it in clear text.
    pub fn merge(&self, previous: Option<&Anchor>) -> Result<Access, DocumentError> {
        let stored = previous.map(|anchor| &anchor.access.address);
        let address = self.address.as_deref().or(stored.map(Address::origin)).unwrap_or(DEFAULT_ADDRESS);
        let base_path = self.base_path.as_deref().or(stored.map(Address::base_path)).unwrap_or(DEFAULT_BASE_PATH);
        let insecure = self.insecure.or(stored.map(Address::insecure)).unwrap_or(false);
        let address = Address::parse(address, base_path, insecure)
            .map_err(|error| DocumentError::missing(format!("anchor \"{}\": {error}", self.name)))?;
        let token = match (&self.token, previous) {
            (Some(token), _) => token.clone(),
            // A stored token is sent to the host it was given for, and to no other.
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
