//! The reference model of leases and handles: a list of operations is done to a whole daemon, and after each one every
//! promise that can be judged from outside is checked (DESIGN 5, 5.1, 8).

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;

use jiff::{SignedDuration, Timestamp};
use tfcfs::domain::lease::{LeaseRecord, Phase};
use tfcfs::domain::ports::ApiErrorKind;
use tfcfs::vfs::{Caller, Door, Errno, Node, Opened};

use super::api::{Fault, Made};
use super::machine::Machine;
use super::seconds;

/// Roles of a run; operations name them by index.
pub const NAMES: [&str; 3] = ["a", "b", "c"];
pub const OWNERS: [&str; 5] = [
    "team_id = \"team-1\"\ncredential_type = \"team\"\n",
    "team_id = \"team-2\"\ncredential_type = \"team\"\n",
    "user_id = \"user-1\"\n",
    "organization = \"acme\"\n",
    "organization = \"beta\"\n",
];
const SHARES: [&str; 3] = ["role", "unit", "open"];
/// `ttl`, `max_ttl`.
const TIMES: [(u64, u64); 3] = [(600, 3600), (3600, 14_400), (3600, 4000)];
const DOORS: [&str; 4] = ["token", "token.json", "env", "terraform.tfrc.json"];
const UPSTREAM_MARGIN: u64 = 60;

/// A role document in small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doc {
    pub owner: usize,
    pub share: usize,
    pub times: usize,
    pub revoke: bool,
}

impl Doc {
    fn is_slot(self) -> bool {
        self.owner >= 3
    }

    /// Slots know one way of sharing and of closing.
    fn legal(self) -> Self {
        if self.is_slot() { Self { share: 0, revoke: false, ..self } } else { self }
    }

    fn text(self) -> String {
        let (ttl, max_ttl) = TIMES[self.times];
        let close = if self.revoke { "on_close = \"revoke\"\n" } else { "" };
        let share = SHARES[self.share];
        format!("{}share = \"{share}\"\nttl = {ttl}\nmax_ttl = {max_ttl}\n{close}", OWNERS[self.owner])
    }

    fn makes(self, made: &Made) -> bool {
        let owner = ["team team-1", "team team-2", "user user-1", "organization acme", "organization beta"][self.owner];
        made.owner.to_string() == owner
    }

    fn same_tokens(self, other: Self) -> bool {
        self.owner == other.owner && self.share == other.share
    }
}

#[derive(Debug, Clone)]
pub enum Op {
    Open { role: usize, door: usize, tid: u32 },
    OpenPinned { pin: usize, tid: u32 },
    Close { handle: usize },
    Advance { seconds: u64 },
    Rotate { role: usize, revoke: bool },
    RemoveLease { role: usize, lease: usize },
    WriteRole { role: usize, doc: Doc },
    RemoveRole { role: usize },
    Rename { from: usize, to: usize },
    TokenLength { length: usize },
    FailCreates { n: usize, after: bool },
    FailRevokes { n: usize, after: bool },
    FailLists { n: usize },
    Kill { handle: usize },
    Restart,
    Forget { pin: usize },
    List,
}

struct Held {
    opened: Opened,
    node: Node,
    bytes: String,
    secret: String,
    ended: Option<Errno>,
}

impl Held {
    /// Whether it reads a node through its pages.
    fn reads_pages_of(&self, node: Node) -> bool {
        self.node == node && !self.opened.direct && self.ended.is_none()
    }
}

/// A node that a dentry keeps: path, bind mount or `/proc/self/fd`.
#[derive(Clone, Copy)]
struct Pin {
    node: Node,
    role: usize,
    doc: Doc,
    tid: u32,
}

/// What the model expects the next opener of a scope to get.
struct Current {
    secret: String,
    closed_at: Timestamp,
}

/// How a token was made.
#[derive(Clone, Copy)]
struct Terms {
    doc: Doc,
    ends: Timestamp,
}

type Scope = (usize, u32);

pub struct World {
    m: Machine,
    roles: [Option<Doc>; 3],
    held: Vec<Held>,
    pins: Vec<Pin>,
    current: HashMap<Scope, Current>,
    terms: HashMap<String, Terms>,
    /// Tokens whose death the daemon could not know of.
    killed: HashSet<String>,
    handed: HashSet<String>,
    /// Something happened that may revoke under a reader.
    revoked: bool,
}

fn caller(tid: u32) -> Caller {
    Caller { uid: 0, gid: 0, tid }
}

