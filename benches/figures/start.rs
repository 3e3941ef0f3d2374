//! How long a start takes when the ledger has many leases: from exec until the mount has answered.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use redb::{Builder, ReadableDatabase, ReadableTable, TableDefinition};

use crate::Outcome;
use crate::daemon::{Daemon, Setup, State, scratch};
use crate::fake::{Fake, FakeOptions};
use crate::filled;
use crate::idle::field;
use crate::stats::{median, millis, timed};
use crate::table::Table;

const LEASES: usize = 100_000;
const ROLES: usize = 100;
const ROUNDS: usize = 7;

/// Milliseconds.
const LIMIT: f64 = 1000.0;

/// Room for all of them in each role.
const ROLE: &str = "share = \"open\"\nttl = \"10h\"\nmax_leases = 100000";

/// Measures it, after a stop and after a kill.
pub fn measure(table: &mut Table) -> Outcome {
    let fake = Fake::start(FakeOptions { rate: 0, ..FakeOptions::default() });
    let place = scratch("start.state")?;
    let leases = (0..LEASES).map(|number| filled::lease(&fake, number, number % ROLES)).collect::<Outcome<_>>()?;
    // Half of them are held at the moment of the stop.
    filled::fill(&place, leases, |number| number % 2 == 0)?;
    let ledger = place.join("ledger.redb");
    table.report("start: size of the ledger", format!("{:.0} MB", fs::metadata(&ledger)?.len() as f64 / 1e6));
    let empty = scratch("start.empty")?;

    let (mut kills, mut stops, mut nothing, mut floors) = (vec![], vec![], vec![], vec![]);
    let (mut stop_times, mut memory) = (vec![], 0.0_f64);
    for round in 0..ROUNDS {
        let (time, daemon) = start(&fake, &place)?;
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()))?;
        memory = memory.max(field(&status, "VmHWM")?);
        // The former daemon was killed in each round but the first.
        let (stopping, ()) = timed(|| daemon.stop())?;
        stop_times.push(millis(stopping));
        if round > 0 {
            kills.push(time);
        }
        let (time, daemon) = start(&fake, &place)?;
        stops.push(time);
        daemon.kill()?;
        let (time, daemon) = start(&fake, &empty)?;
        nothing.push(time);
        daemon.stop()?;
        floors.push(read_raw(&ledger)?);
    }
    let least = |times: &[f64]| times.iter().copied().fold(f64::INFINITY, f64::min);
    table.at_most(format!("start with {LEASES} leases, after a stop"), median(&stops), LIMIT, " ms");
    table.at_most(format!("start with {LEASES} leases, after kill -9"), median(&kills), LIMIT, " ms");
    table.report("the best of the rounds, stop / kill", format!("{:.0}/{:.0} ms", least(&stops), least(&kills)));
    table.report("start with an empty ledger", format!("{:.0} ms", median(&nothing)));
    table.report("all records read raw from redb", format!("{:.0} ms", median(&floors)));
    let beyond: Vec<f64> = stops.iter().zip(&nothing).zip(&floors).map(|((s, n), f)| (s - n) / f).collect();
    table.report("the leases' part of a start / that", format!("{:.2}", median(&beyond)));
    table.report("stop with them", format!("{:.0} ms", median(&stop_times)));
    table.report("resident memory at most", format!("{:.0} MB", memory / 1e3));
    Ok(())
}

/// Starts one on a state that stays; milliseconds from exec until `status` was read.
fn start(fake: &Fake, state: &Path) -> Outcome<(f64, Daemon)> {
    let setup = Setup { role: ROLE, state: State::Kept(state), ..Setup::new(fake, "start", ROLES) };
    let prepared = Daemon::prepare(&setup)?;
    let begun = Instant::now();
    let daemon = prepared.spawn(Duration::from_micros(500))?;
    let status = fs::read_to_string(daemon.status())?;
    let time = millis(begun.elapsed());
    if state.join("ledger.redb").metadata()?.len() > 10_000_000 && !status.contains(&format!("live = {LEASES}")) {
        return Err(format!("the mount answered before it knew its leases: {status}").into());
    }
    Ok((time, daemon))
}

/// What nobody can be faster than who reads all records through redb: one pass, values copied, nothing checked.
fn read_raw(ledger: &Path) -> Outcome<f64> {
    const RECORDS: TableDefinition<'static, &str, (u64, &[u8])> = TableDefinition::new("records");
    let copy = ledger.with_extension("copy");
    fs::copy(ledger, &copy)?;
    let (time, _) = timed(|| -> Result<usize, redb::Error> {
        let database = Builder::new().create(&copy)?;
        let records = database.begin_read()?.open_table(RECORDS)?;
        let mut all = Vec::new();
        for entry in records.iter()? {
            let (key, value) = entry?;
            all.push((key.value().to_owned(), value.value().1.to_vec()));
        }
        Ok(all.len())
    })?;
    Ok(millis(time))
}
