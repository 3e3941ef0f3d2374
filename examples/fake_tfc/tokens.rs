//! Every token that was ever made, and the indices that keep look-ups fast with many thousands of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::owner::{Kind, Owner};

/// A token as the server knows it. Not `Debug`, because it holds the secret.
pub struct Row {
    pub id: String,
    pub secret: String,
    pub owner: Owner,
    pub kind: Kind,
    pub description: Option<String>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub created_by: Option<Owner>,
    pub deleted_at: Option<Timestamp>,
    pub seeded: bool,
    order: u64,
}

impl Row {
    /// Whether its time is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }

    /// How long it was made for; `None` is for ever.
    pub fn lifetime(&self) -> Option<SignedDuration> {
        self.expires_at.map(|end| end.duration_since(self.created_at))
    }
}

/// What a token is made of.
pub struct NewToken {
    pub secret: String,
    pub owner: Owner,
    pub kind: Kind,
    pub description: Option<String>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub created_by: Option<Owner>,
    pub seeded: bool,
}

/// A token as tests see it: everything but the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenInfo {
    /// `at-…`.
    pub id: String,
    /// Whose.
    pub owner: Owner,
    /// Which collection of the owner.
    pub kind: Kind,
    /// As sent; `None` for slots.
    pub description: Option<String>,
    /// Server time.
    pub created_at: Timestamp,
    /// `None` never ends.
    pub expires_at: Option<Timestamp>,
    /// Of the last request that it authenticated.
    pub last_used_at: Option<Timestamp>,
    /// Whether `account/details` accepts it now.
    pub alive: bool,
    /// Whether a call or a replacement has removed it; it may still be alive for the revocation lag.
    pub deleted: bool,
    /// Made by the test and not through the API.
    pub seeded: bool,
}

/// The tokens.
#[derive(Default)]
pub struct TokenTable {
    rows: HashMap<String, Row>,
    by_secret: HashMap<String, String>,
    existing: HashMap<Owner, BTreeMap<u64, String>>,
    slots: HashMap<(Owner, Kind), String>,
    descriptions: HashSet<(Owner, String)>,
    creates: HashMap<(Owner, Kind), usize>,
    next_order: u64,
}

impl TokenTable {
    /// Adds a token under a fresh id. In a slot it takes the place of the former, which dies in the same step.
    pub fn insert(&mut self, new: NewToken) -> &Row {
        let slot = (new.owner.clone(), new.kind);
        if new.kind.is_slot()
            && let Some(former) = self.slots.get(&slot).cloned()
        {
            self.delete(&former, new.created_at);
        }
        let id = super::ids::id("at");
        let order = self.next_order;
        self.next_order += 1;
        if new.kind.is_slot() {
            self.slots.insert(slot.clone(), id.clone());
        }
        if let Some(text) = &new.description {
            self.descriptions.insert((new.owner.clone(), text.clone()));
        }
        self.existing.entry(new.owner.clone()).or_default().insert(order, id.clone());
        self.by_secret.insert(new.secret.clone(), id.clone());
        if !new.seeded {
            *self.creates.entry(slot).or_default() += 1;
        }
        let NewToken { secret, owner, kind, description, created_at, expires_at, created_by, seeded } = new;
        self.rows.entry(id.clone()).or_insert(Row {
            id,
            secret,
            owner,
            kind,
            description,
            created_at,
            expires_at,
            last_used_at: None,
            created_by,
            deleted_at: None,
            seeded,
            order,
        })
    }

    /// Removes a token; false if there is none with that id any more.
    pub fn delete(&mut self, id: &str, now: Timestamp) -> bool {
        let Some(row) = self.rows.get_mut(id).filter(|row| row.deleted_at.is_none()) else { return false };
        row.deleted_at = Some(now);
        if let Some(ids) = self.existing.get_mut(&row.owner) {
            ids.remove(&row.order);
        }
        if row.kind.is_slot() {
            self.slots.remove(&(row.owner.clone(), row.kind));
        }
        if let Some(text) = &row.description {
            self.descriptions.remove(&(row.owner.clone(), text.clone()));
        }
        true
    }

    /// A token that has not been deleted (it may have expired).
    pub fn get(&self, id: &str) -> Option<&Row> {
        self.rows.get(id).filter(|row| row.deleted_at.is_none())
    }

    /// The same, also if deleted.
    pub fn get_any(&self, id: &str) -> Option<&Row> {
        self.rows.get(id)
    }

    /// The row of a secret, also if deleted.
    pub fn by_secret(&self, secret: &str) -> Option<&Row> {
        self.rows.get(self.by_secret.get(secret)?)
    }

    /// What a slot holds.
    pub fn in_slot(&self, owner: &Owner, kind: Kind) -> Option<&Row> {
        self.get(self.slots.get(&(owner.clone(), kind))?)
    }

    /// The owner's tokens that have not been deleted, oldest first.
    pub fn of<'a>(&'a self, owner: &Owner) -> impl Iterator<Item = &'a Row> + use<'a> {
        self.existing.get(owner).into_iter().flat_map(|ids| ids.values()).filter_map(|id| self.rows.get(id))
    }

    /// How many that are.
    pub fn count_of(&self, owner: &Owner) -> usize {
        self.existing.get(owner).map_or(0, BTreeMap::len)
    }

    /// Every token ever made, oldest first.
    pub fn all(&self) -> Vec<&Row> {
        let mut rows: Vec<_> = self.rows.values().collect();
        rows.sort_by_key(|row| row.order);
        rows
    }

    /// Whether the owner has a token described so.
    pub fn is_described(&self, owner: &Owner, description: &str) -> bool {
        self.descriptions.contains(&(owner.clone(), description.to_owned()))
    }

    /// How many were made through the API.
    pub fn creates(&self, owner: &Owner, kind: Kind) -> usize {
        self.creates.get(&(owner.clone(), kind)).copied().unwrap_or(0)
    }

    /// Notes a use.
    pub fn touch(&mut self, id: &str, now: Timestamp) {
        if let Some(row) = self.rows.get_mut(id) {
            row.last_used_at = Some(now);
        }
    }

    /// Gives a token another end (a scripted fault).
    pub fn set_end(&mut self, id: &str, end: Option<Timestamp>) {
        if let Some(row) = self.rows.get_mut(id) {
            row.expires_at = end;
        }
    }
}
