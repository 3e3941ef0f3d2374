//! Files that are there whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Creates `path` with mode 0600 and these bytes, durably. A crash half-way leaves at most a file named
/// `.NAME.RANDOM.new` beside it, never a part of `path`.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if `path` exists; the existing file stays as it is.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = Draft::write(path, bytes)?;
    fs::hard_link(&draft.draft, path)?;
    sync_directory(path)
}

/// Gives a file another name in the same directory, in place of what has it, durably.
///
/// # Errors
/// The system's; then both files are as they were, or the change is there but may not survive a power failure.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_directory(to)
}

/// Removes what crashes left of drafts of `path`. Only for whoever knows that nobody else is writing one.
///
/// # Errors
/// The system's.
pub(crate) fn remove_drafts(path: &Path) -> io::Result<()> {
    let prefix = format!(".{}.", file_name(path)?);
    for entry in fs::read_dir(directory(path))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let middle = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".new"));
        if middle.is_some_and(|random| random.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A durable file (mode 0600) that has not got its name yet. Its own name goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Draft {
    path: PathBuf,
    draft: PathBuf,
    file: File,
}

impl Draft {
    /// Writes the bytes beside `path`.
    ///
    /// # Errors
    /// The system's; nothing is left then.
    pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        let name = file_name(path)?;
        // Not the process id: daemons in two containers that share a directory may have the same.
        let random = getrandom::u64().map_err(io::Error::other)?;
        let draft = directory(path).join(format!(".{name}.{random:016x}.new"));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&draft)?;
        // Removed when dropped, so also if writing fails.
        let mut made = Self { path: path.to_owned(), draft, file };
        made.file.write_all(bytes)?;
        made.file.sync_all()?;
        Ok(made)
    }

    /// Locks the file against every other opener that locks, as long as this lives.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn lock(&mut self) -> io::Result<()> {
        self.file.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        })
    }

    /// Gives it its name, in place of what has it, durably.
    ///
    /// # Errors
    /// As [`rename`].
    pub(crate) fn replace(&mut self) -> io::Result<()> {
        rename(&self.draft, &self.path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.draft);
    }
}

/// `path` with `suffix` behind its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    name.into()
}

fn file_name(path: &Path) -> io::Result<String> {
    Ok(path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned())
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn entries(path: &Path) -> usize {
        fs::read_dir(path).unwrap().count()
    }

    #[test]
    fn creates_private_files_and_never_replaces_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        create(&path, b"one").unwrap();
        assert_eq!(create(&path, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(entries(directory.path()), 1, "no draft is left");
    }

    #[test]
    fn a_draft_replaces_in_one_step_or_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        create(&path, b"one").unwrap();
        drop(Draft::write(&path, b"two").unwrap());
        assert_eq!((fs::read(&path).unwrap(), entries(directory.path())), (b"one".to_vec(), 1));
        Draft::write(&path, b"two").unwrap().replace().unwrap();
        assert_eq!((fs::read(&path).unwrap(), entries(directory.path())), (b"two".to_vec(), 1));
    }

    #[test]
    fn leftovers_are_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["key", ".key.17.new", ".key.x.new", ".other.17.new", "key.new"] {
            fs::write(directory.path().join(name), b"").unwrap();
        }
        remove_drafts(&directory.path().join("key")).unwrap();
        assert_eq!(entries(directory.path()), 4);
        assert!(!directory.path().join(".key.17.new").exists());
    }
}
