//! `forget`: writes to the mount, as a shell would.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use super::look::{failure, find_mount};
use super::print;
use crate::exit::{ExitCode, Failure};

pub(super) fn forget(lease: &str, mount: Option<&Path>) -> Result<(), Failure> {
    let mount = find_mount(mount)?;
    let path = mount.join("revocations");
    let written = OpenOptions::new()
        .write(true)
        .open(&path)
        .map_err(|error| failure(&mount, &path, &error))
        .map(|mut file| file.write_all(format!("forget {lease}\n").as_bytes()))?;
    match written {
        Ok(()) => print::line(&format!("{lease} is forgotten: its token may live upstream until its own end")),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
            let text = format!("no revocation of a lease {lease:?} waits");
            Err(Failure::new(ExitCode::Usage, text).hint("tfcfs leases --pending lists what does"))
        }
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            let text = format!("{lease} cannot be forgotten: {error}");
            Err(Failure::new(ExitCode::Permission, text).hint("tfcfs errors says why"))
        }
        Err(error) => {
            let text = format!("{lease} is not forgotten: {error}");
            Err(Failure::new(ExitCode::State, text).hint("tfcfs errors says why"))
        }
    }
}
