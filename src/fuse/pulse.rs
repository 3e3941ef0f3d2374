//! A thread that asks the mount itself, from outside, whether it answers.
//!
//! It may stand still in the kernel, for ever if nobody answers, so it has a file table of its own: see [`super::device`].

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use super::device::apart;

/// Calls `answered` with the thread's own copy of `file` each time the mount at `mount_point` has answered, `every` so long.
///
/// # Errors
/// The system's.
pub fn start(
    file: BorrowedFd<'_>,
    mount_point: PathBuf,
    every: Duration,
    mut answered: impl FnMut(&File) + Send + 'static,
) -> io::Result<()> {
    let file = file.as_raw_fd();
    let (ready, is_ready) = mpsc::channel();
    std::thread::Builder::new().name("tfcfs-pulse".into()).spawn(move || {
        let file = match apart(file, |file| file.try_clone_to_owned()) {
            Ok(file) => File::from(file),
            Err(error) => return drop(ready.send(Err(error))),
        };
        let _ = ready.send(Ok(()));
        loop {
            // Whatever it says, it has answered. A directory of somebody else, after an unmount, answers too.
            let _ = rustix::fs::statfs(&mount_point);
            answered(&file);
            std::thread::sleep(every);
        }
    })?;
    is_ready.recv().unwrap_or_else(|_| Err(io::Error::other("a thread ended before it began")))
}
