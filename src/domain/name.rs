//! Names that are parsed once and then trusted: whoever holds one may put it in a path, a key or a log line.

use std::fmt;

/// Longest legal name, in bytes.
pub const MAX_NAME: usize = 128;

/// Why a text is not a legal name. The message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("a name cannot be empty")]
    Empty,
    /// Longer than [`MAX_NAME`].
    #[error("a name has at most {MAX_NAME} characters; this one has {0}")]
    TooLong(usize),
    /// A capital letter; refused rather than folded, so that two spellings never mean one role.
    #[error("names are lower case{}", suggestion(.0))]
    Capital(String),
    /// A character outside `[a-z0-9_.-]`, or a first character outside `[a-z0-9]`.
    #[error("{0} cannot stand in a name: use a-z, 0-9, '_', '.' and '-', and begin with a letter or digit")]
    Character(String),
    /// `config` names a file of its own in `rotate/`.
    #[error("\"config\" is reserved for the anchor itself; choose another name")]
    Reserved,
}

/// The name to try, unless it is so long that a slip of the clipboard may have put a secret there.
fn suggestion(lowered: &str) -> String {
    const LONGEST: usize = 40;
    if lowered.len() > LONGEST { String::new() } else { format!(": try \"{lowered}\"") }
}

fn check(text: &str) -> Result<(), NameError> {
    let first = text.chars().next().ok_or(NameError::Empty)?;
    if text.len() > MAX_NAME {
        return Err(NameError::TooLong(text.chars().count()));
    }
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '-');
    let lowered = text.to_ascii_lowercase();
    if let Some(bad) = lowered.chars().find(|c| !legal(*c)) {
        return Err(NameError::Character(format!("{bad:?}")));
    }
    if matches!(first, '_' | '.' | '-') {
        return Err(NameError::Character(format!("a leading {first:?}")));
    }
    if lowered != text {
        return Err(NameError::Capital(lowered));
    }
    if text == "config" {
        return Err(NameError::Reserved);
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The name as written in paths and documents.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type! {
    /// A role: `[a-z0-9][a-z0-9_.-]{0,127}`, not `config`.
    RoleName
}

name_type! {
    /// An anchor. Same alphabet as a role; `default` is the one that roles use unless they name another.
    AnchorName
}

impl Default for AnchorName {
    fn default() -> Self {
        Self("default".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_names() {
        for name in ["a", "0", "my-role", "a.b_c-9", &"a".repeat(128)] {
            assert!(name.parse::<RoleName>().is_ok(), "{name}");
        }
    }

    #[test]
    fn illegal_names_say_what_to_do() {
        let error = |text: &str| text.parse::<RoleName>().unwrap_err();
        assert_eq!(error(""), NameError::Empty);
        assert_eq!(error(&"a".repeat(200)), NameError::TooLong(200));
        assert_eq!(error("Deploy"), NameError::Capital("deploy".into()));
        assert!(error("Deploy").to_string().contains("\"deploy\""));
        assert_eq!(error(&"Secret".repeat(7)).to_string(), "names are lower case");
        assert!(error("a/b").to_string().contains("'/'"));
        assert!(error("a b").to_string().contains("' '"));
        assert!(error(".hidden").to_string().contains("leading '.'"));
        assert!(error("é").to_string().contains("cannot stand"));
        assert_eq!(error("config"), NameError::Reserved);
    }
}
