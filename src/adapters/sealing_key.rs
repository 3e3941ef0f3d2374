//! The key that seals the ledger: where it comes from, and that nobody else can read or replace it.

mod error;
mod source;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

pub use self::error::SealingKeyError;
pub(super) use self::source::unless_missing;
pub use self::source::{FoundKey, KeyPlace, SealingKeySettings};
use super::private_path::{READ_BY_OTHERS, foreign_owner, too_open};
use super::whole_file;

/// Bytes of a key.
pub const KEY_LEN: usize = 32;
/// Name of the credential that systemd may hand us (`LoadCredentialEncrypted=tfcfs-sealing-key:…`).
pub const CREDENTIAL: &str = "tfcfs-sealing-key";
/// Name of the generated key in a state directory.
pub const FILE_NAME: &str = "sealing.key";

/// Whose files may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Root's, and those of whoever runs this.
    Trusted,
    /// Anybody's: root looks into the state of a service's user, and writes nothing.
    Any,
}

/// 32 secret bytes. Wiped on drop, redacted in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKey(Zeroizing<[u8; KEY_LEN]>);

impl SealingKey {
    /// A key from bytes somebody else keeps.
    pub fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new random one.
    ///
    /// # Errors
    /// When the kernel gives no random numbers.
    pub fn random() -> io::Result<Self> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        getrandom::fill(key.as_mut()).map_err(|e| io::Error::other(e.to_string()))?;
        Ok(Self(key))
    }

    /// Reads a key file that only its owner may read.
    ///
    /// # Errors
    /// [`SealingKeyError`]; no message shows a byte of it.
    pub fn read(path: &Path, owners: Owners) -> Result<Self, SealingKeyError> {
        Self::read_guarded(path, READ_BY_OTHERS, owners)
    }

    /// systemd lets only the unit's user in, by an ACL whose mask shows up as group bits.
    fn read_credential(path: &Path) -> Result<Self, SealingKeyError> {
        Self::read_guarded(path, 0o007, Owners::Any)
    }

    /// Writes the key to a new file, durably.
    pub(super) fn create(&self, path: &Path) -> io::Result<()> {
        whole_file::create(path, self.expose())
    }

    /// The bytes. For the cipher and the key file only.
    pub(super) fn expose(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    fn generate(path: &Path) -> Result<Self, SealingKeyError> {
        let failed = |error| SealingKeyError::Generate { path: path.to_owned(), error };
        let key = Self::random().map_err(failed)?;
        match key.create(path) {
            Ok(()) => Ok(key),
            // Another start was faster; whichever of us gets the ledger must use that key.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Self::read(path, Owners::Trusted),
            Err(e) => Err(failed(e)),
        }
    }

    fn read_guarded(path: &Path, forbidden: u32, owners: Owners) -> Result<Self, SealingKeyError> {
        let unreadable = |error| SealingKeyError::Unreadable { path: path.to_owned(), error };
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if let Some(mode) = too_open(&metadata, forbidden) {
            return Err(SealingKeyError::Exposed { path: path.to_owned(), mode });
        }
        if owners == Owners::Trusted
            && let Some(uid) = foreign_owner(&metadata)
        {
            return Err(SealingKeyError::Foreign { path: path.to_owned(), uid });
        }
        let malformed = || SealingKeyError::Malformed { path: path.to_owned() };
        // Room for the longest form with a CR LF and one byte more, so that the buffer never grows (a grown one leaves
        // copies behind).
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * KEY_LEN + 3));
        file.take(2 * KEY_LEN as u64 + 3).read_to_end(&mut bytes).map_err(unreadable)?;
        parse(&bytes).map(Self).ok_or_else(malformed)
    }
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
mod tests;
