//! The mount point before anything is mounted there.

use std::path::Path;

use crate::exit::{ExitCode, Failure};
use crate::mount_point::{self, MountPoint};

/// What FUSE is reached by.
const DEVICE: &str = "/dev/fuse";

/// Looks before mounting: replaces a dead mount of ours, refuses everything else that is in the way.
///
/// # Errors
/// What is in the way.
pub fn free_mount_point(path: &Path) -> Result<(), Failure> {
    let fail = |text: String, hint: &str| Err(Failure::new(ExitCode::MountPoint, text).hint(hint));
    let shown = path.display();
    let found = mount_point::inspect(path).map_err(|error| Failure::new(ExitCode::MountPoint, error.to_string()))?;
    match found {
        MountPoint::Free => Ok(()),
        MountPoint::Missing => fail(format!("{shown} does not exist"), &format!("make it first: mkdir -p {shown}")),
        MountPoint::NotADirectory => fail(format!("{shown} is not a directory"), "name a directory to mount on"),
        MountPoint::LiveTfcfs => fail(
            format!("a live tfcfs is mounted on {shown} already"),
            &format!("stop that one, or unmount it: tfcfs umount {shown}"),
        ),
        MountPoint::SilentTfcfs => fail(
            format!("a tfcfs is mounted on {shown} that does not answer: it is stopped, overloaded, or was killed"),
            &format!("look at its process; if there is none, take the mount away: umount -f -l {shown}"),
        ),
        MountPoint::OtherFuse { fstype, source } => fail(
            format!("{shown} is a mount of {fstype} ({source})"),
            "choose another directory, or unmount that filesystem first",
        ),
        MountPoint::DeadTfcfs => {
            tracing::warn!(mount_point = %shown, "replacing the mount of a tfcfs that died");
            mount_point::detach(path).map_err(|error| Failure::new(ExitCode::MountPoint, error.to_string()))
        }
    }
}

/// Why mounting there failed, with a way out.
pub fn mount_failure(path: &Path, error: &std::io::Error) -> Failure {
    let shown = path.display();
    let missing = matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV));
    // With the device there, what is missing is the helper that was asked when the kernel refused.
    if missing && Path::new(DEVICE).exists() {
        let text = format!("cannot mount on {shown}: not permitted, and there is no fusermount3 to do it");
        return Failure::new(ExitCode::MountPoint, text).hint(
            "mounting needs CAP_SYS_ADMIN (a container: --cap-add SYS_ADMIN), or fusermount3 (Debian package fuse3)",
        );
    }
    Failure::new(ExitCode::MountPoint, format!("cannot mount on {shown}: {error}")).hint(match error.raw_os_error() {
        _ if missing => "is /dev/fuse there? load the module: modprobe fuse; give it to a container: --device /dev/fuse",
        Some(libc::EPERM | libc::EACCES) => {
            "mounting needs root, or fusermount3 (Debian package fuse3); --allow-other as a user needs user_allow_other in /etc/fuse.conf"
        }
        _ => {
            "root can mount directly; other users need fusermount3 (Debian package fuse3); a container's AppArmor profile may forbid it (--security-opt apparmor=unconfined)"
        }
    })
}
