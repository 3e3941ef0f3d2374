//! What follows the end of a server: another one, now or later, or giving up. Whoever reads waits meanwhile.

use std::time::Duration;

use crate::exit::ExitCode;

/// Nobody may be kept waiting for longer than that without anybody who serves: then the mount goes, and readers get an error.
pub const UNSERVED: Duration = Duration::from_secs(20);

/// A server that served so long was a good one: whatever ended it, another one will serve as well.
pub const GROWN_UP: Duration = Duration::from_millis(250);

/// A state that is in use at the first start may be that of a server that is just ending; for so long it is tried again.
const IN_USE: Duration = Duration::from_secs(5);

/// The pause after the second early death in a row; it doubles. There is none after the first.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// How long it has served; `None` if it never did.
    pub served: Option<Duration>,
    /// Its exit code; `None` if a signal ended it, or if that is not known.
    pub code: Option<i32>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Start another one at once.
    Now,
    /// After a pause.
    After(Duration),
    /// Nobody will serve.
    GiveUp,
}

/// What happened so far.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// Deaths in a row of servers that did not grow up.
    early: u32,
    /// Whether any one has ever served.
    served: bool,
}

impl Past {
    /// Whether any server has ever served.
    pub fn has_served(&self) -> bool {
        self.served
    }

    /// Judges a death, `unserved` after the last moment at which a good server served.
    pub fn after(&mut self, death: Death, unserved: Duration) -> Next {
        self.served |= death.served.is_some();
        if death.served.is_some_and(|served| served >= GROWN_UP) {
            self.early = 0;
            return Next::Now;
        }
        // It has said why, and will say so again: bad settings, another key, no state.
        let ending = death.code == Some(ExitCode::InUse as i32) && unserved < IN_USE;
        if !self.served && death.code.is_some() && !ending {
            return Next::GiveUp;
        }
        self.early += 1;
        let pause = match self.early {
            1 => return Next::Now,
            early => (FIRST_PAUSE * 2u32.saturating_pow((early - 2).min(10))).min(LONGEST_PAUSE),
        };
        if unserved + pause > UNSERVED { Next::GiveUp } else { Next::After(pause) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: Option<i32> = None;

    fn death(served: Option<u64>, code: Option<i32>) -> Death {
        Death { served: served.map(Duration::from_millis), code }
    }

    #[test]
    fn a_good_server_is_replaced_at_once() {
        let mut past = Past::default();
        for _ in 0..1000 {
            assert_eq!(past.after(death(Some(250), KILLED), Duration::ZERO), Next::Now);
        }
    }

    #[test]
    fn early_deaths_are_followed_by_longer_and_longer_pauses_and_then_by_nobody() {
        let mut past = Past::default();
        assert_eq!(past.after(death(Some(10), KILLED), Duration::ZERO), Next::Now);
        let mut unserved = Duration::ZERO;
        let mut pauses = Vec::new();
        while let Next::After(pause) = past.after(death(Some(10), KILLED), unserved) {
            pauses.push(pause.as_millis());
            unserved += pause;
        }
        assert_eq!(pauses[..7], [50, 100, 200, 400, 800, 1600, 2000]);
        assert!(unserved <= UNSERVED && unserved + LONGEST_PAUSE > UNSERVED, "{unserved:?}");
        // A good one makes it all forgotten.
        assert_eq!(past.after(death(Some(5000), KILLED), Duration::ZERO), Next::Now);
        assert_eq!(past.after(death(Some(10), KILLED), Duration::ZERO), Next::Now);
        assert_eq!(past.after(death(Some(10), KILLED), Duration::ZERO), Next::After(FIRST_PAUSE));
    }

    #[test]
    fn a_first_start_that_says_what_is_wrong_is_not_repeated() {
        assert_eq!(Past::default().after(death(None, Some(5)), Duration::ZERO), Next::GiveUp);
        assert_eq!(Past::default().after(death(None, KILLED), Duration::ZERO), Next::Now);
        let mut past = Past::default();
        past.after(death(Some(5000), KILLED), Duration::ZERO);
        assert_eq!(past.after(death(None, Some(6)), Duration::ZERO), Next::Now, "it served before");
    }

    #[test]
    fn a_state_in_use_at_the_first_start_may_be_let_go_in_a_moment() {
        let mut past = Past::default();
        assert_eq!(past.after(death(None, Some(8)), Duration::ZERO), Next::Now);
        assert_eq!(past.after(death(None, Some(8)), Duration::from_secs(1)), Next::After(FIRST_PAUSE));
        assert_eq!(past.after(death(None, Some(8)), IN_USE), Next::GiveUp);
    }
}
