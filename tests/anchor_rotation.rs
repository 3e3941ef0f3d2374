//! Rotation of the anchor itself. Killed or failing at every commit and at every call: the next start ends with exactly one
//! token of the anchor's owner upstream, the one in force. And its schedule, and what is refused.

mod common;
#[path = "common/disk.rs"]
mod disk;
#[path = "common/fail_nth_store.rs"]
mod fail_nth_store;

use std::sync::Arc;
use std::time::Duration;

use common::api::{ANCHOR, FakeApi, Fault};
use common::machine::{Machine, Options};
use common::{ManualClock, seconds};
use disk::{Disk, live};
use fail_nth_store::{FailNth, Failure};
use tfcfs::domain::owner::Owner;
use tfcfs::domain::ports::{ApiErrorKind, Store};
use tfcfs::vfs::Errno;

const TEAM: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\n";

struct World {
    clock: Arc<ManualClock>,
    api: Arc<FakeApi>,
    disk: Disk,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        Self { clock, api, disk: Disk::default() }
    }

    fn of_organization() -> Self {
        let world = Self::new();
        world.api.set_anchor_owner(Owner::Organization { name: "acme".into() });
        world
    }

    async fn boot_on(&self, store: Arc<dyn Store>) -> Machine {
        let options = Options { allow_organization_anchor_rotation: true, ..Options::default() };
        Machine::boot(self.clock.clone(), self.api.clone(), store, options).await
    }

    async fn boot(&self) -> Machine {
        self.boot_on(Arc::new(self.disk.clone())).await
    }

    /// A daemon with anchor and role, that goes again.
    fn prepare(&self) {
        live(async {
            let m = self.boot().await;
            m.write("config", &format!("token = \"{ANCHOR}\"\n")).await.unwrap();
            m.write("roles/app", TEAM).await.unwrap();
            m.cat("creds/app/token").await.unwrap();
        });
    }

    /// A start after all that, with an upstream that is well: in five minutes all is settled.
    fn aftermath(&self, what: &str) {
        self.api.go_on();
        live(async {
            let m = self.boot().await;
            for _ in 0..30 {
                m.pass(seconds(10)).await;
            }
            assert_eq!(self.api.live_anchors(), [in_force(&m)], "{what}: not the anchor in force alone");
            assert_eq!(self.disk.count("anchor-token/").await, 0, "{what}: left in the ledger");
            m.write("roles/after", TEAM).await.unwrap();
            let token = m.cat("creds/after/token").await.unwrap();
            assert!(self.api.is_live(&token), "{what}");
        });
    }
}

fn in_force(m: &Machine) -> String {
    m.issuer.book().find_anchor(&Default::default()).unwrap().anchor.access.token.expose().to_owned()
}

/// Rotations, and a `config` written between them.
async fn scenario(m: &Machine) {
    if m.write("rotate/config", "\n").await.is_err() {
        // Again at once, before what the first one left behind is settled.
        let _ = m.write("rotate/config", "\n").await;
    }
    m.pass(seconds(20)).await;
    let _ = m.cat("creds/app/token").await;
    let _ = m.write("rotate/config", "\n").await;
    m.pass(seconds(20)).await;
    let config = m.cat("config").await.unwrap();
    let _ = m.write("config", &config).await;
    let _ = m.write("rotate/config", "default\n").await;
    m.pass(seconds(20)).await;
}

async fn within<T>(life: impl Future<Output = T>) {
    let _ = tokio::time::timeout(Duration::from_secs(600), life).await;
}

/// One life with the scenario in it.
fn rotate_on(world: &World, store: impl Store + 'static) {
    let store = Arc::new(store);
    live(within(async {
        let m = world.boot_on(store.clone()).await;
        scenario(&m).await;
    }));
}

fn the_ledger_fails(failure: Failure) {
    for nth in 1.. {
        let world = World::new();
        world.prepare();
        let store = Arc::new(FailNth::new(world.disk.clone(), nth, failure));
        live(within(async {
            if nth > 1 {
                scenario(&world.boot_on(store.clone()).await).await;
            }
        }));
        let done = nth > 1 && store.commits() < nth;
        world.aftermath(&format!("{failure:?} at commit {nth}"));
        if done {
            assert!(nth > 8, "the scenario makes many commits");
            return;
        }
    }
}

#[test]
fn a_commit_of_a_rotation_fails_without_effect() {
    the_ledger_fails(Failure::Before);
}

#[test]
fn a_commit_of_a_rotation_fails_after_it_took_place() {
    the_ledger_fails(Failure::After);
}

