//! Helper programs that are compiled, and where their sources are.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiled programs, with the sources of the others beside them.
pub struct Programs {
    dir: tempfile::TempDir,
}

impl Programs {
    /// Compiles those that need it.
    ///
    /// # Panics
    /// A compiler is missing (`.ci/packages` installs it), or refuses one.
    pub fn compiled() -> Self {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix/programs");
        let dir = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(&sources).unwrap() {
            let source = entry.unwrap().path();
            let name = source.file_stem().unwrap().to_str().unwrap();
            let built = dir.path().join(name);
            let kind = source.extension().and_then(|kind| kind.to_str()).unwrap();
            match kind {
                "c" => run(Command::new("gcc").args(["-O1", "-Wall", "-o"]).arg(built).arg(&source).arg("-luring")),
                // Debian's libraries, without modules: nothing is fetched.
                "go" => run(Command::new("go")
                    .args(["build", "-o"])
                    .arg(dir.path().join(format!("go-{name}")))
                    .arg(&source)
                    .env("GO111MODULE", "off")
                    .env("GOPATH", "/usr/share/gocode")
                    .env("GOFLAGS", "")
                    .env("GOCACHE", dir.path().join("go-cache"))),
                "java" => run(Command::new("javac").arg("-d").arg(dir.path()).arg(&source)),
                _ => drop(std::fs::copy(&source, dir.path().join(source.file_name().unwrap())).unwrap()),
            }
        }
        Self { dir }
    }

    /// Where they are.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; .ci/packages installs it"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
