//! A bare FUSE server with one file, `creds/app/token`: the floor under tfcfs. It runs in a process of its own, mounted
//! with the same options and served by as many threads as tfcfs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, SystemTime};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, MountOption,
    OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, Request, Session,
};

use crate::Outcome;
use crate::daemon::{detach, mount_directory, wait_for_mount};

/// The argument by which this program becomes such a server.
pub const SERVE: &str = "serve-bare";

const TTL: Duration = Duration::from_secs(1000);

/// As long as a token.
const CONTENT: [u8; 90] = [b'x'; 90];

/// The path to the one file, by node number: `/` is 1.
const PATH: [&str; 3] = ["creds", "app", "token"];
const FILE: u64 = 4;

struct Bare {
    flags: FopenFlags,
}

fn attr(ino: u64) -> FileAttr {
    let file = ino == FILE;
    FileAttr {
        ino: INodeNo(ino),
        size: if file { CONTENT.len() as u64 } else { 0 },
        blocks: 1,
        atime: SystemTime::UNIX_EPOCH,
        mtime: SystemTime::UNIX_EPOCH,
        ctime: SystemTime::UNIX_EPOCH,
        crtime: SystemTime::UNIX_EPOCH,
        kind: if file { FileType::RegularFile } else { FileType::Directory },
        perm: if file { 0o400 } else { 0o755 },
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Bare {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let expected = usize::try_from(parent.0).ok().and_then(|parent| PATH.get(parent - 1));
        if expected.is_some_and(|expected| name == *expected) {
            reply.entry(&TTL, &attr(parent.0 + 1), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &attr(ino.0));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(1), self.flags);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(CONTENT.len());
        let end = start.saturating_add(size as usize).min(CONTENT.len());
        reply.data(&CONTENT[start..end]);
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }
}

/// Serves until somebody unmounts it.
pub fn serve(kind: &str, mount_point: &Path) -> Outcome {
    let mode = match kind {
        "cached" => FopenFlags::FOPEN_KEEP_CACHE,
        "direct" => FopenFlags::FOPEN_DIRECT_IO,
        _ => return Err(format!("no such server: {kind}").into()),
    };
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("bare".into()),
        MountOption::DefaultPermissions,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoExec,
        MountOption::NoAtime,
    ];
    config.n_threads = Some(2);
    Session::new(Bare { flags: mode | FopenFlags::FOPEN_NOFLUSH }, mount_point, &config)?.run()?;
    Ok(())
}

/// Such a server, as seen by the client.
pub struct BareServer {
    mount_point: PathBuf,
    child: Child,
}

impl BareServer {
    /// Starts one: `cached` or `direct`.
    pub fn start(kind: &str) -> Outcome<Self> {
        let mount_point = mount_directory(kind)?;
        let child = Command::new(std::env::current_exe()?).args([SERVE, kind]).arg(&mount_point).spawn()?;
        let server = Self { mount_point, child };
        wait_for_mount(&server.token())?;
        Ok(server)
    }

    /// Its file.
    pub fn token(&self) -> PathBuf {
        PATH.iter().fold(self.mount_point.clone(), |path, name| path.join(name))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        detach(&self.mount_point);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
