//! Secrets and what upstream says about them.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Longest token we accept, in bytes (reference section 4: tokens are opaque, 1 to 4096 bytes).
pub const MAX_TOKEN: usize = 4096;

/// A secret. Wiped on drop, redacted in `Debug`, without `Display`: [`Token::expose`] is the only way to the bytes, and
/// greppable for that reason. `Serialize` exists for the ledger alone, whose values are sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Token(Zeroizing<String>);

/// Why a text cannot be a token. Never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing but blanks.
    #[error("the token is empty")]
    Empty,
    /// Longer than [`MAX_TOKEN`] bytes.
    #[error("the token is longer than {MAX_TOKEN} bytes")]
    TooLong,
    /// Blanks, control characters or non-ASCII inside.
    #[error("the token contains a blank, a line break or another character that no token has")]
    Character,
}

impl Token {
    /// Takes a token from text, with surrounding white space trimmed (files and pastes end in newlines).
    ///
    /// # Errors
    /// When nothing is left, or something that is not printable ASCII without blanks.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        if text.len() > MAX_TOKEN {
            return Err(TokenError::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TokenError::Character);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The secret itself. Only for the bytes of a door and for the `Authorization` header.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Token {
    type Error = TokenError;
    fn try_from(text: String) -> Result<Self, TokenError> {
        Self::parse(&Zeroizing::new(text))
    }
}

impl From<Token> for String {
    fn from(token: Token) -> String {
        token.0.to_string()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Upstream's name of a token, `at-…`. Not secret.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TokenId(pub String);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The answer to a create call.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Upstream's id, for the later DELETE.
    pub id: TokenId,
    /// The secret; upstream shows it this once.
    pub token: Token,
    /// The end that upstream stored; `None` means it never ends (servers that ignore `expired-at`).
    pub expires_at: Option<Timestamp>,
    /// Upstream says that it will not accept the token: its life is longer than the organization allows.
    pub is_ttl_rejected: bool,
    /// Upstream's clock when it answered, if it said; whole seconds.
    pub answered_at: Option<Timestamp>,
}

/// A token as a list shows it: without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Upstream's id.
    pub id: TokenId,
    /// Our unique description, or anybody's text.
    pub description: Option<String>,
}

/// What a slot holds, as its show call tells: without the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotToken {
    /// Upstream's id.
    pub id: TokenId,
    /// When upstream made it, by its clock; `None` where it does not say.
    pub created_at: Option<Timestamp>,
    /// The end that upstream stored; `None` where there is none, or it does not say.
    pub expires_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surrounding_white_space_is_trimmed() {
        assert_eq!(Token::parse(" \n abc.atlasv1.def\r\n").unwrap().expose(), "abc.atlasv1.def");
    }

    #[test]
    fn refusals_never_show_the_text() {
        for text in ["", " ", "hunter2 hunter2", "hunter2\nhunter2", "hunter2\0", "hunter2é", &"hunter2".repeat(1000)]
        {
            let error = Token::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        assert_eq!(format!("{:?}", Token::parse("hunter2").unwrap()), "Token(…)");
    }
}
