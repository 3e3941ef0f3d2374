//! Slots upstream: one token for each owner, which a new one kills and a DELETE without an id empties.

mod common;
#[path = "common/disk.rs"]
mod disk;

use std::sync::Arc;
use std::time::Duration;

use common::api::{FakeApi, Fault};
use common::machine::{Machine, Options, root};
use common::{ManualClock, seconds};
use disk::{Disk, live};
use tfcfs::domain::ports::{ApiErrorKind, Clock};
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
    let _ = tokio::join!(m.open_as(opener, "creds/app/token", 0), removal);
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

/// Long enough for a lost call to arrive, and for what follows.
async fn wait_until_settled(m: &Machine) {
    for _ in 0..30 {
        m.pass(seconds(10)).await;
    }
}

/// One daemon is killed at its n-th regeneration, before or after the effect; the next one runs without any open.
struct Killed {
    clock: Arc<ManualClock>,
    api: Arc<FakeApi>,
    disk: Disk,
}

impl Killed {
    fn at_create(nth: usize, fault: Fault) -> Self {
        let clock = ManualClock::new();
        let killed = Self { api: FakeApi::new(clock.clone()), clock, disk: Disk::default() };
        live(async {
            let m = killed.boot().await;
            m.configure().await;
            m.write("roles/app", SLOT).await.unwrap();
            for _ in 1..nth {
                m.cat("creds/app/token").await.unwrap();
                m.pass(seconds(20)).await;
            }
            killed.api.script("create", [fault]);
            let work = async {
                match nth {
                    1 => m.cat("creds/app/token").await.map(drop),
                    _ => m.write("rotate/app", "\n").await,
                }
            };
            assert!(tokio::time::timeout(seconds(5), work).await.is_err(), "it was killed");
        });
        killed.api.go_on();
        killed
    }

    async fn boot(&self) -> Machine {
        let store = Arc::new(self.disk.clone());
        Machine::boot(self.clock.clone(), self.api.clone(), store, Options::default()).await
    }

    /// Whatever lives is in the ledger, and no intent is left.
    async fn check(&self, alive: usize) {
        let made = self.api.live();
        assert_eq!(made.len(), alive, "{made:?}");
        for made in made {
            assert!(self.disk.knows(&made.secret).await, "an orphan: {made:?}");
        }
        assert!(!self.disk.knows("\"phase\":\"Intent\"").await);
        assert_eq!(self.disk.count("lease/").await, alive);
    }
}

#[test]
fn killed_between_intent_and_call_nothing_is_left_without_any_open() {
    let killed = Killed::at_create(1, Fault::Stop);
    live(async {
        let m = killed.boot().await;
        wait_until_settled(&m).await;
        killed.check(0).await;
        assert_eq!(killed.api.count("create"), 1);
    });
}

#[test]
fn killed_after_the_call_the_slot_is_adopted_without_any_open() {
    let killed = Killed::at_create(1, Fault::StopAfter);
    live(async {
        let m = killed.boot().await;
        wait_until_settled(&m).await;
        killed.check(1).await;
        assert_eq!(killed.api.count("create"), 2);
        let token = m.cat("creds/app/token").await.unwrap();
        assert!(killed.api.is_live(&token));
        assert_eq!(killed.api.count("create"), 2, "the open found a good token");
    });
}

#[test]
fn a_rotation_killed_before_its_call_leaves_the_former_token_in_use() {
    let killed = Killed::at_create(2, Fault::Stop);
    live(async {
        let m = killed.boot().await;
        wait_until_settled(&m).await;
        killed.check(1).await;
        assert_eq!(killed.api.count("create"), 2);
        assert!(killed.api.is_live(&m.cat("creds/app/token").await.unwrap()));
    });
}

#[test]
fn a_rotation_killed_after_its_call_ends_with_one_token_in_use() {
    let killed = Killed::at_create(2, Fault::StopAfter);
    live(async {
        let m = killed.boot().await;
        wait_until_settled(&m).await;
        killed.check(1).await;
        assert!(killed.api.is_live(&m.cat("creds/app/token").await.unwrap()));
        assert_eq!(killed.api.count("create"), 3);
    });
}

