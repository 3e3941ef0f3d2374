//! How many FUSE requests a hit costs: the daemon is told to log each of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::time::Duration;

use crate::Outcome;
use crate::daemon::{Daemon, Setup};
use crate::fake::{Fake, FakeOptions};
use crate::hit::hit;
use crate::table::Table;

const HITS: usize = 200;

/// Measures it.
pub fn measure(table: &mut Table) -> Outcome {
    let fake = Fake::start(FakeOptions { rate: 0, ..FakeOptions::default() });
    let daemon = Daemon::start(&Setup { log: "warn,fuser=debug", ..Setup::new(&fake, "logged", 1) })?;
    let path = daemon.token(0);
    let mut held = File::open(&path)?;
    held.read_to_end(&mut Vec::new())?;
    for _ in 0..10 {
        hit(&path)?;
    }
    let settle = || std::thread::sleep(Duration::from_millis(300));
    settle();
    let before = operations(&daemon.log()?);
    for _ in 0..HITS {
        hit(&path)?;
    }
    settle();
    let mut during = operations(&daemon.log()?);
    for (operation, count) in before {
        *during.entry(operation).or_default() -= count;
    }
    let mut take = |operation: &str| during.remove(operation).unwrap_or_default();
    table.exactly(format!("requests of {HITS} hits: OPEN"), take("OPEN"), HITS);
    table.exactly(format!("requests of {HITS} hits: RELEASE (nobody waits for it)"), take("RELEASE"), HITS);
    let rest: Vec<String> = during
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(operation, count)| format!("{operation} {count}"))
        .collect();
    table.exactly(format!("requests of {HITS} hits: all others {}", rest.join(" ")), during.values().sum(), 0);
    Ok(())
}

/// Operations by name. fuser writes `FUSE(unique) ino NODE OPERATION …`, the operation in capitals.
fn operations(log: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in log.lines() {
        let Some((_, request)) = line.split_once("FUSE(") else { continue };
        let is_operation = |word: &&str| word.len() > 3 && word.bytes().all(|byte| byte.is_ascii_uppercase());
        if let Some(operation) = request.split_whitespace().find(is_operation) {
            *counts.entry(operation.to_owned()).or_default() += 1;
        }
    }
    counts
}
