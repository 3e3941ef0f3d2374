//! What a reader meets when upstream fails, on a real mount: errno, time, the sentence in `errors`, and that in the end
//! nothing lives upstream that the mount does not list. The outcome is kept as `docs/faults.md`.
//!
//! `TFCFS_WRITE_DOCS=1 ./test --test fault_table` writes that page anew; `TFCFS_FAULT=text` runs the faults whose name
//! contains the text, and compares nothing.

#[allow(dead_code, reason = "the tests use a part of the fake")]
#[path = "../examples/fake_tfc/mod.rs"]
mod fake;

#[allow(dead_code, reason = "the tests use a part of the support")]
#[path = "mount/support.rs"]
mod support;

mod fault_table {
    pub mod cell;
    pub mod faults;
    pub mod page;
}

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use fault_table::cell::{self, Outcome};
use fault_table::{faults, page};

/// Mounts at once: nearly all of them wait for a deadline.
const AT_ONCE: usize = 8;

#[test]
fn every_upstream_fault_has_its_errno_its_sentence_and_leaves_nothing_behind() {
    let only = std::env::var("TFCFS_FAULT").ok();
    let faults: Vec<_> = faults::all()
        .into_iter()
        .filter(|fault| only.as_deref().is_none_or(|text| fault.name.contains(text)))
        .collect();
    let cells: Vec<_> = faults.iter().flat_map(|fault| fault.roles.iter().map(move |role| (fault, *role))).collect();
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<Option<Result<Outcome, String>>>> = Mutex::new(cells.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((fault, role)) = cells.get(index) else { return };
                    let outcome = std::panic::catch_unwind(|| cell::run(fault, *role));
                    let outcome = outcome.map_err(|panic| message(&*panic));
                    outcomes.lock().unwrap()[index] = Some(outcome);
                }
            });
        }
    });
    let mut failed = Vec::new();
    let mut rows = Vec::new();
    for ((fault, role), outcome) in cells.iter().zip(outcomes.into_inner().unwrap()) {
        match outcome.expect("every cell was run") {
            Ok(outcome) => {
                let errno = outcome.errno.as_deref().unwrap_or("-");
                println!("{} | {role} | {errno} | {} ms | {}", fault.name, outcome.took.as_millis(), outcome.sentence);
                rows.push((*fault, *role, outcome));
            }
            Err(message) => failed.push(format!("{} | {role}: {message}", fault.name)),
        }
    }
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), cells.len(), failed.join("\n\n"));
    if only.is_none() {
        page::compare_or_write(&page::render(&rows));
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "a panic".into())
}
