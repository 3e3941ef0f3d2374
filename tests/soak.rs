//! The real daemon is killed with -9 again and again, under load and upstream faults. Nothing may live upstream that the
//! ledger does not know, and no reader may get a token that was not made for its role.
//!
//! `TFCFS_SOAK_KILLS=1000 ./test --test soak` for a long one, `TFCFS_SOAK_SEED=n` for the same dice again.

#[allow(dead_code, reason = "the tests use a part of the fake")]
#[path = "../examples/fake_tfc/mod.rs"]
mod fake;

#[allow(dead_code, reason = "the tests use a part of the support")]
#[path = "mount/support.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fake::{ACME, ErrorBody, FakeOptions, Fault, Kind, Owner, Route, TokenInfo, When};
use rustix::process::Signal;
use support::Site;

/// What one role may hand out.
#[derive(Clone)]
struct Role {
    name: &'static str,
    document: String,
    owner: Owner,
    kind: Kind,
}

fn roles(site: &Site) -> Vec<Role> {
    let role = |name, keys: String, owner: &Owner, kind| Role {
        name,
        document: format!("{keys}\nttl = \"4s\"\nmin_rotation_interval = \"1s\"\n"),
        owner: owner.clone(),
        kind,
    };
    let team_id = site.fake.team_id(ACME, "deploy");
    let team = Owner::Team(team_id.clone());
    let user_id = site.fake.user_id("alice");
    let user = Owner::User(user_id.clone());
    let described = format!("team_id = \"{team_id}\"\ncredential_type = \"team\"");
    let slot = |keys: &str| format!("{keys}\nmin_rotation_interval = \"1s\"\n");
    vec![
        role("app", described.clone(), &team, Kind::Team),
        role("each", format!("{described}\nshare = \"open\"\non_close = \"revoke\""), &team, Kind::Team),
        role("user", format!("user_id = \"{user_id}\""), &user, Kind::User),
        Role {
            name: "org",
            document: slot("organization = \"acme\""),
            owner: Owner::Organization(ACME.into()),
            kind: Kind::Organization,
        },
        Role {
            name: "legacy",
            document: slot(&format!("team_id = \"{team_id}\"\ncredential_type = \"team_legacy\"")),
            owner: team,
            kind: Kind::TeamLegacy,
        },
    ]
}

/// What the load did, told at the end: a soak that read nothing has proven nothing.
#[derive(Default)]
struct Tally {
    reads: AtomicUsize,
    rereads: AtomicUsize,
    failures: AtomicUsize,
    changes: AtomicUsize,
}

struct Soak {
    site: Arc<Site>,
    roles: Vec<Role>,
    tally: Tally,
    paused: AtomicBool,
    over: AtomicBool,
}

/// Errors that a reader may meet while the daemon dies, or upstream fails. Everything else is a defect.
const SENSIBLE: &[i32] = &[
    libc::ENOTCONN,
    libc::ECONNABORTED,
    libc::ENOENT,
    libc::ENODEV,
    libc::ENOKEY,
    libc::ETIMEDOUT,
    libc::EREMOTEIO,
    libc::EHOSTUNREACH,
    libc::ECONNREFUSED,
    libc::EAGAIN,
    libc::EACCES,
    libc::EKEYREJECTED,
    libc::EKEYREVOKED,
    libc::EKEYEXPIRED,
    libc::EBUSY,
    libc::EINTR,
    libc::EDQUOT,
    // The kernel's answer for a page that could not be read.
    libc::EIO,
];

impl Soak {
    fn until_over(&self, mut work: impl FnMut(&mut fastrand::Rng), seed: u64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        while !self.over.load(Ordering::Acquire) {
            if self.paused.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            work(&mut rng);
        }
    }

    fn failed(&self, what: &str, error: &std::io::Error) {
        self.tally.failures.fetch_add(1, Ordering::Relaxed);
        let errno = error.raw_os_error();
        assert!(errno.is_some_and(|errno| SENSIBLE.contains(&errno)), "{what}: {error}");
    }

    fn judge(&self, role: &Role, text: &str) {
        let token = self.site.fake.token_of_secret(text);
        let Some(token) = token else { panic!("{}: {} bytes that upstream never gave", role.name, text.len()) };
        assert_eq!((token.owner, token.kind), (role.owner.clone(), role.kind), "{}: another one's token", role.name);
    }

