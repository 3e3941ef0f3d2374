//! The way out of a revocation that can never be proven: an operator says so, and it is on record who.

use std::sync::Arc;
use std::time::Duration;

use super::Issuer;
use super::queue::Doomed;
use crate::domain::error::Error;
use crate::domain::event::Event;
use crate::domain::lease::{LeaseRecord, Serial};

/// How often a command looks whether the attempt under way has ended.
const POLL: Duration = Duration::from_millis(50);

impl Issuer {
    /// Gives up the revocation of a lease: its record goes, though its token may live upstream until its own end. Waits
    /// for an attempt under way at most `deadline`.
    ///
    /// # Errors
    /// Nothing of that name; a live lease; the token of an anchor; the ledger's: it stays pending then.
    pub async fn forget(self: &Arc<Self>, id: &str, uid: u32, deadline: Duration) -> Result<(), Error> {
        let taken = tokio::time::timeout(deadline, async {
            loop {
                if let Some((serial, record)) = self.take_pending(id)? {
                    return Ok((serial, record));
                }
                tokio::time::sleep(POLL).await;
            }
        });
        let (serial, record) = taken.await.unwrap_or(Err(Error::Deadline(deadline)))?;
        if let Err(error) = self.ledger.gone(&record.id).await {
            if let Some(mut one) = self.pending.lock().change(serial) {
                one.running = false;
            }
            self.wake.notify_one();
            return Err(error.into());
        }
        self.pending.lock().remove(serial);
        self.book.lock().gone(serial);
        let token = record.token_id.as_ref().map_or("(unknown)", |id| id.0.as_str());
        tracing::warn!(uid, lease = %record.id, role = %record.role, owner = %record.owner, token_id = token,
            "forgotten on command: its token may live upstream until its own end");
        self.observe(Event::Forgotten { lease: record, uid });
        Ok(())
    }

    /// Takes the place of an attempt, so that none begins; `None` while one runs.
    fn take_pending(&self, id: &str) -> Result<Option<(Serial, Box<LeaseRecord>)>, Error> {
        let mut pending = self.pending.lock();
        let Some(one) = pending.values().find(|one| one.id().as_str() == id) else {
            drop(pending);
            return Err(match self.book.lock().lease_by_id(id).is_some_and(|lease| lease.ended.is_none()) {
                true => Error::NotSupported(format!(
                    "lease {id} is alive, and only a revocation that waits can be forgotten: rm its file in leases/ revokes it"
                )),
                false => Error::NotFound { what: format!("revocation of a lease \"{id}\" that waits") },
            });
        };
        let Doomed::Lease(record) = &one.doomed else {
            return Err(Error::NotSupported(
                "this is the token of an anchor, not of a lease: delete it by hand upstream, and it goes by itself"
                    .into(),
            ));
        };
        if one.running {
            return Ok(None);
        }
        let taken = (record.serial, record.clone());
        if let Some(mut one) = pending.change(taken.0) {
            one.running = true;
        }
        Ok(Some(taken))
    }
}
