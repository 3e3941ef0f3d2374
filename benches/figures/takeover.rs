//! A mount that outlives whoever serves it: what that costs a hit, and how long a reader waits when the server is killed.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use crate::Outcome;
use crate::daemon::{Daemon, Setup};
use crate::fake::{Fake, FakeOptions};
use crate::hit::slot;
use crate::stats::median;
use crate::table::Table;

const ROUNDS: usize = 15;

/// Two writes to memory for each hit.
const OF_PLAIN: f64 = 1.15;

const KILLS: usize = 20;

/// Between two kills: each server has grown up by then.
const LIFE: Duration = Duration::from_millis(600);

/// What a reader may wait at the longest.
const STALL: f64 = 250.0;

const HANDLES: u64 = 10_000;

/// Measures it.
pub fn measure(table: &mut Table) -> Outcome {
    let fake = Fake::start(FakeOptions { rate: 0, ..FakeOptions::default() });
    let plain = Daemon::start(&Setup::new(&fake, "plain", 1))?;
    let kept = Daemon::start(&Setup { command: "supervise", ..Setup::new(&fake, "kept", 1) })?;
    let paths = [plain.token(0), kept.token(0)];
    let held = paths.iter().map(File::open).collect::<Result<Vec<_>, _>>()?;
    let (mut ratios, mut times) = (Vec::new(), [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        let round = [slot(&paths[0])?, slot(&paths[1])?];
        ratios.push(round[1] / round[0]);
        for (all, time) in times.iter_mut().zip(round) {
            all.push(time);
        }
    }
    table.at_most("hit, free: supervised against not", median(&ratios), OF_PLAIN, "");
    let [plain_time, kept_time] = times.map(|times| median(&times));
    table.report("the same: p50 without / with a supervisor", format!("{plain_time:.1}/{kept_time:.1} µs"));
    drop(plain);
    let stalls = kills(&kept)?;
    table.at_most("kill -9 of the server, a reader beside it: longest wait of 20", longest(&stalls), STALL, " ms");
    table.report("the same: median of 20", format!("{:.0} ms", median(&stalls)));
    // As far as this process may go.
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let handles = maximum.unwrap_or(HANDLES).saturating_sub(200).min(HANDLES);
    let many = (0..handles).map(|_| File::open(&paths[1])).collect::<Result<Vec<_>, _>>()?;
    let stalls = kills(&kept)?;
    table.report(
        format!("kill -9 with {handles} open files: median / longest wait of 20"),
        format!("{:.0}/{:.0} ms", median(&stalls), longest(&stalls)),
    );
    let mut text = String::new();
    (&many[0]).read_to_string(&mut text)?;
    drop((held, many));
    Ok(())
}

fn longest(stalls: &[f64]) -> f64 {
    stalls.iter().copied().fold(0.0, f64::max)
}

/// Kills the server again and again; for each time, how long a reader had to wait at the longest, in milliseconds. None of
/// its reads may fail.
fn kills(daemon: &Daemon) -> Outcome<Vec<f64>> {
    let over = Arc::new(AtomicBool::new(false));
    let worst = Arc::new(parking_lot::Mutex::new(Duration::ZERO));
    let reader = {
        let (over, worst, path) = (over.clone(), worst.clone(), daemon.token(0));
        std::thread::spawn(move || -> std::io::Result<()> {
            while !over.load(Ordering::Relaxed) {
                let start = Instant::now();
                std::fs::read(&path)?;
                let mut worst = worst.lock();
                *worst = worst.max(start.elapsed());
            }
            Ok(())
        })
    };
    let mut stalls = Vec::new();
    for _ in 0..KILLS {
        std::thread::sleep(LIFE);
        *worst.lock() = Duration::ZERO;
        let server = daemon.server()?.ok_or("no server")?;
        kill_process(server, Signal::KILL)?;
        std::thread::sleep(LIFE);
        stalls.push(worst.lock().as_secs_f64() * 1e3);
    }
    over.store(true, Ordering::Relaxed);
    reader.join().map_err(|_| "the reader panicked")??;
    Ok(stalls)
}
