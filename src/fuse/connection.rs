//! A connection to the kernel that outlives the process that serves it.
//!
//! Whoever makes it ([`Connection::mount`]) mounts and answers the kernel's INIT, so that every server takes over, the first one
//! included: there is no question whether INIT was answered. A server gets the device in [`Mounted::take_over`](super::session::Mounted::take_over); what a former
//! one had read and not answered the kernel then sends again (`FUSE_NOTIFY_RESEND`, Linux 6.9).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fuser::{Config, Filesystem, InitFlags, KernelConfig, Request, Session, SessionACL};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::session::{MountSettings, config};
use super::{TokenFs, WANTED, device, negotiate};

/// `FUSE_NOTIFY_RESEND` of the kernel's `fuse.h`.
const NOTIFY_RESEND: i32 = 7;
/// The opcode of INIT there.
const INIT: u32 = 26;
/// Header and body of INIT.
const INIT_SIZE: usize = 104;
/// Protocol version that the bodies of our answers have; the one that the kernel was told does not matter here.
const VERSION: (u32, u32) = (7, 45);

/// A mount, made and answered for, without anybody who serves it yet.
pub struct Connection {
    device: OwnedFd,
    resends: bool,
    /// Unmounts when it is dropped.
    session: Option<Session<Nobody>>,
}

impl Connection {
    /// Mounts and answers INIT.
    ///
    /// # Errors
    /// What the kernel or fusermount3 said.
    pub fn mount(settings: &MountSettings) -> io::Result<Self> {
        let resends = Arc::new(AtomicBool::new(false));
        let nobody = Nobody { resends: resends.clone() };
        let session = Session::new(nobody, settings.mount_point.canonicalize()?, &config(settings))?;
        let device = session.as_fd().try_clone_to_owned()?;
        Ok(Self { device, resends: resends.load(Ordering::Acquire), session: Some(session) })
    }

    /// The FUSE device.
    pub fn device(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }

    /// Whether the kernel sends again what was read and not answered (Linux 6.9). Without that, whoever waits for an answer of a
    /// server that was killed waits for ever, so that the mount must be taken away instead.
    pub fn resends(&self) -> bool {
        self.resends
    }

    /// Leaves the mount where it is, for as long as somebody keeps the device.
    pub fn leave(mut self) {
        std::mem::forget(self.session.take());
    }

    /// Unmounts.
    ///
    /// # Errors
    /// `EBUSY` while a file is open or a working directory is inside; whoever calls detaches it then.
    pub fn unmount(&mut self) -> io::Result<()> {
        self.session.as_mut().map_or(Ok(()), Session::unmount)
    }
}

/// Whether the mount of a device is gone.
///
/// # Errors
/// The system's.
pub fn is_gone(device: BorrowedFd<'_>) -> io::Result<bool> {
    let mut waits = [PollFd::from_borrowed_fd(device, PollFlags::empty())];
    poll(&mut waits, Some(&rustix::time::Timespec::default()))?;
    Ok(waits[0].revents().intersects(PollFlags::ERR | PollFlags::NVAL | PollFlags::HUP))
}

/// Answers INIT and nothing else.
struct Nobody {
    resends: Arc<AtomicBool>,
}

impl Filesystem for Nobody {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        negotiate(config);
        self.resends.store(config.add_capabilities(InitFlags::FUSE_HAS_RESEND).is_ok(), Ordering::Release);
        Ok(())
    }
}

/// A session over a device whose INIT was answered before.
pub(super) fn session(fs: TokenFs, device: BorrowedFd<'_>, config: Config) -> io::Result<Session<TokenFs>> {
    let flags = SocketFlags::CLOEXEC;
    let (kernel, server) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    // fuser begins with INIT: it gets one from here, and its answer goes nowhere.
    rustix::io::write(&kernel, &init_request())?;
    let session = Session::from_fd(fs, server, SessionACL::All, config)?;
    device::put_in_place(device, session.as_fd())?;
    Ok(session)
}

/// Asks the kernel for what a former server has read and not answered.
///
/// # Errors
/// `EINVAL` from a kernel before 6.9.
pub(super) fn ask_again(device: BorrowedFd<'_>) -> io::Result<()> {
    let mut message = [0; 16];
    message[..4].copy_from_slice(&16u32.to_ne_bytes());
    message[4..8].copy_from_slice(&NOTIFY_RESEND.to_ne_bytes());
    rustix::io::write(device, &message)?;
    Ok(())
}

/// `fuse_in_header` and `fuse_init_in` of the kernel's `fuse.h`, with the capabilities that we ask for.
fn init_request() -> Vec<u8> {
    let flags = WANTED.into_iter().chain([InitFlags::FUSE_INIT_EXT]).fold(0, |all, flag| all | flag.bits());
    let mut bytes = Vec::with_capacity(INIT_SIZE);
    bytes.extend((INIT_SIZE as u32).to_ne_bytes());
    bytes.extend(INIT.to_ne_bytes());
    // Number 2; no node, nobody.
    bytes.extend(2u64.to_ne_bytes());
    bytes.resize(40, 0);
    for word in [VERSION.0, VERSION.1, super::MAX_WRITE, flags as u32, (flags >> 32) as u32] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.resize(INIT_SIZE, 0);
    bytes
}
