//! The end of a daemon: for good, or only of this process.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Issuer, Pending};
use crate::domain::error::{Ended, Error};
use crate::domain::lease::Serial;
use crate::domain::role::OnClose;

/// How often a stop looks whether its revocations are proven; the keeper has taken the wake-ups.
const POLL: Duration = Duration::from_millis(10);

impl Issuer {
    /// The daemon stops: makes nothing any more, closes every handle, keeps what may live on, revokes what policy says,
    /// and waits for that and for the calls under way until `deadline`. Returns how much is left (it is in the ledger).
    pub async fn drain(self: &Arc<Self>, deadline: Duration) -> usize {
        self.stopping.store(true, Ordering::Release);
        let mut flying = usize::MAX;
        let drained = async {
            loop {
                // Each call under way that ends may have made one more token.
                let still = self.book.lock().flying();
                if still < flying {
                    flying = still;
                    self.retire().await;
                }
                self.attempt_due();
                // What an anchor left behind may wait for an operator: tried once, it does not hold up the stop.
                let waits = |one: &Pending| one.anchor_token().is_none() || one.attempts == 0;
                let waiting = self.pending.lock().values().any(waits);
                // A rotation of an anchor: the answer about an organization's only token must not be lost.
                if flying == 0 && !waiting && self.anchors.try_lock().is_ok() {
                    return;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let _ = tokio::time::timeout(deadline, drained).await;
        self.pending.lock().len() + self.book.lock().flying()
    }

    /// The daemon hands over to another one, which goes on with everything: waits at most `deadline` for the calls under way,
    /// whose answers would be lost, and lets nothing end. Nothing is made any more; see [`Issuer::unless_left`].
    pub async fn hand_over(&self, deadline: Duration) {
        self.handing_over.store(true, Ordering::Release);
        self.stopping.store(true, Ordering::Release);
        let over = async {
            while self.book.lock().flying() > 0 || self.anchors.try_lock().is_err() {
                tokio::time::sleep(POLL).await;
            }
        };
        let _ = tokio::time::timeout(deadline, over).await;
        if let Err(error) = self.write_lingers().await {
            tracing::warn!(%error, "ends of leases are not in the ledger; the next daemon counts them anew");
        }
    }

    /// What was refused only because this daemon hands over is left to the next one: nobody is answered, so that nothing is
    /// on record as refused either.
    pub(super) async fn unless_left<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if matches!(result, Err(Error::Stopping)) && self.handing_over.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
        result
    }

    /// Closes every handle and ends what policy says.
    async fn retire(self: &Arc<Self>) {
        let now = self.now();
        let (revoke, all): (Vec<Serial>, Vec<Serial>) = {
            let mut book = self.book.lock();
            let all: Vec<Serial> = book.leases().map(|lease| lease.record.serial).collect();
            let mut revoke = Vec::new();
            for serial in &all {
                let Some(lease) = book.lease(*serial) else { continue };
                let (handles, live) = (lease.handles, lease.is_live(now));
                let by_policy = handles > 0 && lease.record.on_close == OnClose::Revoke;
                for _ in 0..handles {
                    book.release(*serial, now);
                }
                if live && (by_policy || self.settings.stop_ends_all()) {
                    revoke.push(*serial);
                }
            }
            (revoke, all)
        };
        self.unnoted.lock().serials.extend(all);
        if !self.settings.ephemeral
            && let Err(error) = self.write_lingers().await
        {
            tracing::warn!(%error, "the ends of lingering leases could not be written");
        }
        for serial in revoke {
            self.end_soon(serial, Ended::Revoked);
        }
    }
}
