//! Files that hold a token: readable by their owner alone.

use std::env;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::Credentials;
use crate::domain::printable::printable;
use crate::domain::token::{MAX_TOKEN, Token};

/// The variable that names the directory of a service's credentials.
const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Room for a token and blanks around it. A buffer that never grows leaves no copies behind.
const LARGEST: usize = MAX_TOKEN + 1024;

/// As much of a path as a message shows, in characters.
const LONGEST_PATH: usize = 300;

/// What a `token_file` begins with that names a credential of systemd.
const CREDENTIAL: &str = "credential:";

/// Stands for a token that nobody may need.
const UNREAD: &str = "unread";

/// Reads the token that `named` names, a path from `base` on or a credential. The message continues a sentence that begins
/// with `token_file`, and never repeats the content.
pub(super) fn read(named: &str, base: &Path, credentials: Credentials) -> Result<Token, String> {
    let Some(name) = named.strip_prefix(CREDENTIAL) else { return read_file(&base.join(named)) };
    let shown = printable(name, LONGEST_PATH);
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(format!(
            "names no credential: {shown:?}; write credential:NAME, as in LoadCredential=NAME of the unit"
        ));
    }
    if credentials == Credentials::Unread && !looks_like_a_token(name) {
        return Token::parse(UNREAD).map_err(|error| error.to_string());
    }
    let Some(directory) = env::var_os(DIRECTORY) else {
        return Err(format!(
            "is the credential {shown}, which only a service of systemd gets ({DIRECTORY} is not set); name a file, or start the unit"
        ));
    };
    let path = Path::new(&directory).join(name);
    if !looks_like_a_token(name) && !path.exists() {
        return Err(format!(
            "is the credential {shown}, which systemd did not hand over; put the token into /etc/credstore/{shown}, mode 0600, and have \
             LoadCredential={shown} in the unit"
        ));
    }
    read_file(&path)
}

/// Whether a token is one that was not read because only a service of systemd gets it.
pub(super) fn is_unread(token: &Token) -> bool {
    token.expose() == UNREAD
}

/// A token in place of the name of its file is a slip that no message may repeat.
fn looks_like_a_token(name: &str) -> bool {
    name.contains(".atlasv1.")
}

fn read_file(path: &Path) -> Result<Token, String> {
    if looks_like_a_token(&path.to_string_lossy()) {
        return Err("looks like a token: put it into a file of its own, mode 0600, and name that here".into());
    }
    let shown = printable(&path.to_string_lossy(), LONGEST_PATH);
    let unreadable = |error| format!("{shown} cannot be read: {error}; correct the path or its mode");
    // Without waiting: a pipe that nobody writes would hold a start for ever.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(format!("{shown} is not a file; name a file that holds the token, mode 0600"));
    }
    let mode = metadata.mode() & 0o777;
    // systemd lets only the unit's user in, by an ACL whose mask shows up as group bits.
    let by_systemd = env::var_os(DIRECTORY).is_some_and(|directory| path.starts_with(directory));
    let others = if by_systemd { 0o007 } else { 0o077 };
    if mode & others != 0 {
        return Err(format!("{shown} can be read by others (mode {mode:04o}); run: chmod 600 {shown}"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST + 1));
    file.take(LARGEST as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("{shown} is not text; it must hold a token only"))?;
    Token::parse(text).map_err(|error| format!("{shown}: {error}"))
}
