//! Scheduled rotation of roles: `rotate_every`.

mod common;

use common::api::Fault;
use common::machine::Machine;
use common::seconds;
use tfcfs::domain::ports::ApiErrorKind;

const HOURLY: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\nttl = \"10h\"\nrotate_every = \"1h\"\n";
const SLOT: &str = "organization = \"acme\"\nrotate_every = \"1h\"\n";

async fn machine(role: &str) -> Machine {
    let m = Machine::new().await;
    m.write("roles/app", role).await.unwrap();
    m
}

#[tokio::test]
async fn a_shared_token_in_use_is_replaced_when_it_is_that_old() {
    for (role, former_lives) in [(HOURLY, true), (SLOT, false)] {
        let m = machine(role).await;
        let first = m.cat("creds/app/token").await.unwrap();
        let text = m.cat("rotate/app").await.unwrap();
        assert!(text.contains("next_scheduled = 2026-11-24T13:00:00.000Z"), "{text}");
        m.pass(seconds(3590)).await;
        assert_eq!(m.api.count("create"), 1);
        m.pass(seconds(11)).await;
        assert_eq!(m.api.count("create"), 2);
        let second = m.cat("creds/app/token").await.unwrap();
        assert!(second != first && m.api.is_live(&second));
        assert_eq!(m.api.is_live(&first), former_lives);
        let text = m.cat("rotate/app").await.unwrap();
        assert!(text.contains("last_rotation = 2026-11-24T13:00:01.000Z\nnext_possible"), "by nobody: {text}");
        assert!(text.contains("next_scheduled = 2026-11-24T14:00:01.000Z"), "{text}");
        assert!(m.cat("events").await.unwrap().contains("\"event\":\"rotated\""));
        m.pass(seconds(3601)).await;
        assert_eq!(m.api.count("create"), 3);
    }
}

#[tokio::test]
async fn a_role_that_nobody_uses_makes_no_token() {
    let m = machine(HOURLY).await;
    for _ in 0..10 {
        m.pass(seconds(3600)).await;
    }
    assert_eq!(m.api.count("create"), 0);
    assert!(m.cat("rotate/app").await.unwrap().contains("nobody has a token of this role now"));
    // Long after the schedule began: the new token is not replaced at once.
    m.cat("creds/app/token").await.unwrap();
    m.pass(seconds(1800)).await;
    assert_eq!(m.api.count("create"), 1);
}

#[tokio::test]
async fn each_unit_has_its_token_replaced() {
    let m = machine(&format!("{HOURLY}share = \"unit\"\n")).await;
    for (tid, unit) in [(1, "/a.service"), (2, "/b.service")] {
        m.facts.units.lock().insert(tid, unit.into());
        let caller = tfcfs::vfs::Caller { tid, ..common::machine::root() };
        let (_, opened) = m.open_as(caller, "creds/app/token", 0).await.unwrap();
        m.close(opened);
    }
    assert_eq!(m.api.count("create"), 2);
    m.pass(seconds(3601)).await;
    assert_eq!(m.api.count("create"), 4);
}

/// Callers in units of their own, and what each reads.
async fn read_in_units(m: &Machine, units: std::ops::Range<u32>) {
    for tid in units {
        m.facts.units.lock().insert(tid, format!("/{tid}.service"));
        let caller = tfcfs::vfs::Caller { tid, ..common::machine::root() };
        let (_, opened) = m.open_as(caller, "creds/app/token", 0).await.unwrap();
        m.close(opened);
    }
}

#[tokio::test]
async fn a_rotation_of_more_units_than_half_the_limit_does_all_of_them() {
    let m = machine(&format!("{HOURLY}share = \"unit\"\nmax_leases = 10\n")).await;
    read_in_units(&m, 1..11).await;
    assert_eq!(m.api.count("create"), 10);
    m.pass(seconds(3601)).await;
    assert_eq!(m.api.count("create"), 20);
    m.pass(seconds(600)).await;
    assert_eq!(m.api.count("create"), 20, "once");
    let caller = tfcfs::vfs::Caller { tid: 11, ..common::machine::root() };
    m.facts.units.lock().insert(11, "/11.service".into());
    assert_eq!(m.open_as(caller, "creds/app/token", 0).await.err(), Some(tfcfs::vfs::Errno(libc::EDQUOT)));
}

#[tokio::test]
async fn a_scheduled_rotation_that_failed_half_way_is_repeated_for_the_rest() {
    let m = machine(&format!("{HOURLY}share = \"unit\"\n")).await;
    read_in_units(&m, 1..11).await;
    let fault = Fault::Before(ApiErrorKind::Unreachable);
    // What a slow answer is to time: nothing. So only the sixth and each first one of the repetitions fail.
    m.api.script("create", std::iter::repeat_n(Fault::Slow(seconds(0)), 5).chain(std::iter::repeat_n(fault, 5)));
    m.pass(seconds(3601)).await;
    for _ in 0..60 {
        m.pass(seconds(10)).await;
    }
    let made = m.api.made().len();
    assert_eq!(made, 20, "each was replaced once");
}

#[tokio::test]
async fn a_failure_is_shown_and_repeated_with_growing_waits() {
    let m = machine(HOURLY).await;
    let first = m.cat("creds/app/token").await.unwrap();
    m.api.script("create", vec![Fault::Before(ApiErrorKind::Unreachable); 1000]);
    m.pass(seconds(3601)).await;
    let text = m.cat("rotate/app").await.unwrap();
    assert!(text.contains("last_failure = \"upstream cannot be reached"), "{text}");
    assert!(m.last_error().await.contains("rotate/app: the scheduled rotation failed and will be repeated"));
    assert_eq!(m.cat("creds/app/token").await.unwrap(), first, "the old token stays");
    for _ in 0..360 {
        m.pass(seconds(10)).await;
    }
    let tried = m.api.count("create");
    assert!((10..=30).contains(&tried), "{tried}");
    let errors = m.cat("errors").await.unwrap();
    assert_eq!(errors.lines().filter(|line| line.contains("scheduled rotation")).count(), 1, "{errors}");
    m.api.forget_faults();
    m.pass(seconds(400)).await;
    assert_ne!(m.cat("creds/app/token").await.unwrap(), first);
    assert!(!m.cat("rotate/app").await.unwrap().contains("last_failure"));
}

#[tokio::test]
async fn the_schedule_survives_a_restart_and_an_edit() {
    let m = machine(HOURLY).await;
    m.cat("creds/app/token").await.unwrap();
    m.pass(seconds(3601)).await;
    m.pass(seconds(1800)).await;
    let m = m.restart().await;
    m.write("roles/app", &format!("{HOURLY}mode = \"0440\"\n")).await.unwrap();
    m.pass(seconds(1790)).await;
    assert_eq!(m.api.count("create"), 2);
    m.pass(seconds(11)).await;
    assert_eq!(m.api.count("create"), 3);
}

#[tokio::test]
async fn a_schedule_given_to_a_role_in_use_begins_then() {
    let m = machine("team_id = \"team-1\"\ncredential_type = \"team\"\nttl = \"10h\"\n").await;
    m.cat("creds/app/token").await.unwrap();
    m.pass(seconds(7200)).await;
    m.write("roles/app", HOURLY).await.unwrap();
    m.pass(seconds(3590)).await;
    assert_eq!(m.api.count("create"), 1);
    m.pass(seconds(11)).await;
    assert_eq!(m.api.count("create"), 2);
}
