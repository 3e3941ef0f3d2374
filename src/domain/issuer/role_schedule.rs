//! Scheduled rotation of roles (`rotate_every`): what the keeper starts, and what it tells of failures.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;

use super::Issuer;
use super::anchor_schedule::Try;
use crate::domain::event::Event;
use crate::domain::lease::Opener;
use crate::domain::name::RoleName;

/// Scheduled rotations that run or failed.
pub(super) type Schedule = HashMap<RoleName, Try>;

/// Nobody waits for a scheduled rotation; one that takes longer than this counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);

impl Issuer {
    /// When a role will be rotated by schedule, and why the last try failed, if it did.
    pub fn role_schedule(&self, name: &RoleName) -> (Option<Timestamp>, Option<String>) {
        let due = self.book.lock().next_role_rotation(name);
        let tried = self.role_schedule.lock().get(name).cloned().unwrap_or_default();
        (due.map(|at| tried.next.map_or(at, |next| at.max(next))), tried.reason)
    }

    /// Starts the rotations of roles that are due; returns when the next one is.
    pub(in crate::domain) fn rotate_roles_due(self: &Arc<Self>, now: Timestamp) -> Option<Timestamp> {
        if self.stopping.load(Ordering::Acquire) {
            return None;
        }
        let planned: Vec<(RoleName, Timestamp)> = {
            let book = self.book.lock();
            let scheduled = book.roles().filter(|(_, entry)| entry.role.rotate_every.is_some());
            scheduled.filter_map(|(name, _)| Some((name.clone(), book.next_role_rotation(name)?))).collect()
        };
        let mut schedule = self.role_schedule.lock();
        // A rotation on command, another document or the end of its tokens has made an old failure void.
        let is_due = |name: &RoleName| planned.iter().any(|(other, due)| other == name && *due <= now);
        schedule.retain(|name, tried| tried.running || is_due(name));
        let mut next = None;
        for (name, due) in planned {
            let tried = schedule.get(&name);
            if tried.is_some_and(|tried| tried.running) {
                continue;
            }
            let planned_for = due;
            let due = tried.and_then(|tried| tried.next).map_or(due, |at| at.max(due));
            if due > now {
                next = Some(next.map_or(due, |other: Timestamp| other.min(due)));
                continue;
            }
            schedule.entry(name.clone()).or_default().running = true;
            let issuer = self.clone();
            self.runtime.spawn(async move { issuer.rotate_role_by_schedule(name, planned_for).await });
        }
        next
    }

    async fn rotate_role_by_schedule(self: Arc<Self>, name: RoleName, due: Timestamp) {
        let carried = {
            let (issuer, name) = (self.clone(), name.clone());
            let root = Opener { uid: 0, gid: 0 };
            // A task of its own: a panic must not leave the role marked as being rotated.
            self.runtime.spawn(async move { issuer.rotate_made_before(due, &name, root, None, false, PATIENCE).await })
        };
        let result = carried.await.unwrap_or(Err(crate::domain::error::Error::Internal));
        let now = self.now();
        let due = self.book.lock().next_role_rotation(&name);
        // Somebody may have rotated it on command meanwhile: then this one came too soon, and nothing is amiss.
        let reason = result.err().filter(|_| due.is_some_and(|due| due <= now)).map(|error| error.to_string());
        let told = {
            let mut schedule = self.role_schedule.lock();
            schedule.entry(name.clone()).or_default().over(reason, now)
        };
        if let Some(reason) = told {
            self.observe(Event::RotationFailed { role: name, reason });
        }
        self.wake.notify_one();
    }
}
