//! The wall clock of this machine.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::domain::ports::Clock;

/// How often the clock is looked at where the kernel gives us no timer.
const FALLBACK_STEP: Duration = Duration::from_secs(1);

/// [`Clock`] on `CLOCK_REALTIME`. Sleeping needs a tokio runtime with I/O and time enabled.
///
/// tokio's own timers count a clock that stands still in a suspend and ignores steps, so a token that ended overnight
/// would live on for hours. A timerfd on the wall clock has neither fault, and costs nothing while it waits.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        wall()
    }

    fn running(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
    }

    async fn sleep_until(&self, end: Timestamp) {
        if self.now() >= end {
            return;
        }
        if let Err(error) = sleep_on_timerfd(|| self.now(), end).await {
            tracing::debug!(%error, "no timerfd; looking at the clock every second instead");
            sleep_in_steps(|| self.now(), end).await;
        }
    }
}

async fn sleep_on_timerfd(now: impl Fn() -> Timestamp + Send, end: Timestamp) -> io::Result<()> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    #[expect(deprecated, reason = "its replacement is unsafe, and asks for what an OwnedFd always keeps")]
    let timer = AsyncFd::new(timerfd_create(TimerfdClockId::Realtime, flags)?)?;
    if now() < end {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let at = Timespec { tv_sec: end.as_second(), tv_nsec: end.subsec_nanosecond().into() };
        timerfd_settime(
            timer.get_ref(),
            TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET,
            &Itimerspec { it_interval: zero, it_value: at },
        )?;
        match expired(&timer).await {
            // The clock was stepped: the caller looks at it again.
            Err(error) if error.raw_os_error() == Some(Errno::CANCELED.raw_os_error()) => {}
            done => done?,
        }
    }
    Ok(())
}

async fn expired(timer: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let mut count = [0; size_of::<u64>()];
    loop {
        let mut ready = timer.readable().await?;
        if let Ok(read) = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut count)?)) {
            return read.map(drop);
        }
    }
}

async fn sleep_in_steps(now: impl Fn() -> Timestamp + Send, end: Timestamp) {
    let mut last = now();
    while let Ok(left) = Duration::try_from(end.duration_since(last)) {
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(FALLBACK_STEP)).await;
        let now = now();
        if now < last {
            return;
        }
        last = now;
    }
}

/// The wall clock, for what an adapter notes about itself.
#[expect(clippy::disallowed_methods, reason = "this is the file that may")]
pub fn wall() -> Timestamp {
    Timestamp::now()
}

/// The wall clock as the standard library has it.
#[expect(clippy::disallowed_methods, reason = "this is the file that may")]
pub fn system_time() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::SignedDuration;
    use parking_lot::Mutex;

    use super::*;

    const A_FEW_MS: SignedDuration = SignedDuration::from_millis(3);

    #[tokio::test]
    async fn past_and_present_return_at_once() {
        for end in [Timestamp::MIN, Timestamp::UNIX_EPOCH, SystemClock.now()] {
            SystemClock.sleep_until(end).await;
        }
    }

    #[tokio::test]
    async fn never_returns_early() {
        for _ in 0..3 {
            let end = SystemClock.now() + A_FEW_MS;
            SystemClock.sleep_until(end).await;
            assert!(SystemClock.now() >= end);
        }
    }

    #[tokio::test]
    async fn a_far_end_is_waited_for_and_can_be_given_up() {
        for end in [SystemClock.now() + SignedDuration::from_hours(24), Timestamp::MAX] {
            let slept = tokio::time::timeout(Duration::from_millis(3), SystemClock.sleep_until(end)).await;
            assert!(slept.is_err());
        }
    }

    #[tokio::test]
    async fn an_end_that_is_no_longer_ahead_when_the_timer_is_set_still_ends_the_sleep() {
        let end = SystemClock.now() - SignedDuration::from_hours(1);
        let first = Mutex::new(true);
        let now = || if std::mem::take(&mut *first.lock()) { Timestamp::MIN } else { SystemClock.now() };
        sleep_on_timerfd(now, end).await.unwrap();
    }

    /// tokio's time runs by itself here; the wall clock is moved by hand.
    #[tokio::test(start_paused = true)]
    async fn without_a_timer_a_step_of_the_clock_is_seen_within_a_second() {
        let wall = Arc::new(Mutex::new(Timestamp::UNIX_EPOCH));
        let end = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(8);
        let sleeping = tokio::spawn({
            let wall = wall.clone();
            async move { sleep_in_steps(|| *wall.lock(), end).await }
        });
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(!sleeping.is_finished(), "the wall clock stood still");
        *wall.lock() = end;
        tokio::time::sleep(FALLBACK_STEP).await;
        tokio::task::yield_now().await;
        assert!(sleeping.is_finished());
    }
}
