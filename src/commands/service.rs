//! `tfcfs service`: what the systemd unit calls. The privileged parts mount, unmount and hand over, nothing else: they
//! read no settings and see no token.

mod job;
mod kept;
mod leftovers;

use std::io;
use std::path::Path;

use self::kept::Kept;
use super::log;
use super::supervise::{keep, refuse_ephemeral};
use crate::adapters::handle_file::HandleFile;
use crate::app::{self, MountPlan};
use crate::cli::{MountArgs, ServiceCommand};
use crate::config::Settings;
use crate::exit::{ExitCode, Failure};
use crate::mount_point::{self, MountPoint, MountPointError};

/// Mounts that may lie over each other at one place, by mistake.
const STACKED: usize = 16;

pub(super) fn run(command: ServiceCommand) -> Result<(), Failure> {
    match command {
        ServiceCommand::Mount(args) => mount(args),
        ServiceCommand::Serve(args) => serve(args),
        ServiceCommand::Stop { mount_point, unit } => stop(&mount_point, &unit),
        ServiceCommand::Heal { mount_point } => heal(&mount_point),
        ServiceCommand::Unmount { mount_point } => unmount_unserved(&mount_point),
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
    make(&args.mount_point).or_else(|failure| {
        kept::refuse(failure.code).map_err(not_taken)?;
        // The main process ends with the code that systemd heeds; why is said here.
        eprintln!("{failure}");
        Ok(())
    })
}

/// Mounts unless that is done.
fn make(mount_point: &Path) -> Result<(), Failure> {
    let unusable = |error: MountPointError| Failure::new(ExitCode::MountPoint, error.to_string());
    if mount_point::is_kept(mount_point).map_err(unusable)? {
        return Ok(());
    }
    if mount_point::inspect(mount_point).map_err(unusable)? == MountPoint::Missing {
        std::fs::create_dir_all(mount_point).map_err(|error| {
            let text = format!("the mount point {} cannot be made: {error}", mount_point.display());
            Failure::new(ExitCode::MountPoint, text).hint("make the directory, or name another in the unit")
        })?;
    }
    let connection = app::connect(&MountPlan {
        mount_point: mount_point.to_owned(),
        // The one who serves is not the one who mounts.
        settings: Settings { allow_other: true, ..Settings::default() },
        settings_file: None,
        ephemeral: false,
        reaper: None,
    })?;
    HandleFile::create()
        .and_then(|handles| kept::keep(connection.device(), &handles, connection.resends()))
        .map_err(not_taken)?;
    connection.leave();
    Ok(())
}

fn not_taken(error: io::Error) -> Failure {
    Failure::new(ExitCode::Internal, format!("systemd did not take the mount: {error}"))
        .hint("the unit needs NotifyAccess=exec and FileDescriptorStoreMax=4")
}

fn serve(args: MountArgs) -> Result<(), Failure> {
    let args = args.fold_options()?;
    refuse_ephemeral(&args, "service")?;
    log::start(&args)?;
    let kept = kept::take().map_err(|error| {
        Failure::new(ExitCode::Internal, format!("the files that systemd keeps cannot be read: {error}"))
    })?;
    match kept {
        Kept::Connection { device, handles, resends } => {
            leftovers::kill();
            keep(&args, device, handles, resends)
        }
        Kept::Refused(code) => Err(Failure::new(code, "nothing could be mounted")
            .hint("the lines of tfcfs service mount before this one say why")),
        Kept::Nothing => Err(nothing(&args.mount_point)),
    }
}

fn nothing(mount_point: &Path) -> Failure {
    if mount_point::inspect(mount_point).is_ok_and(|found| found == MountPoint::LiveTfcfs) {
        let text = format!("{} is served by another tfcfs already", mount_point.display());
        return Failure::new(ExitCode::MountPoint, text).hint("stop that one, or name another mount point");
    }
    Failure::new(ExitCode::MountGone, "systemd keeps no mount that lives").hint(
        "the unit mounts anew at its next start; ExecStartPre=+tfcfs service mount and FileDescriptorStoreMax=4 belong to it",
    )
}

/// Takes the mount away first, so that whoever serves it knows that this is the end and no restart, and ends what policy says.
fn stop(mount_point: &Path, unit: &str) -> Result<(), Failure> {
    let is_stop = job::is_stop(unit).map_err(|error| {
        Failure::new(ExitCode::Internal, format!("it cannot be told whether {unit} is stopped or restarted: {error}"))
            .hint("the mount stays until tfcfs-umount.service takes it away; what is to be revoked is revoked by the next start")
    })?;
    if is_stop { unmount(mount_point) } else { Ok(()) }
}

/// A server that ended with an error has said that nobody can serve: the mount must not keep its readers waiting.
fn heal(mount_point: &Path) -> Result<(), Failure> {
    let of = |name| std::env::var(name).unwrap_or_default();
    if needs_healing(&of("EXIT_CODE"), &of("EXIT_STATUS")) { unmount_unserved(mount_point) } else { Ok(()) }
}

/// With [`ExitCode::MountPoint`] the place is somebody else's.
fn needs_healing(how: &str, status: &str) -> bool {
    how == "exited" && status.parse().is_ok_and(|code: i32| code != 0 && code != ExitCode::MountPoint as i32)
}

/// After the end of the unit's processes: what is served now is somebody else's.
fn unmount_unserved(mount_point: &Path) -> Result<(), Failure> {
    join_host_mounts()?;
    match mount_point::inspect(mount_point) {
        Ok(MountPoint::LiveTfcfs) => Ok(()),
        _ => unmount(mount_point),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_can_serve_is_healed() {
        for (how, status, heals) in [
            ("exited", "75", true),
            ("exited", "9", true),
            ("exited", "0", false),
            ("exited", "4", false),
            ("killed", "KILL", false),
            ("killed", "9", false),
            ("", "", false),
        ] {
            assert_eq!(needs_healing(how, status), heals, "{how} {status}");
        }
    }
}
