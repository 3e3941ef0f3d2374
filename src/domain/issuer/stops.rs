//! An anchor that lost its rights stops the revocations that need it: one of them asks now and then, the rest waits for
//! its answer, or for a good anchor. Pure but for the two methods of [`Issuer`].

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;

use super::Issuer;
use super::queue::{Cause, Outcome, backoff};
use super::revoke::END_SKEW;
use crate::domain::event::Event;
use crate::domain::lease::{LeaseRecord, Serial, later};
use crate::domain::name::AnchorName;
use crate::domain::owner::Owner;
use crate::domain::timeline::earlier;

/// So many tokens of one owner are hidden before the owner is taken to be hidden: a single one may be by itself.
const HIDDEN: usize = 3;

/// What stands still: everything of an anchor that is refused, or what it made for one owner.
type Key = (AnchorName, Option<Owner>);

/// Why something stands still, and when one of its revocations may ask again.
#[derive(Debug)]
struct Stop {
    next: Timestamp,
    failures: u32,
    reason: String,
    /// Whose failures made it.
    seen: HashSet<Serial>,
}

impl Stop {
    fn needs(key: &Key) -> usize {
        if key.1.is_some() { HIDDEN } else { 1 }
    }
}

/// All that stands still.
#[derive(Debug, Default)]
pub(super) struct Stops(HashMap<Key, Stop>);

impl Stops {
    /// Whether a revocation must wait: until when, why, as a word and a sentence. Whoever may ask delays the others.
    fn enter(&mut self, record: &LeaseRecord, now: Timestamp) -> Option<(Timestamp, Cause, String)> {
        for (key, cause) in keys(record) {
            let needs = Stop::needs(&key);
            let Some(stop) = self.0.get_mut(&key).filter(|stop| stop.seen.len() >= needs) else { continue };
            if now < stop.next {
                return Some((stop.next, cause, stop.reason.clone()));
            }
            stop.next = later(now, backoff(stop.failures, now));
        }
        None
    }

    /// The wall clock was set back: what stands still is asked about again when it would have been.
    pub(super) fn clock_set_back(&mut self, back: Duration) {
        for stop in self.0.values_mut() {
            stop.next = earlier(stop.next, back);
        }
    }

    /// An attempt failed for a reason that most likely holds for the others too. True when they begin to wait.
    fn failed(&mut self, record: &LeaseRecord, cause: Cause, reason: &str, now: Timestamp) -> bool {
        let Some((key, _)) = keys(record).into_iter().find(|(_, stops)| *stops == cause) else { return false };
        let needs = Stop::needs(&key);
        let reason = reason.to_owned();
        let stop = self.0.entry(key).or_insert(Stop { next: now, failures: 0, reason, seen: HashSet::new() });
        let stood = stop.seen.len() >= needs;
        stop.seen.insert(record.serial);
        stop.failures += 1;
        stop.next = later(now, backoff(stop.failures, now));
        !stood && stop.seen.len() >= needs
    }

    /// The anchor did it. True when others waited.
    fn succeeded(&mut self, record: &LeaseRecord) -> bool {
        let gone = keys(record).map(|(key, _)| self.0.remove(&key).is_some());
        gone.contains(&true)
    }
}

fn keys(record: &LeaseRecord) -> [(Key, Cause); 2] {
    let anchor = || record.anchor.clone();
    [((anchor(), None), Cause::Anchor), ((anchor(), Some(record.owner.clone())), Cause::Hidden)]
}

impl Issuer {
    /// Whether the revocation of `record` must wait for a better anchor.
    pub(super) fn stopped(&self, record: &LeaseRecord) -> Option<Outcome> {
        let now = self.now();
        // What needs no anchor: tokens that upstream has ended by now, and what was never made.
        if now > later(record.ends_at, END_SKEW) || record.is_never_made() {
            return None;
        }
        let (until, cause, reason) = self.stops.lock().enter(record, now)?;
        Some(Outcome::Stopped(until, cause, reason))
    }

    /// What an attempt tells about the others.
    pub(super) fn learn(&self, record: &LeaseRecord, outcome: &Outcome) {
        match outcome {
            Outcome::Gone => {
                if self.stops.lock().succeeded(record) {
                    self.resume(record);
                }
            }
            Outcome::NotYet(cause, reason) => {
                let begins = self.stops.lock().failed(record, *cause, reason, self.now());
                if begins {
                    let what = match cause {
                        Cause::Anchor => "revocations wait for it".to_owned(),
                        _ => format!("revocations for {} wait for it", record.owner),
                    };
                    let reason = format!("{what}, and one of them asks again now and then: {reason}");
                    self.observe(Event::AnchorTrouble { anchor: record.anchor.clone(), reason });
                }
            }
            Outcome::Stopped(..) | Outcome::Crowded => {}
        }
    }

    /// What waited is due at once.
    fn resume(&self, record: &LeaseRecord) {
        let now = self.now();
        self.pending.lock().change_all(|one| {
            let waits = matches!(one.cause, Cause::Anchor | Cause::Hidden) && one.anchor() == &record.anchor;
            if waits && one.anchor_token().is_none() {
                one.next = one.next.min(now);
            }
        });
        self.wake.notify_one();
    }
}
