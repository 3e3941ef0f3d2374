//! State files that were written by an earlier tfcfs must open in this one.

use std::fs;
use std::path::{Path, PathBuf};

use tfcfs::adapters::redb_store;
use tfcfs::domain::lease::Phase;

use super::support::{KEY, SECRETS, State, at, name};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A copy of a fixture, with the key that sealed it.
fn state(name: &str) -> State {
    let state = State::empty();
    fs::copy(fixture(name).join(redb_store::FILE_NAME), state.ledger()).unwrap();
    state
}

#[test]
fn format_1_opens() {
    let state = state("state-format-1");
    let report = state.run("check", &["--json"]).json();
    assert_eq!((&report["ok"], &report["records"]), (&true.into(), &9.into()));
    let contents = state.load(KEY).unwrap();
    assert_eq!(contents.next_serial, 65_537);
    let (role, stored) = &contents.roles[0];
    assert_eq!((role, stored.changed_at, stored.role.team.as_deref()), (&name("app"), at(1), Some("deploy")));
    assert_eq!(contents.anchors[0].access.token.expose(), SECRETS[0]);
    let leases: Vec<_> = contents.leases.iter().map(|lease| (lease.phase, lease.token.as_ref())).collect();
    assert_eq!(
        leases.iter().map(|(phase, _)| *phase).collect::<Vec<_>>(),
        [Phase::Live, Phase::Revoking, Phase::Intent]
    );
    assert_eq!(leases[0].1.unwrap().expose(), SECRETS[1]);
    assert_eq!(contents.lingers.values().collect::<Vec<_>>(), [&at(4000)]);
    assert_eq!(contents.numbers[&name("app")], 1);
    assert_eq!(contents.rotations[&name("app")].uid, Some(1000));
    state.run("rekey", &[]).ok();
}
