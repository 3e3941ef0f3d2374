//! Start and stop: signals, crashes, what is in the way, `--daemon`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::support::{Daemon, Site, eventually};
use crate::fake::{Fault, Route};

const REVOKE: &str = "on_close = \"revoke\"\nshare = \"open\"";

/// Runs `tfcfs mount` to its end; returns exit code and standard error.
fn refused(site: &Site, mount_point: &Path, state: &str) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tfcfs"))
        .arg("mount")
        .arg(mount_point)
        .arg("--state")
        .arg(site.beside(state))
        .env_remove("TFCFS_CONFIG")
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn stops_cleanly(signal: Signal) {
    let mut daemon = Daemon::ready();
    daemon.write("roles/held", &daemon.team_role(REVOKE));
    daemon.write("roles/app", &daemon.team_role(""));
    let lingering = daemon.read("creds/app/token");
    // An open file and a working directory inside: the mount is busy.
    let mut holder = daemon.holder("cd $M/creds; exec 3< held/token; cat <&3; echo; read");
    let held = holder.line();
    assert!(daemon.fake.is_live(&held) && daemon.fake.is_live(&lingering));
    let (status, took) = daemon.stop(signal);
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(!daemon.is_mounted());
    assert!(!daemon.fake.is_live(&held), "held, on_close = revoke");
    assert!(daemon.fake.is_live(&lingering), "it may live on: the next start knows it");
}

#[test]
fn ctrl_c_unmounts_and_revokes_what_was_held() {
    stops_cleanly(Signal::INT);
}

#[test]
fn sigterm_unmounts_and_revokes_what_was_held() {
    stops_cleanly(Signal::TERM);
}

#[test]
fn an_ephemeral_daemon_leaves_no_token() {
    let site = Site::new();
    let mut daemon = site.mount_ephemeral();
    daemon.write("config", &site.anchor());
    daemon.write("roles/app", &site.team_role(""));
    daemon.write("roles/org", "organization = \"acme\"");
    let (token, slot) = (daemon.read("creds/app/token"), daemon.read("creds/org/token"));
    let (status, took) = daemon.stop(Signal::TERM);
    assert_eq!(status.code(), Some(0), "{}", site.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(!site.fake.is_live(&token) && !site.fake.is_live(&slot));
    assert!(site.made().is_empty());
}

/// The state of a container may go with it, so that no next start would revoke what is left.
#[test]
fn a_stop_that_is_to_revoke_everything_leaves_no_token() {
    let site = Site::new();
    site.settings("revoke_on_stop = true\n");
    let mut daemon = site.supervise();
    daemon.write("config", &site.anchor());
    daemon.write("roles/app", &daemon.team_role(""));
    daemon.write("roles/org", "organization = \"acme\"");
    let (lingering, slot) = (daemon.read("creds/app/token"), daemon.read("creds/org/token"));
    daemon.kill_server();
    assert_eq!(daemon.read("creds/app/token"), lingering, "a crash revokes nothing");
    let (status, took) = daemon.stop(Signal::TERM);
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(!daemon.fake.is_live(&lingering) && !daemon.fake.is_live(&slot));
    assert!(daemon.made().is_empty());
}

#[test]
fn a_second_signal_leaves_at_once() {
    let mut daemon = Daemon::ready();
    daemon.write("roles/held", &daemon.team_role(REVOKE));
    let mut holder = daemon.holder("exec 3< $M/creds/held/token; echo ok; read");
    holder.line();
    daemon.fake.set_base_latency(Duration::from_secs(30));
    daemon.signal(Signal::INT);
    eventually("the first signal unmounts", || !daemon.is_mounted());
    // Sooner than that it would count as the same signal.
    std::thread::sleep(Duration::from_millis(300));
    let (status, took) = daemon.stop(Signal::INT);
    assert_eq!(status.code(), Some(130), "{}", daemon.log());
    assert!(took < Duration::from_secs(1), "{took:?}");
    daemon.fake.set_base_latency(Duration::ZERO);
    // The ledger still knows it.
    let site = daemon.clone();
    drop(daemon);
    let _again = site.mount();
    eventually("the next start revokes it", || site.made().is_empty());
}

#[test]
fn a_hanging_upstream_does_not_hold_up_a_stop() {
    let mut daemon = Daemon::ready();
    daemon.write("roles/held", &daemon.team_role(REVOKE));
    let mut holder = daemon.holder("exec 3< $M/creds/held/token; echo ok; read");
    holder.line();
    daemon.fake.set_base_latency(Duration::from_secs(30));
    let (status, took) = daemon.stop(Signal::TERM);
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_stop_frees_who_waits_in_an_open() {
    let mut daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(""));
    daemon.fake.set_fault(Route::CreateTeamToken, 1, Fault::delay(Duration::from_secs(60)));
    let mut reader = daemon.holder("echo; cat $M/creds/app/token 2>&1; echo; read");
    reader.line();
    eventually("it waits", || {
        daemon.fake.requests().iter().any(|request| request.route == Some(Route::CreateTeamToken))
    });
    let (status, took) = daemon.stop(Signal::TERM);
    assert!(status.success() && took < Duration::from_secs(5), "{took:?} {}", daemon.log());
    let said = reader.line();
    assert!(said.contains("cat: "), "{said}");
}

#[test]
fn after_kill_9_the_next_start_goes_on() {
    let mut daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(""));
    let token = daemon.read("creds/app/token");
    let (config, role) = (daemon.read("config"), daemon.read("roles/app"));
    daemon.signal(Signal::KILL);
    daemon.wait();
    let site = daemon.clone();
    assert!(site.is_mounted(), "the dead mount is still there");
    let mut again = site.mount();
    assert_eq!((again.read("config"), again.read("roles/app")), (config, role));
    assert!(again.lease("app").contains("state = \"lingering\""), "{}", again.lease("app"));
    assert_eq!(again.read("creds/app/token"), token);
    assert_eq!(again.stop(Signal::TERM).0.code(), Some(0));
    assert!(!site.is_mounted(), "nothing is left below either");
}

