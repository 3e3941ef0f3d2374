//! No token is lost track of (DESIGN 8): restarts, lost answers, a ledger that fails.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::api::{ANCHOR, Fault};
use common::machine::{Machine, Names, Options, root};
use common::{ManualClock, seconds};
use tfcfs::adapters::memory_store::MemoryStore;
use tfcfs::domain::anchor::Address;
use tfcfs::domain::document::RoleSpec;
use tfcfs::domain::name::RoleName;
use tfcfs::domain::ports::ApiErrorKind;
use tfcfs::vfs::{Caller, Errno};

const TEAM: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\n";
const SLOT: &str = "organization = \"acme\"\n";

async fn machine(role: &str) -> Machine {
    let machine = Machine::new().await;
    machine.write("roles/app", role).await.unwrap();
    machine.api.forget_calls();
    machine
}

#[tokio::test]
async fn roles_anchors_and_lingering_leases_survive_a_restart() {
    let m = machine(TEAM).await;
    let token = m.cat("creds/app/token").await.unwrap();
    m.pass(seconds(1000)).await;
    let m = m.restart().await;
    assert_eq!(m.list("roles"), ["app"]);
    assert_eq!(m.cat("creds/app/token").await.unwrap(), token);
    assert_eq!(m.api.count("create"), 1);
}

#[tokio::test]
async fn many_closes_are_one_commit_a_few_seconds_later() {
    let m = machine(TEAM).await;
    m.cat("creds/app/token").await.unwrap();
    m.pass(seconds(6)).await;
    let version = || async { m.store.load().await.unwrap().iter().map(|record| record.version).max().unwrap() };
    let before = version().await;
    for _ in 0..50 {
        m.cat("creds/app/token").await.unwrap();
        m.settle().await;
    }
    assert_eq!(version().await, before);
    m.pass(seconds(6)).await;
    assert_eq!(version().await.0, before.0 + 1);
}

#[tokio::test]
async fn a_lease_that_ended_while_nobody_served_is_revoked_at_start() {
    let m = machine(TEAM).await;
    let token = m.cat("creds/app/token").await.unwrap();
    m.pass(seconds(10)).await;
    let clock = m.clock.clone();
    let (api, store) = (m.api.clone(), m.store.clone());
    drop(m);
    clock.advance(seconds(3600));
    let m = Machine::boot(clock, api, store, Options::default()).await;
    m.settle().await;
    assert!(!m.api.is_live(&token));
    assert!(m.list("leases/app").is_empty());
    assert_ne!(m.cat("creds/app/token").await.unwrap(), token);
}

#[tokio::test]
async fn an_answer_that_was_lost_leaves_no_token() {
    for role in [TEAM, "user_id = \"user-1\"\n"] {
        let m = machine(role).await;
        m.api.script("create", [Fault::After(ApiErrorKind::Timeout)]);
        assert_eq!(m.cat("creds/app/token").await, Err(Errno(libc::ETIMEDOUT)));
        m.settle().await;
        assert!(m.api.live().is_empty(), "found by its description and deleted at once");
        let token = m.cat("creds/app/token").await.unwrap();
        assert_eq!(m.api.live().len(), 1);
        assert!(m.api.is_live(&token));
    }
}

#[tokio::test]
async fn an_intent_without_a_record_is_searched_for_at_start() {
    let m = machine(TEAM).await;
    m.api.script("create", [Fault::After(ApiErrorKind::Timeout)]);
    m.api.script("list", vec![Fault::Before(ApiErrorKind::Unreachable); 3]);
    assert!(m.cat("creds/app/token").await.is_err());
    m.settle().await;
    assert_eq!(m.api.live().len(), 1, "upstream could not be asked");
    m.api.script("list", []);
    let m = m.restart().await;
    for _ in 0..5 {
        m.pass(seconds(10)).await;
    }
    assert!(m.api.live().is_empty());
    assert_eq!(m.store.load().await.unwrap().iter().filter(|r| r.key.starts_with("lease/")).count(), 0);
}

