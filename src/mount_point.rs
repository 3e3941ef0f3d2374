//! The mount point, as far as it can be known and changed without FUSE: what is there, is it alive, take it away.
//!
//! A path into a mount whose daemon hangs makes whoever touches it hang too, beyond `kill -9`. So the mount table comes
//! first, and what must touch a path does so in a thread that is left behind if it does not come back in time.

pub mod mountinfo;
mod probe;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use self::mountinfo::Mount;
pub(crate) use self::probe::within;
use self::probe::{Found, Pulse, resolve};

/// What is at a path where we want to mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountPoint {
    /// Nothing.
    Missing,
    /// A file, a socket, …
    NotADirectory,
    /// A directory on which nothing with a daemon is mounted.
    Free,
    /// A mount of ours whose daemon answers.
    LiveTfcfs,
    /// A mount of ours that does not answer in time: its daemon is stopped or overloaded, or died in a way that left the
    /// kernel waiting. Whoever touches it hangs.
    SilentTfcfs,
    /// A mount of ours whose daemon is gone ("Transport endpoint is not connected").
    DeadTfcfs,
    /// Another FUSE filesystem.
    OtherFuse {
        /// Its type, e.g. `fuse.sshfs`.
        fstype: String,
        /// What it serves.
        source: String,
    },
}

