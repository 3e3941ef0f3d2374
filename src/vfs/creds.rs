//! Opening a door: the rules of fuse-nodes 0.2 to 0.5.
//!
//! Shared roles: one node per lease and door; an OPEN of a superseded node is answered ESTALE once, which makes the
//! kernel look the path up again; the second time from the same caller it is a pinned dentry (a bind-mounted file) and
//! becomes a *portal*. Unshared roles: every LOOKUP gave a node of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::door_table::{Knocking, Pages, RETRY};
use super::doors::{self, Secret};
use super::ino::{Door, Ino, Node};
use super::opens::{Open, Seat};
use super::{Caller, Change, Errno, Opened, Reply, Result, Vfs};
use crate::domain::error::Error;
use crate::domain::lease::{Scope, Serial, later};
use crate::domain::name::RoleName;

/// How often a portal looks whether the readers of its former content are gone.
const READERS_POLL: Duration = Duration::from_millis(2);

/// One opener of one door.
struct Knock {
    caller: Caller,
    node: Ino,
    number: u32,
    name: RoleName,
    door: Door,
    serial: Serial,
    scope: Scope,
    path: String,
    /// A token had to be made for it.
    waited: AtomicBool,
}

impl Vfs {
    /// OPEN of a file in `creds/<role>/`.
    pub(super) fn open_door(&self, caller: Caller, node: Node, flags: i32) -> Reply<Opened> {
        let (number, door, serial, fresh_per_lookup) = match node {
            Node::SharedDoor { role, door, serial } => (role, door, serial, false),
            Node::OpenDoor { role, door, serial } => (role, door, serial, true),
            _ => return Reply::Now(Err(Errno(libc::ENOENT))),
        };
        let denied = self.denied_program(caller);
        if denied.is_none()
            && flags & (libc::O_ACCMODE | libc::O_TRUNC) == libc::O_RDONLY
            && let Some(opened) = self.reopen(node.ino(), number, serial)
        {
            return self.hit(caller, node, serial, opened);
        }
        let name = self.issuer.book().name_of(number).cloned();
        let Some(name) = name else { return Reply::Now(Err(Errno(libc::ENOENT))) };
        let path = format!("creds/{name}/{}", door.name());
        if flags & libc::O_ACCMODE != libc::O_RDONLY || flags & libc::O_TRUNC != 0 {
            if self.is_announcer(caller) {
                let handle = self.opens.add(node.ino(), Open::Announce);
                return Reply::Now(Ok(Opened { handle, direct: true, keep_cache: true, no_flush: true }));
            }
            let sentence = "credential files are read-only: tokens are issued, never written";
            return Reply::Now(Err(self.refuse(caller, &path, libc::EACCES, sentence)));
        }
        let scope = match self.admit(caller, &name, serial, &path, denied) {
            Ok(scope) => scope,
            Err(errno) => return Reply::Now(Err(errno)),
        };
        let waited = AtomicBool::new(false);
        let knock = Knock { caller, node: node.ino(), number, name, door, serial, scope, path, waited };
        // O_NONBLOCK waits like any other open, as on every regular file: gzip, xz, tar and file set it against FIFOs, and
        // know no EAGAIN.
        let reply = if fresh_per_lookup { self.open_changing(knock, false) } else { self.open_shared(knock) };
        self.on_record(caller, node, reply)
    }

    /// Who may open files of a role at all, and with whom the opener shares. Every way in leads here: a path, a bind mount,
    /// a directory held open, `/proc/PID/fd`.
    fn admit(
        &self,
        caller: Caller,
        name: &RoleName,
        node: Serial,
        path: &str,
        denied: Option<String>,
    ) -> Result<Scope> {
        if let Some(program) = denied {
            let sentence = format!("program \"{program}\" is among deny_programs of the settings file");
            return Err(self.refuse(caller, path, libc::EACCES, &sentence));
        }
        let asks = self.issuer.book().role(name).is_some_and(|entry| entry.role.asks_for_unit());
        let unit = asks.then(|| self.callers.unit(caller.tid)).flatten();
        let scope = {
            let book = self.issuer.book();
            // It may have been written meanwhile: a unit that was not asked for is unknown.
            let allowed = book.role(name).is_none_or(|entry| entry.role.allows(unit.as_deref()));
            allowed.then(|| book.scope(name, caller.uid, unit.as_deref(), node))
        };
        let Some(scope) = scope else {
            let whence = unit.map_or_else(|| "an unknown unit".into(), |unit| format!("unit {unit:?}"));
            let sentence = format!("{whence} is not among allow_units of role \"{name}\"");
            return Err(self.refuse(caller, path, libc::EACCES, &sentence));
        };
        scope.map_err(|error| self.fail(caller, path, &error))
    }

