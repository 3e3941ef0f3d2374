//! The wall clock beside a clock that nobody can set: how far the wall clock was set back. Pure.
//!
//! Ends are wall-clock times. A clock set forward ends tokens early, which costs nothing but a new one. A clock set back
//! would have us hand out tokens that upstream ended long ago, and wait a day for what was due in a second.

use std::time::Duration;

use jiff::Timestamp;

/// Smaller differences are rounding, slewing by NTP, or a moment between two readings; the margin that upstream's own end
/// has covers them.
const TOLERANCE: Duration = Duration::from_secs(2);

/// One reading of both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The wall clock.
    pub wall: Timestamp,
    /// See [`super::ports::Clock::running`].
    pub running: Duration,
}

impl Moment {
    /// How far the wall clock was set back between this moment and a later one; `None` if it was not.
    pub fn set_back_until(self, later: Self) -> Option<Duration> {
        let passed = later.running.saturating_sub(self.running);
        let expected = self.wall.checked_add(passed).ok()?;
        let back = Duration::try_from(later.wall.duration_until(expected)).ok()?;
        (back > TOLERANCE).then_some(back)
    }

    /// Whether the wall clock was set forward between this moment and a later one.
    fn set_forward_until(self, later: Self) -> bool {
        let passed = later.running.saturating_sub(self.running).saturating_add(TOLERANCE);
        self.wall.checked_add(passed).is_ok_and(|latest| later.wall > latest)
    }
}

/// The moments at which somebody looked.
#[derive(Debug)]
pub struct Timeline(Moment);

impl Timeline {
    /// From a first look on.
    pub fn new(first: Moment) -> Self {
        Self(first)
    }

    /// One more look; returns how far the wall clock was set back since the last step. Small differences add up.
    pub fn look(&mut self, now: Moment) -> Option<Duration> {
        let back = self.0.set_back_until(now);
        if back.is_some() || self.0.set_forward_until(now) {
            self.0 = now;
        }
        back
    }
}

/// `at`, by a clock that was set back by `back`.
pub fn earlier(at: Timestamp, back: Duration) -> Timestamp {
    at.checked_sub(back).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(wall: i64, running: u64) -> Moment {
        Moment { wall: Timestamp::from_second(1_000_000 + wall).unwrap(), running: Duration::from_secs(running) }
    }

    #[test]
    fn only_steps_back_count() {
        let mut line = Timeline::new(moment(0, 0));
        assert_eq!(line.look(moment(100, 100)), None, "time passes");
        assert_eq!(line.look(moment(5000, 200)), None, "a step forward");
        assert_eq!(line.look(moment(5100, 300)), None);
        assert_eq!(line.look(moment(300, 400)), Some(Duration::from_secs(4900)), "and back again");
        assert_eq!(line.look(moment(400, 500)), None, "once");
    }

    #[test]
    fn small_differences_add_up() {
        let mut line = Timeline::new(moment(0, 0));
        assert_eq!(line.look(moment(99, 100)), None);
        assert_eq!(line.look(moment(198, 200)), None);
        assert_eq!(line.look(moment(297, 300)), Some(Duration::from_secs(3)));
        assert_eq!(line.look(moment(397, 400)), None);
    }
}