#[test]
fn killed_before_a_commit_of_a_rotation() {
    the_ledger_fails(Failure::Stop);
}

#[test]
fn killed_after_a_commit_of_a_rotation() {
    the_ledger_fails(Failure::StopAfter);
}

#[test]
fn a_commit_fails_and_a_later_one_is_the_last() {
    for failure in [Failure::Before, Failure::After] {
        for last in [Failure::Stop, Failure::StopAfter] {
            for (nth, later) in (2..16).flat_map(|nth| (1..6).map(move |later| (nth, later))) {
                let world = World::new();
                world.prepare();
                rotate_on(&world, FailNth::new(FailNth::new(world.disk.clone(), nth, failure), nth + later, last));
                world.aftermath(&format!("{failure:?} at commit {nth}, {last:?} at {}", nth + later));
            }
        }
    }
}

#[test]
fn a_commit_fails_its_repair_fails_and_a_later_one_is_the_last() {
    for (nth, later) in (2..12).flat_map(|nth| (2..8).map(move |later| (nth, later))) {
        let world = World::new();
        world.prepare();
        let store = FailNth::new(world.disk.clone(), nth, Failure::After);
        let store = FailNth::new(store, nth + 1, Failure::Before);
        rotate_on(&world, FailNth::new(store, nth + later, Failure::Stop));
        world.aftermath(&format!("at commit {nth}, and {}, killed at {}", nth + 1, nth + later));
    }
}

fn upstream_meets(fault: Fault) {
    for nth in 1.. {
        let world = World::new();
        world.prepare();
        let before = world.api.entered();
        world.api.meet_nth(before + nth, fault.clone());
        rotate_on(&world, world.disk.clone());
        let calls = world.api.entered() - before;
        world.aftermath(&format!("{fault:?} at call {nth}"));
        if calls < nth {
            assert!(nth > 8, "the scenario makes many calls");
            return;
        }
    }
}

#[test]
fn a_call_of_a_rotation_fails_before_its_effect() {
    upstream_meets(Fault::Before(ApiErrorKind::Unreachable));
}

#[test]
fn a_call_of_a_rotation_fails_after_its_effect() {
    upstream_meets(Fault::After(ApiErrorKind::Timeout));
}

#[test]
fn killed_before_a_call_of_a_rotation() {
    upstream_meets(Fault::Stop);
}

#[test]
fn killed_after_a_call_of_a_rotation() {
    upstream_meets(Fault::StopAfter);
}

#[test]
fn a_lost_answer_and_then_a_crash_at_any_commit() {
    for nth in 2..12 {
        let world = World::new();
        world.prepare();
        world.api.script("create", [Fault::After(ApiErrorKind::Timeout)]);
        // The search fails too, so that the intent is what the next start has.
        world.api.script("list", [Fault::Before(ApiErrorKind::Unreachable)]);
        rotate_on(&world, FailNth::new(world.disk.clone(), nth, Failure::Stop));
        world.api.forget_faults();
        world.aftermath(&format!("killed at commit {nth} after a lost answer"));
    }
}

async fn machine() -> Machine {
    let m = Machine::new().await;
    m.write("roles/app", &format!("{TEAM}max_leases = 1\n")).await.unwrap();
    m
}

#[tokio::test]
async fn the_former_is_deleted_for_ever_and_is_no_lease() {
    let m = machine().await;
    m.api.script("revoke", vec![Fault::Before(ApiErrorKind::Remote); 5]);
    m.write("rotate/config", "\n").await.unwrap();
    assert_eq!(m.api.live_anchors().len(), 2);
    let status = m.cat("status").await.unwrap();
    assert!(status.contains("live = 0") && status.contains("pending = 1"), "{status}");
    assert!(m.last_error().await.contains("rotate/config"), "{}", m.last_error().await);
    assert!(m.list("leases").iter().all(|role| m.list(&format!("leases/{role}")).is_empty()));
    m.cat("creds/app/token").await.unwrap();
    let m = m.restart().await;
    m.cat("creds/app/token").await.unwrap();
    assert_eq!(m.list("leases/app").len(), 1);
    for _ in 0..30 {
        m.pass(seconds(10)).await;
    }
    assert_eq!(m.api.live_anchors(), [in_force(&m)]);
    assert!(m.cat("status").await.unwrap().contains("pending = 0"));
}

