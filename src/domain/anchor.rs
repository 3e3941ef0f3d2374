//! An anchor: the upstream and the token with which we call it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::{Host, Url};

use super::name::AnchorName;
use super::owner::Owner;
use super::printable::guarded;
use super::token::Token;

/// Address of HCP Terraform.
pub const DEFAULT_ADDRESS: &str = "https://app.terraform.io";

/// Where the token API lives below the address.
pub const DEFAULT_BASE_PATH: &str = "/api/v2/";

/// The longest host that a sentence repeats, in characters.
const LONGEST_HOST: usize = 80;

/// Why an address is refused; the message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a URL.
    #[error("address is not a URL ({0}); write it as https://app.terraform.io")]
    NotAUrl(String),
    /// Some other scheme than http or https.
    #[error("address begins with \"{}:\"; only https:// (or http:// to this machine) is possible", guarded(.0, 20))]
    Scheme(String),
    /// `http://` to another machine would send the anchor token in clear text.
    #[error(
        "http:// would send the token to {} in clear text; use https://, or insecure = true if you accept that",
        guarded(.0, LONGEST_HOST)
    )]
    ClearText(String),
    /// User name, password, query, fragment or path in it.
    #[error("address has a {0}; write scheme, host and port only")]
    Extra(&'static str),
    /// The base path is not an absolute path.
    #[error("base_path must begin with \"/\" and contain no \"..\", \"?\" or \"#\"")]
    BasePath,
}

/// Scheme, host and port of an upstream, and the path below which its API lives.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(Arc<Parts>);

#[derive(PartialEq, Eq, Hash, Serialize)]
struct Parts {
    origin: Url,
    base_path: String,
    insecure: bool,
}

/// [`Parts`] as stored, not looked at yet.
#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    origin: Cow<'a, str>,
    #[serde(borrow)]
    base_path: Cow<'a, str>,
    insecure: bool,
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        thread_local! {
            /// A ledger has very many records and very few addresses: they share one.
            static LAST: RefCell<Option<Address>> = const { RefCell::new(None) };
        }
        let Stored { origin, base_path, insecure } = Stored::deserialize(deserializer)?;
        LAST.with_borrow_mut(|last| {
            let same = |Self(last): &&Self| {
                last.origin.as_str() == origin && last.base_path == base_path && last.insecure == insecure
            };
            if let Some(last) = last.as_ref().filter(same) {
                return Ok(last.clone());
            }
            let origin = Url::parse(&origin).map_err(D::Error::custom)?;
            let address = Self(Arc::new(Parts { origin, base_path: base_path.into_owned(), insecure }));
            Ok(last.insert(address).clone())
        })
    }
}

impl Address {
    /// Checks an address. `base_path` gets its trailing slash if it lacks one.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn parse(address: &str, base_path: &str, insecure: bool) -> Result<Self, AddressError> {
        let url = Url::parse(address.trim()).map_err(|e| AddressError::NotAUrl(e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(AddressError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Extra("user name or password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(AddressError::Extra("query or fragment"));
        }
        if url.path() != "/" {
            return Err(AddressError::Extra("path (that is what base_path is for)"));
        }
        if url.scheme() == "http" && !insecure && !is_local(&url) {
            return Err(AddressError::ClearText(url.host_str().unwrap_or_default().to_owned()));
        }
        let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#');
        if !base_path.starts_with('/') || base_path.contains("..") || base_path.contains(bad) {
            return Err(AddressError::BasePath);
        }
        let base_path = format!("{}/", base_path.trim_end_matches('/'));
        Ok(Self(Arc::new(Parts { origin: url, base_path, insecure })))
    }

    /// HCP Terraform.
    pub fn hcp() -> Self {
        Self(Arc::new(Parts {
            origin: Url::parse(DEFAULT_ADDRESS).expect("the default address is a URL"),
            base_path: DEFAULT_BASE_PATH.to_owned(),
            insecure: false,
        }))
    }

    /// Host name in the form terraform uses (lower case, punycode), with `:port` unless it is the scheme's own.
    pub fn host(&self) -> String {
        let host = self.0.origin.host_str().unwrap_or_default();
        match self.0.origin.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Scheme, host and port as written in `config`, without a trailing slash.
    pub fn origin(&self) -> &str {
        self.0.origin.as_str().trim_end_matches('/')
    }

    /// Whether both name the same server, however its API is reached there.
    pub fn same_server(&self, other: &Self) -> bool {
        self.origin() == other.origin()
    }

    /// Path below which the API lives, with both slashes.
    pub fn base_path(&self) -> &str {
        &self.0.base_path
    }

    /// Whether clear text to another machine was accepted.
    pub fn insecure(&self) -> bool {
        self.0.insecure
    }

    /// Joins a path of the API, e.g. `account/details`.
    pub fn api(&self, path: &str) -> Url {
        let mut url = self.0.origin.clone();
        match path.split_once('?') {
            Some((path, query)) => {
                url.set_path(&format!("{}{path}", self.0.base_path));
                url.set_query(Some(query));
            }
            None => url.set_path(&format!("{}{path}", self.0.base_path)),
        }
        url
    }
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.origin())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.0.base_path)
    }
}

