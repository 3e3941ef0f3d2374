//! `tfcfs status` on mounts in trouble: what is wrong comes first, with what to do.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::doctor::Deaf;
use super::storage::Disk;
use super::support::{Daemon, Site, errno_of, eventually};
use crate::fake::{Calls, Fault, Route};

fn status(site: &Site, more: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tfcfs"));
    command.args(["status", "--mount"]).arg(site.at("")).args(more).stdin(Stdio::null());
    let output = command.env_remove("TFCFS_MOUNTPOINT").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn troubles(site: &Site) -> Vec<Value> {
    let (code, out, error) = status(site, &["--json"]);
    assert_eq!((code, error.as_str()), (0, ""));
    let all: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(all["ok"].as_bool().unwrap(), all["trouble"].as_array().unwrap().is_empty());
    all["trouble"].as_array().unwrap().clone()
}

/// Waits until exactly these things are wrong, each known by some words of it.
#[track_caller]
fn wrong(site: &Site, words: &[&str]) {
    eventually(&format!("{words:?}: {:?}", troubles(site)), || {
        let found = troubles(site);
        found.len() == words.len()
            && words.iter().zip(&found).all(|(words, one)| one["what"].as_str().unwrap().contains(words))
    });
    for one in troubles(site) {
        let some = |key: &str| one[key].as_str().is_some_and(|text| !text.is_empty());
        assert!(some("to_do") && some("by_itself"), "{one}");
    }
}

#[test]
fn all_is_well() {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(""));
    daemon.read("creds/app/token");
    wrong(&daemon, &[]);
    let (code, out, error) = status(&daemon, &[]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(out.starts_with("SERVING on ") && out.lines().next().unwrap().ends_with("nothing is wrong"), "{out}");
    assert!(out.contains("1 live: 0 held, 1 lingering") && out.contains("HCP Terraform, of user"), "{out}");
}

#[test]
fn an_upstream_that_is_gone_and_one_that_fails() {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(""));
    daemon.fake.go_offline();
    assert_eq!(errno_of(std::fs::read(daemon.at("creds/app/token"))), libc::ECONNREFUSED);
    wrong(&daemon, &["cannot be reached (anchor \"default\")"]);
    let since = troubles(&daemon)[0]["since"].clone();
    assert_eq!(errno_of(std::fs::read(daemon.at("creds/app/token"))), libc::ECONNREFUSED);
    assert_eq!(troubles(&daemon)[0]["since"], since, "since the first failure, not the last");
    let (code, out, _) = status(&daemon, &[]);
    assert!(code == 0 && out.contains("but something is wrong:"), "{out}");
    assert!(out.contains("connection refused") && out.contains("to do:") && out.contains("by itself:"), "{out}");
    daemon.fake.go_online();
    daemon.read("creds/app/token");
    wrong(&daemon, &[]);
    daemon.fake.set_fault(Route::Any, Calls::Always, Fault::status(503));
    daemon.write("roles/more", &daemon.team_role(""));
    assert_eq!(errno_of(std::fs::read(daemon.at("creds/more/token"))), libc::EREMOTEIO);
    wrong(&daemon, &["answers, but its answers are of no use"]);
}

#[test]
fn a_refused_anchor_and_revocations_that_wait_for_it() {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(""));
    daemon.read("creds/app/token");
    daemon.kill_anchor();
    daemon.try_sh("rm $M/leases/app/*");
    wrong(&daemon, &["refuses the token of anchor \"default\"", "1 token that should be gone may still work"]);
    assert!(troubles(&daemon)[0]["since"].is_string());
    let good = daemon.fake.seed_token(
        crate::fake::Owner::User(daemon.fake.user_id("alice")),
        crate::fake::Kind::User,
        Some("new"),
        None,
    );
    daemon.write("config", &format!("token = \"{}\"\n", good.1));
    wrong(&daemon, &[]);
}

#[test]
fn no_anchor_yet() {
    let site = Site::new();
    let daemon = site.mount();
    wrong(&daemon, &["no anchor is configured"]);
}

#[test]
fn a_full_disk_and_a_failing_audit_trail() {
    let site = Site::new();
    let disk = Disk::tmpfs(&site, "2m");
    std::fs::create_dir(disk.path().join("audit")).unwrap();
    site.settings(&format!("[audit]\nfile = \"{}\"\n", disk.path().join("audit/trail.jsonl").display()));
    let daemon = Daemon::ready_on(site.clone());
    daemon.write("roles/app", &daemon.team_role("share = \"open\"\nmax_leases = 1000\n"));
    disk.fill();
    // Each refused open is a line, until there is no room for one.
    let has = |words: &str| troubles(&daemon).iter().any(|one| one["what"].as_str().unwrap().contains(words));
    eventually("neither takes any more", || {
        for _ in 0..20 {
            let _ = std::fs::read(daemon.at("creds/app/token"));
        }
        has("the ledger cannot be written") && has("trail.jsonl cannot be written")
    });
    let (ledger, audit) = (troubles(&daemon).remove(0), troubles(&daemon).remove(1));
    assert!(ledger["since"].is_string() && ledger["why"].as_str().unwrap().contains("No space left"), "{ledger}");
    assert!(audit["since"].is_string() && audit["why"].as_str().unwrap().contains("No space left"), "{audit}");
    disk.free();
    daemon.read("creds/app/token");
    eventually("both go on", || !has("cannot be written") && has("trail.jsonl is written, but"));
}

#[test]
fn a_clock_that_is_off() {
    let daemon = Daemon::ready();
    daemon.fake.set_date_skew(-120);
    daemon.write("config", &daemon.anchor());
    wrong(&daemon, &["behind ours"]);
}

#[test]
fn a_mount_that_is_dead_or_silent() {
    let mut daemon = Daemon::ready();
    daemon.signal(Signal::STOP);
    let start = Instant::now();
    let (code, _, error) = status(&daemon, &[]);
    assert!(code == 12 && error.contains("NOT SERVING") && error.contains("kill -CONT"), "{code} {error}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    daemon.signal(Signal::CONT);
    daemon.signal(Signal::KILL);
    daemon.wait();
    eventually("it is dead", || status(&daemon, &[]).2.contains("has died"));
    let (code, out, error) = status(&daemon, &["--json"]);
    assert!(code == 12 && error.contains("tfcfs mount"), "{code} {error}");
    let all: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&all["serving"], &all["state"]), (&Value::Bool(false), &"dead".into()));
}

/// Also for whoever reads its output through a pipe.
#[test]
fn a_daemon_that_takes_requests_and_answers_none() {
    let site = Site::new();
    let _deaf = Deaf::new(site.clone());
    let start = Instant::now();
    let (code, out, _) = status(&site, &["--json"]);
    assert_eq!(code, 12);
    let all: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(all["state"], "silent");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
