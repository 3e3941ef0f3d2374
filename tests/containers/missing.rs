//! What a container lacks is named; what is enough is enough.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use rustix::fs::{FileType, Mode, makedev, mknodat};

use super::engine::{Container, Engine};
use super::image::{self, TFCFS};
use crate::support::{Site, eventually};

const MOUNT: &str = "/srv/tfcfs/mnt";

/// Runs it with these options of `podman run`, for a mount inside; returns exit code and log.
fn refused(options: &[&str], arguments: &[&str]) -> (i32, String) {
    let engine = Engine::new();
    image::ready(&engine);
    let site = Site::new();
    let state = format!("{}:/var/lib/tfcfs", site.beside("state").display());
    fs::create_dir(site.beside("state")).unwrap();
    fs::set_permissions(site.beside("state"), fs::Permissions::from_mode(0o700)).unwrap();
    let base = ["--cap-drop", "ALL", "--tmpfs", "/srv/tfcfs", "--volume", &state];
    let container = engine.start(&[&base, options, &[TFCFS], arguments].concat());
    (container.exit_code(), container.logs())
}

const MAKE: &[&str] = &["supervise", MOUNT, "-o", "x-mount.mkdir"];

/// Where everybody may make directories.
const ANYWHERE: &[&str] = &["supervise", "/dev/shm/mnt", "-o", "x-mount.mkdir"];

#[test]
fn a_missing_device_is_named() {
    let (code, log) = refused(&["--cap-add", "SYS_ADMIN"], MAKE);
    assert!(code == 4 && log.contains("--device /dev/fuse"), "{code} {log}");
}

#[test]
fn a_missing_right_is_named() {
    let (code, log) = refused(&["--device", "/dev/fuse"], MAKE);
    assert!(code == 4 && log.contains("not permitted") && log.contains("--cap-add SYS_ADMIN"), "{code} {log}");
}

#[test]
fn a_missing_volume_is_named() {
    let arguments = ["supervise", "/no/volume", "-o", "x-mount.mkdir"];
    let (code, log) = refused(&["--device", "/dev/fuse", "--cap-add", "SYS_ADMIN", "--read-only"], &arguments);
    assert!(code == 4 && log.contains("/no/volume cannot be made"), "{code} {log}");
}

/// The right to mount is one of root's: no other user gets it by `--cap-add`.
#[test]
fn another_user_than_root_cannot_mount() {
    let (code, log) = refused(&["--device", "/dev/fuse", "--cap-add", "SYS_ADMIN", "--user", "1000"], ANYWHERE);
    assert!(code == 4 && log.contains("mounting needs root"), "{code} {log}");
}

/// Root of a user namespace, an unprivileged user of the host, may mount where it alone sees it. `/dev/fuse` must let it in, as it does
/// where udev made it: here one that does takes its place, for podman alone.
#[test]
fn root_of_a_user_namespace_mounts_inside() {
    const FIRST: u32 = 100_000;
    let engine = Engine::new();
    image::ready(&engine);
    let site = Site::new();
    let (device, state) = (site.beside("fuse"), site.beside("state"));
    mknodat(rustix::fs::CWD, &device, FileType::CharacterDevice, Mode::RUSR, makedev(10, 229)).unwrap();
    fs::set_permissions(&device, fs::Permissions::from_mode(0o666)).unwrap();
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    chown(&state, Some(FIRST), Some(FIRST)).unwrap();
    let name = format!("tfcfs-test-userns-{}", std::process::id());
    let container = Container::named(&engine, &name);
    let script = format!(
        "mount --bind {device} /dev/fuse\n\
         timeout 60 podman run --detach --name {name} --network host --uidmap 0:{FIRST}:65536 --gidmap 0:{FIRST}:65536 \
         --cap-drop ALL --cap-add SYS_ADMIN --security-opt no-new-privileges --read-only --read-only-tmpfs=false \
         --device /dev/fuse --volume {state}:/var/lib/tfcfs --tmpfs /srv/tfcfs {TFCFS}\n",
        device = device.display(),
        state = state.display(),
    );
    let mut command = Command::new("unshare");
    engine.prepare(command.args(["--mount", "sh", "-ec", &script]));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    eventually("it answers", || container.try_exec(&["/usr/bin/tfcfs", "status", "--mount", MOUNT]).status.success());
    let owner = fs::read_to_string(format!("/proc/{}/uid_map", container.pid())).unwrap();
    assert_eq!(owner.split_whitespace().collect::<Vec<_>>(), ["0", &FIRST.to_string(), "65536"]);
    assert_eq!(container.stop(), 0);
}
