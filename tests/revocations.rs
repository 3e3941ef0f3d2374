//! Revocations that wait: how they are shown, how a bad anchor stops them, and how one is given up.

mod common;

use common::api::Fault;
use common::machine::{Machine, root};
use common::seconds;
use tfcfs::domain::lease::Phase;
use tfcfs::domain::ports::ApiErrorKind;
use tfcfs::vfs::{Caller, Errno};

const FRESH: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\nshare = \"open\"\n";

/// A daemon with so many tokens alive.
async fn machine(leases: usize) -> Machine {
    let m = Machine::new().await;
    m.write("roles/app", FRESH).await.unwrap();
    for _ in 0..leases {
        m.cat("creds/app/token").await.unwrap();
    }
    m
}

fn pending_ids(m: &Machine) -> Vec<String> {
    m.issuer.pending().iter().map(|one| one.id().to_string()).collect()
}

/// One lease whose revocation waits; its id and its token.
async fn stuck() -> (Machine, String, String) {
    let m = machine(0).await;
    let token = m.cat("creds/app/token").await.unwrap();
    m.api.script("revoke", vec![Fault::Before(ApiErrorKind::Unreachable); 1000]);
    let id = m.list("leases/app").remove(0);
    m.remove(&format!("leases/app/{id}")).await.unwrap();
    assert_eq!(pending_ids(&m), std::slice::from_ref(&id));
    (m, id, token)
}

#[tokio::test]
async fn what_waits_is_shown_with_its_reason() {
    let (m, id, _) = stuck().await;
    assert!(m.cat("revocations").await.unwrap().contains("attempts = 1\n"));
    m.pass(seconds(3)).await;
    let text = m.cat("revocations").await.unwrap();
    let table: toml::Table = text.parse().unwrap();
    let one = table["pending"][0].as_table().unwrap();
    assert_eq!(one["lease_id"].as_str(), Some(id.as_str()));
    assert_eq!((one["role"].as_str(), one["anchor"].as_str()), (Some("app"), Some("default")));
    assert_eq!((one["attempts"].as_integer(), one["cause"].as_str()), (Some(2), Some("upstream")));
    assert!(one["reason"].as_str().unwrap().contains("cannot be reached"));
    assert!(one["token_id"].as_str().unwrap().starts_with("at-"));
    assert!(one["since"].as_str().unwrap() < one["next_attempt"].as_str().unwrap());
    let metrics = m.cat("metrics").await.unwrap();
    assert!(metrics.contains("tfcfs_revocations_waiting{anchor=\"default\",cause=\"upstream\"} 1\n"), "{metrics}");
    m.api.forget_faults();
    m.pass(seconds(10)).await;
    assert!(!m.cat("revocations").await.unwrap().contains("lease_id"));
    assert!(!m.cat("metrics").await.unwrap().contains("tfcfs_revocations_waiting{"));
}

#[tokio::test]
async fn a_forgotten_lease_leaves_the_ledger_and_is_on_record() {
    let (m, id, token) = stuck().await;
    m.write("revocations", &format!("forget {id}\n")).await.unwrap();
    assert_eq!(pending_ids(&m), [] as [&str; 0]);
    let events = m.cat("events").await.unwrap();
    let last: serde_json::Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
    assert_eq!((last["event"].as_str(), last["uid"].as_u64()), (Some("forgotten"), Some(0)));
    assert_eq!(last["lease_id"].as_str(), Some(id.as_str()));
    assert!(last["token_id"].as_str().unwrap().starts_with("at-"));
    let calls = m.api.count("revoke");
    let m = m.restart().await;
    m.pass(seconds(1000)).await;
    assert_eq!((pending_ids(&m).len(), m.api.count("revoke")), (0, calls));
    assert!(m.api.is_live(&token), "that is what it means");
}

