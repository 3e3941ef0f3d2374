//! Mounting, serving, unmounting.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fuser::{Config, MountOption, Session, SessionACL, SessionUnmounter};
use parking_lot::Mutex;

use super::notify::KernelSide;
use super::{Polls, TokenFs, reaper};
use crate::vfs::Vfs;

/// How to mount.
#[derive(Debug, Clone)]
pub struct MountSettings {
    /// Where.
    pub mount_point: PathBuf,
    /// Other users than the mounter may come in; the kernel checks modes either way.
    pub allow_other: bool,
    /// FUSE threads.
    pub threads: usize,
    /// The program that becomes the [`reaper`] when it is called with `reaper PID`; without it a `kill -9` of this process
    /// may leave a mount that hangs.
    pub reaper: Option<PathBuf>,
}

/// A mount that is being served. The service ends when somebody unmounts it.
pub struct Mounted {
    mount_point: PathBuf,
    unmounter: SessionUnmounter,
    ended: tokio::sync::oneshot::Receiver<io::Result<()>>,
}

impl Mounted {
    /// Mounts `vfs` and serves it on threads of its own.
    ///
    /// # Errors
    /// What the kernel or fusermount3 said.
    pub fn start(vfs: &Arc<Vfs>, settings: &MountSettings, runtime: &tokio::runtime::Handle) -> io::Result<Self> {
        let polls: Polls = Arc::new(Mutex::default());
        let fs = TokenFs::new(vfs.clone(), runtime.clone(), polls.clone());
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("tfcfs".into()),
            MountOption::Subtype("tfcfs".into()),
            MountOption::DefaultPermissions,
            MountOption::NoSuid,
            MountOption::NoDev,
            MountOption::NoExec,
            MountOption::NoAtime,
        ];
        config.acl = if settings.allow_other { SessionACL::All } else { SessionACL::Owner };
        config.n_threads = Some(settings.threads.max(1));
        let mount_point = settings.mount_point.canonicalize()?;
        let mut session = Session::new(fs, &mount_point, &config)?;
        let started = settings.reaper.as_deref().map(|program| reaper::start(program, session.as_fd()));
        if let Some(Err(error)) = started {
            tracing::warn!(%error, "without its helper process a kill -9 of this one may leave a mount that hangs");
        }
        let kernel = KernelSide::start(vfs, session.as_fd(), mount_point.clone(), polls)?;
        vfs.attach(kernel);
        let unmounter = session.unmount_callable();
        let (sender, ended) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name("tfcfs-session".into()).spawn(move || {
            let _ = sender.send(session.run());
        })?;
        Ok(Self { mount_point, unmounter, ended })
    }

    /// Waits until the mount has ended.
    ///
    /// # Errors
    /// What ended it, unless it was an unmount.
    pub async fn ended(&mut self) -> io::Result<()> {
        (&mut self.ended).await.unwrap_or(Ok(()))
    }

    /// Unmounts.
    ///
    /// # Errors
    /// `EBUSY` while a file is open or a working directory is inside; whoever calls detaches it then.
    pub fn unmount(&mut self) -> io::Result<()> {
        self.unmounter.unmount()
    }

    /// Where it is mounted.
    pub fn mount_point(&self) -> &Path {
        &self.mount_point
    }
}
