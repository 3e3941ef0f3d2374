//! What is put on record (docs/audit.md): opens of doors, refusals below `creds/`, and what the domain tells.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use parking_lot::Mutex;

use super::acting::acting;
use super::audit::{AuditEntry, AuditHealth, Auditor, Subject, TokenFacts, Who};
use super::ino::{Door, Node};
use super::opens::Open;
use super::{Caller, Errno, ErrorId, Opened, Reply, Result, Vfs};
use crate::domain::anchor::Anchor;
use crate::domain::error::Ended;
use crate::domain::event::Event;
use crate::domain::lease::{LeaseRecord, Serial};
use crate::domain::name::RoleName;

/// The tree's side of the audit trail.
#[derive(Default)]
pub(super) struct Trail {
    auditor: OnceLock<Arc<dyn Auditor>>,
    /// Who asked for the end of a lease that is about to be told. Taken for moments, never together with `book`.
    removing: Mutex<HashMap<String, Caller>>,
}

fn door_path(role: &RoleName, door: Door) -> String {
    format!("creds/{role}/{}", door.name())
}

impl From<Caller> for Who {
    fn from(caller: Caller) -> Self {
        Self { uid: caller.uid, gid: Some(caller.gid), tid: caller.tid }
    }
}

impl AuditEntry {
    fn new(at: Timestamp, event: &'static str, who: Option<Who>, subject: impl Into<Arc<Subject>>) -> Self {
        Self { at, event, who, subject: subject.into(), answer: None, error_id: None, errno: None, reason: None }
    }
}

impl Vfs {
    /// From now on a trail is kept.
    pub fn audit_with(&self, auditor: Arc<dyn Auditor>) {
        let _ = self.trail.auditor.set(auditor);
    }

    pub(super) fn auditor(&self) -> Option<&Arc<dyn Auditor>> {
        self.trail.auditor.get().filter(|auditor| auditor.is_on())
    }

    pub(super) fn audit_health(&self) -> Option<AuditHealth> {
        self.trail.auditor.get()?.health()
    }

    /// Something about the daemon itself: its start and stop, its settings.
    pub fn audit_daemon(&self, event: &'static str, reason: Option<String>) {
        let Some(auditor) = self.auditor() else { return };
        let entry = AuditEntry::new(self.issuer.now(), event, None, Subject::default());
        auditor.note(AuditEntry { reason, ..entry });
    }

    /// A request below `creds/` was refused. [`Vfs::fail`] and [`Vfs::refuse`] call this, so every refusal passes here;
    /// what the kernel itself refuses never reaches us.
    pub(super) fn audit_denied(&self, caller: Caller, id: ErrorId, path: &str, errno: Errno, sentence: &str) {
        // Without a thread it is no request but a note of ours.
        if caller.tid == 0 {
            return;
        }
        let Some(below) = path.strip_prefix("creds/") else { return };
        let Some(auditor) = self.auditor() else { return };
        let role = below.split('/').next().and_then(|name| name.parse::<RoleName>().ok());
        let subject = Subject { path: Some(path.to_owned()), role, ..Subject::default() };
        let entry = AuditEntry::new(self.issuer.now(), "denied", Some(caller.into()), subject);
        let (errno, reason) = (Some(errno.name()), Some(sentence.to_owned()));
        auditor.note(AuditEntry { error_id: Some(id), errno, reason, ..entry });
    }

    /// Puts an open of a door on record before it is answered, if it must be; else beside it.
    pub(super) fn on_record(&self, caller: Caller, node: Node, reply: Reply<Opened>) -> Reply<Opened> {
        match reply {
            reply if self.auditor().is_none() => reply,
            Reply::Now(Ok(opened)) => self.opened(caller, node, opened),
            Reply::Now(Err(errno)) => Reply::Now(Err(errno)),
            Reply::Later(opening) => {
                let me = self.me();
                Reply::later(async move {
                    let opened = opening.await?;
                    me.opened(caller, node, opened).wait().await
                })
            }
        }
    }

