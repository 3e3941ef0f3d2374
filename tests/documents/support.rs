//! What a document is expected to say, or to be refused with.

use tfcfs::domain::anchor::{Access, Address, Anchor};
use tfcfs::domain::document::{ConfigSpec, DocumentError, RoleSpec, check_config_prefix, check_role_prefix};
use tfcfs::domain::role::Role;
use tfcfs::domain::token::{Token, TokenId};

use crate::common::machine::Names;

pub const SECRET: &str = "hunter2.atlasv1.hunter2";

pub fn spec(text: impl AsRef<[u8]>) -> Result<RoleSpec, DocumentError> {
    RoleSpec::parse(text.as_ref(), &Names)
}

pub fn role(text: impl AsRef<[u8]>) -> Role {
    spec(&text).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(text.as_ref()))).resolve(None)
}

pub fn refusal(text: impl AsRef<[u8]>) -> DocumentError {
    let error = spec(&text).expect_err(&String::from_utf8_lossy(text.as_ref()));
    assert!(!error.message.contains('\n') && error.message.len() < 700, "one sentence: {error}");
    error
}

/// The role is refused, the sentence has all these words, and already the write fails.
pub fn refused_at_once(text: impl AsRef<[u8]>, words: &[&str]) {
    let error = refusal(&text);
    has_words(&error, words);
    assert!(error.certain, "{error}");
    assert_eq!(check_role_prefix(text.as_ref(), &Names), Err(error));
}

/// The role is refused, but only once it is finished: something may follow.
pub fn refused_in_the_end(text: &str, words: &[&str]) {
    let error = refusal(text);
    has_words(&error, words);
    assert!(!error.certain, "{error}");
    assert_eq!(check_role_prefix(text.as_bytes(), &Names), Ok(()));
}

pub fn has_words(error: &DocumentError, words: &[&str]) {
    for word in words {
        assert!(error.message.contains(word), "{word:?} is not in: {error}");
    }
}

/// A value of a role that already has an owner.
pub fn value_refused(line: &str, words: &[&str]) {
    refused_at_once(format!("team_id = \"team-1\"\n{line}\n"), words);
}

pub fn config(text: impl AsRef<[u8]>) -> ConfigSpec {
    ConfigSpec::parse(text.as_ref()).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(text.as_ref())))
}

/// The only anchor of a document, completed by what is stored.
pub fn merged(text: &str, stored: Option<&Anchor>) -> Result<Access, DocumentError> {
    config(text).anchors[0].merge(stored)
}

pub fn stored(address: &str) -> Anchor {
    let address = Address::parse(address, "/api/v2/", true).unwrap();
    let access = Access { address, token: Token::parse("old.token").unwrap(), owner: None };
    Anchor::new("default".parse().unwrap(), access, Some(TokenId("at-1".into())))
}

pub fn config_refused(text: impl AsRef<[u8]>, words: &[&str]) {
    let error = ConfigSpec::parse(text.as_ref()).unwrap_err();
    has_words(&error, words);
    assert!(error.certain, "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "no secret in {error:?}");
    assert_eq!(check_config_prefix(text.as_ref()), Err(error), "the write fails already");
}
