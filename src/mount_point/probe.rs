//! Looking at a path that may hang.

use std::fs::FileType;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rustix::io::Errno;

use super::MountPointError;
use super::mountinfo::{self, Mount};

/// How long a path may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the kernel takes at most to say that a mount is dead.
pub(super) const GLANCE: Duration = Duration::from_millis(20);

/// As many symbolic links as the kernel follows.
const MAX_LINKS: u32 = 40;

/// What a path leads to.
pub(super) enum Found<'a> {
    Missing,
    File,
    Directory,
    /// A mount that a daemon serves. Nothing has touched it.
    Mount(&'a Mount),
}

/// Follows `path` step by step, each step looked up in the mount table before it is touched: `canonicalize` would
/// touch the very mount that may hang.
pub(super) fn resolve<'a>(path: &Path, mounts: &'a [Mount]) -> Result<Found<'a>, MountPointError> {
    let unreadable = |error| MountPointError::Unreadable { path: path.to_owned(), error };
    let mut todo = steps(&std::path::absolute(path).map_err(unreadable)?);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    let mut found = Found::Directory;
    while let Some(step) = todo.pop() {
        if matches!(found, Found::File) {
            return Ok(Found::File);
        }
        if step == Path::new("..") {
            at.pop();
            found = Found::Directory;
            continue;
        }
        let next = at.join(step);
        // A mount further up is walked through like any directory, with the time-out below.
        if let Some(mount) = mountinfo::at(mounts, &next).filter(|mount| mount.is_fuse()) {
            (at, found) = (next, Found::Mount(mount));
            continue;
        }
        let looked = within(PATIENCE, {
            let next = next.clone();
            move || look(&next)
        });
        match looked.ok_or_else(|| MountPointError::Hangs(next.clone()))? {
            Ok(Seen::Link(target)) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(unreadable(Errno::LOOP.into()));
                }
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                todo.extend(steps(&target));
                found = Found::Directory;
            }
            Ok(Seen::Other(kind)) => {
                found = if kind.is_dir() { Found::Directory } else { Found::File };
                at = next;
            }
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound => return Ok(Found::Missing),
                io::ErrorKind::NotADirectory => return Ok(Found::File),
                _ => return Err(unreadable(error)),
            },
        }
    }
    Ok(found)
}

/// How the daemon of a mount is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pulse {
    /// It answers, with an error perhaps.
    Beats,
    /// It is gone.
    Stopped,
    /// No answer in time.
    Unknown,
}

/// Asks the daemon of the mount at `point`.
pub(super) fn ask(point: &Path) -> Pulse {
    ask_for(point, PATIENCE)
}

/// Asks it, and waits at most `patience` for an answer. The end of a mount is answered by the kernel, at once.
pub(super) fn ask_for(point: &Path, patience: Duration) -> Pulse {
    let point = point.to_owned();
    match within(patience, move || rustix::fs::statfs(&point).map(drop)) {
        // CONNABORTED: it went while we asked. CONNREFUSED: it went before it had begun.
        Some(Err(Errno::NOTCONN | Errno::CONNABORTED | Errno::CONNREFUSED)) => Pulse::Stopped,
        Some(_) => Pulse::Beats,
        None => Pulse::Unknown,
    }
}

enum Seen {
    Link(PathBuf),
    Other(FileType),
}

fn look(path: &Path) -> io::Result<Seen> {
    let kind = path.symlink_metadata()?.file_type();
    Ok(if kind.is_symlink() { Seen::Link(path.read_link()?) } else { Seen::Other(kind) })
}

/// The parts of a path, last first, without its root.
fn steps(path: &Path) -> Vec<PathBuf> {
    let named = path.components().filter(|step| matches!(step, Component::Normal(_) | Component::ParentDir));
    let mut steps: Vec<PathBuf> = named.map(|step| PathBuf::from(step.as_os_str())).collect();
    steps.reverse();
    steps
}

/// Runs `work` in a thread that is left to itself if it takes longer than `patience`, or cannot be started.
pub(crate) fn within<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = mpsc::channel();
    let started = std::thread::Builder::new().name("tfcfs-probe".into()).spawn(move || {
        let _ = done.send(work());
    });
    started.ok()?;
    result.recv_timeout(patience).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_is_not_waited_for() {
        let (release, held) = mpsc::channel::<()>();
        assert_eq!(within(Duration::from_millis(2), move || held.recv().is_ok()), None);
        drop(release);
        assert_eq!(within(PATIENCE, || 1), Some(1));
    }

    #[test]
    fn a_directory_is_not_dead() {
        assert_eq!(ask(Path::new("/")), Pulse::Beats);
        assert_eq!(ask(Path::new("/nowhere")), Pulse::Beats);
    }
}
