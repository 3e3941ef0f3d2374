//! A directory of the host whose mounts are seen by containers, as `/` is where systemd runs and as kubelet's volumes are.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};

/// What the examples mount on, in their directory.
const MOUNT: &str = "mnt";

pub struct Shared(PathBuf);

impl Shared {
    pub fn new(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        mount_bind(&path, &path).unwrap();
        mount_change(&path, MountPropagationFlags::SHARED).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in the mount that a container makes there.
    pub fn at(&self, path: &str) -> PathBuf {
        self.0.join(MOUNT).join(path)
    }

    /// Whether anything is mounted there.
    pub fn is_mounted(&self) -> bool {
        let point = format!(" {} ", self.0.join(MOUNT).display());
        fs::read_to_string("/proc/self/mounts").unwrap().contains(&point)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = unmount(self.0.join(MOUNT), UnmountFlags::DETACH);
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}
