//! Bind mounts: a directory needs nothing; a single file (`subPath`, `-v …/token:…`) pins a dentry for ever and still
//! shows the current token to every open.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::support::{Bound, Daemon, eventually};

/// Rotations come no closer than this.
const INTERVAL: Duration = Duration::from_millis(1050);

fn daemon(more: &str) -> Daemon {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(more));
    fs::write(daemon.beside("file"), "").unwrap();
    daemon
}

const FAST: &str = "min_rotation_interval = \"1s\"";

#[test]
fn a_file_shows_the_current_token_over_rotations() {
    let daemon = daemon(FAST);
    let bound = Bound::new(&daemon.at("creds/app/token"), &daemon.beside("file"));
    let mut seen = BTreeSet::new();
    for length in [90, 120, 60, 120] {
        let token = daemon.sh("cat file");
        assert_eq!(token, daemon.read("creds/app/token"));
        assert_eq!(daemon.sh("cat file; cat file"), format!("{token}{token}"));
        assert_eq!(daemon.sh("cp file copy; cat copy; stat -c %s file"), format!("{token}{}\n", token.len()));
        assert_eq!(
            daemon.sh("python3 -c 'import mmap; f = open(\"file\"); \
            print(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[:].decode(), end=\"\")'"),
            token
        );
        assert!(daemon.fake.is_live(&token) && seen.insert(token), "{length}");
        daemon.fake.set_token_length(length);
        daemon.rotate("app");
        std::thread::sleep(INTERVAL);
    }
    drop(bound);
}

#[test]
fn a_file_shows_the_next_token_after_a_revocation() {
    let daemon = daemon("");
    let _bound = Bound::new(&daemon.at("creds/app/token"), &daemon.beside("file"));
    let first = daemon.sh("cat file");
    daemon.fake.set_token_length(120);
    daemon.sh("rm $M/leases/app/*");
    let second = daemon.sh("cat file");
    assert!(second != first && daemon.fake.is_live(&second));
    assert_eq!(daemon.sh("rm $M/roles/app; cat file 2>&1; true"), "cat: file: No such file or directory\n");
    daemon.write("roles/app", &daemon.team_role(""));
    assert!(daemon.fake.is_live(&daemon.sh("cat file")), "the name came back");
}

#[test]
fn a_slot_through_a_file() {
    let daemon = daemon("");
    daemon.write("roles/org", &format!("organization = \"acme\"\n{FAST}"));
    let _bound = Bound::new(&daemon.at("creds/org/token"), &daemon.beside("file"));
    for _ in 0..2 {
        let token = daemon.sh("cat file");
        assert!(daemon.fake.is_live(&token));
        daemon.rotate("org");
        let next = daemon.sh("cat file");
        assert!(next != token && daemon.fake.is_live(&next));
        std::thread::sleep(INTERVAL);
    }
}

#[test]
fn a_directory_follows_rotations_and_its_role() {
    let daemon = daemon(FAST);
    fs::create_dir(daemon.beside("dir")).unwrap();
    let _bound = Bound::new(&daemon.at("creds"), &daemon.beside("dir"));
    let first = daemon.sh("cat dir/app/token");
    daemon.rotate("app");
    let second = daemon.sh("cat dir/app/token");
    assert!(first != second && daemon.fake.is_live(&second));
    daemon.write("roles/more", &daemon.team_role(""));
    assert!(daemon.fake.is_live(&daemon.sh("cat dir/more/token")));
}

#[test]
fn every_open_is_fresh_through_a_file_too() {
    let daemon = daemon("share = \"open\"\non_close = \"revoke\"");
    let _bound = Bound::new(&daemon.at("creds/app/token"), &daemon.beside("file"));
    let mut seen = BTreeSet::new();
    for length in [90, 60, 120] {
        daemon.fake.set_token_length(length);
        let token = daemon.sh("cat file");
        assert_eq!(token.len(), length);
        assert!(daemon.fake.token_of_secret(&token).is_some() && seen.insert(token));
    }
    eventually("each was revoked at its close", || daemon.made().is_empty());
    // Opens at the same time share one lease: one inode has one page cache.
    let both = daemon.sh("exec 3< file 4< file; cat <&3; echo; cat <&4; echo; cat /proc/self/fd/3");
    let tokens: Vec<&str> = both.lines().collect();
    assert!(tokens[0] == tokens[1] && tokens[1] == tokens[2], "{both}");
}

#[test]
fn a_file_outlives_the_daemon_no_longer_than_its_mount() {
    let mut daemon = daemon("");
    let _bound = Bound::new(&daemon.at("creds/app/token"), &daemon.beside("file"));
    daemon.sh("cat file");
    let (status, took) = daemon.stop(rustix::process::Signal::TERM);
    assert!(status.success() && took < Duration::from_secs(5), "{took:?} {}", daemon.log());
    assert!(daemon.sh_fails("cat file").contains("not connected"));
}
