//! The durable record of everything we have made upstream and not yet proven gone (DESIGN 8), and of roles and anchors.
//!
//! Typed records over [`Store`]. A token can only be published as [`Durable`], and only [`Ledger::live`] makes one: so
//! nothing is handed out that the store has not accepted.

mod stored;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

pub use self::stored::Stored;
use super::anchor::{Address, Anchor};
use super::anchor_rotation::AnchorToken;
use super::lease::{LeaseId, LeaseRecord, Phase, Serial};
use super::name::{AnchorName, RoleName};
use super::parallel::in_parts;
use super::ports::{Change, Expect, Store, StoreError, Version};
use super::role::Role;
use super::token::Issued;

/// Serials are reserved in steps of this, so that a LOOKUP never waits for the disk.
pub const SERIAL_STEP: u64 = 65_536;

/// A value that the store has accepted.
#[derive(Debug, Clone)]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// For tests of what follows from it, without a store.
    #[cfg(test)]
    pub(in crate::domain) fn assumed(value: T) -> Self {
        Self(value)
    }
}

/// A role as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredRole {
    /// The role.
    pub role: Role,
    /// When it was last written.
    pub changed_at: Timestamp,
}

/// Last rotation of a role or anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// When.
    pub at: Timestamp,
    /// Who asked; `None` = the daemon.
    pub uid: Option<u32>,
}

/// Everything a start needs.
#[derive(Debug, Default)]
pub struct Contents {
    /// Roles written through the mount.
    pub roles: Vec<(RoleName, StoredRole)>,
    /// Anchors written through the mount.
    pub anchors: Vec<Anchor>,
    /// Every lease that is not proven gone.
    pub leases: Vec<LeaseRecord>,
    /// Every token of a rotated anchor that is not proven gone.
    pub anchor_tokens: Vec<AnchorToken>,
    /// When lingering leases were last closed: their ends.
    pub lingers: FxHashMap<LeaseId, Timestamp>,
    /// Ends that a step of the wall clock has moved; they stand in place of the records'.
    pub ends: FxHashMap<LeaseId, Timestamp>,
    /// Numbers of names, deleted ones included.
    pub numbers: HashMap<RoleName, u32>,
    /// Ids of teams that role documents named, by [`team_key`].
    pub teams: HashMap<String, String>,
    /// Last rotations.
    pub rotations: HashMap<RoleName, Rotation>,
    /// First serial that may be given out.
    pub next_serial: u64,
}

impl Contents {
    /// Takes in what was found in another part of the ledger.
    fn append(&mut self, part: Self) {
        self.roles.extend(part.roles);
        self.anchors.extend(part.anchors);
        self.leases.extend(part.leases);
        self.anchor_tokens.extend(part.anchor_tokens);
        self.lingers.extend(part.lingers);
        self.ends.extend(part.ends);
        self.numbers.extend(part.numbers);
        self.teams.extend(part.teams);
        self.rotations.extend(part.rotations);
        // Zero where it was not found; serials are never given back.
        self.next_serial = self.next_serial.max(part.next_serial);
    }
}

/// What was found in a part of the ledger.
#[derive(Default)]
struct Found {
    contents: Contents,
    /// Of the leases.
    versions: Vec<(LeaseId, Version)>,
}

impl Found {
    fn take(&mut self, stored: Stored, version: Version) {
        let contents = &mut self.contents;
        match stored {
            Stored::Role(name, role) => contents.roles.push((name, role)),
            Stored::Anchor(anchor) => contents.anchors.push(anchor),
            Stored::AnchorToken(token) => contents.anchor_tokens.push(*token),
            Stored::Lease(lease) => {
                self.versions.push((lease.id.clone(), version));
                contents.leases.push(*lease);
            }
            Stored::Linger(id, end) => drop(contents.lingers.insert(id, end)),
            Stored::End(id, end) => drop(contents.ends.insert(id, end)),
            Stored::Number(name, number) => drop(contents.numbers.insert(name, number)),
            Stored::Rotation(name, rotation) => drop(contents.rotations.insert(name, rotation)),
            Stored::Team(key, id) => drop(contents.teams.insert(key, id)),
            Stored::NextSerial(next) => contents.next_serial = next,
        }
    }
}

