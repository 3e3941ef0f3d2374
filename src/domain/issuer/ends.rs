//! Ends of leases on their way to the ledger: not at each close, that would be a commit for each `cat`.

use std::time::Duration;

use jiff::Timestamp;
use rustc_hash::FxHashSet;

use super::Issuer;
use crate::domain::lease::{Serial, later};
use crate::domain::ledger::Entry;
use crate::domain::ports::StoreError;

/// Ends of lingering leases reach the ledger at most this late; a crash forgets no more than that.
const LINGER_NOTE: Duration = Duration::from_secs(5);

/// Leases whose ends are to be written, all in one commit.
#[derive(Default)]
pub(super) struct Unnoted {
    /// Those that linger or are held again.
    pub(super) serials: FxHashSet<Serial>,
    /// Those whose absolute end a step of the wall clock has moved.
    pub(super) moved: FxHashSet<Serial>,
    /// When they are; `None` while there are none.
    pub(super) due: Option<Timestamp>,
}

impl Issuer {
    pub(super) fn note_linger(&self, serial: Serial, now: Timestamp) {
        if self.settings.ephemeral {
            return;
        }
        let mut unnoted = self.unnoted.lock();
        let first = unnoted.due.is_none();
        let due = *unnoted.due.get_or_insert(later(now, LINGER_NOTE));
        unnoted.serials.insert(serial);
        drop(unnoted);
        if first {
            self.arm(due);
        }
    }

    /// When the ends of lingering leases are to be written. Not at each close: that would be a commit for each `cat`.
    pub(in crate::domain) fn lingers_due(&self) -> Option<Timestamp> {
        self.unnoted.lock().due
    }

    /// Writes the ends of leases to the ledger.
    ///
    /// # Errors
    /// The store's; they are kept for the next time.
    pub(in crate::domain) async fn write_lingers(&self) -> Result<(), StoreError> {
        let Unnoted { serials, moved, .. } = std::mem::take(&mut *self.unnoted.lock());
        let entries: Vec<Entry> = {
            let book = self.book.lock();
            let live = |serial: &Serial| book.lease(*serial).filter(|lease| lease.ended.is_none());
            let lingers = serials.iter().filter_map(live).map(|lease| {
                let end = (lease.handles == 0).then_some(lease.expires_at);
                Entry::Linger(lease.record.id.clone(), end)
            });
            let ends = moved.iter().filter_map(live);
            lingers.chain(ends.map(|lease| Entry::End(lease.record.id.clone(), Some(lease.record.ends_at)))).collect()
        };
        if entries.is_empty() {
            return Ok(());
        }
        let result = self.ledger.write(entries).await;
        if result.is_err() {
            let mut unnoted = self.unnoted.lock();
            unnoted.serials.extend(serials);
            unnoted.moved.extend(moved);
            unnoted.due.get_or_insert(later(self.now(), LINGER_NOTE));
        }
        result
    }
}
