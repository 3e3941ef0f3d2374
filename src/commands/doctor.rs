//! `tfcfs doctor`: what would stop a mount here, and the way out.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::mount::settings_by;
use super::{guarded, print};
use crate::app;
use crate::cli::{DoctorArgs, MountArgs};
use crate::config::{DEFAULT_FILE, Settings, SettingsError};
use crate::doctor::{self, Finding, Level, Wanted};
use crate::exit::{ExitCode, Failure};
use crate::mount_point;

/// How long the settings file, and the files that it names, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// All checks have deadlines of their own that are sooner.
const DEADLINE: Duration = Duration::from_secs(60);

pub(super) fn doctor(args: DoctorArgs) -> Result<(), Failure> {
    guarded::run(DEADLINE, || {
        app::protect_memory();
        let as_json = args.json;
        let findings = doctor::examine(&wanted(args)?);
        report(&findings, as_json)
    })
}

fn wanted(args: DoctorArgs) -> Result<Wanted, Failure> {
    // The one that is mounted, unless somebody names another.
    let only = || mount_point::find_tfcfs().ok().filter(|mounts| mounts.len() == 1).and_then(|mut one| one.pop());
    let named = args.mount_point.clone().or_else(only);
    let args = args.as_mount().fold_options()?;
    let (settings_file, settings) = settings_in_time(&args);
    let state = (!args.ephemeral).then(|| app::key_settings(settings.as_ref().unwrap_or(&in_doubt(&args))));
    Ok(Wanted { mount_point: named, settings_file, settings, state })
}

/// The settings, which may lie in a filesystem that hangs.
fn settings_in_time(args: &MountArgs) -> (Option<PathBuf>, Result<Settings, SettingsError>) {
    let asked = args.clone();
    // Credentials of systemd are for the service, which an operator's shell is not.
    let of_service = std::env::var_os("CREDENTIALS_DIRECTORY").is_some();
    let load = if of_service { Settings::load } else { Settings::load_without_credentials };
    mount_point::within(PATIENCE, move || settings_by(&asked, load)).unwrap_or_else(|| {
        let path = args.config.clone().unwrap_or_else(|| DEFAULT_FILE.into());
        let seconds = PATIENCE.as_secs();
        let message = format!(
            "it, or a file that it names, was not read within {seconds} s; its filesystem hangs: unmount that one (umount -l)"
        );
        (Some(path.clone()), Err(SettingsError { path, message }))
    })
}

/// What the command line says alone, where the settings file is no help.
fn in_doubt(args: &MountArgs) -> Settings {
    Settings { state: args.state.clone(), sealing_key_file: args.sealing_key.clone(), ..Settings::default() }
}

fn report(findings: &[Finding], as_json: bool) -> Result<(), Failure> {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (problems, warnings) = (count(Level::Problem), count(Level::Warning));
    if as_json {
        print::json(&json!({ "ok": problems == 0, "problems": problems, "warnings": warnings, "checks": findings }))?;
    } else {
        for finding in findings {
            print::line(&text(finding))?;
        }
    }
    match problems {
        0 => Ok(()),
        _ => Err(Failure::new(ExitCode::Obstacle, format!("{problems} of {} checks found a problem", findings.len()))),
    }
}

fn text(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Problem => "PROBLEM",
        Level::Warning => "warning",
        Level::Ok => "ok",
    };
    let line = format!("{level:<8} {}: {}", finding.check, finding.what);
    match &finding.way_out {
        Some(way_out) => format!("{line}\n         way out: {way_out}"),
        None => line,
    }
}
