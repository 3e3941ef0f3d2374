//! Writing documents: a draft for each handle, certain errors at the WRITE, the rest when its writer closes.
//!
//! The six rules of fuse-nodes 8.4 are in [`Vfs::write`], [`Vfs::flush`] and [`Vfs::release`].

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::acting::by;
use super::drafts::{looks_temporary, splice};
use super::ino::{Fixed, Ino, Node};
use super::opens::{Draft, Open, Target};
use super::ports::{Callers, Exit};
use super::tree::Entry;
use super::{Caller, Errno, Opened, Reply, Result, Vfs};
use crate::domain::document;
use crate::domain::error::Error;
use crate::domain::lease::Serial;
use crate::domain::name::{AnchorName, RoleName};
use crate::domain::role::Role;

/// A FLUSH waits this long for what `/proc` says of its caller. Only a thread in `execve` cannot be asked, and that
/// one has not called `close`.
const ASKING: Duration = Duration::from_millis(500);

/// What a FLUSH means for its draft (fuse-nodes 8.4).
enum Closing {
    /// The writer called `close`.
    Close,
    /// Another process, an exit or an `execve`: the last copy decides.
    NotYet,
    /// A signal killed the writer half-way.
    Killed,
}

/// The answer to CREATE.
#[derive(Debug, Clone, Copy)]
pub struct Created {
    /// The new name.
    pub entry: Entry,
    /// Its handle.
    pub opened: Opened,
}

impl Target {
    fn path(&self) -> String {
        match self {
            Self::Role(name) => format!("roles/{name}"),
            Self::Config => "config".into(),
            Self::Rotate(Some(name)) => format!("rotate/{name}"),
            Self::Rotate(None) => "rotate/config".into(),
            Self::Lease(_) => "leases".into(),
            Self::Revocations => "revocations".into(),
        }
    }
}

impl Vfs {
    /// OPEN.
    pub fn open(&self, caller: Caller, ino: Ino, flags: i32) -> Reply<Opened> {
        let Some(node) = Node::from_ino(ino) else { return Reply::Now(Err(Errno(libc::ENOENT))) };
        let writes = flags & libc::O_ACCMODE != libc::O_RDONLY;
        match node {
            Node::SharedDoor { .. } | Node::OpenDoor { .. } => self.open_door(caller, node, flags),
            Node::Draft(serial) => {
                let handle = self.opens.add(ino, Open::Scratch(serial));
                if flags & libc::O_TRUNC != 0 {
                    self.drafts.set(serial, Some(0), None, self.issuer.now());
                }
                Reply::Now(Ok(Opened { handle, direct: true, keep_cache: false, no_flush: true }))
            }
            _ if !writes => self.open_text(caller, node),
            _ => Reply::Now(self.open_draft(caller, node, flags)),
        }
    }

    fn open_draft(&self, caller: Caller, node: Node, flags: i32) -> Result<Opened> {
        let target = match node {
            Node::Role(number) => Target::Role(self.role_name(number)?),
            Node::Fixed(Fixed::Config) => Target::Config,
            Node::Fixed(Fixed::RotateConfig) => Target::Rotate(None),
            Node::Fixed(Fixed::Revocations) => Target::Revocations,
            Node::Rotate(number) => Target::Rotate(Some(self.role_name(number)?)),
            Node::LeaseFile { serial, .. } => Target::Lease(serial),
            _ => return Err(self.refuse(caller, "", libc::EACCES, "this file is written by tfcfs only")),
        };
        if let Target::Role(name) = &target {
            // Here already: shells do not show what fails at the close.
            self.issuer.may_change_role(name).map_err(|error| self.fail(caller, &target.path(), &error))?;
        }
        let bytes = match (&target, flags & libc::O_TRUNC) {
            // What is there stays until it is overwritten: `>>` appends to the document in force.
            (Target::Role(_) | Target::Config, 0) => self.text(node)?.unwrap_or_default().into_bytes(),
            _ => Vec::new(),
        };
        Ok(self.start_draft(caller, node, target, bytes))
    }

