//! Documents as operators write them: roles, `config`, and the parts they share. Text in, checked values out.
//!
//! **Certain or only missing.** A document arrives in pieces, and an error that is told in the `write` shows in every
//! shell, while one that is told in the `close` does not (DESIGN 6). So each error says whether more text could repair
//! it, by this rule:
//!
//! * Of TOML and `key=value` lines, the *finished statements* count: lines that end in a line break, outside an array,
//!   inline table or multi-line text that is still open. What is wrong in them is certain: syntax, an unknown key, a bad
//!   value, two values that contradict each other. The rest of the text is not looked at yet.
//! * Of JSON, nothing counts before the last brace, except syntax that no further text can make right.
//! * A contradiction is certain only if it holds whatever follows: `organization` with `share = "open"` is not (a
//!   `team_id` may follow), `credential_type = "organization"` with it is.
//!
//! So no prefix of a good document is ever refused; `tests/documents.rs` and `tests/document_rules.rs` hold us to that.

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

    /// The same with a place in front, e.g. `[roles.app]: `.
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

pub mod config;
mod fields;
mod json;
mod reader;
mod render;
pub mod role;
mod statements;
mod suggest;
pub mod table;
mod times;
mod toml_text;

pub use config::{AnchorSpec, ConfigSpec, check_config_prefix};
pub use fields::Fields;
pub use reader::{LARGEST, LARGEST_SETTINGS, read as read_document, read_toml, too_large};
pub use render::{render_config, render_role};
pub use role::{Accounts, RoleSpec, TeamLookup, check_role_prefix, parse_mode};
pub use suggest::{nearest, shown_key};
