//! A store around a store that remembers whether it can be written, for `status`.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;

use crate::domain::ports::{Change, Clock, Record, Store, StoreError, Version};
use crate::vfs::LedgerHealth;

/// A [`Store`] whose last failure is known until a commit succeeds.
pub struct WatchedStore {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// Since when, and what the last attempt met.
    failing: Mutex<Option<(Timestamp, String)>>,
}

impl WatchedStore {
    /// Watches `inner`.
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, clock, failing: Mutex::default() }
    }
}

#[async_trait]
impl Store for WatchedStore {
    async fn load(&self) -> Result<Vec<Record>, StoreError> {
        self.inner.load().await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Version, StoreError> {
        let result = self.inner.commit(changes).await;
        match &result {
            // Somebody was faster: the store itself works.
            Ok(_) | Err(StoreError::Conflict) => *self.failing.lock() = None,
            Err(error) => {
                let now = self.clock.now();
                let mut failing = self.failing.lock();
                let since = failing.take().map_or(now, |(since, _)| since);
                *failing = Some((since, error.to_string()));
            }
        }
        result
    }
}

impl LedgerHealth for WatchedStore {
    fn failing(&self) -> Option<(Timestamp, String)> {
        self.failing.lock().clone()
    }
}