#[tokio::test]
async fn only_what_waits_is_forgotten_and_only_for_the_owner_of_the_mount() {
    let (m, id, _) = stuck().await;
    m.cat("creds/app/token").await.unwrap();
    let alive = m.list("leases/app").remove(0);
    for (text, errno, words) in [
        (format!("forget {alive}\n"), libc::EPERM, "is alive"),
        ("forget 0123\n".into(), libc::ENOENT, "that waits"),
        (format!("{id}\n"), libc::EINVAL, "forget LEASE"),
        ("forget\n".into(), libc::EINVAL, "forget LEASE"),
    ] {
        assert_eq!(m.write("revocations", &text).await, Err(Errno(errno)), "{text}");
        assert!(m.last_error().await.contains(words), "{text}");
    }
    let somebody = Caller { uid: 1000, gid: 1000, ..root() };
    let text = format!("forget {id}\n");
    assert_eq!(m.write_as(somebody, "revocations", text.as_bytes()).await, Err(Errno(libc::EPERM)));
    assert_eq!(pending_ids(&m), [id]);
}

#[tokio::test(start_paused = true)]
async fn forgetting_waits_for_the_attempt_under_way() {
    let (m, id, token) = stuck().await;
    m.api.forget_faults();
    m.api.script("revoke", [Fault::Slow(seconds(5))]);
    m.pass(seconds(3)).await;
    // It succeeds meanwhile: then there is nothing to forget.
    assert_eq!(m.write("revocations", &format!("forget {id}\n")).await, Err(Errno(libc::ENOENT)));
    assert!(!m.api.is_live(&token));
}

#[tokio::test]
async fn a_refused_anchor_stops_its_queue_and_a_good_one_resumes_it() {
    let m = machine(50).await;
    m.api.forget_calls();
    m.api.set_anchor_dead(true);
    m.remove("roles/app").await.unwrap();
    m.pass(seconds(11)).await;
    let began = m.api.calls().len();
    assert!(began <= 8, "as many as are asked at once: {began}");
    for _ in 0..360 {
        m.pass(seconds(10)).await;
    }
    let asked = m.api.calls().len() - began;
    assert!((8..=30).contains(&asked), "one asks now and then: {asked}");
    let errors = m.cat("errors").await.unwrap();
    let told = errors.lines().filter(|line| line.contains("revocations wait for it")).count();
    assert_eq!(told, 1, "{errors}");
    let status = m.cat("status").await.unwrap();
    assert!(status.contains("pending = 50") && status.contains("write a good one to config"), "{status}");
    let metrics = m.cat("metrics").await.unwrap();
    assert!(metrics.contains("tfcfs_revocations_waiting{anchor=\"default\",cause=\"anchor\"} 50\n"), "{metrics}");
    m.api.set_anchor_dead(false);
    m.configure().await;
    m.settle().await;
    m.pass(seconds(1)).await;
    assert_eq!((m.api.live().len(), pending_ids(&m).len()), (0, 0));
}

#[tokio::test]
async fn an_anchor_that_works_again_resumes_its_queue_without_a_word() {
    let m = machine(50).await;
    m.api.set_anchor_dead(true);
    m.remove("roles/app").await.unwrap();
    m.pass(seconds(11)).await;
    m.api.set_anchor_dead(false);
    for _ in 0..60 {
        m.pass(seconds(10)).await;
    }
    assert_eq!((m.api.live().len(), pending_ids(&m).len()), (0, 0));
}

#[tokio::test]
async fn tokens_that_are_hidden_from_the_anchor_stop_those_of_their_owner_only() {
    let m = machine(50).await;
    m.write("roles/other", "user_id = \"user-9\"\n").await.unwrap();
    m.api.forget_calls();
    m.api.script("revoke", vec![Fault::Before(ApiErrorKind::NotVisible); 20]);
    m.remove("roles/app").await.unwrap();
    m.pass(seconds(11)).await;
    assert!(m.api.count("revoke") <= 8, "{}", m.api.count("revoke"));
    let errors = m.cat("errors").await.unwrap();
    assert!(errors.contains("revocations for team team-1 wait for it"), "{errors}");
    m.cat("creds/other/token").await.unwrap();
    m.api.forget_faults();
    let id = m.list("leases/other").remove(0);
    m.remove(&format!("leases/other/{id}")).await.unwrap();
    assert!(!pending_ids(&m).contains(&id));
    for _ in 0..60 {
        m.pass(seconds(10)).await;
    }
    assert_eq!((m.api.live().len(), pending_ids(&m).len()), (0, 0));
}