fn secret_in(text: &str) -> String {
    let from = text.find("secret0").expect("a token in the text");
    text[from..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '.').collect()
}

fn before(at: Timestamp, by: u64) -> Timestamp {
    at - SignedDuration::from_secs(i64::try_from(by).unwrap())
}

impl World {
    /// A daemon with two shared roles.
    pub async fn new() -> Self {
        let mut world = Self {
            m: Machine::new().await,
            roles: [None; 3],
            held: Vec::new(),
            pins: Vec::new(),
            current: HashMap::new(),
            terms: HashMap::new(),
            killed: HashSet::new(),
            handed: HashSet::new(),
            revoked: false,
        };
        world.name_units();
        for (role, owner) in [(0, 0), (1, 3)] {
            world.step(&Op::WriteRole { role, doc: Doc { owner, share: 0, times: 0, revoke: false } }).await;
        }
        world
    }

    /// Runs a list of operations and its end: everything closed and enough time passed.
    pub async fn run(ops: &[Op]) {
        let mut world = Self::new().await;
        for op in ops {
            world.step(op).await;
        }
        world.finish().await;
    }

    fn name_units(&self) {
        for tid in 1..4 {
            self.m.facts.units.lock().insert(tid, format!("/unit{}.service", tid / 2));
        }
    }

    async fn step(&mut self, op: &Op) {
        let dead_before: HashSet<String> = self.dead();
        let faults = self.m.api.faults_left();
        self.act(op).await;
        self.m.settle().await;
        self.m.settle().await;
        if self.m.api.faults_left() < faults {
            // A lost answer may have regenerated a slot.
            let slots = self.m.api.made().into_iter().filter(|made| made.kind.is_slot()).map(|made| made.secret);
            let slots: HashSet<String> = slots.collect();
            self.killed.extend(self.dead().difference(&dead_before).filter(|s| slots.contains(*s)).cloned());
        }
        self.learn();
        self.check().await;
    }

    fn dead(&self) -> HashSet<String> {
        self.m.api.made().into_iter().filter(|made| !made.alive).map(|made| made.secret).collect()
    }

    /// Notes on which terms new tokens were made.
    fn learn(&mut self) {
        for made in self.m.api.made() {
            let role = NAMES.iter().position(|name| made.description.contains(&format!(" testhost {name} ")));
            let doc = role.and_then(|role| self.roles[role]).filter(|doc| doc.makes(&made));
            if let (Some(doc), Some(ends)) = (doc, made.ends) {
                self.terms.entry(made.secret).or_insert(Terms { doc, ends: before(ends, UPSTREAM_MARGIN) });
            }
        }
    }

    async fn act(&mut self, op: &Op) {
        match *op {
            Op::Open { role, door, tid } => self.open(role, door, tid).await,
            Op::OpenPinned { pin, tid } => self.open_pinned(pin, tid).await,
            Op::Close { handle } if !self.held.is_empty() => {
                let held = self.held.swap_remove(handle % self.held.len());
                self.close(held);
            }
            Op::Advance { seconds: by } => self.m.clock.advance(seconds(by)),
            Op::Rotate { role, revoke } => self.rotate(role, revoke).await,
            Op::RemoveLease { role, lease } => self.remove_lease(role, lease).await,
            Op::WriteRole { role, doc } => {
                let doc = doc.legal();
                self.m.write(&format!("roles/{}", NAMES[role]), &doc.text()).await.expect("a legal document");
                if self.roles[role].is_none_or(|former| !former.same_tokens(doc)) {
                    self.lose(role);
                }
                self.roles[role] = Some(doc);
            }
            Op::RemoveRole { role } => {
                let removed = self.m.remove(&format!("roles/{}", NAMES[role])).await;
                assert_eq!(removed.is_ok(), self.roles[role].take().is_some());
                self.revoked = true;
                self.current.clear();
            }
            Op::Rename { from, to } if from != to => self.rename(from, to).await,
            Op::TokenLength { length } => self.m.api.set_token_length(length),
            Op::FailCreates { n, after } => self.m.api.script("create", faults(n, after)),
            Op::FailRevokes { n, after } => {
                for call in ["revoke", "revoke_slot"] {
                    self.m.api.script(call, faults(n, after));
                }
            }
            Op::FailLists { n } => self.m.api.script("list", faults(n, false)),
            Op::Kill { handle } if !self.held.is_empty() => {
                let secret = self.held[handle % self.held.len()].secret.clone();
                self.m.api.kill(&secret);
                self.killed.insert(secret);
            }
            Op::Restart => self.restart().await,
            Op::Forget { pin } if !self.pins.is_empty() => {
                let pin = pin % self.pins.len();
                // The kernel forgets no inode that a file is open of.
                if !self.held.iter().any(|held| held.node == self.pins[pin].node) {
                    let pin = self.pins.swap_remove(pin);
                    self.m.vfs.forget(pin.node.ino(), 1);
                }
            }
            Op::List => self.list(),
            _ => {}
        }
    }

