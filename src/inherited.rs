//! Open files that another process gave to this one by their numbers.

#![allow(unsafe_code, reason = "a number from outside becomes an owned file in no safe way")]

use std::collections::HashSet;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use parking_lot::Mutex;
use rustix::io::{FdFlags, fcntl_setfd};

/// The first number after standard input, output and error.
pub const FIRST: RawFd = 3;

static TAKEN: Mutex<Option<HashSet<RawFd>>> = Mutex::new(None);

/// Takes over the open file with a number that somebody outside chose. No child of this process gets it.
///
/// # Errors
/// `EBADF` if there is no such file, `InvalidInput` if it is a standard one or was taken before.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number < FIRST || !TAKEN.lock().get_or_insert_default().insert(number) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the number is borrowed for this one call, which fails for one that is not open.
    fcntl_setfd(unsafe { BorrowedFd::borrow_raw(number) }, FdFlags::CLOEXEC)?;
    // SAFETY: it is open, and was so before this program began, so nothing in here owns it; and it is taken once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
