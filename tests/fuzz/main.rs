//! What outsiders write, fuzzed: one target for each thing that is parsed. `./fuzz` runs them with coverage and for as long
//! as one likes; as tests they replay the corpus and try a second of random changes to it. `docs/fuzzing.md` says more.

#[path = "../common/mod.rs"]
mod common;
mod engine;
mod properties;
#[path = "../state/records.rs"]
mod state_records;

mod answers;
mod config;
mod records;
mod role;
mod settings;
mod state_file;

use engine::fuzz;

#[test]
fn role() {
    fuzz("role", role::target);
}

#[test]
fn config() {
    fuzz("config", config::target);
}

#[test]
fn settings() {
    fuzz("settings", settings::Files::new().target());
}

#[test]
fn answers() {
    fuzz("answers", answers::Upstream::start().target());
}

#[test]
fn records() {
    fuzz("records", records::target);
}

#[test]
fn state_file() {
    fuzz("state_file", state_file::States::new().target());
}
