//! What the calls of the past tell about each upstream, for `status` and `metrics`. Holds no secret.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::domain::ports::ApiErrorKind;

/// One upstream, as the calls so far found it.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamHealth {
    /// Scheme, host and port.
    pub origin: String,
    /// When it last answered anything.
    pub last_contact: Option<Timestamp>,
    /// When a call last failed, and one sentence about it.
    pub last_error: Option<(Timestamp, String)>,
    /// Whether the last attempt got an answer.
    pub reachable: bool,
    /// Since when no call succeeds; `None` while they do.
    pub failing_since: Option<Timestamp>,
    /// Requests sent, by method and outcome.
    pub calls: Vec<CallCount>,
    /// `TFP-API-Version`, e.g. `2.6`.
    pub api_version: Option<String>,
    /// `TFP-AppName`, e.g. `HCP Terraform`.
    pub app_name: Option<String>,
    /// `X-TFE-Current-Version`, else `X-TFE-Version`.
    pub tfe_version: Option<String>,
    /// `X-RateLimit-Limit` as last seen, calls per second.
    pub rate_limit: Option<u32>,
    /// Server clock minus ours, to about a second.
    pub clock_offset: Option<SignedDuration>,
}

/// How often a method ended that way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallCount {
    /// `GET`, `POST`, `DELETE`.
    pub method: &'static str,
    /// `ok`, `limited` (429) or the kind of failure in lower case.
    pub outcome: &'static str,
    /// Attempts, repeats included.
    pub count: u64,
}

/// What one answer said beside its status.
#[derive(Debug, Clone, Default)]
pub(super) struct Signs {
    pub(super) api_version: Option<String>,
    pub(super) app_name: Option<String>,
    pub(super) tfe_version: Option<String>,
    pub(super) rate_limit: Option<u32>,
    pub(super) date: Option<SystemTime>,
}

/// All upstreams. The lock guards counting alone and is never held across a wait.
#[derive(Default)]
pub(super) struct Observed(Mutex<HashMap<String, Entry>>);

#[derive(Default)]
struct Entry {
    last_contact: Option<Timestamp>,
    last_error: Option<(Timestamp, String)>,
    reachable: bool,
    failing_since: Option<Timestamp>,
    calls: BTreeMap<(&'static str, &'static str), u64>,
    signs: Signs,
    clock_offset: Option<SignedDuration>,
}

impl Observed {
    /// An answer came, `took` after the request.
    pub(super) fn answered(&self, origin: &str, signs: Signs, now: Timestamp, took: Duration) {
        self.with(origin, |entry| {
            entry.last_contact = Some(now);
            entry.reachable = true;
            if let Some(date) = signs.date.and_then(|date| Timestamp::try_from(date).ok()) {
                entry.clock_offset = Some(offset(date, now, took));
            }
            let known = std::mem::take(&mut entry.signs);
            // Headers come and go with the endpoint and the release: what was seen once stays known.
            entry.signs = Signs {
                api_version: signs.api_version.or(known.api_version),
                app_name: signs.app_name.or(known.app_name),
                tfe_version: signs.tfe_version.or(known.tfe_version),
                rate_limit: signs.rate_limit.or(known.rate_limit),
                date: None,
            };
        });
    }

    /// No answer came.
    pub(super) fn unanswered(&self, origin: &str) {
        self.with(origin, |entry| entry.reachable = false);
    }

    /// An attempt ended.
    pub(super) fn count(&self, origin: &str, method: &'static str, outcome: &'static str) {
        self.with(origin, |entry| *entry.calls.entry((method, outcome)).or_default() += 1);
    }

    /// A call failed for good.
    pub(super) fn failed(&self, origin: &str, sentence: String, now: Timestamp) {
        self.with(origin, |entry| entry.last_error = Some((now, sentence)));
    }

    /// It does not work.
    pub(super) fn failing(&self, origin: &str, now: Timestamp) {
        self.with(origin, |entry| entry.failing_since = entry.failing_since.or(Some(now)));
    }