#[tokio::test]
async fn a_revocation_is_repeated_until_it_is_proven() {
    let m = machine(&format!("{TEAM}on_close = \"revoke\"\n")).await;
    m.api.script("revoke", vec![Fault::Before(ApiErrorKind::Remote); 8]);
    let token = m.cat("creds/app/token").await.unwrap();
    m.settle().await;
    assert!(m.api.is_live(&token));
    assert!(m.cat("status").await.unwrap().contains("pending = 1"));
    // It also survives a restart, and never holds one up.
    let m = m.restart().await;
    for _ in 0..20 {
        m.pass(seconds(60)).await;
    }
    assert!(!m.api.is_live(&token));
    assert!(m.cat("status").await.unwrap().contains("pending = 0"));
}

#[tokio::test]
async fn a_404_on_delete_counts_only_if_the_token_is_dead() {
    let m = machine(&format!("{TEAM}on_close = \"revoke\"\n")).await;
    // Somebody deleted it out of band: 404, and the token itself is refused.
    let held = m.open("creds/app/token").await.unwrap();
    let token = m.read(&held).unwrap();
    m.api.kill(&token);
    m.close(held);
    m.settle().await;
    assert!(m.cat("status").await.unwrap().contains("pending = 0"));
    // The anchor lost its rights: 404, yet the token works.
    let token = m.cat("creds/app/token").await.unwrap();
    m.settle().await;
    assert!(!m.api.is_live(&token));
    m.api.script("revoke", [Fault::Before(ApiErrorKind::NotVisible)]);
    let token = m.cat("creds/app/token").await.unwrap();
    m.settle().await;
    assert!(m.api.is_live(&token));
    let status = m.cat("status").await.unwrap();
    assert!(status.contains("pending = 1") && status.contains("still works"), "{status}");
    m.pass(seconds(5)).await;
    assert!(!m.api.is_live(&token));
}

#[tokio::test]
async fn a_description_that_is_taken_is_retried_with_another() {
    let m = machine(TEAM).await;
    m.api.script("create", vec![Fault::Before(ApiErrorKind::DescriptionTaken); 2]);
    m.cat("creds/app/token").await.unwrap();
    assert_eq!(m.api.count("create"), 3);
    let description = &m.api.made()[0].description;
    assert!(description.starts_with("app [tfcfs testhost app ") && description.len() < 255, "{description}");
}

#[tokio::test]
async fn a_token_whose_end_is_not_what_was_asked_for_is_not_handed_out() {
    for role in [TEAM, SLOT] {
        let m = machine(role).await;
        let far = "2099-01-01T00:00:00Z".parse().unwrap();
        for ends in [None, Some(far)] {
            m.api.script("create", [Fault::Ends(ends)]);
            assert_eq!(m.cat("creds/app/token").await, Err(Errno(libc::EREMOTEIO)));
            assert!(m.last_error().await.contains("gave the token another end than we asked for"));
            m.settle().await;
            assert!(m.api.live().is_empty());
        }
        // A policy that shortens it is obeyed: our end comes before theirs.
        let soon = m.clock_now().checked_add(seconds(7200)).unwrap();
        m.api.script("create", [Fault::Ends(Some(soon))]);
        assert!(m.cat("creds/app/token.json").await.unwrap().contains("\"expires_at\":\"2026-11-24T13:59:00Z\""));
    }
}

#[tokio::test]
async fn the_slot_of_our_own_anchor_is_never_regenerated() {
    let m = Machine::new().await;
    // The fake anchor is alice's user token: give the book an anchor that lives in the slot.
    let mut anchor = m.issuer.book().find_anchor(&Default::default()).unwrap().anchor.clone();
    anchor.access.owner = Some(tfcfs::domain::owner::Owner::Organization { name: "acme".into() });
    m.issuer.book().put_anchor(anchor, tfcfs::domain::book::Origin::Mount);
    m.write("roles/app", SLOT).await.unwrap();
    assert_eq!(m.cat("creds/app/token").await, Err(Errno(libc::EPERM)));
    assert_eq!(m.write("rotate/app", "\n").await, Err(Errno(libc::EPERM)));
    assert!(m.last_error().await.contains("would destroy our own anchor"));
    assert_eq!(m.api.count("create"), 0);
}

