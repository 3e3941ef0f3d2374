//! The settings file.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use tempfile::TempDir;
use tfcfs::config::Settings;

use crate::properties::{SECRET, planted, secretless, sentence};
use crate::role;

/// A directory with a token file beside the settings.
pub struct Files {
    directory: TempDir,
}

impl Files {
    pub fn new() -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap() };
        let token = files.directory.path().join("token");
        let mut token = OpenOptions::new().write(true).create_new(true).mode(0o600).open(token).unwrap();
        token.write_all(SECRET.as_bytes()).unwrap();
        files
    }

    fn settings(&self) -> PathBuf {
        self.directory.path().join("tfcfs.toml")
    }

    pub fn target(self) -> impl FnMut(&[u8]) {
        move |input| {
            let text = planted(input);
            fs::write(self.settings(), &text).unwrap();
            match Settings::load(&self.settings()) {
                Err(error) => {
                    sentence(&error.message);
                    secretless(&format!("{error} {error:?}"));
                }
                Ok(settings) => {
                    // Other values than tokens are shown as they are.
                    if text == input {
                        secretless(&format!("{settings:?}"));
                    }
                    for (_, spec) in settings.roles {
                        let found = spec.lookup().map(|_| "team-found".to_owned());
                        role::reads_back(&spec.resolve(found));
                    }
                }
            }
        }
    }
}
