//! The whole filesystem without a kernel: fake upstream port, moved clock, and a caller that walks paths as the
//! kernel would.
#![allow(dead_code, reason = "every test binary uses a part of this")]

pub mod api;
pub mod machine;
pub mod model;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tfcfs::domain::ports::Clock;
use tokio::sync::Notify;

/// A clock that tests move.
pub struct ManualClock {
    now: Mutex<Timestamp>,
    running: Mutex<Duration>,
    moved: Notify,
    /// The wall clock is set by this when somebody is about to sleep, before the timer could tell.
    step_at_sleep: Mutex<Option<SignedDuration>>,
}

impl ManualClock {
    pub fn new() -> Arc<Self> {
        let start = "2026-11-24T12:00:00Z".parse().unwrap();
        Arc::new(Self {
            now: Mutex::new(start),
            running: Mutex::default(),
            moved: Notify::new(),
            step_at_sleep: Mutex::default(),
        })
    }

    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock();
        *now = now.checked_add(by).unwrap();
        drop(now);
        *self.running.lock() += by;
        self.moved.notify_waiters();
    }

    /// Somebody sets the wall clock.
    pub fn step(&self, by: SignedDuration) {
        let mut now = self.now.lock();
        *now = now.checked_add(by).unwrap();
        drop(now);
        self.moved.notify_waiters();
    }

    /// Somebody sets the wall clock in the moment before the next sleeper's timer is set.
    pub fn step_at_sleep(&self, by: SignedDuration) {
        *self.step_at_sleep.lock() = Some(by);
    }

    pub fn set(&self, to: Timestamp) {
        *self.now.lock() = to;
        self.moved.notify_waiters();
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.lock()
    }

    fn running(&self) -> Duration {
        *self.running.lock()
    }

    async fn sleep_until(&self, end: Timestamp) {
        if let Some(step) = self.step_at_sleep.lock().take() {
            let mut now = self.now.lock();
            *now = now.checked_add(step).unwrap();
        }
        let moved = self.moved.notified();
        if self.now() < end {
            moved.await;
        }
    }
}

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
