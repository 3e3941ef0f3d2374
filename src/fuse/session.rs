//! Mounting, serving, unmounting.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fuser::{Config, MountOption, Session, SessionACL, SessionUnmounter};
use parking_lot::Mutex;

use super::device::Own;
use super::notify::KernelSide;
use super::{Polls, TokenFs, connection, reaper};
use crate::vfs::Vfs;

/// How often [`Mounted::all_told`] looks.
const TOLD_POLL: Duration = Duration::from_millis(2);

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

/// How [`fuser`] shall mount and serve.
pub(super) fn config(settings: &MountSettings) -> Config {
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
    config
}

/// A mount that is being served. The service ends when somebody unmounts it.
pub struct Mounted {
    mount_point: PathBuf,
    unmounter: Option<SessionUnmounter>,
    ended: tokio::sync::oneshot::Receiver<io::Result<()>>,
    kernel: Arc<KernelSide>,
}

/// Serves on threads of its own; tells how that ended.
fn run(session: Session<TokenFs>) -> io::Result<tokio::sync::oneshot::Receiver<io::Result<()>>> {
    let (sender, ended) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("tfcfs-session".into()).spawn(move || {
        let _ = sender.send(session.run());
    })?;
    Ok(ended)
}

impl Mounted {
    /// Mounts `vfs` and serves it on threads of its own.
    ///
    /// # Errors
    /// What the kernel or fusermount3 said.
    pub fn start(vfs: &Arc<Vfs>, settings: &MountSettings, runtime: &tokio::runtime::Handle) -> io::Result<Self> {
        let polls: Polls = Arc::new(Mutex::default());
        let fs = TokenFs::new(vfs.clone(), runtime.clone(), polls.clone());
        let mount_point = settings.mount_point.canonicalize()?;
        let mut session = Session::new(fs, &mount_point, &config(settings))?;
        let started = settings.reaper.as_deref().map(|program| reaper::start(program, session.as_fd()));
        if let Some(Err(error)) = started {
            tracing::warn!(%error, "without its helper process a kill -9 of this one may leave a mount that hangs");
        }
        let kernel = KernelSide::start(vfs, session.as_fd(), Own::Clone, mount_point.clone(), polls)?;
        vfs.attach(kernel.clone());
        let unmounter = Some(session.unmount_callable());
        Ok(Self { mount_point, unmounter, ended: run(session)?, kernel })
    }

    /// Serves a mount that somebody else has made and handed over by its `device`; it ends with this process.
    ///
    /// # Errors
    /// The system's.
    pub fn given(
        vfs: &Arc<Vfs>,
        settings: &MountSettings,
        device: OwnedFd,
        runtime: &tokio::runtime::Handle,
    ) -> io::Result<Self> {
        let polls: Polls = Arc::new(Mutex::default());
        let fs = TokenFs::new(vfs.clone(), runtime.clone(), polls.clone());
        let mount_point = settings.mount_point.clone();
        // Whom the kernel lets in was said when it was mounted.
        let session = Session::from_fd(fs, device, SessionACL::All, config(settings))?;
        let started = settings.reaper.as_deref().map(|program| reaper::start(program, session.as_fd()));
        let own = match &started {
            Some(Err(error)) => {
                tracing::warn!(%error, "without its helper process a kill -9 of this one may leave a mount that hangs");
                Own::Same
            }
            _ => Own::Clone,
        };
        let kernel = KernelSide::start(vfs, session.as_fd(), own, mount_point.clone(), polls)?;
        vfs.attach(kernel.clone());
        Ok(Self { mount_point, unmounter: None, ended: run(session)?, kernel })
    }

    /// Serves a mount that somebody else has made and keeps: `device` is its device. The mount point is not touched before
    /// it is served. `polled` are the handles that somebody polls, with the kernel's numbers for that.
    ///
    /// # Errors
    /// The system's.
    pub fn take_over(
        vfs: &Arc<Vfs>,
        settings: &MountSettings,
        device: BorrowedFd<'_>,
        polled: impl IntoIterator<Item = (u64, u64)>,
        runtime: &tokio::runtime::Handle,
    ) -> io::Result<Self> {
        let polls: Polls = Arc::new(Mutex::new(polled.into_iter().collect()));
        let fs = TokenFs::new(vfs.clone(), runtime.clone(), polls.clone());
        let mount_point = std::path::absolute(&settings.mount_point)?;
        let session = connection::session(fs, device, config(settings))?;
        let kernel = KernelSide::start(vfs, device, Own::Same, mount_point.clone(), polls)?;
        vfs.attach(kernel.clone());
        let ended = run(session)?;
        if let Err(error) = connection::ask_again(device) {
            // Before Linux 6.9, where nobody takes over: this is the first server, and there is nothing to ask for.
            tracing::debug!(%error, "the kernel sends no request again");
        }
        vfs.tell_all();
        Ok(Self { mount_point, unmounter: None, ended, kernel })
    }

    /// Waits until the kernel has been told what is under way, and tells nothing more, for `limit` at the longest: a thread that
    /// stands in the kernel would keep this process from its end.
    pub async fn all_told(&self, limit: Duration) {
        self.kernel.close();
        let told = async {
            while !self.kernel.is_idle() {
                tokio::time::sleep(TOLD_POLL).await;
            }
        };
        let _ = tokio::time::timeout(limit, told).await;
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
    /// `EBUSY` while a file is open or a working directory is inside, `Unsupported` for a mount that somebody else has made;
    /// whoever calls detaches it then.
    pub fn unmount(&mut self) -> io::Result<()> {
        let unmounter = self.unmounter.as_mut().ok_or(io::ErrorKind::Unsupported)?;
        unmounter.unmount()
    }

    /// Where it is mounted.
    pub fn mount_point(&self) -> &Path {
        &self.mount_point
    }
}
