//! A store around a store that seals every value: what lies below sees keys, versions and ciphertext only.

use std::fmt;

use async_trait::async_trait;

use super::seal::Seal;
use super::sealing_key::SealingKey;
use crate::domain::ports::{Change, Record, Store, StoreError, Version};

/// A [`Store`] whose values are sealed in the store it wraps.
pub struct SealedStore<S> {
    inner: S,
    seal: Seal,
}

impl<S: Store> SealedStore<S> {
    /// Seals what goes into `inner` and opens what comes out of it.
    pub fn new(inner: S, key: &SealingKey) -> Self {
        Self { inner, seal: Seal::new(key) }
    }
}

#[async_trait]
impl<S: Store> Store for SealedStore<S> {
    async fn load(&self) -> Result<Vec<Record>, StoreError> {
        let mut records = self.inner.load().await?;
        for record in &mut records {
            record.value = self.seal.unseal(&record.key, &record.value)?;
        }
        Ok(records)
    }

    async fn commit(&self, mut changes: Vec<Change>) -> Result<Version, StoreError> {
        for Change { key, value, .. } in &mut changes {
            if let Some(value) = value {
                let sealed = self.seal.seal(key, value)?;
                zeroize::Zeroize::zeroize(value);
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
