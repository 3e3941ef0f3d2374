//! Which tokens upstream refuses, and since when: by a hash that means nothing outside of this process.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::domain::anchor::Access;

/// Tokens of ended leases are refused too, once each. Of so many the one that was refused last the longest ago goes: an anchor
/// is refused again and again.
const MOST: usize = 512;

/// Since when, and when last.
type Times = (Timestamp, Timestamp);

/// The tokens that were refused when they were used last. The lock is held for moments.
#[derive(Default)]
pub(super) struct Refusals {
    hasher: RandomState,
    refused: Mutex<HashMap<u64, Times>>,
}

impl Refusals {
    fn key(&self, access: &Access) -> u64 {
        self.hasher.hash_one((access.address.origin(), access.token.expose()))
    }

    /// Upstream said 401.
    pub(super) fn refused(&self, access: &Access, now: Timestamp) {
        let mut refused = self.refused.lock();
        refused.entry(self.key(access)).or_insert((now, now)).1 = now;
        if refused.len() > MOST
            && let Some(oldest) = refused.iter().min_by_key(|(_, (_, last))| *last).map(|(key, _)| *key)
        {
            refused.remove(&oldest);
        }
    }

    /// Upstream accepted it.
    pub(super) fn accepted(&self, access: &Access) {
        self.refused.lock().remove(&self.key(access));
    }

    /// Since when it is refused.
    pub(super) fn since(&self, access: &Access) -> Option<Timestamp> {
        self.refused.lock().get(&self.key(access)).map(|(since, _)| *since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::anchor::Address;
    use crate::domain::token::Token;

    fn access(token: &str) -> Access {
        Access { address: Address::hcp(), token: Token::parse(token).unwrap(), owner: None }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_anchor_is_remembered_among_very_many_ended_tokens() {
        let refusals = Refusals::default();
        let anchor = access("anchor.atlasv1.x");
        for second in 0..5000 {
            if second % 100 == 0 {
                refusals.refused(&anchor, at(second));
            }
            refusals.refused(&access(&format!("lease{second}.atlasv1.x")), at(second));
        }
        assert_eq!(refusals.since(&anchor), Some(at(0)));
        assert_eq!(refusals.refused.lock().len(), MOST);
        refusals.accepted(&anchor);
        assert_eq!(refusals.since(&anchor), None);
        refusals.refused(&anchor, at(6000));
        assert_eq!(refusals.since(&anchor), Some(at(6000)));
    }
}
