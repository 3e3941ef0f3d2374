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

impl DocumentError {
    /// More text could not repair it.
    pub fn certain(message: impl Into<String>) -> Self {
        Self { message: message.into(), certain: true }
    }

    /// Something is only missing.
    pub fn missing(message: impl Into<String>) -> Self {
        Self { message: message.into(), certain: false }
    }
}

pub mod config;
mod fields;
mod reader;
mod render;
pub mod role;

pub use config::{AnchorSpec, ConfigSpec, check_config_prefix};
pub use fields::{Fields, nearest};
pub use reader::{LARGEST, read as read_document, too_large};
pub use render::{render_config, render_role};
pub use role::{Accounts, RoleSpec, TeamLookup, check_role_prefix, parse_mode};

/// The error of a document that is still being written, if it is one in every notation that its text may turn out to be.
fn hopeless<T>(
    tables: Vec<toml::Table>,
    check: impl Fn(toml::Table) -> Result<T, DocumentError>,
) -> Result<(), DocumentError> {
    let mut first = Ok(());
    for table in tables {
        match check(table) {
            Err(error) if error.certain => first = first.and(Err(error)),
            _ => return Ok(()),
        }
    }
    first
}
