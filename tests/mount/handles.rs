//! A lease lives with the last copy of an open file, and a handle keeps its one token.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::process::Signal;

use super::support::{Bound, Daemon, Holder, Site, errno_of, eventually, signal_of};

/// Role "app" that revokes at the last close and may rotate at once.
fn daemon() -> Daemon {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role("on_close = \"revoke\"\nmin_rotation_interval = \"1s\""));
    daemon
}

fn is_held(daemon: &Daemon, handles: u32) -> bool {
    let lease = daemon.lease("app");
    lease.contains("state = \"held\"") && lease.contains(&format!("handles = {handles}\n"))
}

/// The holder says its token and then "closed" when it has done its part; the token must live until it says "gone".
fn lives_until_gone(daemon: &Daemon, mut holder: Holder) {
    let token = holder.line();
    assert!(daemon.fake.is_live(&token) && is_held(daemon, 1), "{}", daemon.lease("app"));
    holder.go();
    assert_eq!(holder.line(), "closed");
    assert!(is_held(daemon, 1), "{}", daemon.lease("app"));
    std::thread::sleep(Duration::from_millis(100));
    assert!(daemon.fake.is_live(&token));
    holder.go();
    assert_eq!(holder.line(), "gone");
    eventually("the last copy went", || !daemon.fake.is_live(&token));
    assert!(daemon.lease("app").is_empty());
}

const START: &str = "f = os.open(t, os.O_RDONLY)\n\
                     print(os.pread(f, 999, 0).decode(), flush=True); sys.stdin.readline()\n";

fn python_keeps(close: &str, let_go: &str) {
    let daemon = daemon();
    let then = "\nprint('closed', flush=True); sys.stdin.readline()\n";
    let script = format!("{START}{close}{then}{let_go}\nprint('gone', flush=True); sys.stdin.readline()");
    let holder = daemon.python_holder(&script);
    lives_until_gone(&daemon, holder);
}

#[test]
fn a_dup_holds_it() {
    python_keeps("g = os.dup(f); os.close(f)", "os.close(g)");
}

#[test]
fn a_mapping_holds_it() {
    let close = "import mmap; g = mmap.mmap(f, 0, prot=mmap.PROT_READ); os.close(f); assert len(g[:]) == 90";
    python_keeps(close, "assert len(g[:]) == 90; g.close()");
}

#[test]
fn a_message_under_way_holds_it() {
    let close = "import socket; a, b = socket.socketpair(); socket.send_fds(a, [b'x'], [f]); os.close(f)";
    python_keeps(close, "b.close()");
}

#[test]
fn a_child_holds_it() {
    let close = "import signal; p = os.fork()\nif p == 0: signal.pause()\nos.close(f)";
    python_keeps(close, "os.kill(p, 9); os.waitpid(p, 0)");
}

#[test]
fn a_program_that_inherits_it_holds_it() {
    let close = "import subprocess; p = subprocess.Popen(['sleep', '60'], pass_fds=[f]); os.close(f)";
    python_keeps(close, "p.kill(); p.wait()");
}

#[test]
fn a_stopped_program_holds_it_and_kill_9_lets_go() {
    let daemon = daemon();
    let mut holder = daemon.holder("exec 3< $M/creds/app/token; cat $M/creds/app/token; echo; read");
    let token = holder.line();
    eventually("one handle", || is_held(&daemon, 1));
    holder.signal(Signal::STOP);
    std::thread::sleep(Duration::from_millis(100));
    assert!(daemon.fake.is_live(&token) && is_held(&daemon, 1));
    holder.signal(Signal::KILL);
    eventually("it goes with its holder", || !daemon.fake.is_live(&token));
    assert_eq!(signal_of(holder.wait()), Some(9));
}

#[test]
fn handles_are_counted() {
    let daemon = daemon();
    let files: Vec<File> = (0..5).map(|_| File::open(daemon.at("creds/app/token")).unwrap()).collect();
    assert!(is_held(&daemon, 5), "{}", daemon.lease("app"));
    drop(files);
    eventually("all closed", || daemon.lease("app").is_empty());
}

fn token_of(file: &File) -> std::io::Result<String> {
    let mut bytes = [0; 256];
    let count = file.read_at(&mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes[..count]).into_owned())
}

#[test]
fn a_handle_keeps_its_token_over_a_rotation() {
    let daemon = daemon();
    let file = File::open(daemon.at("creds/app/token")).unwrap();
    let unread = File::open(daemon.at("creds/app/token")).unwrap();
    let old = token_of(&file).unwrap();
    daemon.fake.set_token_length(120);
    daemon.rotate("app");
    let new = daemon.read("creds/app/token");
    assert!(new != old && new.len() == 120);
    assert_eq!((token_of(&file).unwrap(), token_of(&unread).unwrap()), (old.clone(), old.clone()));
    assert!(daemon.fake.is_live(&old), "superseded, still held");
    drop((file, unread));
    eventually("the last holder went", || !daemon.fake.is_live(&old));
}

