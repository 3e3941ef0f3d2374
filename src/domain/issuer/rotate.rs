//! Rotation on command: a slot is regenerated, a minted token gets a successor with overlap.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Issuer, Waiter};
use crate::domain::error::{Ended, Error};
use crate::domain::event::Event;
use crate::domain::lease::{Opener, Scope, Serial, later};
use crate::domain::ledger::{Entry, Rotation};
use crate::domain::name::RoleName;
use crate::domain::role::{DEFAULT_MIN_ROTATION_INTERVAL, Share};

impl Issuer {
    /// Rotates a role and returns when the new token is stored and usable. `revoke`: the former tokens die at once,
    /// where old and new can live side by side.
    ///
    /// # Errors
    /// Unknown role, nothing to rotate, too soon, and what making the token met. On a failure the old token stays.
    pub async fn rotate(
        self: &Arc<Self>,
        name: &RoleName,
        opener: Opener,
        uid: Option<u32>,
        revoke: bool,
        deadline: Duration,
    ) -> Result<(), Error> {
        let rotated = self.rotate_made_before(Timestamp::MAX, name, opener, uid, revoke, deadline).await;
        self.unless_left(rotated).await
    }

    /// The same of tokens made before `made_before` only: a rotation that failed half-way is repeated for the rest.
    pub(super) async fn rotate_made_before(
        self: &Arc<Self>,
        made_before: Timestamp,
        name: &RoleName,
        opener: Opener,
        uid: Option<u32>,
        revoke: bool,
        deadline: Duration,
    ) -> Result<(), Error> {
        let now = self.now();
        let (role, last) = {
            let book = self.book.lock();
            (book.find_role(name)?.role.clone(), book.rotation(name))
        };
        if role.share == Share::Open {
            return Err(Error::NothingToRotate(name.clone()));
        }
        let interval = role.min_rotation_interval.unwrap_or(DEFAULT_MIN_ROTATION_INTERVAL);
        // One in the future was noted by a clock that has been set back since.
        if last.is_some_and(|last| last.at <= now && later(last.at, interval) > now) {
            return Err(Error::RotationTooSoon { interval });
        }
        let scopes: Vec<Scope> = {
            let book = self.book.lock();
            match role.share {
                Share::Unit => book.scopes_in_use(name, made_before),
                _ => vec![book.scope(name, 0, None, Serial(0))?],
            }
        };
        let started = tokio::time::Instant::now();
        let rotation = Rotation { at: now, uid };
        let former = self.book.lock().rotation(name);
        self.book.lock().rotated(name, rotation);
        let replaced = match tokio::time::timeout(deadline, self.replace_all(name, &scopes, opener)).await {
            Ok(Ok(replaced)) => replaced,
            failed => {
                // A rotation that did not happen does not count for the interval.
                self.book.lock().unrotated(name, former);
                return Err(failed.map_or(Error::Deadline(deadline), |result| result.err().unwrap_or(Error::Internal)));
            }
        };
        if revoke {
            // Ended for everybody here at once; upstream is waited for within the deadline, and beyond it asked for ever.
            let revoking: Vec<_> = replaced
                .into_iter()
                .map(|serial| {
                    let issuer = self.clone();
                    self.runtime.spawn(async move { issuer.revoke(serial, Ended::Revoked).await })
                })
                .collect();
            let left = deadline.saturating_sub(started.elapsed());
            let all = async {
                for one in revoking {
                    let _ = one.await;
                }
            };
            let _ = tokio::time::timeout(left, all).await;
        }
        // Only what happened is noted. Without the note a restart forgets the interval, no more.
        if let Err(error) = self.ledger.write(vec![Entry::Rotation(name.clone(), rotation)]).await {
            tracing::warn!(role = %name, %error, "the rotation could not be noted in the ledger");
        }
        self.observe(Event::Rotated { role: name.clone(), uid });
        Ok(())
    }

    /// Makes a new token in every scope; returns the leases that were current.
    async fn replace_all(
        self: &Arc<Self>,
        name: &RoleName,
        scopes: &[Scope],
        opener: Opener,
    ) -> Result<Vec<Serial>, Error> {
        let mut replaced = Vec::new();
        for scope in scopes {
            // A flight under way began before this command; its token is about to be the former one.
            let under_way = {
                let mut book = self.book.lock();
                book.is_flying(scope).then(|| book.board(scope, 0).0)
            };
            if let Some(mut landing) = under_way {
                let _ = landing.wait_for(Option::is_some).await;
            }
            let (landing, former) = {
                let mut book = self.book.lock();
                let former = book.current_lease(scope).map(|lease| lease.record.serial);
                (self.start_flight(&mut book, scope, name, opener, 1), former)
            };
            let mut waiter = Waiter { issuer: self, scope, landing, seated: true };
            let serial = waiter.land().await?;
            drop(waiter);
            // The hold of the landing was ours; nobody reads through it.
            self.give_back(serial);
            replaced.extend(former);
        }
        Ok(replaced)
    }
}
