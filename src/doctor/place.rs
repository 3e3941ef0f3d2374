//! The mount point: what is there, what a mount would hide, whether this user may mount on it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::Finding;
use crate::mount_point::mountinfo::Mount;
use crate::mount_point::{self, MountPoint, MountPointError};

const CHECK: &str = "mount point";

/// Filesystems of the kernel itself: fusermount3 refuses to mount there, and what lies below is not for files.
const KERNELS_OWN: &[&str] = &[
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "devpts",
    "debugfs",
    "tracefs",
    "securityfs",
    "configfs",
    "mqueue",
    "bpf",
    "pstore",
    "efivarfs",
    "fusectl",
    "binfmt_misc",
    "hugetlbfs",
    "autofs",
];

/// What is known of it.
#[derive(Debug)]
pub struct Facts {
    /// Where.
    pub path: PathBuf,
    /// What is there.
    pub found: Result<MountPoint, MountPointError>,
    /// More about a directory that is free.
    pub directory: Option<Directory>,
}

/// A directory on which nothing with a daemon is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Names in it, up to three; `None` = it cannot be listed.
    pub names: Option<Vec<String>>,
    /// Type of the filesystem it lies in, and whether that is mounted exactly there.
    pub filesystem: Option<(String, bool)>,
    /// This user may write to it.
    pub writable: bool,
    /// Sticky, and somebody else's.
    pub sticky: bool,
    /// Mounting is done by fusermount3, which has rules of its own.
    pub by_helper: bool,
}

impl Facts {
    /// Looks. `found` is what was found there already, without touching what may hang.
    pub fn gather(path: &Path, found: Result<MountPoint, MountPointError>) -> Self {
        let directory = matches!(found, Ok(MountPoint::Free)).then(|| Directory::gather(path));
        Self { path: path.to_owned(), found, directory }
    }
}

impl Directory {
    fn gather(path: &Path) -> Self {
        let names = fs::read_dir(path).map(|entries| {
            entries.take(3).flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        });
        let metadata = fs::metadata(path).ok();
        let uid = rustix::process::geteuid().as_raw();
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Self {
            names: names.ok(),
            filesystem: mount_point::mounts().ok().and_then(|mounts| filesystem(&mounts, &real)),
            writable: access(path, Access::WRITE_OK).is_ok(),
            sticky: metadata.is_some_and(|found| found.mode() & 0o1000 != 0 && found.uid() != uid),
            by_helper: super::rights::Facts::gather(false).uses_helper(),
        }
    }
}

/// The mount that a path lies in: the topmost one of the longest prefix.
fn filesystem(mounts: &[Mount], path: &Path) -> Option<(String, bool)> {
    let above = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    // The last of equals: it lies on top.
    let mount = above.max_by_key(|mount| mount.point.components().count())?;
    Some((mount.fstype.clone(), mount.point == path))
}

/// What it means.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let shown = facts.path.display();
    let problem = |what: String, way_out: String| vec![Finding::problem(CHECK, what, way_out)];
    match &facts.found {
        Err(error) => vec![Finding::of_sentence(CHECK, super::Level::Problem, &error.to_string(), "name another one")],
        Ok(MountPoint::Missing) => problem(format!("{shown} does not exist"), format!("make it: mkdir -p {shown}")),
        Ok(MountPoint::NotADirectory) => {
            problem(format!("{shown} is not a directory"), "name a directory to mount on".into())
        }
        Ok(MountPoint::LiveTfcfs) => vec![Finding::ok(
            CHECK,
            format!("a tfcfs serves on {shown} and answers (a second mount there would be refused)"),
        )],
        Ok(MountPoint::SilentTfcfs) => problem(
            format!("a tfcfs is mounted on {shown} that does not answer: it is stopped, overloaded, or was killed"),
            format!(
                "look at its process (pgrep -a tfcfs; kill -CONT, or kill -9); if there is none: umount -f -l {shown}"
            ),
        ),
        Ok(MountPoint::DeadTfcfs) => vec![Finding::warning(
            CHECK,
            format!("the mount of a tfcfs that died is left on {shown} (\"Transport endpoint is not connected\")"),
            format!("tfcfs mount {shown} takes it away and mounts anew; tfcfs umount {shown} takes it away only"),
        )],
        Ok(MountPoint::OtherFuse { fstype, source }) => problem(
            format!("{shown} is a mount of {fstype} ({source})"),
            format!("choose another directory, or unmount it: umount {shown}"),
        ),
        Ok(MountPoint::Free) => match &facts.directory {
            Some(directory) => judge_directory(&facts.path, directory),
            None => Vec::new(),
        },
    }
}

