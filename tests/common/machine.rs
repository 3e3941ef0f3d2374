//! One daemon in a test: issuer and tree over fake ports, and callers that walk paths as the kernel would.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tfcfs::domain::book::Book;
use tfcfs::domain::document::ConfigSpec;
use tfcfs::domain::issuer::{Issuer, IssuerSettings};
use tfcfs::domain::ledger::Ledger;
use tfcfs::domain::ports::{Clock, Store};
use tfcfs::domain::role::Limits;
use tfcfs::vfs::{
    Attr, Caller, Callers, Change, Errno, Exit, Fixed, Ino, Kernel, Node, Opened, Relay, Secret, Vfs, VfsSettings,
};

use super::ManualClock;
use super::api::{ANCHOR, FakeApi};

/// Remembers what the kernel was told.
#[derive(Default)]
pub struct Told {
    pub changes: Mutex<Vec<Change>>,
    pub rewritten: Mutex<Vec<(Ino, Vec<u8>)>>,
}

#[async_trait]
impl Kernel for Told {
    async fn rewrite(&self, node: Ino, bytes: Arc<Secret>) {
        self.rewritten.lock().push((node, bytes.to_vec()));
    }
    fn tell(&self, change: Change) {
        self.changes.lock().push(change);
    }
}

/// Facts about callers that a test decides.
#[derive(Default)]
pub struct Facts {
    pub units: Mutex<HashMap<u32, String>>,
    pub exits: Mutex<HashMap<u32, Exit>>,
    pub processes: Mutex<HashMap<u32, u32>>,
    pub programs: Mutex<HashMap<u32, String>>,
}

impl Callers for Facts {
    fn unit(&self, tid: u32) -> Option<String> {
        self.units.lock().get(&tid).cloned()
    }
    fn program(&self, tid: u32) -> Option<String> {
        self.programs.lock().get(&tid).cloned()
    }
    fn process(&self, tid: u32) -> Option<u32> {
        Some(self.processes.lock().get(&tid).copied().unwrap_or(tid))
    }
    fn exit(&self, tid: u32) -> Exit {
        self.exits.lock().get(&tid).copied().unwrap_or(Exit::Running)
    }
}

/// The accounts of a test: `web` is 33.
pub struct Names;

impl tfcfs::domain::document::Accounts for Names {
    fn uid(&self, name: &str) -> Option<u32> {
        (name == "web").then_some(33)
    }
    fn gid(&self, name: &str) -> Option<u32> {
        self.uid(name)
    }
}

pub struct Machine {
    pub clock: Arc<ManualClock>,
    pub api: Arc<FakeApi>,
    pub store: Arc<dyn Store>,
    pub issuer: Arc<Issuer>,
    pub vfs: Arc<Vfs>,
    pub told: Arc<Told>,
    pub facts: Arc<Facts>,
    keeper: tokio::task::JoinHandle<()>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

pub fn root() -> Caller {
    Caller { uid: 0, gid: 0, tid: 100 }
}

pub struct Options {
    pub limits: Limits,
    pub ephemeral: bool,
    pub open_deadline: Duration,
    pub allow_organization_anchor_rotation: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            ephemeral: false,
            open_deadline: Duration::from_secs(10),
            allow_organization_anchor_rotation: false,
        }
    }
}

impl Machine {
    /// A fresh daemon without an anchor.
    pub async fn bare() -> Self {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        let store = Arc::new(tfcfs::adapters::memory_store::MemoryStore::default());
        Self::boot(clock, api, store, Options::default()).await
    }

    /// A fresh daemon with the anchor configured.
    pub async fn new() -> Self {
        let machine = Self::bare().await;
        machine.configure().await;
        machine
    }

    pub async fn with(options: Options) -> Self {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        let store = Arc::new(tfcfs::adapters::memory_store::MemoryStore::default());
        let machine = Self::boot(clock, api, store, options).await;
        machine.configure().await;
        machine
    }

    pub async fn configure(&self) {
        let document = ConfigSpec::parse(format!("token = \"{ANCHOR}\"").as_bytes()).unwrap();
        self.issuer.write_config(document).await.unwrap();
        self.api.forget_calls();
    }

    /// The next process on the same state: the former one is gone without a word.
    pub async fn restart(self) -> Self {
        let (clock, api, store) = (self.clock.clone(), self.api.clone(), self.store.clone());
        drop(self);
        Self::boot(clock, api, store, Options::default()).await
    }

    pub async fn boot(clock: Arc<ManualClock>, api: Arc<FakeApi>, store: Arc<dyn Store>, options: Options) -> Self {
        let ledger = Ledger::new(store.clone());
        let contents = ledger.load().await.unwrap();
        let book = Book::new(options.limits, contents, clock.now());
        ledger.reserve(book.serial_limit()).await.unwrap();
        let relay = Arc::new(Relay::default());
        let settings = IssuerSettings {
            host: "testhost".into(),
            delete_grace: Duration::from_secs(10),
            revoke_on_stop: false,
            ephemeral: options.ephemeral,
            allow_organization_anchor_rotation: options.allow_organization_anchor_rotation,
        };
        let runtime = tokio::runtime::Handle::current();
        let issuer = Issuer::new(book, ledger, api.clone(), clock.clone(), relay.clone(), settings, runtime);
        let facts = Arc::new(Facts::default());
        let vfs_settings = VfsSettings {
            uid: 0,
            gid: 0,
            mode: 0o400,
            open_deadline: options.open_deadline,
            rotate_deadline: Duration::from_secs(30),
            deadline: Duration::from_secs(2),
            deny_programs: vec!["updatedb".into(), "tracker-miner-f".into()],
            version: "test",
        };
        let vfs = Vfs::new(issuer.clone(), facts.clone(), Arc::new(()), Arc::new(Names), vfs_settings).unwrap();
        relay.connect(&vfs);
        let told = Arc::new(Told::default());
        vfs.attach(told.clone());
        let keeper = tokio::spawn(issuer.clone().keep_time());
        Self { clock, api, store, issuer, vfs, told, facts, keeper }
    }

