//! Slots upstream: one token for each owner, which a new one kills and a DELETE without an id empties.

mod common;

use std::time::Duration;

use common::api::Fault;
use common::machine::{Machine, root};
use common::seconds;
use tfcfs::vfs::{Caller, Errno};

const SLOT: &str = "organization = \"acme\"\n";
const TEAM: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\n";

async fn machine() -> Machine {
    let machine = Machine::new().await;
    machine.write("roles/app", SLOT).await.unwrap();
    machine
}

/// The slot was found to hold the former token, then filled anew, then emptied.
#[tokio::test(start_paused = true)]
async fn emptying_a_slot_never_hits_the_token_that_filled_it_meanwhile() {
    let m = machine().await;
    let former = m.cat("creds/app/token").await.unwrap();
    m.api.script("slot", [Fault::Slow(seconds(2))]);
    m.remove("roles/app").await.unwrap();
    m.pass(seconds(11)).await;
    // Its revocation asks what is in the slot, and the answer takes a while.
    m.write("roles/web", SLOT).await.unwrap();
    let token = m.cat("creds/web/token").await.unwrap();
    tokio::time::sleep(seconds(5)).await;
    assert!(m.api.is_live(&token) && !m.api.is_live(&former), "{:?}", m.api.calls());
}

/// It was revoked, although the other role's openers were waiting for a token of that very slot.
#[tokio::test(start_paused = true)]
async fn a_slots_token_that_comes_after_its_role_went_belongs_to_the_slots_other_role() {
    let m = machine().await;
    m.write("roles/web", SLOT).await.unwrap();
    m.api.set_latency(seconds(1));
    let removal = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        m.remove("roles/app").await.unwrap();
    };
    let opener = Caller { tid: 7, ..root() };
    let (opened, ()) = tokio::join!(m.open_as(opener, "creds/app/token", 0), removal);
    drop(opened);
    let token = m.cat("creds/web/token").await.unwrap();
    m.pass(seconds(30)).await;
    tokio::time::sleep(seconds(5)).await;
    assert!(m.api.is_live(&token));
    assert_eq!(m.api.count("create"), 1);
}

#[tokio::test]
async fn two_roles_on_one_slot_may_go_one_after_the_other() {
    let m = machine().await;
    m.write("roles/web", SLOT).await.unwrap();
    let token = m.cat("creds/app/token").await.unwrap();
    m.remove("roles/app").await.unwrap();
    m.pass(seconds(20)).await;
    assert_eq!(m.cat("creds/web/token").await.unwrap(), token);
    assert!(m.api.is_live(&token));
    m.remove("roles/web").await.unwrap();
    m.pass(seconds(20)).await;
    assert!(!m.api.is_live(&token));
    assert_eq!(m.cat("creds/web/token").await, Err(Errno(libc::ENOENT)));
    // A team's described tokens are not in anybody's slot.
    m.write("roles/team", TEAM).await.unwrap();
    m.cat("creds/team/token").await.unwrap();
}