#[tokio::test]
async fn a_stop_keeps_what_lingers_and_revokes_what_policy_says() {
    let m = machine(TEAM).await;
    m.write("roles/once", &format!("{TEAM}on_close = \"revoke\"\n")).await.unwrap();
    let (a, b) = (m.open("creds/app/token").await.unwrap(), m.open("creds/once/token").await.unwrap());
    let (kept, ended) = (m.read(&a).unwrap(), m.read(&b).unwrap());
    assert_eq!(m.issuer.drain(seconds(5)).await, 0);
    assert!(m.api.is_live(&kept) && !m.api.is_live(&ended));
    let m = m.restart().await;
    assert_eq!(m.cat("creds/app/token").await.unwrap(), kept);
}

#[tokio::test]
async fn an_ephemeral_stop_revokes_everything() {
    let m = Machine::with(Options { ephemeral: true, ..Options::default() }).await;
    m.write("roles/app", TEAM).await.unwrap();
    m.write("roles/slot", SLOT).await.unwrap();
    m.cat("creds/app/token").await.unwrap();
    let _held = m.open("creds/slot/token").await.unwrap();
    assert_eq!(m.api.live().len(), 2);
    assert_eq!(m.issuer.drain(seconds(5)).await, 0);
    assert!(m.api.live().is_empty());
}

#[tokio::test]
async fn a_dead_anchor_is_named_and_its_queue_goes_on_when_config_is_repaired() {
    let m = machine(&format!("{TEAM}on_close = \"revoke\"\n")).await;
    let held = m.open("creds/app/token").await.unwrap();
    let token = m.read(&held).unwrap();
    m.api.set_anchor_dead(true);
    m.write("roles/b", TEAM).await.unwrap();
    assert_eq!(m.cat("creds/b/token").await, Err(Errno(libc::EKEYREJECTED)));
    m.close(held);
    m.settle().await;
    assert!(m.cat("status").await.unwrap().contains("pending = 1"));
    m.api.set_anchor_dead(false);
    m.configure().await;
    m.settle().await;
    assert!(!m.api.is_live(&token));
}

#[tokio::test]
async fn rotating_the_anchor_makes_tries_stores_and_deletes() {
    let m = machine(TEAM).await;
    let result = m.write("rotate/config", "\n").await;
    assert_eq!(result, Ok(()));
    assert_eq!(m.api.calls(), ["create user user-alice", "whoami ", "revoke at-anchor"]);
    assert_eq!(m.api.live_anchors().len(), 1);
    m.cat("creds/app/token").await.unwrap();
    let m = m.restart().await;
    m.write("roles/b", TEAM).await.unwrap();
    m.cat("creds/b/token").await.unwrap();
}

#[tokio::test]
async fn serials_never_repeat_over_restarts() {
    let clock = ManualClock::new();
    let api = common::api::FakeApi::new(clock.clone());
    let store = Arc::new(MemoryStore::default());
    let mut last = 0;
    for _ in 0..3 {
        let m = Machine::boot(clock.clone(), api.clone(), store.clone(), Options::default()).await;
        for _ in 0..100_000 {
            let serial = m.issuer.book().take_serial();
            let serial = match serial {
                Ok(serial) => serial.0,
                Err(_) => {
                    m.issuer.keep_once().await;
                    m.issuer.book().take_serial().unwrap().0
                }
            };
            assert!(serial > last);
            last = serial;
        }
    }
}

#[tokio::test]
async fn a_rename_brings_no_removed_record_back() {
    let m = machine(SLOT).await;
    let held = m.open("creds/app/token").await.unwrap();
    m.pass(seconds(8)).await;
    m.write("rotate/app", "\n").await.unwrap();
    m.rename("roles/app", "roles/web").await.unwrap();
    m.pass(seconds(90_000)).await;
    m.rename("roles/web", "roles/app").await.unwrap();
    m.close(held);
    m.pass(seconds(90_000)).await;
    let left: Vec<String> = m.store.load().await.unwrap().into_iter().map(|record| record.key).collect();
    assert!(!left.iter().any(|key| key.starts_with("lease/")), "{left:?}\n{}", m.cat("events").await.unwrap());
}

#[tokio::test]
async fn a_lease_that_its_last_close_should_have_ended_ends_at_the_start_after_a_crash() {
    let m = machine("team_id = \"team-1\"\ncredential_type = \"team\"\non_close = \"revoke\"\n").await;
    let opened = m.open("creds/app/token").await.unwrap();
    let token = m.read(&opened).unwrap();
    let m = m.restart().await;
    m.settle().await;
    assert!(!m.api.is_live(&token));
    assert!(m.list("leases/app").is_empty());
}

