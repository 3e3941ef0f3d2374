//! `tfcfs state rekey`: another sealing key.

use std::path::Path;

use serde_json::json;

use crate::adapters::sealing_key::{KeyPlace, Owners, SealingKey, SealingKeySettings};
use crate::adapters::state_directory::{StateDirectory, StateError};
use crate::commands::print;
use crate::exit::Failure;

pub(super) fn rekey(places: &SealingKeySettings, new_key: Option<&Path>, as_json: bool) -> Result<(), Failure> {
    let state = StateDirectory::existing(&places.state_directory, Owners::Trusted)?;
    let new = new_key.map(|path| SealingKey::read(path, Owners::Trusted)).transpose().map_err(StateError::from)?;
    let rekeyed = state.rekey(places, new)?.run()?;
    let path = rekeyed.place.path().display().to_string();
    let credential = matches!(rekeyed.place, KeyPlace::Credential(_));
    if as_json {
        return print::json(&json!({
            "records": rekeyed.records, "sealing_key": path, "replace_credential": credential,
        }));
    }
    let records = rekeyed.records;
    print::line(&match (credential, new_key) {
        (true, Some(new)) => format!(
            "{records} records are sealed with {new}; put it into the credential {path} before the next start",
            new = new.display()
        ),
        _ => format!(
            "{records} records are sealed with the new key in {path}; backups of the former ledger need the former key"
        ),
    })
}
