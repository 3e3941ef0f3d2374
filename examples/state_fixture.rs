//! Writes a state directory with one record of each kind, as a fixture for tests of later versions:
//! `cargo run --example state_fixture -- tests/fixtures/state-format-N`. Only for a new format; those of former formats stay
//! as they are, so a directory that has a ledger is refused.

#[allow(dead_code, unreachable_pub, reason = "the tests use more of it")]
#[path = "../tests/state/records.rs"]
mod records;

use std::path::PathBuf;
use std::process::ExitCode;

use tfcfs::adapters::redb_store;

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: state_fixture DIRECTORY");
        return ExitCode::from(2);
    };
    if directory.join(redb_store::FILE_NAME).exists() {
        eprintln!("{} has a ledger, and a fixture is never made anew; give a new directory", directory.display());
        return ExitCode::FAILURE;
    }
    if let Err(error) = std::fs::create_dir_all(&directory) {
        eprintln!("{}: {error}", directory.display());
        return ExitCode::FAILURE;
    }
    records::fill(&directory);
    ExitCode::SUCCESS
}