    /// `cat`, or a program that holds the file for a while and reads it again.
    fn read(&self, rng: &mut fastrand::Rng) {
        let role = &self.roles[rng.usize(..self.roles.len())];
        let path = self.site.at(&format!("creds/{}/token", role.name));
        let mut text = String::new();
        let file = match File::open(&path).and_then(|mut file| file.read_to_string(&mut text).map(|_| file)) {
            Ok(file) => file,
            Err(error) => {
                std::thread::sleep(Duration::from_millis(2));
                return self.failed(role.name, &error);
            }
        };
        self.judge(role, &text);
        self.tally.reads.fetch_add(1, Ordering::Relaxed);
        if rng.u8(..4) > 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(rng.u64(..100)));
        let mut again = [0; 512];
        match std::os::unix::fs::FileExt::read_at(&file, &mut again, 0) {
            Ok(count) => {
                assert_eq!(&again[..count], text.as_bytes(), "{}: a handle keeps its token", role.name);
                self.tally.rereads.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => self.failed(role.name, &error),
        }
    }

    /// Rotates, revokes, removes and writes roles.
    fn operate(&self, rng: &mut fastrand::Rng) {
        let role = &self.roles[rng.usize(..self.roles.len())];
        let (name, at) = (role.name, |path: String| self.site.at(&path));
        let document = at(format!("roles/{name}"));
        let done = match rng.u8(..11) {
            10 => fs::write(at("rotate/config".into()), "\n"),
            0..=3 => fs::write(at(format!("rotate/{name}")), if rng.bool() { "\n" } else { "revoke\n" }),
            4..=5 => fs::read_dir(at(format!("leases/{name}"))).and_then(|mut leases| match leases.next() {
                Some(lease) => fs::remove_file(lease?.path()),
                None => Ok(()),
            }),
            6 => fs::remove_file(&document).and_then(|()| fs::write(&document, &role.document)),
            _ => fs::write(&document, &role.document),
        };
        match done {
            Ok(()) => _ = self.tally.changes.fetch_add(1, Ordering::Relaxed),
            // A role whose every open is fresh cannot be rotated.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            Err(error) => self.failed(name, &error),
        }
        std::thread::sleep(Duration::from_millis(rng.u64(5..60)));
    }

    /// Upstream misbehaves for a few calls.
    fn misbehave(&self, rng: &mut fastrand::Rng) {
        let after = |status| Fault::Status { status, body: ErrorBody::Html, when: When::After };
        let fault = match rng.u8(..9) {
            0 => Fault::status(503),
            1 => after(502),
            2 | 3 => Fault::Close { when: When::After },
            4 => Fault::Close { when: When::Before },
            5 => Fault::CutBody,
            6 => Fault::NoToken,
            7 => Fault::rate_limited("0.2"),
            _ => Fault::Delay { ms: rng.u64(10..400), when: if rng.bool() { When::Before } else { When::After } },
        };
        self.site.fake.set_fault(Route::Any, rng.u32(1..4), fault);
        std::thread::sleep(Duration::from_millis(rng.u64(20..200)));
    }

