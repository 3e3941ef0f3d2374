//! The one description of the tree: what a name means, what a node looks like, what a directory lists.

use std::ffi::OsStr;
use std::time::Duration;

use jiff::Timestamp;

use super::doors;
use super::ino::{Door, Fixed, Ino, Node};
use super::{Caller, Change, Errno, Result, Vfs};
use crate::domain::lease::{Scope, Serial};
use crate::domain::name::RoleName;
use crate::domain::role::Share;

/// How long the kernel may trust what cannot change behind its back. Changes are told (see `events.rs`).
pub(super) const LONG: Duration = Duration::from_secs(3600);

/// Whatever class of users the daemon belongs to.
const WRITABLE: u16 = 0o222;
/// The same for a directory.
const PASSABLE: u16 = 0o111;

/// File or directory; there is nothing else here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file.
    File,
}

/// What `stat` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr {
    /// `st_ino`.
    pub ino: Ino,
    /// File or directory.
    pub kind: Kind,
    /// Exact size in bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// mtime and ctime.
    pub mtime: Timestamp,
    /// How long the kernel may keep it.
    pub ttl: Duration,
}

/// The answer to LOOKUP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The node.
    pub node: Node,
    /// Its attributes.
    pub attr: Attr,
    /// How long the kernel may keep the name.
    pub ttl: Duration,
}

/// One line of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// `d_ino`.
    pub ino: Ino,
    /// File or directory.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Where the listing goes on after it. Bound to the entry, not to its place: names may come and go meanwhile.
    pub cookie: u64,
}

/// What a SETATTR asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// New permission bits.
    pub mode: Option<u32>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New size.
    pub size: Option<u64>,
}

fn no_entry<T>() -> Result<T> {
    Err(Errno(libc::ENOENT))
}

impl Vfs {
    /// LOOKUP. Never calls upstream, never mints, never touches the disk.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`.
    pub fn lookup(&self, caller: Caller, parent: Ino, name: &OsStr) -> Result<Entry> {
        let Some(name) = name.to_str() else { return no_entry() };
        let node = match Node::from_ino(parent) {
            Some(Node::Fixed(Fixed::Root)) => Fixed::TOP.into_iter().find(|f| f.name() == name).map(Node::Fixed),
            Some(Node::Fixed(Fixed::Roles)) => match self.drafts.find(name) {
                Some(serial) => Some(Node::Draft(serial)),
                None => self.role_number(name, true).map(Node::Role),
            },
            Some(Node::Fixed(Fixed::Creds)) => self.role_number(name, false).map(Node::CredsDir),
            Some(Node::Fixed(Fixed::Leases)) => self.role_number(name, false).map(Node::LeaseDir),
            Some(Node::Fixed(Fixed::Rotate)) if name == "config" => Some(Node::Fixed(Fixed::RotateConfig)),
            Some(Node::Fixed(Fixed::Rotate)) => self.role_number(name, false).map(Node::Rotate),
            Some(Node::CredsDir(role)) => {
                let door = Door::ALL.into_iter().find(|door| door.name() == name);
                return match door {
                    Some(door) => self.lookup_door(caller, role, door),
                    None => no_entry(),
                };
            }
            Some(Node::LeaseDir(role)) => self.lease_serial(role, name).map(|serial| Node::LeaseFile { role, serial }),
            Some(_) => return Err(Errno(libc::ENOTDIR)),
            None => return no_entry(),
        };
        let Some(node) = node else { return no_entry() };
        let attr = self.attr(node)?;
        let ttl = match node {
            // Written documents and editors' files change their node without notice.
            Node::Draft(_) | Node::Role(_) | Node::LeaseFile { .. } => Duration::ZERO,
            _ => LONG,
        };
        Ok(Entry { node, attr, ttl })
    }

    fn lookup_door(&self, caller: Caller, role: u32, door: Door) -> Result<Entry> {
        let name = self.role_name(role)?;
        let share = match self.issuer.book().role(&name) {
            Some(entry) => entry.role.share,
            None => return no_entry(),
        };
        if share == Share::Open {
            let serial = self.issuer.take_serial().map_err(|error| super::errno(&error))?;
            let node = Node::OpenDoor { role, door, serial };
            let mut attr = self.attr(node)?;
            // The kernel's node id must differ from st_ino: GETATTR gives the constant one (fuse-nodes 9).
            attr.ino = node.ino();
            attr.ttl = Duration::ZERO;
            return Ok(Entry { node, attr, ttl: Duration::ZERO });
        }
        let unit = (share == Share::Unit).then(|| self.callers.unit(caller.tid)).flatten();
        let serial = {
            let now = self.issuer.now();
            let mut book = self.issuer.book();
            // Without an anchor or a unit there is no scope yet; OPEN says why.
            let scope = book.scope(&name, caller.uid, unit.as_deref(), Serial(0));
            let scope = scope.unwrap_or_else(|_| Scope::Role(name.clone()));
            match book.current_lease(&scope).filter(|lease| lease.is_live(now)) {
                Some(lease) => lease.record.serial,
                None => book.prospect(&scope).map_err(|error| super::errno(&error))?,
            }
        };
        let node = Node::SharedDoor { role, door, serial };
        let mut attr = self.attr(node)?;
        attr.mtime = self.doors.looked_up(node.ino(), attr.mtime);
        Ok(Entry { node, attr, ttl: if share == Share::Unit { Duration::ZERO } else { LONG } })
    }

