//! What would stop a mount here, and the way out.
//!
//! Each check is a file of its own with two halves: *facts*, gathered by a thin probe, and a pure judgement of them, so that
//! every verdict is tested without its condition. The probes run side by side, each before a deadline; one that does not
//! come back is a finding too. Nothing is changed, made or deleted, here or upstream, and no finding holds a secret.

pub mod apparmor;
pub mod device;
mod finding;
pub mod kernel;
pub mod place;
mod probe;
pub mod rights;
pub mod roles;
pub mod service;
pub mod settings;
pub mod state;
pub mod upstream;

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub use self::finding::{Finding, Level};
use crate::adapters::sealing_key::SealingKeySettings;
use crate::config::{Settings, SettingsError};
use crate::mount_point::{self, MountPoint};

/// How long a check of this machine may take. A mount point that does not answer takes one second for each part of it.
const LOCAL: Duration = Duration::from_secs(8);

/// How long all calls of upstream may take together.
const UPSTREAM: Duration = Duration::from_secs(25);

/// The mount that somebody wants.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where; `None` = not said.
    pub mount_point: Option<PathBuf>,
    /// The settings file, named or by default; `None` = there is none.
    pub settings_file: Option<PathBuf>,
    /// What it says, with what the command line adds; or why it is refused.
    pub settings: Result<Settings, SettingsError>,
    /// Where state and key are; `None` = nothing is kept.
    pub state: Option<SealingKeySettings>,
}

impl Wanted {
    fn allow_other(&self) -> bool {
        self.settings.as_ref().is_ok_and(|settings| settings.allow_other)
    }
}

type Check = Box<dyn FnOnce() -> Vec<Finding> + Send>;

/// Looks at everything. Problems come first, then warnings, then what is in order. Returns within half a minute, whatever
/// hangs.
pub fn examine(wanted: &Wanted) -> Vec<Finding> {
    let place = wanted.mount_point.as_deref().map(mount_point::inspect);
    let serves = matches!(place, Some(Ok(MountPoint::LiveTfcfs)));
    let mut checks: Vec<(&'static str, Duration, Check)> = vec![
        ("device", LOCAL, Box::new(|| vec![device::judge(&device::Facts::gather())])),
        ("kernel", LOCAL, Box::new(|| kernel::judge(&kernel::Facts::gather()))),
        ("rights", LOCAL, {
            let (allow_other, point) = (wanted.allow_other(), wanted.mount_point.clone());
            Box::new(move || {
                let facts = rights::Facts::gather(allow_other);
                let mut findings = rights::judge(&facts);
                if let Some(point) = point.filter(|_| facts.uses_helper()) {
                    findings.extend(apparmor::judge(&apparmor::Facts::gather(&point)));
                }
                findings
            })
        }),
        ("settings", LOCAL, {
            let (file, settings) = (wanted.settings_file.clone(), wanted.settings.clone());
            Box::new(move || settings::judge(&settings::Facts::gather(file, settings)))
        }),
        ("systemd", LOCAL, Box::new(|| service::judge(&service::Facts::gather()))),
    ];
    if let (Some(point), Some(found)) = (wanted.mount_point.clone(), place) {
        let looked = move || place::judge(&place::Facts::gather(&point, found));
        checks.push(("mount point", LOCAL, Box::new(looked)));
    }
    let wanted_state = wanted.state.clone();
    let settings = wanted.settings.clone().unwrap_or_default();
    checks.push((
        "upstream",
        LOCAL + UPSTREAM,
        Box::new(move || {
            let gathered = mount_point::within(LOCAL, move || state::Facts::gather(wanted_state.as_ref(), serves));
            let mut findings = gathered.as_ref().map_or_else(|| vec![hangs("state", LOCAL)], state::judge);
            // The anchors and roles of the ledger are asked about as well, where it can be read.
            let asked = upstream::Asked::of(&settings, gathered.as_ref().and_then(state::Facts::records));
            findings.extend(upstream::examine(&settings, &asked, UPSTREAM));
            findings
        }),
    ));
    let mut findings = run(checks);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    findings
}

/// Runs the checks side by side. The findings come in the order of the checks.
fn run(checks: Vec<(&'static str, Duration, Check)>) -> Vec<Finding> {
    let start = Instant::now();
    let running: Vec<_> = checks
        .into_iter()
        .map(|(name, deadline, check)| {
            let (done, result) = mpsc::channel();
            let started = std::thread::Builder::new().name("tfcfs-doctor".into()).spawn(move || {
                let _ = done.send(check());
            });
            (name, deadline, started.is_ok(), result)
        })
        .collect();
    let mut findings = Vec::new();
    for (name, deadline, started, result) in running {
        let left = deadline.saturating_sub(start.elapsed());
        findings.extend(match result.recv_timeout(left) {
            Ok(found) => found,
            Err(mpsc::RecvTimeoutError::Timeout) => vec![hangs(name, deadline)],
            Err(mpsc::RecvTimeoutError::Disconnected) => vec![broke(name, started)],
        });
    }
    findings
}

fn hangs(check: &'static str, deadline: Duration) -> Finding {
    let what = format!("no result within {} s: something that was looked at does not answer", deadline.as_secs());
    Finding::problem(
        check,
        what,
        "look for a file system that hangs (a dead NFS server, a stopped FUSE daemon) below the paths in the settings; umount -l takes it away",
    )
}

fn broke(check: &'static str, started: bool) -> Finding {
    let what = if started { "the check itself failed: a defect of tfcfs" } else { "no thread can be started" };
    Finding::problem(check, what, "raise the limit of processes (ulimit -u), or report it with what it printed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_hangs_is_a_finding_and_delays_nobody() {
        let (release, held) = mpsc::channel::<()>();
        let stuck: Check = Box::new(move || {
            let _ = held.recv();
            Vec::new()
        });
        let fine: Check = Box::new(|| vec![Finding::ok("fine", "is")]);
        let bad: Check = Box::new(|| panic!("planted"));
        let limit = Duration::from_millis(50);
        let long = Duration::from_secs(20);
        let findings = run(vec![("stuck", limit, stuck), ("fine", long, fine), ("bad", long, bad)]);
        drop(release);
        let seen: Vec<_> = findings.iter().map(|finding| (finding.check, finding.level)).collect();
        assert_eq!(seen, [("stuck", Level::Problem), ("fine", Level::Ok), ("bad", Level::Problem)]);
        assert!(findings[0].what.contains("no result within") && findings[2].what.contains("defect"));
    }
}
