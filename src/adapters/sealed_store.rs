//! A store around a store that seals every value: what lies below sees keys, versions and ciphertext only.

use std::fmt;

use async_trait::async_trait;
use parking_lot::Mutex;
use zeroize::Zeroize;

use super::seal::Seal;
use super::sealing_key::SealingKey;
use crate::domain::ports::{Change, Record, Store, StoreError, Version};

/// A [`Store`] whose values are sealed in the store it wraps.
pub struct SealedStore<S> {
    inner: S,
    seal: Seal,
    /// What a check at the start has read and opened already: the answer to the first load, unless a commit came before.
    loaded: Mutex<Option<Vec<Record>>>,
}

impl<S: Store> SealedStore<S> {
    /// Seals what goes into `inner` and opens what comes out of it.
    pub fn new(inner: S, key: &SealingKey) -> Self {
        Self { inner, seal: Seal::new(key), loaded: Mutex::default() }
    }

    /// The same for a store of which all records are known and opened, and which nobody else can change.
    pub(super) fn loaded(inner: S, key: &SealingKey, records: Vec<Record>) -> Self {
        Self { loaded: Mutex::new(Some(records)), ..Self::new(inner, key) }
    }
}

#[async_trait]
impl<S: Store> Store for SealedStore<S> {
    async fn load(&self) -> Result<Vec<Record>, StoreError> {
        if let Some(records) = self.loaded.lock().take() {
            return Ok(records);
        }
        let mut records = self.inner.load().await?;
        for record in &mut records {
            record.value = self.seal.unseal(&record.key, &record.value)?;
        }
        Ok(records)
    }

    async fn commit(&self, mut changes: Vec<Change>) -> Result<Version, StoreError> {
        for record in self.loaded.lock().take().iter_mut().flatten() {
            record.value.zeroize();
        }
        for Change { key, value, .. } in &mut changes {
            if let Some(value) = value {
                let sealed = self.seal.seal(key, value)?;
                value.zeroize();
                *value = sealed;
            }
        }
        self.inner.commit(changes).await
    }
}

impl<S: fmt::Debug> fmt::Debug for SealedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedStore({:?})", self.inner)
    }
}