#[tokio::test]
async fn a_server_that_ignores_the_end_keeps_the_old_anchor() {
    let m = machine().await;
    m.api.script("create", [Fault::Ends(None)]);
    assert_eq!(m.write("rotate/config", "\n").await, Err(Errno(libc::EREMOTEIO)));
    assert!(m.last_error().await.contains("another end than we asked for"));
    m.settle().await;
    assert_eq!(m.api.live_anchors(), [ANCHOR]);
    assert_eq!(in_force(&m), ANCHOR);
}

#[tokio::test]
async fn a_new_token_that_does_not_work_keeps_the_old_anchor() {
    let m = machine().await;
    m.api.script("whoami", [Fault::Before(ApiErrorKind::Unauthorized)]);
    assert_eq!(m.write("rotate/config", "\n").await, Err(Errno(libc::EKEYREJECTED)));
    m.settle().await;
    assert_eq!(m.api.live_anchors(), [ANCHOR]);
    assert_eq!(in_force(&m), ANCHOR);
}

#[tokio::test]
async fn a_former_token_that_is_written_to_config_again_is_spared() {
    let m = machine().await;
    m.api.script("revoke", vec![Fault::Before(ApiErrorKind::Remote); 2]);
    m.write("rotate/config", "\n").await.unwrap();
    m.configure().await;
    for _ in 0..30 {
        m.pass(seconds(10)).await;
    }
    // The token that nobody but us ever had went instead.
    assert_eq!(m.api.live_anchors(), [ANCHOR]);
    assert_eq!(in_force(&m), ANCHOR);
    assert!(m.cat("status").await.unwrap().contains("pending = 0"));
}

#[tokio::test]
async fn a_token_of_ours_that_config_replaces_deletes_itself_if_the_new_anchor_does_not_see_it() {
    let m = machine().await;
    m.write("rotate/config", "\n").await.unwrap();
    m.api.set_anchor_dead(false);
    // Upstream hides it from the new anchor.
    m.api.script("revoke", [Fault::Before(ApiErrorKind::NotVisible)]);
    m.configure().await;
    m.settle().await;
    assert_eq!(m.api.live_anchors(), [ANCHOR]);
    assert!(m.cat("status").await.unwrap().contains("pending = 0"));
}

#[tokio::test]
async fn an_anchor_stays_where_it_is_while_a_lost_token_is_searched_with_it() {
    let m = machine().await;
    m.api.script("create", [Fault::Before(ApiErrorKind::Timeout)]);
    m.api.script("create", [Fault::After(ApiErrorKind::Timeout)]);
    m.api.script("list", vec![Fault::Before(ApiErrorKind::Remote); 2]);
    assert_eq!(m.write("rotate/config", "\n").await, Err(Errno(libc::ETIMEDOUT)));
    assert_eq!(m.write("rotate/config", "\n").await, Err(Errno(libc::ETIMEDOUT)));
    let moved = format!("token = \"{ANCHOR}\"\naddress = \"https://tfe.example\"\n");
    assert_eq!(m.write("config", &moved).await, Err(Errno(libc::EINVAL)));
    assert!(m.last_error().await.contains("still needed to search"), "{}", m.last_error().await);
    for _ in 0..30 {
        m.pass(seconds(10)).await;
    }
    assert_eq!(m.api.live_anchors(), [ANCHOR]);
    m.write("config", &moved).await.unwrap();
}

/// `(set)` means the token in force when its turn comes, not the one that the rotation before it replaces.
#[tokio::test(start_paused = true)]
async fn a_config_written_while_the_anchor_rotates_keeps_the_new_token() {
    let m = machine().await;
    let config = m.cat("config").await.unwrap();
    m.api.script("create", [Fault::Slow(seconds(1))]);
    let (rotated, written) = tokio::join!(m.write("rotate/config", "\n"), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        m.write("config", &config).await
    });
    rotated.unwrap();
    written.unwrap();
    m.pass(seconds(20)).await;
    assert_ne!(in_force(&m), ANCHOR);
    assert_eq!(m.api.live_anchors(), [in_force(&m)]);
}

#[tokio::test]
async fn an_anchor_stays_while_the_lost_token_of_a_role_is_searched_with_it() {
    let m = machine().await;
    m.api.script("create", [Fault::After(ApiErrorKind::Timeout)]);
    m.api.script("list", vec![Fault::Before(ApiErrorKind::Remote); 2]);
    assert!(m.cat("creds/app/token").await.is_err());
    m.remove("roles/app").await.unwrap();
    let moved = format!("token = \"{ANCHOR}\"\naddress = \"https://tfe.example\"\n");
    assert_eq!(m.write("config", &moved).await, Err(Errno(libc::EINVAL)));
    let error = m.last_error().await;
    assert!(error.contains("to search https://app.terraform.io for the token of role \"app\""), "{error}");
    let other = format!("[anchors.other]\ntoken = \"{ANCHOR}\"\n");
    assert_eq!(m.write("config", &other).await, Err(Errno(libc::EINVAL)));
    let error = m.last_error().await;
    assert!(error.contains("leaves out anchor \"default\", which is still needed to search for"), "{error}");
    for _ in 0..30 {
        m.pass(seconds(10)).await;
    }
    assert!(m.api.live().is_empty());
    m.write("config", &other).await.unwrap();
}

