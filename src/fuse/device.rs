//! The mount's device for threads that may stand still in the kernel.
//!
//! A notification waits for requests of the same directory or inode, and a write-open of our own file waits for our own
//! answer. If the process is killed meanwhile (`kill -9`, out of memory), the threads that answer go, the waiting one cannot,
//! and as long as it stays it keeps the process's files open: the device, so that nobody's request ever ends, and the ledger,
//! so that no next start can have it. Therefore each such thread has a *file table of its own*, with a device of its own
//! cloned from the mount's (`FUSE_DEV_IOC_CLONE`) and nothing else. The kernel then closes the mount's device with the
//! process, ends what was read from it, the thread gets its lock and dies too.

#![allow(unsafe_code, reason = "the one ioctl that clones a FUSE device has no safe wrapper")]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sched::{CloneFlags, unshare};

/// `_IOR(229, 0, u32)` of the kernel's `fuse.h`.
const FUSE_DEV_IOC_CLONE: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<u32>(229, 0);

/// The last of standard input, output and error.
const STANDARD: RawFd = 2;

/// A device of the calling thread alone.
pub(super) struct Device(File);

impl Device {
    /// Gives the calling thread its own file table and in it a clone of the mount's device `mount`, an open file of this
    /// process. Every other file is closed there, and its standard input, output and error are nowhere.
    ///
    /// # Errors
    /// The system's; the thread must not go on then.
    pub(super) fn apart(mount: RawFd) -> io::Result<Self> {
        unshare(CloneFlags::CLONE_FILES)?;
        // SAFETY: the caller keeps `mount` open in the process until this returns, and this thread's table is a copy of the
        // process's, so the number is open here as well.
        let own = Self::cloned(unsafe { BorrowedFd::borrow_raw(mount) })?;
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
        Ok(Self(File::from(own)))
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
