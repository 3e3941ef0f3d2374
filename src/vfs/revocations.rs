//! `revocations`: what waits to be proven gone upstream, and the way to give one up.

use std::sync::Arc;

use serde::Serialize;

use super::control::{stamp, toml};
use super::ino::{Fixed, Node};
use super::{Caller, Result, Vfs};
use crate::domain::issuer::Pending;

const HEAD: &str = "# \"forget LEASE\" written here gives one up: its token may then live until its own end upstream\n";

#[derive(Serialize)]
struct File<'a> {
    pending: Vec<One<'a>>,
}

#[derive(Serialize)]
struct One<'a> {
    lease_id: &'a str,
    /// Absent for what the rotation of an anchor left.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    anchor: &'a str,
    owner: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<&'a str>,
    since: String,
    attempts: u32,
    next_attempt: String,
    cause: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// The file, oldest first.
pub(super) fn text(pending: &[Pending]) -> String {
    let pending = pending.iter().map(|each| One {
        lease_id: each.id().as_str(),
        role: each.role().map(|role| role.as_str()),
        anchor: each.anchor().as_str(),
        owner: each.owner().to_string(),
        since: stamp(each.since),
        attempts: each.attempts,
        next_attempt: stamp(each.next),
        cause: each.cause.as_str(),
        token_id: each.token_id().map(|id| id.0.as_str()),
        reason: each.reason.as_deref(),
    });
    format!("{HEAD}{}", toml(&File { pending: pending.collect() }))
}

impl Vfs {
    /// `forget LEASE`.
    pub(super) async fn forget_lease(self: Arc<Self>, caller: Caller, text: &str) -> Result<()> {
        let path = "revocations";
        if caller.uid != 0 && caller.uid != self.settings.uid {
            let sentence = "only root and the owner of the mount may give up a revocation";
            return Err(self.refuse(caller, path, libc::EPERM, sentence));
        }
        let Some(id) = text.strip_prefix("forget ").map(|id| id.trim().to_owned()) else {
            return Err(self.refuse(
                caller,
                path,
                libc::EINVAL,
                "write \"forget LEASE\", with an id that stands in this file",
            ));
        };
        let (me, deadline) = (self.clone(), self.settings.rotate_deadline);
        let work = async move {
            let forgotten = me.issuer.forget(&id, caller.uid, deadline).await;
            me.unsettle(Node::Fixed(Fixed::Revocations));
            forgotten.map_err(|error| me.fail(caller, path, &error))
        };
        self.bounded(caller, path, deadline * 2, work).await
    }
}
