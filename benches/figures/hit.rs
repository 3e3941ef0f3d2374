//! Reading a living token, against a bare FUSE server that answers from the page cache and one that does not.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Outcome;
use crate::bare::BareServer;
use crate::daemon::{Daemon, Setup};
use crate::fake::{Fake, FakeOptions};
use crate::stats::{median, micros};
use crate::table::Table;

const SLOT: Duration = Duration::from_millis(250);
const ROUNDS: usize = 15;

/// Ratios to the bare servers.
const OF_CACHED: f64 = 1.15;
const OF_DIRECT: f64 = 0.45;

/// Ratio of hits with an audit trail in a file to hits without.
const OF_UNRECORDED: f64 = 1.25;

/// Longer than the time after which ends of leases are written.
const WRITING: Duration = Duration::from_secs(6);

/// Two commits of that time: 32 KiB each, rounded up.
const WRITTEN: f64 = 20.0;

/// Measures it.
pub fn measure(table: &mut Table) -> Outcome {
    let fake = Fake::start(FakeOptions { rate: 0, ..FakeOptions::default() });
    let daemon = Daemon::start(&Setup::new(&fake, "tfcfs", 1))?;
    let (cached, direct) = (BareServer::start("cached")?, BareServer::start("direct")?);
    // Keeps the lease alive; it is made here.
    let mut held = File::open(daemon.token(0))?;
    held.read_to_end(&mut Vec::new())?;
    let paths = [daemon.token(0), cached.token(), direct.token()];
    let pids = [daemon.pid(), cached.pid(), direct.pid()];
    let all = sched_getaffinity(None)?;
    compare(table, "free", &paths)?;
    writes(table, &daemon, held)?;
    recorded(table, &fake, &daemon)?;
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).unwrap_or(0));
    let _held = File::open(daemon.token(0))?;
    for pid in pids {
        pin(pid, &one)?;
    }
    sched_setaffinity(None, &one)?;
    let result = compare(table, "same core", &paths);
    sched_setaffinity(None, &all)?;
    result
}

/// What an audit trail costs a hit: one that is written beside it, and one that it waits for.
fn recorded(table: &mut Table, fake: &Fake, plain: &Daemon) -> Outcome {
    let start = |name, required| {
        let settings = format!("rate = 10000\naudit = {{ file = \"{name}.jsonl\", required = {required} }}");
        Daemon::start(&Setup { settings: &settings, ..Setup::new(fake, name, 1) })
    };
    let (beside, before) = (start("audit", false)?, start("audit-required", true)?);
    let paths = [plain.token(0), beside.token(0), before.token(0)];
    let _held = paths.iter().map(File::open).collect::<Result<Vec<_>, _>>()?;
    let (mut of_plain, mut times) = ([Vec::new(), Vec::new()], [const { Vec::new() }; 3]);
    for _ in 0..ROUNDS {
        let round = [slot(&paths[0])?, slot(&paths[1])?, slot(&paths[2])?];
        for (all, time) in times.iter_mut().zip(round) {
            all.push(time);
        }
        of_plain[0].push(round[1] / round[0]);
        of_plain[1].push(round[2] / round[0]);
    }
    let [plain, beside, before] = times.map(|times| median(&times));
    table.at_most("hit, free: with an audit trail against without", median(&of_plain[0]), OF_UNRECORDED, "");
    table.report("the same, required", format!("{:.2}", median(&of_plain[1])));
    table.report("hit, free: p50 without / with / with required", format!("{plain:.1}/{beside:.1}/{before:.1} µs"));
    Ok(())
}

/// A token that nobody holds between two hits changes its end with every close; that must not be a commit each time.
fn writes(table: &mut Table, daemon: &Daemon, held: File) -> Outcome {
    drop(held);
    let io = || std::fs::read_to_string(format!("/proc/{}/io", daemon.pid()));
    let written = |text: &str| -> Outcome<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: ")).ok_or("no write_bytes")?;
        Ok(line.parse()?)
    };
    let before = written(&io()?)?;
    let start = Instant::now();
    while start.elapsed() < WRITING {
        hit(&daemon.token(0))?;
    }
    let rate = (written(&io()?)? - before) / 1024.0 / WRITING.as_secs_f64();
    table.at_most("hits on a token that nobody holds: written to disk", rate, WRITTEN, " KiB/s");
    Ok(())
}

/// Pins every thread of a process.
fn pin(pid: u32, cpus: &CpuSet) -> Outcome {
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let tid: i32 = task?.file_name().to_string_lossy().parse()?;
        sched_setaffinity(rustix::process::Pid::from_raw(tid), cpus)?;
    }
    Ok(())
}

fn compare(table: &mut Table, placement: &str, paths: &[PathBuf; 3]) -> Outcome {
    let mut times = [const { Vec::new() }; 3];
    let (mut of_cached, mut of_direct, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut round = [0.0; 3];
        for (index, path) in paths.iter().enumerate() {
            round[index] = slot(path)?;
            times[index].push(round[index]);
        }
        of_cached.push(round[0] / round[1]);
        of_direct.push(round[0] / round[2]);
        floor.push(round[1] / round[2]);
    }
    let [ours, cached, direct] = times.map(|times| median(&times));
    table.at_most(format!("hit, {placement}: against bare FUSE, cached"), median(&of_cached), OF_CACHED, "");
    table.at_most(format!("hit, {placement}: against bare FUSE, direct I/O"), median(&of_direct), OF_DIRECT, "");
    table.report(format!("hit, {placement}: bare FUSE, cached against direct I/O"), format!("{:.2}", median(&floor)));
    table.report(
        format!("hit, {placement}: p50 of tfcfs / cached / direct I/O"),
        format!("{ours:.1}/{cached:.1}/{direct:.1} µs"),
    );
    Ok(())
}

/// The median time of one hit, in microseconds, over one slot.
pub fn slot(path: &Path) -> Outcome<f64> {
    // The first one wakes the server up.
    hit(path)?;
    let mut times = Vec::with_capacity(1 << 17);
    let start = Instant::now();
    while start.elapsed() < SLOT {
        let begin = Instant::now();
        hit(path)?;
        times.push(micros(begin.elapsed()));
    }
    Ok(median(&times))
}

/// What `cat` does.
pub fn hit(path: &Path) -> Outcome {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let size = rustix::fs::fstat(&file)?.st_size;
    let mut buffer = [0_u8; 4096];
    let count = rustix::io::read(&file, &mut buffer)?;
    let rest = rustix::io::read(&file, &mut buffer)?;
    drop(file);
    match i64::try_from(count) == Ok(size) && rest == 0 {
        true => Ok(()),
        false => Err(format!("{}: {count} and {rest} bytes of {size}", path.display()).into()),
    }
}