/// One typed change of a commit.
#[derive(Debug, Clone)]
pub enum Entry {
    /// Write a role.
    Role(RoleName, StoredRole),
    /// Remove a role.
    NoRole(RoleName),
    /// Write an anchor.
    Anchor(Anchor),
    /// Remove an anchor.
    NoAnchor(AnchorName),
    /// Write what is left to do for the rotation of an anchor.
    AnchorToken(Box<AnchorToken>),
    /// Nothing is left to do for it.
    NoAnchorToken(LeaseId),
    /// Number a name.
    Number(RoleName, u32),
    /// Note a rotation.
    Rotation(RoleName, Rotation),
    /// Rewrite a lease whose phase does not change (its role was renamed).
    Lease(Box<LeaseRecord>),
    /// Note the id of a team that was looked up; the key is [`team_key`].
    Team(String, String),
    /// Note the end of a lingering lease; `None` = held.
    Linger(LeaseId, Option<Timestamp>),
    /// Note the absolute end of a lease that a step of the wall clock has moved; `None` = as its record says. Not in the
    /// record: that may be on its way to `Revoking`, which no late writer may undo.
    End(LeaseId, Option<Timestamp>),
}

/// Typed access to the store.
pub struct Ledger {
    store: Arc<dyn Store>,
    /// Version of each lease record we wrote or read: what a compare-and-swap expects. Taken for moments only.
    versions: Mutex<FxHashMap<LeaseId, Version>>,
}

