//! Every port fails at its n-th call, for all n: the ledger's commits (with and without effect, and by a crash there), and
//! every call to upstream (before and after its effect). Then a new start: no token is left that nobody knows, and all works.

mod common;
#[path = "common/disk.rs"]
mod disk;
#[path = "common/fail_nth_store.rs"]
mod fail_nth_store;

use std::sync::Arc;
use std::time::Duration;

use common::api::FakeApi;
use common::machine::{Machine, Options, root};
use common::{ManualClock, seconds};
use disk::{Disk, live};
use fail_nth_store::{FailNth, Failure};
use tfcfs::vfs::Errno;

const TEAM: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\n";

/// An outcome that a user can make sense of.
#[track_caller]
fn sensible<T>(result: Result<T, Errno>) -> Option<T> {
    const SENSIBLE: [i32; 10] = [
        libc::EROFS,
        libc::ETIMEDOUT,
        libc::EHOSTUNREACH,
        libc::EREMOTEIO,
        libc::ENOENT,
        libc::ENOKEY,
        libc::EBUSY,
        libc::EKEYREJECTED,
        libc::EKEYREVOKED,
        libc::EACCES,
    ];
    match result {
        Ok(value) => Some(value),
        Err(errno) => {
            assert!(SENSIBLE.contains(&errno.0), "{errno:?}");
            None
        }
    }
}

/// Everything that touches a port, each step going on where the one before failed.
async fn scenario(m: &Machine, disk: &Disk) {
    sensible(m.write("config", &format!("token = \"{}\"\n", common::api::ANCHOR)).await);
    for (name, text) in [
        ("app", TEAM.to_owned()),
        ("once", format!("{TEAM}on_close = \"revoke\"\n")),
        ("fresh", format!("{TEAM}share = \"open\"\n")),
        ("slot", "organization = \"acme\"\n".to_owned()),
    ] {
        sensible(m.write(&format!("roles/{name}"), &text).await);
    }
    let mut held = Vec::new();
    for role in ["app", "once", "fresh", "slot"] {
        if let Some(opened) = sensible(m.open(&format!("creds/{role}/token")).await) {
            let token = m.read(&opened).unwrap();
            assert!(disk.knows(&token).await, "a reader got a token that the ledger does not have");
            held.push(opened);
        }
    }
    for role in ["app", "slot"] {
        sensible(m.write(&format!("rotate/{role}"), "\n").await);
    }
    m.pass(seconds(20)).await;
    sensible(m.write("rotate/config", "\n").await);
    if m.walk(root(), "roles/app").is_ok() {
        sensible(m.rename("roles/app", "roles/web").await);
    }
    sensible(m.cat("creds/web/token").await);
    for id in m.walk(root(), "leases/web").map(|_| m.list("leases/web")).unwrap_or_default() {
        sensible(m.remove(&format!("leases/web/{id}")).await);
    }
    held.drain(..).for_each(|opened| m.close(opened));
    m.settle().await;
    if m.walk(root(), "roles/slot").is_ok() {
        sensible(m.remove("roles/slot").await);
    }
    m.pass(seconds(11)).await;
}

/// A start after all that: in a day and a half nothing is left, and it works.
async fn aftermath(clock: Arc<ManualClock>, api: Arc<FakeApi>, disk: Disk, what: &str) {
    let m = Machine::boot(clock, api.clone(), Arc::new(disk.clone()), Options::default()).await;
    if m.issuer.book().anchors().next().is_none() {
        m.configure().await;
    }
    for _ in 0..30 {
        m.pass(seconds(10)).await;
    }
    // Long before upstream's own ends: whatever lives is known.
    for made in api.live() {
        assert!(disk.knows(&made.secret).await, "{what}: an orphan of {}: {}", made.owner, made.description);
    }
    for _ in 0..150 {
        m.pass(seconds(900)).await;
    }
    let in_force = m.issuer.book().find_anchor(&Default::default()).unwrap().anchor.access.token.expose().to_owned();
    assert_eq!(api.live_anchors(), std::slice::from_ref(&in_force), "{what}: not the anchor in force alone");
    let live: Vec<String> = api
        .live()
        .into_iter()
        .filter(|made| made.secret != in_force)
        .map(|made| format!("{} {}", made.owner, made.description))
        .collect();
    assert!(live.is_empty(), "{what}: alive upstream: {live:?}");
    assert_eq!(disk.count("lease/").await, 0, "{what}: left in the ledger");
    m.write("roles/after", TEAM).await.unwrap();
    let token = m.cat("creds/after/token").await.unwrap();
    assert!(api.is_live(&token), "{what}");
}