/// The settings file named another token while upstream was asked whose the former one is.
#[tokio::test(start_paused = true)]
async fn an_answer_about_a_former_anchor_puts_it_not_back() {
    let m = machine().await;
    let document = "organization = \"acme\"\n";
    m.write("roles/slot", document).await.unwrap();
    let mut former = m.issuer.book().find_anchor(&Default::default()).unwrap().anchor.clone();
    let next = former.clone();
    former.access.owner = None;
    m.issuer.book().put_anchor(former.clone(), tfcfs::domain::book::Origin::Mount);
    m.api.script("whoami", [Fault::Slow(seconds(1))]);
    let (read, ()) = tokio::join!(m.cat("creds/slot/token"), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut other = next;
        other.access.token = tfcfs::domain::token::Token::parse("another.atlasv1.token").unwrap();
        m.issuer.book().put_anchor(other, tfcfs::domain::book::Origin::Mount);
    });
    let _ = read;
    assert_eq!(in_force(&m), "another.atlasv1.token");
}

#[tokio::test]
async fn a_life_that_the_organization_rejects_keeps_the_old_anchor() {
    let m = machine().await;
    m.api.script("create", [Fault::Rejected]);
    assert_eq!(m.write("rotate/config", "\n").await, Err(Errno(libc::EREMOTEIO)));
    m.settle().await;
    assert_eq!(m.api.live_anchors(), [ANCHOR]);
}

#[test]
fn a_stop_waits_for_the_answer_about_an_organization() {
    let world = World::of_organization();
    world.prepare();
    live(async {
        let m = world.boot().await;
        world.api.script("create", [Fault::Slow(seconds(3))]);
        let issuer = m.issuer.clone();
        let rotation = tokio::spawn(async move { issuer.rotate_anchor(&Default::default(), seconds(30)).await });
        m.settle().await;
        m.issuer.drain(seconds(10)).await;
        assert_ne!(in_force(&m), ANCHOR, "the stop waited");
        rotation.await.unwrap().unwrap();
        assert!(m.issuer.rotate_anchor(&Default::default(), seconds(30)).await.is_err(), "it stops");
    });
    world.aftermath("stopped in a rotation");
    assert_eq!(world.api.live_anchors().len(), 1);
}

#[tokio::test]
async fn two_anchors_with_one_token_are_not_rotated() {
    let m = machine().await;
    m.write("config", &format!("token = \"(set)\"\n[anchors.ci]\ntoken = \"{ANCHOR}\"\n")).await.unwrap();
    assert_eq!(m.write("rotate/config", "\n").await, Err(Errno(libc::EPERM)));
    assert!(m.last_error().await.contains("anchor \"ci\" too"), "{}", m.last_error().await);
    assert_eq!(m.api.live_anchors(), [ANCHOR]);
}

#[tokio::test]
async fn rotate_every_rotates_by_the_clock_also_after_a_restart() {
    let m = machine().await;
    m.write("config", "token = \"(set)\"\nrotate_every = \"1h\"\n").await.unwrap();
    assert!(m.cat("config").await.unwrap().contains("rotate_every = \"1h\""));
    assert!(m.cat("rotate/config").await.unwrap().contains("next_rotation = 2026-11-24T13:00:00.000Z"));
    m.pass(seconds(3590)).await;
    assert_eq!(in_force(&m), ANCHOR, "not yet");
    m.pass(seconds(20)).await;
    let second = in_force(&m);
    assert_ne!(second, ANCHOR);
    // Reading and writing it back does not begin the hour anew.
    m.pass(seconds(1800)).await;
    let config = m.cat("config").await.unwrap();
    m.write("config", &config).await.unwrap();
    let m = m.restart().await;
    m.pass(seconds(1790)).await;
    assert_eq!(in_force(&m), second);
    m.pass(seconds(20)).await;
    assert_ne!(in_force(&m), second);
    assert_eq!(m.api.live_anchors(), [in_force(&m)]);
    m.write("config", "token = \"(set)\"\n").await.unwrap();
    let third = in_force(&m);
    m.pass(seconds(36_000)).await;
    assert_eq!(in_force(&m), third, "switched off");
}

