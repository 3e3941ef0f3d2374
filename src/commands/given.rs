//! A mount that somebody else makes: mount.fuse3 with `drop_privileges` hands over `/dev/fd/N`; and root mounts for the user
//! of `setuid=`, whom this process then becomes for good.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::unistd::{User, initgroups, setgid, setuid};
use rustix::mount::{MountFlags, mount};

use super::mount::settings;
use crate::app;
use crate::cli::MountArgs;
use crate::exit::{ExitCode, Failure};
use crate::inherited;
use crate::mount_point;
use crate::mount_point::mountinfo::{self, Mount};

/// Where mount.fuse3 says that it has mounted.
const BY_NUMBER: &str = "/dev/fd/";

/// A mount without anybody who serves it yet.
pub(super) struct Given {
    /// Its device.
    pub(super) device: OwnedFd,
    /// Where it is.
    pub(super) mount_point: PathBuf,
}

/// What is given instead of a mount point of our own making, if that is so.
pub(super) fn take(args: &MountArgs) -> Result<Option<Given>, Failure> {
    let number = args.mount_point.to_str().and_then(|path| path.strip_prefix(BY_NUMBER));
    match (number, &args.run_as) {
        (Some(_), Some(_)) => {
            Err(Failure::new(ExitCode::Usage, "setuid= cannot be had with a mount that was made already")
                .hint("mount.fuse3 does it itself: write drop_privileges,setuid=USER"))
        }
        (Some(number), None) => by_number(number).map(Some),
        (None, Some(user)) => mount_for(user, args).map(Some),
        (None, None) => Ok(None),
    }
}

fn by_number(text: &str) -> Result<Given, Failure> {
    let wrong = |why: String| {
        Failure::new(
            ExitCode::MountPoint,
            format!("{BY_NUMBER}{text} is no FUSE device that somebody has mounted: {why}"),
        )
        .hint("mount.fuse3 hands it over for drop_privileges; else name a directory")
    };
    let number: RawFd = text.parse().map_err(|_| wrong("not a number".into()))?;
    let device = inherited::take(number).map_err(|error| wrong(error.to_string()))?;
    let mounts = mount_point::mounts().map_err(|error| wrong(error.to_string()))?;
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", device.as_fd().as_raw_fd())).unwrap_or_default();
    let mount =
        of_device(&mounts, &info).ok_or_else(|| wrong("it is not in the mount table of this namespace".into()))?;
    check_flags(mount)?;
    Ok(Given { device, mount_point: mount.point.clone() })
}

/// The mount of a device, from what the kernel says of the open file; before Linux 6.16 it does not say the number, and the
/// mount that was made last is meant.
fn of_device<'a>(mounts: &'a [Mount], info: &str) -> Option<&'a Mount> {
    let number = info.lines().find_map(|line| line.strip_prefix("fuse_connection:")?.trim().parse::<u32>().ok());
    mounts.iter().rev().find(|mount| mount.is_fuse() && number.is_none_or(|number| mount.minor == Some(number)))
}

/// Without the kernel's checks everybody whom allow_other lets in could read every token.
fn check_flags(mount: &Mount) -> Result<(), Failure> {
    if mount.has("allow_other") && !mount.has("default_permissions") {
        let text = format!(
            "{} was mounted with allow_other but without default_permissions: everybody could read every token",
            mount.point.display()
        );
        return Err(Failure::new(ExitCode::MountPoint, text)
            .hint("add default_permissions to the options (in /etc/fstab: allow_other,default_permissions)"));
    }
    Ok(())
}

fn mount_for(user: &str, args: &MountArgs) -> Result<Given, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new(ExitCode::Permission, "only root can mount for another user (setuid=)")
            .hint("leave setuid out, or do it as root"));
    }
    let unknown = |why: String| {
        Failure::new(ExitCode::Usage, format!("setuid={user}: {why}")).hint("name a user of this machine")
    };
    let account = User::from_name(user).map_err(|error| unknown(error.to_string()))?;
    let account = account.ok_or_else(|| unknown("there is no such user".into()))?;
    let settings = settings(args).1.map_err(|error| Failure::new(ExitCode::Settings, error.to_string()))?;
    app::free_mount_point(&args.mount_point)?;
    let failed = |error: std::io::Error| app::mount_failure(&args.mount_point, &error);
    let mount_point = args.mount_point.canonicalize().map_err(failed)?;
    let device = mount_at(&mount_point, settings.allow_other).map_err(failed)?;
    become_user(&account).map_err(|error| {
        let _ = mount_point::detach(&mount_point);
        Failure::new(ExitCode::Internal, format!("this process cannot become {user}: {error}"))
    })?;
    Ok(Given { device, mount_point })
}

fn mount_at(place: &Path, allow_other: bool) -> std::io::Result<OwnedFd> {
    let device: OwnedFd = OpenOptions::new().read(true).write(true).open("/dev/fuse")?.into();
    let others = if allow_other { ",allow_other" } else { "" };
    let data = format!("fd={},rootmode=40000,user_id=0,group_id=0,default_permissions{others}", device.as_raw_fd());
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
    let data = CString::new(data)?;
    mount(mountinfo::SOURCE, place, mountinfo::FSTYPE, flags, data.as_c_str())?;
    Ok(device)
}

/// For good: the groups first, since only root may change them.
fn become_user(account: &User) -> nix::Result<()> {
    let name = CString::new(account.name.as_str()).map_err(|_| nix::errno::Errno::EINVAL)?;
    initgroups(&name, account.gid)?;
    setgid(account.gid)?;
    setuid(account.uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"\
42 27 0:39 / /mnt/a rw,nosuid - fuse.tfcfs tfcfs rw,user_id=0,group_id=0,default_permissions,allow_other
43 27 0:40 / /mnt/b rw,nosuid - fuse.tfcfs tfcfs rw,user_id=0,group_id=0,allow_other
44 27 0:41 / /mnt/c rw,nosuid - tmpfs none rw
";

    #[test]
    fn the_mount_of_a_device() {
        let mounts = mountinfo::parse(MOUNTS);
        let of = |info: &str| of_device(&mounts, info).map(|mount| mount.point.clone());
        assert_eq!(of("pos:\t0\nfuse_connection:\t39\n"), Some("/mnt/a".into()));
        assert_eq!(of("fuse_connection:\t40\n"), Some("/mnt/b".into()));
        assert_eq!(of("fuse_connection:\t41\n"), None);
        assert_eq!(of("pos:\t0\n"), Some("/mnt/b".into()), "the last one");
    }

    #[test]
    fn a_mount_that_lets_everybody_read_is_refused() {
        let mounts = mountinfo::parse(MOUNTS);
        assert!(check_flags(&mounts[0]).is_ok());
        let error = check_flags(&mounts[1]).unwrap_err();
        assert!(error.message.contains("everybody could read") && error.hint.unwrap().contains("default_permissions"));
    }
}
