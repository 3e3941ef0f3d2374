//! A state with one record of each kind, and the program run on it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tfcfs::adapters::redb_store::{self, RedbStore};
use tfcfs::adapters::sealed_store::SealedStore;
use tfcfs::adapters::sealing_key::{self, SealingKey};
use tfcfs::domain::ledger::{Contents, Ledger};
use tfcfs::domain::ports::StoreError;

pub use super::records::{KEY, SECRETS, at, block_on, fill, name};

/// A state directory.
pub struct State {
    pub dir: TempDir,
}

impl State {
    /// A private directory with a key and no ledger.
    pub fn empty() -> Self {
        let state = Self { dir: tempfile::tempdir().unwrap() };
        state.put(sealing_key::FILE_NAME, &KEY, 0o600);
        state
    }

    /// One record of each kind, leases in each phase.
    pub fn filled() -> Self {
        let state = Self::empty();
        fill(state.dir.path());
        state
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn ledger(&self) -> PathBuf {
        self.path(redb_store::FILE_NAME)
    }

    /// Writes a file with a mode, and says where it is.
    pub fn put(&self, name: &str, bytes: &[u8], mode: u32) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    }

    /// Names and bytes of all files in it.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
            .collect();
        files.sort();
        files
    }

    pub fn names(&self) -> Vec<String> {
        self.files().into_iter().map(|(name, _)| name).collect()
    }

    /// Another one with the same files.
    pub fn copy(&self) -> Self {
        let copy = Self { dir: tempfile::tempdir().unwrap() };
        for (name, bytes) in self.files() {
            copy.put(&name, &bytes, 0o600);
        }
        copy
    }

    /// What a daemon with this key would read.
    pub fn load(&self, key: [u8; 32]) -> Result<Contents, StoreError> {
        let store = RedbStore::open(self.ledger())?;
        let store = SealedStore::new(store, &SealingKey::from_bytes(key));
        block_on(Ledger::new(Arc::new(store)).load())
    }

    pub fn key(&self, name: &str) -> [u8; 32] {
        fs::read(self.path(name)).unwrap().try_into().unwrap()
    }

    /// `tfcfs state COMMAND --state HERE …`
    pub fn command(&self, command: &str, more: &[&str]) -> Command {
        self.program(&["state", command], more)
    }

    /// A start, of which a test expects that it is refused.
    pub fn mount(&self, more: &[&str]) -> Command {
        let place = self.dir.path().with_extension("mnt");
        fs::create_dir_all(&place).unwrap();
        self.program(&["mount", place.to_str().unwrap()], more)
    }

    fn program(&self, command: &[&str], more: &[&str]) -> Command {
        let settings = self.dir.path().with_extension("settings");
        fs::write(&settings, "").unwrap();
        let mut run = Command::new(env!("CARGO_BIN_EXE_tfcfs"));
        run.args(command).arg("--state").arg(self.dir.path()).args(more);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TFCFS_")) {
            run.env_remove(name);
        }
        // Never the machine's own settings file.
        run.env("TFCFS_CONFIG", &settings).env_remove("CREDENTIALS_DIRECTORY").stdin(Stdio::null());
        run
    }

    pub fn run(&self, command: &str, more: &[&str]) -> Ran {
        finish(self.command(command, more))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.dir.path().with_extension("settings"));
        let _ = fs::remove_dir(self.dir.path().with_extension("mnt"));
    }
}

/// What a run left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    #[track_caller]
    pub fn failed(self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        for word in words.iter().chain(&["hint: "]) {
            assert!(self.err.contains(word), "{word:?} is not in: {}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

pub fn finish(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().expect("an exit code"), out: text(output.stdout), err: text(output.stderr) }
}
