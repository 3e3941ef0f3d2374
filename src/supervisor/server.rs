//! A server as its supervisor sees it: a process that has the device, the table of open files, and two pipes.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};

use super::report::Report;
use crate::inherited;

/// How long a process that has closed its files may take until its exit code is known. A thread of it that stands in the
/// kernel waits for the next server, so nobody waits for that.
const REAPED: Duration = Duration::from_millis(200);

/// What a server gets, by its numbers from [`inherited::FIRST`] on.
pub struct Handed {
    /// The FUSE device.
    pub device: OwnedFd,
    /// The table of open files.
    pub handles: OwnedFd,
    /// Where it tells [`Report`]s.
    pub reports: OwnedFd,
    /// Open exactly as long as the server lives, whatever its threads do.
    pub alive: OwnedFd,
}

impl Handed {
    /// In the server: takes what its supervisor gave.
    ///
    /// # Errors
    /// It was not started by a supervisor.
    pub fn take() -> io::Result<Self> {
        let take = |place| inherited::take(inherited::FIRST + place);
        Ok(Self { device: take(0)?, handles: take(1)?, reports: take(2)?, alive: take(3)? })
    }
}

/// What is heard of a server.
pub(super) enum Told {
    /// It tells something.
    Report(Report),
    /// It is gone: its exit code, unless a signal ended it or nobody knows.
    Gone(Option<i32>),
}

/// A server that runs.
pub(super) struct Server {
    child: Child,
    reports: Lines<BufReader<Receiver>>,
    alive: Receiver,
}

impl Server {
    /// Starts this same program, deleted or replaced meanwhile or not, with these arguments.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn start(arguments: &[OsString], device: BorrowedFd<'_>, handles: BorrowedFd<'_>) -> io::Result<Self> {
        let (reports, tell) = pipe_with(PipeFlags::CLOEXEC)?;
        let (alive, life) = pipe_with(PipeFlags::CLOEXEC)?;
        let files = [device.try_clone_to_owned()?, handles.try_clone_to_owned()?, tell, life];
        let mapped = files.into_iter().zip(inherited::FIRST..);
        let mapped = mapped.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd }).collect();
        let mut command = std::process::Command::new("/proc/self/exe");
        std::os::unix::process::CommandExt::arg0(&mut command, "tfcfs");
        command.args(arguments).stdin(std::process::Stdio::null());
        // It tells its supervisor, who tells the service manager.
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
            command.env_remove(name);
        }
        command.fd_mappings(mapped).map_err(io::Error::other)?;
        let child = Command::from(command).spawn()?;
        let reports = BufReader::new(Receiver::from_owned_fd(reports)?).lines();
        Ok(Self { child, reports, alive: Receiver::from_owned_fd(alive)? })
    }

    /// Waits for what it tells next, or for its end.
    pub(super) async fn next(&mut self) -> Told {
        loop {
            tokio::select! {
                line = next_line(&mut self.reports) => {
                    if let Some(report) = Report::parse(&line) {
                        return Told::Report(report);
                    }
                }
                () = closed(&mut self.alive) => return Told::Gone(self.code().await),
            }
        }
    }

    /// Waits for its end.
    pub(super) async fn gone(&mut self) -> Option<i32> {
        closed(&mut self.alive).await;
        self.code().await
    }

    async fn code(&mut self) -> Option<i32> {
        match tokio::time::timeout(REAPED, self.child.wait()).await {
            Ok(Ok(status)) => status.code(),
            _ => None,
        }
    }

    /// Its process, until it was waited for.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = self.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may be gone already.
            let _ = kill_process(pid, signal);
        }
    }
}

async fn next_line(reports: &mut Lines<BufReader<Receiver>>) -> String {
    match reports.next_line().await {
        Ok(Some(line)) => line,
        // Its end is heard of elsewhere.
        Ok(None) | Err(_) => std::future::pending().await,
    }
}

/// Nothing is ever written; only the end can come.
async fn closed(alive: &mut Receiver) {
    while let Ok(1..) = alive.read(&mut [0; 16]).await {}
}

/// For messages of a server to its supervisor.
pub fn tell(reports: impl AsFd, report: &Report) {
    // A pipe takes a short line whole. Without a supervisor there is nobody to tell.
    let _ = rustix::io::write(reports, report.line().as_bytes());
}
