//! Who may: the kernel checks owner and mode for everybody (`--allow-other`).

use std::time::{Duration, Instant};

use super::support::{Daemon, Site, eventually};

/// Runs a command as nobody.
const NOBODY: &str = "setpriv --reuid 65534 --regid 65534 --clear-groups";

fn daemon() -> Daemon {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(""));
    daemon
}

#[test]
fn credentials_are_the_owners_until_chmod_opens_them() {
    let daemon = daemon();
    assert_eq!(daemon.sh("stat -c %a $M/creds/app $M/creds/app/token | tr '\\n' ' '"), "500 400 ");
    assert!(daemon.sh_fails(&format!("{NOBODY} cat $M/creds/app/token")).contains("Permission denied"));
    assert!(daemon.made().is_empty(), "a refused open costs nothing");
    // The directory takes its passage from its files.
    daemon.sh("chmod 0444 $M/creds/app/token");
    assert!(daemon.read("roles/app").contains("mode = \"0444\""), "{}", daemon.read("roles/app"));
    let token = daemon.sh(&format!("{NOBODY} cat $M/creds/app/token"));
    assert!(daemon.fake.is_live(&token));
    assert_eq!(daemon.python(&format!("os.setgid({0}); os.setuid({0}); print(open(t).read(), end='')", 65534)), token);
    daemon.sh("chmod 0400 $M/creds/app");
    daemon.sh_fails(&format!("{NOBODY} cat $M/creds/app/token"));
}

#[test]
fn chown_gives_them_away() {
    let daemon = daemon();
    let token = daemon.read("creds/app/token");
    daemon.sh("chown 65534:65534 $M/creds/app");
    assert_eq!(daemon.sh("stat -c %u:%g $M/creds/app $M/creds/app/token | uniq"), "65534:65534\n");
    assert_eq!(daemon.sh(&format!("{NOBODY} cat $M/creds/app/token")), token);
    daemon.sh("chown root $M/creds/app/env");
    daemon.sh_fails(&format!("{NOBODY} cat $M/creds/app/token"));
}

#[test]
fn who_opened_a_lease_may_renew_and_revoke_it() {
    let daemon = daemon();
    daemon.sh("chmod 0444 $M/creds/app");
    let token = daemon.sh(&format!("{NOBODY} cat $M/creds/app/token"));
    daemon
        .sh(&format!("{NOBODY} bash -c 'cat $M/leases/app/* && echo > $(echo $M/leases/app/*) && rm $M/leases/app/*'"));
    assert!(!daemon.fake.is_live(&token));
    // Not that of others.
    daemon.sh("chmod 0400 $M/creds/app");
    let token = daemon.read("creds/app/token");
    daemon.sh_fails(&format!("{NOBODY} rm $M/leases/app/*"));
    daemon.sh_fails(&format!("{NOBODY} bash -c 'cat $M/leases/app/*'"));
    assert!(daemon.fake.is_live(&token));
}

#[test]
fn others_see_only_what_is_public() {
    let daemon = daemon();
    for secret in ["config", "events", "revocations", "rotate/app", "rotate/config"] {
        assert!(daemon.sh_fails(&format!("{NOBODY} cat $M/{secret}")).contains("Permission denied"), "{secret}");
    }
    for public in ["README", "status", "errors", "metrics", "roles/app"] {
        daemon.sh(&format!("{NOBODY} cat $M/{public}"));
    }
    for refused in [
        "echo x > $M/roles/new",
        "echo x > $M/roles/app",
        "rm -f $M/roles/app",
        "echo > $M/rotate/app",
        "mv $M/roles/app $M/roles/b",
        "chmod 0444 $M/creds/app",
    ] {
        daemon.sh_fails(&format!("{NOBODY} bash -c '{refused}'"));
    }
    assert_eq!(daemon.names("roles"), ["app"]);
    // Credentials are never written, not even by root.
    assert!(daemon.sh_fails("echo x > $M/creds/app/token").contains("Permission denied"));
    assert!(daemon.sh_fails("truncate -s 0 $M/creds/app/token").contains("Permission denied"));
}

#[test]
fn the_state_directory_is_private() {
    let daemon = daemon();
    let token = daemon.read("creds/app/token");
    let open = "find state \\( -type d -a ! -perm 700 -o -type f -a ! -perm 600 \\)";
    assert_eq!(daemon.sh(open), "");
    let secrets = [token, daemon.fake.anchor_user_token()];
    for secret in secrets {
        assert_eq!(daemon.sh(&format!("grep -rlaF {secret} state log; true")), "", "a token in clear");
    }
}

#[test]
fn rm_rf_ends_roles_and_leases_and_no_more() {
    let site = Site::new();
    site.settings("delete_grace = \"1s\"");
    let daemon = Daemon::ready_on(site);
    daemon.write("roles/app", &daemon.team_role(""));
    let token = daemon.read("creds/app/token");
    let start = Instant::now();
    daemon.sh_fails("rm -rf $M");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(daemon.names("roles").is_empty() && daemon.is_mounted());
    eventually("its leases end", || !daemon.fake.is_live(&token));
    // The anchor is still there: a new role works at once.
    daemon.write("roles/app", &daemon.team_role(""));
    assert!(daemon.fake.is_live(&daemon.read("creds/app/token")));
}

#[test]
fn a_group_may_be_let_in() {
    let daemon = daemon();
    daemon.write("roles/app", &daemon.team_role("mode = \"0440\"\ngid = 65533"));
    let member = "setpriv --reuid 65534 --regid 65534 --groups 65533";
    let token = daemon.sh(&format!("{member} cat $M/creds/app/token"));
    assert!(daemon.fake.is_live(&token));
    daemon.sh_fails(&format!("{NOBODY} cat $M/creds/app/token"));
}
