//! What the domain needs from outside, in its own words. Implementations are in `adapters`; tests have their own.

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;

use super::anchor::{Access, Identity};
use super::owner::{CredentialType, Owner};
use super::token::{Issued, Listed, SlotToken, TokenId};

/// Upstream: makes, lists and deletes tokens. Every method has a deadline of its own and keeps the rate limit of the
/// access's owner, where calls that nobody waits for (deletions by id, lists, [`Self::whoami_in_background`]) come after all
/// others; a retry happens inside only where a repeat cannot make a second token (reference 1.8).
#[async_trait]
pub trait TokenApi: Send + Sync {
    /// Whose token is this? The validation call (`account/details`).
    ///
    /// # Errors
    /// [`ApiErrorKind::Unauthorized`] when the token is dead.
    async fn whoami(&self, access: &Access) -> Result<Identity, ApiError>;

    /// The same for nobody who waits.
    ///
    /// # Errors
    /// See [`Self::whoami`].
    async fn whoami_in_background(&self, access: &Access) -> Result<Identity, ApiError> {
        self.whoami(access).await
    }

    /// Makes a token. `description` is sent for minted types only; `expires_at` always.
    ///
    /// The caller compares [`Issued::expires_at`] with what it asked for.
    ///
    /// # Errors
    /// [`ApiError::effect`] says whether a token may exist now.
    async fn create(&self, access: &Access, request: &CreateToken) -> Result<Issued, ApiError>;

    /// Deletes a minted token by its id. An id that is already gone is an error of kind
    /// [`ApiErrorKind::NotVisible`]; the caller decides what that proves (DESIGN 8.3).
    async fn revoke(&self, access: &Access, id: &TokenId) -> Result<(), ApiError>;

    /// Which token is in the slot of `owner` now; `None` when it is empty.
    async fn slot(&self, access: &Access, owner: &Owner) -> Result<Option<SlotToken>, ApiError>;

    /// Empties the slot of `owner`, whoever filled it.
    async fn revoke_slot(&self, access: &Access, owner: &Owner) -> Result<(), ApiError>;

    /// All minted tokens of `owner`, every page. `organization` is needed for teams (reference 2.1).
    async fn list(&self, access: &Access, owner: &Owner, organization: Option<&str>) -> Result<Vec<Listed>, ApiError>;

    /// The id of a team by its exact name; `None` when there is none that this token may see.
    async fn team_id(&self, access: &Access, organization: &str, team: &str) -> Result<Option<String>, ApiError>;

    /// The organization that a team belongs to.
    async fn team_organization(&self, access: &Access, team_id: &str) -> Result<Option<String>, ApiError>;
}

/// The token to make.
#[derive(Debug, Clone)]
pub struct CreateToken {
    /// Whose.
    pub owner: Owner,
    /// Which kind; decides the endpoint.
    pub credential_type: CredentialType,
    /// Unique text, the only handle on a token whose answer was lost. Ignored for slots.
    pub description: String,
    /// The end upstream shall enforce, whole seconds.
    pub expires_at: Timestamp,
}

/// Whether a failed call may have had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Certainly none: nothing was sent, or upstream said no.
    None,
    /// Unknown: the answer was lost, cut, or a 5xx. Whoever called must find out.
    Unknown,
}

/// Kinds of upstream failure, as far as the domain treats them differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiErrorKind {
    /// 401: the token we call with is dead.
    Unauthorized,
    /// 403 or 404: absent, or hidden from us.
    NotVisible,
    /// No route, no such host, connection lost.
    Unreachable,
    /// Connection refused.
    Refused,
    /// TLS failed, e.g. an unknown CA.
    Tls,
    /// Deadline passed.
    Timeout,
    /// 429 for longer than the deadline, or our own budget is exhausted within it.
    RateLimited,
    /// 400, 415, 422: the request itself was refused.
    Invalid,
    /// 422 because the description is taken; another suffix helps.
    DescriptionTaken,
    /// The answer's `expired-at` is not what was asked for.
    Lifetime,
    /// 5xx, redirects, nonsense.
    Remote,
}

/// An upstream failure. Holds nothing secret: bodies are cut and token shapes removed before they get here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind:?}: {detail}")]
pub struct ApiError {
    /// What kind.
    pub kind: ApiErrorKind,
    /// Whether something may have happened upstream.
    pub effect: Effect,
    /// Status and upstream's own words, short; may be empty.
    pub detail: String,
    /// `X-Request-Id`, to join our log with upstream's.
    pub request_id: Option<String>,
}

impl ApiError {
    /// An error without effect.
    pub fn new(kind: ApiErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, effect: Effect::None, detail: detail.into(), request_id: None }
    }

    /// The same with an effect that is unknown.
    pub fn with_unknown_effect(mut self) -> Self {
        self.effect = Effect::Unknown;
        self
    }
}

/// Durable memory with compare-and-swap, the only primitive that both a file and etcd have.
///
/// Keys are printable text (see [`super::ledger`]), values opaque bytes. A commit is all or nothing and durable when
/// it returns.
#[async_trait]
pub trait Store: Send + Sync {
    /// Everything, in key order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn load(&self) -> Result<Vec<Record>, StoreError>;

    /// Applies all changes if every expectation holds, and returns the version that the written records have now.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if an expectation failed; then nothing was changed.
    async fn commit(&self, changes: Vec<Change>) -> Result<Version, StoreError>;
}

/// Grows with every commit of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u64);

/// A stored value.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub value: Vec<u8>,
    /// Of the commit that wrote it.
    pub version: Version,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} v{}, {} bytes)", self.key, self.version.0, self.value.len())
    }
}

/// What a change expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Anything, or nothing.
    Any,
    /// No record.
    Absent,
    /// The record of that version.
    Version(Version),
}

impl Expect {
    /// Whether this holds for a record of version `found`, or for its absence.
    pub fn holds(self, found: Option<Version>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => found.is_none(),
            Self::Version(version) => found == Some(version),
        }
    }
}

/// One change of a commit.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// Which record.
    pub key: String,
    /// What must be there now.
    pub expect: Expect,
    /// The new bytes; `None` removes the record.
    pub value: Option<Vec<u8>>,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.as_ref().map(Vec::len);
        write!(f, "Change({} {:?} -> {value:?} bytes)", self.key, self.expect)
    }
}

/// Why the store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// An expectation did not hold: somebody else was faster.
    #[error("the record was changed meanwhile")]
    Conflict,
    /// The medium failed: full, read-only, gone.
    #[error("{0}")]
    Unavailable(String),
    /// Somebody else has it open.
    #[error("{0}")]
    InUse(String),
    /// The bytes are not ours, truncated or tampered with, or the key is wrong.
    #[error("{0}")]
    Corrupt(String),
}

/// The wall clock. Ends are wall-clock times, so that they survive a suspend (DESIGN 11).
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Time since some moment of this machine's run, by a clock that nobody sets and that counts a suspend. For telling a
    /// step of the wall clock from the passing of time, never for ends.
    fn running(&self) -> std::time::Duration;

    /// Returns once the wall clock has reached `end`, also if it was stepped or the machine slept meanwhile; at a step it
    /// may return early, so that the caller looks again.
    async fn sleep_until(&self, end: Timestamp);
}
