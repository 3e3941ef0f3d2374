//! A store around a store that goes wrong at one chosen commit.
//!
//! Use it from a test with `#[path = "common/fail_nth_store.rs"] mod fail_nth_store;`.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tfcfs::domain::ports::{Change, Record, Store, StoreError, Version};

/// What happens at the chosen commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "each test binary uses some")]
pub(crate) enum Failure {
    /// It fails without effect; later ones succeed again.
    Before,
    /// It takes place and still reports a failure; later ones succeed again.
    After,
    /// It fails without effect, and so do all later ones: a disk that was lost.
    FromThere,
    /// It never takes place and never returns, and so do all later ones: the process was killed there.
    Stop,
    /// It takes place and never returns, and later ones do neither: killed just after the disk had it.
    StopAfter,
}

/// Counts commits from 1 and misbehaves at number `nth`.
pub(crate) struct FailNth<S> {
    inner: S,
    nth: u64,
    failure: Failure,
    commits: AtomicU64,
}

#[allow(dead_code, reason = "each test binary uses some")]
impl<S: Store> FailNth<S> {
    pub(crate) fn new(inner: S, nth: u64, failure: Failure) -> Self {
        Self { inner, nth, failure, commits: AtomicU64::new(0) }
    }

    /// How many commits were asked for so far.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl<S: Store> Store for FailNth<S> {
    async fn load(&self) -> Result<Vec<Record>, StoreError> {
        self.inner.load().await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Version, StoreError> {
        let number = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        let stops = matches!(self.failure, Failure::Stop | Failure::StopAfter);
        let lasts = stops || self.failure == Failure::FromThere;
        if number < self.nth || (number > self.nth && !lasts) {
            return self.inner.commit(changes).await;
        }
        if number == self.nth && matches!(self.failure, Failure::After | Failure::StopAfter) {
            self.inner.commit(changes).await?;
        }
        if stops {
            std::future::pending::<()>().await;
        }
        Err(StoreError::Unavailable("this commit was chosen to fail".into()))
    }
}