    /// GETATTR. As free as LOOKUP.
    ///
    /// # Errors
    /// `ENOENT` for what is gone.
    pub fn getattr(&self, ino: Ino) -> Result<Attr> {
        match Node::from_ino(ino) {
            Some(node) => self.attr(node).or_else(|errno| self.attr_of_open(node).ok_or(errno)),
            None => no_entry(),
        }
    }

    /// GETATTR by `caller`. Our own announcement is a write-open, and the kernel, which asks us before it refuses one for
    /// want of a right, must not refuse it to a daemon without privileges: for that one question the file may be written
    /// and its directory passed. The answer is good for no one else, and whoever else opens a door for writing is refused
    /// by us.
    ///
    /// # Errors
    /// As [`Vfs::getattr`].
    pub fn getattr_by(&self, caller: Caller, ino: Ino) -> Result<Attr> {
        let attr = self.getattr(ino)?;
        if !self.is_announcer(caller) {
            return Ok(attr);
        }
        let more = match Node::from_ino(ino) {
            Some(Node::SharedDoor { .. } | Node::OpenDoor { .. }) => WRITABLE,
            Some(Node::CredsDir(_)) => PASSABLE,
            _ => 0,
        };
        Ok(Attr { mode: attr.mode | more, ttl: Duration::ZERO, ..attr })
    }

    /// A door whose role is gone, as long as somebody has it open: like a file that was removed. The kernel asks before
    /// a READ, and that one has the errno that says what happened.
    fn attr_of_open(&self, node: Node) -> Option<Attr> {
        let (lease, size) = self.opens.door_of_node(node.ino())?;
        let issued_at = self.issuer.book().lease(lease).map(|lease| lease.record.issued_at);
        let settings = &self.settings;
        Some(Attr {
            ino: node.shown_ino(),
            kind: Kind::File,
            size,
            mode: settings.mode,
            uid: settings.uid,
            gid: settings.gid,
            mtime: issued_at.unwrap_or(self.started_at),
            ttl: Duration::ZERO,
        })
    }

    pub(super) fn attr(&self, node: Node) -> Result<Attr> {
        let settings = &self.settings;
        let mut attr = Attr {
            ino: node.shown_ino(),
            kind: Kind::File,
            size: 0,
            mode: 0o444,
            uid: settings.uid,
            gid: settings.gid,
            mtime: self.started_at,
            ttl: Duration::ZERO,
        };
        match node {
            Node::Fixed(fixed) => match fixed {
                Fixed::Root | Fixed::Roles | Fixed::Creds | Fixed::Rotate | Fixed::Leases => {
                    attr = Attr { kind: Kind::Dir, mode: 0o755, ttl: LONG, ..attr };
                }
                Fixed::Config | Fixed::RotateConfig | Fixed::Revocations => attr.mode = 0o600,
                Fixed::Events => attr.mode = 0o400,
                Fixed::Readme | Fixed::Errors | Fixed::Status | Fixed::Metrics => {}
            },
            Node::CredsDir(role) => {
                let (uid, gid, mode) = self.access(role)?;
                // Whoever may read a file may pass the directory.
                let mode = mode | (mode & 0o444) >> 2;
                attr = Attr { kind: Kind::Dir, mode, uid, gid, ttl: LONG, ..attr };
            }
            Node::LeaseDir(role) => {
                self.role_name(role)?;
                // Sticky and writable: whoever opened a lease may remove it; nothing can be created here.
                attr = Attr { kind: Kind::Dir, mode: 0o1777, ttl: LONG, ..attr };
            }
            Node::Role(_) => attr.mode = 0o644,
            Node::Rotate(_) => attr.mode = 0o600,
            Node::LeaseFile { serial, .. } => {
                let book = self.issuer.book();
                let Some(lease) = book.lease(serial) else { return no_entry() };
                // Writable, unlike DESIGN 3 has it: else an owner could not renew.
                attr.mode = 0o600;
                (attr.uid, attr.gid) = (lease.record.opener.uid, lease.record.opener.gid);
                attr.mtime = lease.record.issued_at;
            }
            Node::Draft(serial) => {
                let Some(draft) = self.drafts.look(serial) else { return no_entry() };
                attr = Attr { size: draft.size, mode: draft.mode, mtime: draft.changed_at, ..attr };
            }
            Node::SharedDoor { role, door, serial } => return self.door_attr(attr, role, door, serial, None),
            Node::OpenDoor { role, door, serial } => {
                let name = self.role_name(role)?;
                let scope = Scope::Open { role: name, node: serial };
                return self.door_attr(attr, role, door, serial, Some(scope));
            }
        }
        if let Some((size, mtime)) = self.control_size(node)? {
            (attr.size, attr.mtime) = (size, mtime.unwrap_or(attr.mtime));
        }
        Ok(attr)
    }