#[test]
fn a_removed_lease_is_revoked_under_its_handles() {
    let daemon = daemon();
    let mut file = File::open(daemon.at("creds/app/token")).unwrap();
    let token = token_of(&file).unwrap();
    daemon.sh("rm $M/leases/app/*");
    assert!(!daemon.fake.is_live(&token));
    assert_eq!(errno_of(file.read(&mut [0; 9])), libc::EKEYREVOKED);
    eventually("cached pages go too", || token_of(&file).is_err());
    assert_eq!(errno_of(token_of(&file)), libc::EKEYREVOKED);
    assert!(daemon.lease("app").is_empty());
    assert!(daemon.fake.is_live(&daemon.read("creds/app/token")), "the next open gets another");
}

#[test]
fn a_token_ends_under_its_handle() {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role("share = \"open\"\nttl = \"1s\"\nmax_ttl = \"2s\""));
    let file = File::open(daemon.at("creds/app/token")).unwrap();
    let token = token_of(&file).unwrap();
    eventually("its end", || token_of(&file).is_err());
    assert_eq!(errno_of(token_of(&file)), libc::EKEYEXPIRED);
    eventually("it is revoked upstream, too", || !daemon.fake.is_live(&token));
}

#[test]
fn a_slot_rotation_ends_the_former_token_a_moment_later() {
    let daemon = Daemon::ready();
    daemon.write("roles/org", "organization = \"acme\"\nmin_rotation_interval = \"1s\"");
    let file = File::open(daemon.at("creds/org/token")).unwrap();
    let old = token_of(&file).unwrap();
    daemon.rotate("org");
    assert_eq!(token_of(&file).unwrap(), old, "a program between open and read is not hit");
    assert!(daemon.fake.is_live(&daemon.read("creds/org/token")));
    eventually("then it is", || token_of(&file).is_err());
    assert_eq!(errno_of(token_of(&file)), libc::EKEYREVOKED);
}

#[test]
fn poll_wakes_at_a_rotation() {
    let daemon = daemon();
    let script = "import select\nf = os.open(t, os.O_RDONLY); os.read(f, 999)\n\
                  p = select.poll(); p.register(f, select.POLLPRI)\n\
                  assert p.poll(50) == []\n\
                  print('waiting', flush=True)\n\
                  print('woken' if any(e & select.POLLPRI for _, e in p.poll(10000)) else 'not')";
    let mut holder = daemon.python_holder(script);
    assert_eq!(holder.line(), "waiting");
    daemon.rotate("app");
    assert_eq!(holder.line(), "woken");
}

#[test]
fn poll_wakes_when_events_grow() {
    let daemon = daemon();
    let script = "import select\nf = os.open(m + '/events', os.O_RDONLY)\n\
                  while os.read(f, 9999): pass\n\
                  p = select.poll(); p.register(f, select.POLLPRI)\n\
                  print('waiting', flush=True)\n\
                  print(len(p.poll(10000)), os.read(f, 9999).decode().split('\\n')[0], flush=True)";
    let mut holder = daemon.python_holder(script);
    assert_eq!(holder.line(), "waiting");
    daemon.read("creds/app/token");
    let line = holder.line();
    assert!(line.starts_with("1 {") && line.contains("\"issued\""), "{line}");
}

/// Watches with inotifywait, rotates, and returns what it saw.
fn watched(what: &str) -> String {
    watched_on(&Daemon::ready(), what)
}

fn watched_on(daemon: &Daemon, what: &str) -> String {
    daemon.write("roles/app", &daemon.team_role("uid = 65534"));
    let token = daemon.read("creds/app/token");
    let mut holder = daemon
        .holder(&format!("exec 2>&1; exec inotifywait -t 10 -e close_write --format '%e %w%f' $M/creds/app{what}"));
    while !holder.line().contains("established") {}
    daemon.rotate("app");
    let seen = holder.line();
    assert_ne!(daemon.read("creds/app/token"), token);
    seen
}

#[test]
fn watchers_of_the_file_see_a_rotation() {
    let seen = watched("/token");
    assert!(seen.starts_with("CLOSE_WRITE") && seen.ends_with("creds/app/token"), "{seen}");
}

#[test]
fn watchers_of_the_directory_see_a_rotation() {
    let seen = watched("");
    assert!(seen.starts_with("CLOSE_WRITE") && seen.ends_with("creds/app/token"), "{seen}");
}

/// A daemon may be nobody: it announces changes of files that it has no right to write.
#[test]
fn watchers_see_a_rotation_of_a_daemon_without_rights() {
    for what in ["", "/token"] {
        let site = Site::new();
        let full = site.command(&["--ephemeral"]);
        let mut command = std::process::Command::new("setpriv");
        command.args(["--bounding-set=-dac_override,-dac_read_search,-fowner", "--inh-caps=-all"]);
        command.arg(full.get_program()).args(full.get_args());
        let daemon = site.start_command(&mut command);
        daemon.write("config", &site.anchor());
        let seen = watched_on(&daemon, what);
        assert!(seen.starts_with("CLOSE_WRITE") && seen.ends_with("creds/app/token"), "{seen}");
        let mode = daemon.sh("stat -c %a $M/creds/app/token");
        assert_eq!(mode.trim(), "400", "nobody else sees that it may be written");
        assert!(
            daemon
                .sh_fails("setpriv --reuid=65534 --clear-groups sh -c 'echo > $M/creds/app/token'")
                .contains("ermission denied")
        );
    }
}