    fn denied_program(&self, caller: Caller) -> Option<String> {
        let denied = &self.settings.deny_programs;
        if denied.is_empty() {
            return None;
        }
        self.callers.program(caller.tid).filter(|program| denied.contains(program))
    }

    /// The hit: this node was found to be current before, and nothing has changed since.
    fn reopen(&self, node: Ino, number: u32, serial: Serial) -> Option<Opened> {
        let bytes = self.doors.bytes(node)?;
        // In the table before the lease is claimed: see [`super::opens::Seat`].
        let handle = self.opens.add(node, Open::Door { lease: serial, bytes, direct: false, waited: false });
        if !self.issuer.reopen(serial, number) {
            self.opens.remove(handle);
            return None;
        }
        self.counters.opened();
        Some(Opened { handle, direct: false, keep_cache: true, no_flush: true })
    }

    fn open_shared(&self, knock: Knock) -> Reply<Opened> {
        if self.doors.is_portal(knock.node) {
            return self.open_portal(knock);
        }
        let is_current = {
            let now = self.issuer.now();
            let book = self.issuer.book();
            match book.current_lease(&knock.scope).filter(|lease| lease.is_live(now)) {
                Some(lease) => lease.record.serial == knock.serial,
                None => book.is_prospect(&knock.scope, knock.serial),
            }
        };
        if !is_current {
            return self.open_superseded(knock);
        }
        let seat = self.opens.seat(knock.node);
        match self.issuer.open_now(&knock.scope, &knock.name, knock.caller.opener()) {
            Some(lease) if lease == knock.serial => self.hand_out_true(knock, seat),
            Some(lease) => {
                drop(seat);
                self.issuer.give_back(lease);
                self.open_superseded(knock)
            }
            None => {
                let me = self.me();
                Reply::later(async move { me.mint_for(knock, seat).await })
            }
        }
    }

    /// The current node, but a token must be made first.
    async fn mint_for(self: Arc<Self>, knock: Knock, seat: Seat) -> Result<Opened> {
        let lease = self.obtain(&knock).await?;
        if lease != knock.serial {
            // The token came as the successor of a lease with too little life: that has a node of its own.
            drop(seat);
            self.issuer.give_back(lease);
            return self.open_superseded(knock).wait().await;
        }
        self.hand_out_true(knock, seat).wait().await
    }

    /// The lease of a node of its own is held: gives out a handle once the kernel knows the node's true size. It may have
    /// been announced before the token was made, by this opener or by another one.
    fn hand_out_true(&self, knock: Knock, seat: Seat) -> Reply<Opened> {
        let lease = knock.serial;
        self.learn_from(lease);
        let is_true = self.doors.bytes(knock.node).is_some() || self.doors.announced_well(knock.number, lease);
        if is_true {
            return Reply::Now(self.hand_out_own(&knock));
        }
        let me = self.me();
        Reply::later(async move {
            me.rewrite(&knock, lease).await;
            let opened = me.hand_out_own(&knock);
            drop(seat);
            opened
        })
    }

