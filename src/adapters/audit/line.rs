//! One entry as one line of JSON.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::callers::Found;
use crate::domain::printable::printable;
use crate::vfs::AuditEntry;

/// As much of a sentence as a line shows, in characters.
const LONGEST_REASON: usize = 1024;

/// The keys of every line come first, `null` where there is nothing to say; then those that only some have.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    event: &'a str,
    uid: Option<u32>,
    gid: Option<u32>,
    pid: Option<u32>,
    exe: Option<&'a str>,
    unit: Option<&'a str>,
    role: Option<&'a str>,
    lease_id: Option<&'a str>,
    token_id: Option<&'a str>,
    owner: Option<&'a str>,
    token_hmac: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anchor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The line of an entry, without a line break.
pub(super) fn of(entry: &AuditEntry, found: &Found) -> String {
    let (who, subject) = (entry.who, &entry.subject);
    let token = subject.token.as_ref();
    json(&Line {
        time: stamp(entry.at),
        event: entry.event,
        uid: who.map(|who| who.uid),
        gid: who.and_then(|who| who.gid),
        pid: found.pid,
        exe: found.exe.as_deref(),
        unit: found.unit.as_deref(),
        role: subject.role.as_ref().map(|role| role.as_str()),
        lease_id: token.and_then(|token| token.lease_id.as_deref()),
        token_id: token.and_then(|token| token.token_id.as_deref()),
        owner: token.and_then(|token| token.owner.as_deref()),
        token_hmac: token.and_then(|token| token.token_hmac.as_deref()),
        tid: who.map(|who| who.tid).filter(|tid| *tid != 0),
        credential_type: token.and_then(|token| token.credential_type),
        anchor: subject.anchor.as_ref().map(|anchor| anchor.as_str()),
        path: subject.path.as_deref(),
        answer: entry.answer,
        error_id: entry.error_id.map(|id| id.to_string()),
        errno: entry.errno,
        reason: entry.reason.as_deref().map(|reason| printable(reason, LONGEST_REASON)),
    })
}

/// The line about lines that a place does not have.
pub(super) fn dropped(at: Timestamp, count: u64, place: &Path, why: &str) -> String {
    #[derive(Serialize)]
    struct Dropped<'a> {
        time: String,
        event: &'a str,
        count: u64,
        place: String,
        reason: &'a str,
    }
    json(&Dropped { time: stamp(at), event: "dropped", count, place: place.display().to_string(), reason: why })
}

fn json(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("these structs have plain values")
}

/// Milliseconds, `Z`, as everywhere.
fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
