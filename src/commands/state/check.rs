//! `tfcfs state check`: is the state whole, and what is in it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::adapters::sealing_key::{Owners, SealingKeySettings};
use crate::adapters::state_directory::{Inspection, StateDirectory};
use crate::commands::print;
use crate::domain::lease::{LeaseRecord, Phase};
use crate::domain::ledger::Stored;
use crate::domain::printable::printable;
use crate::exit::{ExitCode, Failure};

pub(super) fn check(places: &SealingKeySettings, as_json: bool) -> Result<(), Failure> {
    let state = StateDirectory::existing(&places.state_directory, Owners::Any)?;
    let inspection = state.inspect(places)?;
    let report = Report::of(&inspection);
    if as_json {
        print::json(&report.json(&state, &inspection))?;
    } else {
        print::line(&report.text(&state, &inspection))?;
    }
    whole(&inspection)
}

/// A failure if a record is damaged.
pub(super) fn whole(inspection: &Inspection) -> Result<(), Failure> {
    match inspection.damaged() {
        0 => Ok(()),
        damaged => {
            let text = format!("{damaged} of {} records cannot be opened", inspection.records.len());
            Err(Failure::new(ExitCode::Corrupt, text).hint(
                "restore the state directory from a backup, or move the ledger away and start with an empty one (the \
                 tokens it recorded then live until their own end)",
            ))
        }
    }
}

struct Report<'a> {
    /// How many of each kind.
    kinds: BTreeMap<&'static str, usize>,
    /// How many leases are in each phase.
    intent: usize,
    live: usize,
    revoking: usize,
    /// Of the leases whose fate upstream is not settled, the one that was begun first.
    oldest_pending: Option<&'a LeaseRecord>,
    /// Records that cannot be opened, and why.
    damaged: Vec<(&'a str, String)>,
}

impl<'a> Report<'a> {
    fn of(inspection: &'a Inspection) -> Self {
        let mut report =
            Self { kinds: BTreeMap::new(), intent: 0, live: 0, revoking: 0, oldest_pending: None, damaged: Vec::new() };
        for record in &inspection.records {
            match &record.content {
                Ok(stored) => {
                    *report.kinds.entry(stored.kind()).or_default() += 1;
                    if let Stored::Lease(lease) = stored {
                        report.lease(lease);
                    }
                }
                Err(error) => report.damaged.push((&record.key, error.to_string())),
            }
        }
        report
    }

    fn lease(&mut self, lease: &'a LeaseRecord) {
        match lease.phase {
            Phase::Intent => self.intent += 1,
            Phase::Live => self.live += 1,
            Phase::Revoking => self.revoking += 1,
        }
        let begun: fn(&LeaseRecord) -> Timestamp = |lease| lease.issued_at;
        if lease.phase != Phase::Live && self.oldest_pending.is_none_or(|oldest| begun(lease) < begun(oldest)) {
            self.oldest_pending = Some(lease);
        }
    }

    fn json(&self, state: &StateDirectory, inspection: &Inspection) -> Value {
        let damaged: Vec<Value> =
            self.damaged.iter().map(|(key, error)| json!({ "key": key, "error": error })).collect();
        let pending = |lease: &LeaseRecord| json!({ "lease_id": lease.id, "role": lease.role, "phase": phase(lease.phase), "issued_at": lease.issued_at });
        json!({
            "ok": self.damaged.is_empty(),
            "state": state.path().display().to_string(),
            "format": inspection.format,
            "version": inspection.version.0,
            "sealing_key": inspection.key.place.path().display().to_string(),
            "interrupted_rekey": inspection.interrupted_rekey,
            "records": inspection.records.len(),
            "kinds": self.kinds,
            "leases": { "intent": self.intent, "live": self.live, "revoking": self.revoking },
            "oldest_pending": self.oldest_pending.map(pending),
            "damaged": damaged,
        })
    }

    fn text(&self, state: &StateDirectory, inspection: &Inspection) -> String {
        let verdict = if self.damaged.is_empty() { "ok" } else { "DAMAGED" };
        let kinds: Vec<String> = self.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let oldest = self.oldest_pending.map_or_else(
            || "none".to_owned(),
            |lease| format!("{} {} (role {}, {})", lease.issued_at, lease.id, lease.role, phase(lease.phase)),
        );
        let mut lines = vec![
            format!("{}: {verdict}", state.path().display()),
            format!("format          {}, version {}", inspection.format, inspection.version.0),
            format!("sealing key     {}", inspection.key.place.path().display()),
            format!("records         {} ({})", inspection.records.len(), kinds.join(", ")),
            format!("leases          {} intent, {} live, {} revoking", self.intent, self.live, self.revoking),
            format!("oldest pending  {oldest}"),
        ];
        if inspection.interrupted_rekey {
            lines.push(
                "a rekey was interrupted: the next start, or tfcfs state rekey, finishes or forgets it".to_owned(),
            );
        }
        lines.extend(self.damaged.iter().map(|(key, error)| format!("BAD {}: {error}", printable(key, 200))));
        lines.join("\n")
    }
}

/// The name of a phase, as `status` and reports have it.
pub(super) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Intent => "intent",
        Phase::Live => "live",
        Phase::Revoking => "revoking",
    }
}
