//! The mount's device for threads that may stand still in the kernel.
//!
//! A notification waits for requests of the same directory or inode, and a write-open of our own file waits for our own
//! answer. If the process is killed meanwhile (`kill -9`, out of memory), the threads that answer go, the waiting one cannot,
//! and as long as it stays it keeps the process's files open: the device, so that nobody's request ever ends, and the ledger,
//! so that no next start can have it. Therefore each such thread has a *file table of its own*, with a device of its own
//! cloned from the mount's (`FUSE_DEV_IOC_CLONE`) and nothing else. The kernel then closes the mount's device with the
//! process, ends what was read from it, the thread gets its lock and dies too.
//!
//! Where the connection outlives the process ([`super::connection`]), somebody else keeps the device, and the process that
//! takes over gets what was read and not answered once more. There the thread keeps the device itself: a clone would end
//! requests when it is closed.

#![allow(
    unsafe_code,
    reason = "the ioctl that clones a FUSE device and dup3 onto a borrowed number have no safe wrapper"
)]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sched::{CloneFlags, unshare};

/// `_IOR(229, 0, u32)` of the kernel's `fuse.h`.
const FUSE_DEV_IOC_CLONE: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<u32>(229, 0);

/// The last of standard input, output and error.
const STANDARD: RawFd = 2;

/// How a thread gets its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    /// A clone: the mount ends with this process.
    Clone,
    /// The same device: the mount outlives this process.
    Same,
}

/// A device of the calling thread alone.
pub(super) struct Device(File);

impl Device {
    /// Gives the calling thread its own file table and in it a device of the mount whose device `mount` is, an open file of
    /// this process. Every other file is closed there, and its standard input, output and error are nowhere.
    ///
    /// # Errors
    /// The system's; the thread must not go on then.
    pub(super) fn apart(mount: RawFd, own: Own) -> io::Result<Self> {
        let device = apart(mount, |mount| match own {
            Own::Clone => Self::cloned(mount),
            Own::Same => mount.try_clone_to_owned(),
        })?;
        Ok(Self(File::from(device)))
    }

    /// One more device of the mount whose device `mount` is.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn cloned(mount: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let own = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
        clone_device(&own, mount)?;
        Ok(own.into())
    }

    /// Sends one notification.
    ///
    /// # Errors
    /// `ENOENT` for what the kernel does not know.
    pub(super) fn send(&self, message: &[u8]) -> io::Result<()> {
        // The kernel takes a message whole or not at all.
        (&self.0).write(message).map(drop)
    }
}

/// Gives the calling thread its own file table, and in it only what `take` makes of `file`, an open file of this process. Its
/// standard input, output and error are nowhere.
///
/// # Errors
/// The system's; the thread must not go on then.
pub(super) fn apart(file: RawFd, take: impl FnOnce(BorrowedFd<'_>) -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    unshare(CloneFlags::CLONE_FILES)?;
    // SAFETY: the caller keeps `file` open in the process until this returns, and this thread's table is a copy of the
    // process's, so the number is open here as well.
    let own = take(unsafe { BorrowedFd::borrow_raw(file) })?;
    for number in open_files()? {
        if number > STANDARD && number != own.as_raw_fd() {
            // The descriptor that listed them is closed already.
            let _ = nix::unistd::close(number);
        }
    }
    // Whoever waits for the end of this program's output must not wait for this thread.
    let nowhere = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nowhere)?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    Ok(own)
}

/// Puts `device` in the place of `session`, an open file that somebody else owns and goes on to use.
///
/// # Errors
/// The system's.
pub(super) fn put_in_place(device: BorrowedFd<'_>, session: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both are open; the number stays one that its owner closes, and what it named before is only a socket's end,
    // which nobody else knows.
    let done = unsafe { libc::dup3(device.as_raw_fd(), session.as_raw_fd(), libc::O_CLOEXEC) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The numbers of this thread's open files.
fn open_files() -> io::Result<Vec<RawFd>> {
    let names = std::fs::read_dir("/proc/thread-self/fd")?.map(|entry| Ok(entry?.file_name()));
    let number = |name: io::Result<std::ffi::OsString>| Ok(name?.to_str().and_then(|name| name.parse().ok()));
    names.map(number).filter_map(Result::transpose).collect()
}

fn clone_device(own: &impl AsFd, mount: BorrowedFd<'_>) -> io::Result<()> {
    let mut number = u32::try_from(mount.as_raw_fd()).map_err(io::Error::other)?;
    // SAFETY: this ioctl reads a u32, the number of an open FUSE device, and writes nothing.
    unsafe {
        let request = rustix::ioctl::Updater::<FUSE_DEV_IOC_CLONE, u32>::new(&mut number);
        rustix::ioctl::ioctl(own, request)?;
    }
    Ok(())
}
