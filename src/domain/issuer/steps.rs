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
    pub(in crate::domain) fn follow_clock(&self) {
        let (now, back) = {
            let mut timeline = self.timeline.lock();
            // Read under the lock: an older reading after a newer one would look like one more step.
            let now = self.moment();
            (now, timeline.look(now))
        };
        let Some(back) = back else { return };
        tracing::warn!(?back, "the wall clock was set back: ends and retries move with it");
        let lingering: Vec<Serial> = {
            let mut book = self.book.lock();
            book.clock_set_back(back);
            book.leases().filter(|lease| lease.handles == 0).map(|lease| lease.record.serial).collect()
        };
        self.pending.lock().change_all(|pending| {
            pending.next = earlier(pending.next, back);
            pending.since = earlier(pending.since, back);
        });
        {
            let mut unnoted = self.unnoted.lock();
            unnoted.due = unnoted.due.map(|due| earlier(due, back));
        }
        // The next start must not believe the former ends.
        for serial in lingering {
            self.note_linger(serial, now.wall);
        }
        self.stops.lock().clock_set_back(back);
        self.delay_no_rotation(back);
    }
}
