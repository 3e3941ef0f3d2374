//! The readable side of everything that is not a door: `README`, `config`, `roles/`, `rotate/`, `leases/`, `errors`,
//! `events`, `status`, `metrics`. `revocations.rs` has what waits for revocation.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use super::audit::{AuditHealth, DestinationHealth};
use super::ino::{Fixed, Ino, Node};
use super::opens::Open;
use super::{Caller, Errno, Opened, Reply, Result, Vfs, metrics, revocations};
use crate::domain::anchor::Anchor;
use crate::domain::document;
use crate::domain::lease::{Lease, later};
use crate::domain::role::DEFAULT_MIN_ROTATION_INTERVAL;

/// `README` of the mount.
const README: &str = include_str!("readme.txt");

/// A GETATTR this soon after an OPEN gets the size of what was opened: some texts change by themselves.
const STEADY: Duration = Duration::from_secs(1);

/// Sizes of texts as they were last opened.
#[derive(Default)]
pub(super) struct Snapshots(Mutex<HashMap<Ino, (Timestamp, u64)>>);

#[derive(Serialize)]
struct Status<'a> {
    version: &'a str,
    started_at: String,
    roles: usize,
    open_files: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    leases: Leases,
    revocations: Revocations,
    /// Only while it cannot be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger: Option<LedgerTrouble>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<Audit>,
    upstream: HashMap<String, Upstream>,
}

#[derive(Serialize)]
struct Leases {
    live: usize,
    held: usize,
    lingering: usize,
    superseded: usize,
}

#[derive(Serialize)]
struct Revocations {
    pending: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct LedgerTrouble {
    failing_since: String,
    error: String,
}

#[derive(Serialize)]
struct Audit {
    required: bool,
    #[serde(flatten)]
    destinations: BTreeMap<&'static str, Destination>,
}

#[derive(Serialize)]
struct Destination {
    place: String,
    lines: u64,
    dropped: u64,
    /// Only while it cannot be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<AuditHealth> for Audit {
    fn from(health: AuditHealth) -> Self {
        let destination = |of: DestinationHealth| {
            let place = of.place.display().to_string();
            let failing_since = of.failing_since.map(stamp);
            (of.name, Destination { place, lines: of.lines, dropped: of.dropped, failing_since, error: of.error })
        };
        Self { required: health.required, destinations: health.destinations.into_iter().map(destination).collect() }
    }
}

#[derive(Serialize)]
struct Upstream {
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reachable: Option<bool>,
    /// Only while no call succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<String>,
    /// Only while the anchor's token is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_since: Option<String>,
    /// Only when it is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_contact: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

#[derive(Serialize)]
struct LeaseFile<'a> {
    lease_id: &'a str,
    role: &'a str,
    credential_type: &'a str,
    owner: String,
    token_id: &'a str,
    state: &'a str,
    handles: u32,
    issued_at: String,
    expires_at: String,
    opened_by_uid: u32,
    anchor: &'a str,
    description: &'a str,
}

/// Upstream's clock, when it differs so much that somebody should look.
fn clock_sentence(offset: jiff::SignedDuration) -> Option<String> {
    let seconds = offset.as_secs();
    let which = if seconds > 0 { "ahead of ours: tokens end that much sooner" } else { "behind ours" };
    (seconds.abs() > 5).then(|| format!("{} s {which}; compare both with the time of day", seconds.abs()))
}

/// Milliseconds, `Z`: as upstream writes times.
pub(super) fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

pub(super) fn toml<T: Serialize>(value: &T) -> String {
    toml::to_string(value).expect("these structs have string keys and plain values")
}

impl Vfs {
    /// Size and time of a control file; `None` for nodes that are none.
    pub(super) fn control_size(&self, node: Node) -> Result<Option<(u64, Option<Timestamp>)>> {
        if node == Node::Fixed(Fixed::Events) {
            return Ok(Some((self.events.end(), None)));
        }
        let now = self.issuer.now();
        let steady = self.snapshots.0.lock().get(&node.ino()).copied();
        if let Some((_, size)) = steady.filter(|(at, _)| later(*at, STEADY) > now) {
            return Ok(Some((size, self.control_time(node))));
        }
        Ok(self.text(node)?.map(|text| (text.len() as u64, self.control_time(node))))
    }

    fn control_time(&self, node: Node) -> Option<Timestamp> {
        match node {
            Node::Role(number) => {
                let name = self.role_name(number).ok()?;
                self.issuer.book().role(&name).map(|entry| entry.changed_at)
            }
            Node::Rotate(number) => {
                let name = self.role_name(number).ok()?;
                self.issuer.book().rotation(&name).map(|rotation| rotation.at)
            }
            Node::Fixed(Fixed::Status | Fixed::Metrics | Fixed::Errors | Fixed::Revocations) => Some(self.issuer.now()),
            Node::LeaseFile { serial, .. } => self.issuer.book().lease(serial).map(|lease| lease.record.issued_at),
            _ => None,
        }
    }

