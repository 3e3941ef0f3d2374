//! The loop that keeps promises about time: ends leases, mints successors of held ones, buries removed roles, repeats
//! revocations, rotates anchors and roles by schedule, notes lingering ends. Sleeps until the next thing is due; an idle daemon costs nothing.

use std::sync::Arc;
use std::time::Duration;

use super::issuer::Issuer;
use super::lease::{Opener, later};
use super::ports::StoreError;

/// After the ledger failed, the keeper tries again this much later.
const LEDGER_RETRY: Duration = Duration::from_secs(5);

impl Issuer {
    /// Runs for ever; drop the future to stop.
    pub async fn keep_time(self: Arc<Self>) {
        loop {
            self.disarm();
            match self.keep_once().await {
                Some(next) => {
                    self.armed_until(next);
                    let mut sleep = self.clock().sleep_until(next);
                    // A step back between the look at the clock and the setting of the timer would be slept through.
                    let set = tokio::select! {
                        biased;
                        () = &mut sleep => false,
                        () = std::future::ready(()) => true,
                    };
                    if set && !self.follow_clock() {
                        tokio::select! {
                            () = sleep => {}
                            () = self.wake.notified() => {}
                        }
                    }
                }
                None => self.wake.notified().await,
            }
        }
    }

    /// Does what is due now; returns when the next thing is.
    pub async fn keep_once(self: &Arc<Self>) -> Option<jiff::Timestamp> {
        self.follow_clock();
        let now = self.now();
        let due = self.book().due(now);
        for (serial, how) in due.ends {
            self.end_soon(serial, how);
        }
        for (scope, role) in due.renewals {
            let mut book = self.book();
            let opener = book.current_lease(&scope).map(|lease| lease.record.opener);
            self.start_flight(&mut book, &scope, &role, opener.unwrap_or(Opener { uid: 0, gid: 0 }), 0);
        }
        self.book().forget_failures(now);
        let graves = self.book().take_graves(now);
        for grave in graves {
            self.bury(grave).await;
        }
        let ledger: Result<(), StoreError> = async {
            self.reserve_serials().await?;
            match self.lingers_due() {
                Some(at) if at <= now => self.write_lingers().await,
                _ => Ok(()),
            }
        }
        .await;
        let retry = ledger.err().map(|error| {
            tracing::warn!(%error, "the ledger cannot be written");
            later(now, LEDGER_RETRY)
        });
        // What could not be written is due already: only the retry says when to look again.
        let lingers = self.lingers_due().filter(|_| retry.is_none());
        let (attempts, anchors, roles) = (self.attempt_due(), self.rotate_anchors_due(now), self.rotate_roles_due(now));
        [due.next, attempts, anchors, roles, retry, lingers].into_iter().flatten().min()
    }
}
