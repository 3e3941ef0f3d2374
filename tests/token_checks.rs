//! A token that somebody else deletes, or replaces in its slot, is not handed out for long; and asking costs next to nothing.

mod common;

use common::api::Fault;
use common::machine::Machine;
use common::seconds;
use tfcfs::domain::ports::ApiErrorKind;
use tfcfs::vfs::Errno;

const TEAM: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\nttl = \"1h\"\n";
const SLOT: &str = "organization = \"acme\"\n";

async fn machine(role: &str) -> Machine {
    let m = Machine::new().await;
    m.write("roles/app", role).await.unwrap();
    m
}

async fn read(m: &Machine) -> String {
    let token = m.cat("creds/app/token").await.unwrap();
    m.settle().await;
    token
}

#[tokio::test]
async fn a_token_deleted_by_somebody_else_is_replaced_within_five_minutes_of_use() {
    for role in [TEAM, SLOT] {
        let m = machine(role).await;
        let held = m.open("creds/app/token").await.unwrap();
        let token = m.read(&held).unwrap();
        m.api.kill(&token);
        m.pass(seconds(299)).await;
        assert_eq!(read(&m).await, token, "a hit asks nobody");
        m.pass(seconds(1)).await;
        assert_eq!(read(&m).await, token, "nor does its opener wait");
        assert_eq!(m.read(&held), Err(Errno(libc::EKEYREVOKED)), "who holds it is told");
        assert!(m.vfs.has_news(held.handle));
        let error = m.last_error().await;
        assert!(error.contains("creds/app/token: upstream refuses the token of lease"), "{error}");
        let next = read(&m).await;
        assert!(next != token && m.api.is_live(&next));
        m.close(held);
        m.pass(seconds(1)).await;
        assert!(m.issuer.pending().is_empty(), "{:?}", m.issuer.pending());
        assert!(m.cat("events").await.unwrap().contains("\"event\":\"refused\""));
    }
}

#[tokio::test]
async fn what_somebody_else_put_into_the_slot_is_not_deleted_by_that() {
    let m = machine(SLOT).await;
    let token = read(&m).await;
    m.pass(seconds(1)).await;
    let other = m.api.fill_by_hand("acme", None);
    m.pass(seconds(300)).await;
    assert_eq!(read(&m).await, token);
    m.pass(seconds(10)).await;
    assert_eq!(m.api.count("revoke_slot"), 0);
    assert!(m.api.is_live(&other) && m.list("leases/app").is_empty());
}

#[tokio::test]
async fn one_call_in_five_minutes_and_none_while_nobody_reads() {
    let m = machine(TEAM).await;
    read(&m).await;
    m.api.forget_calls();
    for _ in 0..300 {
        m.pass(seconds(2)).await;
        read(&m).await;
        read(&m).await;
    }
    assert_eq!(m.api.calls().len(), 2, "{:?}", m.api.calls());
    m.api.forget_calls();
    m.pass(seconds(3000)).await;
    assert!(m.api.calls().is_empty(), "{:?}", m.api.calls());
}

#[tokio::test]
async fn an_upstream_that_refuses_everybody_or_nobody_ends_no_lease() {
    for refusal in [ApiErrorKind::Unauthorized, ApiErrorKind::Unreachable, ApiErrorKind::Remote] {
        let m = machine(TEAM).await;
        let token = read(&m).await;
        m.pass(seconds(300)).await;
        m.api.script("whoami", vec![Fault::Before(refusal); 2]);
        assert_eq!(read(&m).await, token);
        m.api.forget_faults();
        m.pass(seconds(300)).await;
        assert_eq!(read(&m).await, token);
        assert_eq!(read(&m).await, token);
        assert_eq!(m.api.count("create"), 1);
    }
}
