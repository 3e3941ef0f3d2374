//! A token in use that somebody else deleted, or replaced in its slot: found out beside its openers, who never wait.

use std::sync::Arc;

use super::Issuer;
use super::queue::Outcome;
use crate::domain::error::Ended;
use crate::domain::event::Event;
use crate::domain::lease::Serial;

impl Issuer {
    /// Asks upstream in the background whether the token of a live lease works, and ends the lease if it does not.
    pub(super) fn check_soon(self: &Arc<Self>, serial: Serial) {
        let issuer = self.clone();
        self.runtime.spawn(async move { issuer.check(serial).await });
    }

    async fn check(self: Arc<Self>, serial: Serial) {
        let found = {
            let book = self.book.lock();
            let record = book.lease(serial).filter(|lease| lease.ended.is_none()).map(|lease| lease.record.clone());
            record.and_then(|record| {
                let access = &book.anchor(&record.anchor)?.anchor.access;
                access.address.same_server(&record.address).then(|| (record, access.clone()))
            })
        };
        let Some((record, anchor)) = found else { return };
        if !matches!(self.ask_the_token(&record).await, Some(Outcome::Gone)) {
            return;
        }
        // An upstream that refuses everybody says nothing about this token.
        if self.api.whoami_in_background(&anchor).await.is_err() {
            return;
        }
        let ending = {
            let mut book = self.book.lock();
            // A rotation may have replaced it meanwhile.
            let superseded = book.lease(serial).is_none_or(|lease| lease.superseded_at.is_some());
            (!superseded).then(|| book.end(serial, Ended::Revoked)).flatten()
        };
        if let Some(ending) = ending {
            self.observe(Event::Refused { lease: Box::new(record) });
            // A policy may refuse what still exists: it is revoked like any other.
            self.finish(ending).await;
        }
    }
}
