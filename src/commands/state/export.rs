//! `tfcfs state export`: all records, no secret.
//!
//! Fields are named one by one where a record holds a secret, so that one which is added later stays out until somebody
//! decides.

use serde_json::{Value, json};

use super::check::{phase, whole};
use crate::adapters::sealing_key::{Owners, SealingKeySettings};
use crate::adapters::state_directory::{OpenedRecord, StateDirectory};
use crate::commands::print;
use crate::domain::anchor::{Address, Anchor};
use crate::domain::anchor_rotation::AnchorToken;
use crate::domain::lease::{LeaseRecord, Scope};
use crate::domain::ledger::Stored;
use crate::exit::Failure;

pub(super) fn export(places: &SealingKeySettings) -> Result<(), Failure> {
    let state = StateDirectory::existing(&places.state_directory, Owners::Any)?;
    let inspection = state.inspect(places)?;
    let records: Vec<Value> = inspection.records.iter().map(record).collect();
    print::json(&json!({
        "tfcfs": env!("CARGO_PKG_VERSION"),
        "format": inspection.format,
        "version": inspection.version.0,
        "interrupted_rekey": inspection.interrupted_rekey,
        "records": records,
    }))?;
    whole(&inspection)
}

fn record(record: &OpenedRecord) -> Value {
    let mut value = match &record.content {
        Ok(stored) => json!({ "kind": stored.kind(), "value": content(stored) }),
        Err(error) => json!({ "error": error.to_string() }),
    };
    value["key"] = record.key.as_str().into();
    value["version"] = record.version.0.into();
    value
}

fn content(stored: &Stored) -> Value {
    match stored {
        Stored::Role(_, role) => json!(role),
        Stored::Anchor(anchor) => of_anchor(anchor),
        Stored::AnchorToken(token) => of_anchor_token(token),
        Stored::Team(_, id) => json!(id),
        Stored::Lease(lease) => of_lease(lease),
        Stored::Linger(id, end) | Stored::End(id, end) => json!({ "lease_id": id, "ends_at": end }),
        Stored::Number(_, number) => json!(number),
        Stored::Rotation(_, rotation) => json!(rotation),
        Stored::NextSerial(next) => json!(next),
    }
}

fn address(address: &Address) -> Value {
    json!({ "origin": address.origin(), "base_path": address.base_path(), "insecure": address.insecure() })
}

fn of_anchor(anchor: &Anchor) -> Value {
    json!({
        "name": anchor.name,
        "address": address(&anchor.access.address),
        "owner": anchor.access.owner,
        "token_id": anchor.token_id,
        "rotated_at": anchor.rotated_at,
        "rotate_every": anchor.rotate_every,
    })
}

fn of_anchor_token(token: &AnchorToken) -> Value {
    json!({
        "rotation_id": token.id,
        "serial": token.serial,
        "anchor": token.anchor,
        "owner": token.owner,
        "credential_type": token.credential_type,
        "address": address(&token.address),
        "description": token.description,
        "phase": phase(token.phase),
        "token_id": token.token_id,
        "token_known": token.token.is_some(),
        "issued_at": token.issued_at,
        "ends_at": token.ends_at,
    })
}

fn of_lease(lease: &LeaseRecord) -> Value {
    let scope = match &lease.scope {
        Scope::Slot { owner, .. } => json!({ "slot": owner }),
        Scope::Role(role) => json!({ "role": role }),
        Scope::Unit { role, uid, unit } => json!({ "role": role, "uid": uid, "unit": unit }),
        Scope::Open { role, node } => json!({ "role": role, "node": node }),
    };
    json!({
        "lease_id": lease.id,
        "serial": lease.serial,
        "role": lease.role,
        "scope": scope,
        "owner": lease.owner,
        "credential_type": lease.credential_type,
        "organization": lease.organization,
        "anchor": lease.anchor,
        "address": address(&lease.address),
        "description": lease.description,
        "phase": phase(lease.phase),
        "token_id": lease.token_id,
        "token_known": lease.token.is_some(),
        "issued_at": lease.issued_at,
        "ends_at": lease.ends_at,
        "times": lease.times,
        "on_close": lease.on_close,
        "opener": lease.opener,
    })
}
