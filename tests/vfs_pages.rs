//! What the kernel is told of a node's size and content, and when (fuse-nodes 0.2 to 0.5).

mod common;

use std::time::Duration;

use common::machine::{Machine, root};
use common::seconds;
use tfcfs::vfs::{Caller, Errno, Node};

const TEAM: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\n";
const SLOT: &str = "organization = \"acme\"\nmin_rotation_interval = \"1s\"\n";

async fn machine(role: &str) -> Machine {
    let machine = Machine::new().await;
    machine.write("roles/app", role).await.unwrap();
    machine
}

fn rewritten_to(m: &Machine, node: Node) -> Option<usize> {
    m.told.rewritten.lock().iter().rfind(|(ino, _)| *ino == node.ino()).map(|(_, bytes)| bytes.len())
}

/// One looked the name up while nothing was held; another one's open, or a rotation, made the token, of another length.
/// The first was handed it without a word to the kernel: its read was cut to the announced size.
#[tokio::test]
async fn a_node_is_made_true_for_whoever_opens_it_first() {
    let m = machine(SLOT).await;
    let (node, announced) = m.walk(root(), "creds/app/token").unwrap();
    assert_eq!(announced.size, 90);
    m.api.set_token_length(120);
    m.write("rotate/app", "\n").await.unwrap();
    let opened = m.vfs.open(root(), node.ino(), 0).wait().await.unwrap();
    assert_eq!(m.read(&opened).unwrap().len(), 120);
    assert_eq!(rewritten_to(&m, node), Some(120));
    // Once is enough.
    m.told.rewritten.lock().clear();
    m.vfs.open(root(), node.ino(), 0).wait().await.unwrap();
    assert_eq!(rewritten_to(&m, node), None);
}

/// A bind-mounted reader's `fstat` told the kernel the new size of the inode that another one was about to read.
#[tokio::test]
async fn a_portal_keeps_size_and_pages_for_those_who_read_its_former_content() {
    let m = machine(TEAM).await;
    let (node, reader) = m.open_as(root(), "creds/app/token", 0).await.unwrap();
    m.api.set_token_length(120);
    m.pass(seconds(20)).await;
    m.write("rotate/app", "\n").await.unwrap();
    m.pass(seconds(2)).await;
    let bound = m.open_node(root(), node).await.unwrap();
    assert_eq!((m.read(&bound).unwrap().len(), bound.direct), (120, true));
    assert_eq!(rewritten_to(&m, node), None);
    assert_eq!(m.vfs.getattr(node.ino()).unwrap().size, 90);
    m.close(reader);
    m.open_node(root(), node).await.unwrap();
    assert_eq!(rewritten_to(&m, node), Some(120));
    assert_eq!(m.vfs.getattr(node.ino()).unwrap().size, 120);
}

/// Right after the change those readers are between their open and their read: a content of another size waits for them.
#[tokio::test(start_paused = true)]
async fn a_portal_of_another_size_waits_a_moment_for_the_former_readers() {
    let m = machine(SLOT).await;
    let (node, reader) = m.open_as(root(), "creds/app/token", 0).await.unwrap();
    m.api.set_token_length(60);
    m.pass(seconds(20)).await;
    m.write("rotate/app", "\n").await.unwrap();
    let bound = async { m.open_node(root(), node).await.unwrap() };
    let read = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(rewritten_to(&m, node), None);
        assert_eq!(m.vfs.getattr(node.ino()).unwrap().size, 90);
        assert_eq!(m.read(&reader).unwrap().len(), 90);
        m.close(reader);
    };
    let (bound, ()) = tokio::join!(bound, read);
    assert_eq!(m.read(&bound).unwrap().len(), 60);
    assert_eq!(rewritten_to(&m, node), Some(60));
}

/// A path that was looked up before went on to share one token.
#[tokio::test]
async fn a_role_that_becomes_unshared_gives_every_open_by_path_its_own_token() {
    let m = machine(TEAM).await;
    let (node, opened) = m.open_as(root(), "creds/app/token", 0).await.unwrap();
    let shared = m.read(&opened).unwrap();
    m.close(opened);
    m.write("roles/app", &format!("{TEAM}share = \"open\"\n")).await.unwrap();
    for tid in [1, 2] {
        let caller = Caller { tid, ..root() };
        assert_eq!(m.vfs.open(caller, node.ino(), 0).wait().await, Err(Errno(libc::ESTALE)));
    }
    // Pinned: it has a token while it is open, but never the one of before.
    m.pass(seconds(2)).await;
    let bound = m.open_node(root(), node).await.unwrap();
    assert_ne!(m.read(&bound).unwrap(), shared);
    assert!(rewritten_to(&m, node).is_some(), "its pages showed the former token");
}

