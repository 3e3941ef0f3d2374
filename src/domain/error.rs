//! What can go wrong, from the reader's side. Every value turns into one sentence that says what to do; which errno it
//! becomes is the business of the layer above (DESIGN 7).

use std::fmt;
use std::time::Duration;

use super::document::DocumentError;
use super::name::{AnchorName, RoleName};
use super::owner::Owner;
use super::ports::{ApiError, ApiErrorKind, StoreError};

/// How a lease ended under an open handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Its time was over.
    Expired,
    /// Somebody revoked it, or rotated its slot.
    Revoked,
}

/// Why a request failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No such role or path.
    #[error("there is no {what}; `ls` of the directory shows what there is")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// The anchor a role names is not configured.
    #[error("no anchor \"{0}\" is configured: write a token to the file config first (see README)")]
    NoAnchor(AnchorName),
    /// Upstream said no, or could not be asked.
    #[error("{}", UpstreamSentence(.error, .owner))]
    Upstream {
        /// What upstream said.
        error: ApiError,
        /// On whose behalf we asked.
        owner: Option<Owner>,
    },
    /// No answer within the deadline; the work goes on and helps the next open.
    #[error("no answer within {0:?}; what was asked for goes on, so try again in a moment")]
    Deadline(Duration),
    /// The answer to the regeneration of an organization's token was lost, and that token is our anchor.
    #[error(
        "the answer to regenerating the token of {owner} was lost, so anchor \"{anchor}\" may be dead: look at status, and if upstream refuses it, write a new token to config [{}]",
        .error.detail
    )]
    AnchorMayBeDead {
        /// The anchor.
        anchor: AnchorName,
        /// Whose token it is.
        owner: Owner,
        /// What the call met.
        error: ApiError,
    },
    /// The caller may not.
    #[error("{0}")]
    NotAllowed(String),
    /// The lease of this handle has ended.
    #[error("{}", match .0 {
        Ended::Expired => "the token of this open file has reached its end; open the file again for a new one",
        Ended::Revoked => "the token of this open file was revoked or rotated; open the file again for a new one",
    })]
    LeaseEnded(Ended),
    /// `max_leases` reached.
    #[error(
        "role \"{role}\" has {limit} live leases, its limit; use a wider share (share = \"role\"), close files, or raise max_leases"
    )]
    TooManyLeases {
        /// The role.
        role: RoleName,
        /// Its limit.
        limit: u32,
    },
    /// Rotation too soon after the last.
    #[error("the last rotation was less than {interval:?} ago; try again later or lower min_rotation_interval")]
    RotationTooSoon {
        /// The configured distance.
        interval: Duration,
    },
    /// A role whose every open is fresh.
    #[error(
        "every open of role \"{0}\" already gets a token of its own (share = \"open\"): there is nothing to rotate; remove its files in leases/ to revoke them"
    )]
    NothingToRotate(RoleName),
    /// Would kill the token we call with.
    #[error(
        "this would destroy our own anchor \"{0}\": it lives in the slot that the role would regenerate; give the anchor a token of another owner"
    )]
    WouldKillAnchor(AnchorName),
    /// Belongs to the configuration file.
    #[error("{what} comes from the configuration file and is read-only here; change it there and reload (SIGHUP)")]
    OwnedByFile {
        /// `role "x"` or `anchor "x"`.
        what: String,
    },
    /// Never possible on this path.
    #[error("{0}")]
    NotSupported(String),
    /// Nothing is made any more.
    #[error("the daemon is stopping")]
    Stopping,
    /// A defect of ours.
    #[error("an internal error stopped this; the log has it: please report it")]
    Internal,
    /// A document was refused.
    #[error("{0}")]
    Document(#[from] DocumentError),
    /// The ledger cannot be written. What is held goes on.
    #[error(
        "the ledger cannot be written ({0}): nothing new can be issued until the state directory is writable; tokens already held stay readable"
    )]
    Ledger(#[from] StoreError),
}

/// Puts the cause of an upstream failure and the way out into one sentence.
struct UpstreamSentence<'a>(&'a ApiError, &'a Option<Owner>);

impl fmt::Display for UpstreamSentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(error, owner) = self;
        let owner = owner.as_ref().map(ToString::to_string).unwrap_or_else(|| "what was asked for".into());
        match error.kind {
            ApiErrorKind::Unauthorized => {
                write!(
                    f,
                    "upstream refuses the anchor token (401): it is revoked, expired or switched off; write a good one to config"
                )?;
            }
            ApiErrorKind::NotVisible => write!(
                f,
                "{owner} does not exist or this token may not see it (upstream answers the same to both); check the id and the rights of the anchor"
            )?,
            ApiErrorKind::Unreachable => write!(f, "upstream cannot be reached; check address, network and proxy")?,
            ApiErrorKind::Refused => write!(f, "upstream refused the connection; check address and port")?,
            ApiErrorKind::Tls => write!(f, "the TLS connection to upstream failed; for a private CA set ca_file")?,
            ApiErrorKind::Timeout => write!(f, "upstream did not answer in time; the next open tries again")?,
            ApiErrorKind::RateLimited => {
                write!(f, "upstream's rate limit is exhausted; try again, or use a wider share")?
            }
            ApiErrorKind::Invalid => write!(
                f,
                "upstream refuses what the role asks of {owner}; change the role, max_ttl or description most likely"
            )?,
            ApiErrorKind::DescriptionTaken => write!(f, "upstream knows every description we tried for {owner}")?,
            ApiErrorKind::Lifetime => write!(
                f,
                "upstream gave the token another end than we asked for, or does not accept it, so it was revoked"
            )?,
            ApiErrorKind::Remote => write!(
                f,
                "upstream failed or gave no usable answer; the next open tries again, and if that does not help, ask its operator"
            )?,
        }
        if !error.detail.is_empty() {
            write!(f, " [{}]", error.detail)?;
        }
        if let Some(id) = &error.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

impl Error {
    /// Wraps a port's error with the owner it was about.
    pub fn upstream(error: ApiError, owner: Option<&Owner>) -> Self {
        Self::Upstream { error, owner: owner.cloned() }
    }

    /// For paths that do not exist.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }
}
