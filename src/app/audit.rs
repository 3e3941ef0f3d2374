//! The audit trail of a daemon: opened at start, anew at SIGHUP, and closed last.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::MountPlan;
use crate::adapters::audit::{self, AuditError, AuditTrail, Sink, TokenHmac};
use crate::adapters::caller::ProcCallers;
use crate::adapters::sealing_key::SealingKey;
use crate::config::AuditSettings;
use crate::domain::ports::Clock;
use crate::exit::{ExitCode, Failure};
use crate::vfs::{Auditor, Vfs};

/// A stop waits no longer than that for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The trail, and where it is kept.
pub(super) struct Audit {
    trail: Arc<AuditTrail>,
    settings: Mutex<Option<AuditSettings>>,
}

/// Opens what the settings name, before anything is changed.
pub(super) fn open(settings: Option<&AuditSettings>, mount_point: &Path) -> Result<Vec<Box<dyn Sink>>, Failure> {
    let Some(settings) = settings else { return Ok(Vec::new()) };
    let wrong = |error: AuditError| Failure::new(ExitCode::Settings, error.to_string());
    if let Some(path) = settings.file.as_deref().filter(|path| is_below(path, mount_point)) {
        return Err(wrong(AuditError::InMount { path: path.to_owned() }));
    }
    audit::open(settings.file.as_deref(), settings.journald).map_err(wrong)
}

/// By name only: nothing in the mount may be asked by the one who answers for it.
fn is_below(path: &Path, mount_point: &Path) -> bool {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute(path).starts_with(absolute(mount_point))
}

impl Audit {
    pub(super) fn start(
        settings: Option<AuditSettings>,
        places: Vec<Box<dyn Sink>>,
        clock: Arc<dyn Clock>,
        key: &SealingKey,
    ) -> Result<Self, Failure> {
        let trail = AuditTrail::start(clock, Arc::new(ProcCallers), TokenHmac::new(key))
            .map_err(|error| Failure::new(ExitCode::Internal, format!("no threads can be started: {error}")))?;
        let audit = Self { trail: Arc::new(trail), settings: Mutex::default() };
        audit.put_into_force(settings, places);
        Ok(audit)
    }

    pub(super) fn trail(&self) -> Arc<dyn Auditor> {
        self.trail.clone()
    }

    fn put_into_force(&self, settings: Option<AuditSettings>, places: Vec<Box<dyn Sink>>) {
        self.trail.install(places, settings.as_ref().is_some_and(|settings| settings.required));
        *self.settings.lock() = settings;
    }

    /// Opens the same places anew.
    pub(super) fn reopen(&self) -> Result<(), AuditError> {
        let Some(settings) = self.settings.lock().clone() else { return Ok(()) };
        let places = audit::open(settings.file.as_deref(), settings.journald)?;
        self.put_into_force(Some(settings), places);
        Ok(())
    }

    /// The settings were read again, and everything is opened anew, also what did not change. Where they cannot be
    /// followed, nothing changes.
    pub(super) fn change(&self, settings: Option<AuditSettings>, mount_point: &Path) -> Result<(), Failure> {
        let places = open(settings.as_ref(), mount_point)?;
        self.put_into_force(settings, places);
        Ok(())
    }

    pub(super) fn started(&self, vfs: &Vfs, plan: &MountPlan) {
        let kept = if plan.ephemeral { ", nothing kept on disk" } else { "" };
        let reason = format!("tfcfs {} on {}{kept}", env!("CARGO_PKG_VERSION"), plan.mount_point.display());
        vfs.audit_daemon("daemon_started", Some(reason));
    }

    /// The last line. Waits until all of them are written, unless that takes too long.
    pub(super) fn stopped(&self, vfs: &Vfs, failure: Option<&Failure>) {
        vfs.audit_daemon("daemon_stopped", failure.map(|failure| failure.message.clone()));
        if !self.trail.flush(LAST_LINES) {
            tracing::warn!("the last lines of the audit trail could not be written in time");
        }
    }
}
