//! Writing roles and `config` (DESIGN 6, fuse-nodes 8.4), on the whole filesystem without a kernel.

mod common;

use std::ffi::OsStr;
use std::time::Duration;

use common::machine::{Machine, root};
use common::seconds;
use tfcfs::vfs::{Caller, Errno, Exit, SetAttr};

const TEAM: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\n";
const WRITE: i32 = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC;

fn caller(tid: u32) -> Caller {
    Caller { uid: 0, gid: 0, tid }
}

#[tokio::test]
async fn what_is_read_back_can_be_written_back() {
    let m = Machine::new().await;
    m.write("roles/app", TEAM).await.unwrap();
    let text = m.cat("roles/app").await.unwrap();
    m.write("roles/app", &text).await.unwrap();
    assert_eq!(m.cat("roles/app").await.unwrap(), text);
    let config = m.cat("config").await.unwrap();
    assert!(config.contains("(set)"));
    m.write("config", &config).await.unwrap();
    assert_eq!(m.cat("config").await.unwrap(), config);
    m.cat("creds/app/token").await.unwrap();
}

#[tokio::test]
async fn certain_errors_fail_the_write_and_the_old_role_stays() {
    let m = Machine::new().await;
    m.write("roles/app", TEAM).await.unwrap();
    let before = m.cat("roles/app").await.unwrap();
    let opened = m.create_or_open(root(), "roles/app", WRITE).await.unwrap();
    let written = m.vfs.write(root(), opened.handle, 0, b"bogus = 1\n").wait().await;
    assert_eq!(written, Err(Errno(libc::EINVAL)));
    assert_eq!(m.vfs.flush(root(), opened.handle).wait().await, Ok(()), "the writer has its error already");
    m.vfs.release(opened.handle);
    m.settle().await;
    assert_eq!(m.cat("roles/app").await.unwrap(), before);
    assert!(m.last_error().await.contains("EINVAL roles/app: "));
}

#[tokio::test]
async fn what_is_only_missing_fails_the_close() {
    let m = Machine::new().await;
    let opened = m.create_or_open(root(), "roles/app", WRITE).await.unwrap();
    m.vfs.write(root(), opened.handle, 0, b"ttl = \"5m\"\n").wait().await.unwrap();
    assert_eq!(m.vfs.flush(root(), opened.handle).wait().await, Err(Errno(libc::EINVAL)));
    m.vfs.release(opened.handle);
    m.settle().await;
    assert!(m.list("roles").is_empty());
}

#[tokio::test]
async fn shells_flush_before_they_write_and_that_commits_nothing() {
    let m = Machine::new().await;
    m.write("roles/app", TEAM).await.unwrap();
    let before = m.cat("roles/app").await.unwrap();
    // open(O_TRUNC), dup2, close: a FLUSH of an empty draft.
    let opened = m.create_or_open(root(), "roles/app", WRITE).await.unwrap();
    assert_eq!(m.vfs.flush(root(), opened.handle).wait().await, Ok(()));
    assert_eq!(m.cat("roles/app").await.unwrap(), before);
    m.vfs.write(root(), opened.handle, 0, b"user_id = \"user-1\"\n").wait().await.unwrap();
    assert_eq!(m.vfs.flush(root(), opened.handle).wait().await, Ok(()));
    assert!(m.cat("roles/app").await.unwrap().contains("user-1"));
    m.vfs.release(opened.handle);
    // `: > roles/app` alone.
    let opened = m.create_or_open(root(), "roles/app", WRITE).await.unwrap();
    m.vfs.flush(root(), opened.handle).wait().await.unwrap();
    m.vfs.release(opened.handle);
    m.settle().await;
    assert!(m.cat("roles/app").await.unwrap().contains("user-1"));
}

#[tokio::test]
async fn a_writer_killed_half_way_commits_nothing() {
    let m = Machine::new().await;
    m.write("roles/app", TEAM).await.unwrap();
    let before = m.cat("roles/app").await.unwrap();
    let opened = m.create_or_open(caller(7), "roles/app", WRITE).await.unwrap();
    m.vfs.write(caller(7), opened.handle, 0, b"user_id = \"user-1\"\n").wait().await.unwrap();
    m.facts.exits.lock().insert(7, Exit::Killed);
    assert_eq!(m.vfs.flush(caller(7), opened.handle).wait().await, Ok(()));
    m.vfs.release(opened.handle);
    m.settle().await;
    assert_eq!(m.cat("roles/app").await.unwrap(), before);
    assert!(m.last_error().await.contains("killed half-way"));
}

