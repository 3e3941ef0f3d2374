//! What holding costs, and how soon the end of it is seen.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::daemon::{Daemon, Setup};
use crate::fake::{Fake, FakeOptions};
use crate::stats::{median, micros};
use crate::table::Table;

const HANDLES: usize = 10_000;
const LEASES: usize = 1_000;
const CLOSES: usize = 50;

/// Memory of the daemon for one handle more, and for one lease more, in bytes.
const OF_HANDLE: f64 = 1024.0;
/// See [`OF_HANDLE`].
const OF_LEASE: f64 = 16.0 * 1024.0;

/// Measures it.
pub fn measure(table: &mut Table) -> Outcome {
    // As far as this process may go.
    let resource = rustix::process::Resource::Nofile;
    let maximum = rustix::process::getrlimit(resource).maximum;
    rustix::process::setrlimit(resource, rustix::process::Rlimit { current: maximum, maximum })?;
    let fake = Fake::start(FakeOptions { rate: 0, ..FakeOptions::default() });
    let daemon = Daemon::start(&Setup::new(&fake, "handles", 1))?;
    let path = daemon.token(0);
    let warm: Vec<File> = open(&path, 1000)?;
    drop(warm);
    let _held = File::open(&path)?;
    let before = resident(daemon.pid())?;
    let held = open(&path, HANDLES)?;
    let each = (resident(daemon.pid())? - before) / HANDLES as f64;
    table.at_most(format!("{HANDLES} held handles: memory of each"), each, OF_HANDLE, " B");
    drop(held);
    leases(table, &daemon, &fake)?;
    closes(table, &daemon, &fake)
}

/// Each open of an unshared role is a lease.
fn leases(table: &mut Table, daemon: &Daemon, fake: &Fake) -> Outcome {
    role(daemon, fake, "each", "share = \"open\"\nmax_leases = 100000\n")?;
    let path = daemon.path("creds/each/token");
    let _warm = open(&path, 50)?;
    let before = resident(daemon.pid())?;
    let begun = Instant::now();
    let held = open(&path, LEASES)?;
    let rate = LEASES as f64 / begun.elapsed().as_secs_f64();
    let each = (resident(daemon.pid())? - before) / LEASES as f64;
    table.at_most(format!("{LEASES} held leases: memory of each, its handle included"), each, OF_LEASE, " B");
    table.report("new leases a second, one opener, state on disk", format!("{rate:.0}"));
    drop(held);
    Ok(())
}

/// With `on_close = "revoke"` the file of a lease goes when RELEASE comes.
fn closes(table: &mut Table, daemon: &Daemon, fake: &Fake) -> Outcome {
    role(daemon, fake, "once", "on_close = \"revoke\"\n")?;
    let (path, leases) = (daemon.path("creds/once/token"), daemon.path("leases/once"));
    let mut delays = Vec::new();
    for _ in 0..CLOSES {
        let file = File::open(&path)?;
        let live = std::fs::read_dir(&leases)?.next().ok_or("no lease")??.path();
        let begun = Instant::now();
        drop(file);
        while live.exists() {
            if begun.elapsed() > Duration::from_secs(5) {
                return Err("a lease outlives its last handle".into());
            }
        }
        delays.push(micros(begun.elapsed()) / 1000.0);
    }
    table.report("last close until the lease is gone, p50", format!("{:.2} ms", median(&delays)));
    let longest = delays.iter().copied().fold(0.0, f64::max);
    table.report("the same, the longest", format!("{longest:.2} ms"));
    Ok(())
}

fn role(daemon: &Daemon, fake: &Fake, name: &str, more: &str) -> Outcome {
    let document = format!("user_id = \"{}\"\n{more}", fake.user_id("alice"));
    Ok(std::fs::write(daemon.path(&format!("roles/{name}")), document)?)
}

fn open(path: &Path, count: usize) -> Outcome<Vec<File>> {
    Ok((0..count).map(|_| File::open(path)).collect::<Result<_, _>>()?)
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> Outcome<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0)
}
