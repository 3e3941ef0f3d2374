//! `tfcfs mount` and `tfcfs umount`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::look::find_mount;
use super::{given, log};
use crate::app::{self, MountPlan};
use crate::cli::{MountArgs, arguments};
use crate::config::{Settings, SettingsError, default_file};
use crate::exit::{ExitCode, Failure};
use crate::mount_point::{self, MountPoint, MountPointError};

/// Tells a child that its parent waits for a line on its standard output.
const CHILD: &str = "TFCFS_DAEMON_CHILD";

/// What the child writes when the mount answers.
const READY: &str = "ready";

pub(super) fn mount(args: MountArgs) -> Result<(), Failure> {
    let of_helper = args.helper;
    run(args).map_err(|failure| if of_helper { failure.of_helper() } else { failure })
}

fn run(args: MountArgs) -> Result<(), Failure> {
    let is_child = std::env::var_os(CHILD).is_some();
    let mut args = args.fold_options()?;
    if args.fake {
        return Ok(());
    }
    if args.daemon && !is_child {
        return in_background(&args);
    }
    log::start(&args)?;
    make_mount_point(&args)?;
    let given = given::take(&args)?;
    let ready = || {
        if is_child {
            if let Err(error) = leave_session() {
                tracing::warn!(%error, "still in the session of the terminal");
            }
            println!("{READY}");
            let _ = silence();
        }
    };
    match given {
        Some(given) => {
            args.mount_point = given.mount_point;
            app::mount_given(&plan(&args)?, given.device, ready)
        }
        None => app::mount(&plan(&args)?, ready),
    }
}

/// Where the options say so (`x-mount.mkdir`).
pub(super) fn make_mount_point(args: &MountArgs) -> Result<(), Failure> {
    let Some(mode) = args.make_mount_point else { return Ok(()) };
    mount_point::make(&args.mount_point, mode).map_err(|error| Failure::new(ExitCode::MountPoint, error.to_string()))
}

/// What file and flags say together, and which file it was.
pub(super) fn settings(args: &MountArgs) -> (Option<PathBuf>, Result<Settings, SettingsError>) {
    settings_by(args, Settings::load)
}

/// The same with another way of reading the file.
pub(super) fn settings_by(
    args: &MountArgs,
    load: fn(&Path) -> Result<Settings, SettingsError>,
) -> (Option<PathBuf>, Result<Settings, SettingsError>) {
    let file = args.config.clone().or_else(default_file);
    // Read again later, when a daemon is in another directory.
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let file = file.map(absolute);
    let settings = file.as_deref().map_or_else(|| Ok(Settings::default()), load);
    let settings = settings.map(|mut settings| {
        settings.allow_other |= args.allow_other;
        settings.state = args.state.clone().or(settings.state).map(absolute);
        settings.sealing_key_file = args.sealing_key.clone().or(settings.sealing_key_file).map(absolute);
        settings
    });
    (file, settings)
}

pub(super) fn plan(args: &MountArgs) -> Result<MountPlan, Failure> {
    let (file, settings) = settings(args);
    let settings = settings.map_err(|error| Failure::new(ExitCode::Settings, error.to_string()))?;
    let internal =
        |error| Failure::new(ExitCode::Internal, format!("this program's own file cannot be found: {error}"));
    let reaper = Some(std::env::current_exe().map_err(internal)?);
    Ok(MountPlan {
        mount_point: args.mount_point.clone(),
        settings,
        settings_file: file,
        ephemeral: args.ephemeral,
        reaper,
    })
}

/// Starts this program once more and returns when its mount answers; from then on that one has a session of its own.
fn in_background(args: &MountArgs) -> Result<(), Failure> {
    let internal =
        |error: std::io::Error| Failure::new(ExitCode::Internal, format!("cannot go to the background: {error}"));
    let program = std::env::current_exe().map_err(internal)?;
    let mut child = Command::new(program)
        // By whatever name it was called.
        .args(arguments(std::env::args_os()).into_iter().skip(1))
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(internal)?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line).map_err(internal)?;
    }
    if line.trim_end() == READY {
        return Ok(());
    }
    // The child has said on its standard error what is wrong.
    let status = child.wait().map_err(internal)?;
    // It mounted as root and could not unmount as somebody else.
    if args.run_as.is_some() && matches!(mount_point::inspect(&args.mount_point), Ok(MountPoint::DeadTfcfs)) {
        let _ = mount_point::detach(&args.mount_point);
    }
    std::process::exit(status.code().unwrap_or(1));
}

/// Away from the terminal, and from the directory where it was started: that can be unmounted then.
fn leave_session() -> std::io::Result<()> {
    rustix::process::setsid()?;
    std::env::set_current_dir("/")
}

/// The log goes nowhere from here on; `errors` and `events` of the mount have what matters. Whoever wants a log runs in
/// the foreground, under a service manager.
fn silence() -> std::io::Result<()> {
    let nowhere = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    Ok(())
}

pub(super) fn umount(mount_point: Option<PathBuf>) -> Result<(), Failure> {
    let mount_point = match mount_point {
        Some(path) => path,
        None => find_mount(None)?,
    };
    mount_point::detach(&mount_point).map_err(|error| {
        let code = match error {
            MountPointError::NotMounted { .. } => ExitCode::NotMounted,
            MountPointError::NotPermitted { .. } => ExitCode::Permission,
            _ => ExitCode::MountPoint,
        };
        Failure::new(code, error.to_string())
    })
}
