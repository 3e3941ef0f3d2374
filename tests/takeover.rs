//! A daemon that goes on where another one stopped, on the same connection to the kernel.

mod common;

use common::machine::{Machine, root};
use common::seconds;
use tfcfs::vfs::{Change, Errno, HandleKind};

const TEAM: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\n";
const OPEN: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\nshare = \"open\"\n";

async fn machine(role: &str) -> Machine {
    let machine = Machine::kept().await;
    machine.write("roles/app", role).await.unwrap();
    machine.api.forget_calls();
    machine
}

async fn lease_text(m: &Machine, role: &str) -> String {
    let [name] = m.list(&format!("leases/{role}")).try_into().unwrap();
    m.cat(&format!("leases/{role}/{name}")).await.unwrap()
}

#[tokio::test]
async fn a_held_lease_goes_on_and_its_last_close_is_its_last() {
    for (role, lingers) in [("", true), ("on_close = \"revoke\"", false)] {
        let m = machine(&format!("{TEAM}{role}")).await;
        let first = m.hold("creds/app/token", 2).await;
        let second = m.hold("creds/app/token.json", 4).await;
        let (token, json) = (m.read(&first).unwrap(), m.read(&second).unwrap());
        let m = m.hand_over().await;
        m.pass(seconds(3000)).await;
        assert_eq!((m.read(&first).unwrap(), m.read(&second).unwrap()), (token.clone(), json));
        assert!(lease_text(&m, "app").await.contains("state = \"held\"\nhandles = 2"));
        m.close(first);
        let m = m.hand_over().await;
        m.pass(seconds(3000)).await;
        assert!(lease_text(&m, "app").await.contains("handles = 1"));
        m.close(second);
        m.settle().await;
        assert_eq!(m.api.is_live(&token), lingers);
        assert!(m.kept.records().is_empty());
        m.pass(seconds(3601)).await;
        assert!(!m.api.is_live(&token), "ttl after its last close");
    }
}

#[tokio::test]
async fn a_lease_held_over_a_restart_gets_its_successor_in_time() {
    let m = machine(&format!("{TEAM}ttl = \"1h\"\nmax_ttl = \"4h\"")).await;
    let held = m.hold("creds/app/token", 2).await;
    let token = m.read(&held).unwrap();
    let m = m.hand_over().await;
    m.told.changes.lock().clear();
    m.pass(seconds(3 * 3600 + 1)).await;
    assert_eq!(m.api.count("create"), 2);
    assert!(m.vfs.has_news(held.handle));
    assert_eq!(m.read(&held).unwrap(), token);
    // The kernel knows the node from the former daemon.
    let changes = m.told.changes.lock().clone();
    assert!(
        changes.iter().any(|change| matches!(change, Change::Replaced { name, .. } if name == "token")),
        "{changes:?}"
    );
    assert!(changes.iter().any(|change| matches!(change, Change::Wake { handles } if handles == &[held.handle])));
}

#[tokio::test]
async fn a_handle_whose_lease_ended_meanwhile_says_so() {
    let m = machine(TEAM).await;
    let held = m.hold("creds/app/token", 2).await;
    let id = m.list("leases/app").remove(0);
    m.remove(&format!("leases/app/{id}")).await.unwrap();
    m.settle().await;
    let m = m.hand_over().await;
    let error = m.read(&held).unwrap_err();
    assert!([libc::EKEYREVOKED, libc::EKEYEXPIRED].contains(&error.0), "{error:?}");
    m.close(held);
    assert!(m.kept.records().is_empty());
    assert!(m.cat("creds/app/token").await.is_ok());
}

#[tokio::test]
async fn an_unshared_handle_keeps_its_own_token() {
    let m = machine(OPEN).await;
    let (first, second) = (m.hold("creds/app/token", 2).await, m.hold("creds/app/token", 4).await);
    let tokens = (m.read(&first).unwrap(), m.read(&second).unwrap());
    assert_ne!(tokens.0, tokens.1);
    let m = m.hand_over().await;
    assert_eq!((m.read(&first).unwrap(), m.read(&second).unwrap()), tokens);
    assert_ne!(m.cat("creds/app/token").await.unwrap(), tokens.0);
}

