//! What is asked of upstream when a token is made, and whether the answer keeps to it. Pure.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::lease::{LeaseRecord, later};
use crate::domain::ports::{ApiError, ApiErrorKind};
use crate::domain::role::UPSTREAM_MARGIN;
use crate::domain::timeline::earlier;
use crate::domain::token::Issued;

/// How far upstream's `expired-at` may be from what we asked: it stores milliseconds, we send seconds.
pub(super) const LIFETIME_TOLERANCE: Duration = Duration::from_secs(2);

/// Less than this is the time that an answer takes, and the whole seconds of `Date`.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

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

/// By how much upstream's clock is ahead of `now`, if that shortens a token's life. A clock that is behind lengthens it,
/// which is no harm: we delete it at our own end.
pub(super) fn clock_ahead(issued: &Issued, now: Timestamp) -> Option<Duration> {
    let ahead = Duration::try_from(now.duration_until(issued.answered_at?)).ok()?;
    (ahead > CLOCK_TOLERANCE).then_some(ahead)
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
        Some(end) if own_end(earlier(end, clock_ahead(issued, now).unwrap_or_default())) <= now => {
            let there = issued.answered_at.map(|at| format!(", {at} there")).unwrap_or_default();
            format!("it ends {end}, and it is {now} here{there}; set the clocks right, or allow longer lives")
        }
        Some(_) => return Ok(()),
    };
    Err(ApiError::new(ApiErrorKind::Lifetime, detail))
}