#[tokio::test]
async fn many_lost_answers_are_found_by_a_few_walks_through_the_list() {
    let m = machine(0).await;
    let faults = [Fault::Lost, Fault::After(ApiErrorKind::Timeout)];
    m.api.script("create", faults.iter().cycle().take(60).cloned());
    for _ in 0..60 {
        m.cat("creds/app/token").await.unwrap_err();
    }
    m.settle().await;
    assert_eq!((m.api.live().len(), pending_ids(&m).len()), (0, 30), "those that were made are gone at once");
    // A search begins with a walk of its own when nobody has walked since the call was lost.
    m.api.forget_calls();
    for _ in 0..91 {
        m.pass(seconds(1)).await;
    }
    assert_eq!(pending_ids(&m), [] as [&str; 0]);
    let walks = m.api.count("list");
    assert!(walks <= 15, "{walks} walks for 30 searches of 91 s");
}

#[tokio::test]
async fn all_endings_are_durable_before_most_of_them_have_their_turn_upstream() {
    let m = machine(40).await;
    m.api.script("revoke", vec![Fault::Slow(seconds(3600)); 40]);
    m.remove("roles/app").await.unwrap();
    m.pass(seconds(11)).await;
    m.settle().await;
    assert_eq!((m.api.count("revoke"), pending_ids(&m).len()), (8, 40));
    let decided = m.issuer.book().leases().filter(|lease| lease.record.phase == Phase::Revoking).count();
    assert_eq!(decided, 40);
    // Who waits for one does not stand in that line.
    m.write("roles/other", FRESH).await.unwrap();
    m.cat("creds/other/token").await.unwrap();
    let id = m.list("leases/other").remove(0);
    tokio::time::timeout(seconds(10), m.remove(&format!("leases/other/{id}"))).await.unwrap().unwrap();
    assert_eq!(m.api.count("revoke"), 9);
}

/// Teams of one organization are listed at one address, each with its own tokens.
#[tokio::test]
async fn the_lost_answers_of_two_teams_of_an_organization_are_both_found() {
    let m = Machine::new().await;
    for team in ["deploy", "backup"] {
        let document = format!(
            "organization = \"acme\"\nteam = \"{team}\"\nteam_id = \"team-{team}\"\ncredential_type = \"team\"\n"
        );
        m.write(&format!("roles/{team}"), &document).await.unwrap();
    }
    m.api.script("create", vec![Fault::After(ApiErrorKind::Timeout); 2]);
    // The first reading comes when no lost call can arrive any more: it is the last one, too.
    m.api.script("list", vec![Fault::Before(ApiErrorKind::Remote); 1000]);
    for team in ["deploy", "backup"] {
        m.cat(&format!("creds/{team}/token")).await.unwrap_err();
    }
    assert_eq!(m.api.live().len(), 2);
    for _ in 0..60 {
        m.pass(seconds(5)).await;
    }
    m.api.forget_faults();
    for _ in 0..60 {
        m.pass(seconds(10)).await;
    }
    assert!(m.issuer.pending().is_empty(), "{:?}", m.issuer.pending());
    assert!(m.api.live().is_empty(), "{:?}", m.api.live());
}

/// A walk proves that no token was made only if it began when the call could not arrive any more.
#[tokio::test(start_paused = true)]
async fn a_walk_that_ends_late_but_began_early_proves_nothing() {
    let m = machine(0).await;
    m.api.script("create", [Fault::Late(seconds(88))]);
    m.cat("creds/app/token").await.unwrap_err();
    m.pass(seconds(60)).await;
    m.api.script("list", [Fault::SlowAnswer(seconds(5))]);
    m.api.forget_calls();
    while m.api.count("list") == 0 {
        m.pass(seconds(1)).await;
    }
    assert!(m.api.live().is_empty(), "it has not arrived yet");
    m.clock.advance(seconds(60));
    tokio::time::sleep(seconds(6)).await;
    assert_eq!(m.api.live().len(), 1, "now it has");
    for _ in 0..60 {
        m.pass(seconds(10)).await;
    }
    assert_eq!((m.api.live().len(), pending_ids(&m).len()), (0, 0));
}