#[tokio::test]
async fn a_scheduled_rotation_that_fails_is_shown_and_repeated() {
    let m = machine().await;
    m.write("config", "token = \"(set)\"\nrotate_every = \"10m\"\n").await.unwrap();
    m.api.script("create", vec![Fault::Before(ApiErrorKind::Unreachable); 3]);
    m.pass(seconds(601)).await;
    assert_eq!(in_force(&m), ANCHOR);
    let error = m.last_error().await;
    assert!(error.contains("rotate/config") && error.contains("will be repeated"), "{error}");
    assert!(m.cat("rotate/config").await.unwrap().contains("last_failure = \"upstream cannot be reached"));
    assert_eq!(m.api.count("create"), 1, "not at once");
    for _ in 0..20 {
        m.pass(seconds(1)).await;
    }
    assert_eq!(m.api.count("create"), 4);
    assert_eq!(m.api.live_anchors(), [in_force(&m)]);
    assert!(!m.cat("rotate/config").await.unwrap().contains("last_failure"));
}

#[tokio::test]
async fn an_organization_is_refused_unless_allowed() {
    let m = Machine::bare().await;
    m.api.set_anchor_owner(Owner::Organization { name: "acme".into() });
    m.configure().await;
    assert_eq!(m.write("rotate/config", "\n").await, Err(Errno(libc::EPERM)));
    let error = m.last_error().await;
    assert!(error.contains("dies the moment") && error.contains("allow_organization_anchor_rotation"), "{error}");
    let scheduled = m.write("config", "token = \"(set)\"\nrotate_every = \"1d\"\n").await;
    assert_eq!(scheduled, Err(Errno(libc::EPERM)));
    assert_eq!(m.api.count("create"), 0);
    assert_eq!(m.api.live_anchors(), [ANCHOR]);
}

#[test]
fn an_organization_allowed_and_its_answer_lost() {
    let world = World::of_organization();
    world.prepare();
    live(async {
        let m = world.boot().await;
        m.write("rotate/config", "\n").await.unwrap();
        assert_eq!(world.api.live_anchors(), [in_force(&m)]);
        m.pass(seconds(20)).await;
        world.api.script("create", [Fault::After(ApiErrorKind::Timeout)]);
        assert_eq!(m.write("rotate/config", "\n").await, Err(Errno(libc::EKEYREJECTED)));
        assert!(m.cat("errors").await.unwrap().contains("may be dead"));
    });
    live(async {
        let m = world.boot().await;
        m.settle().await;
        for text in ["status", "errors"] {
            let text = m.cat(text).await.unwrap();
            assert!(text.contains("is dead") && text.contains("write a new token to config"), "{text}");
        }
        // The operator made a new one in the web interface.
        world.api.set_anchor_dead(false);
        m.write("config", &format!("token = \"{ANCHOR}\"\n")).await.unwrap();
        m.pass(seconds(400)).await;
        assert!(m.cat("status").await.unwrap().contains("pending = 0"));
    });
}

#[test]
fn an_organization_killed_anywhere_works_or_says_what_to_do() {
    for failure in [Failure::Before, Failure::After, Failure::Stop, Failure::StopAfter] {
        for nth in 2..8 {
            let world = World::of_organization();
            world.prepare();
            rotate_on(&world, FailNth::new(world.disk.clone(), nth, failure));
            live(async {
                let m = world.boot().await;
                for _ in 0..60 {
                    m.pass(seconds(10)).await;
                }
                let (living, status) = (world.api.live_anchors(), m.cat("status").await.unwrap());
                assert_eq!(living.len(), 1);
                let works = living == [in_force(&m)] && status.contains("pending = 0");
                let told = status.contains("is dead") && status.contains("write a new token to config");
                assert!(works || told, "{failure:?} at commit {nth}: {status}");
                assert!(
                    works || matches!(failure, Failure::Stop),
                    "{failure:?} at commit {nth}: only a crash between the call and its commit"
                );
            });
        }
    }
}

#[tokio::test]
async fn an_ephemeral_mount_does_not_rotate_its_anchor() {
    let m = Machine::with(Options { ephemeral: true, ..Options::default() }).await;
    assert_eq!(m.write("rotate/config", "\n").await, Err(Errno(libc::EPERM)));
    assert!(m.last_error().await.contains("--state"), "{}", m.last_error().await);
    assert_eq!(m.api.count("create"), 0);
}