    /// Which of the model's scopes a caller of a role is in.
    fn scope(&self, role: usize, doc: Doc, tid: u32) -> Scope {
        match (doc.is_slot(), doc.share) {
            (true, _) => (100 + doc.owner, 0),
            (_, 1) => (role, 1 + tid / 2),
            _ => (role, 0),
        }
    }

    async fn open(&mut self, role: usize, door: usize, tid: u32) {
        let path = format!("creds/{}/{}", NAMES[role], DOORS[door]);
        let faults = self.m.api.faults_left();
        let Some(doc) = self.roles[role] else {
            let opened = self.m.open_as(caller(tid), &path, libc::O_RDONLY).await;
            assert_eq!(opened.err(), Some(Errno(libc::ENOENT)));
            return;
        };
        let expected = self.expected(role, doc, tid);
        let (mut node, mut attr) = self.m.walk(caller(tid), &path).unwrap();
        self.m.told.rewritten.lock().clear();
        let mut result = self.m.vfs.open(caller(tid), node.ino(), libc::O_RDONLY).wait().await;
        if result == Err(Errno(libc::ESTALE)) {
            (node, attr) = self.m.walk(caller(tid), &path).unwrap();
            result = self.m.vfs.open(caller(tid), node.ino(), libc::O_RDONLY).wait().await;
            assert_ne!(result, Err(Errno(libc::ESTALE)), "two in a row");
        }
        let opened = match result {
            Ok(opened) => opened,
            Err(errno) => {
                assert!(self.m.api.faults_left() < faults, "{path}: {errno:?} though nothing failed");
                assert_eq!(expected, None, "{errno:?} though a good token was there");
                return;
            }
        };
        let bytes = self.admit(opened, node, doc);
        let rewritten = self.m.told.rewritten.lock().iter().rfind(|(ino, _)| *ino == node.ino()).map(|(_, b)| b.len());
        let size = rewritten.map_or(attr.size, |len| len as u64);
        assert_eq!(size, bytes.len() as u64, "the size that the kernel knows");
        assert_eq!(self.m.vfs.getattr(node.ino()).unwrap().size, bytes.len() as u64, "st_size");
        let secret = secret_in(&bytes);
        if let Some(expected) = expected {
            assert_eq!(secret, expected, "openers of one scope share its token");
        }
        if doc.share == 2 {
            assert!(!self.handed.contains(&secret), "every open by path has its own token");
        } else {
            let current = Current { secret: secret.clone(), closed_at: self.m.clock_now() };
            self.current.insert(self.scope(role, doc, tid), current);
        }
        self.handed.insert(secret);
        self.pins.push(Pin { node, role, doc, tid });
    }

    /// The token that the next opener must get, where the model can tell.
    fn expected(&self, role: usize, doc: Doc, tid: u32) -> Option<String> {
        let current = self.current.get(&self.scope(role, doc, tid)).filter(|_| doc.share != 2)?;
        let terms = self.terms.get(&current.secret)?;
        let (ttl, max_ttl) = TIMES[terms.doc.times];
        let (needed, now) = (ttl.min(max_ttl / 2), self.m.clock_now());
        let in_use = self.held.iter().any(|held| held.secret == current.secret && held.ended.is_none());
        let lingers = terms.doc.is_slot() || (!terms.doc.revoke && now < current.closed_at + seconds(ttl - 6));
        let good = now + seconds(needed + 1) < terms.ends && (in_use || lingers);
        (good && !self.killed.contains(&current.secret)).then(|| current.secret.clone())
    }

