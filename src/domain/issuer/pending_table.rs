//! All revocations that are not proven yet, and which is to be tried next without a look at each.
//!
//! One is changed through [`PendingTable::change`] only, whose guard brings the order up to date when it goes. Each anchor
//! has a line of its own: what one upstream cannot take faster must not hold up another's. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};

use jiff::Timestamp;
use rustc_hash::FxHashMap;

use super::queue::Pending;
use crate::domain::lease::Serial;
use crate::domain::name::AnchorName;

/// Where one stands: next attempt, time of the wish, serial.
type Place = (Timestamp, Timestamp, Serial);

/// The revocations that need one anchor.
#[derive(Debug, Default)]
struct Line {
    /// Those that no attempt is under way for, in the order in which they are tried.
    waiting: BTreeSet<Place>,
    /// How many attempts are under way.
    running: usize,
    /// How many of those ask upstream.
    asking: usize,
}

/// The revocations.
#[derive(Debug, Default)]
pub(super) struct PendingTable {
    entries: FxHashMap<Serial, Pending>,
    lines: BTreeMap<AnchorName, Line>,
}

/// What one counts for in its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    waiting: Option<Place>,
    asking: bool,
}

impl Part {
    fn of(serial: Serial, one: &Pending) -> Self {
        Self { waiting: (!one.running).then_some((one.next, one.since, serial)), asking: one.running && one.asking }
    }
}

impl Line {
    fn add(&mut self, part: Part) {
        self.running += usize::from(part.waiting.is_none());
        self.asking += usize::from(part.asking);
        self.waiting.extend(part.waiting);
    }

    fn take(&mut self, part: Part) {
        match &part.waiting {
            Some(place) => drop(self.waiting.remove(place)),
            None => self.running -= 1,
        }
        self.asking -= usize::from(part.asking);
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.running == 0
    }
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
            self.lines.entry(one.anchor().clone()).or_default().add(Part::of(serial, &one));
            self.entries.insert(serial, one);
        }
    }

    pub(super) fn remove(&mut self, serial: Serial) {
        let Some(one) = self.entries.remove(&serial) else { return };
        if let Some(line) = self.lines.get_mut(one.anchor()) {
            line.take(Part::of(serial, &one));
            if line.is_empty() {
                self.lines.remove(one.anchor());
            }
        }
    }

    /// One to be changed in anything but its anchor.
    pub(super) fn change(&mut self, serial: Serial) -> Option<Changing<'_>> {
        let one = self.entries.get_mut(&serial)?;
        let former = Part::of(serial, one);
        Some(Changing { serial, one, former, lines: &mut self.lines })
    }

    /// Changes all of them.
    pub(super) fn change_all(&mut self, mut change: impl FnMut(&mut Pending)) {
        self.lines.clear();
        for (serial, one) in &mut self.entries {
            change(one);
            self.lines.entry(one.anchor().clone()).or_default().add(Part::of(*serial, one));
        }
    }

    /// Those to be tried now, so that `parallel` attempts for each anchor are under way at most; and when the next one is.
    pub(super) fn due(&self, now: Timestamp, parallel: usize) -> (Vec<Serial>, Option<Timestamp>) {
        let end = (now, Timestamp::MAX, Serial(u64::MAX));
        let mut due = Vec::new();
        let mut next: Option<Timestamp> = None;
        for line in self.lines.values() {
            // The end of a running attempt wakes the keeper, which then takes the rest.
            let room = parallel.saturating_sub(line.running);
            due.extend(line.waiting.range(..=end).take(room).map(|(_, _, serial)| *serial));
            if let Some((at, ..)) = line.waiting.range(end..).next() {
                next = Some(next.map_or(*at, |other| other.min(*at)));
            }
        }
        (due, next)
    }

    /// Whether so many or more ask upstream by means of an anchor.
    pub(super) fn is_crowded(&self, anchor: &AnchorName, parallel: usize) -> bool {
        self.lines.get(anchor).is_some_and(|line| line.asking >= parallel)
    }
}

/// One that is being changed.
pub(super) struct Changing<'a> {
    serial: Serial,
    one: &'a mut Pending,
    former: Part,
    lines: &'a mut BTreeMap<AnchorName, Line>,
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
        let present = Part::of(self.serial, self.one);
        if present != self.former
            && let Some(line) = self.lines.get_mut(self.one.anchor())
        {
            line.take(self.former);
            line.add(present);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::issuer::queue::{Doomed, tests::record};
    use crate::domain::lease::LeaseRecord;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn one(serial: u64, next: i64) -> Pending {
        // Two anchors.
        let anchor: AnchorName = ["x", "y"][serial as usize % 2].parse().unwrap();
        let doomed = Doomed::Lease(Box::new(LeaseRecord { anchor, ..record(serial) }));
        Pending { next: at(next), ..Pending::new(doomed, at(0)) }
    }

    /// The answer of a look at each.
    fn by_looking(
        table: &PendingTable,
        now: Timestamp,
        parallel: usize,
    ) -> (Vec<Serial>, Option<Timestamp>, [bool; 2]) {
        let (mut due, mut next, mut crowded) = (Vec::new(), None::<Timestamp>, [false; 2]);
        for (index, anchor) in ["x", "y"].into_iter().enumerate() {
            let of_anchor = || table.values().filter(|one| one.anchor().as_str() == anchor);
            let running = of_anchor().filter(|one| one.running).count();
            crowded[index] =
                of_anchor().any(|_| true) && of_anchor().filter(|one| one.running && one.asking).count() >= parallel;
            let mut waiting: Vec<&Pending> = of_anchor().filter(|one| !one.running).collect();
            waiting.sort_by_key(|one| (one.next, one.since, one.doomed.serial()));
            let (now_due, later): (Vec<&Pending>, Vec<&Pending>) = waiting.into_iter().partition(|one| one.next <= now);
            due.extend(now_due.iter().take(parallel.saturating_sub(running)).map(|one| one.doomed.serial()));
            next = [next, later.first().map(|one| one.next)].into_iter().flatten().min();
        }
        (due, next, crowded)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn after_any_changes_the_order_is_that_of_a_look_at_each(
            ops in vec((0..6u8, 0..12u64, 0..20i64), 1..80), now in 0..20i64, parallel in 0..4usize,
        ) {
            let mut table = PendingTable::default();
            for (kind, serial, second) in ops {
                let serial = Serial(serial);
                match kind {
                    0 => table.insert(serial, one(serial.0, second)),
                    1 => table.remove(serial),
                    2 => table.change_all(|one| one.next = one.next.min(at(second))),
                    3 => if let Some(mut one) = table.change(serial) { one.running = !one.running },
                    4 => if let Some(mut one) = table.change(serial) { one.asking = !one.asking },
                    _ => if let Some(mut one) = table.change(serial) { (one.next, one.since) = (at(second), at(-second)) },
                }
                let (due, next) = table.due(at(now), parallel);
                let crowded = ["x", "y"].map(|name| table.is_crowded(&name.parse().unwrap(), parallel));
                prop_assert_eq!((due, next, crowded), by_looking(&table, at(now), parallel));
            }
        }
    }
}