    fn start_draft(&self, caller: Caller, node: Node, target: Target, bytes: Vec<u8>) -> Opened {
        let draft = Draft {
            target,
            bytes: zeroize::Zeroizing::new(bytes),
            dirty: false,
            void: false,
            process: self.callers.process(caller.tid),
            opener: caller.opener(),
        };
        let handle = self.opens.add(node.ino(), Open::Write(Arc::new(Mutex::new(draft))));
        Opened { handle, direct: true, keep_cache: false, no_flush: false }
    }

    /// CREATE: only in `roles/`.
    ///
    /// # Errors
    /// `EINVAL` for a name that no role can have (unless it is an editor's temporary file), `EPERM` elsewhere.
    pub fn create(
        &self,
        caller: Caller,
        parent: Ino,
        name: &std::ffi::OsStr,
        mode: u32,
        flags: i32,
    ) -> Result<Created> {
        let name = name.to_string_lossy().into_owned();
        if Node::from_ino(parent) == Some(Node::Fixed(Fixed::Rotate)) {
            let error = Error::not_found(format!("role \"{name}\""));
            return Err(self.fail(caller, &format!("rotate/{name}"), &error));
        }
        if Node::from_ino(parent) != Some(Node::Fixed(Fixed::Roles)) {
            let sentence = "files are created in roles/ only; everything else appears by itself";
            return Err(self.refuse(caller, &name, libc::EPERM, sentence));
        }
        let path = format!("roles/{name}");
        let (node, opened) = match name.parse::<RoleName>() {
            Ok(role) if !looks_temporary(&name) => {
                let number = self.issuer.book().number(&role);
                let node = Node::Role(number);
                (node, self.start_draft(caller, node, Target::Role(role), Vec::new()))
            }
            parsed => {
                if let Err(error) = parsed
                    && flags & libc::O_EXCL == 0
                    && !looks_temporary(&name)
                {
                    return Err(self.refuse(caller, &path, libc::EINVAL, &error.to_string()));
                }
                let serial = self.issuer.take_serial().map_err(|error| self.fail(caller, &path, &error))?;
                let mode = (mode & 0o777) as u16;
                self.drafts.create(serial, &name, Vec::new(), mode, self.issuer.now());
                let node = Node::Draft(serial);
                let handle = self.opens.add(node.ino(), Open::Scratch(serial));
                (node, Opened { handle, direct: true, keep_cache: false, no_flush: true })
            }
        };
        let attr = self.attr(node)?;
        Ok(Created { entry: Entry { node, attr, ttl: Duration::ZERO }, opened })
    }

    /// READ. Answers at once.
    ///
    /// # Errors
    /// `EKEYEXPIRED` or `EKEYREVOKED` when the lease of the handle has ended.
    pub fn read(&self, handle: u64, offset: u64, size: usize) -> Result<Vec<u8>> {
        let slice = |bytes: &[u8]| {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            bytes[from..bytes.len().min(from.saturating_add(size))].to_vec()
        };
        match self.opens.get(handle) {
            Some(Open::Door { lease, bytes, .. }) => {
                self.still_readable(lease)?;
                Ok(slice(&bytes))
            }
            Some(Open::Text(bytes)) => Ok(slice(&bytes)),
            Some(Open::Events { shift, inherited, .. }) => {
                let begin = || match inherited {
                    true => self.events.base().wrapping_sub(offset),
                    false => self.events.base().saturating_sub(offset),
                };
                let mut shift = shift.unwrap_or_else(begin);
                if inherited && offset.wrapping_add(shift) > self.events.end() {
                    // It went back to the beginning, as `tail` does when a file has become shorter.
                    shift = begin();
                }
                let position = offset.wrapping_add(shift);
                let bytes = self.events.read(position, size);
                let seen_now = position.saturating_add(bytes.len() as u64);
                self.opens.update(handle, |open| {
                    if let Open::Events { shift: kept, seen, .. } = open {
                        (*kept, *seen) = (Some(shift), seen_now);
                    }
                });
                Ok(bytes)
            }
            Some(Open::Write(draft)) => Ok(slice(&draft.lock().bytes)),
            Some(Open::Scratch(serial)) => Ok(slice(&self.drafts.bytes(serial).unwrap_or_default())),
            Some(Open::Announce) => Ok(Vec::new()),
            Some(Open::Lost) => Err(Errno(libc::EIO)),
            None => Err(Errno(libc::EBADF)),
        }
    }

