//! On whose behalf a task runs: what the domain tells while it carries out a request is that caller's doing.

use std::future::Future;

use super::{Caller, Reply, Result};

tokio::task_local! {
    static ACTING: Caller;
}

/// The caller whose request this task carries out; `None` in tasks of the daemon's own.
pub(super) fn acting() -> Option<Caller> {
    ACTING.try_with(|caller| *caller).ok()
}

/// Carries out something on behalf of a caller.
pub(super) fn by<F: Future>(caller: Caller, work: F) -> impl Future<Output = F::Output> {
    ACTING.scope(caller, work)
}

impl<T> Reply<T> {
    /// An answer later, on behalf of a caller.
    pub(super) fn later_by(caller: Caller, future: impl Future<Output = Result<T>> + Send + 'static) -> Self
    where
        T: 'static,
    {
        Self::later(by(caller, future))
    }
}
