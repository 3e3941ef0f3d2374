//! `[audit]`: where the trail is kept.

use std::path::{Path, PathBuf};

use crate::domain::document::table::{Table, Value};
use crate::domain::document::{DocumentError, Fields};

const KEYS: &[&str] = &["file", "journald", "required"];

/// How messages name the table.
const PLACE: &str = "[audit]";

/// Where the audit trail is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSettings {
    /// A file that lines are appended to.
    pub file: Option<PathBuf>,
    /// The journal of systemd.
    pub journald: bool,
    /// Opens that cannot be recorded are refused.
    pub required: bool,
}

/// Takes the table out of the settings.
pub(super) fn take(table: &mut Table, base: &Path) -> Result<Option<AuditSettings>, DocumentError> {
    if let Some(entry) = table.remove("audit_required") {
        let what = "unknown key \"audit_required\"; write it as required in [audit]";
        return Err(DocumentError::certain(format!("line {}: {what}", entry.line)));
    }
    let Some(entry) = table.remove("audit") else { return Ok(None) };
    let line = entry.line;
    let fail = |what: &str| DocumentError::certain(format!("line {line}: {what}"));
    let Value::Table(table) = entry.value else {
        return Err(fail(
            "audit must be a table: [audit], with file = \"/var/log/tfcfs/audit.jsonl\" or journald = true",
        ));
    };
    let mut fields = Fields::new(table, KEYS, PLACE)?;
    let settings = AuditSettings {
        file: fields.text("file")?.map(|file| base.join(file)),
        journald: fields.flag("journald")?.unwrap_or(false),
        required: fields.flag("required")?.unwrap_or(false),
    };
    if settings.file.is_none() && !settings.journald {
        let what = "says nowhere to keep the trail: add file = \"/var/log/tfcfs/audit.jsonl\" or journald = true";
        return Err(match settings.required {
            true => fields.wrong_at("required", &format!("{PLACE} {what}, or every open would be refused")),
            false => fail(&format!("{PLACE} {what}")),
        });
    }
    Ok(Some(settings))
}