    fn still_readable(&self, lease: Serial) -> Result<()> {
        let now = self.issuer.now();
        let ended = {
            let book = self.issuer.book();
            match book.lease(lease) {
                Some(lease) if lease.is_live(now) => None,
                Some(lease) => Some(lease.ended.unwrap_or(lease.ends_as)),
                None => Some(crate::domain::error::Ended::Expired),
            }
        };
        match ended {
            None => Ok(()),
            Some(how) => Err(super::errno(&Error::LeaseEnded(how))),
        }
    }

    /// Whether something waits for a poller of this handle: a successor, an end, new events.
    pub fn has_news(&self, handle: u64) -> bool {
        match self.opens.get(handle) {
            Some(Open::Door { lease, .. }) => {
                let now = self.issuer.now();
                let book = self.issuer.book();
                book.lease(lease).is_none_or(|lease| lease.superseded_at.is_some() || !lease.is_live(now))
            }
            Some(Open::Events { seen, .. }) => self.events.end() > seen,
            _ => false,
        }
    }

    /// WRITE. Rotations and renewals happen here, so that `echo > rotate/x` shows their errors in every shell.
    pub fn write(&self, caller: Caller, handle: u64, offset: u64, data: &[u8]) -> Reply<u32> {
        let count = data.len() as u32;
        let draft = match self.opens.get(handle) {
            Some(Open::Write(draft)) => draft,
            Some(Open::Scratch(serial)) => {
                return Reply::Now(match self.drafts.write(serial, offset, data, self.issuer.now()) {
                    true => Ok(count),
                    false => Err(Errno(libc::EFBIG)),
                });
            }
            // The announcer's byte, which is for the watchers.
            Some(Open::Announce) => return Reply::Now(Ok(count)),
            Some(Open::Lost) => return Reply::Now(Err(self.lost(caller, handle))),
            _ => return Reply::Now(Err(Errno(libc::EBADF))),
        };
        let (target, opener) = {
            let draft = draft.lock();
            (draft.target.clone(), draft.opener)
        };
        // Only a rotation reads its text here; a document may hold a token, which is not copied.
        let text = match target {
            Target::Rotate(_) | Target::Revocations => String::from_utf8_lossy(data).trim().to_owned(),
            _ => String::new(),
        };
        let me = self.me();
        match target {
            // The first write acts; the rest of a longer text is swallowed. `>>` begins at an offset.
            Target::Rotate(_) | Target::Lease(_) | Target::Revocations
                if std::mem::replace(&mut draft.lock().dirty, true) =>
            {
                Reply::Now(Ok(count))
            }
            Target::Rotate(Some(name)) => Reply::later_by(caller, async move {
                let deadline = me.settings.rotate_deadline;
                let revoke = text == "revoke";
                let rotated = me.issuer.rotate(&name, opener, Some(caller.uid), revoke, deadline).await;
                rotated.map(|()| count).map_err(|error| me.fail(caller, &format!("rotate/{name}"), &error))
            }),
            Target::Rotate(None) => Reply::later(async move {
                let name = if text.is_empty() { Ok(AnchorName::default()) } else { text.parse() };
                let name = name.map_err(|error: crate::domain::name::NameError| {
                    me.refuse(caller, "rotate/config", libc::EINVAL, &error.to_string())
                })?;
                let rotated = me.issuer.rotate_anchor(&name, me.settings.rotate_deadline).await;
                rotated.map_err(|error| me.fail(caller, "rotate/config", &error))?;
                me.audit_anchor_rotated(caller);
                Ok(count)
            }),
            Target::Lease(serial) => {
                let id = self.issuer.book().lease(serial).map(|lease| lease.record.id.to_string());
                let renewed = self.issuer.renew(&id.unwrap_or_default());
                Reply::Now(renewed.map(|()| count).map_err(|error| self.fail(caller, "leases", &error)))
            }
            Target::Revocations => Reply::later(async move { me.forget_lease(caller, &text).await.map(|()| count) }),
            Target::Role(_) | Target::Config => self.write_document(caller, draft, offset, data),
        }
    }