    /// A write changed what a node says: its next size is not the one that was opened.
    pub(super) fn unsettle(&self, node: Node) {
        self.snapshots.0.lock().remove(&node.ino());
    }

    /// OPEN for reading.
    pub(super) fn open_text(&self, caller: Caller, node: Node) -> Reply<Opened> {
        if node == Node::Fixed(Fixed::Events) {
            let seen = self.events.end();
            let handle = self.opens.add(node.ino(), Open::Events { shift: None, inherited: false, seen });
            return Reply::Now(Ok(Opened { handle, direct: true, keep_cache: false, no_flush: true }));
        }
        let text = match self.text(node) {
            Ok(Some(text)) => text,
            Ok(None) => return Reply::Now(Err(Errno(libc::EISDIR))),
            Err(errno) => return Reply::Now(Err(errno)),
        };
        let _ = caller;
        let now = self.issuer.now();
        {
            let mut snapshots = self.snapshots.0.lock();
            snapshots.retain(|_, (at, _)| later(*at, STEADY) > now);
            snapshots.insert(node.ino(), (now, text.len() as u64));
        }
        let handle = self.opens.add(node.ino(), Open::Text(Arc::new(text.into_bytes())));
        Reply::Now(Ok(Opened { handle, direct: true, keep_cache: false, no_flush: true }))
    }

    /// What a control file says now; `None` for nodes that are none.
    pub(super) fn text(&self, node: Node) -> Result<Option<String>> {
        Ok(Some(match node {
            Node::Fixed(Fixed::Readme) => README.to_owned(),
            Node::Fixed(Fixed::Config) => {
                let book = self.issuer.book();
                let anchors: Vec<_> = book.anchors().map(|(_, entry)| &entry.anchor).collect();
                document::render_config(&anchors)
            }
            Node::Fixed(Fixed::Errors) => self.errors.text(),
            Node::Fixed(Fixed::Status) => self.status(),
            Node::Fixed(Fixed::Metrics) => self.metrics_text(),
            Node::Fixed(Fixed::RotateConfig) => self.anchor_rotations(),
            Node::Fixed(Fixed::Revocations) => revocations::text(&self.issuer.pending()),
            Node::Role(number) => {
                let name = self.role_name(number)?;
                let book = self.issuer.book();
                match book.role(&name) {
                    Some(entry) => document::render_role(&entry.role),
                    // Being written for the first time: empty until its close.
                    None => String::new(),
                }
            }
            Node::Rotate(number) => self.role_rotation(number)?,
            Node::LeaseFile { serial, .. } => {
                let book = self.issuer.book();
                let lease = book.lease(serial).filter(|lease| lease.is_live(self.issuer.now()));
                lease.map(lease_text).ok_or(Errno(libc::ENOENT))?
            }
            _ => return Ok(None),
        }))
    }

    fn role_rotation(&self, number: u32) -> Result<String> {
        let name = self.role_name(number)?;
        let book = self.issuer.book();
        let role = &book.role(&name).ok_or(Errno(libc::ENOENT))?.role;
        let interval = role.min_rotation_interval.unwrap_or(DEFAULT_MIN_ROTATION_INTERVAL);
        let every = role.rotate_every;
        let mut text = match book.rotation(&name) {
            Some(last) => {
                let by = last.uid.map(|uid| format!("last_rotation_by_uid = {uid}\n")).unwrap_or_default();
                let (at, next) = (stamp(last.at), stamp(later(last.at, interval)));
                format!("last_rotation = {at}\n{by}next_possible = {next}\n")
            }
            None => {
                "# never rotated; write anything here to rotate, \"revoke\" to end the former token at once\n".into()
            }
        };
        drop(book);
        let (next, failure) = self.issuer.role_schedule(&name);
        match next {
            Some(next) => text.push_str(&format!("next_scheduled = {}\n", stamp(next))),
            None if every.is_some() => text.push_str("# rotate_every: nobody has a token of this role now\n"),
            None => {}
        }
        if let Some(failure) = failure {
            text.push_str(&format!("last_failure = {}\n", toml::Value::from(failure)));
        }
        Ok(text)
    }