#[test]
fn killed_while_adopting_a_slot_it_is_adopted_all_the_same() {
    for fault in [Fault::Stop, Fault::StopAfter] {
        let killed = Killed::at_create(1, Fault::StopAfter);
        live(async {
            killed.api.script("create", [fault]);
            let m = killed.boot().await;
            wait_until_settled(&m).await;
        });
        killed.api.go_on();
        live(async {
            let m = killed.boot().await;
            wait_until_settled(&m).await;
            killed.check(1).await;
            assert!(killed.api.is_live(&m.cat("creds/app/token").await.unwrap()));
        });
    }
}

#[test]
fn a_lost_token_that_no_role_wants_any_more_is_deleted() {
    let killed = Killed::at_create(1, Fault::StopAfter);
    live(async {
        killed.api.script("slot", [Fault::Before(ApiErrorKind::Unreachable)]);
        let m = killed.boot().await;
        m.remove("roles/app").await.unwrap();
        wait_until_settled(&m).await;
        killed.check(0).await;
        assert_eq!((killed.api.count("create"), killed.api.count("revoke_slot")), (1, 1));
    });
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_token_in_the_slot_is_neither_deleted_nor_replaced() {
    for (late, removed) in [(false, false), (false, true), (true, false), (true, true)] {
        let m = machine().await;
        // The operator is faster than our look.
        m.api.script("slot", [Fault::Before(ApiErrorKind::Unreachable)]);
        m.api.script("create", [if late { Fault::After(ApiErrorKind::Timeout) } else { Fault::Lost }]);
        m.cat("creds/app/token").await.unwrap_err();
        let foreign = m.api.fill_by_hand("acme", Some(m.clock.now() + seconds(30 * 86_400)));
        if removed {
            m.remove("roles/app").await.unwrap();
        }
        wait_until_settled(&m).await;
        assert!(m.api.is_live(&foreign), "{:?}", m.api.calls());
        assert_eq!((m.api.count("create"), m.issuer.pending().len()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_may_be_anybodys_is_reported_when_no_role_uses_the_slot() {
    let m = machine().await;
    m.api.script("create", [Fault::Lost]);
    m.cat("creds/app/token").await.unwrap_err();
    let foreign = m.api.fill_by_hand("acme", None);
    m.remove("roles/app").await.unwrap();
    wait_until_settled(&m).await;
    assert!(m.api.is_live(&foreign));
    let status = m.cat("status").await.unwrap();
    assert!(status.contains("nothing tells whether that call made it: delete it by hand"), "{status}");
    m.api.kill(&foreign);
    wait_until_settled(&m).await;
    assert_eq!(m.issuer.pending().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_open_while_the_slot_is_adopted_joins_the_flight() {
    let m = machine().await;
    m.api.script("create", [Fault::After(ApiErrorKind::Timeout)]);
    m.api.set_latency(seconds(1));
    m.cat("creds/app/token").await.unwrap_err();
    // The first attempt sees our token in the slot at once and is regenerating.
    m.settle().await;
    assert_eq!(m.api.count("create"), 2);
    let token = m.cat("creds/app/token").await.unwrap();
    assert_eq!(m.api.count("create"), 2);
    wait_until_settled(&m).await;
    assert!(m.api.is_live(&token));
    assert_eq!((m.api.count("create"), m.issuer.pending().len()), (2, 0));
}

/// The token that openers got meanwhile was dead, and nobody found out.
#[tokio::test(start_paused = true)]
async fn a_lost_call_that_arrives_after_the_next_regeneration_is_found_out() {
    let m = machine().await;
    m.api.script("create", [Fault::Late(seconds(60))]);
    m.cat("creds/app/token").await.unwrap_err();
    let killed = m.cat("creds/app/token").await.unwrap();
    assert!(m.api.is_live(&killed));
    wait_until_settled(&m).await;
    assert!(!m.api.is_live(&killed));
    let token = m.cat("creds/app/token").await.unwrap();
    assert!(m.api.is_live(&token) && m.api.live().len() == 1);
    assert_eq!((m.api.count("create"), m.issuer.pending().len()), (3, 0));
}
