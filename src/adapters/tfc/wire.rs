//! JSON:API documents to domain types and back. Lenient (reference 1.4): types are not checked, unknown parts are ignored,
//! numbers pass for text.

use jiff::Timestamp;
use serde_json::{Value, json};
use zeroize::{Zeroize, Zeroizing};

use super::json;
use crate::domain::anchor::Identity;
use crate::domain::owner::{CredentialType, Owner, is_id};
use crate::domain::ports::CreateToken;
use crate::domain::token::{Issued, Listed, SlotToken, Token, TokenId};

/// The body of a create call: the documented type, `expired-at` always, a description for minted types only.
pub(super) fn create_body(request: &CreateToken) -> Vec<u8> {
    let kind = match request.credential_type {
        CredentialType::Organization | CredentialType::TeamLegacy => "authentication-token",
        CredentialType::Team | CredentialType::User => "authentication-tokens",
    };
    let mut attributes = json!({ "expired-at": whole_seconds(request.expires_at) });
    if !request.credential_type.is_slot() {
        attributes["description"] = json!(request.description);
    }
    json!({ "data": { "type": kind, "attributes": attributes } }).to_string().into_bytes()
}

/// `2026-08-21T10:00:00Z`. Fractions are dropped, so that upstream's end is never later than ours.
fn whole_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// The answer to a create call, given at `answered_at` by upstream's clock.
///
/// # Errors
/// Why there is no usable token in it. A token may exist nevertheless.
pub(super) fn issued(body: &[u8], answered_at: Option<Timestamp>) -> Result<Issued, String> {
    let mut document = json::parse(body)?;
    // Taken out of the tree, so that no copy of the secret stays in freed memory.
    let secret = match document.pointer_mut("/data/attributes/token").map(Value::take) {
        Some(Value::String(secret)) => Zeroizing::new(secret),
        _ => return Err("the answer holds no token".into()),
    };
    let token = Token::parse(&secret).map_err(|e| e.to_string())?;
    let id = id_at(&document, "/data/id").ok_or("the answer holds a token without a usable id")?;
    // An end that cannot be read counts as none: the caller then sees that it is not what it asked for.
    let expires_at = text_at(&document, "/data/attributes/expired-at").and_then(|t| t.parse().ok());
    let is_ttl_rejected = document.pointer("/data/attributes/is-ttl-rejected") == Some(&Value::Bool(true));
    Ok(Issued { id: TokenId(id), token, expires_at, is_ttl_rejected, answered_at })
}

/// The token that a show call answered; `None` when `data` is null. Times that cannot be read count as not told.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn shown_token(body: &[u8]) -> Result<Option<SlotToken>, String> {
    let mut document = json::parse(body)?;
    wipe_token(document.pointer_mut("/data/attributes/token"));
    if document.get("data") == Some(&Value::Null) {
        return Ok(None);
    }
    let id = TokenId(id_at(&document, "/data/id").ok_or("the answer holds no usable id")?);
    let time = |name: &str| text_at(&document, &format!("/data/attributes/{name}")).and_then(|text| text.parse().ok());
    Ok(Some(SlotToken { id, created_at: time("created-at"), expires_at: time("expired-at") }))
}

/// One page of a list.
pub(super) struct Page {
    /// Its entries.
    pub(super) entries: Vec<Value>,
    /// The number of the next page; `None` on the last.
    pub(super) next: Option<u64>,
    /// How many entries all pages have together, if upstream says.
    pub(super) total: Option<u64>,
}

/// Reads one page.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn page(body: &[u8]) -> Result<Page, String> {
    let mut document = json::parse(body)?;
    let number = |name: &str| text_at(&document, &format!("/meta/pagination/{name}")).and_then(|n| n.parse().ok());
    let (next, total) = (number("next-page"), number("total-count"));
    let Some(Value::Array(mut entries)) = document.get_mut("data").map(Value::take) else {
        return Err("the answer holds no list".into());
    };
    for entry in &mut entries {
        wipe_token(entry.pointer_mut("/attributes/token"));
    }
    Ok(Page { entries, next, total })
}

