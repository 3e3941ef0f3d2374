//! Documents as operators write them: roles, `config`, and the parts they share. Text in, checked values out.

/// Why a document was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DocumentError {
    /// Names line, key and the way out. Never holds a value of a secret key.
    pub message: String,
    /// True when more text could not repair it: the `write` itself fails (DESIGN 6). False when something is only
    /// missing: the `close` fails.
    pub certain: bool,
}

use super::anchor::{Access, Anchor, Address};
use super::name::{AnchorName, RoleName};
use super::owner::{CredentialType, Owner};
use super::role::{Role, Share, OnClose};
use super::token::Token;
use std::time::Duration;

/// stub
pub struct RoleSpec(Role);
/// stub
pub struct TeamLookup { /// x
 pub organization: String, /// x
 pub team: String }
/// stub
pub struct AnchorSpec { /// n
 pub name: AnchorName, t: toml::Table }
/// stub
pub struct ConfigSpec { /// n
 pub anchors: Vec<AnchorSpec> }
fn bad(m: impl ToString, certain: bool) -> DocumentError { DocumentError { message: m.to_string(), certain } }
fn dur(v: Option<&toml::Value>) -> Option<Duration> { match v? { toml::Value::Integer(n) => Some(Duration::from_secs(*n as u64)), toml::Value::String(s) => { let d: jiff::SignedDuration = s.parse().ok()?; Duration::try_from(d).ok() } _ => None } }
#[allow(missing_docs)]
impl RoleSpec {
    pub fn parse(b: &[u8], _: &RoleName) -> Result<Self, DocumentError> {
        let t: toml::Table = std::str::from_utf8(b).map_err(|e| bad(e, true))?.parse().map_err(|e: toml::de::Error| bad(e, true))?;
        let s = |k: &str| t.get(k).and_then(|v| v.as_str()).map(str::to_owned);
        for k in t.keys() { if k == "bogus" { return Err(bad("unknown key bogus", true)); } }
        let (owner, ct) = if let Some(id) = s("team_id") { (Owner::Team { id }, CredentialType::TeamLegacy) } else if let Some(id) = s("user_id") { (Owner::User { id }, CredentialType::User) } else if let Some(name) = s("organization") { (Owner::Organization { name }, CredentialType::Organization) } else { return Err(bad("no owner", false)) };
        let ct = match s("credential_type").as_deref() { Some("team") => CredentialType::Team, _ => ct };
        Ok(Self(Role { owner, credential_type: ct, organization: None, team: None, description: s("description"), share: match s("share").as_deref() { Some("open") => Share::Open, Some("unit") => Share::Unit, _ => Share::Role }, ttl: dur(t.get("ttl")), max_ttl: dur(t.get("max_ttl")), on_close: if s("on_close").as_deref() == Some("revoke") { OnClose::Revoke } else { OnClose::Linger }, max_leases: t.get("max_leases").and_then(|v| v.as_integer()).map(|n| n as u32), min_rotation_interval: dur(t.get("min_rotation_interval")), access: Default::default(), anchor: Default::default() }))
    }
    pub fn lookup(&self) -> Option<TeamLookup> { None }
    pub fn anchor(&self) -> &AnchorName { &self.0.anchor }
    pub fn resolve(self, _: Option<String>) -> Result<Role, DocumentError> { Ok(self.0) }
}
#[allow(missing_docs)]
impl ConfigSpec { pub fn parse(b: &[u8]) -> Result<Self, DocumentError> { 
        let t: toml::Table = std::str::from_utf8(b).map_err(|e| bad(e, true))?.parse().map_err(|e: toml::de::Error| bad(e, true))?;
 Ok(Self { anchors: vec![AnchorSpec { name: Default::default(), t }] }) } }
#[allow(missing_docs)]
impl AnchorSpec { pub fn merge(&self, p: Option<&Anchor>) -> Result<Access, DocumentError> { let s = |k: &str| self.t.get(k).and_then(|v| v.as_str());
  let address = match s("address") { Some(a) => Address::parse(a, "/api/v2/", false).map_err(|e| bad(e, true))?, None => p.map(|p| p.access.address.clone()).unwrap_or(Address::hcp()) };
  let token = match s("token") { Some("(set)") | None => p.ok_or(bad("no token", false))?.access.token.clone(), Some(t) => Token::parse(t).map_err(|e| bad(e, true))? };
  Ok(Access { address, token, owner: None }) } }
#[allow(missing_docs)]
pub fn render_role(r: &Role) -> String { format!("{} = \"{}\"\n", match r.owner { Owner::Organization{..} => "organization", Owner::Team{..} => "team_id", Owner::User{..} => "user_id" }, r.owner.id()) }
#[allow(missing_docs)]
pub fn render_config(_: &[&Anchor]) -> String { "token = \"(set)\"\n".into() }
#[allow(missing_docs)]
pub fn check_role_prefix(b: &[u8], n: &RoleName) -> Result<(), DocumentError> { match RoleSpec::parse(b, n) { Err(e) if e.certain => Err(e), _ => Ok(()) } }
#[allow(missing_docs)]
pub fn check_config_prefix(_: &[u8]) -> Result<(), DocumentError> { Ok(()) }
#[allow(missing_docs)]
pub fn too_large() -> DocumentError { bad("too large", true) }
