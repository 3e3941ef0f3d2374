//! A state with one record of each kind, and the program run on it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tfcfs::adapters::redb_store::{self, RedbStore};
use tfcfs::adapters::sealed_store::SealedStore;
use tfcfs::adapters::sealing_key::{self, SealingKey};
use tfcfs::domain::anchor::{Access, Address, Anchor};
use tfcfs::domain::lease::{LeaseId, LeaseRecord, Opener, Phase, Scope, Serial};
use tfcfs::domain::ledger::{Contents, Entry, Ledger, Rotation, StoredRole};
use tfcfs::domain::name::{AnchorName, RoleName};
use tfcfs::domain::owner::{CredentialType, Owner};
use tfcfs::domain::ports::StoreError;
use tfcfs::domain::role::{self, OnClose, Role, Share, Times};
use tfcfs::domain::token::{Issued, Token, TokenId};

/// Stands for tokens; must be in no output and in no file.
pub const SECRETS: [&str; 3] =
    ["hunter2.atlasv1.the-anchor", "hunter2.atlasv1.of-the-live-lease", "hunter2.atlasv1.of-the-revoked-lease"];

/// The key of every state here, until it gets another.
pub const KEY: [u8; 32] = *b"tfcfs test key, not a secret....";

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

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Fills a state directory as a daemon does.
pub fn fill(directory: &Path) {
    let store = RedbStore::open(directory.join(redb_store::FILE_NAME)).unwrap();
    let ledger = Ledger::new(Arc::new(SealedStore::new(store, &SealingKey::from_bytes(KEY))));
    block_on(async {
        ledger.reserve(Serial(65_537)).await.unwrap();
        let lingers = Entry::Linger(id(1), Some(at(4000)));
        let rotation = Entry::Rotation(name("app"), Rotation { at: at(5), uid: Some(1000) });
        let role = Entry::Role(name("app"), StoredRole { role: role(), changed_at: at(1) });
        let entries = vec![role, Entry::Anchor(anchor()), Entry::Number(name("app"), 1), rotation, lingers];
        ledger.write(entries).await.unwrap();
        for (number, secret) in [(1, Some(SECRETS[1])), (2, Some(SECRETS[2])), (3, None)] {
            let intent = ledger.intent(lease(number)).await.unwrap().into_inner();
            if let Some(secret) = secret {
                let id = TokenId(format!("at-{number}"));
                let token = Token::parse(secret).unwrap();
                let issued = Issued { id, token, expires_at: None, is_ttl_rejected: false, answered_at: None };
                let live = ledger.live(&intent, &issued).await.unwrap().into_inner();
                if number == 2 {
                    ledger.revoking(&live).await.unwrap();
                }
            }
        }
    });
}

pub fn name(text: &str) -> RoleName {
    text.parse().unwrap()
}

fn default_anchor() -> AnchorName {
    "default".parse().unwrap()
}

/// So many seconds after the beginning of 2026.
pub fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_767_225_600 + second).unwrap()
}

fn id(number: u64) -> LeaseId {
    serde_json::from_value(format!("{number:032x}").into()).unwrap()
}

fn team() -> Owner {
    Owner::Team { id: "team-Ex4mp1e".into() }
}

fn anchor() -> Anchor {
    let access = Access { address: Address::hcp(), token: Token::parse(SECRETS[0]).unwrap(), owner: Some(team()) };
    let anchor = Anchor::new(default_anchor(), access, Some(TokenId("at-0".into())));
    Anchor { rotated_at: Some(at(0)), ..anchor }
}

fn role() -> Role {
    Role {
        owner: team(),
        credential_type: CredentialType::Team,
        organization: Some("acme".into()),
        team: Some("deploy".into()),
        description: None,
        share: Share::Role,
        ttl: Some(Duration::from_secs(600)),
        max_ttl: None,
        on_close: OnClose::Linger,
        max_leases: None,
        min_rotation_interval: None,
        access: role::Access { uid: Some(1000), gid: None, mode: Some(0o400) },
        anchor: default_anchor(),
    }
}

fn lease(number: u64) -> LeaseRecord {
    LeaseRecord {
        id: id(number),
        serial: Serial(number),
        role: name("app"),
        scope: Scope::Role(name("app")),
        owner: team(),
        credential_type: CredentialType::Team,
        organization: Some("acme".into()),
        anchor: default_anchor(),
        address: Address::hcp(),
        description: format!("app tfcfs host {number}"),
        phase: Phase::Intent,
        token_id: None,
        token: None,
        issued_at: at(i64::try_from(number).unwrap() * 100),
        ends_at: at(86_400),
        times: Times { ttl: Duration::from_secs(600), max_ttl: Duration::from_secs(86_400) },
        on_close: OnClose::Linger,
        opener: Opener { uid: 1000, gid: 1000 },
    }
}
