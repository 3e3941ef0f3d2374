//! The settings file and what it names.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::{Finding, Level};
use crate::adapters::tfc::{TfcClient, TfcSettings};
use crate::config::{DEFAULT_FILE, Settings, SettingsError};

const CHECK: &str = "settings";

/// What is known.
#[derive(Debug)]
pub struct Facts {
    /// The file; `None` = there is none.
    pub file: Option<PathBuf>,
    /// What it says.
    pub settings: Result<Settings, SettingsError>,
    /// Its permission bits and owner, if it can be looked at.
    pub access: Option<(u32, u32)>,
    /// Who asks.
    pub uid: u32,
    /// What its CA file and proxy are worth; `None` = fine.
    pub client: Option<String>,
    /// The directory of the audit file, if that is not there.
    pub no_audit_directory: Option<PathBuf>,
}

impl Facts {
    /// Looks.
    pub fn gather(file: Option<PathBuf>, settings: Result<Settings, SettingsError>) -> Self {
        // One that could not be read may hang.
        let access = file.as_ref().filter(|_| settings.is_ok()).and_then(|file| fs::metadata(file).ok());
        let client = settings.as_ref().ok().and_then(|settings| TfcClient::new(client_settings(settings)).err());
        let audit = settings.as_ref().ok().and_then(|settings| settings.audit.as_ref()?.file.clone());
        let directory = audit.and_then(|file| file.parent().map(PathBuf::from));
        Self {
            access: access.map(|found| (found.mode() & 0o7777, found.uid())),
            uid: rustix::process::geteuid().as_raw(),
            client: client.map(|error| error.to_string()),
            no_audit_directory: directory.filter(|directory| !directory.is_dir()),
            file,
            settings,
        }
    }
}

/// How upstream is called with these settings.
pub(super) fn client_settings(settings: &Settings) -> TfcSettings {
    TfcSettings {
        rate: settings.rate,
        ca_file: settings.ca_file.clone(),
        proxy: settings.proxy.clone().map(|proxy| proxy.0),
        no_proxy: settings.no_proxy.clone(),
        ..TfcSettings::default()
    }
}

/// What it means.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let Some(file) = &facts.file else {
        return vec![Finding::ok(
            CHECK,
            format!("there is no settings file ({DEFAULT_FILE}): the defaults are in force"),
        )];
    };
    let shown = file.display();
    let mut findings = Vec::new();
    match &facts.settings {
        Err(error) => findings.push(Finding::of_sentence(
            CHECK,
            Level::Problem,
            &error.to_string(),
            "correct it; tfcfs check --kind settings FILE says whether it is right",
        )),
        Ok(settings) => {
            let (anchors, roles) = (settings.anchors.len(), settings.roles.len());
            findings.push(Finding::ok(
                CHECK,
                format!(
                    "{shown} is right: {anchors} with its token file, {roles}",
                    anchors = count(anchors, "anchor"),
                    roles = count(roles, "role")
                ),
            ));
        }
    }
    if let Some(error) = &facts.client {
        let otherwise = "correct the setting";
        findings.push(Finding::of_sentence(CHECK, Level::Problem, error, otherwise));
    }
    if let Some(directory) = &facts.no_audit_directory {
        findings.push(Finding::problem(
            CHECK,
            format!("the directory of the audit file, {}, is not there", directory.display()),
            format!("make it, for the user who runs tfcfs: install -d -m 0700 {}", directory.display()),
        ));
    }
    match facts.access {
        Some((mode, _)) if mode & 0o022 != 0 => findings.push(Finding::warning(
            CHECK,
            format!(
                "others can write to {shown} (mode {mode:04o}): they could send an anchor's token to another address"
            ),
            format!("chmod go-w {shown}"),
        )),
        Some((_, owner)) if owner != 0 && owner != facts.uid => findings.push(Finding::warning(
            CHECK,
            format!("{shown} belongs to uid {owner}, who could send an anchor's token to another address"),
            format!("chown root {shown}"),
        )),
        _ => {}
    }
    findings
}

/// `1 anchor`, `2 anchors`.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fine() -> Facts {
        Facts {
            file: Some("/x/tfcfs.toml".into()),
            settings: Ok(Settings::default()),
            access: Some((0o644, 0)),
            uid: 1000,
            client: None,
            no_audit_directory: None,
        }
    }

    #[track_caller]
    fn worst(facts: &Facts, level: Level, what: &str, way_out: &str) {
        let worst = judge(facts).into_iter().max_by_key(|finding| finding.level).unwrap();
        assert_eq!(worst.level, level, "{worst:?}");
        assert!(worst.what.contains(what), "{worst:?}");
        assert!(worst.way_out.unwrap_or_default().contains(way_out), "{way_out}");
    }

    #[test]
    fn a_file_that_is_right_absent_or_wrong() {
        worst(&fine(), Level::Ok, "is right: 0 anchors", "");
        worst(&Facts { file: None, ..fine() }, Level::Ok, "no settings file", "");
        let message = "line 1: unknown key \"x\"; did you mean \"y\"?".to_owned();
        let settings = Err(SettingsError { path: "/x/tfcfs.toml".into(), message });
        worst(&Facts { settings, ..fine() }, Level::Problem, "/x/tfcfs.toml: line 1: unknown key", "did you mean");
        let client = Some("ca_file x cannot be read (y); check path and permissions".to_owned());
        worst(&Facts { client, ..fine() }, Level::Problem, "ca_file x", "check path");
        let no_audit_directory = Some("/var/log/none".into());
        worst(&Facts { no_audit_directory, ..fine() }, Level::Problem, "/var/log/none", "install -d");
    }

    #[test]
    fn a_file_that_others_can_change() {
        worst(&Facts { access: Some((0o664, 0)), ..fine() }, Level::Warning, "mode 0664", "chmod go-w");
        worst(&Facts { access: Some((0o600, 77)), ..fine() }, Level::Warning, "uid 77", "chown root");
        worst(&Facts { access: Some((0o600, 1000)), ..fine() }, Level::Ok, "is right", "");
    }
}