/// A token of a list; `None` for an entry without an id.
pub(super) fn listed(entry: &Value) -> Option<Listed> {
    let id = TokenId(id_at(entry, "/id")?);
    let description = entry.pointer("/attributes/description").and_then(Value::as_str).map(str::to_owned);
    Some(Listed { id, description })
}

/// Whether a token of an organization's list is a described one of that team. The team's slot is in the list too, without a
/// description. An entry that names no team passes: its unique description decides.
pub(super) fn is_minted_for(entry: &Value, team_id: &str) -> bool {
    let team = text_at(entry, "/relationships/team/data/id");
    team.is_none_or(|id| id == team_id) && entry.pointer("/attributes/description").is_some_and(Value::is_string)
}

/// Id of the entry if it is a team of exactly that name.
pub(super) fn team_named(entry: &Value, name: &str) -> Option<String> {
    (entry.pointer("/attributes/name").and_then(Value::as_str) == Some(name)).then(|| id_at(entry, "/id")).flatten()
}

/// The organization of a team, from its relationship or that one's link.
///
/// # Errors
/// Why the answer cannot be read.
pub(super) fn team_organization(body: &[u8]) -> Result<Option<String>, String> {
    let document = json::parse(body)?;
    let relation = "/data/relationships/organization";
    let related = ["/links/related", "/links/self"].map(|link| format!("{relation}{link}"));
    Ok(id_at(&document, &format!("{relation}/data/id")).or_else(|| {
        let links = related.iter().map(String::as_str).chain(["/data/links/organization", "/data/links/self"]);
        links.filter_map(|pointer| link_at(&document, pointer)).find_map(|link| segment_after(&link, "organizations"))
    }))
}

/// The answer to `account/details`.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn identity(body: &[u8]) -> Result<Identity, String> {
    let document = json::parse(body)?;
    let user_id = id_at(&document, "/data/id").ok_or("the answer names no user")?;
    let resource = "/data/relationships/authenticated-resource/data";
    let owner = match (text_at(&document, &format!("{resource}/type")), id_at(&document, &format!("{resource}/id"))) {
        (Some(kind), Some(id)) => match kind.as_str() {
            "users" => Some(Owner::User { id }),
            "teams" => Some(Owner::Team { id }),
            "organizations" => Some(Owner::Organization { name: id }),
            _ => None,
        },
        // Old servers do not say. Who is no hidden service user is a user; the names of the others are not to be parsed.
        _ => match document.pointer("/data/attributes/is-service-account") {
            Some(Value::Bool(false)) => Some(Owner::User { id: user_id }),
            _ => None,
        },
    };
    let token_id = ["/data/links/auth-token", "/links/auth-token"]
        .iter()
        .filter_map(|pointer| link_at(&document, pointer))
        .find_map(|link| segment_after(&link, "authentication-tokens"))
        .map(TokenId);
    let username = id_at(&document, "/data/attributes/username").unwrap_or_default();
    Ok(Identity { owner, username, token_id })
}

fn wipe_token(value: Option<&mut Value>) {
    if let Some(Value::String(secret)) = value {
        secret.zeroize();
    }
}

/// Non-empty text, or a number as text.
fn text_at(document: &Value, pointer: &str) -> Option<String> {
    match document.pointer(pointer)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The same if it can be an id or a name: what we keep, print and put into paths later.
fn id_at(document: &Value, pointer: &str) -> Option<String> {
    text_at(document, pointer).filter(|text| is_id(text))
}

/// A JSON:API link: text, or an object with `href`.
fn link_at(document: &Value, pointer: &str) -> Option<String> {
    text_at(document, pointer).or_else(|| text_at(document, &format!("{pointer}/href")))
}

fn segment_after(link: &str, collection: &str) -> Option<String> {
    let path = link.split(['?', '#']).next()?;
    let mut segments = path.split('/').skip_while(|segment| *segment != collection);
    segments.nth(1).filter(|id| is_id(id)).map(str::to_owned)
}

#[cfg(test)]
mod tests;
