//! A mount that outlives whoever serves it: `tfcfs supervise`.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process, test_kill_process};

use super::support::{Bound, Daemon, Site, errno_of, eventually};
use crate::fake::{Calls, Fault, Route};
use crate::load::Load;

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

fn loaded() -> Daemon {
    let daemon = with_role("ttl = \"10m\"");
    daemon.write("roles/each", &daemon.team_role("share = \"open\"\nttl = \"1s\"\nmax_leases = 100000"));
    daemon
}

fn load(daemon: &Daemon) -> Load {
    let site: Arc<Site> = Arc::clone(daemon);
    Load::start(&daemon.at(""), move |token| site.fake.token_of_secret(token).is_some())
}

#[test]
fn no_reader_sees_a_kill() {
    let daemon = loaded();
    let load = load(&daemon);
    for _ in 0..10 {
        daemon.kill_server();
        std::thread::sleep(Duration::from_millis(700));
    }
    println!("10 kills: nobody waited longer than {:?}", load.end(|| daemon.log()));
}

/// A thread of the killed server may stand in the kernel, which waits for a reader, who waits for an answer.
#[test]
fn a_kill_amid_changes_frees_everybody() {
    let daemon = with_role("ttl = \"1m\"\nmin_rotation_interval = \"1s\"\nmax_leases = 1000");
    let over = AtomicBool::new(false);
    let busy = || !over.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            // Listing and looking up hold the directory that a changed name has to be dropped from.
            scope.spawn(|| {
                while busy() {
                    let _ = fs::read_dir(daemon.at("creds/app")).map(|dir| dir.count());
                    let _ = fs::metadata(daemon.at("creds/app/nothing"));
                    if let Err(error) = fs::read(daemon.at("creds/app/token")) {
                        // Its lease was removed before it was read.
                        assert_eq!(error.raw_os_error(), Some(libc::EKEYREVOKED), "{error}");
                    }
                }
            });
        }
        scope.spawn(|| {
            while busy() {
                let _ = fs::read_dir(daemon.at("leases/app"))
                    .map(|leases| leases.flatten().for_each(|lease| _ = fs::remove_file(lease.path())));
            }
        });
        for _ in 0..12 {
            std::thread::sleep(Duration::from_millis(300));
            daemon.kill_server();
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_supervisor_killed_amid_changes_leaves_nobody_hanging() {
    let site = Site::new();
    for _ in 0..5 {
        let mut daemon = site.supervise();
        daemon.write("config", &site.anchor());
        daemon.write("roles/app", &daemon.team_role("min_rotation_interval = \"1s\""));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let _ = fs::read_dir(daemon.at("creds/app")).map(|dir| dir.count());
                        let _ = fs::read(daemon.at("creds/app/token"));
                        let _ = fs::read_dir(daemon.at("leases/app"))
                            .map(|leases| leases.flatten().for_each(|lease| _ = fs::remove_file(lease.path())));
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(150));
            let server = daemon.server().unwrap();
            daemon.signal(Signal::KILL);
            eventually("the server is gone", || test_kill_process(server).is_err());
            over.store(true, Ordering::Relaxed);
        });
        daemon.wait();
    }
}

#[test]
fn a_server_that_hangs_is_replaced() {
    let daemon = loaded();
    let former = daemon.server().unwrap();
    let load = load(&daemon);
    std::thread::sleep(Duration::from_millis(100));
    kill_process(former, Signal::STOP).unwrap();
    eventually("another server", || daemon.server().is_some_and(|server| server != former));
    std::thread::sleep(Duration::from_millis(300));
    let longest = load.end(|| daemon.log());
    println!("stopped: nobody waited longer than {longest:?}");
    assert!(longest < Duration::from_secs(9), "{longest:?}");
}

/// Upstream answers the creation that the first server asked for, and nobody hears it.
#[test]
fn whoever_waits_for_a_token_gets_it_from_the_next_server_and_the_lost_one_is_deleted() {
    let daemon = with_role("");
    daemon.fake.set_fault(
        Route::CreateTeamToken,
        Calls::First(1),
        Fault::Delay { ms: 800, when: crate::fake::When::After },
    );
    let mut reader = daemon.holder("echo; cat $M/creds/app/token; echo; read");
    assert_eq!(reader.line(), "");
    eventually("its token is made", || !daemon.made().is_empty());
    daemon.kill_server();
    let token = reader.line();
    assert!(daemon.fake.is_live(&token), "{token:?}\n{}", daemon.log());
    eventually("the lost token is deleted", || daemon.made().len() == 1);
    assert!(daemon.fake.is_live(&token));
}

