//! `tfcfs service`: what the systemd unit calls. The privileged parts mount, unmount and hand over, nothing else.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use sd_notify::NotifyState;

use super::log;
use super::mount::plan;
use super::supervise::{keep, refuse_ephemeral};
use crate::adapters::handle_file::HandleFile;
use crate::app;
use crate::cli::{MountArgs, ServiceCommand};
use crate::exit::{ExitCode, Failure};
use crate::fuse::connection;
use crate::inherited;
use crate::mount_point::{self, MountPointError};

/// Names of the kept files: `fuse-ID` or `fuse9-ID` (a kernel that sends unanswered requests again), and `handles-ID`.
const DEVICE: &str = "fuse-";
const DEVICE_THAT_RESENDS: &str = "fuse9-";
const HANDLES: &str = "handles-";

/// How long systemd may take to read what it was sent, in seconds.
const TAKEN: i64 = 5;

/// Mounts that may lie over each other at one place, by mistake.
const STACKED: usize = 16;

pub(super) fn run(command: ServiceCommand) -> Result<(), Failure> {
    match command {
        ServiceCommand::Mount(args) => mount(args),
        ServiceCommand::Serve(args) => serve(args),
        ServiceCommand::Heal { mount_point } => heal(&mount_point),
        ServiceCommand::Unmount { mount_point } => unmount(&mount_point),
    }
}

fn mount(args: MountArgs) -> Result<(), Failure> {
    let args = args.fold_options()?;
    refuse_ephemeral(&args, "service")?;
    log::start(&args)?;
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        let text = "there is nobody to keep the mount: NOTIFY_SOCKET is not set";
        return Err(Failure::new(ExitCode::Usage, text)
            .hint("the systemd unit calls this; without systemd use tfcfs supervise, or tfcfs mount"));
    }
    join_host_mounts()?;
    let plan = plan(&args)?;
    if mount_point::is_kept(&args.mount_point).map_err(|error| Failure::new(ExitCode::MountPoint, error.to_string()))? {
        return Ok(());
    }
    let connection = app::connect(&plan)?;
    let id = uuid::Uuid::now_v7().simple().to_string();
    let device = if connection.resends() { DEVICE_THAT_RESENDS } else { DEVICE };
    HandleFile::create()
        .and_then(|handles| {
            store(&format!("{HANDLES}{id}"), &handles)?;
            store(&format!("{device}{id}"), connection.device())?;
            wait_until_taken()
        })
        .map_err(|error| {
            Failure::new(ExitCode::Internal, format!("systemd did not take the mount: {error}"))
                .hint("the unit needs NotifyAccess=exec and FileDescriptorStoreMax=4")
        })?;
    connection.leave();
    Ok(())
}

fn serve(args: MountArgs) -> Result<(), Failure> {
    let args = args.fold_options()?;
    refuse_ephemeral(&args, "service")?;
    log::start(&args)?;
    let internal =
        |error| Failure::new(ExitCode::Internal, format!("the files that systemd keeps cannot be read: {error}"));
    let mut kept = Vec::new();
    for (number, name) in sd_notify::listen_fds_with_names().map_err(internal)? {
        kept.push((name, inherited::take(number).map_err(internal)?));
    }
    let Some((device, handles, resends)) = choose(&mut kept) else {
        let text = "systemd keeps no mount that lives";
        return Err(Failure::new(ExitCode::MountGone, text)
            .hint("the unit mounts anew at its next start; ExecStartPre=+tfcfs service mount and FileDescriptorStoreMax=4 belong to it"));
    };
    keep(&args, device, handles, None, resends)
}

/// The connection that lives, and its table; everything else is given back.
fn choose(kept: &mut Vec<(String, OwnedFd)>) -> Option<(OwnedFd, OwnedFd, bool)> {
    let mut found = None;
    while found.is_none() {
        let at =
            kept.iter().rposition(|(name, _)| name.starts_with(DEVICE) || name.starts_with(DEVICE_THAT_RESENDS))?;
        let (name, device) = kept.remove(at);
        let resends = name.starts_with(DEVICE_THAT_RESENDS);
        let id = name.rsplit('-').next().unwrap_or_default();
        let handles = kept.iter().position(|(other, _)| other.strip_prefix(HANDLES) == Some(id));
        match handles {
            Some(handles) if !connection::is_gone(device.as_fd()).unwrap_or(true) => {
                found = Some((device, kept.remove(handles).1, resends));
            }
            _ => give_back(&name),
        }
    }
    kept.drain(..).for_each(|(name, _)| give_back(&name));
    found
}

fn give_back(name: &str) {
    tracing::warn!(name, "a file that systemd kept belongs to no mount any more");
    if let Err(error) = sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

/// A server that ended with an error has said that nobody can serve: the mount must not keep its readers waiting.
fn heal(mount_point: &Path) -> Result<(), Failure> {
    let of = |name| std::env::var(name).unwrap_or_default();
    if of("EXIT_CODE") == "exited" && of("EXIT_STATUS") != "0" { unmount(mount_point) } else { Ok(()) }
}

fn unmount(mount_point: &Path) -> Result<(), Failure> {
    join_host_mounts()?;
    for _ in 0..STACKED {
        match mount_point::take_away(mount_point) {
            Ok(()) => {}
            Err(MountPointError::NotMounted(_)) => return Ok(()),
            Err(error) => return Err(Failure::new(ExitCode::MountPoint, error.to_string())),
        }
    }
    Ok(())
}

/// A `+` command of a unit with a sandbox has all rights, but a mount namespace of its own: what is mounted there nobody
/// else sees, and it goes with the command.
fn join_host_mounts() -> Result<(), Failure> {
    let (own, host) = ("/proc/self/ns/mnt", "/proc/1/ns/mnt");
    let fail = |error: io::Error| {
        Failure::new(ExitCode::Permission, format!("the mount namespace of the system cannot be entered: {error}"))
            .hint("systemd calls this as root, with a + before the command")
    };
    if std::fs::read_link(own).map_err(fail)? == std::fs::read_link(host).map_err(fail)? {
        return Ok(());
    }
    let namespace = std::fs::File::open(host).map_err(fail)?;
    nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNS).map_err(|error| fail(error.into()))
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

    fn any() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn a_device_without_its_table_is_given_back() {
        let mut kept = vec![("fuse9-a".into(), any()), ("handles-b".into(), any()), ("strange".into(), any())];
        assert!(choose(&mut kept).is_none());
    }

    #[test]
    fn the_newest_pair_that_belongs_together_is_taken() {
        let names = ["fuse9-a", "handles-a", "handles-b", "fuse9-b", "fuse9-c"];
        let mut kept = names.map(|name| (name.to_owned(), any())).into_iter().collect();
        let (_, _, resends) = choose(&mut kept).unwrap();
        assert!(resends && kept.is_empty());
    }
}
