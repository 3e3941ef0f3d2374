//! Leases and handles (DESIGN 5), on the whole filesystem without a kernel.

mod common;

use std::time::Duration;

use common::api::Fault;
use common::machine::{Machine, Options, root};
use common::seconds;
use tfcfs::domain::ports::ApiErrorKind;
use tfcfs::vfs::{Caller, Change, Errno, Node};

const TEAM: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\n";
const OPEN: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\nshare = \"open\"\n";
const SLOT: &str = "organization = \"acme\"\n";

async fn machine(role: &str) -> Machine {
    let machine = Machine::new().await;
    machine.write("roles/app", role).await.unwrap();
    machine.api.forget_calls();
    machine
}

#[tokio::test]
async fn a_read_issues_one_token_and_the_next_read_reuses_it() {
    let m = machine(TEAM).await;
    let first = m.cat("creds/app/token").await.unwrap();
    assert!(m.api.is_live(&first));
    assert_eq!(m.cat("creds/app/token").await.unwrap(), first);
    assert_eq!(m.api.calls(), ["create team team-1"]);
}

#[tokio::test]
async fn listing_and_stat_call_nobody() {
    let m = machine(TEAM).await;
    m.write("roles/open", OPEN).await.unwrap();
    m.write("roles/slot", SLOT).await.unwrap();
    for dir in ["", "roles", "creds", "creds/app", "creds/open", "rotate", "leases", "leases/app"] {
        for name in m.list(dir) {
            let path = format!("{dir}/{name}");
            let (node, attr) = m.walk(root(), &path).unwrap();
            assert_eq!(m.vfs.getattr(node.ino()).unwrap().size, attr.size, "{path}");
        }
    }
    m.settle().await;
    assert!(m.api.calls().is_empty(), "{:?}", m.api.calls());
}

#[tokio::test(start_paused = true)]
async fn two_hundred_opens_at_once_make_one_token() {
    let m = machine(TEAM).await;
    m.api.set_latency(Duration::from_millis(300));
    let opens: Vec<_> = (0..200).map(|_| m.cat("creds/app/token")).collect();
    let mut tokens = Vec::new();
    for open in join_all(opens).await {
        tokens.push(open.unwrap());
    }
    tokens.dedup();
    assert_eq!((tokens.len(), m.api.count("create")), (1, 1));
}

