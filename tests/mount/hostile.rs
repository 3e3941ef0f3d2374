//! Hostile and clumsy use: so many opens, handles, rotations and searches that anything that hangs, leaks or mixes up would
//! show. Sizes for a test run; `TFCFS_HOSTILE=full ./test hostile` is the whole: a million opens, ten thousand handles.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::support::{Daemon, Site, errno_of, eventually};
use crate::fake::{Calls, FakeOptions, Fault, Route};

fn sized(test: usize, full: usize) -> usize {
    if std::env::var("TFCFS_HOSTILE").is_ok_and(|size| size == "full") { full } else { test }
}

/// A daemon whose upstream sets no limit.
fn fast() -> (Arc<Site>, Daemon) {
    let site = Site::with(FakeOptions { rate: 0, ..FakeOptions::default() });
    site.settings("rate = 10000\ndeny_programs = [\"updatedb\"]\n");
    let daemon = Daemon::ready_on(site.clone());
    (site, daemon)
}

/// Inodes of FUSE that the kernel keeps, of all mounts.
fn kernel_inodes() -> usize {
    let slabs = fs::read_to_string("/proc/slabinfo").unwrap_or_default();
    let line = slabs.lines().find(|line| line.starts_with("fuse_inode"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default()
}

fn drop_caches() {
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
}

/// Waits until an operation that must not hang is over; a hang names itself instead of the test's timeout.
fn each_ends<T: Send + 'static>(what: &str, works: Vec<Box<dyn FnOnce() -> T + Send>>) -> Vec<T> {
    let (done, ends) = std::sync::mpsc::channel();
    let count = works.len();
    for work in works {
        let done = done.clone();
        std::thread::spawn(move || {
            let _ = done.send(work());
        });
    }
    drop(done);
    (0..count)
        .map(|n| ends.recv_timeout(Duration::from_secs(110)).unwrap_or_else(|_| panic!("{what}: {n} of {count} ended")))
        .collect()
}

#[test]
fn a_great_many_opens_leak_nothing() {
    let (_site, daemon) = fast();
    let opens = sized(50_000, 1_000_000);
    for (role, share, opens) in [("shared", "role", opens), ("unshared", "open", opens / 500)] {
        daemon.write(
            &format!("roles/{role}"),
            &daemon.team_role(&format!("share = \"{share}\"\nttl = \"1s\"\nmax_leases = 100000")),
        );
        let path = daemon.at(&format!("creds/{role}/token"));
        let read = move |path: &std::path::Path, count: usize| {
            let first = fs::read_to_string(path).unwrap();
            let mut bytes = Vec::new();
            for _ in 0..count {
                bytes.clear();
                File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
                assert_eq!(bytes.len(), first.len());
                assert!(share == "open" || bytes == first.as_bytes());
            }
        };
        // What is kept for so many readers at once stands before it is measured.
        read(&path, opens / 10);
        let (memory, inodes) = (daemon.resident(), kernel_inodes());
        let begun = Instant::now();
        let works = (0..8).map(|_| {
            let path = path.clone();
            Box::new(move || read(&path, opens / 8)) as Box<dyn FnOnce() + Send>
        });
        each_ends("opens", works.collect());
        let (grown, more) = (daemon.resident().saturating_sub(memory), kernel_inodes().saturating_sub(inodes));
        let rate = opens as f64 / begun.elapsed().as_secs_f64();
        println!("{share}: {opens} opens, {rate:.0} a second, {grown} KiB and {more} kernel inodes more");
        assert!(grown < 16 * 1024, "{share}: {grown} KiB more after {opens} opens");
    }
    drop_caches();
    eventually("every lease of an unshared role ends", || daemon.lease_count("unshared") == 0);
}

#[test]
fn thousands_of_held_handles_are_one_lease_and_cost_little() {
    let (_site, daemon) = fast();
    daemon.write("roles/app", &daemon.team_role("on_close = \"revoke\""));
    let handles = sized(2_000, 10_000);
    // As far as this process may go.
    let resource = rustix::process::Resource::Nofile;
    let maximum = rustix::process::getrlimit(resource).maximum;
    rustix::process::setrlimit(resource, rustix::process::Rlimit { current: maximum, maximum }).unwrap();
    let path = daemon.at("creds/app/token");
    let first = File::open(&path).unwrap();
    let memory = daemon.resident();
    let held: Vec<File> = (0..handles).map(|_| File::open(&path).unwrap()).collect();
    let each = daemon.resident().saturating_sub(memory) * 1024 / handles;
    println!("{handles} handles: {each} bytes of the daemon's memory each");
    assert!(each < 4096, "{each} bytes for each handle");
    assert_eq!(daemon.lease_count("app"), 1);
    drop(first);
    drop(held);
    let begun = Instant::now();
    eventually("the lease ends with its last handle", || daemon.lease_count("app") == 0);
    println!("the lease was gone {:?} after the last of them was closed", begun.elapsed());
    eventually("its token is revoked", || daemon.made().is_empty());
}

/// Watches directories by inotify, as an editor or a supervisor of configuration does.
struct Watcher {
    counts: Arc<parking_lot::Mutex<Told>>,
}

#[derive(Default, Clone, Copy, PartialEq)]
struct Told {
    /// `token` was written and closed.
    tokens: usize,
    /// Everything.
    all: usize,
    /// The kernel's queue ran over.
    lost: usize,
}

impl Watcher {
    fn of(directories: impl Iterator<Item = std::path::PathBuf>) -> Self {
        use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
        let queue = inotify::init(CreateFlags::CLOEXEC).unwrap();
        let what = WatchFlags::CLOSE_WRITE | WatchFlags::MODIFY | WatchFlags::DELETE | WatchFlags::CREATE;
        for directory in directories {
            inotify::add_watch(&queue, &directory, what).unwrap();
        }
        let counts: Arc<parking_lot::Mutex<Told>> = Arc::default();
        let counted = counts.clone();
        std::thread::spawn(move || {
            let mut buffer = [const { std::mem::MaybeUninit::uninit() }; 64 * 1024];
            let mut reader = inotify::Reader::new(&queue, &mut buffer);
            while let Ok(event) = reader.next() {
                let mut counts = counted.lock();
                counts.all += 1;
                counts.lost += usize::from(event.events().contains(ReadFlags::QUEUE_OVERFLOW));
                let token = event.file_name().is_some_and(|name| name.to_bytes() == b"token");
                counts.tokens += usize::from(token && event.events().contains(ReadFlags::CLOSE_WRITE));
            }
        });
        Self { counts }
    }

    /// What was told, once nothing more comes.
    fn count(&mut self) -> Told {
        let mut before = Told::default();
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let now = *self.counts.lock();
            if now == before {
                return now;
            }
            before = now;
        }
    }
}

