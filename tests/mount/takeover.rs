//! A mount that outlives whoever serves it: `tfcfs supervise`.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use super::support::{Daemon, Site, eventually};

fn daemon() -> Daemon {
    let site = Site::new();
    let daemon = site.supervise();
    daemon.write("config", &site.anchor());
    daemon
}

fn with_role(more: &str) -> Daemon {
    let daemon = daemon();
    daemon.write("roles/app", &daemon.team_role(more));
    daemon
}

fn content(file: &File) -> String {
    let mut bytes = [0; 4096];
    let size = file.read_at(&mut bytes, 0).unwrap();
    String::from_utf8(bytes[..size].to_vec()).unwrap()
}

#[test]
fn an_open_file_and_its_lease_outlive_the_server() {
    let daemon = with_role("on_close = \"revoke\"");
    let file = File::open(daemon.at("creds/app/token")).unwrap();
    let token = content(&file);
    for kill in 1..=3 {
        daemon.kill_server();
        assert_eq!(content(&file), token, "after kill {kill}");
        assert!(daemon.lease("app").contains("handles = 1\n"), "{}", daemon.lease("app"));
        assert_eq!(daemon.read("creds/app/token"), token, "still the current one");
    }
    assert_eq!(daemon.made().len(), 1);
    drop(file);
    eventually("the last close revoked it", || daemon.made().is_empty());
}

#[test]
fn a_copy_of_an_open_file_may_be_closed_before_and_after() {
    let daemon = with_role("on_close = \"revoke\"");
    let first = File::open(daemon.at("creds/app/token")).unwrap();
    let second = File::open(daemon.at("creds/app/env")).unwrap();
    daemon.kill_server();
    assert!(daemon.lease("app").contains("handles = 2\n"));
    drop(first);
    eventually("one handle less", || daemon.lease("app").contains("handles = 1\n"));
    daemon.kill_server();
    assert!(daemon.lease("app").contains("handles = 1\n"));
    assert!(content(&second).starts_with("TF_TOKEN_"));
    drop(second);
    eventually("the last close revoked it", || daemon.made().is_empty());
}
