//! Files that hold a token: readable by their owner alone.

use std::env;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::domain::printable::printable;
use crate::domain::token::{MAX_TOKEN, Token};

/// Room for a token and blanks around it. A buffer that never grows leaves no copies behind.
const LARGEST: usize = MAX_TOKEN + 1024;

/// As much of a path as a message shows, in characters.
const LONGEST_PATH: usize = 300;

/// Reads a token. The message continues a sentence that begins with `token_file`, and never repeats the content.
pub(super) fn read(path: &Path) -> Result<Token, String> {
    // A token in place of the name of its file is a slip that no message may repeat.
    if path.to_string_lossy().contains(".atlasv1.") {
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
    let by_systemd = env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|directory| path.starts_with(directory));
    let others = if by_systemd { 0o007 } else { 0o077 };
    if mode & others != 0 {
        return Err(format!("{shown} can be read by others (mode {mode:04o}); run: chmod 600 {shown}"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST + 1));
    file.take(LARGEST as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("{shown} is not text; it must hold a token only"))?;
    Token::parse(text).map_err(|error| format!("{shown}: {error}"))
}
