//! How much of upstream's rate limit tfcfs uses when every open needs a token of its own, and that it never goes over.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::daemon::{Daemon, Setup};
use crate::fake::{Fake, FakeOptions};
use crate::stampede::made;
use crate::table::Table;

const THREADS: usize = 32;
const TIME: Duration = Duration::from_secs(12);

/// Nothing but creates: no token ends while this runs.
const ROLE: &str = "share = \"open\"\nttl = \"10h\"\nmax_leases = 100000";

/// Percent of the limit.
const USED: f64 = 90.0;

/// Measures it: with the default settings, and with all that HCP Terraform allows.
pub fn measure(table: &mut Table) -> Outcome {
    at_limit(table, 20, "")?;
    at_limit(table, 30, "rate = 30")
}

fn at_limit(table: &mut Table, limit: u32, settings: &str) -> Outcome {
    let fake = Fake::start(FakeOptions { rate: limit, ..FakeOptions::default() });
    let setup = Setup { settings, role: ROLE, ..Setup::new(&fake, "rate", 1) };
    let daemon = Daemon::start(&setup)?;
    // The burst of a lane that was idle is not the long run.
    let path = daemon.token(0);
    std::fs::read(&path)?;
    std::thread::sleep(Duration::from_secs(2));
    let before = made(&fake);
    let start = Instant::now();
    open_for(&path, start + TIME)?;
    let (count, elapsed) = (made(&fake) - before, start.elapsed());
    let percent = 100.0 * count as f64 / (elapsed.as_secs_f64() * f64::from(limit));
    let refused = fake.requests().iter().filter(|request| request.status == Some(429)).count();
    table.at_least(format!("share = \"open\", limit {limit}/s: used"), percent, USED, " %");
    table.exactly(format!("share = \"open\", limit {limit}/s: answers 429"), refused, 0);
    let most = fake.max_requests_in_one_second();
    table.at_most(format!("share = \"open\", limit {limit}/s: most within 1 s"), most as f64, f64::from(limit), "");
    Ok(())
}

/// Opens again and again from many threads until `end`.
fn open_for(path: &Path, end: Instant) -> Outcome {
    std::thread::scope(|scope| {
        let work = || -> std::io::Result<()> {
            while Instant::now() < end {
                std::fs::File::open(path)?;
            }
            Ok(())
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            thread.join().map_err(|_| "an opener panicked")??;
        }
        Ok(())
    })
}
