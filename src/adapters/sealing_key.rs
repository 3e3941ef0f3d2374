//! The key that seals the ledger: where it comes from, and that nobody else can read it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{redb_store, whole_file};

/// Bytes of a key.
pub const KEY_LEN: usize = 32;
/// Name of the credential that systemd may hand us (`LoadCredentialEncrypted=tfcfs-sealing-key:…`).
pub const CREDENTIAL: &str = "tfcfs-sealing-key";
/// Name of the generated key in a state directory.
pub const FILE_NAME: &str = "sealing.key";

/// Where to look for the key, in this order; the first place that has one decides.
#[derive(Debug, Clone, Default)]
pub struct SealingKeySettings {
    /// A key file named in the settings. If it is named, it must be good.
    pub key_file: Option<PathBuf>,
    /// `$CREDENTIALS_DIRECTORY`, of which the file [`CREDENTIAL`] is used if there is one.
    pub credentials_directory: Option<PathBuf>,
    /// State directory, whose [`FILE_NAME`] is used, and generated at first start.
    pub state_directory: PathBuf,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SealingKeyError {
    /// A file cannot be read.
    #[error("the sealing key {} cannot be read: {error}; correct the path, its owner or its mode", .path.display())]
    Unreadable {
        /// The key file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Others may read it.
    #[error("the sealing key {path} can be read by others (mode {mode:04o}); run: chmod 600 {path}", path = .path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a key.
    #[error(
        "the sealing key {} must be {KEY_LEN} raw bytes or {} hex characters; make one with: openssl rand -hex {KEY_LEN}",
        .path.display(), 2 * KEY_LEN
    )]
    Malformed {
        /// The key file.
        path: PathBuf,
    },
    /// There is a ledger, but the key that sealed it is gone.
    #[error(
        "the ledger {} is there but its sealing key {} is not; restore the key, or move the ledger away and start with \
         an empty one (the tokens it recorded then live until their own end)", .ledger.display(), .path.display()
    )]
    Lost {
        /// Where the key should be.
        path: PathBuf,
        /// The ledger it sealed.
        ledger: PathBuf,
    },
    /// A new key cannot be made.
    #[error("a new sealing key cannot be written to {}: {error}; make the state directory writable", .path.display())]
    Generate {
        /// Where it should go.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// 32 secret bytes. Wiped on drop, redacted in `Debug`.
#[derive(Clone)]
pub struct SealingKey(Zeroizing<[u8; KEY_LEN]>);

impl SealingKey {
    /// Reads the key from the first of the settings' places that has one, or makes one in the state directory, which
    /// must exist.
    ///
    /// # Errors
    /// [`SealingKeyError`]; a place that has a bad key is never passed over.
    pub fn load(settings: &SealingKeySettings) -> Result<Self, SealingKeyError> {
        if let Some(path) = &settings.key_file {
            return Self::read(path, Privacy::Checked);
        }
        if let Some(directory) = &settings.credentials_directory {
            let path = directory.join(CREDENTIAL);
            match Self::read(&path, Privacy::Systemd) {
                Err(SealingKeyError::Unreadable { error, .. }) if error.kind() == io::ErrorKind::NotFound => {}
                read => return read,
            }
        }
        let path = settings.state_directory.join(FILE_NAME);
        match Self::read(&path, Privacy::Checked) {
            Err(SealingKeyError::Unreadable { error, .. }) if error.kind() == io::ErrorKind::NotFound => {}
            read => return read,
        }
        let ledger = settings.state_directory.join(redb_store::FILE_NAME);
        if ledger.exists() {
            return Err(SealingKeyError::Lost { path, ledger });
        }
        Self::generate(&path)
    }

    /// A key from bytes somebody else keeps.
    pub fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes. For the cipher only.
    pub(super) fn expose(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    fn generate(path: &Path) -> Result<Self, SealingKeyError> {
        let failed = |error| SealingKeyError::Generate { path: path.to_owned(), error };
        let mut key = Zeroizing::new([0; KEY_LEN]);
        getrandom::fill(key.as_mut()).map_err(|e| failed(io::Error::other(e.to_string())))?;
        match whole_file::create(path, key.as_ref()) {
            Ok(()) => Ok(Self(key)),
            // Another start was faster; whichever of us gets the ledger must use that key.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Self::read(path, Privacy::Checked),
            Err(e) => Err(failed(e)),
        }
    }

    fn read(path: &Path, privacy: Privacy) -> Result<Self, SealingKeyError> {
        let unreadable = |error| SealingKeyError::Unreadable { path: path.to_owned(), error };
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if privacy == Privacy::Checked && metadata.mode() & 0o077 != 0 {
            return Err(SealingKeyError::Exposed { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
        }
        let malformed = || SealingKeyError::Malformed { path: path.to_owned() };
        // Room for the longest form with a CR LF and one byte more, so that the buffer never grows (a grown one leaves
        // copies behind).
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * KEY_LEN + 3));
        file.take(2 * KEY_LEN as u64 + 3).read_to_end(&mut bytes).map_err(unreadable)?;
        parse(&bytes).map(Self).ok_or_else(malformed)
    }
}

#[derive(PartialEq, Clone, Copy)]
enum Privacy {
    Checked,
    /// systemd lets only the unit's user in, by an ACL whose mask shows up as group bits.
    Systemd,
}

fn parse(bytes: &[u8]) -> Option<Zeroizing<[u8; KEY_LEN]>> {
    // Before the newline is cut off: a raw key may end in one.
    if let Ok(raw) = <[u8; KEY_LEN]>::try_from(bytes) {
        return Some(Zeroizing::new(raw));
    }
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Ok(raw) = <[u8; KEY_LEN]>::try_from(line) {
        return Some(Zeroizing::new(raw));
    }
    let digits = <&[u8; 2 * KEY_LEN]>::try_from(line).ok()?;
    let mut key = Zeroizing::new([0; KEY_LEN]);
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(key)
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

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
            SealingKey::load(&self.settings).map(|key| *key.expose())
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
}
