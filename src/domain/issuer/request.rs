//! What is asked of upstream when a token is made, and whether the answer keeps to it. Pure.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::lease::{LeaseRecord, later};
use crate::domain::ports::{ApiError, ApiErrorKind};
use crate::domain::role::UPSTREAM_MARGIN;
use crate::domain::token::Issued;

/// How far upstream's `expired-at` may be from what we asked: it stores milliseconds, we send seconds.
pub(super) const LIFETIME_TOLERANCE: Duration = Duration::from_secs(2);

/// `expired-at` for a lease's end: a little later, whole seconds.
pub(super) fn upstream_end(ends_at: Timestamp) -> Timestamp {
    let end = later(ends_at, UPSTREAM_MARGIN);
    Timestamp::from_second(end.as_second()).unwrap_or(end)
}

/// The upstream description: what the operator wants to read, then our mark, host, role and the random lease id, by
/// which a token whose answer was lost is found. Under 255 bytes.
pub(super) fn describe(host: &str, record: &LeaseRecord) -> String {
    let cut = |text: &str, most: usize| -> String { text.chars().take(most).collect() };
    let (text, host, role) = (cut(&record.description, 100), cut(host, 40), cut(record.role.as_str(), 60));
    format!("{text} [tfcfs {host} {role} {}]", record.id)
}

/// Whether upstream accepts a token and ends it when we asked, or earlier.
///
/// # Errors
/// [`ApiErrorKind::Lifetime`]: it ends later, or never, or lives too long for the organization.
pub(super) fn check_lifetime(issued: &Issued, asked: Timestamp) -> Result<(), ApiError> {
    let detail = match issued.expires_at {
        _ if issued.is_ttl_rejected => {
            "it lives longer than the organization allows; of a role, lower max_ttl".to_owned()
        }
        Some(end) if end <= later(asked, LIFETIME_TOLERANCE) => return Ok(()),
        end => {
            let got = end.map_or_else(|| "none".to_owned(), |end| end.to_string());
            format!("asked for {asked}, got {got}; servers before TFE v202305-1 cannot end tokens")
        }
    };
    Err(ApiError::new(ApiErrorKind::Lifetime, detail))
}
