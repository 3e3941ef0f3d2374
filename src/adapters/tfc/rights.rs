//! What a token may do for an owner, as far as upstream tells without anything being made: GET calls only.

use serde_json::Value;

use super::request::Verb;
use super::retry::Repeat;
use super::{TfcClient, json, paths};
use crate::domain::anchor::Access;
use crate::domain::owner::Owner;
use crate::domain::ports::ApiError;

impl TfcClient {
    /// Whether upstream says that this token may make tokens of `owner`; `None` where it does not say. Of a user, it says so only
    /// to that user's own token, which the caller has to be sure of.
    ///
    /// # Errors
    /// [`crate::domain::ports::ApiErrorKind::NotVisible`] when there is no such owner, or the token does not see it.
    pub async fn may_make_tokens(&self, access: &Access, owner: &Owner) -> Result<Option<bool>, ApiError> {
        let (path, permission) = match owner {
            Owner::Organization { name } => (paths::organization(name)?, "can-update-api-token"),
            Owner::Team { id } => (paths::team(id)?, "can-update-api-token"),
            Owner::User { .. } => (paths::ACCOUNT_DETAILS.to_owned(), "can-manage-user-tokens"),
        };
        let answer = self.caller.call(self.call(access, Verb::Get, &path, Repeat::Harmless)).await?;
        self.read(access, &answer, |body| {
            let document = json::parse(body)?;
            Ok(document.pointer(&format!("/data/attributes/permissions/{permission}")).and_then(Value::as_bool))
        })
    }
}
