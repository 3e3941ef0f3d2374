//! `/dev/fuse`: the node, the right to open it, the module behind it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::Finding;
use super::probe;

const CHECK: &str = "device";
const PATH: &str = "/dev/fuse";

/// What is known of the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The node.
    pub node: Node,
    /// How opening it ended; `None` = well.
    pub error: Option<Errno>,
    /// Whether the kernel knows the filesystem.
    pub registered: bool,
    /// In a container, where modules cannot be loaded and devices are handed in.
    pub container: bool,
}

/// What stands at the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// Nothing.
    Missing,
    /// No character device.
    Other,
    /// A device with that mode and owner.
    Device {
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
}

impl Facts {
    /// Looks. Opening the device starts nothing.
    pub fn gather() -> Self {
        let node = match fs::metadata(PATH) {
            Err(_) => Node::Missing,
            Ok(found) if !found.file_type().is_char_device() => Node::Other,
            Ok(found) => Node::Device { mode: found.mode() & 0o7777, uid: found.uid(), gid: found.gid() },
        };
        let opened = open(PATH, OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty());
        let known = probe::text("/proc/filesystems").unwrap_or_default();
        Self {
            node,
            error: opened.err(),
            registered: known.lines().any(|line| line.split_whitespace().last() == Some("fuse")),
            container: super::rights::in_container(),
        }
    }
}

/// What it means.
pub fn judge(facts: &Facts) -> Finding {
    let load = "load the module: modprobe fuse (at each boot: echo fuse > /etc/modules-load.d/fuse.conf)";
    match (facts.node, facts.error) {
        (Node::Missing, _) if facts.container => Finding::problem(
            CHECK,
            "/dev/fuse does not exist in this container",
            "hand it in: --device /dev/fuse (docker, podman), or a device plugin (Kubernetes); see docs/containers.md",
        ),
        (Node::Missing, _) if facts.registered => Finding::problem(
            CHECK,
            "/dev/fuse does not exist, though the kernel has FUSE",
            "make the node: mknod -m 666 /dev/fuse c 10 229; udev does it at boot",
        ),
        (Node::Missing, _) => Finding::problem(CHECK, "/dev/fuse does not exist: the module fuse is not loaded", load),
        (Node::Other, _) => Finding::problem(
            CHECK,
            "/dev/fuse is not a character device",
            "replace it: rm /dev/fuse; mknod -m 666 /dev/fuse c 10 229",
        ),
        (Node::Device { .. }, None) => Finding::ok(CHECK, "/dev/fuse can be opened"),
        (Node::Device { mode, uid, gid }, Some(Errno::ACCESS)) => Finding::problem(
            CHECK,
            format!("/dev/fuse cannot be opened by this user (mode {mode:04o}, uid {uid}, gid {gid})"),
            "run tfcfs as root, or let users in: chmod 666 /dev/fuse (a udev rule keeps it)",
        ),
        (Node::Device { .. }, Some(Errno::PERM)) => Finding::problem(
            CHECK,
            "/dev/fuse is there, but the device policy of this cgroup forbids it",
            "allow it: --device /dev/fuse (docker, podman), DeviceAllow=/dev/fuse rw (systemd)",
        ),
        (Node::Device { .. }, Some(Errno::NODEV | Errno::NXIO | Errno::NOENT)) => {
            Finding::problem(CHECK, "/dev/fuse is there, but the kernel behind it has no FUSE", load)
        }
        (Node::Device { .. }, Some(error)) => Finding::problem(
            CHECK,
            format!("/dev/fuse cannot be opened: {error}"),
            "the kernel log may say more: dmesg | grep -i fuse",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    const NODE: Node = Node::Device { mode: 0o600, uid: 0, gid: 0 };

    #[test]
    fn each_state_of_the_device_has_its_sentence() {
        let fine = Facts { node: NODE, error: None, registered: true, container: false };
        assert_eq!(judge(&fine).level, Level::Ok);
        let cases = [
            (Node::Missing, None, false, false, "module fuse is not loaded", "modprobe fuse"),
            (Node::Missing, None, true, false, "though the kernel has FUSE", "mknod"),
            (Node::Missing, None, true, true, "in this container", "--device /dev/fuse"),
            (Node::Other, None, true, false, "not a character device", "mknod"),
            (NODE, Some(Errno::ACCESS), true, false, "by this user (mode 0600, uid 0", "chmod 666"),
            (NODE, Some(Errno::PERM), true, true, "device policy", "DeviceAllow="),
            (NODE, Some(Errno::NODEV), false, false, "has no FUSE", "modprobe fuse"),
            (NODE, Some(Errno::MFILE), true, false, "cannot be opened: ", "dmesg"),
        ];
        for (node, error, registered, container, what, way_out) in cases {
            let finding = judge(&Facts { node, error, registered, container });
            assert_eq!(finding.level, Level::Problem, "{what}");
            assert!(finding.what.contains(what), "{}", finding.what);
            assert!(finding.way_out.as_ref().unwrap().contains(way_out), "{finding:?}");
        }
    }
}