#[tokio::test]
async fn children_and_exits_decide_at_the_last_close() {
    let m = Machine::new().await;
    // `{ a; b; } > roles/app`: each child flushes with half the document.
    let opened = m.create_or_open(caller(1), "roles/app", WRITE).await.unwrap();
    m.vfs.write(caller(2), opened.handle, 0, b"team_id = \"team-1\"\n").wait().await.unwrap();
    assert_eq!(m.vfs.flush(caller(2), opened.handle).wait().await, Ok(()));
    assert!(m.walk(root(), "creds/app").is_err(), "a child's flush commits nothing");
    m.vfs.write(caller(3), opened.handle, 19, b"credential_type = \"team\"\n").wait().await.unwrap();
    assert_eq!(m.vfs.flush(caller(3), opened.handle).wait().await, Ok(()));
    // `exec > f`: the shell exits without a close.
    m.facts.exits.lock().insert(1, Exit::Exiting);
    assert_eq!(m.vfs.flush(caller(1), opened.handle).wait().await, Ok(()));
    m.vfs.release(opened.handle);
    // Nobody waits for a RELEASE, and what it commits is checked on another thread.
    for _ in 0..1000 {
        if m.walk(root(), "creds/app").is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    m.cat("creds/app/token").await.unwrap();
    assert!(m.api.made()[0].description.contains("app"));
}

#[tokio::test]
async fn two_writers_do_not_mix_and_the_last_close_wins() {
    let m = Machine::new().await;
    let a = m.create_or_open(caller(1), "roles/app", WRITE).await.unwrap();
    let b = m.create_or_open(caller(2), "roles/app", WRITE).await.unwrap();
    m.vfs.write(caller(1), a.handle, 0, b"user_id = \"user-").wait().await.unwrap();
    m.vfs.write(caller(2), b.handle, 0, b"user_id = \"user-2\"\n").wait().await.unwrap();
    m.vfs.write(caller(1), a.handle, 16, b"1\"\n").wait().await.unwrap();
    m.vfs.flush(caller(2), b.handle).wait().await.unwrap();
    assert!(m.cat("roles/app").await.unwrap().contains("user-2"));
    m.vfs.flush(caller(1), a.handle).wait().await.unwrap();
    assert!(m.cat("roles/app").await.unwrap().contains("user-1"));
}

#[tokio::test]
async fn an_append_goes_on_from_the_document_in_force() {
    let m = Machine::new().await;
    m.write("roles/app", "user_id = \"user-1\"\n").await.unwrap();
    let opened = m.create_or_open(root(), "roles/app", libc::O_WRONLY | libc::O_APPEND).await.unwrap();
    let size = m.walk(root(), "roles/app").unwrap().1.size;
    m.vfs.write(root(), opened.handle, size, b"ttl = \"5m\"\n").wait().await.unwrap();
    m.vfs.flush(root(), opened.handle).wait().await.unwrap();
    m.vfs.release(opened.handle);
    let token = m.cat("creds/app/token").await.unwrap();
    m.pass(seconds(299)).await;
    assert!(m.api.is_live(&token));
    m.pass(seconds(2)).await;
    assert!(!m.api.is_live(&token));
}

#[tokio::test]
async fn an_editor_writes_a_temporary_file_and_renames_it() {
    let m = Machine::new().await;
    m.write("roles/app", TEAM).await.unwrap();
    for (temporary, flags) in
        [("sedKb8XqZ", libc::O_EXCL), (".app.swp", 0), (".ansible_tmp1", libc::O_EXCL), ("app~", 0), ("x.tmp", 0)]
    {
        let path = format!("roles/{temporary}");
        let opened = m.create_or_open(root(), &path, WRITE | flags).await.unwrap();
        m.vfs.write(root(), opened.handle, 0, b"user_id = \"user-9\"\n").wait().await.unwrap();
        m.vfs.flush(root(), opened.handle).wait().await.unwrap();
        m.vfs.release(opened.handle);
        assert_eq!(m.cat(&path).await.unwrap(), "user_id = \"user-9\"\n");
        assert!(m.walk(root(), &format!("creds/{temporary}")).is_err(), "never a role");
        m.rename(&path, "roles/app").await.unwrap();
        assert!(m.cat("roles/app").await.unwrap().contains("user-9"));
        assert!(m.walk(root(), &path).is_err());
        m.write("roles/app", TEAM).await.unwrap();
    }
}

#[tokio::test]
async fn renaming_a_bad_document_over_a_role_leaves_it() {
    let m = Machine::new().await;
    m.write("roles/app", TEAM).await.unwrap();
    let before = m.cat("roles/app").await.unwrap();
    m.write("roles/.new", "bogus = 1\n").await.unwrap();
    assert_eq!(m.rename("roles/.new", "roles/app").await, Err(Errno(libc::EINVAL)));
    assert_eq!(m.cat("roles/app").await.unwrap(), before);
}

#[tokio::test]
async fn a_backup_by_rename_brings_the_role_back_with_its_tokens() {
    let m = Machine::new().await;
    m.write("roles/app", TEAM).await.unwrap();
    let token = m.cat("creds/app/token").await.unwrap();
    m.rename("roles/app", "roles/app~").await.unwrap();
    assert!(m.walk(root(), "creds/app").is_err());
    assert!(m.cat("roles/app~").await.unwrap().contains("team-1"));
    m.write("roles/app", TEAM).await.unwrap();
    m.remove("roles/app~").await.unwrap();
    m.pass(seconds(20)).await;
    assert_eq!(m.cat("creds/app/token").await.unwrap(), token);
}

#[tokio::test]
async fn illegal_names_are_refused_with_the_reason() {
    let m = Machine::new().await;
    for (name, reason) in [
        ("Deploy", "try \"deploy\""),
        ("a b", "' ' cannot stand"),
        ("config", "reserved"),
        (&"a".repeat(200), "at most 128"),
        ("ü", "cannot stand"),
    ] {
        let path = format!("roles/{name}");
        assert_eq!(m.write(&path, TEAM).await, Err(Errno(libc::EINVAL)), "{name}");
        let error = m.last_error().await;
        assert!(error.contains(reason), "{error}");
    }
    assert!(m.list("roles").is_empty());
}

#[tokio::test]
async fn a_document_that_is_too_large_is_refused() {
    let m = Machine::new().await;
    m.write("roles/app", TEAM).await.unwrap();
    let big = format!("{TEAM}description = \"{}\"\n", "x".repeat(2 << 20));
    assert_eq!(m.write("roles/app", &big).await, Err(Errno(libc::EINVAL)));
    assert!(!m.cat("roles/app").await.unwrap().contains("xxx"));
}

#[tokio::test]
async fn chmod_and_chown_of_credentials_change_the_role() {
    let m = Machine::new().await;
    m.write("roles/app", TEAM).await.unwrap();
    let (node, _) = m.walk(root(), "creds/app/token").unwrap();
    let set = SetAttr { mode: Some(0o640), uid: Some(1000), gid: Some(2000), size: None };
    let attr = m.vfs.setattr(root(), node.ino(), None, set).wait().await.unwrap();
    assert_eq!((attr.mode, attr.uid, attr.gid), (0o440, 1000, 2000));
    let (_, dir) = m.walk(root(), "creds/app").unwrap();
    assert_eq!((dir.mode, dir.uid), (0o550, 1000));
    let m = m.restart().await;
    let (_, attr) = m.walk(root(), "creds/app/env").unwrap();
    assert_eq!((attr.mode, attr.uid, attr.gid), (0o440, 1000, 2000));
}

#[tokio::test]
async fn only_roles_and_leases_can_be_created_or_removed() {
    let m = Machine::new().await;
    m.write("roles/app", TEAM).await.unwrap();
    let (creds, _) = m.walk(root(), "creds/app").unwrap();
    let created = m.vfs.create(root(), creds.ino(), OsStr::new("x"), 0o644, WRITE);
    assert_eq!(created.err(), Some(Errno(libc::EPERM)));
    assert_eq!(m.remove("creds/app/token").await, Err(Errno(libc::EPERM)));
    assert_eq!(m.remove("status").await, Err(Errno(libc::EPERM)));
}

#[tokio::test]
async fn a_refused_anchor_leaves_the_old_one_in_force() {
    let m = Machine::new().await;
    m.write("roles/app", TEAM).await.unwrap();
    assert_eq!(m.write("config", "token = \"wrong.atlasv1.token\"\n").await, Err(Errno(libc::EKEYREJECTED)));
    assert!(!m.last_error().await.contains("wrong.atlasv1"));
    m.cat("creds/app/token").await.unwrap();
}

#[tokio::test]
async fn a_read_before_any_anchor_says_what_is_missing() {
    let m = Machine::bare().await;
    for (name, text) in [("app", TEAM), ("slot", "organization = \"acme\"\n")] {
        m.write(&format!("roles/{name}"), text).await.unwrap();
        assert_eq!(m.cat(&format!("creds/{name}/token")).await, Err(Errno(libc::ENOKEY)));
        assert!(m.last_error().await.contains("write a token to the file config"));
    }
    m.configure().await;
    m.cat("creds/app/token").await.unwrap();
    m.cat("creds/slot/token").await.unwrap();
}

#[tokio::test]
async fn what_the_configuration_file_owns_is_read_only() {
    let m = Machine::new().await;
    let anchor = m.issuer.book().find_anchor(&Default::default()).unwrap().anchor.clone();
    m.write("roles/app", TEAM).await.unwrap();
    let role = m.issuer.book().find_role(&"app".parse().unwrap()).unwrap().role.clone();
    m.issuer.apply_file(vec![anchor], vec![("web".parse().unwrap(), Some(role))]).await.unwrap();
    // Read back and written back, nothing changes and nobody is asked.
    let config = m.cat("config").await.unwrap();
    m.api.forget_calls();
    m.write("config", &config).await.unwrap();
    assert!(m.api.calls().is_empty());
    assert_eq!(m.write("config", "token = \"new.atlasv1.token\"\n").await, Err(Errno(libc::EPERM)));
    assert!(m.last_error().await.contains("comes from the configuration file"));
    assert_eq!(m.write("roles/web", TEAM).await, Err(Errno(libc::EPERM)));
    assert_eq!(m.remove("roles/web").await, Err(Errno(libc::EPERM)));
    assert_eq!(m.rename("roles/web", "roles/other").await, Err(Errno(libc::EPERM)));
    assert_eq!(m.rename("roles/app", "roles/web").await, Err(Errno(libc::EPERM)));
    assert_eq!(m.write("rotate/config", "\n").await, Err(Errno(libc::EPERM)));
    m.cat("creds/web/token").await.unwrap();
    // A reload that names it no more removes it; one that names it without a value (not asked yet) keeps it.
    m.issuer.apply_file(vec![], vec![("web".parse().unwrap(), None)]).await.unwrap();
    assert!(m.list("roles").contains(&"web".to_owned()));
    m.issuer.apply_file(vec![], vec![]).await.unwrap();
    assert_eq!(m.list("roles"), ["app"]);
}

/// A copy of the writer's handle, in a child that has not come to its exec yet, outlived the commit: the name of the role that was
/// then renamed stayed in `roles/` as an empty file.
#[tokio::test]
async fn a_committed_draft_does_not_keep_the_name_of_a_role_that_is_gone() {
    let m = Machine::new().await;
    let opened = m.create_or_open(root(), "roles/app", WRITE).await.unwrap();
    assert!(m.walk(root(), "roles/app").is_ok(), "it is being written");
    m.vfs.write(root(), opened.handle, 0, TEAM.as_bytes()).wait().await.unwrap();
    m.vfs.flush(root(), opened.handle).wait().await.unwrap();
    m.rename("roles/app", "roles/other").await.unwrap();
    assert_eq!(m.walk(root(), "roles/app").err(), Some(Errno(libc::ENOENT)));
    m.vfs.release(opened.handle);
    m.settle().await;
    assert_eq!(m.list("roles"), ["other"]);
}