    /// A shared node that the path does not mean any more: a successor is current, or the role is unshared since.
    fn open_superseded(&self, knock: Knock) -> Reply<Opened> {
        let now = self.issuer.now();
        let pinned = match self.doors.knocking((knock.number, knock.door, knock.caller.tid), knock.node, now) {
            Knocking::First => return Reply::Now(Err(Errno(libc::ESTALE))),
            Knocking::Pinned => true,
            Knocking::Unlucky => false,
            Knocking::Unsure => {
                let (dir, name) = (Node::CredsDir(knock.number).ino(), knock.door.name().to_owned());
                self.tell(Change::Removed { dir, node: None, name });
                false
            }
        };
        let just_now = {
            let book = self.issuer.book();
            book.lease(knock.serial).is_some_and(|lease| {
                // The former token of a slot is dead upstream, though its bytes stay readable for a moment.
                let dead = pinned && lease.record.credential_type.is_slot();
                lease.record.scope == knock.scope
                    && !dead
                    // The role may mean another owner since.
                    && book.role(&knock.name).is_some_and(|entry| lease.record.is_of(&entry.role))
                    && lease.is_live(now)
                    && lease.superseded_at.is_some_and(|at| later(at, RETRY) > now)
            })
        };
        if just_now && self.issuer.book().hold(knock.serial, now) {
            // Unlucky rather than pinned: its path was replaced between its two tries. It reads past the pages: those may be
            // made to show another lease already.
            return Reply::Now(self.hand_out(&knock, knock.serial, true));
        }
        self.open_portal(knock)
    }

    /// A pinned dentry: its node shows whatever is current. `read` follows the handle, `mmap` the newest content.
    fn open_portal(&self, knock: Knock) -> Reply<Opened> {
        let foreign = {
            let book = self.issuer.book();
            let by_unit = |scope: &Scope| matches!(scope, Scope::Unit { .. });
            book.lease(knock.serial).is_some_and(|lease| {
                let scope = &lease.record.scope;
                scope != &knock.scope && (by_unit(scope) || by_unit(&knock.scope))
            })
        };
        if foreign {
            // One inode has one page cache: serving two units would show one's token to the other.
            return Reply::Now(Err(Errno(libc::ESTALE)));
        }
        self.open_changing(knock, true)
    }

    /// A node whose content changes: a portal, or an unshared node. Its pages are made true before the answer.
    fn open_changing(&self, knock: Knock, portal: bool) -> Reply<Opened> {
        let opened_before = self.doors.is_portal(knock.node) || knock.serial < self.first_serial;
        let pages = self.doors.pages(knock.node, &knock.scope);
        if pages.scope != knock.scope {
            return Reply::Now(Err(Errno(libc::ESTALE)));
        }
        let held = self.issuer.open_now(&knock.scope, &knock.name, knock.caller.opener());
        let untouched = !portal && !opened_before;
        if let Some(lease) = held
            && let Ok(mut shows) = pages.shows.try_lock()
            && self.shows_already(&knock, *shows, lease, untouched)
        {
            *shows = (*shows).max(held);
            return Reply::Now(self.hand_out(&knock, lease, portal));
        }
        let me = self.me();
        Reply::later(async move {
            let lease = match held {
                Some(lease) => lease,
                None => me.obtain(&knock).await?,
            };
            let direct = !me.make_true(&knock, &pages, lease, untouched).await;
            me.hand_out(&knock, lease, portal || direct)
        })
    }

    /// Whether the pages of a changing node show `lease`, or a later one that an opener beside us was given. Pages that
    /// nobody filled yet (`untouched`) are true if the node was announced with the right size.
    fn shows_already(&self, knock: &Knock, shows: Option<Serial>, lease: Serial, untouched: bool) -> bool {
        self.learn_from(lease);
        match shows {
            Some(shown) => shown >= lease,
            None => untouched && self.doors.announced_well(knock.number, knock.serial),
        }
    }

    /// Makes the pages of a changing node show `lease`. False when somebody still reads another content there: that one
    /// keeps pages and size, else its reads would be cut. They are made true by a later open then.
    async fn make_true(&self, knock: &Knock, pages: &Pages, lease: Serial, untouched: bool) -> bool {
        let mut shows = pages.shows.lock().await;
        if !self.shows_already(knock, *shows, lease, untouched) {
            self.readers_gone(knock, lease).await;
            if self.is_in_use(knock.node, lease) {
                return false;
            }
            self.rewrite(knock, lease).await;
        }
        *shows = (*shows).max(Some(lease));
        true
    }

