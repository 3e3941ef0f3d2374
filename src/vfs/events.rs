//! When something happened: a line in `events`, a count in `metrics`, and what the kernel must know (fuse-nodes 0.6).

use jiff::Timestamp;
use serde_json::json;

use super::control::stamp;
use super::doors::Lengths;
use super::ino::{Door, Fixed, Node};
use super::{Change, Vfs};
use crate::domain::error::Error;
use crate::domain::event::Event;
use crate::domain::lease::{LeaseRecord, Serial};
use crate::domain::name::RoleName;

impl Vfs {
    /// Told by the domain, with no lock held.
    pub(super) fn happened(&self, at: Timestamp, event: &Event) {
        self.counters.event(event);
        self.events.add(&line(at, event));
        self.audit_event(at, event);
        self.wake_event_readers();
        match event {
            Event::Issued { lease, former } => {
                self.learn_sizes(lease);
                if let Some(former) = former {
                    self.replaced(lease, *former);
                }
            }
            Event::Ended { lease, .. } => self.ended(lease),
            Event::RoleWritten { role, .. } => self.role_written(role),
            Event::RoleRemoved { role } => self.role_removed(role),
            Event::Rotated { role, .. } => {
                if let Some(number) = self.number_of(role) {
                    self.unsettle(Node::Rotate(number));
                }
            }
            Event::Refused { lease } => {
                let sentence = format!(
                    "upstream refuses the token of lease {}: somebody deleted or replaced it, or a policy forbids it; the next open makes a new one",
                    lease.id
                );
                self.note_error(&format!("creds/{}/token", lease.role), &Error::NotSupported(sentence));
            }
            Event::RotationFailed { role, reason } => {
                if let Some(number) = self.number_of(role) {
                    self.unsettle(Node::Rotate(number));
                }
                let sentence = format!("the scheduled rotation failed and will be repeated: {reason}");
                self.note_error(&format!("rotate/{role}"), &Error::NotSupported(sentence));
            }
            Event::ConfigWritten => {
                self.unsettle(Node::Fixed(Fixed::Config));
                self.sizes_changed();
            }
            Event::AnchorTrouble { anchor, reason } => {
                self.unsettle(Node::Fixed(Fixed::Revocations));
                let sentence = format!("anchor \"{anchor}\": {reason}");
                self.note_error("rotate/config", &Error::NotSupported(sentence));
            }
            Event::Gone { .. } | Event::Forgotten { .. } | Event::RevocationDelayed { .. } => {}
        }
    }

    fn number_of(&self, role: &RoleName) -> Option<u32> {
        let book = self.issuer.book();
        book.role(role).map(|entry| entry.number)
    }

    /// Roles through which a lease can be read: its own, and all on its slot.
    fn readers_of(&self, record: &LeaseRecord) -> Vec<(RoleName, u32)> {
        let book = self.issuer.book();
        let slot = record.credential_type.is_slot();
        let reads = |name: &RoleName, role: &crate::domain::role::Role| {
            name == &record.role
                || (slot && role.owner == record.owner && role.credential_type == record.credential_type)
        };
        book.roles()
            .filter(|(name, entry)| reads(name, &entry.role))
            .map(|(name, entry)| (name.clone(), entry.number))
            .collect()
    }

    pub(super) fn learn_sizes(&self, lease: &LeaseRecord) {
        let Some(lengths) = Lengths::of(lease) else { return };
        let next = self.issuer.book().peek_serial();
        for (_, number) in self.readers_of(lease) {
            self.doors.learn(number, Some(lengths), next);
        }
    }

    /// A successor took over: names mean new nodes, holders wake.
    fn replaced(&self, lease: &LeaseRecord, former: Serial) {
        for (name, number) in self.readers_of(lease) {
            self.replace_doors(&name, number, former);
        }
        self.wake(former);
    }