/// It was refused for as long as the slot's lease lived.
#[tokio::test]
async fn a_bind_mounted_file_follows_its_role_from_a_slot_to_minted_tokens() {
    let m = machine(SLOT).await;
    let (node, opened) = m.open_as(root(), "creds/app/token", 0).await.unwrap();
    m.close(opened);
    m.write("roles/app", TEAM).await.unwrap();
    m.pass(seconds(2)).await;
    let bound = m.open_node(root(), node).await.unwrap();
    assert!(m.api.is_live(&m.read(&bound).unwrap()));
    assert_eq!(m.api.made().last().unwrap().owner.to_string(), "team team-1");
}

#[tokio::test]
async fn an_opener_between_claim_and_handle_counts_as_a_reader() {
    let m = machine(TEAM).await;
    let (node, reader) = m.open_as(root(), "creds/app/token", 0).await.unwrap();
    m.close(reader);
    m.api.set_token_length(120);
    // The lease is confirmed: this is the fast way in, which has its handle before its claim.
    let reader = m.vfs.open(root(), node.ino(), 0).wait().await.unwrap();
    m.pass(seconds(20)).await;
    m.write("rotate/app", "\n").await.unwrap();
    m.pass(seconds(2)).await;
    m.open_node(root(), node).await.unwrap();
    assert_eq!(rewritten_to(&m, node), None);
    assert_eq!(m.read(&reader).unwrap().len(), 90);
}

/// `tar` looks, opens, and looks again: a first open that moved the time of change was "file changed as we read it".
#[tokio::test]
async fn a_node_has_one_mtime_before_and_after_its_token_is_made() {
    let m = machine(TEAM).await;
    let (node, announced) = m.walk(root(), "creds/app/token").unwrap();
    m.pass(seconds(100)).await;
    let opened = m.vfs.open(root(), node.ino(), 0).wait().await.unwrap();
    assert_eq!(m.vfs.getattr(node.ino()).unwrap().mtime, announced.mtime);
    m.pass(seconds(100)).await;
    m.write("rotate/app", "\n").await.unwrap();
    let (successor, later) = m.walk(root(), "creds/app/token").unwrap();
    assert!(successor != node && later.mtime > announced.mtime, "whoever polls the time sees a change");
    m.close(opened);
}

/// A program that sizes its buffer before it opens read 90 bytes of the first token of every role, where upstream's have
/// 120: what one role's token was tells of the next role's.
#[tokio::test]
async fn a_role_without_a_token_is_announced_with_the_usual_size() {
    let m = machine(TEAM).await;
    m.write("roles/other", TEAM).await.unwrap();
    let (before, announced) = m.walk(root(), "creds/other/token").unwrap();
    assert_eq!(announced.size, 90);
    m.api.set_token_length(120);
    m.cat("creds/app/token").await.unwrap();
    // It was announced too early, and is made true at its first open.
    m.told.rewritten.lock().clear();
    let opened = m.vfs.open(root(), before.ino(), 0).wait().await.unwrap();
    assert_eq!((m.read(&opened).unwrap().len(), rewritten_to(&m, before)), (120, Some(120)));
    m.write("roles/new", TEAM).await.unwrap();
    assert_eq!(m.walk(root(), "creds/new/token").unwrap().1.size, 120);
}

/// Go's fsnotify, Node and Java watch for a MODIFY, which only a write makes; a write-open alone told them nothing.
#[tokio::test]
async fn the_announcer_may_write_a_byte_that_nobody_keeps() {
    let m = machine(TEAM).await;
    let token = m.cat("creds/app/token").await.unwrap();
    let announcer = Caller { tid: 4711, ..root() };
    let (node, _) = m.walk(root(), "creds/app/token").unwrap();
    assert_eq!(m.vfs.open(announcer, node.ino(), libc::O_WRONLY).wait().await.err(), Some(Errno(libc::EACCES)));
    m.vfs.set_announcer(announcer.tid);
    let opened = m.vfs.open(announcer, node.ino(), libc::O_WRONLY).wait().await.unwrap();
    assert_eq!(m.vfs.write(announcer, opened.handle, 0, b"\n").wait().await, Ok(1));
    m.close(opened);
    assert_eq!(m.cat("creds/app/token").await.unwrap(), token);
    assert_eq!(m.api.live().len(), 1);
}