/// Why a mount point could not be looked at or freed.
#[derive(Debug, thiserror::Error)]
pub enum MountPointError {
    /// `/proc` is missing or hidden.
    #[error("the mount table /proc/self/mountinfo cannot be read: {0}; mount /proc")]
    MountTable(io::Error),
    /// Some directory on the way to it does not answer.
    #[error(
        "{} does not answer: it lies in a filesystem that hangs; unmount that one (umount -l), or choose another place",
        .0.display()
    )]
    Hangs(PathBuf),
    /// It cannot be looked at.
    #[error("{} cannot be looked at: {error}; correct the path or its permissions", .path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It cannot be made.
    #[error("{} cannot be made: {error}; make it by hand, or choose another place", .path.display())]
    NotMade {
        /// The path.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Nothing is mounted there.
    #[error("nothing is mounted on {}; `grep tfcfs /proc/self/mounts` shows what there is", .0.display())]
    NotMounted(PathBuf),
    /// Only root, or who mounted it through fusermount3, may unmount.
    #[error("{} cannot be unmounted: {why}; do it as root, or as the user who mounted it", .path.display())]
    NotPermitted {
        /// The mount point.
        path: PathBuf,
        /// What the system or fusermount3 says.
        why: String,
    },
    /// Anything else that umount2 says.
    #[error("{} cannot be unmounted: {error}; the kernel log may say more", .path.display())]
    Unmount {
        /// The mount point.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// Finds out what is at `path`. Takes one second at most for each part of the path that does not answer.
///
/// # Errors
/// [`MountPointError::MountTable`], [`MountPointError::Hangs`], [`MountPointError::Unreadable`].
pub fn inspect(path: &Path) -> Result<MountPoint, MountPointError> {
    inspect_in(path, &mounts()?)
}

fn inspect_in(path: &Path, mounts: &[Mount]) -> Result<MountPoint, MountPointError> {
    Ok(match resolve(path, mounts)? {
        Found::Missing => MountPoint::Missing,
        Found::File => MountPoint::NotADirectory,
        Found::Directory => MountPoint::Free,
        Found::Mount(mount) if mount.is_tfcfs() => match probe::ask(&mount.point) {
            Pulse::Beats => MountPoint::LiveTfcfs,
            Pulse::Stopped => MountPoint::DeadTfcfs,
            Pulse::Unknown => MountPoint::SilentTfcfs,
        },
        Found::Mount(mount) => MountPoint::OtherFuse { fstype: mount.fstype.clone(), source: mount.source.clone() },
    })
}

/// Makes the directory if it is missing, and those above it.
///
/// # Errors
/// As [`inspect`], and [`MountPointError::NotMade`].
pub fn make(path: &Path, mode: u32) -> Result<(), MountPointError> {
    if inspect(path)? != MountPoint::Missing {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|error| MountPointError::NotMade { path: path.to_owned(), error })
}

/// Where exactly the mount of ours is that `path` leads to. Touches nothing of it, so nobody need serve it.
///
/// # Errors
/// As [`inspect`], and [`MountPointError::NotMounted`].
pub fn locate(path: &Path) -> Result<PathBuf, MountPointError> {
    match resolve(path, &mounts()?)? {
        Found::Mount(mount) if mount.is_tfcfs() => Ok(mount.point.clone()),
        _ => Err(MountPointError::NotMounted(path.to_owned())),
    }
}

/// Whether a mount of ours is there that lives, served at the moment or not.
///
/// # Errors
/// As [`inspect`].
pub fn is_kept(path: &Path) -> Result<bool, MountPointError> {
    Ok(match resolve(path, &mounts()?)? {
        Found::Mount(mount) if mount.is_tfcfs() => probe::ask_for(&mount.point, probe::GLANCE) != Pulse::Stopped,
        _ => false,
    })
}

/// Takes the topmost mount of ours off `path`, lazily if somebody is inside.
///
/// # Errors
/// As [`detach`].
pub fn take_away(path: &Path) -> Result<(), MountPointError> {
    let point = locate(path)?;
    match unmount(&point, UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(_) => detach(&point),
    }
}

/// Whether a mount of ours is at `point`, a path without symbolic links. If that cannot be told, it is.
pub fn is_listed(point: &Path) -> bool {
    mounts().map_or(true, |mounts| mountinfo::at(&mounts, point).is_some_and(Mount::is_tfcfs))
}

/// The mount points of every mount of ours that this process can see, dead ones included, in the kernel's order.
///
/// # Errors
/// [`MountPointError::MountTable`].
pub fn find_tfcfs() -> Result<Vec<PathBuf>, MountPointError> {
    let mut points = Vec::new();
    for mount in mounts()?.into_iter().filter(Mount::is_tfcfs) {
        if !points.contains(&mount.point) {
            points.push(mount.point);
        }
    }
    Ok(points)
}

/// Takes the topmost mount off `path` at once. Who has files open in it keeps them until they are closed. Without the
/// right to do it itself, it asks `fusermount3`.
///
/// # Errors
/// [`MountPointError::NotMounted`], [`MountPointError::NotPermitted`], [`MountPointError::Unmount`].
pub fn detach(path: &Path) -> Result<(), MountPointError> {
    let path = path.to_owned();
    match unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => Err(MountPointError::NotMounted(path)),
        Err(Errno::PERM) => detach_with_helper(path),
        Err(error) => Err(MountPointError::Unmount { path, error: error.into() }),
    }
}

fn detach_with_helper(path: PathBuf) -> Result<(), MountPointError> {
    let why = match Command::new("fusermount3").args(["-u", "-z", "--"]).arg(&path).output() {
        Ok(done) if done.status.success() => return Ok(()),
        Ok(done) => String::from_utf8_lossy(&done.stderr).trim().to_owned(),
        Err(error) => format!("{}, and fusermount3 cannot be run ({error})", Errno::PERM),
    };
    Err(MountPointError::NotPermitted { path, why })
}

/// Every mount that this process can see, in the kernel's order.
///
/// # Errors
/// [`MountPointError::MountTable`].
pub fn mounts() -> Result<Vec<Mount>, MountPointError> {
    let text = fs::read("/proc/self/mountinfo").map_err(MountPointError::MountTable)?;
    Ok(mountinfo::parse(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Vec<Mount> {
        mountinfo::parse(text.as_bytes())
    }

    #[test]
    fn what_is_not_mounted() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::write(root.join("file"), "").unwrap();
        fs::create_dir(root.join("dir")).unwrap();
        for (link, target) in [("to-dir", "dir"), ("to-file", "file"), ("dangling", "gone"), ("up", "dir/../dir")] {
            std::os::unix::fs::symlink(target, root.join(link)).unwrap();
        }
        for (name, found) in [
            ("gone", MountPoint::Missing),
            ("gone/gone", MountPoint::Missing),
            ("file", MountPoint::NotADirectory),
            ("file/below", MountPoint::NotADirectory),
            ("dir", MountPoint::Free),
            ("dir/", MountPoint::Free),
            ("dir/.", MountPoint::Free),
            ("dir/..", MountPoint::Free),
            ("to-dir", MountPoint::Free),
            ("up", MountPoint::Free),
            ("to-file", MountPoint::NotADirectory),
            ("dangling", MountPoint::Missing),
        ] {
            assert_eq!(inspect(&root.join(name)).unwrap(), found, "{name}");
        }
        std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();
        assert!(matches!(inspect(&root.join("loop")), Err(MountPointError::Unreadable { .. })));
        assert_eq!(inspect(Path::new("/")).unwrap(), MountPoint::Free);
        assert_eq!(inspect(Path::new("/proc")).unwrap(), MountPoint::Free, "a mount without a daemon is a directory");
    }

    #[test]
    fn mounts_are_found_through_links_and_dots() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a b/mnt")).unwrap();
        std::os::unix::fs::symlink("a b", root.join("link")).unwrap();
        std::os::unix::fs::symlink("link/mnt", root.join("mount")).unwrap();
        let point = root.join("a b/mnt").display().to_string().replace(' ', "\\040");
        let ours = table(&format!("30 22 0:26 / {point} rw - fuse.tfcfs tfcfs rw\n"));
        let other = table(&format!("30 22 0:26 / {point} rw shared:3 - fuse.sshfs host:/x rw\n"));
        for name in ["a b/mnt", "a b/mnt/", "a b/../a b/mnt", "link/mnt", "link/./mnt", "mount"] {
            let path = root.join(name);
            assert_eq!(inspect_in(&path, &ours).unwrap(), MountPoint::LiveTfcfs, "{name}");
            let found = inspect_in(&path, &other).unwrap();
            assert_eq!(found, MountPoint::OtherFuse { fstype: "fuse.sshfs".into(), source: "host:/x".into() });
        }
    }

    #[test]
    fn nothing_to_detach() {
        let directory = tempfile::tempdir().unwrap();
        for path in [directory.path().to_owned(), directory.path().join("gone")] {
            let error = detach(&path).unwrap_err();
            let root = rustix::process::geteuid().is_root();
            assert!(matches!(error, MountPointError::NotMounted(_)) || !root, "{error}");
        }
    }
}
