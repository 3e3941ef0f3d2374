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

use super::anchor::{Access, Anchor};
use super::name::{AnchorName, RoleName};
use super::role::Role;

/// stub
pub struct RoleSpec;
/// stub
pub struct TeamLookup { /// x
 pub organization: String, /// x
 pub team: String }
/// stub
pub struct AnchorSpec { /// n
 pub name: AnchorName }
/// stub
pub struct ConfigSpec { /// n
 pub anchors: Vec<AnchorSpec> }
#[allow(missing_docs)]
impl RoleSpec {
    pub fn parse(_: &[u8], _: &RoleName) -> Result<Self, DocumentError> { unimplemented!() }
    pub fn lookup(&self) -> Option<TeamLookup> { unimplemented!() }
    pub fn anchor(&self) -> &AnchorName { unimplemented!() }
    pub fn resolve(self, _: Option<String>) -> Result<Role, DocumentError> { unimplemented!() }
}
#[allow(missing_docs)]
impl ConfigSpec { pub fn parse(_: &[u8]) -> Result<Self, DocumentError> { unimplemented!() } }
#[allow(missing_docs)]
impl AnchorSpec { pub fn merge(&self, _: Option<&Anchor>) -> Result<Access, DocumentError> { unimplemented!() } }
#[allow(missing_docs)]
pub fn render_role(_: &Role) -> String { unimplemented!() }
#[allow(missing_docs)]
pub fn render_config(_: &[&Anchor]) -> String { unimplemented!() }
#[allow(missing_docs)]
pub fn check_role_prefix(_: &[u8], _: &RoleName) -> Result<(), DocumentError> { unimplemented!() }
#[allow(missing_docs)]
pub fn check_config_prefix(_: &[u8]) -> Result<(), DocumentError> { unimplemented!() }
#[allow(missing_docs)]
pub fn too_large() -> DocumentError { unimplemented!() }
