//! Commands that look at what may hang, and end in time whatever it does.
//!
//! A thread that waits for a daemon which has read its request and does not answer cannot be killed, and a process does not
//! end before its last thread. So the work is done by a child, and its parent waits for the child's word, not for its end.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::exit::{ExitCode, Failure};

/// Tells the child what it is. Its standard input is where it says how it ended.
const CHILD: &str = "TFCFS_GUARDED_CHILD";

/// Runs `work` in a child of this same command line, and ends with it, or at the deadline.
pub(super) fn run(deadline: Duration, work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    if std::env::var_os(CHILD).is_some() {
        return end_as_child(work());
    }
    let internal =
        |error: std::io::Error| Failure::new(ExitCode::Internal, format!("no process can be started: {error}"));
    let (word, end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| internal(e.into()))?;
    let program = std::env::current_exe().map_err(internal)?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(CHILD, "1")
        .stdin(Stdio::from(end))
        .spawn()
        .map_err(internal)?;
    let mut code = [0];
    match read_before(&mut File::from(word), &mut code, Instant::now() + deadline).map_err(internal)? {
        Some(1) => std::process::exit(i32::from(code[0])),
        // It has left without a word: whoever read its output has gone, or it died.
        Some(_) => {
            let status = child.wait().map_err(internal)?;
            match status.code() {
                Some(code) => std::process::exit(code),
                None => Err(Failure::new(ExitCode::Internal, format!("the look ended before its time ({status})"))),
            }
        }
        None => {
            let _ = child.kill();
            let text = format!("no end within {} s: something that was looked at does not answer", deadline.as_secs());
            Err(Failure::new(ExitCode::Unanswered, text).hint(
                "look for a daemon that hangs or is stopped (pgrep -a tfcfs); umount -f -l frees who waits for it",
            ))
        }
    }
}

/// Says how it ended before it tries to end. Whoever reads its output must not wait for a thread that cannot be killed.
fn end_as_child(result: Result<(), Failure>) -> Result<(), Failure> {
    let code = match result {
        Ok(()) => ExitCode::Ok,
        Err(failure) => {
            eprintln!("{failure}");
            failure.code
        }
    };
    let leave = || -> std::io::Result<()> {
        let mut word = File::from(rustix::io::dup(std::io::stdin())?);
        let nowhere = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(&nowhere)?;
        rustix::stdio::dup2_stderr(&nowhere)?;
        word.write_all(&[u8::try_from(code as i32).unwrap_or(1)])
    };
    let _ = leave();
    std::process::exit(code as i32)
}

/// Bytes read; `None` at the deadline.
fn read_before(pipe: &mut File, buffer: &mut [u8], end: Instant) -> std::io::Result<Option<usize>> {
    loop {
        let left = Timespec::try_from(end.saturating_duration_since(Instant::now())).unwrap_or_default();
        match poll(&mut [PollFd::new(&*pipe, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Ok(None),
            Ok(_) => return pipe.read(buffer).map(Some),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
