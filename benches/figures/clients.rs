//! Many programs that read a living token at once, beside the bare FUSE server with cached pages.

use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::bare::BareServer;
use crate::daemon::{Daemon, Setup};
use crate::fake::{Fake, FakeOptions};
use crate::hit::hit;
use crate::stats::{median, micros};
use crate::table::Table;

const CLIENTS: [usize; 4] = [1, 2, 8, 64];
const SLOT: Duration = Duration::from_millis(400);
const ROUNDS: usize = 7;

/// Throughput beside the bare server's, at the least.
const OF_BARE: f64 = 0.85;

/// Measures it.
pub fn measure(table: &mut Table) -> Outcome {
    let fake = Fake::start(FakeOptions { rate: 0, ..FakeOptions::default() });
    let daemon = Daemon::start(&Setup::new(&fake, "clients", 1))?;
    let bare = BareServer::start("cached")?;
    let (ours, theirs) = (daemon.token(0), bare.token());
    let _held = std::fs::File::open(&ours)?;
    for clients in CLIENTS {
        let mut rates = [const { Vec::new() }; 2];
        let (mut ratio, mut p50, mut p99) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let mut times = slot(&ours, clients)?;
            let bare = slot(&theirs, clients)?.len() as f64;
            let count = times.len() as f64;
            times.sort_by(f64::total_cmp);
            p50.push(times[times.len() / 2]);
            p99.push(times[times.len() * 99 / 100]);
            ratio.push(count / bare);
            rates[0].push(count / SLOT.as_secs_f64() / 1000.0);
            rates[1].push(bare / SLOT.as_secs_f64() / 1000.0);
        }
        let name = format!("{clients} clients: hits a second, against bare FUSE");
        table.at_least(name, median(&ratio), OF_BARE, "");
        table.report(
            format!("{clients} clients: thousand hits a second, tfcfs / bare"),
            format!("{:.1}/{:.1}", median(&rates[0]), median(&rates[1])),
        );
        table.report(format!("{clients} clients: p50 / p99"), format!("{:.0}/{:.0} µs", median(&p50), median(&p99)));
    }
    Ok(())
}

/// The times of all hits of so many threads, in microseconds.
fn slot(path: &Path, clients: usize) -> Outcome<Vec<f64>> {
    let begin = Barrier::new(clients);
    let reader = || -> Result<Vec<f64>, String> {
        let mut times = Vec::with_capacity(1 << 15);
        begin.wait();
        let start = Instant::now();
        while start.elapsed() < SLOT {
            let one = Instant::now();
            hit(path).map_err(|error| error.to_string())?;
            times.push(micros(one.elapsed()));
        }
        Ok(times)
    };
    let found = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..clients).map(|_| scope.spawn(reader)).collect();
        readers.into_iter().map(|reader| reader.join()).collect::<Vec<_>>()
    });
    let mut all = Vec::new();
    for times in found {
        all.extend(times.map_err(|_| "a reader panicked")??);
    }
    Ok(all)
}