    /// A door: the exact size of its lease, or the size that the next token will most likely have.
    fn door_attr(&self, attr: Attr, role: u32, door: Door, serial: Serial, scope: Option<Scope>) -> Result<Attr> {
        let (uid, gid, mode) = self.access(role)?;
        let name = self.role_name(role)?;
        let lengths = self.doors.lengths(role);
        let node = match &scope {
            Some(_) => Node::OpenDoor { role, door, serial }.ino(),
            None => Node::SharedDoor { role, door, serial }.ino(),
        };
        let changing = self.doors.shown_by(node);
        let announced = self.doors.announced_mtime(node).filter(|_| changing.is_none());
        let now = self.issuer.now();
        // As long as somebody reads the former content of a changing node, or is about to, the size is that one's.
        let reader = changing.as_ref().and_then(|_| self.page_reader(node));
        let shown = changing.filter(|_| !self.opens.is_seated(node)).or_else(|| scope.clone());
        let book = self.issuer.book();
        let Some(entry) = book.role(&name) else { return no_entry() };
        let lease = match &shown {
            Some(scope) => book.current_lease(scope),
            None => book.lease(serial),
        };
        let bytes = lease.and_then(|lease| doors::render(door, &name, &lease.record));
        let size = match (reader, &bytes) {
            (Some((_, size)), _) => size,
            (None, Some(bytes)) => bytes.len() as u64,
            (None, None) => {
                let host = book.anchor(&entry.role.anchor).map(|anchor| anchor.anchor.access.address.host());
                let host = host.unwrap_or_else(|| crate::domain::anchor::Address::hcp().host());
                doors::guess(door, &name, &entry.role, book.limits(), host, lengths)
            }
        };
        // Unshared: constant, or `tar` says "changed as we read it" (fuse-nodes 0.1). Shared: when the node was first shown,
        // else the time of issue.
        let mtime = match (&scope, announced, lease) {
            (Some(_), ..) => entry.changed_at,
            (None, Some(announced), _) => announced,
            (None, None, Some(lease)) => lease.record.issued_at,
            (None, None, None) => now,
        };
        Ok(Attr { size, uid, gid, mode, mtime, ttl: LONG, ..attr })
    }