    async fn open_pinned(&mut self, pin: usize, tid: u32) {
        if self.pins.is_empty() {
            return;
        }
        let pin = self.pins[pin % self.pins.len()];
        let faults = self.m.api.faults_left();
        let opened = match self.m.open_node(caller(tid), pin.node).await {
            Ok(opened) => opened,
            Err(Errno(libc::ENOENT)) => return assert!(self.roles[pin.role].is_none()),
            Err(Errno(libc::ESTALE)) => {
                // One inode has one page cache: it never serves a second scope.
                let moved = self.roles[pin.role].is_none_or(|doc| !doc.same_tokens(pin.doc));
                return assert!(moved || self.pinned_elsewhere(pin, tid), "pinned: two ESTALE in a row");
            }
            Err(errno) => return assert!(self.m.api.faults_left() < faults, "pinned: {errno:?} though nothing failed"),
        };
        let doc = self.roles[pin.role].expect("an open of a removed role fails");
        let bytes = self.admit(opened, pin.node, doc);
        // One inode has one size. Those who read the former content through its pages come first: else they read it cut.
        let former = self.held.iter().find(|held| held.reads_pages_of(pin.node)).map(|held| held.bytes.len());
        let size = self.m.vfs.getattr(pin.node.ino()).unwrap().size;
        assert_eq!(size, former.unwrap_or(bytes.len()) as u64, "st_size of a pinned node");
        self.handed.insert(secret_in(&bytes));
    }

    /// Whether the node served other callers than this one, or another role, before.
    fn pinned_elsewhere(&self, pin: Pin, tid: u32) -> bool {
        pin.doc.share == 1 && pin.tid / 2 != tid / 2 || self.revoked
    }

    /// What holds for everything that was just opened.
    fn admit(&mut self, opened: Opened, node: Node, doc: Doc) -> String {
        let bytes = self.m.read(&opened).expect("a token that was just handed out can be read");
        let secret = secret_in(&bytes);
        let made = self.m.api.made().into_iter().find(|made| made.secret == secret).expect("a token of upstream's");
        assert!(doc.makes(&made), "a token of {} for {doc:?}", made.owner);
        if !self.killed.contains(&secret) {
            assert!(self.m.api.is_live(&secret), "a dead token was handed out");
        }
        let end = before(made.ends.unwrap(), UPSTREAM_MARGIN);
        assert!(self.m.clock_now() < end, "handed out past its end");
        self.held.push(Held { opened, node, bytes: bytes.clone(), secret, ended: None });
        bytes
    }

    fn close(&mut self, held: Held) {
        self.m.close(held.opened);
        let now = self.m.clock_now();
        for current in self.current.values_mut().filter(|current| current.secret == held.secret) {
            current.closed_at = now;
        }
    }

    async fn rotate(&mut self, role: usize, revoke: bool) {
        let text = if revoke { "revoke\n" } else { "\n" };
        let faults = self.m.api.faults_left();
        let result = self.m.write(&format!("rotate/{}", NAMES[role]), text).await;
        match (result, self.roles[role]) {
            (Err(Errno(libc::EBUSY)), Some(_)) => return,
            (Err(errno), Some(doc)) if doc.share == 2 => return assert_eq!(errno, Errno(libc::EOPNOTSUPP)),
            (Err(_), None) => return,
            (Err(errno), _) => assert!(self.m.api.faults_left() < faults, "rotate: {errno:?} though nothing failed"),
            (Ok(()), doc) => assert!(doc.is_some()),
        }
        self.revoked = true;
        self.lose(role);
    }

    async fn remove_lease(&mut self, role: usize, lease: usize) {
        if self.roles[role].is_none() {
            return;
        }
        let dir = format!("leases/{}", NAMES[role]);
        let names: Vec<String> = self.m.list(&dir).into_iter().filter(|name| !name.starts_with('.')).collect();
        if names.is_empty() {
            return;
        }
        self.m.remove(&format!("{dir}/{}", names[lease % names.len()])).await.expect("a listed lease can be removed");
        self.revoked = true;
        self.lose(role);
    }

    async fn rename(&mut self, from: usize, to: usize) {
        let (old, new) = (format!("roles/{}", NAMES[from]), format!("roles/{}", NAMES[to]));
        let renamed = self.m.rename(&old, &new).await;
        assert_eq!(renamed.is_ok(), self.roles[from].is_some());
        if renamed.is_ok() {
            self.roles[to] = self.roles[from].take();
            self.revoked = true;
            self.current.clear();
        }
    }

    /// The model cannot tell any more what the next opener of a role gets.
    fn lose(&mut self, role: usize) {
        self.current.retain(|scope, _| scope.0 != role && scope.0 < 100);
    }

    async fn restart(&mut self) {
        let m = std::mem::replace(&mut self.m, Machine::bare().await);
        self.m = m.restart().await;
        self.name_units();
        self.held.clear();
        // Without a note in the ledger a lease counts as closed at the start, with one up to then.
        self.current.retain(|_, current| self.terms.get(&current.secret).is_some_and(|terms| terms.doc.is_slot()));
        self.revoked = true;
    }

