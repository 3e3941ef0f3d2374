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
