//! The queue, and the thread that empties it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::callers::Lookup;
use super::line;
use super::sink::{Sink, Written};
use crate::domain::ports::Clock;
use crate::vfs::{AuditEntry, AuditHealth, Callers, DestinationHealth};

/// Entries that may wait. One that comes while so many do is dropped.
pub const QUEUE: usize = 8192;

/// Entries that are written together.
const BATCH: usize = 256;

/// A place that missed lines is tried this often, so that it says so itself as soon as it can.
const AGAIN: Duration = Duration::from_secs(2);

/// Something to write.
pub(super) struct Job {
    pub(super) entry: AuditEntry,
    /// Whoever waits until it is on record.
    pub(super) answer: Option<oneshot::Sender<Result<(), String>>>,
}

/// What the writer shares with those who note something.
#[derive(Default)]
pub(super) struct Shared {
    on: AtomicBool,
    required: AtomicBool,
    state: Mutex<State>,
    /// There is something to do.
    work: Condvar,
    /// There is nothing left to do.
    idle: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// Entries that found the queue full since the writer looked last.
    overflowed: u64,
    /// Places that take the place of the former ones.
    next: Option<Vec<Box<dyn Sink>>>,
    health: Vec<DestinationHealth>,
    writing: bool,
    stopped: bool,
}

impl Shared {
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    pub(super) fn is_required(&self) -> bool {
        self.required.load(Ordering::Acquire)
    }

    /// Queues a job; false when there was no room.
    pub(super) fn push(&self, job: Job) -> bool {
        let mut state = self.state.lock();
        let fits = state.queue.len() < QUEUE;
        if fits {
            state.queue.push_back(job);
        } else {
            state.overflowed += 1;
            // Seen at once, even if the writer stands still.
            state.health.iter_mut().for_each(|place| place.dropped += 1);
        }
        drop(state);
        self.work.notify_one();
        fits
    }

    pub(super) fn install(&self, sinks: Vec<Box<dyn Sink>>, required: bool) {
        let mut state = self.state.lock();
        let health = |sink: &dyn Sink| {
            let former = state.health.iter().find(|place| place.name == sink.name());
            let (lines, dropped) = former.map_or((0, 0), |place| (place.lines, place.dropped));
            DestinationHealth {
                name: sink.name(),
                place: sink.place().to_owned(),
                lines,
                dropped,
                failing_since: None,
                error: None,
            }
        };
        let health: Vec<DestinationHealth> = sinks.iter().map(|sink| health(&**sink)).collect();
        self.on.store(!sinks.is_empty(), Ordering::Release);
        self.required.store(required && !sinks.is_empty(), Ordering::Release);
        state.health = health;
        state.next = Some(sinks);
        drop(state);
        self.work.notify_one();
    }

    pub(super) fn wait_idle(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.state.lock();
        while state.writing || !state.queue.is_empty() || state.next.is_some() {
            if self.idle.wait_until(&mut state, until).timed_out() {
                return false;
            }
        }
        true
    }

    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.work.notify_one();
    }

    pub(super) fn health(&self) -> Option<AuditHealth> {
        let destinations = self.state.lock().health.clone();
        (!destinations.is_empty()).then(|| AuditHealth { required: self.is_required(), destinations })
    }
}

/// A place and what it lacks.
struct Destination {
    sink: Box<dyn Sink>,
    /// Lines that it does not have and has not said so.
    missed: u64,
    why: String,
}