async fn join_all<F: std::future::Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|cx| {
        let mut waiting = false;
        for (future, output) in &mut futures {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    futures.into_iter().map(|(_, output)| output.unwrap()).collect()
}

#[tokio::test]
async fn a_token_lives_ttl_after_the_last_close_and_is_then_revoked() {
    let m = machine(&format!("{TEAM}ttl = \"10m\"\n")).await;
    let (a, b) = (m.open("creds/app/token").await.unwrap(), m.open("creds/app/env").await.unwrap());
    let token = m.read(&a).unwrap();
    m.close(a);
    m.pass(seconds(3600)).await;
    assert!(m.api.is_live(&token), "still held by the second handle");
    m.close(b);
    m.pass(seconds(599)).await;
    assert!(m.api.is_live(&token));
    m.pass(seconds(2)).await;
    assert!(!m.api.is_live(&token));
    assert_eq!(m.api.count("revoke"), 1);
    assert!(m.list("leases/app").is_empty());
}

#[tokio::test]
async fn an_open_while_lingering_starts_the_ttl_anew() {
    let m = machine(&format!("{TEAM}ttl = \"10m\"\n")).await;
    let token = m.cat("creds/app/token").await.unwrap();
    m.pass(seconds(500)).await;
    assert_eq!(m.cat("creds/app/token").await.unwrap(), token);
    m.pass(seconds(500)).await;
    assert!(m.api.is_live(&token));
    m.pass(seconds(101)).await;
    assert!(!m.api.is_live(&token));
}

#[tokio::test]
async fn on_close_revoke_ends_the_token_with_the_last_handle() {
    let m = machine(&format!("{TEAM}on_close = \"revoke\"\n")).await;
    let (a, b) = (m.open("creds/app/token").await.unwrap(), m.open("creds/app/token").await.unwrap());
    let token = m.read(&a).unwrap();
    m.close(a);
    m.settle().await;
    assert!(m.api.is_live(&token));
    m.close(b);
    m.settle().await;
    assert!(!m.api.is_live(&token));
    assert_ne!(m.cat("creds/app/token").await.unwrap(), token);
}

#[tokio::test]
async fn expired_at_is_the_lease_end_plus_a_minute() {
    let m = machine(&format!("{TEAM}max_ttl = \"2h\"\n")).await;
    let issued = m.clock_now();
    m.cat("creds/app/token").await.unwrap();
    let ends = m.api.made()[0].ends.unwrap();
    assert_eq!(ends.duration_since(issued).as_secs(), 7260);
}

#[tokio::test]
async fn a_held_lease_gets_a_successor_by_itself_and_its_holder_is_woken() {
    let m = machine(&format!("{TEAM}ttl = \"1h\"\nmax_ttl = \"4h\"\n")).await;
    let held = m.open("creds/app/token").await.unwrap();
    let old = m.read(&held).unwrap();
    m.pass(seconds(3 * 3600 - 60)).await;
    assert_eq!(m.api.count("create"), 1);
    assert!(!m.vfs.has_news(held.handle));
    m.pass(seconds(120)).await;
    assert_eq!(m.api.count("create"), 2);
    assert!(m.vfs.has_news(held.handle), "POLLPRI");
    assert_eq!(m.read(&held).unwrap(), old, "a handle keeps its one token");
    let new = m.cat("creds/app/token").await.unwrap();
    assert_ne!(new, old);
    assert!(m.api.is_live(&old) && m.api.is_live(&new));
    // At its own end the superseded token goes, and the handle says so.
    m.pass(seconds(3600)).await;
    assert_eq!(m.read(&held), Err(Errno(libc::EKEYEXPIRED)));
    assert!(!m.api.is_live(&old));
}

#[tokio::test]
async fn enough_life_hit_background_wait() {
    // needed = min(ttl, max_ttl / 2) = 60 min
    let m = machine(&format!("{TEAM}ttl = \"1h\"\nmax_ttl = \"4h\"\n")).await;
    let first = m.cat("creds/app/token").await.unwrap();
    for _ in 0..3 {
        m.pass(seconds(3300)).await;
        assert_eq!(m.cat("creds/app/token").await.unwrap(), first);
    }
    // 75 min left of 240: enough. Then 45: handed out, successor in the background.
    m.pass(seconds(1800)).await;
    assert_eq!(m.cat("creds/app/token").await.unwrap(), first);
    m.settle().await;
    assert_eq!(m.api.count("create"), 2);
    assert_ne!(m.cat("creds/app/token").await.unwrap(), first);
}

#[tokio::test]
async fn too_little_life_waits_for_the_successor_and_takes_the_old_one_only_if_that_fails() {
    let m = machine(&format!("{TEAM}ttl = \"1h\"\nmax_ttl = \"4h\"\n")).await;
    let held = m.open("creds/app/token").await.unwrap();
    let first = m.read(&held).unwrap();
    m.api.script("create", vec![Fault::Before(ApiErrorKind::Unreachable); 200]);
    m.pass(seconds(4 * 3600 - 1200)).await;
    assert_eq!(m.cat("creds/app/token").await.unwrap(), first, "a token that lives is better than an error");
    m.pass(seconds(1300)).await;
    assert_eq!(m.cat("creds/app/token").await, Err(Errno(libc::EHOSTUNREACH)));
}

#[tokio::test]
async fn unshared_opens_have_a_token_each() {
    let m = machine(OPEN).await;
    let (a, b) = (m.open("creds/app/token").await.unwrap(), m.open("creds/app/token").await.unwrap());
    assert_ne!(m.read(&a).unwrap(), m.read(&b).unwrap());
    assert_eq!(m.list("leases/app").len(), 2);
}

#[tokio::test]
async fn a_pinned_unshared_node_shares_what_is_held_and_mints_anew_after() {
    let m = machine(OPEN).await;
    let (node, a) = m.open_as(root(), "creds/app/token", 0).await.unwrap();
    let b = m.open_node(root(), node).await.unwrap();
    assert_eq!(m.read(&a).unwrap(), m.read(&b).unwrap());
    assert_eq!(m.api.count("create"), 1);
    let token = m.read(&a).unwrap();
    m.close(a);
    m.close(b);
    m.told.rewritten.lock().clear();
    let c = m.open_node(root(), node).await.unwrap();
    let fresh = m.read(&c).unwrap();
    assert_ne!(fresh, token);
    // Its pages held the former token: they were made true before the answer.
    assert_eq!(*m.told.rewritten.lock(), [(node.ino(), fresh.into_bytes())]);
}

#[tokio::test]
async fn units_share_among_themselves_only() {
    let m = machine(&format!("{TEAM}share = \"unit\"\n")).await;
    let caller = |tid: u32, uid: u32| Caller { uid, gid: uid, tid };
    for (tid, unit) in [(1, "/a.service"), (2, "/a.service"), (3, "/b.service")] {
        m.facts.units.lock().insert(tid, unit.into());
    }
    let mut tokens = Vec::new();
    for who in [caller(1, 5), caller(2, 5), caller(3, 5), caller(1, 6)] {
        let (_, opened) = m.open_as(who, "creds/app/token", 0).await.unwrap();
        tokens.push(m.read(&opened).unwrap());
    }
    assert_eq!(tokens[0], tokens[1]);
    assert_ne!(tokens[0], tokens[2]);
    assert_ne!(tokens[0], tokens[3]);
    assert_eq!(m.api.count("create"), 3);
    // A node of another unit (a bind-mounted file) is refused for ever: one inode has one page cache.
    let (node, _) = m.open_as(caller(1, 5), "creds/app/token", 0).await.unwrap();
    for _ in 0..3 {
        assert_eq!(m.open_node(caller(3, 5), node).await.err(), Some(Errno(libc::ESTALE)));
    }
    // A caller whose unit cannot be told is denied.
    assert_eq!(m.open_as(caller(0, 5), "creds/app/token", 0).await.err(), Some(Errno(libc::EACCES)));
}

#[tokio::test]
async fn roles_on_one_owner_share_its_slot() {
    let m = machine(SLOT).await;
    m.write("roles/other", SLOT).await.unwrap();
    let token = m.cat("creds/app/token").await.unwrap();
    assert_eq!(m.cat("creds/other/token").await.unwrap(), token);
    assert_eq!(m.api.count("create"), 1);
    assert_eq!(m.list("leases/app"), m.list("leases/other"));
    // Not shortened by a close: it is the same for everybody until rotated.
    m.pass(seconds(7200)).await;
    assert_eq!(m.cat("creds/app/token").await.unwrap(), token);
    // One of the roles goes: the other still uses the slot.
    m.remove("roles/app").await.unwrap();
    m.pass(seconds(11)).await;
    assert_eq!(m.cat("creds/other/token").await.unwrap(), token);
    m.remove("roles/other").await.unwrap();
    m.pass(seconds(11)).await;
    assert!(!m.api.is_live(&token));
}

#[tokio::test]
async fn a_slot_rotation_ends_the_former_token_for_its_holders_after_a_moment() {
    let m = machine(SLOT).await;
    let held = m.open("creds/app/token").await.unwrap();
    let old = m.read(&held).unwrap();
    m.write("rotate/app", "\n").await.unwrap();
    assert!(!m.api.is_live(&old));
    assert_eq!(m.read(&held).unwrap(), old, "whoever stands between open and read is not hit");
    let new = m.cat("creds/app/token").await.unwrap();
    assert!(m.api.is_live(&new) && new != old);
    m.pass(seconds(2)).await;
    assert_eq!(m.read(&held), Err(Errno(libc::EKEYREVOKED)));
    assert_eq!(m.api.count("revoke") + m.api.count("revoke_slot"), 0, "the POST did it");
    assert_eq!(m.api.live().len(), 1);
}

#[tokio::test]
async fn rotation_of_minted_tokens_overlaps_unless_told_to_revoke() {
    let m = machine(TEAM).await;
    let held = m.open("creds/app/token").await.unwrap();
    let first = m.read(&held).unwrap();
    m.write("rotate/app", "now\n").await.unwrap();
    let second = m.cat("creds/app/token").await.unwrap();
    assert_ne!(first, second);
    assert!(m.api.is_live(&first) && m.vfs.has_news(held.handle));
    assert_eq!(m.read(&held).unwrap(), first);
    assert_eq!(m.write("rotate/app", "revoke\n").await, Err(Errno(libc::EBUSY)), "within min_rotation_interval");
    m.pass(seconds(11)).await;
    m.write("rotate/app", "revoke\n").await.unwrap();
    assert!(!m.api.is_live(&second), "the current one was ended at once");
    let text = m.cat("rotate/app").await.unwrap();
    assert!(
        text.contains("last_rotation = 2026-11-24T12:00:11") && text.contains("last_rotation_by_uid = 0"),
        "{text}"
    );
}

#[tokio::test]
async fn a_role_whose_every_open_is_fresh_cannot_be_rotated() {
    let m = machine(OPEN).await;
    assert_eq!(m.write("rotate/app", "\n").await, Err(Errno(libc::EOPNOTSUPP)));
    assert!(m.last_error().await.contains("nothing to rotate"));
}

#[tokio::test]
async fn more_than_max_leases_is_refused_with_a_hint() {
    let m = machine(&format!("{OPEN}max_leases = 2\n")).await;
    let _a = m.open("creds/app/token").await.unwrap();
    let b = m.open("creds/app/token").await.unwrap();
    assert_eq!(m.open("creds/app/token").await, Err(Errno(libc::EDQUOT)));
    assert!(m.last_error().await.contains("wider share"));
    m.close(b);
    m.pass(seconds(3601)).await;
    assert!(m.open("creds/app/token").await.is_ok());
}

#[tokio::test]
async fn a_removed_role_stops_at_once_and_its_tokens_after_a_grace() {
    let m = machine(TEAM).await;
    let held = m.open("creds/app/token").await.unwrap();
    let token = m.read(&held).unwrap();
    m.remove("roles/app").await.unwrap();
    assert_eq!(m.open("creds/app/token").await, Err(Errno(libc::ENOENT)));
    m.pass(seconds(9)).await;
    assert_eq!(m.read(&held).unwrap(), token);
    m.pass(seconds(2)).await;
    assert_eq!(m.read(&held), Err(Errno(libc::EKEYREVOKED)));
    assert!(m.api.live().is_empty());
}

#[tokio::test]
async fn a_role_that_comes_back_with_the_same_owner_keeps_its_tokens() {
    let m = machine(TEAM).await;
    let token = m.cat("creds/app/token").await.unwrap();
    m.remove("roles/app").await.unwrap();
    m.pass(seconds(5)).await;
    m.write("roles/app", &format!("{TEAM}ttl = \"2h\"\n")).await.unwrap();
    m.pass(seconds(20)).await;
    assert_eq!(m.cat("creds/app/token").await.unwrap(), token);
    assert_eq!(m.api.count("create"), 1);
    // With another owner it does not.
    m.remove("roles/app").await.unwrap();
    m.write("roles/app", "team_id = \"team-2\"\ncredential_type = \"team\"\n").await.unwrap();
    assert_ne!(m.cat("creds/app/token").await.unwrap(), token);
    m.pass(seconds(11)).await;
    assert!(!m.api.is_live(&token));
}

#[tokio::test]
async fn defining_and_editing_roles_touches_no_token() {
    let m = machine(SLOT).await;
    for ttl in ["1h", "2h", "3h"] {
        m.write("roles/app", &format!("{SLOT}ttl = \"{ttl}\"\n")).await.unwrap();
    }
    assert!(m.api.calls().is_empty());
    let token = m.cat("creds/app/token").await.unwrap();
    m.write("roles/app", SLOT).await.unwrap();
    assert_eq!(m.cat("creds/app/token").await.unwrap(), token);
    assert_eq!(m.api.count("create"), 1);
}

#[tokio::test]
async fn a_renamed_role_takes_its_tokens_along() {
    let m = machine(TEAM).await;
    let token = m.cat("creds/app/token").await.unwrap();
    m.rename("roles/app", "roles/web").await.unwrap();
    assert_eq!(m.open("creds/app/token").await, Err(Errno(libc::ENOENT)));
    assert_eq!(m.cat("creds/web/token").await.unwrap(), token);
    assert!(m.cat("creds/web/token.json").await.unwrap().contains("\"role\":\"web\""));
    assert_eq!(m.list("leases/web").len(), 1);
    let m = m.restart().await;
    assert_eq!(m.cat("creds/web/token").await.unwrap(), token);
    assert_eq!(m.list("roles"), ["web"]);
}

#[tokio::test]
async fn a_superseded_node_is_stale_once_then_a_portal() {
    let m = machine(TEAM).await;
    let (node, opened) = m.open_as(root(), "creds/app/token", 0).await.unwrap();
    m.close(opened);
    m.pass(seconds(20)).await;
    m.write("rotate/app", "\n").await.unwrap();
    m.pass(seconds(2)).await;
    // By path: the retry of the kernel finds the new node.
    assert_eq!(m.vfs.open(root(), node.ino(), 0).wait().await, Err(Errno(libc::ESTALE)));
    m.pass(seconds(2)).await;
    // Pinned: the same node comes twice; it becomes a portal that shows the current token.
    let current = m.cat("creds/app/token").await.unwrap();
    m.told.rewritten.lock().clear();
    let portal = m.open_node(root(), node).await.unwrap();
    assert!(portal.direct);
    assert_eq!(m.read(&portal).unwrap(), current);
    assert_eq!(m.told.rewritten.lock().len(), 1);
    // A known portal needs no ESTALE, and its pages are rewritten only when the content changes.
    for _ in 0..3 {
        let again = m.vfs.open(root(), node.ino(), 0).wait().await.unwrap();
        assert_eq!(m.read(&again).unwrap(), current);
    }
    assert_eq!(m.told.rewritten.lock().len(), 1);
    m.pass(seconds(20)).await;
    m.write("rotate/app", "\n").await.unwrap();
    let after = m.vfs.open(root(), node.ino(), 0).wait().await.unwrap();
    assert_eq!(m.read(&after).unwrap(), m.cat("creds/app/token").await.unwrap());
    assert_eq!(m.vfs.getattr(node.ino()).unwrap().size, 90);
}

#[tokio::test]
async fn nobody_gets_two_stales_in_a_row() {
    let m = machine(&format!("{TEAM}min_rotation_interval = 1\n")).await;
    let (node, _) = m.open_as(root(), "creds/app/token", 0).await.unwrap();
    for _ in 0..20 {
        m.pass(seconds(2)).await;
        m.write("rotate/app", "\n").await.unwrap();
        let stale = m.vfs.open(root(), node.ino(), 0).wait().await;
        if stale == Err(Errno(libc::ESTALE)) {
            // Outdated again between the kernel's two tries.
            m.clock.advance(Duration::from_millis(100));
            assert!(m.vfs.open(root(), node.ino(), 0).wait().await.is_ok());
        }
    }
}

#[tokio::test]
async fn sizes_are_exact_before_and_after_open_also_when_the_length_changes() {
    let m = machine(OPEN).await;
    m.write("roles/shared", TEAM).await.unwrap();
    for length in [90, 60, 120, 90, 120] {
        m.api.set_token_length(length);
        m.pass(seconds(10)).await;
        for path in ["creds/app/token", "creds/shared/token", "creds/app/env", "creds/app/token.json"] {
            let (node, opened) = m.open_as(root(), path, 0).await.unwrap();
            let text = m.read(&opened).unwrap();
            assert_eq!(m.vfs.getattr(node.ino()).unwrap().size, text.len() as u64, "{path} {length}");
            m.close(opened);
        }
        m.write("rotate/shared", "revoke").await.unwrap();
    }
    // Announced with one length, minted with another: the kernel's pages were made true before the answer.
    let (node, _) = m.walk(root(), "creds/app/token").unwrap();
    m.api.set_token_length(61);
    m.told.rewritten.lock().clear();
    let opened = m.vfs.open(root(), node.ino(), 0).wait().await.unwrap();
    assert_eq!(m.told.rewritten.lock()[0].1.len(), 61);
    assert_eq!(m.read(&opened).unwrap().len(), 61);
}

#[tokio::test]
async fn every_door_has_the_same_token_in_its_form() {
    let m = machine(TEAM).await;
    let token = m.cat("creds/app/token").await.unwrap();
    assert!(!token.ends_with('\n'));
    assert_eq!(m.cat("creds/app/env").await.unwrap(), format!("TF_TOKEN_app_terraform_io={token}\n"));
    let tfrc: serde_json::Value = serde_json::from_str(&m.cat("creds/app/terraform.tfrc.json").await.unwrap()).unwrap();
    assert_eq!(tfrc["credentials"]["app.terraform.io"]["token"], token);
    let json: serde_json::Value = serde_json::from_str(&m.cat("creds/app/token.json").await.unwrap()).unwrap();
    assert_eq!((json["token"].as_str(), json["role"].as_str()), (Some(token.as_str()), Some("app")));
    assert_eq!((&json["lease_duration"], &json["renewable"]), (&3600.into(), &true.into()));
    assert_eq!(json["expires_at"], "2026-11-25T12:00:00Z");
    assert_eq!(json["lease_id"].as_str().unwrap(), m.list("leases/app")[0]);
    assert_eq!(m.api.count("create"), 1);
}

#[tokio::test]
async fn removing_a_lease_file_revokes_and_a_write_renews() {
    let m = machine(&format!("{TEAM}ttl = \"10m\"\n")).await;
    let held = m.open("creds/app/token").await.unwrap();
    let token = m.read(&held).unwrap();
    let path = format!("leases/app/{}", m.list("leases/app")[0]);
    let text = m.cat(&path).await.unwrap();
    assert!(text.contains("state = \"held\"") && text.contains("handles = 1") && !text.contains(&token), "{text}");
    m.close(held);
    m.pass(seconds(500)).await;
    m.write(&path, "renew\n").await.unwrap();
    m.pass(seconds(500)).await;
    assert!(m.api.is_live(&token));
    let held = m.open("creds/app/token").await.unwrap();
    m.remove(&path).await.unwrap();
    assert!(!m.api.is_live(&token));
    assert_eq!(m.read(&held), Err(Errno(libc::EKEYREVOKED)));
    assert_eq!(m.remove(&path).await, Err(Errno(libc::ENOENT)));
    assert_ne!(m.cat("creds/app/token").await.unwrap(), token);
}

#[tokio::test]
async fn nonblock_waits_for_a_token_like_every_open() {
    for role in [TEAM, OPEN] {
        let m = machine(role).await;
        let nonblock = libc::O_RDONLY | libc::O_NONBLOCK;
        let first = m.open_as(root(), "creds/app/token", nonblock).await.unwrap();
        let token = m.read(&first.1).unwrap();
        assert!(m.api.is_live(&token));
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_that_cannot_wait_longer_fails_and_the_token_is_kept_for_the_next() {
    for role in [TEAM, OPEN] {
        let options = Options { open_deadline: seconds(10), ..Options::default() };
        let m = Machine::with(options).await;
        m.write("roles/app", role).await.unwrap();
        m.api.set_latency(seconds(15));
        assert_eq!(m.cat("creds/app/token").await, Err(Errno(libc::ETIMEDOUT)));
        tokio::time::sleep(seconds(10)).await;
        m.settle().await;
        assert_eq!(m.api.live().len(), 1);
        m.api.set_latency(Duration::ZERO);
        let token = m.cat("creds/app/token").await.unwrap();
        assert_eq!(token, m.api.live()[0].secret);
        assert_eq!(m.api.count("create"), 1, "{role}");
    }
}

#[tokio::test]
async fn watchers_hear_of_a_successor_once_for_each_door_they_know() {
    let m = machine(TEAM).await;
    let (node, _) = m.walk(root(), "creds/app/token").unwrap();
    let held = m.open("creds/app/token").await.unwrap();
    m.told.changes.lock().clear();
    m.write("rotate/app", "\n").await.unwrap();
    let changes = m.told.changes.lock().clone();
    let replaced: Vec<_> = changes.iter().filter(|change| matches!(change, Change::Replaced { .. })).collect();
    assert_eq!(replaced.len(), 1, "{changes:?}");
    assert!(matches!(replaced[0], Change::Replaced { node: old, .. } if *old == node.ino()));
    let wake = changes.iter().position(|change| *change == Change::Wake { handles: vec![held.handle] }).unwrap();
    let announce = changes.iter().position(|change| matches!(change, Change::Replaced { .. })).unwrap();
    assert!(announce < wake, "fuse-nodes 0.6: announce, then wake");
    assert!(!changes.iter().any(|change| matches!(change, Change::Ended { .. })), "a living token keeps its pages");
}

#[tokio::test]
async fn credential_files_cannot_be_written() {
    let m = machine(TEAM).await;
    assert_eq!(m.write("creds/app/token", "x").await, Err(Errno(libc::EACCES)));
    assert!(m.last_error().await.contains("EACCES creds/app/token: credential files are read-only"));
    let (node, _) = m.walk(root(), "creds/app/token").unwrap();
    assert!(matches!(node, Node::SharedDoor { .. }));
    assert_eq!(m.api.count("create"), 0);
}

/// A successor takes the place of the current lease: it did not count as one more.
#[tokio::test]
async fn a_rotation_at_max_leases_replaces() {
    let m = machine(&format!("{TEAM}max_leases = 1\n")).await;
    let first = m.cat("creds/app/token").await.unwrap();
    m.write("rotate/app", "revoke\n").await.unwrap();
    assert_ne!(m.cat("creds/app/token").await.unwrap(), first);
}

/// `>>` begins to write at an offset.
#[tokio::test]
async fn appending_to_a_rotation_file_rotates_once() {
    let m = machine(TEAM).await;
    let first = m.cat("creds/app/token").await.unwrap();
    m.pass(seconds(20)).await;
    let opened = m.create_or_open(root(), "rotate/app", libc::O_WRONLY | libc::O_APPEND).await.unwrap();
    for (offset, text) in [(90, "\n"), (91, "more\n")] {
        assert_eq!(m.vfs.write(root(), opened.handle, offset, text.as_bytes()).wait().await, Ok(text.len() as u32));
    }
    m.close(opened);
    assert_ne!(m.cat("creds/app/token").await.unwrap(), first);
    assert_eq!(m.api.count("create"), 2);
}
