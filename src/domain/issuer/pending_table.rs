//! All revocations that are not proven yet, and which is to be tried next without a look at each.
//!
//! One is changed through [`PendingTable::change`] only, whose guard brings the order up to date when it goes. Pure.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};

use jiff::Timestamp;
use rustc_hash::FxHashMap;

use super::queue::Pending;
use crate::domain::lease::Serial;

/// Those that no attempt is under way for, in the order in which they are tried: next attempt, time of the wish, serial.
type Order = BTreeSet<(Timestamp, Timestamp, Serial)>;

/// The revocations.
#[derive(Debug, Default)]
pub(super) struct PendingTable {
    entries: FxHashMap<Serial, Pending>,
    waiting: Order,
}

fn place(serial: Serial, one: &Pending) -> Option<(Timestamp, Timestamp, Serial)> {
    (!one.running).then_some((one.next, one.since, serial))
}

impl PendingTable {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All of them, in no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &Pending> {
        self.entries.values()
    }

    /// Adds one, unless there is one of that number.
    pub(super) fn insert(&mut self, serial: Serial, one: Pending) {
        if !self.entries.contains_key(&serial) {
            self.waiting.extend(place(serial, &one));
            self.entries.insert(serial, one);
        }
    }

    pub(super) fn remove(&mut self, serial: Serial) {
        if let Some(one) = self.entries.remove(&serial)
            && let Some(place) = place(serial, &one)
        {
            self.waiting.remove(&place);
        }
    }

    /// One to be changed.
    pub(super) fn change(&mut self, serial: Serial) -> Option<Changing<'_>> {
        let one = self.entries.get_mut(&serial)?;
        let former = place(serial, one);
        Some(Changing { serial, one, former, waiting: &mut self.waiting })
    }

    /// Changes all of them.
    pub(super) fn change_all(&mut self, mut change: impl FnMut(&mut Pending)) {
        self.entries.values_mut().for_each(&mut change);
        self.waiting = self.entries.iter().filter_map(|(serial, one)| place(*serial, one)).collect();
    }

    /// Those to be tried now, so that `parallel` attempts are under way at most; and when the next one is.
    pub(super) fn due(&self, now: Timestamp, parallel: usize) -> (Vec<Serial>, Option<Timestamp>) {
        let running = self.entries.len() - self.waiting.len();
        let due = self.waiting.range(..=(now, Timestamp::MAX, Serial(u64::MAX)));
        // The end of a running attempt wakes the keeper, which then takes the rest.
        let due: Vec<Serial> = due.take(parallel.saturating_sub(running)).map(|(_, _, serial)| *serial).collect();
        let later = self.waiting.range((now, Timestamp::MAX, Serial(u64::MAX))..).next();
        (due, later.map(|(next, ..)| *next))
    }
}

/// One that is being changed.
pub(super) struct Changing<'a> {
    serial: Serial,
    one: &'a mut Pending,
    former: Option<(Timestamp, Timestamp, Serial)>,
    waiting: &'a mut Order,
}

impl Deref for Changing<'_> {
    type Target = Pending;
    fn deref(&self) -> &Pending {
        self.one
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut Pending {
        self.one
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        let present = place(self.serial, self.one);
        if present == self.former {
            return;
        }
        if let Some(former) = self.former {
            self.waiting.remove(&former);
        }
        self.waiting.extend(present);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::issuer::queue::{Cause, Doomed, tests::record};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn one(serial: u64, next: i64) -> Pending {
        let doomed = Doomed::Lease(Box::new(record(serial)));
        Pending { attempts: 0, next: at(next), since: at(0), reason: None, cause: Cause::New, running: false, doomed }
    }

    /// The answer of a look at each.
    fn by_looking(table: &PendingTable, now: Timestamp, parallel: usize) -> (Vec<Serial>, Option<Timestamp>) {
        let running = table.values().filter(|one| one.running).count();
        let mut waiting: Vec<&Pending> = table.values().filter(|one| !one.running).collect();
        waiting.sort_by_key(|one| (one.next, one.since, one.doomed.serial()));
        let (due, later): (Vec<&Pending>, Vec<&Pending>) = waiting.into_iter().partition(|one| one.next <= now);
        let due = due.iter().take(parallel.saturating_sub(running)).map(|one| one.doomed.serial());
        (due.collect(), later.first().map(|one| one.next))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn after_any_changes_the_order_is_that_of_a_look_at_each(
            ops in vec((0..5u8, 0..12u64, 0..20i64), 1..80), now in 0..20i64, parallel in 0..4usize,
        ) {
            let mut table = PendingTable::default();
            for (kind, serial, second) in ops {
                let serial = Serial(serial);
                match kind {
                    0 => table.insert(serial, one(serial.0, second)),
                    1 => table.remove(serial),
                    2 => table.change_all(|one| one.next = one.next.min(at(second))),
                    3 => if let Some(mut one) = table.change(serial) { one.running = !one.running },
                    _ => if let Some(mut one) = table.change(serial) { (one.next, one.since) = (at(second), at(-second)) },
                }
                prop_assert_eq!(table.due(at(now), parallel), by_looking(&table, at(now), parallel));
            }
        }
    }
}