struct SetAtEnd(Arc<AtomicBool>);

impl Drop for SetAtEnd {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn rotations_without_pause_under_many_readers_give_whole_tokens_that_were_issued() {
    let (_site, daemon) = fast();
    let daemon = Arc::new(daemon);
    let time = Duration::from_secs(sized(3, 30) as u64);
    // A role rotates once in a second at the most: so two hundred of them do.
    const ROLES: usize = 200;
    const ROTATORS: usize = 8;
    for n in 0..ROLES {
        daemon.write(&format!("roles/r{n}"), &daemon.team_role("ttl = \"10m\"\nmin_rotation_interval = \"1s\""));
        daemon.read(&format!("creds/r{n}/token"));
    }
    let mut watcher = Watcher::of((0..ROLES).map(|n| daemon.at(&format!("creds/r{n}"))));
    let over = Arc::new(AtomicBool::new(false));
    let (rotations, reads) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut works: Vec<Box<dyn FnOnce() -> HashSet<String> + Send>> = Vec::new();
    for reader in 0..32 {
        let paths: Vec<_> = (0..ROLES).map(|n| daemon.at(&format!("creds/r{n}/token"))).collect();
        let (over, reads) = (over.clone(), reads.clone());
        works.push(Box::new(move || {
            let mut seen = HashSet::new();
            for path in paths.iter().cycle().skip(reader * ROLES / 32) {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                seen.insert(fs::read_to_string(path).unwrap());
                reads.fetch_add(1, Ordering::Relaxed);
            }
            seen
        }));
    }
    for rotator in 0..ROTATORS {
        let own = (0..ROLES).filter(|n| n % ROTATORS == rotator);
        let at = |n| (daemon.at(&format!("rotate/r{n}")), daemon.at(&format!("creds/r{n}/token")));
        let paths: Vec<_> = own.map(at).collect();
        let (over, rotations) = (over.clone(), rotations.clone());
        works.push(Box::new(move || {
            // However this rotator ends, its readers end with it.
            let _ended = SetAtEnd(over);
            let begun = Instant::now();
            let mut last = vec![None::<Instant>; paths.len()];
            while begun.elapsed() < time {
                for ((path, token), last) in paths.iter().zip(&mut last) {
                    let next =
                        last.map_or(Duration::ZERO, |at| Duration::from_millis(1010).saturating_sub(at.elapsed()));
                    std::thread::sleep(next);
                    let former = fs::metadata(token).unwrap().ino();
                    fs::write(path, "\n").unwrap();
                    *last = Some(Instant::now());
                    // A change is announced once somebody has looked the name up since the last one; the kernel hears of
                    // this one a moment after the writer.
                    while fs::metadata(token).unwrap().ino() == former {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    rotations.fetch_add(1, Ordering::Relaxed);
                }
            }
            HashSet::new()
        }));
    }
    let seen: HashSet<String> = each_ends("rotations", works).into_iter().flatten().collect();
    let (rotations, reads) = (rotations.load(Ordering::Relaxed), reads.load(Ordering::Relaxed));
    let told = watcher.count();
    println!(
        "{} rotations and {} reads a second; {} tokens seen; {} events of a rewritten token, {} events in all a second",
        rotations as u64 / time.as_secs(),
        reads as u64 / time.as_secs(),
        seen.len(),
        told.tokens,
        told.all as u64 / time.as_secs(),
    );
    // One event for each rotation, none made up. A name that the kernel has dropped meanwhile, and that nobody looked up before
    // the next rotation, is announced once for both.
    assert_eq!(told.lost, 0);
    assert!(told.tokens <= rotations && told.tokens * 100 >= rotations * 95, "{} of {rotations} told", told.tokens);
    for token in &seen {
        assert!(daemon.fake.token_of_secret(token).is_some(), "a reader got {} bytes that nobody issued", token.len());
    }
    // On a busy machine a round may take all the time there is.
    assert!(seen.len() > ROLES && rotations >= ROLES, "{rotations} rotations");
}

/// A cgroup with a limit on its memory, taken away when dropped.
struct LittleMemory(std::path::PathBuf);

impl LittleMemory {
    fn new(name: &str, bytes: usize) -> Self {
        let (hierarchy, limit) = match fs::exists("/sys/fs/cgroup/memory").unwrap() {
            true => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            false => ("/sys/fs/cgroup", "memory.max"),
        };
        let group = Self(std::path::Path::new(hierarchy).join(format!("tfcfs-{name}-{}", std::process::id())));
        fs::create_dir(&group.0).unwrap();
        fs::write(group.0.join(limit), bytes.to_string()).unwrap();
        group
    }