/// Writes until it is stopped and the queue is empty.
pub(super) fn run(shared: &Shared, clock: &dyn Clock, callers: &dyn Callers) {
    let mut destinations: Vec<Destination> = Vec::new();
    loop {
        let (mut jobs, overflowed) = {
            let mut state = shared.state.lock();
            state.writing = false;
            while state.queue.is_empty() && state.next.is_none() && !state.stopped {
                shared.idle.notify_all();
                let missing = destinations.iter().any(|place| place.missed > 0);
                if missing && shared.work.wait_for(&mut state, AGAIN).timed_out() {
                    break;
                } else if !missing {
                    shared.work.wait(&mut state);
                }
            }
            if state.stopped && state.queue.is_empty() {
                shared.idle.notify_all();
                return;
            }
            if let Some(next) = state.next.take() {
                destinations = replaced(destinations, next);
            }
            state.writing = true;
            let count = state.queue.len().min(BATCH);
            (state.queue.drain(..count).collect::<Vec<Job>>(), std::mem::take(&mut state.overflowed))
        };
        // Whoever does not wait any more has been refused.
        jobs.retain(|job| job.answer.as_ref().is_none_or(|answer| !answer.is_closed()));
        let mut lookup = Lookup::new(callers);
        let lines: Vec<String> = jobs
            .iter()
            .map(|job| match job.entry.who {
                Some(who) => line::of(&job.entry, lookup.of(who)),
                None => line::of(&job.entry, &super::callers::Found::default()),
            })
            .collect();
        let mut failures: Vec<(usize, String)> = Vec::new();
        for place in &mut destinations {
            if overflowed > 0 {
                place.missed += overflowed;
                place.why = format!("more than {QUEUE} lines waited to be written");
            }
            let written = place.write(&lines, clock);
            tell(shared, place, &written, lines.len(), clock.now());
            if let Some(error) = &written.error {
                failures.push((written.whole, format!("{}: {error}", place.sink.place().display())));
            }
        }
        for (number, answer) in jobs.into_iter().enumerate().filter_map(|(number, job)| Some((number, job.answer?))) {
            let failure = failures.iter().find(|(whole, _)| number >= *whole);
            let _ = answer.send(failure.map_or(Ok(()), |(_, why)| Err(why.clone())));
        }
    }
}

/// A place that was opened anew still owes the line about what it missed.
fn replaced(former: Vec<Destination>, next: Vec<Box<dyn Sink>>) -> Vec<Destination> {
    let place = |sink: Box<dyn Sink>| {
        let of = former.iter().find(|place| place.sink.name() == sink.name());
        let (missed, why) = of.map_or((0, String::new()), |place| (place.missed, place.why.clone()));
        Destination { sink, missed, why }
    };
    next.into_iter().map(place).collect()
}

impl Destination {
    /// Writes lines, after the one about what is missing before them. The answer counts `lines` only.
    fn write(&mut self, lines: &[String], clock: &dyn Clock) -> Written {
        let report = (self.missed > 0).then(|| line::dropped(clock.now(), self.missed, self.sink.place(), &self.why));
        let all: Vec<&str> = report.iter().chain(lines).map(String::as_str).collect();
        if all.is_empty() {
            return Written::all(&[]);
        }
        let mut written = self.sink.write(&all);
        if report.is_some() {
            if written.whole > 0 {
                self.missed = 0;
            }
            written.whole = written.whole.saturating_sub(1);
        }
        if let Some(error) = &written.error {
            self.missed += (lines.len() - written.whole.min(lines.len())) as u64;
            self.why = error.to_string();
        }
        written
    }
}

/// `status` and the log hear how it went.
fn tell(shared: &Shared, place: &Destination, written: &Written, lines: usize, now: Timestamp) {
    let mut state = shared.state.lock();
    let path = place.sink.place().to_owned();
    let Some(health) = state.health.iter_mut().find(|other| other.name == place.sink.name()) else { return };
    health.lines += written.whole as u64;
    health.dropped += lines.saturating_sub(written.whole) as u64;
    let error = written.error.as_ref().map(ToString::to_string);
    let changed = error.is_some() != health.error.is_some();
    // What the former place met is no news of the new one.
    if health.place == path {
        health.failing_since = error.as_ref().map(|_| health.failing_since.unwrap_or(now));
        health.error = error.clone();
    }
    drop(state);
    match error {
        Some(error) if changed => tracing::error!(place = %path.display(), %error, "the audit trail cannot be written"),
        None if changed => tracing::info!(place = %path.display(), "the audit trail is written again"),
        _ => {}
    }
}