    fn opened(&self, caller: Caller, node: Node, opened: Opened) -> Reply<Opened> {
        let Some(Open::Door { lease, waited, .. }) = self.opens.get(opened.handle) else {
            return Reply::Now(Ok(opened));
        };
        let answer = if waited { "made" } else { "hit" };
        let subject = self.subject_of(node, lease);
        self.recorded(caller, lease, subject, answer, opened)
    }

    /// The same where the lease, and most often the subject, is known already.
    pub(super) fn hit(&self, caller: Caller, node: Node, lease: Serial, opened: Opened) -> Reply<Opened> {
        if self.auditor().is_none() {
            return Reply::Now(Ok(opened));
        }
        let subject = self.doors.subject(node.ino()).unwrap_or_else(|| self.subject_of(node, lease));
        self.recorded(caller, lease, subject, "hit", opened)
    }

    fn recorded(
        &self,
        caller: Caller,
        lease: Serial,
        subject: Arc<Subject>,
        answer: &'static str,
        opened: Opened,
    ) -> Reply<Opened> {
        let Some(auditor) = self.auditor() else { return Reply::Now(Ok(opened)) };
        let entry = AuditEntry::new(self.issuer.now(), "open", Some(caller.into()), subject);
        let entry = AuditEntry { answer: Some(answer), ..entry };
        if !auditor.is_required() {
            auditor.note(entry);
            return Reply::Now(Ok(opened));
        }
        let (me, auditor) = (self.me(), auditor.clone());
        Reply::later(async move {
            me.record_first(caller, lease, auditor, entry).await.map(|()| opened).inspect_err(|_| {
                // Nobody reads it: the token is kept for the next open.
                if me.opens.remove(opened.handle).is_some() {
                    me.issuer.give_back(lease);
                }
            })
        })
    }