    /// Somebody who reads a node through its pages, with a lease that has not ended.
    pub(super) fn page_reader(&self, node: Ino) -> Option<(Serial, u64)> {
        let readers = self.opens.page_readers(node);
        let book = self.issuer.book();
        readers.into_iter().find(|(serial, _)| book.lease(*serial).is_some_and(|lease| lease.ended.is_none()))
    }

    /// Whether the pages of a node are another lease's, to somebody who reads it or is about to.
    fn is_in_use(&self, node: Ino, lease: Serial) -> bool {
        self.opens.is_seated(node) || self.page_reader(node).is_some_and(|(reader, _)| reader != lease)
    }

    /// A content of another size has to wait for those who opened the node just before it changed: one inode has one size.
    /// Most are gone within milliseconds; nobody is waited for longer than [`RETRY`] after the change.
    async fn readers_gone(&self, knock: &Knock, lease: Serial) {
        let Some((reader, size)) = self.page_reader(knock.node) else { return };
        if self.bytes_of(knock, lease).map(|bytes| bytes.len() as u64) == Some(size) {
            return;
        }
        let superseded_at = self.issuer.book().lease(reader).and_then(|lease| lease.superseded_at);
        let Some(end) = superseded_at.map(|at| later(at, RETRY)) else { return };
        // A clock that was set back must not make this a long wait.
        let left = Duration::try_from(self.issuer.now().duration_until(end)).unwrap_or_default().min(RETRY);
        let gone = async {
            while self.is_in_use(knock.node, lease) {
                tokio::time::sleep(READERS_POLL).await;
            }
        };
        let _ = tokio::time::timeout(left, gone).await;
    }

    async fn obtain(&self, knock: &Knock) -> Result<Serial> {
        knock.waited.store(true, Ordering::Relaxed);
        let deadline = self.settings.open_deadline;
        let opened = self.issuer.open(&knock.scope, &knock.name, knock.caller.opener(), deadline).await;
        opened.map_err(|error| self.fail(knock.caller, &knock.path, &error))
    }

    /// The flight lands before its event is told: what it says about sizes is needed here already.
    fn learn_from(&self, lease: Serial) {
        let record = self.issuer.book().lease(lease).map(|lease| lease.record.clone());
        if let Some(record) = record {
            self.learn_sizes(&record);
        }
    }

    async fn rewrite(&self, knock: &Knock, lease: Serial) {
        let bytes = self.bytes_of(knock, lease);
        if let (Some(kernel), Some(bytes)) = (self.kernel.get(), bytes) {
            kernel.rewrite(knock.node, bytes).await;
        }
    }

    fn bytes_of(&self, knock: &Knock, lease: Serial) -> Option<Arc<Secret>> {
        let book = self.issuer.book();
        doors::render(knock.door, &knock.name, &book.lease(lease)?.record).map(Arc::new)
    }

    /// The node has its true size. The next opens of it need not find that out again.
    fn hand_out_own(&self, knock: &Knock) -> Result<Opened> {
        let lease = knock.serial;
        let opened = self.hand_out(knock, lease, false)?;
        if let Some(Open::Door { bytes, .. }) = self.opens.get(opened.handle) {
            self.doors.keep_bytes(knock.node, &bytes);
        }
        let ended = {
            let mut book = self.issuer.book();
            book.confirm(lease, knock.number);
            book.lease(lease).is_none_or(|lease| lease.ended.is_some())
        };
        if ended {
            // Its end may have come before its bytes were kept, and would drop them no more.
            self.doors.drop_bytes(lease);
        }
        Ok(opened)
    }

    /// The lease is held: give out a handle for it.
    fn hand_out(&self, knock: &Knock, lease: Serial, direct: bool) -> Result<Opened> {
        let Some(bytes) = self.bytes_of(knock, lease) else {
            self.issuer.close(lease);
            return Err(self.fail(knock.caller, &knock.path, &Error::Internal));
        };
        self.counters.opened();
        let waited = knock.waited.load(Ordering::Relaxed);
        let handle = self.opens.add(knock.node, Open::Door { lease, bytes, direct, waited });
        Ok(Opened { handle, direct, keep_cache: true, no_flush: true })
    }
}
