//! A second process that keeps a lease held exactly as long as another process lives.
//!
//! The command of `exec` and the terraform behind a credentials helper cannot be trusted with a descriptor of their own: `sudo`
//! and `ssh` close what they do not know, and whatever stays behind in the background would keep the lease for ever. So the
//! descriptor is in a process of its own, beside them. It has the lease as its standard input and, as its standard
//! output, a pidfd of the process whose end it waits for, so that no reused number can deceive it.
//!
//! It is started in two steps, so that it is nobody's child: a shell that waits for all its children must not wait for it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, getpid, getppid, pidfd_open, set_dumpable_behavior};

/// This program, also when its file has been replaced meanwhile.
const MYSELF: &str = "/proc/self/exe";

/// The last of standard input, output and error.
const STANDARD: RawFd = 2;

/// Holds a lease until this process ends, whatever program it becomes.
pub(super) fn while_i_live(lease: &File) -> io::Result<()> {
    start(lease, getpid())
}

/// Holds a lease until the process that started this one ends.
pub(super) fn while_my_parent_lives(lease: &File) -> io::Result<()> {
    match getppid() {
        Some(parent) => start(lease, parent),
        // It lives outside what this process can see.
        None => Ok(()),
    }
}

fn start(lease: &File, process: Pid) -> io::Result<()> {
    let process = match pidfd_open(process, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(Errno::SRCH) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut first = Command::new(MYSELF);
    first.arg0("tfcfs").arg("hold").env_clear().current_dir("/");
    first.stdin(OwnedFd::from(lease.try_clone()?)).stdout(process).stderr(Stdio::null());
    let status = first.status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("tfcfs hold: {status}"))) }
}

/// The program `tfcfs hold`.
///
/// # Errors
/// Standard input and output that are not what [`start`] gives, or the system's.
pub(super) fn run(stay: bool) -> io::Result<()> {
    let process = io::stdout();
    if !is_pidfd()? {
        return Err(io::Error::other("standard output is no process"));
    }
    if stay {
        return wait_for_end(&process);
    }
    // What ends a group or a session of processes is meant for the command: this goes when that goes.
    SigSet::all().thread_block()?;
    rustix::process::setsid()?;
    // A lock or the end of a pipe that the command's starter waits for.
    for number in open_files()?.into_iter().filter(|number| *number > STANDARD) {
        let _ = nix::unistd::close(number);
    }
    Command::new(MYSELF).arg0("tfcfs").args(["hold", "--stay"]).spawn().map(drop)
}

fn wait_for_end(process: &impl AsFd) -> io::Result<()> {
    // Nobody reads the token through this process.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    loop {
        match poll(&mut [PollFd::new(process, PollFlags::IN)], None) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_pidfd() -> io::Result<bool> {
    Ok(std::fs::read_to_string("/proc/self/fdinfo/1")?.lines().any(|line| line.starts_with("Pid:")))
}

/// The numbers of this process's open files.
fn open_files() -> io::Result<Vec<RawFd>> {
    let names = std::fs::read_dir("/proc/self/fd")?.map(|entry| Ok(entry?.file_name()));
    let number = |name: io::Result<std::ffi::OsString>| Ok(name?.to_str().and_then(|name| name.parse().ok()));
    names.map(number).filter_map(Result::transpose).collect()
}