#[test]
fn tail_follows_a_rotation_by_name() {
    let daemon = daemon();
    let first = daemon.read("creds/app/token");
    let mut holder = daemon.holder("exec tail ---disable-inotify -s 0.1 -n +1 -F $M/creds/app/token 2>/dev/null");
    // Without newlines between them, the bytes of both come on one line once it ends.
    std::thread::sleep(Duration::from_millis(300));
    daemon.rotate("app");
    eventually("tail has opened the new one", || daemon.lease_count("app") > 1 || is_held(&daemon, 1));
    std::thread::sleep(Duration::from_millis(600));
    holder.signal(Signal::TERM);
    let printed = holder.line();
    assert!(printed.len() > first.len(), "{printed}");
}

/// Ends the loops of readers, also when a rotation fails: else the test would wait for them for ever.
struct Stop(std::path::PathBuf);

impl Drop for Stop {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.0, "");
    }
}

/// Reads a role in several ways while it rotates; every read must give a token that was made for it.
fn readers_beside_rotations(role: &str, document: &str) {
    let daemon = Daemon::ready();
    daemon.write(&format!("roles/{role}"), &format!("{document}\nmin_rotation_interval = \"1s\"\n"));
    std::fs::write(daemon.beside("file"), "").unwrap();
    let _bound = Bound::new(&daemon.at(&format!("creds/{role}/token")), &daemon.beside("file"));
    // `cp` notices an exchange between its stat and its open, as it does with every file that is replaced.
    let loops = [
        format!("while [ ! -e stop ]; do cat $M/creds/{role}/token || exit 1; echo \" cat\"; done"),
        format!(
            "while [ ! -e stop ]; do cp $M/creds/{role}/token copy 2> said || grep -q 'replaced while' said || exit 1; cat copy; echo \" cp\"; done"
        ),
        format!("while [ ! -e stop ]; do read x < $M/creds/{role}/token; echo $x read; done"),
        "while [ ! -e stop ]; do cat file || exit 1; echo \" bound\"; done".to_owned(),
    ];
    let text = std::thread::scope(|scope| {
        let readers: Vec<_> = loops.iter().map(|script| scope.spawn(|| daemon.sh(script))).collect();
        let stop = Stop(daemon.beside("stop"));
        for length in [120, 60, 90] {
            daemon.fake.set_token_length(length);
            daemon.rotate(role);
            std::thread::sleep(Duration::from_millis(1200));
        }
        drop(stop);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<String>()
    });
    let mut count = 0;
    for line in text.lines() {
        let (token, way) = line.split_once(' ').unwrap_or((line, ""));
        assert!(daemon.fake.token_of_secret(token).is_some(), "{way}: {token:?}");
        count += 1;
    }
    assert!(count > 100, "{count}");
    assert!(!daemon.read("errors").contains("creds/"), "{}", daemon.read("errors"));
}

#[test]
fn readers_are_not_disturbed_by_rotations() {
    let document = "organization = \"acme\"\nteam = \"deploy\"\ncredential_type = \"team\"";
    readers_beside_rotations("app", document);
}

#[test]
fn readers_are_not_disturbed_by_rotations_of_a_slot() {
    readers_beside_rotations("org", "organization = \"acme\"");
}

#[test]
fn a_removed_role_ends_its_handles_after_its_grace() {
    let site = Site::new();
    site.settings("delete_grace = \"1s\"\n");
    let daemon = Daemon::ready_on(site);
    daemon.write("roles/app", &daemon.team_role(""));
    let file = File::open(daemon.at("creds/app/token")).unwrap();
    let token = token_of(&file).unwrap();
    daemon.sh("rm $M/roles/app");
    assert_eq!(errno_of(File::open(daemon.at("creds/app/token"))), libc::ENOENT);
    assert_eq!(token_of(&file).unwrap(), token, "within the grace");
    eventually("after it", || !daemon.fake.is_live(&token));
    eventually("the handle knows", || token_of(&file).is_err());
    assert_eq!(errno_of(token_of(&file)), libc::EKEYREVOKED);
}

#[test]
fn a_renamed_role_keeps_its_lease() {
    let daemon = daemon();
    let file = File::open(daemon.at("creds/app/token")).unwrap();
    let token = token_of(&file).unwrap();
    daemon.sh("mv $M/roles/app $M/roles/new");
    assert_eq!(daemon.read("creds/new/token"), token);
    assert_eq!(token_of(&file).unwrap(), token);
    assert!(!daemon.at("creds/app").exists());
}

#[test]
fn leases_are_limited() {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role("share = \"open\"\nmax_leases = 2"));
    let _held: Vec<File> = (0..2).map(|_| File::open(daemon.at("creds/app/token")).unwrap()).collect();
    assert_eq!(errno_of(File::open(daemon.at("creds/app/token"))), libc::EDQUOT);
    daemon.sh("rm $M/leases/app/*");
    File::open(daemon.at("creds/app/token")).unwrap();
}
