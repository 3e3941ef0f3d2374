//! The rate limit of each token owner: who may call when (reference 1.8).
//!
//! Per owner one *lane*: callers queue in order of arrival and only the first of them looks at the clock, so 200 waiting
//! callers cost one timer. It waits until the gate is open (a 429 closes it for everybody) and until GCRA lets it through.
//!
//! Calls that somebody waits for have a queue of their own and go first: ten thousand revocations must not stand between a
//! reader and its token. Calls in the background leave a part of the rate unused, so that a reader mostly finds a place at
//! once, and have some places even while readers take all that they get.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::domain::anchor::Access;
use crate::domain::owner::Owner;

/// Lanes kept although nobody waits in them. Above that, lanes unused for [`IDLE`] are dropped.
const KEEP: usize = 64;

/// A lane unused for so long has its full burst back: forgetting it changes nothing.
const IDLE: Duration = Duration::from_secs(10);

/// Who wants a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Somebody waits for the answer.
    Awaited,
    /// Nobody does: revocations, searches.
    Background,
}

/// The background's part of the rate.
const BACKGROUND: f64 = 0.9;

/// The background has waited for so many times its own interval: it goes first, once.
const OVERDUE: u32 = 4;

/// So late may a timer be.
const LATE: Duration = Duration::from_millis(2);

/// Whoever lets an overdue one pass looks again after this. That one wakes within the same millisecond or so.
const YIELD: Duration = Duration::from_millis(1);

/// The deadline is nearer than the next free place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

/// All lanes.
pub(super) struct Limiter {
    /// Calls per second that an owner gets unless upstream allows less.
    rate: NonZeroU32,
    /// Keys the hash of tokens whose owner is unknown, so that a key says nothing about a token.
    hasher: RandomState,
    /// Guards the map alone; never held across a wait.
    lanes: Mutex<HashMap<Key, Arc<Lane>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    origin: String,
    who: Who,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Owner(Owner),
    Token(u64),
}

/// One owner's place in time.
pub(super) struct Lane {
    rate: NonZeroU32,
    awaited: Line,
    background: Line,
    /// Guards pace and gate; never held across a wait.
    state: Mutex<State>,
}

/// One of a lane's queues.
#[derive(Default)]
struct Line {
    /// tokio's mutex is fair: first come, first served. Held by the one caller that watches the clock.
    turn: tokio::sync::Mutex<()>,
    /// Callers in [`Lane::pass`].
    waiting: AtomicU32,
}

struct State {
    ceiling: NonZeroU32,
    pace: Arc<RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<std::time::Instant>>>,
    /// Nobody passes before.
    gate: Instant,
    /// No background call passes before.
    background_from: Instant,
    last_used: Instant,
}

/// tokio's clock, so that tests can move it.
#[derive(Clone)]
struct TokioClock;

impl Clock for TokioClock {
    type Instant = std::time::Instant;
    fn now(&self) -> Self::Instant {
        Instant::now().into_std()
    }
}

/// Calls per second in the long run, and how many may come at once.
///
/// GCRA lets `floor(rate) + burst` calls into a closed window of one second, which is exactly the ceiling here. The rate lies above
/// 0.9 of the ceiling, so that timers that wake a millisecond late do not cost the tenth that is allowed to be lost.
fn split(ceiling: u32) -> (f64, u32) {
    let burst = (ceiling / 10).max(1);
    let rate = if ceiling < 6 { f64::from(ceiling) * 0.92 } else { f64::from(ceiling - burst) + 0.5 };
    (rate, burst)
}

fn interval(ceiling: NonZeroU32) -> Duration {
    Duration::from_secs_f64(1.0 / split(ceiling.get()).0)
}

fn quota(ceiling: NonZeroU32) -> Quota {
    let burst = NonZeroU32::new(split(ceiling.get()).1).unwrap_or(NonZeroU32::MIN);
    // An interval is zero only above a billion calls a second.
    Quota::with_period(interval(ceiling)).unwrap_or(Quota::per_second(ceiling)).allow_burst(burst)
}

impl Limiter {
    /// At most `rate` calls per second and owner; 0 counts as 1.
    pub(super) fn new(rate: u32) -> Self {
        let rate = NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
        Self { rate, hasher: RandomState::new(), lanes: Mutex::default() }
    }

    /// The lane of the access's owner.
    pub(super) fn lane(&self, access: &Access) -> Arc<Lane> {
        let who = match &access.owner {
            Some(owner) => Who::Owner(owner.clone()),
            None => Who::Token(self.hasher.hash_one(access.token.expose())),
        };
        let key = Key { origin: access.address.origin().to_owned(), who };
        let now = Instant::now();
        let mut lanes = self.lanes.lock();
        if lanes.len() >= KEEP && !lanes.contains_key(&key) {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1 || !lane.is_idle(now));
        }
        lanes.entry(key).or_insert_with(|| Arc::new(Lane::new(self.rate, now))).clone()
    }
}

