//! What came in. Holds no secret: a token is named by its id, and paths are searched for token shapes.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use super::owner::Owner;
use super::route::Route;

/// A request as the server saw it.
#[derive(Debug, Clone, Serialize)]
pub struct Logged {
    /// `GET`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Which route; `None` for unknown paths.
    pub route: Option<Route>,
    /// Id of the token it carried; `None` if it carried none, or none that was ever made here.
    pub token_id: Option<String>,
    /// The owner of that token.
    pub owner: Option<Owner>,
    /// Server time of arrival.
    pub at: Timestamp,
    /// Real time of arrival.
    #[serde(skip)]
    pub arrived: Instant,
    /// The answer's status; `None` while there is none, and when the connection was closed instead.
    pub status: Option<u16>,
}

/// A request that followed a redirect to another host.
#[derive(Debug, Clone, Serialize)]
pub struct Trapped {
    /// `GET`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Whether it brought the `Authorization` header along, which it must not.
    pub had_authorization: bool,
}

/// All requests since the start, or since the log was cleared.
#[derive(Default)]
pub struct RequestLog {
    entries: Vec<Logged>,
    cleared: usize,
}

impl RequestLog {
    /// Notes a request and returns the number by which its end is noted.
    pub fn add(&mut self, logged: Logged) -> usize {
        self.entries.push(logged);
        self.cleared + self.entries.len() - 1
    }

    /// Notes the answer's status.
    pub fn finish(&mut self, number: usize, status: u16) {
        let entry = number.checked_sub(self.cleared).and_then(|index| self.entries.get_mut(index));
        if let Some(entry) = entry {
            entry.status = Some(status);
        }
    }

    /// Oldest first.
    pub fn entries(&self) -> &[Logged] {
        &self.entries
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.cleared += self.entries.len();
        self.entries.clear();
    }
}

/// The most of `times` (ascending) in any span of less than one second.
pub fn most_in_one_second(times: impl Iterator<Item = Instant>) -> usize {
    let times: Vec<_> = times.collect();
    let mut start = 0;
    let mut most = 0;
    for (end, time) in times.iter().enumerate() {
        while time.duration_since(times[start]) >= Duration::from_secs(1) {
            start += 1;
        }
        most = most.max(end + 1 - start);
    }
    most
}
