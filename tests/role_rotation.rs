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