fn judge_directory(path: &Path, directory: &Directory) -> Vec<Finding> {
    let shown = path.display();
    let mut findings = Vec::new();
    let filesystem = directory.filesystem.as_ref();
    if let Some((fstype, _)) = filesystem.filter(|(fstype, _)| KERNELS_OWN.contains(&fstype.as_str())) {
        findings.push(Finding::problem(
            CHECK,
            format!("{shown} lies in the kernel's own filesystem {fstype}"),
            "mount somewhere else, /mnt/tfc for instance",
        ));
    } else if let Some((fstype, true)) = filesystem {
        findings.push(Finding::warning(
            CHECK,
            format!("a filesystem ({fstype}) is mounted exactly on {shown}: tfcfs would lie over all of it"),
            format!("mount on a directory in it, or unmount that one: umount {shown}"),
        ));
    }
    match directory.names.as_deref() {
        Some([]) | None => {}
        Some(names) => findings.push(Finding::warning(
            CHECK,
            format!(
                "{shown} is not empty ({}, …): what is in it cannot be seen while tfcfs is mounted",
                names.join(", ")
            ),
            format!("mount on an empty directory, or make one: mkdir -p {shown}/tfc"),
        )),
    }
    if directory.by_helper && !directory.writable {
        findings.push(Finding::problem(
            CHECK,
            format!("this user may not write to {shown}: fusermount3 mounts on a user's own directories only"),
            format!("chown it to the user, choose one in your home, or mount as root ({shown})"),
        ));
    } else if directory.by_helper && directory.sticky {
        findings.push(Finding::problem(
            CHECK,
            format!("{shown} is sticky and belongs to somebody else: fusermount3 refuses such a directory"),
            format!("make one of your own in it: mkdir {shown}/tfc"),
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, format!("{shown} is an empty directory")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;
    use crate::mount_point::mountinfo;

    fn of(found: Result<MountPoint, MountPointError>) -> Vec<Finding> {
        judge(&Facts { path: "/x".into(), found, directory: None })
    }

    fn empty() -> Directory {
        Directory {
            names: Some(Vec::new()),
            filesystem: Some(("ext4".into(), false)),
            writable: true,
            sticky: false,
            by_helper: true,
        }
    }

    #[track_caller]
    fn is(findings: &[Finding], level: Level, what: &str, way_out: &str) {
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].level, level, "{findings:?}");
        assert!(findings[0].what.contains(what), "{findings:?}");
        assert!(findings[0].way_out.clone().unwrap_or_default().contains(way_out), "{findings:?}");
    }

    #[test]
    fn what_stands_at_the_mount_point() {
        is(&of(Ok(MountPoint::Missing)), Level::Problem, "does not exist", "mkdir -p /x");
        is(&of(Ok(MountPoint::NotADirectory)), Level::Problem, "not a directory", "name a directory");
        is(&of(Ok(MountPoint::LiveTfcfs)), Level::Ok, "answers", "");
        is(&of(Ok(MountPoint::SilentTfcfs)), Level::Problem, "does not answer", "umount -f -l /x");
        is(&of(Ok(MountPoint::DeadTfcfs)), Level::Warning, "died", "tfcfs umount /x");
        let other = MountPoint::OtherFuse { fstype: "fuse.sshfs".into(), source: "h:/".into() };
        is(&of(Ok(other)), Level::Problem, "fuse.sshfs (h:/)", "umount /x");
        is(&of(Err(MountPointError::Hangs("/x/y".into()))), Level::Problem, "does not answer: ", "unmount that one");
    }

    #[test]
    fn a_directory_that_is_free() {
        let of = |directory: Directory| judge_directory(Path::new("/x"), &directory);
        is(&of(empty()), Level::Ok, "is an empty directory", "");
        let names = Some(vec!["a".to_owned()]);
        is(&of(Directory { names, ..empty() }), Level::Warning, "not empty (a, …)", "mkdir -p /x/tfc");
        is(&of(Directory { writable: false, ..empty() }), Level::Problem, "may not write", "as root");
        is(&of(Directory { sticky: true, ..empty() }), Level::Problem, "sticky", "mkdir /x/tfc");
        is(&of(Directory { sticky: true, writable: false, by_helper: false, ..empty() }), Level::Ok, "empty", "");
        let proc = Some(("proc".to_owned(), false));
        is(&of(Directory { filesystem: proc, ..empty() }), Level::Problem, "kernel's own filesystem proc", "/mnt/tfc");
        let tmpfs = Some(("tmpfs".to_owned(), true));
        is(&of(Directory { filesystem: tmpfs, ..empty() }), Level::Warning, "exactly on /x", "umount /x");
    }

    #[test]
    fn the_filesystem_of_a_path_is_the_topmost_of_the_longest_prefix() {
        let mounts = mountinfo::parse(
            b"1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /m rw - xfs b rw\n3 2 0:3 / /m rw - tmpfs c rw\n4 1 0:4 / /mm rw - proc d rw\n",
        );
        assert_eq!(filesystem(&mounts, Path::new("/m/x")), Some(("tmpfs".into(), false)));
        assert_eq!(filesystem(&mounts, Path::new("/m")), Some(("tmpfs".into(), true)));
        assert_eq!(filesystem(&mounts, Path::new("/mmm")), Some(("ext4".into(), false)));
    }
}
