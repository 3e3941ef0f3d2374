//! `allow_units` and `deny_programs`: who is in another unit, or in none that is known, gets `EACCES` from every way in, and makes nothing.

mod common;

use common::machine::{Machine, root};
use tfcfs::vfs::{Caller, Errno};

const TEAM: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\nallow_units = [\"backup.service\"]\n";

/// Callers by thread: 1 is of the unit, 2 of another one, 3 of none that is known.
async fn machine(more: &str) -> Machine {
    let m = Machine::new().await;
    m.write("roles/app", &format!("{TEAM}{more}")).await.unwrap();
    let mut units = m.facts.units.lock();
    units.insert(1, "/system.slice/backup.service".into());
    units.insert(2, "/user.slice/user-1000.slice/user@1000.service/backup.service".into());
    drop(units);
    m
}

fn caller(tid: u32) -> Caller {
    Caller { tid, ..root() }
}

async fn open(m: &Machine, tid: u32) -> Result<String, Errno> {
    let (_, opened) = m.open_as(caller(tid), "creds/app/token", libc::O_RDONLY).await?;
    let text = m.read(&opened);
    m.close(opened);
    text
}

const DENIED: Result<String, Errno> = Err(Errno(libc::EACCES));

#[tokio::test]
async fn only_the_unit_itself() {
    for share in ["role", "unit", "open"] {
        let m = machine(&format!("share = \"{share}\"\n")).await;
        for tid in [2, 3, 0] {
            assert_eq!(open(&m, tid).await, DENIED);
        }
        assert_eq!(m.api.count("create"), 0, "who may not read makes nothing");
        let token = open(&m, 1).await.unwrap();
        // Also once the token is there, and its node was opened before.
        for tid in [2, 3, 0] {
            assert_eq!(open(&m, tid).await, DENIED);
        }
        assert!(m.api.is_live(&token));
        assert_eq!(m.api.count("create"), 1);
    }
}

#[tokio::test]
async fn the_sentence_says_who_and_why() {
    let m = machine("").await;
    assert_eq!(open(&m, 2).await, DENIED);
    let error = m.last_error().await;
    assert!(error.contains("EACCES creds/app/token: unit \"/user.slice/"), "{error}");
    assert!(error.contains("is not among allow_units of role \"app\""), "{error}");
    assert_eq!(open(&m, 3).await, DENIED);
    assert!(m.last_error().await.contains("an unknown unit is not among"), "{}", m.last_error().await);
}

#[tokio::test]
async fn a_node_that_was_opened_by_anybody_is_closed_to_others_when_the_role_says_so() {
    let m = Machine::new().await;
    m.write("roles/app", &TEAM.replace("allow_units = [\"backup.service\"]\n", "")).await.unwrap();
    m.facts.units.lock().insert(1, "/system.slice/backup.service".into());
    let (node, opened) = m.open_as(caller(2), "creds/app/token", libc::O_RDONLY).await.unwrap();
    let token = m.read(&opened).unwrap();
    m.write("roles/app", TEAM).await.unwrap();
    assert_eq!(m.read(&opened).unwrap(), token, "what is held is held");
    m.close(opened);
    // A bind mount, a directory held open, /proc/PID/fd: the node itself, without a walk.
    for tid in [2, 2, 3] {
        assert_eq!(m.vfs.open(caller(tid), node.ino(), libc::O_RDONLY).wait().await.err(), Some(Errno(libc::EACCES)));
    }
    assert_eq!(open(&m, 1).await.unwrap(), token);
    assert_eq!(open(&m, 2).await, DENIED, "also after the unit has opened it");
    assert_eq!(m.api.count("create"), 1);
}

#[tokio::test]
async fn it_is_read_back_and_survives_a_restart() {
    let m = machine("").await;
    let text = m.cat("roles/app").await.unwrap();
    assert!(text.contains("allow_units = [\"backup.service\"]\n"), "{text}");
    let m = m.restart().await;
    m.facts.units.lock().insert(1, "/system.slice/backup.service".into());
    assert_eq!(open(&m, 2).await, DENIED);
    open(&m, 1).await.unwrap();
}

#[tokio::test]
async fn an_indexer_makes_nothing_and_gets_nothing() {
    let m = Machine::new().await;
    m.write("roles/app", "team_id = \"team-1\"\ncredential_type = \"team\"\n").await.unwrap();
    m.facts.programs.lock().extend([(1, "updatedb".into()), (2, "cat".into())]);
    assert_eq!(open(&m, 1).await, DENIED);
    assert_eq!(m.api.count("create"), 0);
    let error = m.last_error().await;
    assert!(error.contains("creds/app/token: program \"updatedb\" is among deny_programs"), "{error}");
    open(&m, 2).await.unwrap();
    // A hit is no way around it; a program that cannot be told is none of them.
    assert_eq!(open(&m, 1).await, DENIED);
    open(&m, 3).await.unwrap();
    assert_eq!(m.api.count("create"), 1);
}
