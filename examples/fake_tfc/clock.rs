//! The server's clock: real time plus what tests added.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// Advances with real time and by leaps. Monotonic underneath, so that the machine's clock cannot disturb a test.
#[derive(Debug)]
pub struct Clock {
    started: Timestamp,
    since: Instant,
    leap: SignedDuration,
}

impl Clock {
    /// Starts at the machine's time.
    pub fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the fake's own clock")]
        let started = Timestamp::now();
        Self { started, since: Instant::now(), leap: SignedDuration::ZERO }
    }

    /// What the server thinks it is.
    pub fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.since.elapsed()).expect("a test ends within centuries");
        self.started + passed + self.leap
    }

    /// Leaps forward.
    pub fn advance(&mut self, by: Duration) {
        self.leap += SignedDuration::try_from(by).expect("a leap of less than centuries");
    }
}

/// ISO 8601 in UTC with milliseconds, as upstream writes it.
pub fn iso(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The `Date` header's format.
pub fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Cut to milliseconds, which is all that upstream stores.
pub fn whole_milliseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).expect("a rounded time is in range")
}