    fn replace_doors(&self, name: &RoleName, role: u32, former: Serial) {
        for door in Door::ALL {
            let node = Node::SharedDoor { role, door, serial: former }.ino();
            if self.doors.is_known(node) {
                self.tell(Change::Replaced {
                    path: format!("creds/{name}/{}", door.name()),
                    dir: Node::CredsDir(role).ino(),
                    node,
                    name: door.name().to_owned(),
                });
            }
        }
    }

    /// Its handles fail from now on: no page of it may be read.
    fn ended(&self, lease: &LeaseRecord) {
        self.doors.drop_bytes(lease.serial);
        let superseded = self.issuer.book().lease(lease.serial).is_some_and(|lease| lease.superseded_at.is_some());
        for (name, role) in self.readers_of(lease) {
            if !superseded {
                self.replace_doors(&name, role, lease.serial);
            }
            for door in Door::ALL {
                let node = Node::SharedDoor { role, door, serial: lease.serial }.ino();
                if self.doors.is_known(node) {
                    self.tell(Change::Ended { node });
                }
            }
            let node = Node::LeaseFile { role, serial: lease.serial }.ino();
            self.tell(Change::Removed {
                dir: Node::LeaseDir(role).ino(),
                node: Some(node),
                name: lease.id.to_string(),
            });
        }
        for node in self.opens.nodes_of_lease(lease.serial) {
            self.tell(Change::Ended { node });
        }
        self.wake(lease.serial);
    }

    fn wake(&self, lease: Serial) {
        let handles = self.opens.of_lease(lease);
        if !handles.is_empty() {
            self.tell(Change::Wake { handles });
        }
    }

    fn wake_event_readers(&self) {
        let handles = self.opens.of_node(Node::Fixed(Fixed::Events).ino());
        if !handles.is_empty() {
            self.tell(Change::Wake { handles });
        }
    }

    fn role_written(&self, role: &RoleName) {
        let Some(number) = self.number_of(role) else { return };
        // Sizes depend on the role too (its times are in token.json).
        let next = self.issuer.book().peek_serial();
        self.doors.learn(number, None, next);
        self.unsettle(Node::Role(number));
        self.tell_attributes(number);
    }

    /// Another host name or other limits change the sizes of doors that were announced already.
    pub fn sizes_changed(&self) {
        let (numbers, next) = {
            let book = self.issuer.book();
            (book.roles().map(|(_, entry)| entry.number).collect::<Vec<u32>>(), book.peek_serial())
        };
        for number in numbers {
            self.doors.learn(number, None, next);
        }
    }

    pub(super) fn role_removed(&self, role: &RoleName) {
        for dir in [Fixed::Creds, Fixed::Rotate, Fixed::Leases] {
            self.tell(Change::Removed { dir: Node::Fixed(dir).ino(), node: None, name: role.to_string() });
        }
    }
}

/// One event as a JSON line. Nothing secret: ids, names and times.
fn line(at: Timestamp, event: &Event) -> String {
    let mut object = json!({ "time": stamp(at), "event": event.word() });
    if let Some(role) = event.role() {
        object["role"] = json!(role.as_str());
    }
    if let Some(lease) = event.lease() {
        object["lease_id"] = json!(lease.id.as_str());
        object["credential_type"] = json!(lease.credential_type.as_str());
        object["owner"] = json!(lease.owner.to_string());
        if let Some(id) = &lease.token_id {
            object["token_id"] = json!(id.0);
        }
        object["uid"] = json!(lease.opener.uid);
    }
    match event {
        Event::RevocationDelayed { reason, .. } | Event::RotationFailed { reason, .. } => {
            object["reason"] = json!(reason)
        }
        Event::AnchorTrouble { anchor, reason } => {
            object["anchor"] = json!(anchor.as_str());
            object["reason"] = json!(reason);
        }
        Event::Forgotten { uid, .. } | Event::Rotated { uid: Some(uid), .. } => object["uid"] = json!(uid),
        _ => {}
    }
    object.to_string()
}
