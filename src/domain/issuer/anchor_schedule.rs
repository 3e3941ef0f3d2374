//! Scheduled rotation of anchors (`rotate_every`): what the keeper starts, and what it tells of failures.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;

use super::Issuer;
use super::queue::backoff;
use crate::domain::anchor_rotation::next_rotation;
use crate::domain::book::Origin;
use crate::domain::event::Event;
use crate::domain::lease::later;
use crate::domain::name::AnchorName;
use crate::domain::timeline::earlier;

/// Scheduled rotations that run or failed.
pub(super) type Schedule = HashMap<AnchorName, Try>;

/// How far the scheduled rotation of an anchor has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Try {
    pub(super) running: bool,
    pub(super) failures: u32,
    /// Not before that, after a failure.
    pub(super) next: Option<Timestamp>,
    /// The last failure, as a sentence.
    pub(super) reason: Option<String>,
}

impl Try {
    /// It is over, for that reason if it failed. Returns the reason if nobody has heard it yet.
    pub(super) fn over(&mut self, reason: Option<String>, now: Timestamp) -> Option<String> {
        let told = reason.clone().filter(|_| reason != self.reason);
        let failures = if reason.is_some() { self.failures + 1 } else { 0 };
        let next = reason.is_some().then(|| later(now, backoff(failures, now)));
        *self = Self { running: false, failures, next, reason };
        told
    }
}

impl Issuer {
    /// When an anchor will be rotated by schedule, and why the last try failed, if it did.
    pub fn anchor_schedule(&self, name: &AnchorName) -> (Option<Timestamp>, Option<String>) {
        let due = self.book.lock().anchor(name).and_then(|entry| next_rotation(&entry.anchor));
        let tried = self.schedule.lock().get(name).cloned().unwrap_or_default();
        (due.map(|at| tried.next.map_or(at, |next| at.max(next))), tried.reason)
    }

    /// Starts the rotations of anchors that are due; returns when the next one is.
    pub(in crate::domain) fn rotate_anchors_due(self: &Arc<Self>, now: Timestamp) -> Option<Timestamp> {
        if self.stopping.load(Ordering::Acquire) {
            return None;
        }
        let planned: HashMap<AnchorName, Timestamp> = {
            let book = self.book.lock();
            let ours = book.anchors().filter(|(_, entry)| entry.origin == Origin::Mount);
            ours.filter_map(|(name, entry)| Some((name.clone(), next_rotation(&entry.anchor)?))).collect()
        };
        let mut schedule = self.schedule.lock();
        // A rotation on command, or another document, has made an old failure void.
        schedule.retain(|name, tried| tried.running || planned.get(name).is_some_and(|due| *due <= now));
        let mut next = None;
        for (name, due) in planned {
            let tried = schedule.entry(name.clone()).or_default();
            let due = tried.next.map_or(due, |at| at.max(due));
            if tried.running {
                continue;
            }
            if due > now {
                next = Some(next.map_or(due, |other: Timestamp| other.min(due)));
                continue;
            }
            tried.running = true;
            let issuer = self.clone();
            self.runtime.spawn(async move { issuer.rotate_by_schedule(name).await });
        }
        next
    }

    /// The wall clock was set back: rotations that failed are tried again when they would have been.
    pub(super) fn delay_no_rotation(&self, back: Duration) {
        for tried in self.schedule.lock().values_mut() {
            tried.next = tried.next.map(|next| earlier(next, back));
        }
        for tried in self.role_schedule.lock().values_mut() {
            tried.next = tried.next.map(|next| earlier(next, back));
        }
    }

    async fn rotate_by_schedule(self: Arc<Self>, name: AnchorName) {
        let result = self.carry_rotation(&name).await;
        let now = self.now();
        let due = self.book.lock().anchor(&name).and_then(|entry| next_rotation(&entry.anchor));
        // Somebody may have rotated it on command meanwhile: then this one came too soon, and nothing is amiss.
        let reason = result.err().filter(|_| due.is_some_and(|due| due <= now)).map(|error| error.to_string());
        let told = {
            let mut schedule = self.schedule.lock();
            schedule.entry(name.clone()).or_default().over(reason, now)
        };
        if let Some(reason) = told {
            let reason = format!("the scheduled rotation failed and will be repeated: {reason}");
            self.observe(Event::AnchorTrouble { anchor: name, reason });
        }
        self.wake.notify_one();
    }
}
