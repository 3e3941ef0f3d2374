//! `TokenApi` over HTTP: HCP Terraform and Terraform Enterprise (reference 1 to 5).
//!
//! This file says which endpoint answers which question. How a call is made is in `request`, what its failure means in
//! `describe`, when it is repeated in `retry`, when it may start in `limiter`, how answers are read in `wire`. reqwest appears
//! below this module only.

mod answer;
mod describe;
mod headers;
mod health;
mod http;
mod json;
mod limiter;
mod paging;
mod paths;
mod proxy;
mod redact;
mod refusals;
mod request;
mod retry;
mod rights;
mod settings;
mod wire;

use std::fmt;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::time::Instant;

pub use health::{CallCount, UpstreamHealth};
pub use settings::{LIST_FACTOR, TfcError, TfcSettings};

use self::answer::Answer;
use self::limiter::Urgency;
use self::paging::List;
use self::request::{Call, Caller, Verb};
use self::retry::Repeat;
use crate::domain::anchor::{Access, Identity};
use crate::domain::owner::{CredentialType, Owner};
use crate::domain::ports::{ApiError, ApiErrorKind, CreateToken, TokenApi};
use crate::domain::token::{Issued, Listed, SlotToken, TokenId};

/// Calls upstream. One per process: it holds the connection pool and the rate limits of all owners.
pub struct TfcClient {
    caller: Caller,
    settings: TfcSettings,
}

