//! A ledger that outlives the daemons of a test, and their lives.
//!
//! Use it from a test with `#[path = "common/disk.rs"] mod disk;`.

use std::sync::Arc;

use async_trait::async_trait;
use tfcfs::adapters::memory_store::MemoryStore;
use tfcfs::domain::ports::{Change, Record, Store, StoreError, Version};

/// A disk that outlives the daemon.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<MemoryStore>);

#[async_trait]
impl Store for Disk {
    async fn load(&self) -> Result<Vec<Record>, StoreError> {
        self.0.load().await
    }
    async fn commit(&self, changes: Vec<Change>) -> Result<Version, StoreError> {
        self.0.commit(changes).await
    }
}

#[allow(dead_code, reason = "each test binary uses some")]
impl Disk {
    /// Whether any record has this text.
    pub(crate) async fn knows(&self, token: &str) -> bool {
        self.0.load().await.unwrap().iter().any(|record| String::from_utf8_lossy(&record.value).contains(token))
    }

    /// Records whose keys begin so.
    pub(crate) async fn count(&self, prefix: &str) -> usize {
        self.0.load().await.unwrap().iter().filter(|record| record.key.starts_with(prefix)).count()
    }
}

/// One daemon's life: its tasks die with the runtime, as with a process. Time is moved, so a life that hangs ends at once.
pub(crate) fn live<T>(life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(life)
}
