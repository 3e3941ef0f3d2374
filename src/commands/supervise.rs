//! `tfcfs supervise`, and the hidden `tfcfs serve` that it starts.

use std::ffi::OsString;
use std::os::fd::OwnedFd;

use super::log;
use super::mount::{make_mount_point, plan};
use crate::adapters::handle_file::HandleFile;
use crate::app;
use crate::cli::MountArgs;
use crate::exit::{ExitCode, Failure};
use crate::mount_point;
use crate::supervisor::{self, AtStop, Handed, Supervised};

/// The hidden command of a server.
const SERVE: &str = "serve";

/// Mounts, and keeps the mount over the ends of those who serve it.
pub(super) fn supervise(args: MountArgs) -> Result<(), Failure> {
    let own = own_arguments("supervise");
    let args = args.fold_options()?;
    refuse_ephemeral(&args, "supervise")?;
    log::start(&args)?;
    make_mount_point(&args)?;
    let plan = plan(&args)?;
    let connection = app::connect(&plan)?;
    if !connection.resends() {
        tracing::warn!("this kernel is older than 6.9: a crash takes the mount with it, and open files fail then");
    }
    let internal = |error| Failure::new(ExitCode::Internal, format!("the mount cannot be kept: {error}"));
    let device = connection.device().try_clone_to_owned().map_err(internal)?;
    supervisor::run(Supervised {
        mount_point: located(&args)?,
        device,
        handles: HandleFile::create().map_err(internal)?,
        resends: connection.resends(),
        arguments: own,
        at_stop: AtStop::Unmount(connection),
    })
}

/// Serves what a supervisor has handed over.
pub(super) fn serve(args: MountArgs) -> Result<(), Failure> {
    let handed = Handed::take().map_err(|error| {
        Failure::new(ExitCode::Usage, format!("this is started by tfcfs supervise and tfcfs service only: {error}"))
    })?;
    let args = args.fold_options()?;
    log::start(&args)?;
    app::serve(&plan(&args)?, handed)
}

/// Goes on with a connection that somebody else keeps.
pub(super) fn keep(args: &MountArgs, device: OwnedFd, handles: OwnedFd, resends: bool) -> Result<(), Failure> {
    supervisor::run(Supervised {
        mount_point: located(args)?,
        device,
        handles,
        resends,
        arguments: own_arguments("service"),
        at_stop: AtStop::HandOver,
    })
}

/// What has nothing that a second process could go on with is not kept alive by one.
pub(super) fn refuse_ephemeral(args: &MountArgs, command: &str) -> Result<(), Failure> {
    if args.run_as.is_some() {
        let text = format!("tfcfs {command} serves as the user who starts it; setuid= belongs to tfcfs mount");
        return Err(Failure::new(ExitCode::Usage, text).hint("leave it out; a unit has User="));
    }
    if !args.ephemeral {
        return Ok(());
    }
    let text = format!("tfcfs {command} starts a new process after a crash, which finds nothing of an ephemeral state");
    Err(Failure::new(ExitCode::Usage, text).hint(
        "name a state directory in memory (--state /run/tfcfs), or use tfcfs mount --ephemeral, which ends with its process",
    ))
}

fn located(args: &MountArgs) -> Result<std::path::PathBuf, Failure> {
    mount_point::locate(&args.mount_point).map_err(|error| Failure::new(ExitCode::MountGone, error.to_string()))
}

/// The command line of this process, as that of a server: `serve` in place of `command` and its subcommand.
fn own_arguments(command: &str) -> Vec<OsString> {
    let rest = std::env::args_os().skip_while(|argument| argument != command);
    let skipped = if command == "service" { 2 } else { 1 };
    [OsString::from(SERVE)].into_iter().chain(rest.skip(skipped)).collect()
}