#[tokio::test]
async fn an_open_that_is_sent_again_gets_the_handle_it_had() {
    let m = machine(&format!("{TEAM}on_close = \"revoke\"")).await;
    let answered = m.hold("creds/app/token", 2).await;
    let lost = m.hold("creds/app/token", 4).await;
    let m = m.hand_over().await;
    assert_eq!(m.vfs.answered_before(4), Some(lost));
    assert_eq!(m.vfs.answered_before(4), None, "once");
    assert_eq!(m.vfs.answered_before(6), None, "the former daemon had not come so far");
    m.close(answered);
    m.close(lost);
    m.settle().await;
    assert_eq!(m.api.live().len(), 0);
}

#[tokio::test]
async fn a_text_ends_where_its_reader_was_told() {
    let m = machine(TEAM).await;
    let (role, status) = (m.hold("roles/app", 2).await, m.hold("status", 4).await);
    let (role_text, status_text) = (m.read(&role).unwrap(), m.read(&status).unwrap());
    let m = m.hand_over().await;
    m.write("roles/another-with-a-long-name", TEAM).await.unwrap();
    assert_eq!(m.read(&role).unwrap(), role_text);
    assert!(m.read(&status).unwrap().len() <= status_text.len());
    assert_eq!(m.vfs.read(status.handle, status_text.len() as u64, 4096).unwrap(), b"");
}

#[tokio::test]
async fn who_follows_events_reads_on() {
    let m = machine(TEAM).await;
    let events = m.hold("events", 2).await;
    let read = m.vfs.read(events.handle, 0, 1 << 20).unwrap().len() as u64;
    assert!(read > 0);
    let m = m.hand_over().await;
    m.cat("creds/app/token").await.unwrap();
    let more = String::from_utf8(m.vfs.read(events.handle, read, 1 << 20).unwrap()).unwrap();
    assert!(more.contains("\"issued\""), "{more}");
    assert_eq!(m.vfs.read(events.handle, read + more.len() as u64, 1 << 20).unwrap(), b"");
    // `tail` takes the list for one that became shorter, and begins anew.
    assert_eq!(m.vfs.read(events.handle, 0, 1 << 20).unwrap(), more.as_bytes());
}

#[tokio::test]
async fn a_document_in_the_making_is_lost_unless_it_was_committed() {
    let m = machine(TEAM).await;
    let open = |m: &Machine| {
        let (node, _) = m.walk(root(), "roles/app").unwrap();
        m.vfs.open(root(), node.ino(), libc::O_WRONLY | libc::O_TRUNC)
    };
    let (half, whole) = (open(&m).wait().await.unwrap(), open(&m).wait().await.unwrap());
    for (opened, number) in [(half, 2), (whole, 4)] {
        m.vfs.keep_handle(opened.handle, number);
        m.vfs.write(root(), opened.handle, 0, format!("{TEAM}ttl = \"20m\"\n").as_bytes()).wait().await.unwrap();
        m.vfs.keep_draft(opened.handle);
    }
    m.vfs.flush(root(), whole.handle).wait().await.unwrap();
    m.vfs.keep_draft(whole.handle);
    let kinds: Vec<_> = m.kept.records().iter().map(|record| (record.handle, record.kind)).collect();
    assert_eq!(kinds, [(half.handle, HandleKind::Draft)]);
    let m = m.hand_over().await;
    assert!(m.cat("roles/app").await.unwrap().contains("20m"));
    let eio = Err(Errno(libc::EIO));
    assert_eq!(m.vfs.write(root(), half.handle, 90, b"x").wait().await, eio);
    assert_eq!(m.vfs.flush(root(), half.handle).wait().await, Err(Errno(libc::EIO)));
    assert!(m.last_error().await.contains("roles/app"), "{}", m.last_error().await);
    assert_eq!(m.vfs.flush(root(), whole.handle).wait().await, Ok(()), "a copy of it may be closed");
    m.close(half);
    m.close(whole);
}

