//! Paths of the API, with every parameter escaped (reference 1.1, 2.1).

use crate::domain::owner::{CredentialType, Owner};
use crate::domain::ports::{ApiError, ApiErrorKind};

/// Largest page that upstream gives.
const PAGE_SIZE: u32 = 100;

/// Whose token is this.
pub(super) const ACCOUNT_DETAILS: &str = "account/details";

/// Escapes one path segment or query value. `.` and `..` cannot be escaped (URL parsers fold `%2e` as well), so they,
/// and the empty text, are refused: they would name another endpoint.
pub(super) fn escape(text: &str) -> Result<String, ApiError> {
    if matches!(text, "" | "." | "..") {
        return Err(ApiError::new(
            ApiErrorKind::Invalid,
            format!("\"{text}\" is no name or id that upstream can have"),
        ));
    }
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(out)
}

/// Where the token of a slot lives: `POST`, `GET` and `DELETE`. Never with `?token=`: on servers that do not know it, the
/// call would act on the organization token (reference 2.5).
pub(super) fn slot(owner: &Owner) -> Result<String, ApiError> {
    let id = escape(owner.id())?;
    match owner {
        Owner::Organization { .. } => Ok(format!("organizations/{id}/authentication-token")),
        Owner::Team { .. } => Ok(format!("teams/{id}/authentication-token")),
        Owner::User { .. } => Err(ApiError::new(ApiErrorKind::Invalid, "a user has no single token to act on")),
    }
}

/// Where a token of that type is made.
pub(super) fn create(owner: &Owner, kind: CredentialType) -> Result<String, ApiError> {
    if !owner.can_have(kind) {
        let detail = format!("a {} cannot have a token of type {kind}", owner.kind());
        return Err(ApiError::new(ApiErrorKind::Invalid, detail));
    }
    match kind {
        CredentialType::Organization | CredentialType::TeamLegacy => slot(owner),
        CredentialType::Team => Ok(format!("teams/{}/authentication-tokens", escape(owner.id())?)),
        CredentialType::User => user_tokens(owner.id()),
    }
}

/// The tokens of a user.
pub(super) fn user_tokens(id: &str) -> Result<String, ApiError> {
    Ok(format!("users/{}/authentication-tokens", escape(id)?))
}

/// The tokens of all teams of an organization.
pub(super) fn team_tokens(organization: &str) -> Result<String, ApiError> {
    Ok(format!("organizations/{}/team-tokens", escape(organization)?))
}

/// One token.
pub(super) fn token(id: &str) -> Result<String, ApiError> {
    Ok(format!("authentication-tokens/{}", escape(id)?))
}

/// One organization.
pub(super) fn organization(name: &str) -> Result<String, ApiError> {
    Ok(format!("organizations/{}", escape(name)?))
}

/// The teams of an organization.
pub(super) fn teams(organization: &str) -> Result<String, ApiError> {
    Ok(format!("organizations/{}/teams", escape(organization)?))
}

/// The same, only those of that name.
pub(super) fn teams_named(organization: &str, team: &str) -> Result<String, ApiError> {
    Ok(format!("{}?filter%5Bnames%5D={}", teams(organization)?, escape(team)?))
}

/// One team.
pub(super) fn team(id: &str) -> Result<String, ApiError> {
    Ok(format!("teams/{}", escape(id)?))
}

/// Page `number` (from 1) of a list. Both parameters always: without them some lists have no pages at all.
pub(super) fn page(path: &str, number: u64) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}page%5Bnumber%5D={number}&page%5Bsize%5D={PAGE_SIZE}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::anchor::Address;

    #[test]
    fn parameters_cannot_leave_their_segment() {
        let address = Address::hcp();
        for name in ["a/b", "../x", "a?token=audit-trails", "a#b", "a%2fb", "ä b"] {
            let url = address.api(&slot(&Owner::Organization { name: name.into() }).unwrap());
            assert_eq!(url.path_segments().unwrap().count(), 5, "{url}");
            assert_eq!((url.query(), url.fragment()), (None, None), "{url}");
        }
        for name in ["", ".", ".."] {
            assert!(slot(&Owner::Organization { name: name.into() }).is_err());
        }
    }

    #[test]
    fn a_type_that_the_owner_cannot_have_is_refused() {
        let team = Owner::Team { id: "team-1".into() };
        assert!(create(&team, CredentialType::User).is_err());
        assert_eq!(create(&team, CredentialType::Team).unwrap(), "teams/team-1/authentication-tokens");
        assert_eq!(create(&team, CredentialType::TeamLegacy).unwrap(), "teams/team-1/authentication-token");
    }

    #[test]
    fn pages() {
        assert_eq!(page("x", 2), "x?page%5Bnumber%5D=2&page%5Bsize%5D=100");
        assert_eq!(page("x?y=1", 1), "x?y=1&page%5Bnumber%5D=1&page%5Bsize%5D=100");
    }
}
