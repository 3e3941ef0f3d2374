//! A `config` that cannot work says why, and the old one stays in force.

use std::fs;

use super::support::{Daemon, Site, errno_of};
use crate::fake::FakeOptions;

/// Writes a `config` as `cp` does; what it says on its standard error.
fn refused(daemon: &Daemon, config: &str) -> String {
    fs::write(daemon.beside("new"), config).unwrap();
    daemon.sh_fails("cp new $M/config")
}

/// The newest line of `errors`.
fn sentence(daemon: &Daemon) -> String {
    daemon.read("errors").lines().next().unwrap_or_default().to_owned()
}

#[test]
fn before_any_config_a_key_is_missing() {
    let site = Site::new();
    let daemon = site.mount();
    daemon.write("roles/app", &site.team_role(""));
    assert_eq!(errno_of(fs::read(daemon.at("creds/app/token"))), libc::ENOKEY);
    assert!(daemon.sh_fails("cat $M/creds/app/token").contains("Required key not available"));
    assert!(sentence(&daemon).contains("config"), "{}", sentence(&daemon));
    daemon.write("config", &site.anchor());
    assert!(site.fake.is_live(&daemon.read("creds/app/token")));
}

#[test]
fn what_cannot_work_changes_nothing() {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(""));
    let config = daemon.read("config");
    let token = daemon.fake.anchor_user_token();
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    for (address, token, said, explained) in [
        (daemon.fake.url(), "AAAAAAAAAAAAAA.atlasv1.wrong".to_owned(), "Key was rejected", "401"),
        (format!("http://127.0.0.1:{closed}"), token.clone(), "Connection refused", "address and port"),
        ("https://tfe.invalid".into(), token.clone(), "No route to host", "address"),
        ("http://192.0.2.1".into(), token.clone(), "Invalid argument", "insecure"),
        ("ftp://x".into(), token.clone(), "Invalid argument", "https"),
    ] {
        let stderr = refused(&daemon, &format!("address = \"{address}\"\ntoken = \"{token}\"\n"));
        assert!(stderr.contains(said), "{address}: {stderr}");
        let sentence = sentence(&daemon);
        assert!(sentence.contains(explained) && sentence.contains(" config: "), "{address}: {sentence}");
        assert!(!sentence.contains(&token));
        assert_eq!(daemon.read("config"), config, "{address}");
    }
    for (text, word) in
        [("tokn = \"x\"\n", "token"), ("token = [\"x\"]\n", "token"), ("token = \"unterminated\n[x\n", "")]
    {
        let said = refused(&daemon, text);
        assert!(said.contains("Invalid argument"), "{text}: {said}");
        assert!(sentence(&daemon).contains(word), "{}", sentence(&daemon));
    }
    // Shells show what is certain.
    assert!(daemon.sh_fails("echo 'tokn = \"x\"' > $M/config").contains("Invalid argument"));
    assert!(daemon.sh_fails("echo 'address = \"ftp://x\"' > $M/config").contains("Invalid argument"));
    assert_eq!(daemon.read("config"), config);
    assert!(daemon.fake.is_live(&daemon.read("creds/app/token")));
}

#[test]
fn an_anchor_that_dies_later() {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(""));
    let anchor = daemon.fake.token_of_secret(&daemon.fake.anchor_user_token()).unwrap();
    daemon.fake.delete_token(&anchor.id);
    assert_eq!(errno_of(fs::read(daemon.at("creds/app/token"))), libc::EKEYREJECTED);
    assert!(sentence(&daemon).contains("write a good one to config"), "{}", sentence(&daemon));
    daemon.write("roles/other", "organization = \"nobodys\"");
    let good = daemon.fake.anchor_team_token();
    daemon.write("config", &format!("token = \"{good}\"\n"));
    assert!(daemon.fake.is_live(&daemon.read("creds/app/token")), "the address was kept");
    assert_eq!(errno_of(fs::read(daemon.at("creds/other/token"))), libc::EACCES);
    assert!(sentence(&daemon).contains("may not see it"), "{}", sentence(&daemon));
}

#[test]
fn tokens_are_never_read_back() {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(""));
    daemon.read("creds/app/token");
    assert!(daemon.read("config").contains("token = \"(set)\""));
    let everything = "cat $M/config $M/README $M/roles/* $M/rotate/* $M/leases/*/* $M/errors $M/status $M/metrics; \
                      timeout 0.2 cat $M/events; cat log";
    let text = daemon.sh(everything);
    for secret in [daemon.fake.anchor_user_token(), daemon.read("creds/app/token")] {
        assert!(!text.contains(&secret));
    }
}

#[test]
fn an_unknown_ca_is_named_and_a_ca_file_makes_it_known() {
    let site = Site::with(FakeOptions { tls: true, ..FakeOptions::default() });
    {
        let daemon = site.mount();
        assert!(refused(&daemon, &site.anchor()).contains("No route to host"));
        let sentence = sentence(&daemon);
        assert!(sentence.contains("EHOSTUNREACH") && sentence.contains("ca_file"), "{sentence}");
    }
    fs::write(site.beside("ca.pem"), site.fake.ca_pem().unwrap()).unwrap();
    site.settings("ca_file = \"ca.pem\"\n");
    let daemon = Daemon::ready_on(site);
    daemon.write("roles/app", &daemon.team_role(""));
    assert!(daemon.fake.is_live(&daemon.read("creds/app/token")));
}