    fn anchor_rotations(&self) -> String {
        let anchors: Vec<Anchor> = self.issuer.book().anchors().map(|(_, entry)| entry.anchor.clone()).collect();
        let mut text =
            String::from("# write the name of an anchor here to rotate it; an empty line rotates \"default\"\n");
        for anchor in anchors {
            let id = anchor.token_id.as_ref().map_or("(not told by upstream)", |id| id.0.as_str());
            text.push_str(&format!("[anchors.{}]\ntoken_id = \"{id}\"\n", anchor.name));
            let (next, failure) = self.issuer.anchor_schedule(&anchor.name);
            let times = [("last_rotation", anchor.rotated_at), ("token_ends", anchor.ends_at), ("next_rotation", next)];
            for (key, at) in times {
                if let Some(at) = at {
                    text.push_str(&format!("{key} = {}\n", stamp(at)));
                }
            }
            if let Some(failure) = failure {
                text.push_str(&format!("last_failure = {}\n", toml::Value::from(failure)));
            }
        }
        text
    }

    /// One line about how it stands, for a service manager.
    pub fn summary(&self) -> String {
        let pending = self.issuer.pending_summary().count;
        let (roles, counts, upstreams) = {
            let book = self.issuer.book();
            let mut upstreams: Vec<_> = book.anchors().map(|(_, entry)| entry.anchor.access.clone()).collect();
            upstreams.dedup_by(|a, b| a.address.same_server(&b.address));
            (book.roles().count(), book.counts(self.issuer.now()), upstreams)
        };
        let mut line = format!("serving {roles} roles, {} leases held, {} lingering", counts.held, counts.lingering);
        if pending > 0 {
            line += &format!(", {pending} revocations pending");
        }
        for access in upstreams.iter().filter(|access| self.upstreams.health(access).reachable == Some(false)) {
            line += &format!("; {} cannot be reached", access.address.origin());
        }
        line
    }

    fn status(&self) -> String {
        let now = self.issuer.now();
        let pending = self.issuer.pending_summary();
        let book = self.issuer.book();
        let counts = book.counts(now);
        let upstream = book.anchors().map(|(name, entry)| {
            let access = &entry.anchor.access;
            let health = self.upstreams.health(access);
            let upstream = Upstream {
                address: access.address.origin().to_owned(),
                owner: access.owner.as_ref().map(ToString::to_string),
                server: health.server,
                reachable: health.reachable,
                failing_since: health.failing_since.map(stamp),
                refused_since: health.refused_since.map(stamp),
                clock: health.clock_offset.and_then(clock_sentence),
                last_contact: health.last_contact.map(stamp),
                last_error: health.last_error,
            };
            (name.to_string(), upstream)
        });
        toml(&Status {
            version: self.settings.version,
            started_at: stamp(self.started_at),
            roles: book.roles().count(),
            open_files: self.opens.len(),
            last_error: self.errors.last(),
            leases: Leases {
                live: counts.held + counts.lingering + counts.superseded,
                held: counts.held,
                lingering: counts.lingering,
                superseded: counts.superseded,
            },
            revocations: Revocations {
                pending: pending.count,
                oldest: pending.oldest.map(stamp),
                reason: pending.reason,
            },
            ledger: self
                .ledger
                .get()
                .and_then(|ledger| ledger.failing())
                .map(|(since, error)| LedgerTrouble { failing_since: stamp(since), error }),
            audit: self.audit_health().map(Audit::from),
            upstream: upstream.collect(),
        })
    }

    fn metrics_text(&self) -> String {
        let now = self.issuer.now();
        let pending = self.issuer.pending_summary();
        let book = self.issuer.book();
        let healths =
            book.anchors().map(|(name, entry)| (name.to_string(), self.upstreams.health(&entry.anchor.access)));
        let gauges = metrics::Gauges {
            version: self.settings.version,
            started_at: self.started_at,
            roles: book.roles().count(),
            counts: book.counts(now),
            open_files: self.opens.len(),
            pending: pending.count,
            waiting: pending.waiting,
            oldest_pending: pending.oldest.map(|since| now.duration_since(since).as_secs_f64()),
            upstreams: healths.collect(),
            audit: self.audit_health(),
        };
        self.counters.text(&gauges)
    }
}

fn lease_text(lease: &Lease) -> String {
    let record = &lease.record;
    toml(&LeaseFile {
        lease_id: record.id.as_str(),
        role: record.role.as_str(),
        credential_type: record.credential_type.as_str(),
        owner: record.owner.to_string(),
        token_id: record.token_id.as_ref().map_or("", |id| id.0.as_str()),
        state: lease.state(),
        handles: lease.handles,
        issued_at: stamp(record.issued_at),
        expires_at: stamp(lease.expires_at),
        opened_by_uid: record.opener.uid,
        anchor: record.anchor.as_str(),
        description: &record.description,
    })
}