impl Ledger {
    /// Over a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, versions: Mutex::default() }
    }

    /// Reads everything.
    ///
    /// # Errors
    /// The store's, and [`StoreError::Corrupt`] for a record that cannot be understood.
    pub async fn load(&self) -> Result<Contents, StoreError> {
        let mut records = self.store.load().await?;
        let parts = in_parts(&mut records, |part| {
            let mut found = Found::default();
            for record in part {
                let stored = Stored::decode(&record.key, &record.value);
                // Freed here, by all threads.
                std::mem::take(&mut record.value).zeroize();
                found.take(stored?, record.version);
            }
            Ok::<_, StoreError>(found)
        });
        let mut contents = Contents { next_serial: 1, ..Contents::default() };
        contents.leases.reserve(records.len());
        for found in parts {
            let Found { contents: part, versions } = found?;
            contents.append(part);
            self.versions.lock().extend(versions);
        }
        one_number_each(&contents.leases)?;
        self.drop_stray_notes(&mut contents).await?;
        Ok(contents)
    }

    /// An end may be noted just after its lease was removed; nothing else would ever remove the note.
    async fn drop_stray_notes(&self, contents: &mut Contents) -> Result<(), StoreError> {
        let stray: Vec<Entry> = {
            // Just read, so it has all leases and no others.
            let known = self.versions.lock();
            let lingers = contents.lingers.extract_if(|id, _| !known.contains_key(id));
            let lingers = lingers.map(|(id, _)| Entry::Linger(id, None));
            let ends = contents.ends.extract_if(|id, _| !known.contains_key(id));
            lingers.chain(ends.map(|(id, _)| Entry::End(id, None))).collect()
        };
        if stray.is_empty() { Ok(()) } else { self.write(stray).await }
    }

    /// Step 1 of making a token: the intent is durable.
    ///
    /// # Errors
    /// The store's.
    pub async fn intent(&self, record: LeaseRecord) -> Result<Durable<LeaseRecord>, StoreError> {
        debug_assert_eq!(record.phase, Phase::Intent);
        self.swap(record, Expect::Absent).await
    }

    /// Step 3 of making a token: its id and secret are durable.
    ///
    /// # Errors
    /// The store's; the intent stands then.
    pub async fn live(&self, intent: &LeaseRecord, issued: &Issued) -> Result<Durable<LeaseRecord>, StoreError> {
        let record = intent.made(issued);
        let expect = self.expected(&record.id);
        self.swap(record, expect).await
    }

    /// Step 1 of a revocation: the decision is durable.
    ///
    /// # Errors
    /// The store's.
    pub async fn revoking(&self, lease: &LeaseRecord) -> Result<Durable<LeaseRecord>, StoreError> {
        let record = LeaseRecord { phase: Phase::Revoking, ..lease.clone() };
        // A commit that failed may have reached the disk all the same; this one is repeated until it is accepted.
        self.swap(record, Expect::Any).await
    }

    /// Last step: the token is proven gone, or was never made.
    ///
    /// # Errors
    /// The store's.
    pub async fn gone(&self, id: &LeaseId) -> Result<(), StoreError> {
        let change = |kind: &str| Change { key: format!("{kind}/{id}"), expect: Expect::Any, value: None };
        self.store.commit(vec![change("lease"), change("linger"), change("end")]).await?;
        self.versions.lock().remove(id);
        Ok(())
    }

    /// Several entries at once, all or nothing.
    ///
    /// # Errors
    /// The store's.
    pub async fn write(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        let mut leases = Vec::new();
        let changes = entries
            .into_iter()
            .map(|entry| {
                let (key, value) = match entry {
                    Entry::Role(name, role) => (format!("role/{name}"), Some(encode(&role))),
                    Entry::NoRole(name) => (format!("role/{name}"), None),
                    Entry::Anchor(anchor) => (format!("anchor/{}", anchor.name), Some(encode(&anchor))),
                    Entry::NoAnchor(name) => (format!("anchor/{name}"), None),
                    Entry::AnchorToken(token) => (format!("anchor-token/{}", token.id), Some(encode(&token))),
                    Entry::NoAnchorToken(id) => (format!("anchor-token/{id}"), None),
                    Entry::Number(name, number) => (format!("number/{name}"), Some(encode(&number))),
                    Entry::Rotation(name, rotation) => (format!("rotation/{name}"), Some(encode(&rotation))),
                    Entry::Team(key, id) => (format!("team/{key}"), Some(encode(&id))),
                    Entry::Linger(id, Some(end)) => (format!("linger/{id}"), Some(encode(&(&id, end)))),
                    Entry::Linger(id, None) => (format!("linger/{id}"), None),
                    Entry::End(id, Some(end)) => (format!("end/{id}"), Some(encode(&(&id, end)))),
                    Entry::End(id, None) => (format!("end/{id}"), None),
                    Entry::Lease(lease) => {
                        leases.push(lease.id.clone());
                        let value = Some(encode(&lease));
                        return Change { key: format!("lease/{}", lease.id), expect: self.expected(&lease.id), value };
                    }
                };
                Change { key, expect: Expect::Any, value }
            })
            .collect();
        let version = self.store.commit(changes).await?;
        let mut versions = self.versions.lock();
        for id in leases {
            versions.insert(id, version);
        }
        Ok(())
    }

    /// Reserves serials up to `limit` (exclusive).
    ///
    /// # Errors
    /// The store's.
    pub async fn reserve(&self, limit: Serial) -> Result<(), StoreError> {
        let change = Change { key: "counter/serial".into(), expect: Expect::Any, value: Some(encode(&limit.0)) };
        self.store.commit(vec![change]).await.map(|_| ())
    }

    async fn swap(&self, record: LeaseRecord, expect: Expect) -> Result<Durable<LeaseRecord>, StoreError> {
        let change = Change { key: format!("lease/{}", record.id), expect, value: Some(encode(&record)) };
        let version = self.store.commit(vec![change]).await?;
        self.versions.lock().insert(record.id.clone(), version);
        Ok(Durable(record))
    }

    fn expected(&self, id: &LeaseId) -> Expect {
        self.versions.lock().get(id).map_or(Expect::Absent, |version| Expect::Version(*version))
    }
}

/// Two leases with one number would be one in memory, and the token of the other would be lost track of.
fn one_number_each(leases: &[LeaseRecord]) -> Result<(), StoreError> {
    let mut seen = rustc_hash::FxHashSet::default();
    match leases.iter().find(|lease| !seen.insert(lease.serial)) {
        None => Ok(()),
        Some(lease) => Err(StoreError::Corrupt(format!(
            "the ledger has two leases with the number {}, so it is damaged: restore the state directory from a backup",
            lease.serial.0
        ))),
    }
}

/// What the id of a team is kept under: its anchor's server, its organization and its name.
pub fn team_key(address: &Address, organization: &str, team: &str) -> String {
    format!("{}/{organization}/{team}", address.host())
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // A buffer that grows leaves copies of a token behind; no record with one is as large as this.
    let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(16 * 1024));
    serde_json::to_writer(&mut *bytes, value).expect("ledger records have string keys and no failing serializers");
    bytes.to_vec()
}
