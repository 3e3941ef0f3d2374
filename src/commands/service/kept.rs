//! What systemd keeps for the unit: the connection to the kernel and the table of open files, or the word that there is none.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use sd_notify::NotifyState;

use crate::exit::ExitCode;
use crate::fuse::connection;
use crate::inherited;

/// Names of the kept files: `fuse-ID` or `fuse9-ID` (a kernel that sends unanswered requests again), and `handles-ID`.
///
/// Never a file *in* the mount, nor a mount: systemd asks for the attributes of what it is given, and would wait for a server
/// that only it can start (seen with 257).
const DEVICE: &str = "fuse-";
const DEVICE_THAT_RESENDS: &str = "fuse9-";
const HANDLES: &str = "handles-";

/// In place of all: `refused-CODE`. Systemd restarts a unit whose ExecStartPre= failed, whatever its exit code; the main process
/// can say that this is no use.
const REFUSED: &str = "refused-";

/// How long systemd may take to read what it was sent, in seconds.
const TAKEN: i64 = 5;

/// What a helper has left for the main process.
pub(super) enum Kept {
    /// A connection that lives.
    Connection { device: OwnedFd, handles: OwnedFd, resends: bool },
    /// There can be none.
    Refused(ExitCode),
    /// Nothing that lives.
    Nothing,
}

/// Gives a connection to systemd.
pub(super) fn keep(device: impl AsFd, handles: impl AsFd, resends: bool) -> io::Result<()> {
    let id = uuid::Uuid::now_v7().simple().to_string();
    let name = if resends { DEVICE_THAT_RESENDS } else { DEVICE };
    store(&format!("{HANDLES}{id}"), handles)?;
    store(&format!("{name}{id}"), device)?;
    wait_until_taken()
}

/// Tells the main process that it cannot serve.
pub(super) fn refuse(code: ExitCode) -> io::Result<()> {
    store(&format!("{REFUSED}{}", code as i32), std::fs::File::open("/dev/null")?)?;
    wait_until_taken()
}

/// Takes what systemd keeps, and gives back what nobody needs any more.
pub(super) fn take() -> io::Result<Kept> {
    let mut kept = Vec::new();
    for (number, name) in sd_notify::listen_fds_with_names()? {
        kept.push((name, inherited::take(number)?));
    }
    Ok(choose(&mut kept))
}

/// The connection that lives, and its table; everything else is given back.
fn choose(kept: &mut Vec<(String, OwnedFd)>) -> Kept {
    // Systemd promises no order, and has the newest first; ids are in that of time.
    kept.sort_by(|(one, _), (other, _)| id(one).cmp(id(other)));
    let mut found = Kept::Nothing;
    while let Kept::Nothing = found {
        let Some(at) =
            kept.iter().rposition(|(name, _)| name.starts_with(DEVICE) || name.starts_with(DEVICE_THAT_RESENDS))
        else {
            break;
        };
        let (name, device) = kept.remove(at);
        let resends = name.starts_with(DEVICE_THAT_RESENDS);
        let mut of_it = |prefix: &str| {
            let at = kept.iter().position(|(other, _)| other.strip_prefix(prefix) == Some(id(&name)))?;
            Some(kept.remove(at).1)
        };
        match of_it(HANDLES) {
            Some(handles) if !connection::is_gone(device.as_fd()).unwrap_or(true) => {
                found = Kept::Connection { device, handles, resends };
            }
            Some(_) => {
                give_back(&format!("{HANDLES}{}", id(&name)));
                give_back(&name);
            }
            None => give_back(&name),
        }
    }
    for (name, _) in kept.drain(..) {
        if let (Kept::Nothing, Some(code)) = (&found, name.strip_prefix(REFUSED)) {
            found = code.parse().ok().and_then(ExitCode::from_number).map_or(Kept::Nothing, Kept::Refused);
        }
        give_back(&name);
    }
    found
}

fn id(name: &str) -> &str {
    name.rsplit('-').next().unwrap_or_default()
}

fn give_back(name: &str) {
    if !name.starts_with(REFUSED) {
        tracing::warn!(name, "a file that systemd kept belongs to no mount any more");
    }
    if let Err(error) = sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

fn store(name: &str, file: impl AsFd) -> io::Result<()> {
    // With polling, systemd would wake for each request that the kernel has for us.
    let states = [NotifyState::FdStore, NotifyState::FdName(name), NotifyState::Custom("FDPOLL=0")];
    sd_notify::notify_with_fds(&states, &[file.as_fd()])
}

/// What was sent before is lost if we end before it was read.
fn wait_until_taken() -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    let (end, barrier) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    sd_notify::notify_with_fds(&[NotifyState::Custom("BARRIER=1")], &[barrier.as_fd()])?;
    drop(barrier);
    let limit = rustix::time::Timespec { tv_sec: TAKEN, tv_nsec: 0 };
    match poll(&mut [PollFd::new(&end, PollFlags::empty())], Some(&limit))? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose_of(names: &[&str]) -> (Kept, Vec<(String, OwnedFd)>) {
        let any = || std::fs::File::open("/dev/null").unwrap().into();
        let mut kept = names.iter().map(|name| ((*name).to_owned(), any())).collect();
        (choose(&mut kept), kept)
    }

    #[test]
    fn a_device_without_its_table_is_given_back() {
        let (found, left) = choose_of(&["fuse9-a", "handles-b", "strange"]);
        assert!(matches!(found, Kept::Nothing) && left.is_empty());
    }

    #[test]
    fn the_newest_pair_that_belongs_together_is_taken() {
        let (found, left) = choose_of(&["fuse9-a", "handles-a", "handles-b", "fuse9-b", "fuse9-c"]);
        assert!(matches!(found, Kept::Connection { resends: true, .. }) && left.is_empty());
        let (found, _) = choose_of(&["refused-4", "fuse-a", "handles-a"]);
        assert!(matches!(found, Kept::Connection { resends: false, .. }), "what lives is served");
        let (found, _) = choose_of(&["fuse9-b", "handles-b", "fuse-a", "handles-a"]);
        assert!(matches!(found, Kept::Connection { resends: true, .. }), "in whatever order");
    }

    #[test]
    fn why_there_is_none_is_passed_on() {
        let (found, left) = choose_of(&["refused-4", "handles-a"]);
        assert!(matches!(found, Kept::Refused(ExitCode::MountPoint)) && left.is_empty());
        assert!(matches!(choose_of(&["refused-x"]).0, Kept::Nothing));
    }
}
