//! After a crash: thousands of leases past their end, and calls whose answers were lost. How long until all is proven gone
//! within the rate limit, with how many calls, and what readers feel of it meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tfcfs::domain::lease::{LeaseRecord, Phase};
use tfcfs::domain::token::{Token, TokenId};

use crate::Outcome;
use crate::daemon::{Daemon, Setup, State, scratch};
use crate::fake::{Fake, FakeOptions, Kind, Owner};
use crate::filled;
use crate::stats::{median, micros, millis, quantile, timed};
use crate::table::Table;

/// A size of the whole thing.
struct Scale {
    /// To be deleted.
    leases: usize,
    /// Whose answers were lost; half of them have a token upstream.
    intents: usize,
    /// Our rate; upstream's limit is half as much again, as 20 is to 30.
    rate: u32,
    /// Between two mints.
    mint_pause: Duration,
}

/// A fifth of everything, ten times as fast.
pub fn measure(table: &mut Table) -> Outcome {
    run(table, &Scale { leases: 2000, intents: 200, rate: 200, mint_pause: Duration::from_millis(200) })
}

/// All of it at the default rate against the real limit.
pub fn measure_all(table: &mut Table) -> Outcome {
    run(table, &Scale { leases: 10_000, intents: 1000, rate: 20, mint_pause: Duration::from_secs(2) })
}

/// A call that was given up may arrive so much later: nothing can be proven before.
const SETTLED: f64 = 90.0;

/// Percent of the rate. The background leaves a tenth to readers, and the limiter loses up to a tenth.
const USED: f64 = 80.0;

/// A reader's wait during the reconciliation, in times of its wait when idle.
const HIT: f64 = 2.0;
/// The same of a mint, in milliseconds more.
const MINT: f64 = 10.0;

/// How long the idle figures are taken.
const IDLE: Duration = Duration::from_secs(20);

fn run(table: &mut Table, scale: &Scale) -> Outcome {
    let limit = scale.rate * 3 / 2;
    let fake = Fake::start(FakeOptions { rate: limit, ..FakeOptions::default() });
    let place = scratch("reconcile.state")?;
    filled::fill(&place, records(&fake, scale)?, |_| false)?;
    let settings = format!("rate = {}", scale.rate);
    let setup = Setup { settings: &settings, state: State::Kept(&place), ..Setup::new(&fake, "reconcile", 1) };
    let name = format!("{} leases, {} intents, {}/s", scale.leases, scale.intents, scale.rate);

    let daemon = Daemon::prepare(&setup)?.spawn(Duration::from_millis(1))?;
    let begun = Instant::now();
    let user = fake.user_id("alice");
    let document = format!("user_id = \"{user}\"\nshare = \"open\"\nttl = \"10h\"\nmax_leases = 100000\n");
    fs::write(daemon.path("roles/mint"), document)?;

    let done = AtomicBool::new(false);
    let (during, proven) = std::thread::scope(|scope| {
        let readers = scope.spawn(|| {
            let waits = Waits::of_readers(&daemon, scale.mint_pause, || done.load(Ordering::Relaxed));
            waits.map_err(|error| error.to_string())
        });
        let proven = until_all_is_proven(&daemon, begun, scale);
        done.store(true, Ordering::Relaxed);
        let waits = readers.join().map_err(|_| "a reader panicked")??;
        Ok::<_, Box<dyn std::error::Error>>((waits, proven?))
    })?;

    let left = fake
        .live_tokens()
        .iter()
        .filter(|token| token.seeded && token.description.as_deref() != Some("anchor"))
        .count();
    table.exactly(format!("{name}: tokens left alive"), left, 0);
    let (last, calls) = until_last_deletion(&fake, begun);
    table.report("until the last is deleted / all is proven", format!("{last:.0}/{proven:.0} s"));
    table.at_least(
        "of the rate used until the last is deleted",
        100.0 * calls as f64 / last / f64::from(scale.rate),
        USED,
        " %",
    );
    report_calls(table, &fake, limit);

    std::thread::sleep(Duration::from_secs(2));
    let idle_from = Instant::now();
    let idle =
        Waits::of_readers(&daemon, scale.mint_pause.min(Duration::from_millis(500)), || idle_from.elapsed() > IDLE)?;
    table.at_most("hit meanwhile, p50, against idle", median(&during.hits) / median(&idle.hits), HIT, "");
    table.report("hit meanwhile: p50/p99/max", three(&during.hits, " µs"));
    table.report("hit idle: p50/p99/max", three(&idle.hits, " µs"));
    table.at_most("mint meanwhile, p50, beyond idle", median(&during.mints) - median(&idle.mints), MINT, " ms");
    table.report(format!("mint meanwhile ({}): p50/p99/max", during.mints.len()), three(&during.mints, " ms"));
    table.report(format!("mint idle ({}): p50/p99/max", idle.mints.len()), three(&idle.mints, " ms"));
    Ok(())
}

