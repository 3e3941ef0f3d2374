//! What the audit trail is told, and by whom it is kept: [`Auditor`] is a port of the tree. `record.rs` says what is told.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::error_id::ErrorId;
use crate::domain::name::{AnchorName, RoleName};
use crate::domain::token::Token;

/// Keeps the trail. Nothing that it is given is secret.
#[async_trait]
pub trait Auditor: Send + Sync {
    /// Whether anything is kept. Asked before every entry is made.
    fn is_on(&self) -> bool;

    /// Whether an open may be answered only when it is on record.
    fn is_required(&self) -> bool;

    /// What stands for a token in the trail: whoever has the token can find its lines, nobody can go back.
    fn token_hmac(&self, token: &Token) -> String;

    /// Queues an entry and returns at once. One that finds no room is counted, not waited for.
    fn note(&self, entry: AuditEntry);

    /// Returns once the entry is on record in every place.
    ///
    /// # Errors
    /// Why it is not. Given up, it is not put on record if that has not begun yet.
    async fn record(&self, entry: AuditEntry) -> Result<(), String>;

    /// How it goes; `None` while nothing is kept.
    fn health(&self) -> Option<AuditHealth>;
}

/// Who caused something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who {
    /// User id.
    pub uid: u32,
    /// Group id, where it is known.
    pub gid: Option<u32>,
    /// Thread id, from which process, program and unit are found; 0 = unknown.
    pub tid: u32,
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// What, in one word.
    pub event: &'static str,
    /// Who caused it; `None` = the daemon itself: time, a schedule, the settings file.
    pub who: Option<Who>,
    /// What it is about. Shared: a hit makes no copy.
    pub subject: Arc<Subject>,
    /// How an open was answered: `hit` (a token was at hand) or `made` (it waited for one).
    pub answer: Option<&'static str>,
    /// Of a denial: the name that its line in `errors` has.
    pub error_id: Option<ErrorId>,
    /// Symbol of the errno of a denial.
    pub errno: Option<&'static str>,
    /// Why, as a sentence.
    pub reason: Option<String>,
}

/// What an entry is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// Path below the mount point.
    pub path: Option<String>,
    /// The role.
    pub role: Option<RoleName>,
    /// The anchor, where its own token is meant.
    pub anchor: Option<AnchorName>,
    /// The token.
    pub token: Option<TokenFacts>,
}

/// What the trail says of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFacts {
    /// Public name of its lease; `None` for an anchor's.
    pub lease_id: Option<String>,
    /// Upstream's name of the token.
    pub token_id: Option<String>,
    /// Whose it is, where that is known.
    pub owner: Option<String>,
    /// Which kind.
    pub credential_type: Option<&'static str>,
    /// Stands for the token; `None` when we do not know it (any more).
    pub token_hmac: Option<String>,
}

/// How the trail goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditHealth {
    /// Opens that cannot be recorded are refused.
    pub required: bool,
    /// Each place where it is kept.
    pub destinations: Vec<DestinationHealth>,
}

/// How one place of the trail goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationHealth {
    /// `file` or `journald`.
    pub name: &'static str,
    /// Where that is.
    pub place: PathBuf,
    /// Lines written since the start.
    pub lines: u64,
    /// Lines that it does not have.
    pub dropped: u64,
    /// Since when attempts fail; `None` when the last one succeeded.
    pub failing_since: Option<Timestamp>,
    /// Why the last attempt failed; `None` when it succeeded.
    pub error: Option<String>,
}
