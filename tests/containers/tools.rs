//! A compose from PyPI, kept below target/.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGES: &[&str] = &["podman-compose==1.6.0", "PyYAML==6.0.4"];

/// A program of those packages; installed by the first test that wants one, while the others wait.
pub fn tool(name: &str) -> PathBuf {
    let below = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = File::create(below.join("container-tools.lock")).unwrap();
    lock.lock().expect("target/ is on a filesystem with locks");
    let folder = below.join("container-tools");
    let list = PACKAGES.join("\n");
    let done = folder.join("packages");
    if fs::read_to_string(&done).ok().as_deref() != Some(&list) {
        let _ = fs::remove_dir_all(&folder);
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        run(Command::new(folder.join("bin/python")).args(quiet).args(PACKAGES));
        fs::write(&done, list).unwrap();
    }
    folder.join("bin").join(name)
}

/// What a command that must succeed prints.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    format!("{out}{err}")
}
