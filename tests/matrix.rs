//! Every program that opens, watches, writes or holds a file works: real programs on real mounts, compared byte for byte
//! with what the fake upstream issued. The outcome is kept as a table in `docs/semantics.md`.
//!
//! `TFCFS_WRITE_DOCS=1 ./test --test matrix` writes that table anew; `TFCFS_MATRIX=text` runs the rows whose name contains
//! the text, and compares nothing. `.ci/packages` installs the programs; a missing one fails its row.

#[allow(dead_code, reason = "the tests use a part of the fake")]
#[path = "../examples/fake_tfc/mod.rs"]
mod fake;

#[allow(dead_code, reason = "the tests use a part of the support")]
#[path = "mount/support.rs"]
mod support;

mod matrix {
    pub mod hold;
    pub mod page;
    pub mod programs;
    pub mod read;
    pub mod readers;
    pub mod watch;
    pub mod watchers;
    pub mod write;
    pub mod writers;
}

use matrix::{hold, page, read, watch, write};

#[test]
fn every_reader_gets_the_bytes_that_upstream_issued() {
    page::settle("reads", &read::all());
}

#[test]
fn every_watcher_is_told_of_every_change() {
    page::settle("watches", &watch::all());
}

#[test]
fn every_writer_commits_whole_or_not_at_all() {
    page::settle("writes", &write::all());
}

#[test]
fn every_holder_holds_the_lease_and_nothing_else_does() {
    page::settle("holds", &hold::all());
}
