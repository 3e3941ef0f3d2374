//! Counters, and the Prometheus text they make together with what is true now.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use parking_lot::Mutex;

use super::audit::{AuditHealth, DestinationHealth};
use super::errno::Errno;
use super::ports::Health;
use crate::domain::book::Counts;
use crate::domain::event::Event;
use crate::domain::issuer::Cause;
use crate::domain::name::AnchorName;
use crate::domain::owner::CredentialType;

/// What has been counted since the start.
#[derive(Default)]
pub(super) struct Counters {
    opens: AtomicU64,
    errors: Mutex<BTreeMap<&'static str, u64>>,
    events: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

/// What is true now.
pub(super) struct Gauges {
    pub(super) version: &'static str,
    pub(super) started_at: Timestamp,
    pub(super) roles: usize,
    pub(super) counts: Counts,
    pub(super) open_files: usize,
    pub(super) pending: usize,
    /// The same by anchor and cause.
    pub(super) waiting: BTreeMap<(AnchorName, Cause), usize>,
    /// Age in seconds.
    pub(super) oldest_pending: Option<f64>,
    pub(super) upstreams: Vec<(String, Health)>,
    /// While a trail is kept.
    pub(super) audit: Option<AuditHealth>,
}

impl Counters {
    pub(super) fn opened(&self) {
        self.opens.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn error(&self, errno: Errno) {
        *self.errors.lock().entry(errno.name()).or_default() += 1;
    }

    pub(super) fn event(&self, event: &Event) {
        let kind = event.lease().map_or("", |lease| lease.credential_type.as_str());
        *self.events.lock().entry((event.word(), kind)).or_default() += 1;
    }

    pub(super) fn text(&self, gauges: &Gauges) -> String {
        let mut page = Page(String::new());
        page.head("tfcfs_build_info", "gauge", "Version of the daemon.");
        page.line("tfcfs_build_info", &[("version", gauges.version)], 1);
        page.head("tfcfs_start_time_seconds", "gauge", "When the serving process started, in seconds since 1970.");
        page.line("tfcfs_start_time_seconds", &[], seconds(gauges.started_at));
        page.head("tfcfs_roles", "gauge", "Roles in force.");
        page.line("tfcfs_roles", &[], gauges.roles);
        page.head("tfcfs_leases", "gauge", "Live leases by state.");
        for (state, count) in [
            ("held", gauges.counts.held),
            ("lingering", gauges.counts.lingering),
            ("superseded", gauges.counts.superseded),
        ] {
            page.line("tfcfs_leases", &[("state", state)], count);
        }
        page.head("tfcfs_open_files", "gauge", "Open file handles.");
        page.line("tfcfs_open_files", &[], gauges.open_files);
        page.head("tfcfs_revocations_pending", "gauge", "Revocations that upstream has not proven yet.");
        page.line("tfcfs_revocations_pending", &[], gauges.pending);
        page.head("tfcfs_revocations_waiting", "gauge", "The same by anchor, and why the last attempt failed.");
        for ((anchor, cause), count) in &gauges.waiting {
            page.line("tfcfs_revocations_waiting", &[("anchor", anchor.as_str()), ("cause", cause.as_str())], count);
        }
        page.head("tfcfs_revocation_oldest_seconds", "gauge", "Age of the oldest pending revocation; 0 when none.");
        page.line("tfcfs_revocation_oldest_seconds", &[], gauges.oldest_pending.unwrap_or_default());
        page.head("tfcfs_token_opens_total", "counter", "Opens of credential files that got a token.");
        page.line("tfcfs_token_opens_total", &[], self.opens.load(Ordering::Relaxed));
        page.head("tfcfs_errors_total", "counter", "Failed requests by errno.");
        let errors = self.errors.lock().clone();
        // Also what has not happened yet: a series that begins at 1 has not increased.
        for errno in Errno::names() {
            page.line("tfcfs_errors_total", &[("errno", errno)], errors.get(errno).copied().unwrap_or_default());
        }
        self.events(&mut page);
        if let Some(health) = &gauges.audit {
            audit(&mut page, health);
        }
        upstreams(&mut page, &gauges.upstreams);
        page.0
    }

    fn events(&self, page: &mut Page) {
        let events = self.events.lock();
        let count = |word: &str, kind: CredentialType| {
            let of = events.iter().filter(|((w, k), _)| *w == word && *k == kind.as_str());
            of.map(|(_, count)| *count).sum::<u64>()
        };
        for (name, word, help) in [
            ("tfcfs_tokens_issued_total", "issued", "Tokens made upstream."),
            ("tfcfs_leases_expired_total", "expired", "Leases ended by time."),
            ("tfcfs_leases_revoked_total", "revoked", "Leases ended by revocation or slot rotation."),
            ("tfcfs_tokens_gone_total", "gone", "Tokens proven gone upstream."),
            (
                "tfcfs_revocations_forgotten_total",
                "forgotten",
                "Revocations given up on command; their tokens may live.",
            ),
        ] {
            page.head(name, "counter", help);
            for kind in CredentialType::ALL {
                page.line(name, &[("credential_type", kind.as_str())], count(word, kind));
            }
        }
    }
}

fn upstreams(page: &mut Page, upstreams: &[(String, Health)]) {
    let each = |page: &mut Page, name: &str, help: &str, value: &dyn Fn(&Health) -> Option<f64>| {
        page.head(name, "gauge", help);
        for (anchor, health) in upstreams {
            if let Some(value) = value(health) {
                page.line(name, &[("anchor", anchor)], value);
            }
        }
    };
    let help = "1 when the last call to the upstream of an anchor was answered.";
    each(page, "tfcfs_upstream_reachable", help, &|health| health.reachable.map(|it| f64::from(u8::from(it))));
    let help = "When the upstream of an anchor last answered, in seconds since 1970.";
    each(page, "tfcfs_upstream_last_contact_timestamp_seconds", help, &|health| health.last_contact.map(seconds));
    let help = "Clock of the upstream of an anchor minus ours.";
    each(page, "tfcfs_upstream_clock_offset_seconds", help, &|health| Some(health.clock_offset?.as_secs_f64()));
    page.head("tfcfs_upstream_calls_total", "counter", "Calls to upstream by method and outcome.");
    for (anchor, health) in upstreams {
        for (method, outcome, count) in &health.calls {
            let labels = [("anchor", anchor.as_str()), ("method", method), ("outcome", outcome)];
            page.line("tfcfs_upstream_calls_total", &labels, count);
        }
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

fn audit(page: &mut Page, health: &AuditHealth) {
    let each = |page: &mut Page, name: &str, kind: &str, help: &str, value: &dyn Fn(&DestinationHealth) -> u64| {
        page.head(name, kind, help);
        for place in &health.destinations {
            page.line(name, &[("destination", place.name)], value(place));
        }
    };
    each(page, "tfcfs_audit_lines_total", "counter", "Lines of the audit trail written.", &|place| place.lines);
    each(page, "tfcfs_audit_dropped_total", "counter", "Lines that the audit trail does not have.", &|place| {
        place.dropped
    });
    each(page, "tfcfs_audit_failing", "gauge", "1 while the audit trail cannot be written.", &|place| {
        u64::from(place.error.is_some())
    });
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escape(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
