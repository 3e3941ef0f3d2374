//! The images: tfcfs as the Dockerfile makes it, and a busybox for the applications of the examples.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::engine::Engine;

/// The name that the examples use.
pub const TFCFS: &str = "tfcfs";

/// The applications' image in the examples.
pub const BUSYBOX: &str = "docker.io/library/busybox:1";

const BUSYBOX_FILE: &str =
    "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nCMD [\"sh\"]\n";

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds both, by the first test that wants them, while the others wait. No registry can be reached, so the stage that builds is
/// run here, by its own commands, and given to podman in its place.
pub fn ready(engine: &Engine) {
    let (below, _lock) = alone();
    let stage = run_stage(&below);
    let context = format!("build={}", stage.display());
    // Docker's format: the other one has no HEALTHCHECK.
    let file = repository().join("containers/Dockerfile");
    let from = ["build", "--quiet", "--format", "docker", "--build-context", &context];
    engine
        .ok(&[&from[..], &["--tag", TFCFS, "--file", file.to_str().unwrap(), repository().to_str().unwrap()]].concat());
    let folder = below.join("busybox");
    fs::create_dir_all(&folder).unwrap();
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    fs::copy(busybox.expect("busybox-static is installed"), folder.join("busybox")).unwrap();
    fs::write(folder.join("Dockerfile"), BUSYBOX_FILE).unwrap();
    engine.ok(&["build", "--quiet", "--tag", BUSYBOX, folder.to_str().unwrap()]);
}

/// The stage `build`: its commands, in the repository instead of `/src`, for a directory instead of `/image`.
fn run_stage(below: &Path) -> PathBuf {
    let stage = below.join("stage");
    let image = stage.join("image");
    let _ = fs::remove_dir_all(&image);
    let text = fs::read_to_string(repository().join("containers/Dockerfile")).unwrap();
    let build = text.split("\nFROM ").find(|stage| stage.contains(" AS build")).expect("a stage named build");
    let commands: Vec<_> =
        build.replace("\\\n", " ").lines().filter_map(|line| line.strip_prefix("RUN ").map(String::from)).collect();
    assert!(!commands.is_empty(), "{build}");
    for command in commands {
        let script = command.replace("/image/", &format!("{}/", image.display()));
        assert_ne!(script, command);
        let status = Command::new("sh").args(["-ec", &script]).current_dir(repository()).status().unwrap();
        assert!(status.success(), "{script}: {status}");
    }
    stage
}

/// Puts the static program there.
pub fn copy_program(engine: &Engine, to: &Path) {
    ready(engine);
    let (below, _lock) = alone();
    fs::copy(below.join("stage/image/usr/bin/tfcfs"), to).unwrap();
}

/// What is made here once for all tests, and the turn to make it.
fn alone() -> (PathBuf, File) {
    let below = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let lock = File::create(below.join("images.lock")).unwrap();
    lock.lock().expect("target/ is on a filesystem with locks");
    (below, lock)
}

/// The image here of one in the examples.
pub fn local(image: &str) -> &str {
    if image == TFCFS { TFCFS } else { BUSYBOX }
}