impl fmt::Debug for TfcClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TfcClient").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl TfcClient {
    /// Reads the CA file and the environment's proxy variables; calls nobody.
    ///
    /// # Errors
    /// See [`TfcError`].
    pub fn new(settings: TfcSettings) -> Result<Self, TfcError> {
        Ok(Self { caller: Caller::new(&settings)?, settings })
    }

    /// What the calls so far tell about each upstream. Costs a short lock; calls nobody.
    pub fn health(&self) -> Vec<UpstreamHealth> {
        self.caller.observed.snapshot()
    }

    /// Since when upstream refuses the token of `access`; `None` when it was accepted last, or never used.
    pub fn refused_since(&self, access: &Access) -> Option<jiff::Timestamp> {
        self.caller.refusals.since(access)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.settings.call_deadline
    }

    /// A call with this client's deadline.
    fn call<'a>(&self, access: &'a Access, method: Verb, path: &'a str, repeat: Repeat) -> Call<'a> {
        Call {
            access,
            method,
            path,
            body: None,
            repeat,
            may_be_absent: false,
            urgency: Urgency::Awaited,
            deadline: self.deadline(),
            patience: Duration::ZERO,
        }
    }

    async fn get(&self, access: &Access, path: &str) -> Result<Answer, ApiError> {
        self.caller.call(self.call(access, Verb::Get, path, Repeat::Harmless)).await
    }

    async fn all(
        &self,
        access: &Access,
        path: &str,
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<Vec<Value>, ApiError> {
        let list = List { access, path, urgency, page_time: self.settings.call_deadline, deadline };
        paging::read(&self.caller, &list).await
    }

    /// Turns an answer to a GET into a value.
    fn read<T>(
        &self,
        access: &Access,
        answer: &Answer,
        parse: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, ApiError> {
        parse(&answer.body).map_err(|why| self.caller.nonsense(access, answer, &why, false))
    }
}

#[async_trait]
impl TokenApi for TfcClient {
    async fn whoami(&self, access: &Access) -> Result<Identity, ApiError> {
        let answer = self.get(access, paths::ACCOUNT_DETAILS).await?;
        self.read(access, &answer, wire::identity)
    }

    async fn whoami_in_background(&self, access: &Access) -> Result<Identity, ApiError> {
        let call = self.call(access, Verb::Get, paths::ACCOUNT_DETAILS, Repeat::Harmless);
        let answer = self.caller.call(Call { urgency: Urgency::Background, ..call }).await?;
        self.read(access, &answer, wire::identity)
    }

    async fn create(&self, access: &Access, request: &CreateToken) -> Result<Issued, ApiError> {
        let path = paths::create(&request.owner, request.credential_type)?;
        let body = Some(wire::create_body(request));
        // Whoever waits has a deadline of its own; a token that comes later is kept for the next opener rather than lost.
        let patience = self.settings.create_patience;
        let answer = match self
            .caller
            .call(Call { body, patience, ..self.call(access, Verb::Post, &path, Repeat::Harmful) })
            .await
        {
            Err(mut error)
                if error.kind == ApiErrorKind::NotVisible && request.credential_type == CredentialType::Team =>
            {
                // Never the legacy endpoint instead: it would kill the token in the team's slot.
                error.detail +=
                    ": old TFE (before 1.1, which has no described team tokens: use team_legacy) or missing right";
                return Err(error);
            }
            other => other?,
        };
        wire::issued(&answer.body, answer.date).map_err(|why| self.caller.nonsense(access, &answer, &why, true))
    }

    /// A repeat may find gone what the first attempt deleted: then the error is [`ApiErrorKind::NotVisible`] with an unknown
    /// effect.
    async fn revoke(&self, access: &Access, id: &TokenId) -> Result<(), ApiError> {
        let path = paths::token(&id.0)?;
        let call = self.call(access, Verb::Delete, &path, Repeat::Harmless);
        self.caller.call(Call { urgency: Urgency::Background, ..call }).await.map(drop)
    }

    /// Upstream answers 404 both to an empty slot and to one that it hides: both are `None` here. Who must tell them apart asks with a
    /// token that has made something in that slot before.
    async fn slot(&self, access: &Access, owner: &Owner) -> Result<Option<SlotToken>, ApiError> {
        let path = paths::slot(owner)?;
        let call = Call { may_be_absent: true, ..self.call(access, Verb::Get, &path, Repeat::Harmless) };
        let answer = self.caller.call(call).await?;
        if answer.status == 404 { Ok(None) } else { self.read(access, &answer, wire::shown_token) }
    }

    /// Not repeated after a lost answer: somebody may have filled the slot again.
    async fn revoke_slot(&self, access: &Access, owner: &Owner) -> Result<(), ApiError> {
        let path = paths::slot(owner)?;
        self.caller.call(self.call(access, Verb::Delete, &path, Repeat::Harmful)).await.map(drop)
    }

    async fn list(&self, access: &Access, owner: &Owner, organization: Option<&str>) -> Result<Vec<Listed>, ApiError> {
        let deadline = Instant::now() + self.settings.call_deadline * LIST_FACTOR;
        match owner {
            // Has a slot and nothing else.
            Owner::Organization { .. } => Ok(Vec::new()),
            Owner::User { id } => {
                let entries = self.all(access, &paths::user_tokens(id)?, Urgency::Background, deadline).await?;
                Ok(entries.iter().filter_map(wire::listed).collect())
            }
            Owner::Team { id } => {
                let found = match organization {
                    Some(name) => Some(name.to_owned()),
                    None => self.team_organization(access, id).await?,
                };
                let organization = found.ok_or_else(|| {
                    let detail = "the tokens of a team are listed by its organization, and upstream does not name it: set organization in the role";
                    ApiError::new(ApiErrorKind::Invalid, detail)
                })?;
                let entries =
                    self.all(access, &paths::team_tokens(&organization)?, Urgency::Background, deadline).await?;
                Ok(entries.iter().filter(|e| wire::is_minted_for(e, id)).filter_map(wire::listed).collect())
            }
        }
    }

    async fn team_id(&self, access: &Access, organization: &str, team: &str) -> Result<Option<String>, ApiError> {
        let deadline = self.deadline();
        let find = |entries: Vec<Value>| entries.iter().find_map(|entry| wire::team_named(entry, team));
        match self.all(access, &paths::teams_named(organization, team)?, Urgency::Awaited, deadline).await {
            Ok(entries) => {
                if let Some(id) = find(entries) {
                    return Ok(Some(id));
                }
            }
            // A server that does not know the filter.
            Err(error) if error.kind == ApiErrorKind::Invalid => {}
            Err(error) => return Err(error),
        }
        // The filter misses some teams, e.g. "owners" for organization tokens.
        Ok(find(self.all(access, &paths::teams(organization)?, Urgency::Awaited, deadline).await?))
    }

    async fn team_organization(&self, access: &Access, team_id: &str) -> Result<Option<String>, ApiError> {
        let answer = self.get(access, &paths::team(team_id)?).await?;
        self.read(access, &answer, wire::team_organization)
    }
}