    fn add(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    /// How often its limit was hit, and how often something was killed for it.
    fn pressed(&self) -> (usize, usize) {
        let read = |file: &str| fs::read_to_string(self.0.join(file)).unwrap_or_default();
        let count = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            line.unwrap_or_default()
        };
        let (events, control) = (read("memory.events"), read("memory.oom_control"));
        let hit = read("memory.failcnt").trim().parse().unwrap_or_else(|_| count(&events, "max "));
        (hit, count(&events, "oom_kill ") + count(&control, "oom_kill "))
    }
}

impl Drop for LittleMemory {
    fn drop(&mut self) {
        // Its last process may be on its way out.
        for _ in 0..200 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Pages of tokens are taken away under their readers, and the daemon has little for itself.
#[test]
fn under_memory_pressure_every_byte_is_right_and_nobody_is_killed() {
    const MIB: usize = 1 << 20;
    let (_site, daemon) = fast();
    for n in 0..40 {
        daemon.write(&format!("roles/r{n}"), &daemon.team_role(""));
    }
    let (serving, reading) = (LittleMemory::new("serves", 24 * MIB), LittleMemory::new("reads", 24 * MIB));
    serving.add(daemon.pid());
    let mut reader = daemon.python_holder(
        "sys.stdin.readline()\n\
         paths = [f'{m}/creds/r{n}/{door}' for n in range(40) for door in ('token', 'token.json', 'env')]\n\
         files = [os.open(p, os.O_RDONLY) for p in paths]\n\
         first = [os.pread(f, 9999, 0) for f in files]\n\
         assert all(first)\n\
         junk = []\n\
         for round in range(40):\n\
         \x20   junk.append(bytearray(os.urandom(1 << 20)))\n\
         \x20   if len(junk) > 4: junk.pop(0)\n\
         \x20   with open(m + '/../junk', 'wb') as f:\n\
         \x20       for _ in range(16): f.write(bytes(1 << 20))\n\
         \x20   for f, path, bytes_ in zip(files, paths, first):\n\
         \x20       assert os.pread(f, 9999, 0) == bytes_, path\n\
         \x20       assert open(path, 'rb').read() == bytes_, path\n\
         print('read', flush=True); sys.stdin.readline()",
    );
    reading.add(reader.pid().as_raw_nonzero().get().unsigned_abs());
    reader.go();
    assert_eq!(reader.line(), "read");
    let path = daemon.at("creds/r0/token");
    let works = (0..4).map(|_| {
        let path = path.clone();
        Box::new(move || (0..5_000).for_each(|_| drop(fs::read(&path).unwrap()))) as Box<dyn FnOnce() + Send>
    });
    each_ends("opens", works.collect());
    let (pressed, killed) = reading.pressed();
    println!("readers met their limit {pressed} times, the daemon {} times", serving.pressed().0);
    assert!(pressed > 0, "no pressure, nothing proven");
    assert_eq!((killed, serving.pressed().1), (0, 0));
    drop(reader);
}

#[test]
fn what_walks_the_whole_mount() {
    let (site, daemon) = fast();
    for n in 0..5 {
        daemon.write(&format!("roles/r{n}"), &daemon.team_role(""));
        daemon.write(&format!("roles/o{n}"), &daemon.team_role("share = \"open\""));
    }
    let made = || site.fake.all_tokens().len();
    let before = made();
    for looks in
        ["find $M -type f", "find $M -size +1c -newer /etc/passwd", "du -a $M", "ls -lRa $M", "stat $M/creds/*/*"]
    {
        daemon.sh(&format!("timeout 20 sh -c '{looks}' > /dev/null"));
    }
    assert_eq!(made(), before, "whatever only looks makes no token");
    // An indexer that opens everything, by the name that the settings file denies.
    fs::copy("/bin/cat", daemon.beside("updatedb")).unwrap();
    let said = daemon.sh_fails("./updatedb $M/creds/*/token");
    assert!(said.contains("Permission denied"), "{said}");
    assert_eq!(made(), before);
    // A search and a backup read what is there: a token for each role, and for each door of an unshared one.
    for reads in ["grep -rc nothing $M/creds", "tar -cf /dev/null $M/creds", "cp -rL $M/creds copy"] {
        daemon.try_sh(&format!("timeout 60 {reads} > /dev/null"));
    }
    println!("grep -r, tar and cp -r of 5 shared and 5 unshared roles made {} tokens", made() - before);
    assert!(made() > before);
}

#[test]
fn rm_of_everything_by_root_leaves_a_mount_that_answers() {
    let (site, daemon) = fast();
    daemon.write("roles/app", &daemon.team_role(""));
    let held = File::open(daemon.at("creds/app/token")).unwrap();
    let said = daemon.sh_fails("timeout 30 rm -rf $M/*");
    assert!(said.contains("creds") || said.contains("Operation not permitted"), "{said}");
    assert_eq!(daemon.names("roles").len(), 0, "documents are the operator's to remove");
    assert_eq!(daemon.names("creds").len(), 0);
    assert!(daemon.read("status").contains("version"));
    drop(held);
    daemon.write("roles/app", &daemon.team_role(""));
    let token = daemon.read("creds/app/token");
    assert!(site.fake.is_live(&token));
}

#[test]
fn caches_dropped_readers_that_never_read_and_storms_of_forgets() {
    let (site, daemon) = fast();
    daemon.write("roles/app", &daemon.team_role(""));
    daemon.write("roles/each", &daemon.team_role("share = \"open\"\nttl = \"1s\""));
    let path = daemon.at("creds/app/token");
    let token = fs::read_to_string(&path).unwrap();
    let idle: Vec<File> = (0..100).map(|_| File::open(&path).unwrap()).collect();
    let unread: Vec<File> = (0..20).map(|_| File::open(daemon.at("creds/each/token")).unwrap()).collect();
    for _ in 0..10 {
        daemon.sh("ls -lR $M > /dev/null; stat $M/creds/each/* $M/creds/app/* > /dev/null");
        drop_caches();
        let ahead = File::open(&path).unwrap();
        rustix::fs::fadvise(&ahead, 0, None, rustix::fs::Advice::WillNeed).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), token);
    }
    for mut one in idle {
        let mut text = String::new();
        one.read_to_string(&mut text).unwrap();
        assert_eq!(text, token, "a hundred handles later");
    }
    let mut seen = HashSet::new();
    for mut one in unread {
        let mut text = String::new();
        one.read_to_string(&mut text).unwrap();
        assert!(site.fake.is_live(&text) && seen.insert(text), "each its own");
    }
    // A program with no descriptor left gets its own error, and nobody else's time.
    daemon.sh_fails("ulimit -n 3; cat $M/creds/app/token");
    assert_eq!(daemon.read("creds/app/token"), token);
}

#[test]
fn an_upstream_that_hangs_blocks_nobody_beyond_the_deadline() {
    let site = Site::new();
    site.settings("open_deadline = \"2s\"\nrate = 10000\n");
    let daemon = Daemon::ready_on(site);
    for n in 0..8 {
        daemon.write(&format!("roles/r{n}"), &daemon.team_role(""));
        daemon.write(&format!("roles/o{n}"), &daemon.team_role("share = \"open\""));
    }
    daemon.fake.set_fault(Route::Any, Calls::Always, Fault::delay(Duration::from_secs(3600)));
    let works = (0..64).map(|n| {
        let path = daemon.at(&format!("creds/{}{}/token", ["r", "o"][n % 2], n / 2 % 8));
        Box::new(move || {
            let begun = Instant::now();
            assert_eq!(errno_of(fs::read(path)), libc::ETIMEDOUT);
            begun.elapsed()
        }) as Box<dyn FnOnce() -> Duration + Send>
    });
    let longest = each_ends("openers", works.collect()).into_iter().max().unwrap();
    println!("64 openers, deadline 2 s: the longest was blocked for {longest:?}");
    assert!(longest < Duration::from_secs(6), "{longest:?}");
}