fn three(waits: &[f64], unit: &str) -> String {
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|part| quantile(waits, part));
    format!("{p50:.1}/{p99:.1}/{max:.1}{unit}")
}

/// What a crash left: leases past their end, revocations under way, intents.
fn records(fake: &Fake, scale: &Scale) -> Outcome<Vec<LeaseRecord>> {
    let owner = Owner::User(fake.user_id("alice"));
    let end = fake.now() + Duration::from_secs(24 * 3600);
    let mut records = Vec::new();
    for number in 0..scale.leases + scale.intents {
        let mut record = filled::lease(fake, number, 0)?;
        // Ended while nobody looked; upstream's own end is far away.
        record.ends_at = record.issued_at - Duration::from_secs(1);
        let intent = number >= scale.leases;
        if !intent || number % 2 == 0 {
            let (id, secret) = fake.seed_token(owner.clone(), Kind::User, Some(&record.description), Some(end));
            (record.token_id, record.token) = (Some(TokenId(id)), Some(Token::parse(&secret)?));
        }
        match number % 3 {
            _ if intent => (record.phase, record.token_id, record.token) = (Phase::Intent, None, None),
            0 => record.phase = Phase::Revoking,
            _ => {}
        }
        records.push(record);
    }
    Ok(records)
}

/// Seconds until nothing is pending.
fn until_all_is_proven(daemon: &Daemon, begun: Instant, scale: &Scale) -> Outcome<f64> {
    let longest = Duration::from_secs_f64(5.0 * (scale.leases as f64 / f64::from(scale.rate)) + 5.0 * SETTLED);
    loop {
        std::thread::sleep(Duration::from_millis(250));
        let (time, pending) = (begun.elapsed(), pending(&daemon.status())?);
        if pending == 0 {
            return Ok(time.as_secs_f64());
        }
        if time > longest {
            return Err(format!("{pending} revocations are left after {longest:?}").into());
        }
    }
}

/// Seconds until the last deletion, and how many calls came until then.
fn until_last_deletion(fake: &Fake, begun: Instant) -> (f64, usize) {
    let requests = fake.requests();
    let last = requests.iter().rposition(|request| request.method == "DELETE").unwrap_or_default();
    let time = requests.get(last).map_or(0.0, |last| last.arrived.duration_since(begun).as_secs_f64());
    (time, last + 1)
}

fn pending(status: &Path) -> Outcome<usize> {
    let status = fs::read_to_string(status)?;
    let line = status.lines().find_map(|line| line.strip_prefix("pending = ")).ok_or("status tells no revocations")?;
    Ok(line.parse()?)
}

fn report_calls(table: &mut Table, fake: &Fake, limit: u32) {
    let requests = fake.requests();
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for request in &requests {
        let list = request.path.contains("page%5Bnumber%5D") || request.path.contains("page[number]");
        let what = if list { "list page".to_owned() } else { request.method.clone() };
        *calls.entry(what).or_default() += 1;
    }
    let calls: Vec<String> = calls.iter().map(|(what, count)| format!("{count} {what}")).collect();
    table.report("calls", calls.join(", "));
    table.exactly("answers 429", requests.iter().filter(|request| request.status == Some(429)).count(), 0);
    let most = fake.max_requests_in_one_second();
    table.at_most("calls within 1 s, most", most as f64, f64::from(limit), "");
}

/// How long readers waited.
#[derive(Default)]
struct Waits {
    /// Microseconds.
    hits: Vec<f64>,
    /// Milliseconds.
    mints: Vec<f64>,
}

impl Waits {
    /// Reads a token that is there every few milliseconds, and one that must be made now and then, until `end`.
    fn of_readers(daemon: &Daemon, mint_pause: Duration, end: impl Fn() -> bool + Sync) -> Outcome<Self> {
        let read = |path: &Path| timed(|| fs::read(path)).map(|(time, _)| time);
        let (hit, mint) = (daemon.token(0), daemon.path("creds/mint/token"));
        read(&hit)?;
        std::thread::scope(|scope| {
            let minting = scope.spawn(|| {
                let mut waits = Vec::new();
                while !end() {
                    std::thread::sleep(mint_pause);
                    waits.push(millis(read(&mint)?));
                }
                Ok::<_, std::io::Error>(waits)
            });
            let mut hits = Vec::new();
            while !end() {
                std::thread::sleep(Duration::from_millis(5));
                hits.push(micros(read(&hit)?));
            }
            let mints = minting.join().map_err(|_| "a reader panicked")??;
            Ok(Self { hits, mints })
        })
    }
}
