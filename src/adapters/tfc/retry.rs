//! Whether and when a call is repeated. Pure: the moment and the dice come in as arguments.

use std::time::{Duration, SystemTime};

/// What a repeat of a call could do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Nothing that the first did not: GET, DELETE of one token by its id.
    Harmless,
    /// Make a second token, or kill one that somebody else just made.
    Harmful,
}

/// How an attempt failed, as far as repeating goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection (refused, no such host): nothing was sent, and it shows fast.
    NotSent,
    /// Connection lost, or a 5xx; upstream may ask for a pause.
    Trouble {
        /// `Retry-After`.
        pause: Option<Duration>,
    },
    /// Nothing that a repeat could better: 4xx, TLS, nonsense, deadline.
    Final,
}

/// Repeats after the first attempt, at most.
pub(super) const MAX_REPEATS: u32 = 3;

/// Shortest and longest pause of our own.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Longest pause that a header can impose. Longer ones are nonsense (a Unix time, say) or told again by the next 429.
pub(super) const LONGEST_IMPOSED: Duration = Duration::from_secs(60);

/// Shortest pause after a 429: the reset is often given as `0.0`.
const SHORTEST_IMPOSED: Duration = Duration::from_millis(100);

/// Pause after a 429 that says nothing: the window is one second.
const UNTOLD: Duration = Duration::from_secs(1);

/// Pause before repeat number `repeat` (from 1), or `None` to give up. `remaining` is the time to the deadline, `dice`
/// lies in 0..1. A 429 is not decided here: the rate limiter holds every caller of that owner back (see
/// [`imposed_pause`]).
pub(super) fn pause_before(
    repeat: u32,
    kind: Repeat,
    failure: Failure,
    remaining: Duration,
    dice: f64,
) -> Option<Duration> {
    let allowed = match (kind, failure) {
        (_, Failure::Final) | (Repeat::Harmful, Failure::Trouble { .. }) => 0,
        (Repeat::Harmful, Failure::NotSent) => 1,
        (Repeat::Harmless, _) => MAX_REPEATS,
    };
    if repeat > allowed {
        return None;
    }
    let full = FIRST_PAUSE.saturating_mul(1 << repeat.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    // Half fixed, half dice: never at once, never in step with others.
    let own = full.mul_f64(0.5 + 0.5 * dice.clamp(0.0, 1.0));
    let pause = match failure {
        Failure::Trouble { pause: Some(asked) } => own.max(asked),
        _ => own,
    };
    (pause < remaining).then_some(pause)
}

/// How long a 429 closes an owner's gate: the larger of both headers, within bounds, plus up to 300 ms by dice so that
/// several hosts do not come back together.
pub(super) fn imposed_pause(reset: Option<Duration>, retry_after: Option<Duration>, dice: f64) -> Duration {
    let told = reset.max(retry_after).unwrap_or(UNTOLD);
    told.clamp(SHORTEST_IMPOSED, LONGEST_IMPOSED) + Duration::from_millis(300).mul_f64(dice.clamp(0.0, 1.0))
}

/// `X-RateLimit-Reset`: seconds until the reset, a decimal fraction. `None` for what is no such number.
pub(super) fn parse_reset(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok()?;
    if seconds.is_nan() || seconds < 0.0 {
        return None;
    }
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_IMPOSED).min(LONGEST_IMPOSED))
}

/// `Retry-After`: seconds, also fractional, or a date. `now` should be the server's own `Date`, so that a wrong clock
/// here does no harm.
pub(super) fn parse_retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    parse_reset(text).or_else(|| {
        let date = httpdate::parse_http_date(text.trim()).ok()?;
        Some(date.duration_since(now).unwrap_or_default().min(LONGEST_IMPOSED))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_create_is_never_repeated_once_sent() {
        let trouble = Failure::Trouble { pause: None };
        assert_eq!(pause_before(1, Repeat::Harmful, trouble, LONG, 0.0), None);
        assert!(pause_before(1, Repeat::Harmful, Failure::NotSent, LONG, 0.0).is_some());
        assert_eq!(pause_before(2, Repeat::Harmful, Failure::NotSent, LONG, 0.0), None);
        assert!(pause_before(MAX_REPEATS, Repeat::Harmless, trouble, LONG, 0.0).is_some());
        assert_eq!(pause_before(MAX_REPEATS + 1, Repeat::Harmless, trouble, LONG, 0.0), None);
        assert_eq!(pause_before(1, Repeat::Harmless, Failure::Final, LONG, 0.0), None);
    }

    #[test]
    fn pauses_grow_jitter_and_end_before_the_deadline() {
        let pause = |n, dice| pause_before(n, Repeat::Harmless, Failure::NotSent, LONG, dice).unwrap();
        assert_eq!(pause(1, 0.0), Duration::from_millis(100));
        assert_eq!(pause(1, 1.0), Duration::from_millis(200));
        assert_eq!(pause(3, 1.0), Duration::from_millis(800));
        assert_eq!(pause(1, f64::INFINITY), Duration::from_millis(200));
        let short = Duration::from_millis(100);
        assert_eq!(pause_before(1, Repeat::Harmless, Failure::NotSent, short, 0.0), None);
    }

    #[test]
    fn a_pause_asked_for_is_kept_or_the_call_given_up() {
        let asked = Failure::Trouble { pause: Some(Duration::from_secs(5)) };
        assert_eq!(pause_before(1, Repeat::Harmless, asked, LONG, 1.0), Some(Duration::from_secs(5)));
        assert_eq!(pause_before(1, Repeat::Harmless, asked, Duration::from_secs(4), 1.0), None);
    }

    #[test]
    fn reset_survives_everything() {
        assert_eq!(parse_reset("0.413"), Some(Duration::from_millis(413)));
        assert_eq!(parse_reset(" 1.0 "), Some(Duration::from_secs(1)));
        for text in ["", "soon", "-1", "-0.5", "NaN", "nan", "1,5", "0x10", "-inf"] {
            assert_eq!(parse_reset(text), None, "{text}");
        }
        for text in ["1787000000", "1e300", "inf", "Infinity", "99999999999999999999999"] {
            assert_eq!(parse_reset(text), Some(LONGEST_IMPOSED), "{text}");
        }
    }

    #[test]
    fn retry_after_in_every_form() {
        let now = httpdate::parse_http_date("Fri, 15 May 2026 15:34:20 GMT").unwrap();
        assert_eq!(parse_retry_after("1.5", now), Some(Duration::from_millis(1500)));
        assert_eq!(parse_retry_after("Fri, 15 May 2026 15:34:25 GMT", now), Some(Duration::from_secs(5)));
        assert_eq!(parse_retry_after("Fri, 15 May 2026 15:34:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("Fri, 15 May 2099 15:34:00 GMT", now), Some(LONGEST_IMPOSED));
        assert_eq!(parse_retry_after("tomorrow", now), None);
    }

    #[test]
    fn imposed_pauses_have_bounds_and_a_default() {
        assert_eq!(imposed_pause(None, None, 0.0), UNTOLD);
        assert_eq!(imposed_pause(Some(Duration::ZERO), None, 0.0), SHORTEST_IMPOSED);
        assert_eq!(imposed_pause(Some(LONG), None, 0.0), LONGEST_IMPOSED);
        let (small, large) = (Duration::from_millis(400), Duration::from_secs(2));
        assert_eq!(imposed_pause(Some(small), Some(large), 0.0), large);
        assert_eq!(imposed_pause(Some(small), None, 1.0), Duration::from_millis(700));
    }
}
