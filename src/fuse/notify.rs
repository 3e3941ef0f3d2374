//! Telling the kernel: one thread for changes, in their order, and a few for what an OPEN awaits.
//!
//! Never called from a handler's thread and never under a lock: anything else deadlocks beyond kill -9 (fuse-nodes 4). All
//! of these threads may stand still in the kernel, so each has a device of its own: see [`super::device`].

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use async_trait::async_trait;
use rustix::fs::{CWD, Mode, OFlags, openat};
use tokio::sync::oneshot;

use super::device::{Device, Own};
use super::{Polls, notice};
use crate::vfs::{Change, Ino, Kernel, Secret, Vfs};

/// How our own file is opened to be announced.
const ANNOUNCE: OFlags = OFlags::WRONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// Threads that make pages true.
const PAGE_THREADS: usize = 2;

/// A node whose size and pages shall be made true.
struct Rewrite {
    node: Ino,
    bytes: Arc<Secret>,
    done: oneshot::Sender<()>,
}

/// The kernel side of one mount.
pub struct KernelSide {
    changes: mpsc::Sender<Change>,
    /// Changes and pages that are not told yet.
    untold: Arc<AtomicUsize>,
    /// Nothing more is told.
    closed: AtomicBool,
    rewrites: Vec<mpsc::Sender<Rewrite>>,
}

impl KernelSide {
    /// Starts the threads over the mount's device; they end when the last handle on this value goes.
    ///
    /// # Errors
    /// No thread, or no device for it.
    pub(super) fn start(
        vfs: &Arc<Vfs>,
        mount: BorrowedFd<'_>,
        own: Own,
        mount_point: PathBuf,
        polls: Polls,
    ) -> io::Result<Arc<Self>> {
        let mount = mount.as_raw_fd();
        let (changes, queue) = mpsc::channel();
        let vfs = Arc::downgrade(vfs);
        let untold = Arc::new(AtomicUsize::new(0));
        let told = untold.clone();
        apart("tfcfs-notify", mount, own, move |device| {
            if let Some(vfs) = vfs.upgrade() {
                vfs.set_announcer(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs());
            }
            let teller = Teller { device, mount_point, polls };
            for change in queue {
                teller.tell(change);
                told.fetch_sub(1, Ordering::AcqRel);
            }
        })?;
        let mut rewrites = Vec::new();
        // Waking a task needs files of the process, so that is not done by the threads that have none of them.
        let (rewritten, finished) = mpsc::channel::<oneshot::Sender<()>>();
        std::thread::Builder::new().name("tfcfs-wake".into()).spawn(move || {
            for done in finished {
                let _ = done.send(());
            }
        })?;
        for _ in 0..PAGE_THREADS {
            let (sender, queue) = mpsc::channel();
            let rewritten = rewritten.clone();
            let told = untold.clone();
            apart("tfcfs-pages", mount, own, move |device| {
                for Rewrite { node, bytes, done } in queue {
                    rewrite(&device, node, &bytes);
                    told.fetch_sub(1, Ordering::AcqRel);
                    let _ = rewritten.send(done);
                }
            })?;
            rewrites.push(sender);
        }
        Ok(Arc::new(Self { changes, untold, closed: AtomicBool::new(false), rewrites }))
    }

    /// Tells nothing more, and drops what nobody will tell: this process is about to end.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether the kernel has been told everything, so that no thread stands in it.
    pub(super) fn is_idle(&self) -> bool {
        self.untold.load(Ordering::Acquire) == 0
    }
}

/// Starts a thread with a device of its own, and returns once it has it.
fn apart(name: &str, mount: RawFd, own: Own, work: impl FnOnce(Device) + Send + 'static) -> io::Result<()> {
    let (ready, is_ready) = mpsc::channel();
    std::thread::Builder::new().name(name.into()).spawn(move || match Device::apart(mount, own) {
        Ok(device) => {
            let _ = ready.send(Ok(()));
            work(device);
        }
        Err(error) => _ = ready.send(Err(error)),
    })?;
    is_ready.recv().unwrap_or_else(|_| Err(io::Error::other("a thread ended before it began")))
}

#[async_trait]
impl Kernel for KernelSide {
    async fn rewrite(&self, node: Ino, bytes: Arc<Secret>) {
        let (done, is_done) = oneshot::channel();
        if self.closed.load(Ordering::Acquire) {
            // Whoever waits for it is answered by the next process.
            return std::future::pending().await;
        }
        self.untold.fetch_add(1, Ordering::AcqRel);
        // The same thread for the same node: its contents follow each other.
        let thread = node.0 as usize % self.rewrites.len();
        if self.rewrites[thread].send(Rewrite { node, bytes, done }).is_err() || is_done.await.is_err() {
            tracing::error!("making pages true failed");
        }
    }

    fn tell(&self, change: Change) {
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        self.untold.fetch_add(1, Ordering::AcqRel);
        // Fails only when the thread is gone, and with it the mount.
        let _ = self.changes.send(change);
    }
}

fn rewrite(device: &Device, node: Ino, bytes: &[u8]) {
    // The invalidation drops the cached attributes, the store raises the size and fills the page.
    let told = device.send(&notice::inval_inode(node, 0, -1)).and_then(|()| device.send(&notice::store(node, bytes)));
    if let Err(error) = told {
        tracing::debug!(%error, "the kernel did not take new pages; the reader asks for them");
    }
}

struct Teller {
    device: Device,
    mount_point: PathBuf,
    polls: Polls,
}

impl Teller {
    fn tell(&self, change: Change) {
        // The kernel answers ENOENT for what it does not know: nothing to do then.
        let told = match change {
            Change::Replaced { path, dir, node, name } => {
                self.announce(&path, || self.device.send(&notice::delete(dir, node, &name)))
            }
            Change::Removed { dir, node: Some(node), name } => self.device.send(&notice::delete(dir, node, &name)),
            Change::Removed { dir, node: None, name } => self.device.send(&notice::inval_entry(dir, &name)),
            Change::Ended { node } => self.device.send(&notice::inval_inode(node, 0, -1)),
            Change::Attributes { node } => self.device.send(&notice::inval_inode(node, -1, 0)),
            Change::Wake { handles } => {
                for handle in handles {
                    let poller = self.polls.lock().remove(&handle);
                    if let Some(poller) = poller {
                        let _ = self.device.send(&notice::poll(poller));
                    }
                }
                Ok(())
            }
        };
        if let Err(error) = told {
            tracing::trace!(%error, "the kernel did not need to know");
        }
    }

    /// Writes a byte to our own file, which nobody keeps: inotify watchers of file and directory see MODIFY, which Node, Java
    /// and Go's fsnotify watch, and CLOSE_WRITE, which others do (fuse-nodes 7).
    ///
    /// The name goes between the open and the write: whoever is woken by the write and opens the name at once would else
    /// put the new node there first, and then nothing tells those who watch the old one that it is gone (DELETE_SELF).
    fn announce(&self, path: &str, remove: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let opened = openat(CWD, self.mount_point.join(path), ANNOUNCE, Mode::empty());
        let mut file = match opened {
            Ok(file) => File::from(file),
            Err(error) => {
                tracing::debug!(%error, "a change could not be announced to inotify");
                return remove();
            }
        };
        let removed = remove();
        if let Err(error) = file.write_all(b"\n") {
            tracing::debug!(%error, "a change could not be announced to inotify");
        }
        removed
    }
}
