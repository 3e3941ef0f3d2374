//! Telling the kernel: a thread of its own that holds no lock, and tokio's blocking pool for what an OPEN awaits.
//!
//! Never called from a handler's thread and never under a lock: anything else deadlocks beyond kill -9 (fuse-nodes 4).

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;

use async_trait::async_trait;
use fuser::{INodeNo, Notifier};

use super::Polls;
use crate::vfs::{Change, Ino, Kernel, Secret, Vfs};

/// The kernel side of one mount.
pub struct KernelSide {
    notifier: Notifier,
    queue: mpsc::Sender<Change>,
}

impl KernelSide {
    /// Starts the notification thread; it ends when the last handle on this value goes.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(vfs: &Arc<Vfs>, notifier: Notifier, mount_point: PathBuf, polls: Polls) -> io::Result<Arc<Self>> {
        let (queue, changes) = mpsc::channel();
        let teller = Teller { notifier: notifier.clone(), mount_point, polls };
        let weak = Arc::downgrade(vfs);
        std::thread::Builder::new().name("tfcfs-notify".into()).spawn(move || {
            if let Some(vfs) = weak.upgrade() {
                vfs.set_announcer(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs());
            }
            for change in changes {
                teller.tell(change);
            }
        })?;
        Ok(Arc::new(Self { notifier, queue }))
    }
}

#[async_trait]
impl Kernel for KernelSide {
    async fn rewrite(&self, node: Ino, bytes: Arc<Secret>) {
        let notifier = self.notifier.clone();
        let work = move || {
            let node = INodeNo(node.0);
            // The invalidation drops the cached attributes, the store raises the size and fills the page.
            if let Err(error) = notifier.inval_inode(node, 0, -1).and_then(|()| notifier.store(node, 0, &bytes)) {
                tracing::debug!(%error, "the kernel did not take new pages; the reader asks for them");
            }
        };
        if tokio::task::spawn_blocking(work).await.is_err() {
            tracing::error!("making pages true failed");
        }
    }

    fn tell(&self, change: Change) {
        // Fails only when the thread is gone, and with it the mount.
        let _ = self.queue.send(change);
    }
}

struct Teller {
    notifier: Notifier,
    mount_point: PathBuf,
    polls: Polls,
}

impl Teller {
    fn tell(&self, change: Change) {
        // The kernel answers ENOENT for what it does not know: nothing to do then.
        let told = match change {
            Change::Replaced { path, dir, node, name } => {
                self.announce(&path);
                self.notifier.delete(INodeNo(dir.0), INodeNo(node.0), OsStr::new(&name))
            }
            Change::Removed { dir, node: Some(node), name } => {
                self.notifier.delete(INodeNo(dir.0), INodeNo(node.0), OsStr::new(&name))
            }
            Change::Removed { dir, node: None, name } => self.notifier.inval_entry(INodeNo(dir.0), OsStr::new(&name)),
            Change::Ended { node } => self.notifier.inval_inode(INodeNo(node.0), 0, -1),
            Change::Attributes { node } => self.notifier.inval_inode(INodeNo(node.0), -1, 0),
            Change::Wake { handles } => {
                for handle in handles {
                    let poller = self.polls.lock().remove(&handle);
                    if let Some(poller) = poller {
                        let _ = poller.notify();
                    }
                }
                Ok(())
            }
        };
        if let Err(error) = told {
            tracing::trace!(%error, "the kernel did not need to know");
        }
    }

    /// Opens our own file for writing and closes it: inotify watchers of file and directory see CLOSE_WRITE
    /// (fuse-nodes 7). An unprivileged daemon may not write-open a file of mode 0400; its watchers see ATTRIB.
    fn announce(&self, path: &str) {
        let path = self.mount_point.join(path);
        let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
        if OpenOptions::new().write(true).custom_flags(flags).open(&path).is_err() {
            let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
            let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
            let follow = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            if let Err(error) = rustix::fs::utimensat(rustix::fs::CWD, &path, &times, follow) {
                tracing::debug!(%error, "a change could not be announced to inotify");
            }
        }
    }
}
