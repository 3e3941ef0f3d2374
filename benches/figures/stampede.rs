//! Many threads open a fresh shared role at the same moment: one token for all.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::daemon::{Daemon, Setup};
use crate::fake::{Fake, FakeOptions};
use crate::stats::{median, millis};
use crate::table::Table;

const THREADS: usize = 200;
const ROUNDS: usize = 5;
const LATENCY: Duration = Duration::from_millis(50);

/// Measures it.
pub fn measure(table: &mut Table) -> Outcome {
    let fake = Fake::start(FakeOptions { rate: 0, base_latency: LATENCY, ..FakeOptions::default() });
    let daemon = Daemon::start(&Setup::new(&fake, "stampede", ROUNDS + 1))?;
    // Makes the connection.
    std::fs::read(daemon.token(ROUNDS))?;
    let (mut creates, mut times) = (Vec::new(), Vec::new());
    for role in 0..ROUNDS {
        let before = made(&fake);
        let (time, tokens) = stampede(&daemon.token(role))?;
        if tokens != 1 {
            return Err(format!("{tokens} different tokens were read").into());
        }
        creates.push(made(&fake) - before);
        times.push(time);
    }
    let most = creates.iter().copied().max().unwrap_or_default();
    table.exactly(format!("{THREADS} threads open a fresh role: creates, worst of {ROUNDS}"), most, 1);
    let name = format!("{THREADS} threads: until the last has read, 50 ms upstream");
    table.report(name, format!("{:.1} ms", median(&times)));
    Ok(())
}

/// Tokens made so far.
pub fn made(fake: &Fake) -> usize {
    fake.all_tokens().iter().filter(|token| !token.seeded).count()
}

/// Milliseconds from the start until the last thread has its token, and how many different tokens there were.
fn stampede(path: &Path) -> Outcome<(f64, usize)> {
    let barrier = Barrier::new(THREADS + 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    std::fs::read(path)
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        let mut tokens = BTreeSet::new();
        for thread in threads {
            tokens.insert(thread.join().map_err(|_| "a reader panicked")??);
        }
        Ok((millis(start.elapsed()), tokens.len()))
    })
}