#[tokio::test]
async fn a_poller_is_told_to_the_next_daemon() {
    let m = machine(TEAM).await;
    let held = m.hold("creds/app/token", 2).await;
    m.vfs.keep_poll(held.handle, 77);
    assert_eq!(m.kept.records()[0].poll, Some(77));
}

/// What was superseded before is not superseded anew by the restart: a pinned opener gets the current token.
#[tokio::test]
async fn a_restart_supersedes_nothing() {
    let m = machine(TEAM).await;
    let (node, opened) = m.open_as(root(), "creds/app/token", 0).await.unwrap();
    m.close(opened);
    m.pass(seconds(20)).await;
    m.write("rotate/app", "\n").await.unwrap();
    let current = m.cat("creds/app/token").await.unwrap();
    m.pass(seconds(20)).await;
    let m = m.hand_over().await;
    let opened = m.open_node(root(), node).await.unwrap();
    assert_eq!(m.read(&opened).unwrap(), current);
}

/// The former daemon may have answered the first try.
#[tokio::test]
async fn nobody_is_told_twice_in_a_row_that_a_node_is_stale() {
    let m = machine(TEAM).await;
    let (node, opened) = m.open_as(root(), "creds/app/token", 0).await.unwrap();
    m.close(opened);
    m.pass(seconds(20)).await;
    m.write("rotate/app", "\n").await.unwrap();
    m.pass(seconds(2)).await;
    let m = m.hand_over().await;
    m.told.changes.lock().clear();
    assert!(m.vfs.open(root(), node.ino(), 0).wait().await.is_ok());
    let changes = m.told.changes.lock().clone();
    assert!(
        changes.iter().any(|change| matches!(change, Change::Removed { name, .. } if name == "token")),
        "{changes:?}"
    );
    // Later there can be no such answer any more.
    m.pass(seconds(2)).await;
    let m = m.hand_over().await;
    m.pass(seconds(2)).await;
    assert_eq!(m.vfs.open(root(), node.ino(), 0).wait().await, Err(Errno(libc::ESTALE)));
}

/// Who needs a call while this daemon hands over is answered by the next one; nothing is on record as refused.
#[tokio::test]
async fn what_needs_a_call_is_left_to_the_next_daemon() {
    let m = machine(TEAM).await;
    m.write("roles/other", TEAM).await.unwrap();
    let token = m.cat("creds/app/token").await.unwrap();
    m.issuer.hand_over(seconds(1)).await;
    assert_eq!(m.cat("creds/app/token").await.unwrap(), token, "a hit needs none");
    tokio::time::pause();
    assert!(tokio::time::timeout(seconds(60), m.cat("creds/other/token")).await.is_err());
    assert!(tokio::time::timeout(seconds(60), m.write("rotate/app", "\n")).await.is_err());
    assert!(tokio::time::timeout(seconds(60), m.write("rotate/config", "\n")).await.is_err());
    assert_eq!(m.cat("errors").await.unwrap(), "");
    assert_eq!(m.api.count("create"), 1);
    let m = m.hand_over().await;
    assert!(m.api.is_live(&m.cat("creds/other/token").await.unwrap()));
}

#[tokio::test]
async fn a_call_under_way_is_waited_for() {
    let m = machine(TEAM).await;
    tokio::time::pause();
    m.api.set_latency(seconds(2));
    let opening = m.open("creds/app/token");
    let (opened, ()) = tokio::join!(opening, async {
        m.settle().await;
        m.issuer.hand_over(seconds(10)).await;
    });
    assert!(m.read(&opened.unwrap()).is_ok());
}
