//! What a step of the wall clock does to all that waits for a time.

use super::Issuer;
use crate::domain::lease::Serial;
use crate::domain::ports::Clock;
use crate::domain::timeline::{Moment, earlier};

/// Both clocks, now.
pub(super) fn moment(clock: &dyn Clock) -> Moment {
    Moment { wall: clock.now(), running: clock.running() }
}

impl Issuer {
    pub(super) fn moment(&self) -> Moment {
        moment(&*self.clock)
    }

    /// Looks whether the wall clock was set back since the last look, and moves what waits for a time along.
    /// True if it was.
    pub(in crate::domain) fn follow_clock(&self) -> bool {
        let (now, back) = {
            let mut timeline = self.timeline.lock();
            // Read under the lock: an older reading after a newer one would look like one more step.
            let now = self.moment();
            (now, timeline.look(now))
        };
        let Some(back) = back else { return false };
        tracing::warn!(?back, "the wall clock was set back: ends and retries move with it");
        let leases: Vec<(Serial, bool)> = {
            let mut book = self.book.lock();
            book.clock_set_back(back);
            let live = book.leases().filter(|lease| lease.ended.is_none());
            live.map(|lease| (lease.record.serial, lease.handles == 0)).collect()
        };
        self.pending.lock().change_all(|pending| {
            pending.next = earlier(pending.next, back);
            pending.since = earlier(pending.since, back);
        });
        if !self.settings.ephemeral {
            // The next start must not believe the former ends.
            let mut unnoted = self.unnoted.lock();
            unnoted.moved.extend(leases.iter().map(|(serial, _)| *serial));
            unnoted.serials.extend(leases.iter().filter(|(_, lingers)| *lingers).map(|(serial, _)| *serial));
            unnoted.due = (unnoted.due.is_some() || !leases.is_empty()).then_some(now.wall);
        }
        self.stops.lock().clock_set_back(back);
        self.delay_no_rotation(back);
        true
    }
}
