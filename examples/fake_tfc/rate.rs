//! The rate limit: a window of one second for each user.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::owner::Owner;

const WINDOW: SignedDuration = SignedDuration::from_secs(1);

struct Window {
    opened: Timestamp,
    used: u32,
}

/// What the headers say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    pub limit: u32,
    pub remaining: u32,
    /// Seconds until the window is over.
    pub reset: f64,
    /// Whether this request was over the limit.
    pub exceeded: bool,
}

/// Counts by token owner; `None` is everybody without a token (the address, of which tests have but one).
#[derive(Default)]
pub struct Limiter {
    windows: HashMap<Option<Owner>, Window>,
}

impl Limiter {
    /// Counts a request, unless the limit is exceeded.
    pub fn take(&mut self, who: Option<&Owner>, limit: u32, now: Timestamp) -> Budget {
        let window = self.windows.entry(who.cloned()).or_insert(Window { opened: now, used: 0 });
        if now.duration_since(window.opened) >= WINDOW {
            *window = Window { opened: now, used: 0 };
        }
        let exceeded = window.used >= limit;
        if !exceeded {
            window.used += 1;
        }
        let left = WINDOW - now.duration_since(window.opened);
        Budget { limit, remaining: limit.saturating_sub(window.used), reset: left.as_secs_f64().max(0.0), exceeded }
    }
}