    fn write_document(&self, caller: Caller, draft: Arc<Mutex<Draft>>, offset: u64, data: &[u8]) -> Reply<u32> {
        let count = data.len() as u32;
        let (target, so_far) = {
            let mut draft = draft.lock();
            if draft.void {
                return Reply::Now(Err(Errno(libc::EINVAL)));
            }
            draft.dirty = true;
            let so_far = splice(&mut draft.bytes, offset, data).then(|| draft.bytes.clone());
            (draft.target.clone(), so_far)
        };
        let (me, is_role) = (self.me(), matches!(target, Target::Role(_)));
        let checked = move |checked: std::result::Result<(), Error>| {
            checked.map(|()| count).map_err(|error| {
                let mut draft = draft.lock();
                draft.void = true;
                draft.bytes.clear();
                drop(draft);
                me.fail(caller, &target.path(), &error)
            })
        };
        let Some(so_far) = so_far else { return Reply::Now(checked(Err(document::too_large().into()))) };
        if !is_role {
            return Reply::Now(checked(document::check_config_prefix(&so_far).map_err(Error::from)));
        }
        let (accounts, deadline) = (self.accounts.clone(), self.settings.deadline);
        Reply::later(async move {
            // The names of users may have to be asked from a directory server.
            let work = off_thread(move || document::check_role_prefix(&so_far, &*accounts));
            let found = tokio::time::timeout(deadline, work).await;
            checked(match found {
                Ok(found) => found.and_then(|found| found.map_err(Error::from)),
                Err(_) => Err(Error::Deadline(deadline)),
            })
        })
    }

    /// FLUSH: a `close`, by whoever. Rules 2 to 5.
    pub fn flush(&self, caller: Caller, handle: u64) -> Reply<()> {
        let draft = match self.opens.get(handle) {
            Some(Open::Write(draft)) => draft,
            Some(Open::Lost) => return Reply::Now(Err(self.lost(caller, handle))),
            _ => return Reply::Now(Ok(())),
        };
        let (writer, path) = {
            let open = draft.lock();
            if !open.dirty || open.void {
                return Reply::Now(Ok(()));
            }
            (open.process, open.target.path())
        };
        let me = self.me();
        Reply::later(async move {
            match closing(me.callers.clone(), caller.tid, writer).await {
                Closing::NotYet => Ok(()),
                Closing::Killed => {
                    draft.lock().void = true;
                    let sentence = "its writer was killed half-way: nothing was committed, the old content is in force";
                    me.refuse(caller, &path, libc::EINTR, sentence);
                    Ok(())
                }
                Closing::Close => {
                    let deadline = me.settings.open_deadline;
                    let work = me.clone().commit(caller, draft);
                    me.bounded(caller, &path, deadline, work).await
                }
            }
        })
    }

    /// What was written of a document went with the daemon that had it.
    fn lost(&self, caller: Caller, handle: u64) -> Errno {
        let path = match self.opens.describe(handle).and_then(|(node, _)| Node::from_ino(node)) {
            Some(Node::Role(number)) => self.role_name(number).map(|name| format!("roles/{name}")),
            Some(Node::Fixed(fixed)) => Ok(fixed.name().to_owned()),
            _ => Err(Errno(libc::EIO)),
        };
        let sentence = "tfcfs was restarted while this was being written, so nothing of it is in force: write it again";
        self.refuse(caller, path.as_deref().unwrap_or("a draft"), libc::EIO, sentence)
    }

