//! The settings file: what is accepted, and the sentence for everything that is not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tfcfs::config::Settings;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.file("anchor", "  planted.atlasv1.token\n", 0o600);
        place
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn load(&self, text: &str) -> Result<Settings, String> {
        let path = self.file("tfcfs.toml", text, 0o644);
        Settings::load(&path).map_err(|error| {
            let error = error.to_string();
            assert!(error.starts_with(path.to_str().unwrap()), "names the file: {error}");
            assert!(!error.contains("planted"), "a secret");
            error
        })
    }

    fn refused(&self, text: &str, says: &str) {
        let error = self.load(text).unwrap_err();
        assert!(error.contains(says), "{text:?}: {error}");
    }
}

#[test]
fn a_whole_file() {
    let place = Place::new();
    let settings = place
        .load(
            r#"
            state = "state"
            default_ttl = "30m"
            max_ttl = "12h"
            open_deadline = 5
            rate = 25
            ca_file = "/etc/ssl/corp.pem"
            mode = "0440"
            uid = 7
            allow_other = true
            [anchors.default]
            address = "https://tfe.example"
            token_file = "anchor"
            [roles.deploy]
            organization = "acme"
            team = "deploy"
            credential_type = "team"
            [roles.org]
            organization = "acme"
            "#,
        )
        .unwrap();
    assert_eq!(settings.state.unwrap(), place.0.path().join("state"), "relative to the file");
    assert_eq!(settings.ca_file.unwrap(), PathBuf::from("/etc/ssl/corp.pem"));
    assert_eq!((settings.default_ttl, settings.max_ttl), (Duration::from_secs(1800), Duration::from_secs(43_200)));
    assert_eq!((settings.open_deadline, settings.rate, settings.mode), (Duration::from_secs(5), 25, 0o440));
    assert_eq!((settings.uid, settings.allow_other, settings.threads), (Some(7), true, 2));
    assert_eq!(settings.anchors[0].1.token.expose(), "planted.atlasv1.token", "trimmed");
    let lookups: Vec<bool> = settings.roles.iter().map(|(_, spec)| spec.lookup().is_some()).collect();
    assert_eq!(lookups, [true, false]);
}

#[test]
fn an_empty_file_is_the_defaults() {
    let settings = Place::new().load("").unwrap();
    assert_eq!((settings.rate, settings.mode, settings.allow_other), (20, 0o400, false));
}

#[test]
fn refusals() {
    let place = Place::new();
    place.refused("stat = 'x'", "did you mean \"state\"?");
    place.refused("rate = 0", "rate must be between 1 and");
    place.refused("rate = 'fast'", "rate must be a whole number, not text");
    place.refused("open_deadline = -1", "negative");
    place.refused("default_ttl = '2h'\nmax_ttl = '1h'", "default_ttl is greater than max_ttl");
    place.refused("mode = '0640'", "read bits only");
    place.refused("uid = 'no-such-user-here'", "names an account that this machine does not know");
    place.refused("roles = 1", "[roles.NAME]");
    place.refused("[roles.Deploy]\nuser_id = 'user-1'", "try \"deploy\"");
    place.refused("[roles.app]\nuser_id = 'user-1'\ntll = 5", "did you mean \"ttl\"?");
    place.refused("[roles.app]\nttl = 5", "a role needs an owner");
    place.refused("[anchors.default]\ntoken = 'x'", "token_file");
    place.refused("[anchors.default]\naddress = 'https://x'", "token_file in [anchors.default] is missing");
    place.refused("[anchors.default]\ntoken_file = 'none'", "cannot be read");
    place.refused("[anchors.default]\naddress = 'http://tfe.example'\ntoken_file = 'anchor'", "insecure = true");
    place.file("open", "planted.atlasv1.token", 0o644);
    place.refused("[anchors.default]\ntoken_file = 'open'", "can be read by others (mode 0644); run: chmod 600");
    place.file("empty", "\n", 0o600);
    place.refused("[anchors.default]\ntoken_file = 'empty'", "the token is empty");
    place.file("blank", "planted planted", 0o600);
    place.refused("[anchors.default]\ntoken_file = 'blank'", "contains a blank");
    place.refused("state = \"unfinished", "line 1");
}

#[test]
fn a_file_that_is_not_there() {
    let error = Settings::load(&PathBuf::from("/nonexistent/tfcfs.toml")).unwrap_err().to_string();
    assert!(error.contains("cannot be read") && error.contains("correct the path"), "{error}");
}
