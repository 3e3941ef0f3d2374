//! Finding the mount and reading its files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::exit::{ExitCode, Failure};
use crate::mount_point;

/// The mount to look at: the one that was named, else the only one.
pub(super) fn find_mount(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let mut mounts =
        mount_point::find_tfcfs().map_err(|error| Failure::new(ExitCode::NotMounted, error.to_string()))?;
    match mounts.len() {
        1 => Ok(mounts.remove(0)),
        0 => Err(Failure::new(ExitCode::NotMounted, "no tfcfs is mounted").hint("start one: tfcfs mount DIRECTORY")),
        _ => {
            let all: Vec<String> = mounts.iter().map(|path| path.display().to_string()).collect();
            let hint = format!("name one with --mount: {}", all.join(", "));
            Err(Failure::new(ExitCode::NotMounted, "several tfcfs are mounted").hint(hint))
        }
    }
}

/// A file of the mount.
pub(super) fn read(mount: &Path, path: &str) -> Result<String, Failure> {
    let full = mount.join(path);
    fs::read_to_string(&full).map_err(|error| failure(mount, &full, &error))
}

/// Names in a directory of the mount, sorted.
pub(super) fn list(mount: &Path, path: &str) -> Result<Vec<String>, Failure> {
    let full = mount.join(path);
    let entries = fs::read_dir(&full).map_err(|error| failure(mount, &full, &error))?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<io::Result<_>>().map_err(|error| failure(mount, &full, &error))?;
    names.sort();
    Ok(names)
}

/// What a failed read of the mount means.
pub(super) fn failure(mount: &Path, path: &Path, error: &io::Error) -> Failure {
    let text = format!("{} cannot be read: {error}", path.display());
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            Failure::new(ExitCode::Permission, text).hint("run it as the owner of the mount, or as root")
        }
        Some(libc::ENOTCONN) => Failure::new(ExitCode::NotMounted, text)
            .hint(format!("its daemon died; start it again: tfcfs mount {}", mount.display())),
        Some(libc::ENOENT | libc::ENOTDIR) => {
            Failure::new(ExitCode::NotMounted, text).hint(format!("is a tfcfs mounted on {}?", mount.display()))
        }
        _ => Failure::new(ExitCode::NotMounted, text),
    }
}
