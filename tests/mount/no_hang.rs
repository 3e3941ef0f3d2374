//! An upstream that hangs costs nobody more than the deadline, and only those who need it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use super::support::{Daemon, Site, errno_of, eventually};
use crate::fake::{ACME, Fault, Kind, Owner, Route};

/// A daemon whose opens end after two seconds, and an upstream that hangs on the creation of a team's tokens.
fn hanging() -> Daemon {
    let site = Site::new();
    site.settings("open_deadline = \"2s\"\nrotate_deadline = \"2s\"\n");
    let daemon = Daemon::ready_on(site);
    daemon.write("roles/org", "organization = \"acme\"");
    daemon.write("roles/app", &daemon.team_role(""));
    daemon
}

fn hang(daemon: &Daemon) {
    daemon.fake.set_fault(Route::Any, crate::fake::Calls::Always, Fault::delay(Duration::from_secs(60)));
}

fn took(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

#[test]
fn an_open_ends_at_its_deadline() {
    let daemon = hanging();
    hang(&daemon);
    for role in ["app", "org"] {
        let took = took(|| assert_eq!(errno_of(fs::read(daemon.at(&format!("creds/{role}/token")))), libc::ETIMEDOUT));
        assert!(took > Duration::from_millis(1500) && took < Duration::from_millis(3500), "{role}: {took:?}");
    }
    assert!(daemon.read("errors").contains("ETIMEDOUT creds/app/token"), "{}", daemon.read("errors"));
    // It works again as soon as upstream does.
    daemon.fake.clear_faults();
    eventually("the next open", || {
        fs::read_to_string(daemon.at("creds/app/token")).is_ok_and(|t| daemon.fake.is_live(&t))
    });
}

#[test]
fn meanwhile_everything_else_answers() {
    let daemon = hanging();
    let held = File::open(daemon.at("creds/org/token")).unwrap();
    let token = daemon.read("creds/org/token");
    hang(&daemon);
    let mut readers: Vec<_> = (0..16).map(|_| daemon.holder("echo; cat $M/creds/app/token 2>&1; echo; read")).collect();
    readers.iter_mut().for_each(|reader| assert_eq!(reader.line(), ""));
    let took = took(|| {
        daemon.sh("ls -lR $M; cat $M/status $M/errors $M/metrics $M/README $M/roles/app $M/leases/*/*; df $M");
        let mut bytes = [0; 256];
        let count = held.read_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes[..count], *token.as_bytes());
        assert_eq!(daemon.read("creds/org/token"), token);
        daemon.write("roles/more", &daemon.team_role(""));
        assert_eq!(daemon.names("creds").len(), 3);
    });
    assert!(took < Duration::from_secs(1), "{took:?}");
    for mut reader in readers {
        assert!(reader.line().contains("timed out"));
    }
}

#[test]
fn a_rotation_and_a_revocation_end_at_their_deadlines() {
    let daemon = hanging();
    let token = daemon.read("creds/app/token");
    hang(&daemon);
    let rotation = took(|| assert_eq!(errno_of(fs::write(daemon.at("rotate/app"), "\n")), libc::ETIMEDOUT));
    assert!(rotation < Duration::from_secs(4), "{rotation:?}");
    assert_eq!(daemon.read("creds/app/token"), token, "the old one stays");
    let removal = took(|| drop(daemon.try_sh("rm $M/leases/app/*")));
    assert!(removal < Duration::from_secs(4), "{removal:?}");
    let config = took(|| drop(fs::write(daemon.at("config"), daemon.anchor())));
    assert!(config < Duration::from_secs(4), "{config:?}");
    let status = daemon.read("status");
    assert!(!status.contains("pending = 0"), "{status}");
    daemon.fake.clear_faults();
    eventually("revoked when upstream is back", || !daemon.fake.is_live(&token));
}

#[test]
fn a_late_token_is_kept_for_the_next_open() {
    let daemon = hanging();
    daemon.fake.set_fault(Route::CreateTeamToken, 1, Fault::delay(Duration::from_millis(2500)));
    assert_eq!(errno_of(fs::read(daemon.at("creds/app/token"))), libc::ETIMEDOUT);
    eventually("the late one", || daemon.made().len() == 1);
    let token = daemon.read("creds/app/token");
    assert!(daemon.fake.is_live(&token));
    let team = Owner::Team(daemon.fake.team_id(ACME, "deploy"));
    assert_eq!(daemon.fake.creates(&team, Kind::Team), 1);
}

#[test]
fn sixty_four_programs_make_one_call() {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(""));
    daemon.write("roles/org", "organization = \"acme\"");
    daemon.fake.set_base_latency(Duration::from_millis(300));
    for (role, owner, kind) in [
        ("app", Owner::Team(daemon.fake.team_id(ACME, "deploy")), Kind::Team),
        ("org", Owner::Organization(ACME.into()), Kind::Organization),
    ] {
        let tokens = daemon.sh(&format!("for i in {{1..64}}; do (cat $M/creds/{role}/token; echo) & done; wait"));
        // Two writes of one line each: only their multiset is certain.
        let tokens: BTreeSet<String> = split(&tokens, daemon.read(&format!("creds/{role}/token")).len());
        assert_eq!(tokens.len(), 1, "{tokens:?}");
        assert_eq!(daemon.fake.creates(&owner, kind), 1);
    }
}

/// Tokens of a known length in a text, whatever stands between them.
fn split(text: &str, length: usize) -> BTreeSet<String> {
    let joined: String = text.split_whitespace().collect();
    assert_eq!(joined.len(), 64 * length);
    joined.as_bytes().chunks(length).map(|token| String::from_utf8_lossy(token).into_owned()).collect()
}

#[test]
fn sixty_four_programs_of_an_unshared_role_get_sixty_four() {
    let site = Site::with(crate::fake::FakeOptions { rate: 0, ..Default::default() });
    site.settings("rate = 1000\n");
    let daemon = Daemon::ready_on(site);
    daemon.write("roles/app", &daemon.team_role("share = \"open\""));
    let tokens = daemon.sh("for i in {1..64}; do cat $M/creds/app/token & done; wait");
    let tokens = split(&tokens, 90);
    assert_eq!(tokens.len(), 64);
    assert!(tokens.iter().all(|token| daemon.fake.is_live(token)));
}

/// A program that forks while it writes: the child's `execve` closes the inherited file under a lock that `/proc/PID/stat`
/// needs. Asking there before the close was answered hung the mount, and `ps`, for good.
#[test]
fn a_child_that_execs_while_a_document_is_written_hangs_nobody() {
    use std::io::Write;
    let daemon = Daemon::ready();
    let mut document = File::create(daemon.at("roles/app")).unwrap();
    document.write_all(daemon.team_role("").as_bytes()).unwrap();
    // The file is close-on-exec, as every language opens files.
    let took = took(|| assert!(std::process::Command::new("true").status().unwrap().success()));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(errno_of(fs::read(daemon.at("creds/app/token"))), libc::ENOENT, "a child's close commits nothing");
    drop(document);
    assert!(daemon.fake.is_live(&daemon.read("creds/app/token")));
}