    /// RELEASE: the last copy is gone. Rule 6; and a lease loses a handle. Answers at once.
    pub fn release(&self, handle: u64) {
        // First: a release that is sent again finds nothing to do, one that never was done would hold the lease for ever.
        self.drop_handle(handle);
        match self.opens.remove(handle) {
            Some(Open::Door { lease, bytes, .. }) => {
                drop(bytes);
                self.issuer.close(lease);
            }
            Some(Open::Write(draft)) => {
                let (pending, opener) = {
                    let draft = draft.lock();
                    (draft.dirty && !draft.void, draft.opener)
                };
                if pending {
                    let me = self.me();
                    let caller = Caller { uid: opener.uid, gid: opener.gid, tid: 0 };
                    self.issuer.spawn(async move {
                        let _ = by(caller, me.commit(caller, draft)).await;
                    });
                }
            }
            _ => {}
        }
    }

    /// Answers a change within `deadline`. Half a change would be worse than a late one, so it goes on beyond that.
    pub(super) async fn bounded(
        &self,
        caller: Caller,
        path: &str,
        deadline: Duration,
        work: impl Future<Output = Result<()>> + Send + 'static,
    ) -> Result<()> {
        let (done, result) = tokio::sync::oneshot::channel();
        self.issuer.spawn(async move {
            let _ = done.send(by(caller, work).await);
        });
        match tokio::time::timeout(deadline, result).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(self.fail(caller, path, &Error::Internal)),
            Err(_) => Err(self.fail(caller, path, &Error::Deadline(deadline))),
        }
    }

    /// Puts a finished draft into force. On a failure the old content stays and `errors` says why.
    async fn commit(self: Arc<Self>, caller: Caller, draft: Arc<Mutex<Draft>>) -> Result<()> {
        let (target, bytes) = {
            let mut draft = draft.lock();
            if !draft.dirty || draft.void {
                return Ok(());
            }
            draft.dirty = false;
            (draft.target.clone(), draft.bytes.clone())
        };
        let result = match &target {
            Target::Role(name) => self.commit_role(name, &bytes).await,
            Target::Config => self.commit_config(&bytes).await,
            Target::Rotate(_) | Target::Lease(_) | Target::Revocations => Ok(()),
        };
        result.map_err(|error| self.fail(caller, &target.path(), &error))
    }

    pub(super) async fn commit_role(&self, name: &RoleName, bytes: &[u8]) -> std::result::Result<(), Error> {
        let (bytes, accounts) = (bytes.to_vec(), self.accounts.clone());
        let spec = off_thread(move || document::RoleSpec::parse(&bytes, &*accounts)).await??;
        let role = self.resolve(spec).await?;
        self.issuer.write_role(name, role).await
    }

    async fn resolve(&self, spec: document::RoleSpec) -> std::result::Result<Role, Error> {
        let id = match spec.lookup() {
            Some(lookup) => Some(self.issuer.team_id(spec.anchor(), &lookup.organization, &lookup.team).await?),
            None => None,
        };
        Ok(spec.resolve(id))
    }

    async fn commit_config(&self, bytes: &[u8]) -> std::result::Result<(), Error> {
        self.issuer.write_config(document::ConfigSpec::parse(bytes)?).await
    }
}

/// Whether thread `tid`, whose FLUSH waits, closes what process `writer` wrote.
async fn closing(callers: Arc<dyn Callers>, tid: u32, writer: Option<u32>) -> Closing {
    let ask = move || {
        let process = callers.process(tid);
        let is_writer = process.is_none() || writer.is_none() || process == writer;
        match callers.exit(tid) {
            // Also a child that is killed inside a group: half of the document is missing.
            Exit::Killed => Closing::Killed,
            Exit::Running | Exit::Unknown if is_writer => Closing::Close,
            _ => Closing::NotYet,
        }
    };
    match tokio::time::timeout(ASKING, tokio::task::spawn_blocking(ask)).await {
        Ok(Ok(closing)) => closing,
        _ => Closing::NotYet,
    }
}

/// Runs what may block the thread.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::result::Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Internal)
}