#[tokio::test]
async fn a_token_that_upstream_does_not_accept_is_not_handed_out() {
    let m = machine(TEAM).await;
    m.api.script("create", [Fault::Rejected]);
    assert_eq!(m.cat("creds/app/token").await, Err(Errno(libc::EREMOTEIO)));
    assert!(m.last_error().await.contains("lower max_ttl"), "{}", m.last_error().await);
    m.settle().await;
    assert!(m.api.live().is_empty());
}

/// A token that came after the stop had counted what there was to revoke lived until its `expired-at`.
#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_calls_under_way() {
    let m = Machine::with(Options { ephemeral: true, ..Options::default() }).await;
    m.write("roles/app", TEAM).await.unwrap();
    m.api.set_latency(seconds(2));
    let stop = async {
        tokio::time::sleep(seconds(1)).await;
        m.issuer.drain(seconds(4)).await
    };
    let (_, left) = tokio::join!(m.cat("creds/app/token"), stop);
    assert_eq!((m.api.made().len(), m.api.live().len(), left), (1, 0, 0));
    // And nothing new is begun.
    m.write("roles/web", "team_id = \"team-2\"\ncredential_type = \"team\"\n").await.unwrap();
    assert!(m.cat("creds/web/token").await.is_err());
    assert_eq!(m.api.made().len(), 1);
}

/// Counted from the intent, the search ended at once if the call itself had taken long.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_searched_for_from_when_it_was_lost() {
    let m = machine(TEAM).await;
    m.api.set_latency(seconds(1));
    m.api.script("create", [Fault::Late(seconds(30))]);
    let clock = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        // The call hangs for two minutes, and has its effect half a minute after we gave it up.
        m.clock.advance(seconds(120));
    };
    assert!(tokio::join!(m.cat("creds/app/token"), clock).0.is_err());
    for _ in 0..20 {
        m.pass(seconds(5)).await;
    }
    assert!(m.api.live().is_empty(), "{:?}", m.api.live());
    assert!(m.api.made()[0].born < m.clock_now());
}

#[tokio::test]
async fn an_anchor_does_not_move_to_another_server_while_its_tokens_live() {
    let m = machine(TEAM).await;
    m.cat("creds/app/token").await.unwrap();
    let elsewhere = format!("address = \"https://tfe.example\"\ntoken = \"{ANCHOR}\"\n");
    assert_eq!(m.write("config", &elsewhere).await, Err(Errno(libc::EINVAL)));
    let error = m.last_error().await;
    assert!(error.contains("app.terraform.io") && error.contains("rm leases/app/"), "{error}");
    let lease = m.list("leases/app").remove(0);
    m.remove(&format!("leases/app/{lease}")).await.unwrap();
    m.write("config", &elsewhere).await.unwrap();
    m.cat("creds/app/token").await.unwrap();
}

/// The path below which the API lives is not what makes a server another one.
#[tokio::test]
async fn an_anchor_whose_base_path_changes_goes_on_revoking() {
    let m = machine(TEAM).await;
    let token = m.cat("creds/app/token").await.unwrap();
    m.write("config", &format!("base_path = \"/proxy/api/v2/\"\ntoken = \"{ANCHOR}\"\n")).await.unwrap();
    let lease = m.list("leases/app").remove(0);
    m.remove(&format!("leases/app/{lease}")).await.unwrap();
    assert!(!m.api.is_live(&token));
}

/// One hung DELETE after the other, each with its own patience, kept the writer far beyond his deadline.
#[tokio::test(start_paused = true)]
async fn a_rotation_that_revokes_keeps_its_deadline() {
    let m = machine("team_id = \"team-1\"\ncredential_type = \"team\"\nshare = \"unit\"\n").await;
    let mut former = Vec::new();
    for tid in 1..=5 {
        m.facts.units.lock().insert(tid, format!("/unit-{tid}"));
        let caller = Caller { tid, ..root() };
        let (_, opened) = m.open_as(caller, "creds/app/token", 0).await.unwrap();
        former.push(m.read(&opened).unwrap());
        m.close(opened);
    }
    m.api.script("revoke", (0..5).map(|_| Fault::Slow(seconds(25))));
    let start = tokio::time::Instant::now();
    m.write("rotate/app", "revoke\n").await.unwrap();
    assert!(start.elapsed() <= seconds(31), "{:?}", start.elapsed());
    tokio::time::sleep(seconds(30)).await;
    assert!(former.iter().all(|token| !m.api.is_live(token)));
}

