//! What ends the service, and what is left then.

use std::process::Child;
use std::time::{Duration, Instant};

use super::site::{MOUNT, Site, Suite, content, suites};

/// After that it can be told that a server hangs.
const HANGING: Duration = Duration::from_millis(2500);

impl Site {
    /// Stops it; nothing may be left, and nothing may have failed. Returns how long it took.
    fn stop(&self) -> Duration {
        let begun = Instant::now();
        self.sh("systemctl stop tfcfs");
        let took = begun.elapsed();
        assert_eq!(self.mounts(), 0, "{}", self.journal());
        assert_eq!(self.property("tfcfs", "ActiveState"), "inactive", "{}", self.journal());
        self.eventually("the companion ends", || self.property("tfcfs-umount", "ActiveState") == "inactive");
        took
    }

    /// A program in the machine that ends with the test.
    fn beside(&self, script: &str) -> Beside {
        Beside(self.machine.command("sh").args(["-c", script]).spawn().unwrap())
    }
}

struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_stop_leaves_nothing_and_a_start_serves_again() {
    for &suite in suites() {
        let site = Site::running(suite);
        println!("{suite:?}: idle: {:?}", site.stop());
        site.sh("systemctl start tfcfs");
        let token = site.read("creds/app/token");
        site.stop();
        assert!(site.fake.is_live(&token), "it lingers");
        site.sh("systemctl start tfcfs");
        assert_eq!(site.read("creds/app/token"), token, "and is still the current one");
    }
}

#[test]
fn a_stop_ends_what_policy_says_though_files_are_held_and_somebody_is_inside() {
    for &suite in suites() {
        let site = Site::running(suite);
        let (brief, one) = (site.hold("brief"), site.hold("one"));
        let inside = site.beside(&format!("cd {MOUNT}/creds/app && exec sleep 100"));
        site.eventually("it is inside", || site.sh("readlink /proc/[0-9]*/cwd || true").contains("/creds/app"));
        println!("{suite:?}: with open files and somebody inside: {:?}", site.stop());
        assert!(!site.fake.is_live(&brief.token), "on_close = revoke: {}", site.journal());
        assert!(site.fake.is_live(&one.token), "this one lingers");
        site.sh("systemctl start tfcfs");
        assert!(content(&brief.file).is_err(), "{:?}", content(&brief.file));
        if let Ok(cached) = content(&one.file) {
            assert_eq!(cached, one.token);
        }
        assert_eq!(site.sh(&format!("cat {MOUNT}/leases/brief/* 2>/dev/null || true")), "");
        drop(inside);
    }
}

#[test]
fn a_stop_frees_whoever_waits_for_a_server_that_hangs() {
    let site = Site::running(Suite::Bookworm);
    site.sh(&format!("kill -STOP {}", site.server_pid()));
    let reader = site.machine.command("cat").arg(format!("{MOUNT}/creds/each/token")).spawn().unwrap();
    std::thread::sleep(HANGING);
    let took = site.stop();
    println!("with a server that hangs: {took:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    let mut reader = Beside(reader);
    assert!(!reader.0.wait().unwrap().success());
    site.sh("systemctl start tfcfs");
    assert!(site.read("status").contains("roles = 4"));
}

#[test]
fn whoever_unmounts_by_hand_gets_a_new_mount() {
    let site = Site::running(Suite::Bookworm);
    for (command, holds) in [("umount", false), ("umount -l", true), ("umount -f", true), ("tfcfs umount", true)] {
        let held = holds.then(|| site.hold("brief"));
        let pid = site.main_pid();
        let begun = Instant::now();
        // A forced one says that it is busy, and yet ends the connection.
        site.machine.try_sh(&format!("{command} {MOUNT}"));
        site.eventually("another process", || !["0".to_owned(), pid.clone()].contains(&site.main_pid()));
        site.wait_until_served();
        println!("{command}: served again after {:?}", begun.elapsed());
        assert_eq!((site.mounts(), site.property("tfcfs", "NFileDescriptorStore")), (1, "2".into()), "{command}");
        if let Some(held) = held {
            site.eventually("its lease ends", || !site.fake.is_live(&held.token));
        }
    }
}

#[test]
fn an_unserved_mount_of_a_unit_that_failed_is_taken_away() {
    let site = Site::running(Suite::Bookworm);
    // Nobody is left to restart it.
    site.drop_in("tfcfs.service", "[Service]\nRestart=no\n");
    site.sh("systemctl kill --signal=KILL --kill-who=main tfcfs");
    site.eventually("it has failed", || site.property("tfcfs", "ActiveState") == "failed");
    site.eventually("the companion has unmounted", || site.mounts() == 0);
}

#[test]
fn a_machine_goes_down_and_comes_up() {
    for &suite in suites() {
        let mut site = Site::running(suite);
        site.sh("systemctl enable --quiet tfcfs");
        let (one, brief) = (site.hold("one"), site.hold("brief"));
        // Read all the time, from inside, by somebody who is inside.
        let reader = format!(
            "ExecStart=/bin/sh -c 'cd {MOUNT}/creds && while cat app/token >/dev/null; do :; done; exec sleep 100'"
        );
        site.file("/etc/systemd/system/reader.service", &format!("[Unit]\nAfter=tfcfs.service\n[Service]\n{reader}\n"));
        site.sh("systemctl daemon-reload && systemctl start reader");
        println!("{suite:?}: down in {:?} while files are read and held", site.machine.power_off());
        assert!(!site.fake.is_live(&brief.token), "a stop revokes");
        assert!(site.fake.is_live(&one.token));
        site.machine.boot_again();
        site.wait_until_served();
        assert_eq!(site.read("creds/one/token"), one.token, "the ledger has it");
    }
}

#[test]
fn a_machine_goes_down_while_a_server_hangs() {
    let mut site = Site::running(Suite::Bookworm);
    site.sh(&format!("kill -STOP {}", site.server_pid()));
    let _reader = site.beside(&format!("cat {MOUNT}/creds/each/token"));
    std::thread::sleep(HANGING);
    let took = site.machine.power_off();
    println!("down in {took:?} while the server hangs");
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[test]
fn upstream_may_be_down_at_boot() {
    let mut site = Site::running(Suite::Bookworm);
    site.sh("systemctl enable --quiet tfcfs");
    let token = site.read("creds/app/token");
    site.machine.power_off();
    site.fake.go_offline();
    site.machine.boot_again();
    site.wait_until_served();
    assert_eq!(site.property("tfcfs", "ActiveState"), "active");
    assert_eq!(site.read("creds/app/token"), token, "what lives is handed out");
    site.eventually("status says so", || site.read("status").contains("reachable = false"));
    assert!(site.sh_fails(&format!("cat {MOUNT}/creds/each/token")).contains("Connection refused"));
    site.fake.go_online();
    site.eventually("a new token", || site.machine.try_sh(&format!("cat {MOUNT}/creds/each/token")).status.success());
}
