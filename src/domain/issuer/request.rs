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

/// When our lease of a token ends that upstream ends at `end`: before it, by the margin that it was to have.
pub(super) fn own_end(end: Timestamp) -> Timestamp {
    end.checked_sub(UPSTREAM_MARGIN).unwrap_or(end)
}

/// Whether upstream accepts a token and ends it when we asked, or earlier, yet late enough to be of use at `now`.
///
/// # Errors
/// [`ApiErrorKind::Lifetime`]: it ends later, or never, or at once, or lives too long for the organization.
pub(super) fn check_lifetime(issued: &Issued, asked: Timestamp, now: Timestamp) -> Result<(), ApiError> {
    let detail = match issued.expires_at {
        _ if issued.is_ttl_rejected => {
            "it lives longer than the organization allows; of a role, lower max_ttl".to_owned()
        }
        None => format!("asked for {asked}, got none; servers before TFE v202305-1 cannot end tokens"),
        Some(end) if end > later(asked, LIFETIME_TOLERANCE) => {
            format!("asked for {asked}, got {end}, which is later; something in between changes requests")
        }
        Some(end) if own_end(end) <= now => {
            format!(
                "asked for {asked}, got {end}, and it is {now} here; compare the clocks, and the organization's maximum"
            )
        }
        Some(_) => return Ok(()),
    };
    Err(ApiError::new(ApiErrorKind::Lifetime, detail))
}
