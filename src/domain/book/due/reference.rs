//! The same answers by a look at every lease: what the indices must agree with. Every answer is compared in
//! a program that is built for debugging, so whatever a test does tests them.

use jiff::Timestamp;

use super::Due;
use crate::domain::book::{Book, Counts};
use crate::domain::lease::{Lease, Phase};

/// # Panics
/// When the indices disagree.
pub(super) fn check(book: &Book, due: &Due, now: Timestamp) {
    let sorted = |due: &Due| {
        let mut ends: Vec<_> = due.ends.iter().map(|(serial, how)| (serial.0, format!("{how:?}"))).collect();
        let mut renewals: Vec<_> = due.renewals.iter().map(|renewal| format!("{renewal:?}")).collect();
        ends.sort();
        renewals.sort();
        (ends, renewals, due.next)
    };
    assert_eq!(sorted(due), sorted(&all(book, now)), "the agenda has missed a change");
    assert_eq!(book.counts(now), counts(book, now), "the tally has missed a change");
    for (name, _) in book.roles() {
        let current = |lease: &&Lease| {
            let scope = &lease.record.scope;
            scope.role() == Some(name) && book.current.get(scope) == Some(lease.record.serial)
        };
        let oldest = book.leases().filter(current).map(|lease| lease.record.issued_at).min();
        assert_eq!(book.current.oldest_of_role(name), oldest, "the current leases of {name}");
    }
}

fn all(book: &Book, now: Timestamp) -> Due {
    let mut due = Due::default();
    for lease in book.leases() {
        due.take(lease, &book.turn(lease, now));
    }
    if let Some(at) = book.next_grave() {
        due.look_at(at);
    }
    due
}

fn counts(book: &Book, now: Timestamp) -> Counts {
    let mut counts = Counts::default();
    for lease in book.leases() {
        let record = &lease.record;
        match (lease.is_live(now), lease.state()) {
            (false, _) => {
                counts.revoking += usize::from(record.token.is_some() || record.phase == Phase::Intent);
            }
            (true, "held") => counts.held += 1,
            (true, "lingering") => counts.lingering += 1,
            (true, _) => counts.superseded += 1,
        }
    }
    counts
}
