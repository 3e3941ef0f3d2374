//! Reading small files of the system, and running its programs with a deadline.

use std::fs::{self, File};
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// More than that of a file or of what a program prints is not looked at.
const MOST: u64 = 256 * 1024;

/// The text of a small file; `None` if it is not there or not readable.
pub(super) fn text(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether there is such a path. Only for places that cannot hang: `/run`, `/sys`, `/proc`, `/dev`.
pub(super) fn exists(path: &str) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// A field of `/proc/PID/status`.
pub(super) fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// What a program prints on its standard output; it is killed at the deadline.
pub(super) fn output(command: &mut Command, deadline: Duration) -> io::Result<String> {
    let end = Instant::now() + deadline;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (done, result) = std::sync::mpsc::channel();
    if let Some(output) = child.stdout.take() {
        std::thread::Builder::new().spawn(move || {
            let mut bytes = Vec::new();
            let read = output.take(MOST).read_to_end(&mut bytes);
            let _ = done.send(read.map(|_| bytes));
        })?;
    }
    let printed = result.recv_timeout(end.saturating_duration_since(Instant::now()));
    let ended = wait(&mut child, end)?;
    match (printed, ended) {
        (Ok(bytes), true) => Ok(String::from_utf8_lossy(&bytes?).into_owned()),
        _ => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Waits until `end`, then kills. Whether it ended by itself.
fn wait(child: &mut Child, end: Instant) -> io::Result<bool> {
    loop {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_status() {
        let text = "Name:\tx\nCapEff:\t00000000a80425fb\nNoNewPrivs:\t1\n";
        assert_eq!(status_field(text, "NoNewPrivs"), Some("1"));
        assert_eq!(status_field(text, "Cap"), None);
    }

    #[test]
    fn a_program_that_hangs_is_killed() {
        let start = Instant::now();
        let error = output(Command::new("sleep").arg("60"), Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(20));
        assert_eq!(output(Command::new("echo").arg("x"), Duration::from_secs(20)).unwrap(), "x\n");
        assert!(output(&mut Command::new("no-such-program"), Duration::from_secs(1)).is_err());
    }
}