    /// READDIR: everything whose cookie is greater than `after`.
    ///
    /// # Errors
    /// `ENOTDIR`, `ENOENT`.
    pub fn readdir(&self, ino: Ino, after: u64) -> Result<Vec<DirEntry>> {
        let Some(dir) = Node::from_ino(ino) else { return no_entry() };
        if self.attr(dir)?.kind != Kind::Dir {
            return Err(Errno(libc::ENOTDIR));
        }
        let parent = match dir {
            Node::CredsDir(_) => Node::Fixed(Fixed::Creds),
            Node::LeaseDir(_) => Node::Fixed(Fixed::Leases),
            _ => Node::Fixed(Fixed::Root),
        };
        let entry = |node: Node, kind: Kind, name: &str, cookie: u64| DirEntry {
            ino: node.shown_ino(),
            kind,
            name: name.to_owned(),
            cookie,
        };
        let mut list = vec![entry(dir, Kind::Dir, ".", 1), entry(parent, Kind::Dir, "..", 2)];
        let fixed = |list: &mut Vec<DirEntry>, of: &[Fixed]| {
            for fixed in of {
                let kind = match fixed {
                    Fixed::Roles | Fixed::Creds | Fixed::Rotate | Fixed::Leases => Kind::Dir,
                    _ => Kind::File,
                };
                list.push(entry(Node::Fixed(*fixed), kind, fixed.name(), 2 + *fixed as u64));
            }
        };
        let each_role = |list: &mut Vec<DirEntry>, node: fn(u32) -> Node, kind: Kind| {
            for (name, role) in self.issuer.book().roles() {
                list.push(entry(node(role.number), kind, name.as_str(), 100 + u64::from(role.number)));
            }
        };
        match dir {
            Node::Fixed(Fixed::Root) => fixed(&mut list, &Fixed::TOP),
            Node::Fixed(Fixed::Roles) => {
                each_role(&mut list, Node::Role, Kind::File);
                for (serial, name) in self.drafts.list() {
                    list.push(entry(Node::Draft(serial), Kind::File, &name, 1 << 40 | serial.0));
                }
            }
            Node::Fixed(Fixed::Creds) => each_role(&mut list, Node::CredsDir, Kind::Dir),
            Node::Fixed(Fixed::Leases) => each_role(&mut list, Node::LeaseDir, Kind::Dir),
            Node::Fixed(Fixed::Rotate) => {
                fixed(&mut list, &[Fixed::RotateConfig]);
                each_role(&mut list, Node::Rotate, Kind::File);
            }
            Node::CredsDir(role) => {
                let name = self.role_name(role)?;
                let open = self.issuer.book().role(&name).is_some_and(|entry| entry.role.share == Share::Open);
                for door in Door::ALL {
                    let node = match open {
                        true => Node::OpenDoor { role, door, serial: Serial(0) },
                        false => Node::SharedDoor { role, door, serial: Serial(0) },
                    };
                    list.push(entry(node, Kind::File, door.name(), 3 + door as u64));
                }
            }
            Node::LeaseDir(role) => {
                let name = self.role_name(role)?;
                let book = self.issuer.book();
                for lease in book.live_leases(&name, self.issuer.now()) {
                    let serial = lease.record.serial;
                    let node = Node::LeaseFile { role, serial };
                    list.push(entry(node, Kind::File, lease.record.id.as_str(), 100 + serial.0));
                }
            }
            _ => {}
        }
        list.retain(|entry| entry.cookie > after);
        list.sort_by_key(|entry| entry.cookie);
        Ok(list)
    }

    /// FORGET.
    pub fn forget(&self, ino: Ino, count: u64) {
        match Node::from_ino(ino) {
            Some(Node::SharedDoor { serial, .. }) => {
                let unknown = self.doors.forgotten(ino, count);
                if unknown {
                    self.issuer.book().forget_prospect(serial);
                }
            }
            Some(Node::OpenDoor { role, serial, .. }) => {
                self.doors.forgotten(ino, count);
                let mut book = self.issuer.book();
                if let Some(name) = book.name_of(role).cloned() {
                    book.forget_node(&Scope::Open { role: name, node: serial });
                }
            }
            _ => {}
        }
    }

    /// A role of that name, or, in `roles/`, one that is being written for the first time.
    fn role_number(&self, name: &str, pending: bool) -> Option<u32> {
        let name: RoleName = name.parse().ok()?;
        if let Some(entry) = self.issuer.book().role(&name) {
            return Some(entry.number);
        }
        let target = super::opens::Target::Role(name.clone());
        let is_pending = pending && self.opens.drafts_of(&target).iter().any(|draft| draft.lock().is_pending());
        is_pending.then(|| self.issuer.book().number(&name))
    }

    fn lease_serial(&self, role: u32, id: &str) -> Option<Serial> {
        let book = self.issuer.book();
        let name = book.name_of(role)?;
        let lease = book.lease_by_id(id).filter(|lease| lease.is_live(self.issuer.now()))?;
        // A shared slot's lease is listed under each of its roles.
        let listed =
            &lease.record.role == name || book.slot_lease(name).is_some_and(|own| own.record.id == lease.record.id);
        listed.then_some(lease.record.serial)
    }

    pub(super) fn role_name(&self, number: u32) -> Result<RoleName> {
        self.issuer.book().name_of(number).cloned().ok_or(Errno(libc::ENOENT))
    }

    /// Owner, group and mode of a role's files.
    fn access(&self, number: u32) -> Result<(u32, u32, u16)> {
        let name = self.role_name(number)?;
        let book = self.issuer.book();
        let Some(entry) = book.role(&name) else { return no_entry() };
        let (access, settings) = (&entry.role.access, &self.settings);
        Ok((
            access.uid.unwrap_or(settings.uid),
            access.gid.unwrap_or(settings.gid),
            access.mode.unwrap_or(settings.mode),
        ))
    }

    /// The kernel's copies of a role's attributes are out of date.
    pub(super) fn tell_attributes(&self, number: u32) {
        self.tell(Change::Attributes { node: Node::CredsDir(number).ino() });
        let mut nodes = self.doors.nodes_of(number);
        nodes.extend(self.inherited_nodes(number));
        for node in nodes {
            self.tell(Change::Attributes { node });
        }
    }
}
