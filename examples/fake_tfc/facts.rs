//! What tests ask the server.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Fake;
use super::log::{Logged, Trapped, most_in_one_second};
use super::owner::{Kind, Owner};
use super::tokens::TokenInfo;
use super::world::World;

impl World {
    /// Tokens that work now, oldest first.
    pub fn live(&self) -> Vec<TokenInfo> {
        self.all().into_iter().filter(|token| token.alive).collect()
    }

    /// Every token ever made, oldest first.
    pub fn all(&self) -> Vec<TokenInfo> {
        self.tokens.all().into_iter().map(|row| self.info(row)).collect()
    }

    /// Tokens that the API made, that work now and that are not among `known`.
    pub fn orphans(&self, known: &BTreeSet<String>) -> Vec<TokenInfo> {
        self.live().into_iter().filter(|token| !token.seeded && !known.contains(&token.id)).collect()
    }
}

impl Fake {
    /// Tokens that work now (a deleted one does for the revocation lag), seeded ones too, oldest first.
    pub fn live_tokens(&self) -> Vec<TokenInfo> {
        self.shared.world.lock().live()
    }

    /// The same of one owner, all kinds.
    pub fn live_tokens_of(&self, owner: &Owner) -> Vec<TokenInfo> {
        self.live_tokens().into_iter().filter(|token| token.owner == *owner).collect()
    }

    /// Every token ever made, dead or alive, oldest first.
    pub fn all_tokens(&self) -> Vec<TokenInfo> {
        self.shared.world.lock().all()
    }

    /// Tokens that were made through the API, work now and are not in `known`.
    pub fn orphans<I: IntoIterator<Item: AsRef<str>>>(&self, known: I) -> Vec<TokenInfo> {
        let known = known.into_iter().map(|id| id.as_ref().to_owned()).collect();
        self.shared.world.lock().orphans(&known)
    }

    /// Whether `account/details` accepts the secret now.
    pub fn is_live(&self, secret: &str) -> bool {
        let world = self.shared.world.lock();
        world.tokens.by_secret(secret).is_some_and(|row| world.is_alive(row))
    }

    /// What is known about a secret; `None` if it was never made here.
    pub fn token_of_secret(&self, secret: &str) -> Option<TokenInfo> {
        let world = self.shared.world.lock();
        world.tokens.by_secret(secret).map(|row| world.info(row))
    }

    /// The newest token whose secret is such: for readers that show a digest only.
    pub fn token_where(&self, is_such: impl Fn(&str) -> bool) -> Option<TokenInfo> {
        let world = self.shared.world.lock();
        let rows = world.tokens.all();
        rows.into_iter().rev().find(|row| is_such(&row.secret)).map(|row| world.info(row))
    }

    /// What is known about a token, also when it is gone.
    pub fn token(&self, id: &str) -> Option<TokenInfo> {
        let world = self.shared.world.lock();
        world.tokens.get_any(id).map(|row| world.info(row))
    }

    /// How many tokens were made through the API in this collection of an owner.
    pub fn creates(&self, owner: &Owner, kind: Kind) -> usize {
        self.shared.world.lock().tokens.creates(owner, kind)
    }

    /// Every request to the API, oldest first.
    pub fn requests(&self) -> Vec<Logged> {
        self.shared.world.lock().log.entries().to_vec()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.world.lock().log.clear();
    }

    /// The most requests that arrived within any one second of real time, refused ones included.
    pub fn max_requests_in_one_second(&self) -> usize {
        let world = self.shared.world.lock();
        most_in_one_second(world.log.entries().iter().map(|logged| logged.arrived))
    }

    /// The same for the tokens of one owner, which is what upstream limits.
    pub fn max_requests_in_one_second_of(&self, owner: &Owner) -> usize {
        let world = self.shared.world.lock();
        let entries = world.log.entries().iter().filter(|logged| logged.owner.as_ref() == Some(owner));
        most_in_one_second(entries.map(|logged| logged.arrived))
    }

    /// Requests that followed a redirect to [`Fake::trap_url`].
    pub fn trapped(&self) -> Vec<Trapped> {
        self.shared.world.lock().trapped.clone()
    }

    /// The server's clock.
    pub fn now(&self) -> Timestamp {
        self.shared.world.lock().clock.now()
    }

    /// How many faults have calls to come (`Always` ones are always counted).
    pub fn pending_faults(&self) -> usize {
        self.shared.world.lock().script.pending()
    }
}
