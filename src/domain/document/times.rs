//! Times as people write them, and as we write them.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};

/// Longest time that makes sense anywhere here: ten years.
const ABSURD: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// How to write one, for messages.
const FORMS: &str = "write seconds, or text such as \"90m\", \"1h30m\", \"7d\"";

/// Whole seconds; the message continues a sentence that begins with the key.
pub(super) fn from_seconds(seconds: i64) -> Result<Duration, String> {
    checked(SignedDuration::from_secs(seconds))
}

/// Text with units. A day has 24 hours and a week seven days; months and years have no fixed length.
pub(super) fn from_text(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return from_seconds(seconds);
    }
    let span: Span = text.parse().map_err(|_| format!("is not a time; {FORMS}"))?;
    if span.get_months() != 0 || span.get_years() != 0 {
        return Err(format!("is not a time; {FORMS} (months and years differ in length)"));
    }
    let time = span.to_duration(SpanRelativeTo::days_are_24_hours());
    checked(time.map_err(|_| format!("is not a time; {FORMS}"))?)
}

fn checked(time: SignedDuration) -> Result<Duration, String> {
    let time = Duration::try_from(time).map_err(|_| "is negative; a time cannot be")?;
    if time > ABSURD {
        return Err("is more than ten years; tokens here are meant to be short-lived".into());
    }
    if time.subsec_nanos() != 0 {
        return Err("must be whole seconds".into());
    }
    Ok(time)
}

/// Days, hours, minutes or seconds: the largest unit that divides it.
pub(super) fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    for (unit, name) in [(24 * 3600, "d"), (3600, "h"), (60, "m")] {
        if seconds > 0 && seconds.is_multiple_of(unit) {
            return format!("{}{name}", seconds / unit);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, seconds) in [
            ("3600", 3600),
            ("1h", 3600),
            ("90m", 5400),
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("24h", 86_400),
            ("7d", 604_800),
            ("1d12h", 129_600),
            ("1w", 604_800),
            (" 10s ", 10),
            ("0", 0),
            ("2 hours", 7200),
        ] {
            assert_eq!(from_text(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn refusals() {
        for (text, part) in [
            ("-1h", "negative"),
            ("-5", "negative"),
            ("1h ago", "negative"),
            ("11y", "months and years"),
            ("6000d", "ten years"),
            ("999999999999", "ten years"),
            ("1.5s", "whole seconds"),
            ("10ms", "whole seconds"),
            ("soon", "not a time"),
            ("", "not a time"),
            ("1x", "not a time"),
        ] {
            assert!(from_text(text).unwrap_err().contains(part), "{text}: {:?}", from_text(text));
        }
    }

    #[test]
    fn shown_times_read_back() {
        for seconds in [1, 59, 60, 61, 3600, 3660, 86_400, 90_000, 604_800, 5_000_001] {
            let time = Duration::from_secs(seconds);
            assert_eq!(from_text(&shown(time)), Ok(time));
        }
    }
}
