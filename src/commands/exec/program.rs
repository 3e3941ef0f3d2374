//! Is there such a command, and may it be executed? The numbers are those of shells, `env` and `timeout`.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use rustix::fs::{Access, access};

use crate::exit::{ExitCode, Failure};

/// Looks for it where `execvp` will.
pub(super) fn find(name: &OsStr) -> Result<(), Failure> {
    if name.as_encoded_bytes().contains(&b'/') {
        return check(name.as_ref()).map_err(|error| failure(name, &error));
    }
    let Some(path) = std::env::var_os("PATH") else {
        // The C library has a path of its own.
        return Ok(());
    };
    let mut worst = io::ErrorKind::NotFound;
    for directory in std::env::split_paths(&path) {
        match check(&directory.join(name)) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => worst = error.kind(),
            Err(_) => {}
        }
    }
    Err(failure(name, &worst.into()))
}

fn check(path: &Path) -> io::Result<()> {
    if path.metadata()?.is_dir() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(access(path, Access::EXEC_OK)?)
}

/// Why the command was not started.
pub(super) fn failure(name: &OsStr, error: &io::Error) -> Failure {
    let name = name.to_string_lossy();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Failure::new(ExitCode::NoCommand, format!("there is no command {name:?}"))
        }
        _ => Failure::new(ExitCode::NotExecutable, format!("{name:?} cannot be executed: {error}")),
    }
}