    /// Token ids that the mount names as live, by role.
    fn listed(&self) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        for role in &self.roles {
            let Ok(leases) = fs::read_dir(self.site.at(&format!("leases/{}", role.name))) else { continue };
            for lease in leases.flatten() {
                let text = fs::read_to_string(lease.path()).unwrap_or_default();
                let id = text.lines().find_map(|line| line.strip_prefix("token_id = \""));
                ids.extend(id.map(|id| id.trim_end_matches('"').to_owned()));
            }
        }
        ids
    }

    /// With everything quiet: what lives upstream is what the mount lists, no more and no less.
    fn compare(&self, what: &str) {
        self.site.fake.clear_faults();
        let start = Instant::now();
        loop {
            // Leases end by themselves meanwhile, so both are looked at until they agree.
            let listed = self.listed();
            let (anchors, made): (Vec<_>, Vec<_>) = self.site.made().into_iter().partition(is_anchor);
            let live: BTreeMap<String, _> = made.into_iter().map(|token| (token.id.clone(), token)).collect();
            let orphans: Vec<_> = live.values().filter(|token| !listed.contains(&token.id)).collect();
            let dead: Vec<_> = listed.iter().filter(|id| !live.contains_key(*id)).collect();
            if orphans.is_empty() && dead.is_empty() && anchors.len() <= 1 {
                return;
            }
            assert!(
                start.elapsed() < Duration::from_secs(40),
                "{what}: orphans {orphans:?}, listed but dead {dead:?}, anchors {anchors:?}\n{}\n{}",
                fs::read_to_string(self.site.at("status")).unwrap_or_default(),
                fs::read_to_string(self.site.at("errors")).unwrap_or_default(),
            );
            // What a lost answer left in a slot is settled by the next open, or by itself after a while longer than this.
            for token in orphans.iter().filter(|token| token.description.is_none()) {
                let role = self.roles.iter().find(|role| (&role.owner, role.kind) == (&token.owner, token.kind));
                let _ = role.map(|role| fs::read(self.site.at(&format!("creds/{}/token", role.name))));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn write_roles(&self) {
        for role in &self.roles {
            fs::write(self.site.at(&format!("roles/{}", role.name)), &role.document).unwrap();
        }
    }
}

/// Made by a rotation of the anchor.
fn is_anchor(token: &TokenInfo) -> bool {
    token.description.as_deref().is_some_and(|text| text.starts_with("tfcfs ") && text.contains(" anchor "))
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn killed_again_and_again_nothing_is_lost_track_of() {
    let kills = setting("TFCFS_SOAK_KILLS").unwrap_or(50);
    let seed = setting("TFCFS_SOAK_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{kills} kills, seed {seed}");
    let site = Site::with(FakeOptions { rate: 0, ..FakeOptions::default() });
    site.settings("open_deadline = \"1s\"\nrotate_deadline = \"2s\"\ndelete_grace = \"1s\"\nrate = 2000\n");
    let soak = Soak {
        roles: roles(&site),
        site: site.clone(),
        tally: Tally::default(),
        paused: AtomicBool::new(false),
        over: AtomicBool::new(false),
    };
    let mut daemon = site.mount();
    daemon.write("config", &site.anchor());
    soak.write_roles();
    let mut rng = fastrand::Rng::with_seed(seed);
    std::thread::scope(|scope| {
        let soak = &soak;
        for _ in 0..3 {
            let seed = rng.u64(..);
            scope.spawn(move || soak.until_over(|rng| soak.read(rng), seed));
        }
        let seed = rng.u64(..);
        scope.spawn(move || soak.until_over(|rng| soak.operate(rng), seed));
        let seed = rng.u64(..);
        scope.spawn(move || soak.until_over(|rng| soak.misbehave(rng), seed));
        // Whatever fails in here must not leave the others running.
        let _over = Over(&soak.over);
        for kill in 1..=kills {
            std::thread::sleep(Duration::from_millis(rng.u64(5..250)));
            daemon.signal(Signal::KILL);
            daemon.wait();
            // The dead one's mount is the next one's to replace: nobody cleans up here.
            std::mem::forget(std::mem::replace(&mut daemon, site.mount()));
            if kill % 50 == 0 {
                soak.paused.store(true, Ordering::Release);
                // Who is in a call finishes it: deadlines are 2 s at most.
                std::thread::sleep(Duration::from_millis(2500));
                soak.compare(&format!("after kill {kill}, seed {seed}"));
                soak.write_roles();
                soak.paused.store(false, Ordering::Release);
            }
        }
    });
    soak.compare(&format!("at the end, seed {seed}"));
    for role in &soak.roles {
        let _ = fs::remove_file(site.at(&format!("roles/{}", role.name)));
    }
    support::eventually("with their roles all tokens go", || site.made().iter().all(is_anchor));
    let rotations = site.fake.all_tokens().iter().filter(|token| is_anchor(token)).count();
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let Tally { reads, rereads, failures, changes } = &soak.tally;
    let made = site.fake.all_tokens().iter().filter(|token| !token.seeded).count();
    println!(
        "{kills} kills: {} reads, {} held and read again, {} failed, {} changes, {made} tokens made, {rotations} of them anchors, 0 orphans",
        count(reads),
        count(rereads),
        count(failures),
        count(changes),
    );
    assert!(count(reads) > 2 * kills as usize && count(changes) > kills as usize / 2, "no load");
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