#[test]
fn whoever_polls_a_held_file_is_woken_by_the_next_server() {
    let daemon = with_role("min_rotation_interval = \"1s\"");
    let mut poller = daemon.python_holder(
        "import select\nf = os.open(t, os.O_RDONLY)\nos.read(f, 999)\np = select.poll(); p.register(f, select.POLLPRI)\n\
         assert p.poll(0) == []\nprint('polls', flush=True)\nprint(len(p.poll(10000)), flush=True)\nsys.stdin.readline()",
    );
    assert_eq!(poller.line(), "polls");
    std::thread::sleep(Duration::from_millis(100));
    daemon.kill_server();
    daemon.rotate("app");
    assert_eq!(poller.line(), "1");
}

#[test]
fn whoever_follows_the_events_goes_on_with_those_of_the_next_server() {
    let daemon = with_role("");
    let mut tail = daemon.holder("exec tail -n 0 -f $M/events");
    std::thread::sleep(Duration::from_millis(1200));
    daemon.read("creds/app/token");
    assert!(tail.line().contains("\"event\":\"issued\""));
    daemon.kill_server();
    daemon.write("roles/other", &daemon.team_role(""));
    let mut lines = Vec::new();
    while !lines.last().is_some_and(|line: &String| line.contains("other")) {
        lines.push(tail.line());
        assert!(lines.len() < 20, "{lines:?}");
    }
}

#[test]
fn a_document_that_was_being_written_is_lost_and_its_writer_told() {
    let daemon = with_role("ttl = \"10m\"");
    let before = daemon.read("roles/app");
    let mut writer = daemon.python_holder(
        "f = os.open(m + '/roles/app', os.O_WRONLY | os.O_TRUNC)\nos.write(f, b'ttl = \"20m\"\\n')\nprint('half', flush=True)\n\
         sys.stdin.readline()\n\
         for act in (lambda: os.write(f, b'organization = \"acme\"\\n'), lambda: os.close(f)):\n\
         \x20   try: act(); print('went well', flush=True)\n\
         \x20   except OSError as e: print(e.errno, flush=True)\n\
         sys.stdin.readline()",
    );
    assert_eq!(writer.line(), "half");
    daemon.kill_server();
    writer.go();
    assert_eq!([writer.line(), writer.line()], [libc::EIO.to_string(), libc::EIO.to_string()]);
    assert_eq!(daemon.read("roles/app"), before);
    assert!(
        daemon.read("errors").contains("tfcfs was restarted while this was being written"),
        "{}",
        daemon.read("errors")
    );
}

#[test]
fn a_committed_document_may_be_closed_after_a_restart() {
    let daemon = with_role("");
    let file = File::options().write(true).truncate(true).open(daemon.at("roles/app")).unwrap();
    file.write_at(daemon.team_role("ttl = \"20m\"").as_bytes(), 0).unwrap();
    // Closing a copy commits.
    drop(file.try_clone().unwrap());
    assert!(daemon.read("roles/app").contains("20m"));
    daemon.kill_server();
    nix::unistd::close(file).unwrap();
    assert!(daemon.read("roles/app").contains("20m"));
}

#[test]
fn a_bound_file_is_read_on_over_kills_and_rotations() {
    let daemon = with_role("min_rotation_interval = \"1s\"");
    let target = daemon.beside("bound");
    File::create(&target).unwrap();
    let _bound = Bound::new(&daemon.at("creds/app/token"), &target);
    for _ in 0..2 {
        daemon.rotate("app");
        // For a second the former token may be given to whoever looked the path up just before.
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(fs::read_to_string(&target).unwrap(), daemon.read("creds/app/token"));
        daemon.kill_server();
        assert_eq!(fs::read_to_string(&target).unwrap(), daemon.read("creds/app/token"));
    }
}

/// What the kernel has cached of the former server's world is not believed for longer than that server.
#[test]
fn a_settings_file_that_changed_meanwhile_is_in_force() {
    let site = Site::new();
    let anchor = site.file_anchor();
    let role =
        format!("team_id = \"{}\"\ncredential_type = \"team\"\n", site.fake.team_id(crate::fake::ACME, "deploy"));
    site.settings(&format!("{anchor}[roles.app]\n{role}mode = \"0444\"\n[roles.gone]\n{role}"));
    let daemon = site.supervise();
    let token = daemon.read("creds/app/token");
    daemon.read("creds/gone/token");
    let mode =
        || std::os::unix::fs::PermissionsExt::mode(&fs::metadata(daemon.at("creds/app/token")).unwrap().permissions());
    assert_eq!(mode() & 0o777, 0o444);
    site.settings(&format!("{anchor}[roles.app]\n{role}mode = \"0400\"\n"));
    daemon.kill_server();
    eventually("the new mode", || mode() & 0o777 == 0o400);
    assert_eq!(daemon.read("creds/app/token"), token);
    eventually("the role is gone", || fs::metadata(daemon.at("creds/gone")).is_err());
}

