//! Lists of tokens, read once for many searches: a thousand lost answers must not cost a thousand walks through all pages.
//!
//! While a list is walked nothing of it is deleted by us: what is deleted moves others from a page that is still to come to
//! one that was read, and a token that was not seen would be taken for one that was never made.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::Issuer;
use super::queue::Lost;
use super::revoke::SETTLED;
use crate::domain::anchor::{Access, Address};
use crate::domain::lease::later;
use crate::domain::owner::Owner;
use crate::domain::ports::ApiError;
use crate::domain::timeline::earlier;
use crate::domain::token::{Listed, TokenId};

/// While a lost call may still arrive, a list is walked again after this many times as long as it took: so the walks cost a
/// tenth of the rate at most.
const REUSE: u32 = 10;

/// And after this part of the time that has passed since the call was given up. Searches that began together come back at
/// about the same time, the later the less exactly.
const STEADY: u32 = 8;

/// What is listed together at a server: the tokens of a user, or those of all teams of an organization.
type Key = (String, String);

/// One list and its last readings: a walk keeps the tokens of one owner. Whoever deletes something of it reads the lock, who
/// walks it writes.
pub(super) type Shelf = Arc<RwLock<HashMap<Owner, Listing>>>;

/// All lists that searches have asked for. There are as many as users and organizations, so they stay.
pub(super) type Shelves = HashMap<Key, Shelf>;

/// A reading of a list: the tokens of one owner.
#[derive(Debug)]
pub(super) struct Listing {
    /// When the walk began, by the clock that nobody sets.
    begun: Duration,
    /// How long it took.
    took: Duration,
    tokens: HashMap<String, Vec<TokenId>>,
}

impl Listing {
    fn new(begun: Duration, took: Duration, listed: Vec<Listed>) -> Self {
        let mut tokens: HashMap<String, Vec<TokenId>> = HashMap::new();
        for one in listed {
            if let Some(description) = one.description {
                tokens.entry(description).or_default().push(one.id);
            }
        }
        Self { begun, took, tokens }
    }

    /// Tokens of that description.
    fn described(&self, description: &str) -> Vec<TokenId> {
        self.tokens.get(description).cloned().unwrap_or_default()
    }

    /// Whether a search for a call that was given up at `since` need not walk the list anew. `begun` is the beginning of the
    /// walk by the wall clock.
    fn serves(begun: Timestamp, took: Duration, since: Timestamp, now: Timestamp) -> bool {
        let settled = later(since, SETTLED);
        // What a walk after that has not seen was never made, however long ago the walk was.
        let passed = Duration::try_from(since.duration_until(now)).unwrap_or_default();
        let good = (took * REUSE).max(passed / STEADY);
        begun > settled || (now <= settled && begun > since && now <= later(begun, good))
    }
}

/// What a list says about a search.
pub(super) struct Found {
    pub(super) tokens: Vec<TokenId>,
    /// When the walk began.
    pub(super) begun: Timestamp,
}

fn key(address: &Address, owner: &Owner, organization: Option<&str>) -> Key {
    (address.origin().to_owned(), organization.unwrap_or_else(|| owner.id()).to_owned())
}

impl Issuer {
    /// Keeps a list from being walked while something of it is deleted. `None`: nobody searches it.
    pub(super) async fn keep_still(
        &self,
        address: &Address,
        owner: &Owner,
        organization: Option<&str>,
    ) -> Option<OwnedRwLockReadGuard<HashMap<Owner, Listing>>> {
        let shelf = self.shelves.lock().get(&key(address, owner, organization)).cloned()?;
        Some(shelf.read_owned().await)
    }

    /// The tokens with the description of a lost call, by a reading that others may have made.
    pub(super) async fn look_up(&self, lost: &Lost<'_>, access: &Access) -> Result<Found, ApiError> {
        let key = key(&access.address, lost.owner, lost.organization);
        let shelf = self.shelves.lock().entry(key).or_default().clone();
        let mut readings = shelf.write().await;
        let by_wall = |begun: Duration| earlier(self.now(), self.clock.running().saturating_sub(begun));
        if let Some(listing) = readings.get(lost.owner) {
            let begun = by_wall(listing.begun);
            if Listing::serves(begun, listing.took, lost.since, self.now()) {
                return Ok(Found { tokens: listing.described(lost.description), begun });
            }
        }
        let begun = self.clock.running();
        let listed = self.api.list(access, lost.owner, lost.organization).await?;
        let took = self.clock.running().saturating_sub(begun);
        let listing = Listing::new(begun, took, listed);
        let found = Found { tokens: listing.described(lost.description), begun: by_wall(begun) };
        readings.insert(lost.owner.clone(), listing);
        drop(readings);
        self.forget_listing(shelf, lost.owner.clone(), begun, took * REUSE + SETTLED);
        Ok(found)
    }

    /// Readings are large; one that nobody has renewed by then is of no use any more.
    fn forget_listing(&self, shelf: Shelf, owner: Owner, begun: Duration, after: Duration) {
        self.runtime.spawn(async move {
            tokio::time::sleep(after).await;
            let mut readings = shelf.write().await;
            if readings.get(&owner).is_some_and(|listing| listing.begun == begun) {
                readings.remove(&owner);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_serves_for_a_while_and_once_all_is_settled_for_ever() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let serves = |begun, took, now| Listing::serves(at(begun), Duration::from_secs(took), at(100), at(now));
        assert!(serves(101, 2, 102), "just read");
        assert!(serves(101, 2, 121), "ten times as long as it took");
        assert!(!serves(101, 2, 122));
        assert!(!serves(101, 0, 102), "the next attempt of a single search");
        assert!(serves(156, 0, 163) && !serves(154, 0, 163), "an eighth of the time that has passed");
        assert!(!serves(100, 2, 101), "read before the call was given up");
        assert!(!serves(185, 60, 191), "settled, but the reading was before");
        assert!(!serves(190, 60, 191));
        assert!(serves(191, 0, 100_000), "a reading after that shows all there is");
    }
}
