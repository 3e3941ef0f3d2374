//! Mount points as the kernel has them: alive, hung and dead mounts, made here without any filesystem behind them.
//!
//! Needs root and `/dev/fuse`; says so and passes where there is neither, because `./test` has told the user already.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tfcfs::mount_point::{MountPoint, MountPointError, detach, find_tfcfs, inspect};

/// A mount whose daemon is this test, which never answers. Gone when dropped.
struct Unanswered {
    directory: tempfile::TempDir,
    device: Option<File>,
}

impl Unanswered {
    fn new(fstype: &str, source: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: mounting without fusermount3 needs root");
            return None;
        }
        let device = match OpenOptions::new().read(true).write(true).open("/dev/fuse") {
            Ok(device) => device,
            Err(error) => {
                eprintln!("SKIPPED: /dev/fuse: {error}");
                return None;
            }
        };
        let directory = tempfile::tempdir().unwrap();
        let data = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let data = CString::new(data).unwrap();
        mount(source, directory.path(), fstype, MountFlags::NODEV | MountFlags::NOSUID, data.as_c_str()).unwrap();
        Some(Self { directory, device: Some(device) })
    }

    fn point(&self) -> PathBuf {
        self.directory.path().join("..").join(self.directory.path().file_name().unwrap())
    }

    fn kill_daemon(&mut self) {
        self.device = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.device = None;
        let _ = unmount(self.directory.path(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    }
}

fn is_mounted(point: &Path) -> bool {
    find_tfcfs().unwrap().contains(&point.canonicalize().unwrap())
}

#[test]
fn a_hung_mount_is_told_from_a_dead_one_and_that_is_taken_away() {
    let Some(mut mounted) = Unanswered::new("fuse.tfcfs", "tfcfs") else { return };
    assert_eq!(inspect(&mounted.point()).unwrap(), MountPoint::SilentTfcfs);
    let below = inspect(&mounted.point().join("creds"));
    assert!(matches!(below, Err(MountPointError::Hangs(_))), "{below:?}");
    mounted.kill_daemon();
    assert_eq!(inspect(&mounted.point()).unwrap(), MountPoint::DeadTfcfs);
    let point = mounted.directory.path().to_owned();
    assert!(find_tfcfs().unwrap().contains(&point));
    detach(&point).unwrap();
    assert!(!is_mounted(&point));
    assert_eq!(inspect(&point).unwrap(), MountPoint::Free);
    let again = detach(&point).unwrap_err();
    assert!(matches!(again, MountPointError::NotMounted(_)), "{again}");
}

#[test]
fn ours_by_source_and_others_by_type() {
    let Some(ours) = Unanswered::new("fuse", "tfcfs") else { return };
    assert_eq!(inspect(&ours.point()).unwrap(), MountPoint::SilentTfcfs);
    let other = Unanswered::new("fuse.other", "host:/a b").unwrap();
    let found = inspect(&other.point()).unwrap();
    assert_eq!(found, MountPoint::OtherFuse { fstype: "fuse.other".into(), source: "host:/a b".into() });
    assert!(!find_tfcfs().unwrap().contains(&other.directory.path().to_owned()));
}