    pub fn clock_now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// Lets everything that is due happen.
    pub async fn settle(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    /// Moves the wall clock and lets everything that is due happen.
    pub async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.settle().await;
    }

    pub fn walk(&self, caller: Caller, path: &str) -> Result<(Node, Attr), Errno> {
        let mut node = Node::Fixed(Fixed::Root);
        let mut attr = self.vfs.getattr(node.ino())?;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let entry = self.vfs.lookup(caller, node.ino(), OsStr::new(name))?;
            (node, attr) = (entry.node, entry.attr);
        }
        Ok((node, attr))
    }

    /// open(2): walks, opens, and walks once more after ESTALE as the kernel does.
    pub async fn open_as(&self, caller: Caller, path: &str, flags: i32) -> Result<(Node, Opened), Errno> {
        let (node, _) = self.walk(caller, path)?;
        match self.vfs.open(caller, node.ino(), flags).wait().await {
            Err(errno) if errno == Errno(libc::ESTALE) => {
                let (node, _) = self.walk(caller, path)?;
                Ok((node, self.vfs.open(caller, node.ino(), flags).wait().await?))
            }
            result => Ok((node, result?)),
        }
    }

    /// open(2) through a pinned dentry: the same node twice after ESTALE.
    pub async fn open_node(&self, caller: Caller, node: Node) -> Result<Opened, Errno> {
        match self.vfs.open(caller, node.ino(), libc::O_RDONLY).wait().await {
            Err(errno) if errno == Errno(libc::ESTALE) => {
                self.vfs.open(caller, node.ino(), libc::O_RDONLY).wait().await
            }
            result => result,
        }
    }

    pub async fn open(&self, path: &str) -> Result<Opened, Errno> {
        self.open_as(root(), path, libc::O_RDONLY).await.map(|(_, opened)| opened)
    }

    pub fn read(&self, opened: &Opened) -> Result<String, Errno> {
        self.vfs.read(opened.handle, 0, 1 << 20).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    pub fn close(&self, opened: Opened) {
        self.vfs.release(opened.handle);
    }

    /// `cat`.
    pub async fn cat(&self, path: &str) -> Result<String, Errno> {
        let opened = self.open(path).await?;
        let text = self.read(&opened);
        self.close(opened);
        text
    }

    /// `echo text > path`: the error of the write, else of the close.
    pub async fn write(&self, path: &str, text: &str) -> Result<(), Errno> {
        self.write_as(root(), path, text.as_bytes()).await
    }

    pub async fn write_as(&self, caller: Caller, path: &str, bytes: &[u8]) -> Result<(), Errno> {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC;
        let opened = self.create_or_open(caller, path, flags).await?;
        let written = self.vfs.write(caller, opened.handle, 0, bytes).wait().await;
        let flushed = self.vfs.flush(caller, opened.handle).wait().await;
        self.vfs.release(opened.handle);
        self.settle().await;
        written?;
        flushed
    }

    pub async fn create_or_open(&self, caller: Caller, path: &str, flags: i32) -> Result<Opened, Errno> {
        match self.walk(caller, path) {
            Ok((node, _)) => self.vfs.open(caller, node.ino(), flags).wait().await,
            Err(_) => {
                let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
                let (dir, _) = self.walk(caller, dir)?;
                self.vfs.create(caller, dir.ino(), OsStr::new(name), 0o644, flags).map(|created| created.opened)
            }
        }
    }

    pub async fn remove(&self, path: &str) -> Result<(), Errno> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let (dir, _) = self.walk(root(), dir)?;
        let removed = self.vfs.unlink(root(), dir.ino(), OsStr::new(name)).wait().await;
        self.settle().await;
        removed
    }

    pub async fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        let split = |path: &str| {
            let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
            (self.walk(root(), dir).map(|(node, _)| node.ino()), name.to_owned())
        };
        let ((from_dir, from), (to_dir, to)) = (split(from), split(to));
        let (from, to) = ((from_dir?, OsStr::new(&from)), (to_dir?, OsStr::new(&to)));
        let renamed = self.vfs.rename(root(), from, to, false).wait().await;
        self.settle().await;
        renamed
    }

    pub fn list(&self, path: &str) -> Vec<String> {
        let (node, _) = self.walk(root(), path).unwrap();
        let entries = self.vfs.readdir(node.ino(), 2).unwrap();
        entries.into_iter().map(|entry| entry.name).collect()
    }

    /// The newest line of `errors`.
    pub async fn last_error(&self) -> String {
        self.cat("errors").await.unwrap().lines().next().unwrap_or_default().to_owned()
    }
}