#[test]
fn what_is_in_the_way_is_named() {
    let daemon = Daemon::ready();
    let file = daemon.beside("file");
    fs::write(&file, "").unwrap();
    for (place, words) in [
        (daemon.beside("missing"), "does not exist"),
        (file, "is not a directory"),
        (daemon.at(""), "a live tfcfs is mounted"),
    ] {
        let (code, error) = refused(&daemon, &place, "other-state");
        assert!(code == 4 && error.contains(words) && error.contains("hint: "), "{code}: {error}");
    }
    assert!(daemon.read("status").contains("version"), "the live one goes on");
}

#[test]
fn a_mount_that_does_not_answer_is_named_and_a_way_out() {
    let daemon = Daemon::ready();
    daemon.signal(Signal::STOP);
    let (code, error) = refused(&daemon, &daemon.at(""), "other-state");
    daemon.signal(Signal::CONT);
    assert!(code == 4 && error.contains("does not answer") && error.contains("umount -f -l"), "{code}: {error}");
    assert!(daemon.read("status").contains("version"), "it goes on");
}

/// A thread of the killed daemon waited for a directory whose holder waited for the daemon: neither ever ended, and
/// nobody could serve or mount there again. (Found by tests/soak.rs.)
#[test]
fn kill_9_amid_changes_frees_everybody() {
    let site = Site::new();
    for _ in 0..10 {
        let mut daemon = Daemon::ready_on(site.clone());
        daemon.write("roles/app", &daemon.team_role("min_rotation_interval = \"1s\""));
        let stop = std::sync::atomic::AtomicBool::new(false);
        let busy = || !stop.load(std::sync::atomic::Ordering::Acquire);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                // Listing and looking up hold the directory that a changed name has to be dropped from.
                scope.spawn(|| {
                    while busy() {
                        let _ = fs::read_dir(daemon.at("creds/app")).map(|dir| dir.count());
                        let _ = fs::metadata(daemon.at("creds/app/nothing"));
                        let _ = fs::read(daemon.at("creds/app/token"));
                    }
                });
            }
            scope.spawn(|| {
                while busy() {
                    let _ = fs::read_dir(daemon.at("leases/app"))
                        .map(|leases| leases.flatten().for_each(|lease| _ = fs::remove_file(lease.path())));
                }
            });
            std::thread::sleep(Duration::from_millis(150));
            daemon.signal(Signal::KILL);
            std::thread::sleep(Duration::from_millis(50));
            stop.store(true, std::sync::atomic::Ordering::Release);
        });
        daemon.wait();
    }
}

#[test]
fn one_state_has_one_daemon() {
    let daemon = Daemon::ready();
    fs::create_dir(daemon.beside("mnt2")).unwrap();
    let (code, error) = refused(&daemon, &daemon.beside("mnt2"), "state");
    assert_eq!(code, 8, "{error}");
    assert!(error.contains("another tfcfs uses this state directory") && error.contains("--state"), "{error}");
}