    /// It works: it said yes, or no.
    pub(super) fn works(&self, origin: &str) {
        self.with(origin, |entry| entry.failing_since = None);
    }

    fn with(&self, origin: &str, act: impl FnOnce(&mut Entry)) {
        let mut map = self.0.lock();
        match map.get_mut(origin) {
            Some(entry) => act(entry),
            None => act(map.entry(origin.to_owned()).or_default()),
        }
    }

    /// What is known now, ordered by origin.
    pub(super) fn snapshot(&self) -> Vec<UpstreamHealth> {
        let map = self.0.lock();
        let mut all: Vec<UpstreamHealth> = map.iter().map(|(origin, entry)| entry.snapshot(origin)).collect();
        all.sort_by(|a, b| a.origin.cmp(&b.origin));
        all
    }
}

impl Entry {
    fn snapshot(&self, origin: &str) -> UpstreamHealth {
        let call =
            |(&(method, outcome), &count): (&(&'static str, &'static str), &u64)| CallCount { method, outcome, count };
        UpstreamHealth {
            origin: origin.to_owned(),
            last_contact: self.last_contact,
            last_error: self.last_error.clone(),
            reachable: self.reachable,
            failing_since: self.failing_since,
            calls: self.calls.iter().map(call).collect(),
            api_version: self.signs.api_version.clone(),
            app_name: self.signs.app_name.clone(),
            tfe_version: self.signs.tfe_version.clone(),
            rate_limit: self.signs.rate_limit,
            clock_offset: self.clock_offset,
        }
    }
}

/// Server minus us. The server stamped the answer about half-way, somewhere within the second that it names.
fn offset(date: Timestamp, now: Timestamp, took: Duration) -> SignedDuration {
    let half_way = SignedDuration::try_from(took / 2).unwrap_or_default();
    date.duration_since(now) + half_way + SignedDuration::from_millis(500)
}

/// The name of a kind in counters.
pub(super) fn outcome(kind: ApiErrorKind) -> &'static str {
    match kind {
        ApiErrorKind::Unauthorized => "unauthorized",
        ApiErrorKind::NotVisible => "not_visible",
        ApiErrorKind::Unreachable => "unreachable",
        ApiErrorKind::Refused => "refused",
        ApiErrorKind::Tls => "tls",
        ApiErrorKind::Timeout => "timeout",
        ApiErrorKind::RateLimited => "limited",
        ApiErrorKind::Invalid => "invalid",
        ApiErrorKind::DescriptionTaken => "description_taken",
        ApiErrorKind::Lifetime => "lifetime",
        ApiErrorKind::Remote => "remote",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_of_a_clock_that_is_right_is_about_nothing() {
        let now: Timestamp = "2026-05-15T15:34:20.700Z".parse().unwrap();
        let date: Timestamp = "2026-05-15T15:34:20Z".parse().unwrap();
        assert_eq!(offset(date, now, Duration::from_millis(400)), SignedDuration::ZERO);
        let later: Timestamp = "2026-05-15T15:44:20Z".parse().unwrap();
        assert_eq!(offset(later, now, Duration::from_millis(400)), SignedDuration::from_mins(10));
    }

    #[test]
    fn what_was_seen_once_stays_known() {
        let observed = Observed::default();
        let signs = Signs { api_version: Some("2.6".into()), rate_limit: Some(30), ..Signs::default() };
        let now = Timestamp::UNIX_EPOCH;
        observed.answered("https://x", signs, now, Duration::ZERO);
        observed.answered("https://x", Signs::default(), now, Duration::ZERO);
        observed.count("https://x", "GET", "ok");
        observed.count("https://x", "GET", "ok");
        observed.unanswered("https://x");
        let health = observed.snapshot().remove(0);
        assert_eq!(
            (health.api_version.as_deref(), health.rate_limit, health.reachable),
            (Some("2.6"), Some(30), false)
        );
        assert_eq!(health.calls, vec![CallCount { method: "GET", outcome: "ok", count: 2 }]);
    }
}