#[tokio::test]
async fn a_team_is_known_by_name_after_a_restart_without_upstream() {
    let m = machine("organization = \"acme\"\nteam = \"deploy\"\ncredential_type = \"team\"\n").await;
    let m = m.restart().await;
    let known = |team| m.issuer.known_team_id(&Address::hcp(), "acme", team);
    assert_eq!(known("deploy").as_deref(), Some("team-deploy"));
    assert_eq!(known("other"), None);
    assert!(m.api.calls().iter().all(|call| !call.starts_with("team_id") || call.ends_with("acme/deploy")));
}

/// What a role of the settings file had issued was revoked ten seconds after a start that could not ask upstream for the
/// id of its team.
#[tokio::test]
async fn what_a_role_of_the_settings_file_issued_waits_until_upstream_was_asked() {
    let role = || RoleSpec::parse(TEAM.as_bytes(), &Names).unwrap().resolve(None);
    let name: RoleName = "file".parse().unwrap();
    let m = machine(TEAM).await;
    m.issuer.apply_file(Vec::new(), vec![(name.clone(), Some(role()))]).await.unwrap();
    let token = m.cat("creds/file/token").await.unwrap();
    let m = m.restart().await;
    m.issuer.apply_file(Vec::new(), vec![(name.clone(), None)]).await.unwrap();
    m.pass(seconds(600)).await;
    assert!(m.api.is_live(&token));
    m.issuer.add_file_role(name.clone(), role()).await.unwrap();
    assert_eq!(m.cat("creds/file/token").await.unwrap(), token);
    // The file does not name it any more: it goes with the grace of a removed role.
    let m = m.restart().await;
    m.issuer.apply_file(Vec::new(), Vec::new()).await.unwrap();
    m.pass(seconds(20)).await;
    assert!(!m.api.is_live(&token));
}

/// Only damage can do that; one of the two tokens would be lost track of.
#[tokio::test]
async fn two_leases_with_one_number_are_refused() {
    use tfcfs::domain::ledger::Ledger;
    use tfcfs::domain::ports::{Change, Expect};
    let m = Machine::new().await;
    m.write("roles/app", "team_id = \"team-1\"\ncredential_type = \"team\"\n").await.unwrap();
    m.cat("creds/app/token").await.unwrap();
    let lease = m.store.load().await.unwrap().into_iter().find(|record| record.key.starts_with("lease/")).unwrap();
    let id = lease.key.trim_start_matches("lease/");
    let other = "0".repeat(id.len());
    let value = String::from_utf8(lease.value.clone()).unwrap().replace(id, &other).into_bytes();
    let change = Change { key: format!("lease/{other}"), expect: Expect::Absent, value: Some(value) };
    m.store.commit(vec![change]).await.unwrap();
    let error = Ledger::new(m.store.clone()).load().await.unwrap_err().to_string();
    assert!(error.contains("two leases with the number"), "{error}");
}

/// A note may come just after its lease was removed. Nothing else would ever remove it.
#[tokio::test]
async fn notes_about_leases_that_are_no_more_go_with_the_next_start() {
    use tfcfs::domain::lease::LeaseId;
    use tfcfs::domain::ledger::{Entry, Ledger};
    let m = Machine::new().await;
    let id = LeaseId::new(m.clock_now());
    let notes = vec![Entry::Linger(id.clone(), Some(m.clock_now())), Entry::End(id, Some(m.clock_now()))];
    Ledger::new(m.store.clone()).write(notes).await.unwrap();
    let notes = async |m: &Machine| {
        let records = m.store.load().await.unwrap().into_iter();
        records.filter(|record| record.key.starts_with("linger/") || record.key.starts_with("end/")).count()
    };
    assert_eq!(notes(&m).await, 2);
    let m = m.restart().await;
    assert_eq!(notes(&m).await, 0);
}