impl Lane {
    fn new(rate: NonZeroU32, now: Instant) -> Self {
        let pace = Arc::new(RateLimiter::direct_with_clock(quota(rate), TokioClock));
        let state = State { ceiling: rate, pace, gate: now, background_from: now, last_used: now };
        Self { rate, awaited: Line::default(), background: Line::default(), state: Mutex::new(state) }
    }

    fn is_idle(&self, now: Instant) -> bool {
        let state = self.state.lock();
        now >= state.gate && now.saturating_duration_since(state.last_used) > IDLE
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`Exhausted`] as soon as it is clear that there is none before `deadline`.
    pub(super) async fn pass(&self, urgency: Urgency, deadline: Instant) -> Result<(), Exhausted> {
        let line = self.line(urgency);
        let ahead = Ahead::enter(&line.waiting);
        if self.earliest(urgency, ahead.count) > deadline {
            return Err(Exhausted);
        }
        let _turn = tokio::time::timeout_at(deadline, line.turn.lock()).await.map_err(|_| Exhausted)?;
        while let Some(until) = self.try_pass(urgency) {
            if until > deadline {
                return Err(Exhausted);
            }
            tokio::time::sleep_until(until).await;
        }
        Ok(())
    }

    fn line(&self, urgency: Urgency) -> &Line {
        match urgency {
            Urgency::Awaited => &self.awaited,
            Urgency::Background => &self.background,
        }
    }

    /// Takes a place now, or says when to ask again.
    fn try_pass(&self, urgency: Urgency) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.state.lock();
        if now < state.gate {
            return Some(state.gate);
        }
        let own = interval(state.ceiling).div_f64(BACKGROUND);
        let overdue = state.background_from + own * OVERDUE;
        match urgency {
            Urgency::Awaited if now >= overdue && self.background.is_waited_in() => return Some(now + YIELD),
            Urgency::Background if now < state.background_from => return Some(state.background_from),
            Urgency::Background if now < overdue && self.awaited.is_waited_in() => {
                return Some(overdue.min(now + interval(state.ceiling)));
            }
            _ => {}
        }
        match state.pace.check() {
            Ok(()) => {
                state.last_used = now;
                if urgency == Urgency::Background {
                    // A timer that woke late does not make the next one late too.
                    state.background_from = state.background_from.max(now.checked_sub(LATE).unwrap_or(now)) + own;
                }
                None
            }
            Err(not_yet) => Some(now + not_yet.wait_time_from(now.into_std())),
        }
    }

    /// No caller with `ahead` others before it gets a place earlier than this.
    fn earliest(&self, urgency: Urgency, ahead: u32) -> Instant {
        let state = self.state.lock();
        let start = state.gate.max(Instant::now());
        let interval = interval(state.ceiling);
        match urgency {
            Urgency::Awaited => start + interval.saturating_mul(ahead.saturating_sub(split(state.ceiling.get()).1)),
            Urgency::Background => start + interval.div_f64(BACKGROUND).saturating_mul(ahead.saturating_sub(1)),
        }
    }

    /// Takes note of `X-RateLimit-Limit`; 0 says nothing.
    pub(super) fn learn(&self, limit: u32) {
        let Some(limit) = NonZeroU32::new(limit) else { return };
        let ceiling = limit.min(self.rate);
        let mut state = self.state.lock();
        if ceiling == state.ceiling {
            return;
        }
        let pace = RateLimiter::direct_with_clock(quota(ceiling), TokioClock);
        // A new pace would come with a full burst, on top of the calls that the old one let through just now.
        while pace.check().is_ok() {}
        state.ceiling = ceiling;
        state.pace = Arc::new(pace);
    }

    /// Lets nobody pass for `pause`: upstream said 429.
    pub(super) fn close(&self, pause: Duration) {
        let mut state = self.state.lock();
        state.gate = state.gate.max(Instant::now() + pause);
    }

    /// Calls per second in force.
    pub(super) fn ceiling(&self) -> u32 {
        self.state.lock().ceiling.get()
    }
}

impl Line {
    fn is_waited_in(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

/// Counts a caller in for as long as it waits, also if it is dropped meanwhile.
struct Ahead<'a> {
    waiting: &'a AtomicU32,
    count: u32,
}

impl<'a> Ahead<'a> {
    fn enter(waiting: &'a AtomicU32) -> Self {
        Self { waiting, count: waiting.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
