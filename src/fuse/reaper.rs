//! A small process that frees everybody when the daemon is killed.
//!
//! The kernel ends a mount's requests when the last open device of the mount is closed. After `kill -9` a thread of the daemon
//! may still hold one: it waits in the kernel for a directory whose holder waits for an answer to a request that nobody
//! will read (see [`super::device`] for those that somebody had read). So a process of its own, with a device of its own, waits
//! for the daemon's end, then answers whatever is asked with the error of a dead mount, until the daemon's last thread is
//! gone; then it goes too, and the mount is as dead as any.
//!
//! It is the same program, run anew, so that it shares no memory with the daemon; it knows no secret. It gets the device as
//! its standard input and, as its standard output, the end of a pipe that only the daemon holds open.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use zeroize::Zeroize;

use super::device::Device;

/// The kernel gives out requests only to a buffer that the largest fits into.
const BUFFER: usize = super::MAX_WRITE as usize + 64 * 1024;

/// `FORGET`, `BATCH_FORGET` and `INTERRUPT` of the kernel's `fuse.h` expect no answer.
const UNANSWERED: [u32; 3] = [2, 42, 36];

/// Starts it for the mount with that open device: `program`, which calls [`run`] when its arguments are `reaper PID`. It ends
/// with this process, and not before.
///
/// # Errors
/// No process, or no device for it.
pub(super) fn start(program: &Path, mount: BorrowedFd<'_>) -> io::Result<()> {
    let device = Device::cloned(mount)?;
    let (end, alive) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let mut command = Command::new(program);
    command.arg0("tfcfs").arg("reaper").arg(std::process::id().to_string());
    // Not in the daemon's group: Ctrl-C is for the daemon.
    command.env_clear().current_dir("/").process_group(0);
    command.stdin(Stdio::from(device)).stdout(Stdio::from(end)).stderr(Stdio::null()).spawn()?;
    // Closed by the kernel when this process ends, however it does: an orderly end may leave waiting threads as well.
    let _ = alive.into_raw_fd();
    Ok(())
}

/// The reaper of daemon `pid`.
///
/// # Errors
/// Standard input and output that are not what [`start`] gives, or the system's.
pub fn run(pid: u32) -> io::Result<()> {
    // It goes when the daemon goes; a service manager that ends both must not end it first.
    SigSet::all().thread_block()?;
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let daemon = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    let daemon = match pidfd_open(daemon, PidfdFlags::empty()) {
        Ok(daemon) => Some(daemon),
        Err(Errno::SRCH) => None,
        Err(error) => return Err(error.into()),
    };
    let (device, alive) = (io::stdin(), io::stdout());
    wait_for_end(alive.as_fd())?;
    match daemon {
        Some(daemon) => answer_until(&daemon, device.as_fd()),
        None => Ok(()),
    }
}

/// Nothing is ever written: only the end can come.
fn wait_for_end(alive: BorrowedFd<'_>) -> io::Result<()> {
    let mut pipe = std::fs::File::from(alive.try_clone_to_owned()?);
    loop {
        match pipe.read(&mut [0; 1]) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn answer_until(daemon: &OwnedFd, device: BorrowedFd<'_>) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(device)?;
    rustix::fs::fcntl_setfl(device, flags | rustix::fs::OFlags::NONBLOCK)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let mut waits = [PollFd::new(daemon, PollFlags::IN), PollFd::from_borrowed_fd(device, PollFlags::IN)];
        match poll(&mut waits, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if waits[0].revents().contains(PollFlags::IN) {
            return Ok(());
        }
        match rustix::io::read(device, &mut buffer) {
            Ok(size) => {
                if let Some(answer) = refusal(&buffer[..size]) {
                    // It may have been given up meanwhile.
                    let _ = rustix::io::write(device, &answer);
                }
                // A document in it may hold a token.
                buffer[..size].zeroize();
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::NOENT) => {}
            // Unmounted.
            Err(_) => return Ok(()),
        }
    }
}

/// The answer of a dead mount to a request; `None` for requests that expect none.
fn refusal(request: &[u8]) -> Option<[u8; 16]> {
    let opcode = u32::from_ne_bytes(request.get(4..8)?.try_into().ok()?);
    if UNANSWERED.contains(&opcode) {
        return None;
    }
    let mut answer = [0; 16];
    answer[..4].copy_from_slice(&16u32.to_ne_bytes());
    answer[4..8].copy_from_slice(&(-libc::ENOTCONN).to_ne_bytes());
    answer[8..].copy_from_slice(request.get(8..16)?);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(opcode: u32, unique: u64) -> Vec<u8> {
        let mut bytes = 40u32.to_ne_bytes().to_vec();
        bytes.extend(opcode.to_ne_bytes());
        bytes.extend(unique.to_ne_bytes());
        bytes.resize(40, 0);
        bytes
    }

    #[test]
    fn every_request_but_three_is_refused() {
        let answer = refusal(&request(1, 0x0102)).unwrap();
        assert_eq!(answer[4..8], (-libc::ENOTCONN).to_ne_bytes());
        assert_eq!(answer[8..], 0x0102u64.to_ne_bytes());
        assert!(UNANSWERED.iter().all(|opcode| refusal(&request(*opcode, 1)).is_none()));
        assert_eq!(refusal(b"short"), None);
    }
}
