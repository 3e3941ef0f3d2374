//! The kernel edge: decode a request, ask [`Vfs`], encode the answer. No policy.
//!
//! What must wait is answered from a tokio task, in one helper ([`TokenFs::answer`]); all else inline. fuser delivers no
//! interrupts, so every waiting answer has a deadline inside `Vfs`.

pub mod connection;
mod device;
mod notice;
pub mod notify;
pub mod pulse;
pub mod reaper;
pub mod session;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, Errno as FuseErrno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyOpen,
    ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use jiff::Timestamp;
use parking_lot::Mutex;

use crate::vfs::{Attr, Caller, Errno, Ino, Kind, Opened, Reply, SetAttr, Vfs};

/// Documents are small; a larger write comes in pieces of this many bytes.
const MAX_WRITE: u32 = 128 * 1024;

/// Background requests (RELEASE above all) that the kernel keeps under way.
const MAX_BACKGROUND: u16 = 64;

/// Handles that somebody polls, with the kernel's number for that.
pub type Polls = Arc<Mutex<HashMap<u64, u64>>>;

/// The filesystem as fuser wants it.
pub struct TokenFs {
    vfs: Arc<Vfs>,
    runtime: tokio::runtime::Handle,
    polls: Polls,
}

/// Set in the number of a request that the kernel sends again (`FUSE_UNIQUE_RESEND` of its `fuse.h`).
const SENT_AGAIN: u64 = 1 << 63;

fn number(request: &Request) -> u64 {
    request.unique().0 & !SENT_AGAIN
}

fn is_sent_again(request: &Request) -> bool {
    request.unique().0 & SENT_AGAIN != 0
}

fn caller(request: &Request) -> Caller {
    Caller { uid: request.uid(), gid: request.gid(), tid: request.pid() }
}

fn fuse_errno(errno: Errno) -> FuseErrno {
    FuseErrno::from_i32(errno.0)
}