fn the_ledger_fails(failure: Failure) {
    for nth in 1.. {
        let (clock, disk) = (ManualClock::new(), Disk::default());
        let api = FakeApi::new(clock.clone());
        let store = Arc::new(FailNth::new(disk.clone(), nth, failure));
        live(async {
            // The commit that reserves serials is the first, before anything is served.
            if nth > 1 {
                let m = Machine::boot(clock.clone(), api.clone(), store.clone(), Options::default()).await;
                let _ = tokio::time::timeout(Duration::from_secs(600), scenario(&m, &disk)).await;
            }
        });
        let done = nth > 1 && store.commits() < nth;
        live(aftermath(clock, api, disk, &format!("{failure:?} at commit {nth}")));
        if done {
            assert!(nth > 20, "the scenario makes many commits");
            return;
        }
    }
}

#[test]
fn a_commit_fails_without_effect() {
    the_ledger_fails(Failure::Before);
}

#[test]
fn a_commit_fails_after_it_took_place() {
    the_ledger_fails(Failure::After);
}

#[test]
fn killed_before_a_commit() {
    the_ledger_fails(Failure::Stop);
}

#[test]
fn killed_after_a_commit() {
    the_ledger_fails(Failure::StopAfter);
}

fn upstream_fails(after: bool) {
    for nth in 1.. {
        let (clock, disk) = (ManualClock::new(), Disk::default());
        let api = FakeApi::new(clock.clone());
        api.fail_nth(nth, after);
        let calls = live(async {
            let m = Machine::boot(clock.clone(), api.clone(), Arc::new(disk.clone()), Options::default()).await;
            scenario(&m, &disk).await;
            api.entered()
        });
        api.go_on();
        live(aftermath(clock, api, disk, &format!("call {nth}, after = {after}")));
        if calls < nth {
            assert!(nth > 10, "the scenario makes many calls");
            return;
        }
    }
}

#[test]
fn a_call_fails_before_its_effect() {
    upstream_fails(false);
}

#[test]
fn a_call_fails_after_its_effect() {
    upstream_fails(true);
}

/// What could not be written is due already: that must not make the keeper run in a circle.
#[test]
fn a_ledger_that_is_lost_is_asked_now_and_then() {
    let world = |nth| {
        let store = Arc::new(FailNth::new(Disk::default(), nth, Failure::FromThere));
        live(async {
            let clock = ManualClock::new();
            let api = FakeApi::new(clock.clone());
            let m = Machine::boot(clock, api, store.clone(), Options::default()).await;
            m.configure().await;
            m.write("roles/app", TEAM).await.unwrap();
            m.cat("creds/app/token").await.unwrap();
            let before = store.commits();
            // So many are left that more are to be reserved, which comes before everything else.
            for _ in 0..40_000 {
                m.issuer.book().take_serial().unwrap();
            }
            for _ in 0..60 {
                m.pass(seconds(1)).await;
            }
            (before, store.commits() - before)
        })
    };
    let (before, _) = world(u64::MAX);
    let (_, asked) = world(before + 1);
    // Each move of the test's clock wakes the keeper, once.
    assert!((2..=61).contains(&asked), "{asked} times in a minute");
}