#[test]
fn a_stop_unmounts_and_revokes_what_policy_says() {
    let mut daemon = with_role("on_close = \"revoke\"");
    daemon.write("roles/lingers", &daemon.team_role(""));
    let file = File::open(daemon.at("creds/app/token")).unwrap();
    let kept = daemon.read("creds/lingers/token");
    daemon.kill_server();
    let server = daemon.server().unwrap();
    let (status, took) = daemon.stop(Signal::TERM);
    assert!(status.success(), "{status}\n{}", daemon.log());
    println!("a stop with an open file took {took:?}");
    assert!(!daemon.is_mounted() && test_kill_process(server).is_err());
    assert_eq!(errno_of(file.read_at(&mut [0; 9], 0)), libc::ENOTCONN);
    let made = daemon.made();
    assert_eq!(made.len(), 1, "{made:?}");
    assert!(daemon.fake.is_live(&kept));
}

/// A signal that comes before the server listens would only kill it.
#[test]
fn a_stop_right_after_a_kill_ends_what_policy_says_as_well() {
    for _ in 0..5 {
        let mut daemon = with_role("on_close = \"revoke\"");
        let file = File::open(daemon.at("creds/app/token")).unwrap();
        kill_process(daemon.server().unwrap(), Signal::KILL).unwrap();
        let (status, _) = daemon.stop(Signal::TERM);
        assert!(status.success(), "{status}\n{}", daemon.log());
        assert!(daemon.made().is_empty(), "{}", daemon.log());
        drop(file);
    }
}

#[test]
fn an_unmount_by_somebody_else_ends_it() {
    for lazily in [false, true] {
        let mut daemon = with_role("");
        let file = lazily.then(|| File::open(daemon.at("creds/app/token")).unwrap());
        daemon.sh(if lazily { "umount -l $M" } else { "umount $M" });
        let status = daemon.wait();
        assert!(status.success(), "{status} {}", daemon.log());
        assert!(!daemon.is_mounted());
        drop(file);
    }
}

#[test]
fn a_first_start_that_fails_says_why_and_leaves_nothing_mounted() {
    let site = Site::new();
    fs::write(site.beside("key"), "not a key").unwrap();
    site.chmod("key", 0o600);
    site.settings("sealing_key_file = \"key\"\n");
    let mut child = site.supervisor().spawn().unwrap();
    let status = super::support::wait_for(&mut child, Duration::from_secs(10)).expect("it ends");
    let log = site.log();
    assert!(matches!(status.code(), Some(5 | 6 | 9)), "{status} {log}");
    assert!(log.contains("key") && !site.is_mounted(), "{log}");
}

#[test]
fn an_ephemeral_state_cannot_be_supervised() {
    let site = Site::new();
    let output = site.supervisor().arg("--ephemeral").stderr(std::process::Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!site.is_mounted());
}

#[test]
fn a_server_does_not_outlive_its_supervisor() {
    let mut daemon = with_role("");
    let token = daemon.read("creds/app/token");
    let server = daemon.server().unwrap();
    daemon.stop(Signal::KILL);
    eventually("the server is gone", || test_kill_process(server).is_err());
    assert_eq!(errno_of(fs::read(daemon.at("status"))), libc::ENOTCONN);
    // The next one takes the dead mount away.
    let next = daemon.supervise();
    assert_eq!(next.read("creds/app/token"), token);
}

#[test]
fn a_reload_reaches_the_server() {
    let site = Site::new();
    let daemon = site.supervise();
    daemon.write("config", &site.anchor());
    site.settings("[roles.late]\norganization = \"acme\"\n");
    daemon.signal(Signal::HUP);
    eventually("the role of the settings file", || daemon.at("roles/late").exists());
}

#[test]
fn a_server_is_started_by_a_supervisor_only() {
    let site = Site::new();
    let daemon = site.mount_ephemeral();
    assert!(daemon.sh_fails("$T serve $M").contains("started by tfcfs supervise"));
}

/// Twenty seconds without anybody who can serve, and the mount goes: an error is better than to wait for ever.
#[test]
fn nobody_waits_for_ever_for_a_server_that_cannot_start() {
    let mut daemon = with_role("");
    daemon.read("creds/app/token");
    let key = daemon.beside("state/sealing.key");
    fs::write(&key, "5".repeat(64)).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let killed = Instant::now();
    kill_process(daemon.server().unwrap(), Signal::KILL).unwrap();
    let errno = errno_of(fs::read(daemon.at("status")));
    println!("an error after {:?}", killed.elapsed());
    assert!([libc::ENOTCONN, libc::ECONNABORTED].contains(&errno), "{errno}");
    let status = super::support::wait_for(daemon.child_mut(), Duration::from_secs(10)).expect("it gives up");
    assert_eq!(status.code(), Some(75), "{}", daemon.log());
    assert!(killed.elapsed() < Duration::from_secs(30) && !daemon.is_mounted());
    assert!(daemon.log().contains("nobody could serve for 20 s"), "{}", daemon.log());
}
