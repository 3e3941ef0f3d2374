//! `tfcfs mount` and `tfcfs umount`.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::log;
use super::look::find_mount;
use crate::app::{self, MountPlan};
use crate::cli::MountArgs;
use crate::config::{Settings, SettingsError, default_file};
use crate::exit::{ExitCode, Failure};
use crate::mount_point::{self, MountPointError};

/// Tells a child that its parent waits for a line on its standard output.
const CHILD: &str = "TFCFS_DAEMON_CHILD";

/// What the child writes when the mount answers.
const READY: &str = "ready";

pub(super) fn mount(args: MountArgs) -> Result<(), Failure> {
    let is_child = std::env::var_os(CHILD).is_some();
    let args = args.fold_options()?;
    log::start(&args)?;
    make_mount_point(&args)?;
    let plan = plan(&args)?;
    if args.daemon && !is_child {
        return in_background();
    }
    app::mount(&plan, || {
        if is_child {
            if let Err(error) = leave_session() {
                tracing::warn!(%error, "still in the session of the terminal");
            }
            println!("{READY}");
            let _ = silence();
        }
    })
}

/// Where the options say so (`x-mount.mkdir`).
pub(super) fn make_mount_point(args: &MountArgs) -> Result<(), Failure> {
    let Some(mode) = args.make_mount_point else { return Ok(()) };
    mount_point::make(&args.mount_point, mode).map_err(|error| Failure::new(ExitCode::MountPoint, error.to_string()))
}

/// What file and flags say together, and which file it was.
pub(super) fn settings(args: &MountArgs) -> (Option<PathBuf>, Result<Settings, SettingsError>) {
    let file = args.config.clone().or_else(default_file);
    // Read again later, when a daemon is in another directory.
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let file = file.map(absolute);
    let settings = file.as_deref().map_or_else(|| Ok(Settings::default()), Settings::load);
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
fn in_background() -> Result<(), Failure> {
    let internal =
        |error: std::io::Error| Failure::new(ExitCode::Internal, format!("cannot go to the background: {error}"));
    let program = std::env::current_exe().map_err(internal)?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
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
