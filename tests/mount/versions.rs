//! Every product and version: the types that it has work, the ones it lacks say so.

use std::fs;

use super::support::{Daemon, Site};
use crate::fake::{ACME, FakeOptions, Mode};

fn reads_every_type(mode: Mode) {
    let daemon = Daemon::ready_on(Site::with(FakeOptions { mode, ..FakeOptions::default() }));
    let (team, user) = (daemon.fake.team_id(ACME, "deploy"), daemon.fake.user_id("alice"));
    let roles = [
        ("org", format!("organization = \"{ACME}\"\n"), true),
        ("legacy", format!("team_id = \"{team}\"\n"), true),
        ("user", format!("user_id = \"{user}\"\n"), true),
        ("named", format!("organization = \"{ACME}\"\nteam = \"deploy\"\n"), true),
        ("team", daemon.team_role(""), mode.has_multi_team_tokens()),
    ];
    for (role, document, has) in roles {
        daemon.write(&format!("roles/{role}"), &document);
        let read = fs::read_to_string(daemon.at(&format!("creds/{role}/token")));
        match read {
            Ok(token) => assert!(has && daemon.fake.is_live(&token), "{role}: {token}"),
            Err(error) => {
                assert!(!has, "{role}: {error}\n{}", daemon.read("errors"));
                let errors = daemon.read("errors");
                let sentence = errors.lines().next().unwrap();
                assert!(sentence.contains("creds/team/token") && sentence.contains("team_legacy"), "{sentence}");
            }
        }
    }
    let status = daemon.read("status");
    assert!(status.contains("reachable = true"), "{status}");
    // All that was made is known.
    let known = daemon.sh("cat $M/leases/*/* | sed -n 's/^token_id = \"\\(.*\\)\"/\\1/p'");
    let orphans = daemon.fake.orphans(known.lines());
    assert!(orphans.is_empty(), "{orphans:?}");
}

#[test]
fn hcp() {
    reads_every_type(Mode::Hcp);
}

#[test]
fn tfe_1_0() {
    reads_every_type(Mode::Tfe(1, 0));
}

#[test]
fn tfe_2_1() {
    reads_every_type(Mode::Tfe(2, 1));
}

#[test]
fn tfe_with_a_monthly_version() {
    reads_every_type(Mode::TfeMonthly);
}

#[test]
fn tfe_that_tells_no_version() {
    reads_every_type(Mode::NoHeaders);
}