    fn list(&self) {
        let calls = self.m.api.calls().len();
        for dir in ["", "roles", "creds", "rotate", "leases"] {
            self.m.list(dir);
        }
        for name in NAMES.iter().enumerate().filter(|(role, _)| self.roles[*role].is_some()).map(|(_, name)| name) {
            for dir in [format!("creds/{name}"), format!("leases/{name}")] {
                for file in self.m.list(&dir) {
                    let (node, attr) = self.m.walk(caller(1), &format!("{dir}/{file}")).unwrap();
                    assert_eq!(self.m.vfs.getattr(node.ino()).unwrap().size, attr.size, "{dir}/{file}");
                }
            }
        }
        let root = self.m.walk(caller(1), "").unwrap().0;
        assert!(self.m.vfs.lookup(caller(1), root.ino(), OsStr::new("nothing")).is_err());
        assert_eq!(self.m.api.calls().len(), calls, "looking calls nobody");
    }

    /// The promises that hold whenever nothing is under way.
    async fn check(&mut self) {
        let now = self.m.clock_now();
        for held in &mut self.held {
            let read = self.m.read(&held.opened);
            match (read, held.ended) {
                (Ok(bytes), None) => {
                    assert_eq!(bytes, held.bytes, "a handle keeps its one token");
                    if held.reads_pages_of(held.node)
                        && let Ok(attr) = self.m.vfs.getattr(held.node.ino())
                        && matches!(
                            held.node,
                            Node::SharedDoor { door: Door::Token, .. } | Node::OpenDoor { door: Door::Token, .. }
                        )
                    {
                        assert_eq!(attr.size, bytes.len() as u64, "what is read through pages is not cut");
                    }
                }
                (Ok(_), Some(ended)) => panic!("a handle that had ended with {ended:?} reads again"),
                (Err(errno), None) => {
                    match errno.0 {
                        libc::EKEYEXPIRED => {
                            let end = self.terms.get(&held.secret).map(|terms| terms.ends);
                            assert!(end.is_none_or(|end| end <= now), "expired before its end");
                        }
                        // A slot with too little life left is regenerated by the next open.
                        libc::EKEYREVOKED => assert!(
                            self.revoked
                                || self.killed.contains(&held.secret)
                                || self.terms.get(&held.secret).is_none_or(|terms| terms.doc.is_slot()),
                            "revoked though nobody asked for it"
                        ),
                        _ => panic!("a handle fails with {errno:?}"),
                    }
                    held.ended = Some(errno);
                }
                (Err(errno), Some(ended)) => assert_eq!(errno, ended, "an end does not change its mind"),
            }
        }
        self.check_ledger().await;
    }

    /// No token is alive upstream that the ledger does not know.
    async fn check_ledger(&self) {
        let known = lease_records(&self.m).await;
        for made in self.m.api.live() {
            let knows = |record: &LeaseRecord| {
                record.token_id.as_ref() == Some(&made.id)
                    || (record.phase == Phase::Intent && record.description == made.description)
            };
            assert!(known.iter().any(knows), "orphan: {made:?}\n{known:#?}");
        }
    }

    async fn finish(mut self) {
        self.m.api.forget_faults();
        for held in std::mem::take(&mut self.held) {
            self.m.close(held.opened);
        }
        for _ in 0..12 {
            self.m.pass(seconds(600)).await;
            self.m.settle().await;
        }
        for _ in 0..25 {
            self.m.pass(seconds(3600)).await;
            self.m.settle().await;
        }
        let live = self.m.api.live();
        assert!(live.is_empty(), "still alive upstream at the end: {live:?}");
        let records = lease_records(&self.m).await;
        assert!(records.is_empty(), "still in the ledger at the end: {records:#?}");
    }
}

/// The leases in the store.
pub async fn lease_records(m: &Machine) -> Vec<LeaseRecord> {
    let records = m.store.load().await.unwrap();
    let leases = records.iter().filter(|record| record.key.starts_with("lease/"));
    leases.map(|record| serde_json::from_slice(&record.value).unwrap()).collect()
}

fn faults(n: usize, after: bool) -> Vec<Fault> {
    let kind = ApiErrorKind::Timeout;
    (0..n).map(|_| if after { Fault::After(kind) } else { Fault::Before(ApiErrorKind::Unreachable) }).collect()
}

/// Runs the future of a test on a clock of its own: no deadline ever waits in real time.
pub fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(future);
}