/// Where a token is to be used: what [`super::ports::TokenApi`] needs for one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The upstream.
    pub address: Address,
    /// The token to call it with.
    pub token: Token,
    /// Whose token that is, if known: the key of the rate limit (reference 1.8).
    pub owner: Option<Owner>,
}

/// A verified anchor, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Its name in `config` and in roles.
    pub name: AnchorName,
    /// Where and with what.
    pub access: Access,
    /// The id of the anchor token itself, where upstream tells (reference 3.2).
    pub token_id: Option<super::token::TokenId>,
    /// Last rotation by us. `Some` also means that nobody but us ever saw the token.
    pub rotated_at: Option<jiff::Timestamp>,
    /// Distance of scheduled rotations; `None` = only on command.
    #[serde(default)]
    pub rotate_every: Option<Duration>,
    /// When a token was first written to `config` as this anchor's.
    #[serde(default)]
    pub in_force_since: Option<jiff::Timestamp>,
    /// Upstream's end of a token that a rotation made.
    #[serde(default)]
    pub ends_at: Option<jiff::Timestamp>,
}

impl Anchor {
    /// An anchor that was never rotated and has no schedule.
    pub fn new(name: AnchorName, access: Access, token_id: Option<super::token::TokenId>) -> Self {
        Self { name, access, token_id, rotated_at: None, rotate_every: None, in_force_since: None, ends_at: None }
    }
}

/// Whose token an anchor is, as `account/details` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The principal; `None` on servers that do not say.
    pub owner: Option<Owner>,
    /// User name (of a hidden service user for team and organization tokens), for messages.
    pub username: String,
    /// Id of the token in use, where upstream tells.
    pub token_id: Option<super::token::TokenId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_text_only_to_this_machine() {
        for url in ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:1", "https://tfe.example"] {
            assert!(Address::parse(url, "/api/v2/", false).is_ok(), "{url}");
        }
        let error = Address::parse("http://tfe.example", "/api/v2/", false).unwrap_err();
        assert!(error.to_string().contains("insecure = true"));
        assert!(Address::parse("http://tfe.example", "/api/v2/", true).is_ok());
    }

    #[test]
    fn bad_addresses() {
        for url in ["", "app.terraform.io", "ftp://x", "https://u:p@x", "https://x/y", "https://x?y", "https://"] {
            assert!(Address::parse(url, "/api/v2/", false).is_err(), "{url}");
        }
        assert!(Address::parse("https://x", "api", false).is_err());
    }

    #[test]
    fn addresses_come_back_as_they_were_stored() {
        let stored = ["https://tfe.example:8443/", "https://app.terraform.io/", "https://tfe.example:8443/"]
            .map(|origin| format!(r#"{{"origin":"{origin}","base_path":"/api/v2/","insecure":false}}"#));
        for text in stored {
            let address: Address = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&address).unwrap(), text);
        }
        let parsed = Address::parse("http://tfe.example", "/x/", true).unwrap();
        assert_eq!(serde_json::from_slice::<Address>(&serde_json::to_vec(&parsed).unwrap()).unwrap(), parsed);
        assert!(serde_json::from_str::<Address>(r#"{"origin":"no","base_path":"/","insecure":false}"#).is_err());
    }

    #[test]
    fn host_and_paths() {
        let address = Address::parse("https://TFE.Example:8443/", "/api/v2", false).unwrap();
        assert_eq!(address.host(), "tfe.example:8443");
        assert_eq!(address.api("teams/team-1").as_str(), "https://tfe.example:8443/api/v2/teams/team-1");
        assert_eq!(address.api("x?page%5Bsize%5D=1").query(), Some("page%5Bsize%5D=1"));
    }
}
