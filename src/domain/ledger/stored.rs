//! One record of the ledger: what its key says it is, and its value, decoded.

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::{Rotation, StoredRole};
use crate::domain::anchor::Anchor;
use crate::domain::anchor_rotation::AnchorToken;
use crate::domain::lease::{LeaseId, LeaseRecord};
use crate::domain::name::RoleName;
use crate::domain::ports::StoreError;
use crate::domain::printable::record_key;

/// A decoded record.
#[derive(Debug, Clone)]
pub enum Stored {
    /// A role written through the mount.
    Role(RoleName, StoredRole),
    /// An anchor written through the mount.
    Anchor(Anchor),
    /// A token made for an anchor, or replaced by one, that is not settled.
    AnchorToken(Box<AnchorToken>),
    /// The id of a team that a role document named, by [`super::team_key`].
    Team(String, String),
    /// A lease that is not proven gone.
    Lease(Box<LeaseRecord>),
    /// The end of a lingering lease.
    Linger(LeaseId, Timestamp),
    /// The absolute end of a lease, moved by a step of the wall clock.
    End(LeaseId, Timestamp),
    /// The number of a name, deleted ones included.
    Number(RoleName, u32),
    /// The last rotation of a role.
    Rotation(RoleName, Rotation),
    /// First serial that may be given out.
    NextSerial(u64),
}

impl Stored {
    /// Decodes an unsealed value by its record's key.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]; the sentence names the key and never repeats the value.
    pub fn decode(key: &str, value: &[u8]) -> Result<Self, StoreError> {
        let (kind, name) = key.split_once('/').unwrap_or((key, ""));
        Ok(match kind {
            "role" => Self::Role(parse_name(key, name)?, json(key, value)?),
            "anchor" => Self::Anchor(json(key, value)?),
            "anchor-token" => Self::AnchorToken(json(key, value)?),
            "team" => Self::Team(name.to_owned(), json(key, value)?),
            "lease" => Self::Lease(json(key, value)?),
            "linger" => {
                let (id, end) = json(key, value)?;
                Self::Linger(id, end)
            }
            "end" => {
                let (id, end) = json(key, value)?;
                Self::End(id, end)
            }
            "number" => Self::Number(parse_name(key, name)?, json(key, value)?),
            "rotation" => Self::Rotation(parse_name(key, name)?, json(key, value)?),
            "counter" => Self::NextSerial(json(key, value)?),
            _ => return Err(corrupt(key)),
        })
    }

    /// The kind of record, as a report names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Role(..) => "role",
            Self::Anchor(_) => "anchor",
            Self::AnchorToken(_) => "anchor-token",
            Self::Team(..) => "team",
            Self::Lease(_) => "lease",
            Self::Linger(..) => "linger",
            Self::End(..) => "end",
            Self::Number(..) => "number",
            Self::Rotation(..) => "rotation",
            Self::NextSerial(_) => "counter",
        }
    }
}

fn json<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, StoreError> {
    // The parser's message could quote a value; the key is enough.
    serde_json::from_slice(value).map_err(|_| corrupt(key))
}

fn parse_name(key: &str, name: &str) -> Result<RoleName, StoreError> {
    name.parse().map_err(|_| corrupt(key))
}

fn corrupt(key: &str) -> StoreError {
    let key = record_key(key);
    StoreError::Corrupt(format!(
        "the ledger's record \"{key}\" cannot be understood; it was written by another version, or the file is damaged: restore the state directory from a backup"
    ))
}
