//! Roles and anchors of the settings file: at start, and again at SIGHUP.

use std::time::Duration;

use super::{MountPlan, Parts};
use crate::config::Settings;
use crate::domain::anchor::{Access, Anchor};
use crate::domain::book::Origin;
use crate::domain::document::RoleSpec;
use crate::domain::error::Error;
use crate::domain::name::{AnchorName, RoleName};
use crate::domain::role::Role;
use crate::exit::{ExitCode, Failure};

/// What could not be asked upstream at start is asked again this much later.
const ASK_AGAIN: Duration = Duration::from_secs(15);

impl Parts {
    /// Puts the file's anchors and roles into force. Upstream need not be there: what must be asked of it (whose token
    /// an anchor is, the id of a team by name) is asked in the background until it is answered.
    pub(super) async fn apply_file(&self, settings: &Settings) -> Result<(), Failure> {
        // What was asked for the former settings must not answer into the new ones.
        if let Some(former) = self.asking.lock().take() {
            former.abort();
        }
        let anchors: Vec<Anchor> = settings.anchors.iter().map(|(name, access)| unverified(name, access)).collect();
        let ready: Vec<(RoleName, Option<Role>)> =
            settings.roles.iter().map(|(name, spec)| (name.clone(), self.role_at_hand(settings, spec))).collect();
        let applied = self.issuer.apply_file(anchors, ready).await;
        applied.map_err(|error| Failure::new(ExitCode::State, error.to_string()))?;
        let parts = self.clone();
        let settings = settings.clone();
        self.vfs.sizes_changed();
        *self.asking.lock() = Some(tokio::spawn(async move { parts.ask_upstream(settings).await }));
        Ok(())
    }

    /// A role that can be in force before upstream was asked. The id that a team had is good until upstream says otherwise.
    fn role_at_hand(&self, settings: &Settings, spec: &RoleSpec) -> Option<Role> {
        let Some(lookup) = spec.lookup() else { return Some(spec.clone().resolve(None)) };
        let from_file = settings.anchors.iter().find(|(name, _)| name == spec.anchor());
        let address = match from_file {
            Some((_, access)) => access.address.clone(),
            None => self.issuer.book().anchor(spec.anchor())?.anchor.access.address.clone(),
        };
        let id = self.issuer.known_team_id(&address, &lookup.organization, &lookup.team)?;
        Some(spec.clone().resolve(Some(id)))
    }

    async fn ask_upstream(self, settings: Settings) {
        let mut anchors = settings.anchors;
        let mut roles = settings.roles;
        roles.retain(|(_, spec)| spec.lookup().is_some());
        loop {
            let mut later = Vec::new();
            for (name, access) in anchors {
                match self.issuer.verify_anchor(name.clone(), access.clone()).await {
                    Ok(anchor) => self.issuer.book().put_anchor(anchor, Origin::File),
                    Err(error) => {
                        self.vfs.note_error(&format!("anchors.{name}"), &error);
                        later.push((name, access));
                    }
                }
            }
            anchors = later;
            let mut later = Vec::new();
            for (name, spec) in roles {
                let Some(lookup) = spec.lookup().cloned() else { continue };
                match self.issuer.team_id(spec.anchor(), &lookup.organization, &lookup.team).await {
                    Ok(id) => {
                        let role = spec.clone().resolve(Some(id));
                        if let Err(error) = self.issuer.add_file_role(name.clone(), role).await {
                            self.vfs.note_error(&format!("roles.{name}"), &error);
                        }
                    }
                    Err(error) => {
                        self.vfs.note_error(&format!("roles.{name}"), &error);
                        later.push((name, spec));
                    }
                }
            }
            roles = later;
            if anchors.is_empty() && roles.is_empty() {
                return;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// SIGHUP: reads the file again. A bad file changes nothing.
    pub(super) async fn reload(&self, plan: &MountPlan) {
        let Some(path) = &plan.settings_file else {
            tracing::info!("there is no settings file to read again");
            return;
        };
        let settings = match Settings::load(path) {
            Ok(settings) => settings,
            Err(error) => {
                self.refused(&error.to_string());
                // `logrotate` has moved the file away, whatever became of the settings.
                if let Err(error) = self.audit.reopen() {
                    self.refused(&error.to_string());
                }
                return;
            }
        };
        if let Err(failure) = self.audit.change(settings.audit.clone(), &plan.mount_point) {
            self.refused(&format!("{}: {}", path.display(), failure.message));
            return;
        }
        self.issuer.book().set_limits(settings.limits());
        match self.apply_file(&settings).await {
            Ok(()) => {
                tracing::info!("settings read again; what belongs to the mount itself changes at the next start");
                self.vfs.audit_daemon("settings_read", Some(path.display().to_string()));
            }
            Err(failure) => tracing::error!(%failure, "the settings could not be put into force"),
        }
    }

    fn refused(&self, why: &str) {
        tracing::error!(error = why, "the settings file is refused; the old settings stay in force");
        let sentence = format!("settings file refused, the old settings stay in force: {why}");
        self.vfs.audit_daemon("settings_refused", Some(why.to_owned()));
        self.vfs.note_error("settings", &Error::NotSupported(sentence));
    }
}

fn unverified(name: &AnchorName, access: &Access) -> Anchor {
    Anchor::new(name.clone(), access.clone(), None)
}