fn system_time(at: Timestamp) -> SystemTime {
    let since_epoch = Duration::try_from(at.duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default();
    SystemTime::UNIX_EPOCH + since_epoch
}

fn file_attr(attr: &Attr) -> FileAttr {
    let time = system_time(attr.mtime);
    let (kind, nlink) = match attr.kind {
        Kind::Dir => (FileType::Directory, 2),
        Kind::File => (FileType::RegularFile, 1),
    };
    FileAttr {
        ino: INodeNo(attr.ino.0),
        size: attr.size,
        blocks: attr.size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm: attr.mode,
        nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

fn open_flags(opened: &Opened) -> FopenFlags {
    let mut flags = FopenFlags::empty();
    flags.set(FopenFlags::FOPEN_DIRECT_IO, opened.direct);
    flags.set(FopenFlags::FOPEN_KEEP_CACHE, opened.keep_cache);
    flags.set(FopenFlags::FOPEN_NOFLUSH, opened.no_flush);
    flags
}

impl TokenFs {
    /// Over a tree; answers that wait run on `runtime`.
    pub fn new(vfs: Arc<Vfs>, runtime: tokio::runtime::Handle, polls: Polls) -> Self {
        Self { vfs, runtime, polls }
    }

    /// Sends an answer now, or from a task when it has to wait. A panic there drops the reply, which answers `EIO`.
    fn answer<T: Send + 'static>(&self, answer: Reply<T>, send: impl FnOnce(Result<T, FuseErrno>) + Send + 'static) {
        match answer {
            Reply::Now(result) => send(result.map_err(fuse_errno)),
            later => {
                self.runtime.spawn(async move { send(later.wait().await.map_err(fuse_errno)) });
            }
        }
    }
}

/// Sends `ok` or an errno.
fn empty(reply: ReplyEmpty) -> impl FnOnce(Result<(), FuseErrno>) + Send {
    move |result| match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

/// O_TRUNC arrives with OPEN, so that every draft is its handle's own (fuse-nodes 8.2). The others are speed.
const WANTED: [InitFlags; 3] =
    [InitFlags::FUSE_ATOMIC_O_TRUNC, InitFlags::FUSE_PARALLEL_DIROPS, InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP];

/// What the kernel shall do for us. Whoever answers its INIT asks for the same.
fn negotiate(config: &mut KernelConfig) {
    for capability in WANTED {
        if config.add_capabilities(capability).is_err() {
            tracing::warn!(?capability, "this kernel lacks a capability of FUSE; some writers will not work");
        }
    }
    let _ = config.set_max_write(MAX_WRITE);
    let _ = config.set_max_background(MAX_BACKGROUND);
}

impl Filesystem for TokenFs {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        negotiate(config);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.vfs.lookup(caller(request), Ino(parent.0), name) {
            Ok(entry) => {
                let attr = FileAttr { ino: INodeNo(entry.node.ino().0), ..file_attr(&entry.attr) };
                reply.entry_with_ttls(&entry.attr.ttl, &entry.ttl, &attr, Generation(entry.node.generation()));
            }
            Err(errno) => reply.error(fuse_errno(errno)),
        }
    }

    fn forget(&self, _: &Request, ino: INodeNo, nlookup: u64) {
        self.vfs.forget(Ino(ino.0), nlookup);
    }

    fn getattr(&self, request: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.vfs.getattr_by(caller(request), Ino(ino.0)) {
            Ok(attr) => reply.attr(&attr.ttl, &file_attr(&attr)),
            Err(errno) => reply.error(fuse_errno(errno)),
        }
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        fh: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = SetAttr { mode, uid, gid, size };
        let answer = self.vfs.setattr(caller(request), Ino(ino.0), fh.map(|fh| fh.0), set);
        self.answer(answer, move |result| match result {
            // Others may see the change at once; the cached attributes are told to go.
            Ok(attr) => reply.attr(&Duration::ZERO, &file_attr(&attr)),
            Err(errno) => reply.error(errno),
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (vfs, number) = (self.vfs.clone(), number(request));
        if is_sent_again(request)
            && let Some(opened) = vfs.answered_before(number)
        {
            return reply.opened(FileHandle(opened.handle), open_flags(&opened));
        }
        let answer = self.vfs.open(caller(request), Ino(ino.0), flags.0);
        self.answer(answer, move |result| match result {
            Ok(opened) => {
                vfs.keep_handle(opened.handle, number);
                reply.opened(FileHandle(opened.handle), open_flags(&opened));
            }
            Err(errno) => reply.error(errno),
        });
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.vfs.read(fh.0, offset, size as usize) {
            Ok(bytes) => reply.data(&zeroize::Zeroizing::new(bytes)),
            Err(errno) => reply.error(fuse_errno(errno)),
        }
    }

    fn write(
        &self,
        request: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let answer = self.vfs.write(caller(request), fh.0, offset, data);
        let vfs = self.vfs.clone();
        self.answer(answer, move |result| match result {
            Ok(count) => {
                vfs.keep_draft(fh.0);
                reply.written(count);
            }
            Err(errno) => reply.error(errno),
        });
    }

    fn flush(&self, request: &Request, _: INodeNo, fh: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        let vfs = self.vfs.clone();
        self.answer(self.vfs.flush(caller(request), fh.0), move |result| match result {
            Ok(()) => {
                vfs.keep_draft(fh.0);
                reply.ok();
            }
            Err(errno) => reply.error(errno),
        });
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.polls.lock().remove(&fh.0);
        self.vfs.release(fh.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        // A document is durable when its close returns; there is nothing to do before.
        reply.ok();
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        match self.vfs.readdir(Ino(ino.0), offset) {
            Ok(entries) => {
                for entry in entries {
                    let kind = match entry.kind {
                        Kind::Dir => FileType::Directory,
                        Kind::File => FileType::RegularFile,
                    };
                    if reply.add(INodeNo(entry.ino.0), entry.cookie, kind, &entry.name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(errno) => reply.error(fuse_errno(errno)),
        }
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        match self.vfs.create(caller(request), Ino(parent.0), name, mode & !umask, flags) {
            Ok(created) => {
                let attr = FileAttr { ino: INodeNo(created.entry.node.ino().0), ..file_attr(&created.entry.attr) };
                self.vfs.keep_handle(created.opened.handle, 0);
                let (handle, flags) = (FileHandle(created.opened.handle), open_flags(&created.opened));
                reply.created(&Duration::ZERO, &attr, Generation(0), handle, flags);
            }
            Err(errno) => reply.error(fuse_errno(errno)),
        }
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let again = is_sent_again(request);
        self.answer(self.vfs.unlink(caller(request), Ino(parent.0), name), move |result| match result {
            Ok(()) => reply.ok(),
            // It was done; only the answer got lost.
            Err(errno) if again && errno.code() == libc::ENOENT => reply.ok(),
            Err(errno) => reply.error(errno),
        });
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            return reply.error(FuseErrno::EINVAL);
        }
        let no_replace = flags.contains(RenameFlags::RENAME_NOREPLACE);
        let (from, to) = ((Ino(parent.0), name), (Ino(newparent.0), newname));
        self.answer(self.vfs.rename(caller(request), from, to, no_replace), empty(reply));
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(FuseErrno::EPERM);
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(FuseErrno::EPERM);
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &std::path::Path, reply: ReplyEntry) {
        reply.error(FuseErrno::EPERM);
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(FuseErrno::EPERM);
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.answer(self.vfs.rmdir(caller(request), Ino(parent.0), name), empty(reply));
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
    }

    // Answered once: the kernel then stops asking for this mount, so that `ls -l` is not slowed by it.
    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(FuseErrno::ENOSYS);
    }

    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        reply.error(FuseErrno::ENOSYS);
    }

    fn setxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: &[u8], _: i32, _: u32, reply: ReplyEmpty) {
        reply.error(FuseErrno::ENOSYS);
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(FuseErrno::ENOSYS);
    }

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        // `default_permissions` is always on: the kernel has checked.
        reply.ok();
    }

    // `isatty` of every language; fuser would log a warning for each.
    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(FuseErrno::ENOTTY);
    }

    fn poll(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        notifier: PollNotifier,
        _: PollEvents,
        flags: PollFlags,
        reply: ReplyPoll,
    ) {
        if flags.contains(PollFlags::FUSE_POLL_SCHEDULE_NOTIFY) {
            self.polls.lock().insert(fh.0, notifier.handle().0);
            self.vfs.keep_poll(fh.0, notifier.handle().0);
        }
        // Asked after the notifier is in its place: a change in between wakes it.
        let mut ready = PollEvents::POLLIN | PollEvents::POLLOUT;
        if self.vfs.has_news(fh.0) {
            ready |= PollEvents::POLLPRI;
        }
        reply.poll(ready);
    }
}