#[test]
fn an_unmount_from_outside_ends_the_daemon() {
    let mut daemon = Daemon::ready();
    daemon.sh("umount $M");
    assert_eq!(daemon.wait().code(), Some(0), "{}", daemon.log());
}

#[test]
fn tfcfs_umount_ends_the_daemon_also_when_busy() {
    let mut daemon = Daemon::ready();
    let mut holder = daemon.holder("cd $M; echo ok; read");
    holder.line();
    daemon.sh(&format!("{} umount $M", env!("CARGO_BIN_EXE_tfcfs")));
    holder.go();
    drop(holder);
    assert_eq!(daemon.wait().code(), Some(0), "{}", daemon.log());
}

#[test]
fn daemon_returns_when_the_mount_answers() {
    let site = Site::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tfcfs"));
    // Relative paths mean the directory where it was started.
    fs::write(site.beside("settings.toml"), "").unwrap();
    command.args(["mount", "mnt", "--config", "settings.toml", "--state", "state", "--daemon"]);
    // Whoever waits for the end of its output, as `$(…)` and ssh do, goes on as well.
    let output = command.current_dir(site.dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let served = fs::read_to_string(site.at("status"));
    let reloaded = site.beside("settings.toml");
    fs::write(&reloaded, "[roles.late]\norganization = \"acme\"\n").unwrap();
    // Found by its state, which it keeps open.
    let state = site.beside("state");
    let of_this_place = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|file| file.starts_with(&state))
    };
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let pid: Vec<u32> = pids.filter(of_this_place).collect();
    // In a session of its own, so that no terminal takes it along, and in no directory's way.
    let session: Vec<_> = pid.iter().map(|pid| rustix::process::getsid(Pid::from_raw(*pid as i32)).unwrap()).collect();
    let directory: Vec<_> = pid.iter().map(|pid| fs::read_link(format!("/proc/{pid}/cwd")).unwrap()).collect();
    for pid in &pid {
        kill_process(Pid::from_raw(*pid as i32).unwrap(), Signal::HUP).unwrap();
    }
    eventually("it reads its settings again", || site.at("roles/late").exists());
    for pid in &pid {
        kill_process(Pid::from_raw(*pid as i32).unwrap(), Signal::TERM).unwrap();
    }
    eventually("it stops", || !site.is_mounted());
    assert!(served.unwrap().contains("version"));
    assert_eq!(pid.len(), 1);
    assert_eq!(session[0].as_raw_nonzero().get() as u32, pid[0]);
    assert_eq!(directory[0], Path::new("/"));
}

#[test]
fn daemon_passes_on_why_it_cannot_start() {
    let site = Site::new();
    fs::remove_dir(site.at("")).unwrap();
    let status = site.command(&["--ephemeral", "--daemon"]).status().unwrap();
    assert_eq!(status.code(), Some(4), "{}", site.log());
    assert!(site.log().contains("does not exist"), "{}", site.log());
}

#[test]
fn an_upstream_that_is_down_does_not_stop_a_start() {
    let site = Site::new();
    site.settings(&(site.file_anchor() + "[roles.app]\norganization = \"acme\"\n"));
    site.fake.go_offline();
    let daemon = site.mount();
    eventually("status says so", || daemon.read("status").contains("reachable = false"));
    assert!(daemon.sh_fails("cat $M/creds/app/token").contains("Connection refused"));
    site.fake.go_online();
    assert!(site.fake.is_live(&daemon.read("creds/app/token")));
    assert!(daemon.read("status").contains("reachable = true"), "{}", daemon.read("status"));
}

#[test]
fn a_lost_answer_is_cleaned_up_by_the_next_start() {
    let mut daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(""));
    let lost = Fault::Delay { ms: 20_000, when: crate::fake::When::After };
    daemon.fake.set_fault(Route::CreateTeamToken, 1, lost);
    let mut reader = daemon.holder("echo ok; cat $M/creds/app/token 2>&1");
    reader.line();
    eventually("upstream made it", || daemon.made().len() == 1);
    daemon.signal(Signal::KILL);
    daemon.wait();
    let site = daemon.clone();
    drop(daemon);
    let again = site.mount();
    eventually("the token that nobody knows is gone", || site.made().is_empty());
    assert!(site.fake.is_live(&again.read("creds/app/token")));
}