    async fn record_first(
        &self,
        caller: Caller,
        lease: Serial,
        auditor: Arc<dyn Auditor>,
        entry: AuditEntry,
    ) -> Result<()> {
        let path = entry.subject.path.clone().unwrap_or_default();
        let deadline = self.settings.deadline;
        let why = match tokio::time::timeout(deadline, auditor.record(entry)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) => why,
            Err(_) => format!("its line was not written within {} s", deadline.as_secs_f32()),
        };
        tracing::error!(lease = lease.0, %why, "an open is refused because it cannot be recorded");
        let sentence = format!(
            "this open cannot be recorded, and the settings say [audit] required: {why}; make room for the audit trail or mend it, then open again"
        );
        Err(self.refuse(caller, &path, libc::EROFS, &sentence))
    }

    fn subject_of(&self, node: Node, lease: Serial) -> Arc<Subject> {
        let (number, door, serial) = match node {
            Node::SharedDoor { role, door, serial } | Node::OpenDoor { role, door, serial } => (role, door, serial),
            _ => return Arc::default(),
        };
        let (role, record) = {
            let book = self.issuer.book();
            (book.name_of(number).cloned(), book.lease(lease).map(|lease| lease.record.clone()))
        };
        let path = role.as_ref().map(|role| door_path(role, door));
        let token = record.as_ref().and_then(|record| self.facts(record));
        let subject = Arc::new(Subject { path, role, token, ..Subject::default() });
        if matches!(node, Node::SharedDoor { .. }) && record.is_some_and(|record| record.serial == serial) {
            self.doors.keep_subject(node.ino(), &subject);
        }
        subject
    }

    /// The path of a door.
    pub(super) fn door_path(&self, node: Node) -> Option<String> {
        match node {
            Node::SharedDoor { role, door, .. } | Node::OpenDoor { role, door, .. } => {
                Some(door_path(self.issuer.book().name_of(role)?, door))
            }
            _ => None,
        }
    }

    fn facts(&self, record: &LeaseRecord) -> Option<TokenFacts> {
        let auditor = self.auditor()?;
        Some(TokenFacts {
            lease_id: Some(record.id.to_string()),
            token_id: record.token_id.as_ref().map(|id| id.0.clone()),
            owner: Some(record.owner.to_string()),
            credential_type: Some(record.credential_type.as_str()),
            token_hmac: record.token.as_ref().map(|token| auditor.token_hmac(token)),
        })
    }

    /// Somebody removes a lease: its end, told by another task, is that caller's doing.
    pub(super) fn removing(&self, caller: Caller, lease: &str) {
        if self.auditor().is_some() {
            self.trail.removing.lock().insert(lease.to_owned(), caller);
        }
    }

    /// The removal is over, with or without an end.
    pub(super) fn removed(&self, lease: &str) {
        self.trail.removing.lock().remove(lease);
    }

    /// A caller had an anchor rotated.
    pub(super) fn audit_anchor_rotated(&self, caller: Caller) {
        let Some(auditor) = self.auditor() else { return };
        let subject = Subject { path: Some("rotate/config".into()), ..Subject::default() };
        auditor.note(AuditEntry::new(self.issuer.now(), "anchor_rotated", Some(caller.into()), subject));
    }

    /// The anchors in force from now on, each with its token: one that leaks leads to when it came.
    fn audit_anchors(&self, at: Timestamp, event: &Event, auditor: &dyn Auditor) {
        let anchors: Vec<Anchor> = self.issuer.book().anchors().map(|(_, entry)| entry.anchor.clone()).collect();
        let who = acting().map(Who::from);
        for anchor in anchors {
            let token = TokenFacts {
                lease_id: None,
                token_id: anchor.token_id.as_ref().map(|id| id.0.clone()),
                owner: anchor.access.owner.as_ref().map(ToString::to_string),
                credential_type: None,
                token_hmac: Some(auditor.token_hmac(&anchor.access.token)),
            };
            let (path, anchor, token) = (Some("config".to_owned()), Some(anchor.name), Some(token));
            auditor.note(AuditEntry::new(at, event.word(), who, Subject { path, anchor, token, role: None }));
        }
    }

    /// What the domain tells, as far as it is of interest to whoever looks back.
    pub(super) fn audit_event(&self, at: Timestamp, event: &Event) {
        let Some(auditor) = self.auditor() else { return };
        let by_uid = |uid: u32| Who { uid, gid: None, tid: 0 };
        let (who, path) = match event {
            Event::Issued { lease, .. } => {
                (Some(Who { gid: Some(lease.opener.gid), ..by_uid(lease.opener.uid) }), None)
            }
            Event::Ended { lease, how: Ended::Revoked } => {
                (self.trail.removing.lock().remove(lease.id.as_str()).map(Who::from), None)
            }
            Event::Forgotten { uid, .. } => (Some(by_uid(*uid)), Some("revocations".to_owned())),
            Event::Rotated { role, uid } => (uid.map(by_uid), Some(format!("rotate/{role}"))),
            Event::Ended { .. } | Event::Refused { .. } | Event::Gone { .. } => (None, None),
            Event::RotationFailed { role, .. } => (None, Some(format!("rotate/{role}"))),
            Event::RoleWritten { role, .. } | Event::RoleRemoved { role } => (None, Some(format!("roles/{role}"))),
            Event::ConfigWritten => return self.audit_anchors(at, event, &**auditor),
            // Attempts, not deeds; `status` and `revocations` have them.
            Event::RevocationDelayed { .. } | Event::AnchorTrouble { .. } => return,
        };
        let who = acting().map(Who::from).or(who);
        let token = event.lease().and_then(|record| self.facts(record));
        let subject = Subject { path, role: event.role().cloned(), token, ..Subject::default() };
        let reason = match event {
            Event::RotationFailed { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        auditor.note(AuditEntry { reason, ..AuditEntry::new(at, event.word(), who, subject) });
    }
}
