//! Figures of the whole program against what a bare FUSE server and a bare HTTP request cost on the same machine, in the
//! same run. `docs/performance.md` says what each figure means.
//!
//! `cargo bench --bench figures [-- [--check] [SUBJECT…]]`, as root. Without subjects all of them are measured; `--check`
//! makes a missed limit the exit code.
#![allow(missing_docs, reason = "a program")]

mod bare;
mod clients;
mod daemon;
#[allow(dead_code, reason = "the figures use a part of the fake")]
#[path = "../../examples/fake_tfc/mod.rs"]
mod fake;
mod filled;
mod handles;
mod hit;
mod idle;
mod mint;
mod rate;
mod reconcile;
mod requests;
mod stampede;
mod start;
mod stats;
mod table;
mod takeover;

use std::path::PathBuf;
use std::process::ExitCode;

use table::Table;

/// What can be measured, in the order of the table.
const SUBJECTS: &[(&str, Measure)] = &[
    ("requests", requests::measure),
    ("hit", hit::measure),
    ("clients", clients::measure),
    ("handles", handles::measure),
    ("takeover", takeover::measure),
    ("mint", mint::measure),
    ("stampede", stampede::measure),
    ("rate", rate::measure),
    ("idle", idle::measure),
    ("start", start::measure),
    ("reconcile", reconcile::measure),
];

/// What is measured only when it is named: it takes a quarter of an hour.
const LONG: &[(&str, Measure)] = &[("reconcile-10000", reconcile::measure_all)];

/// Adds the figures of one subject to the table.
type Measure = fn(&mut Table) -> Outcome;

/// Nothing here can go on after an error.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    // cargo adds --bench.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let result = match arguments.split_first() {
        Some((first, [kind, mount_point])) if first == bare::SERVE => {
            bare::serve(kind, &PathBuf::from(mount_point)).map(|()| ExitCode::SUCCESS)
        }
        _ => run(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("figures: {error}");
        ExitCode::FAILURE
    })
}

fn run(arguments: &[String]) -> Outcome<ExitCode> {
    let (flags, wanted): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|argument| argument.starts_with("--"));
    let check = flags.iter().any(|flag| *flag == "--check");
    let known = |name: &str| SUBJECTS.iter().chain(LONG).any(|(subject, _)| *subject == name);
    if flags.iter().any(|flag| *flag != "--check") || !wanted.iter().all(|name| known(name)) {
        let subjects: Vec<&str> = SUBJECTS.iter().chain(LONG).map(|(subject, _)| *subject).collect();
        return Err(format!("usage: [--check] [SUBJECT…], of {}", subjects.join(", ")).into());
    }
    let mut table = Table::default();
    for (subject, measure) in SUBJECTS.iter().chain(LONG) {
        let all = wanted.is_empty() && SUBJECTS.iter().any(|(other, _)| other == subject);
        if all || wanted.iter().any(|name| name == subject) {
            eprintln!("measuring: {subject}");
            measure(&mut table).map_err(|error| format!("{subject}: {error}"))?;
        }
    }
    print!("{table}");
    Ok(if check && table.misses() > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
