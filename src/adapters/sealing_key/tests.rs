//! Forms, places, and who else might read a key.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;

use super::*;
use crate::adapters::redb_store;

struct Place {
    directory: tempfile::TempDir,
    settings: SealingKeySettings,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let settings = SealingKeySettings { state_directory: directory.path().into(), ..Default::default() };
    Place { directory, settings }
}

impl Place {
    fn file(&self, name: &str, bytes: &[u8], mode: u32) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn load(&self) -> Result<[u8; KEY_LEN], SealingKeyError> {
        self.settings.load().map(|found| *found.key.expose())
    }
}

#[test]
fn first_start_makes_a_private_key_that_stays() {
    let place = place();
    let key = place.load().unwrap();
    assert_ne!(key, [0; KEY_LEN]);
    assert_eq!(place.load().unwrap(), key);
    let made = fs::metadata(place.directory.path().join(FILE_NAME)).unwrap();
    assert_eq!((made.mode() & 0o7777, made.len()), (0o600, KEY_LEN as u64));
}

#[test]
fn raw_and_hex_with_and_without_a_newline() {
    let raw: Vec<u8> = (0xe0..=0xff).collect();
    let hex: String = raw.iter().map(|byte| format!("{byte:02X}")).collect();
    for form in [raw.clone(), [&raw[..], b"\n"].concat(), hex.clone().into(), format!("{hex}\r\n").into()] {
        let mut place = place();
        place.settings.key_file = Some(place.file("key", &form, 0o400));
        assert_eq!(place.load().unwrap().to_vec(), raw);
    }
    let mut ends_in_newline = [7; KEY_LEN];
    ends_in_newline[KEY_LEN - 1] = b'\n';
    assert_eq!(*parse(&ends_in_newline).unwrap(), ends_in_newline);
}

#[test]
fn a_bad_key_is_refused_and_never_shown() {
    for bad in [&b""[..], b"hunter2", &[b'g'; 64], &[b'a'; 63], &[b'a'; 31], &[b'a'; 67], &[b'a'; 1000]] {
        let mut place = place();
        place.settings.key_file = Some(place.file("key", bad, 0o600));
        let error = place.load().unwrap_err();
        assert!(matches!(error, SealingKeyError::Malformed { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
    assert_eq!(format!("{:?}", SealingKey::from_bytes([65; KEY_LEN])), "SealingKey(…)");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    for mode in [0o640, 0o604, 0o660] {
        let mut place = place();
        place.settings.key_file = Some(place.file("key", &[1; KEY_LEN], mode));
        let error = place.load().unwrap_err().to_string();
        assert!(error.contains("chmod 600") && error.contains(&format!("{mode:04o}")), "{error}");
    }
}

#[test]
fn file_before_credential_before_state_directory() {
    let mut place = place();
    place.file(FILE_NAME, &[3; KEY_LEN], 0o600);
    place.settings.credentials_directory = Some(place.directory.path().into());
    assert_eq!(place.load().unwrap(), [3; KEY_LEN], "no such credential: next place");
    place.file(CREDENTIAL, &[2; KEY_LEN], 0o440);
    assert_eq!(place.load().unwrap(), [2; KEY_LEN]);
    place.settings.key_file = Some(place.file("key", &[1; KEY_LEN], 0o600));
    assert_eq!(place.load().unwrap(), [1; KEY_LEN]);
    place.settings.key_file = Some("/nowhere/key".into());
    assert!(matches!(place.load().unwrap_err(), SealingKeyError::Unreadable { .. }), "a named file must be there");
}

#[test]
fn a_lost_key_is_not_replaced() {
    let place = place();
    place.file(redb_store::FILE_NAME, b"", 0o600);
    assert!(matches!(place.load().unwrap_err(), SealingKeyError::Lost { .. }));
}

#[test]
fn a_credential_is_the_units_alone() {
    let mut place = place();
    place.settings.credentials_directory = Some(place.directory.path().into());
    place.file(CREDENTIAL, &[2; KEY_LEN], 0o444);
    assert!(matches!(place.load().unwrap_err(), SealingKeyError::Exposed { .. }));
}

#[test]
fn a_key_that_others_can_replace_is_refused() {
    let mut place = place();
    let path = place.file("key", &[1; KEY_LEN], 0o600);
    if !rustix::process::geteuid().is_root() {
        return;
    }
    chown(&path, Some(65534), None).unwrap();
    place.settings.key_file = Some(path);
    let error = place.load().unwrap_err().to_string();
    assert!(error.contains("belongs to uid 65534") && error.contains("chown"), "{error}");
    assert!(place.settings.find(Owners::Any).is_ok(), "root may look at it");
}

#[test]
fn looking_makes_no_key() {
    let place = place();
    assert!(matches!(place.settings.find(Owners::Trusted).unwrap_err(), SealingKeyError::Missing { .. }));
    assert_eq!(fs::read_dir(place.directory.path()).unwrap().count(), 0);
}
