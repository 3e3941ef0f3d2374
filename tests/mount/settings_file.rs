//! What deployment owns: anchors and roles of the settings file, and SIGHUP.

use std::fs;

use rustix::process::Signal;

use super::support::{Site, errno_of, eventually};

#[test]
fn roles_of_the_file_are_in_force_and_read_only() {
    let site = Site::new();
    site.settings(&format!("{}[roles.app]\n{}", site.file_anchor(), site.team_role("")));
    let daemon = site.mount();
    assert!(site.fake.is_live(&daemon.read("creds/app/token")));
    let role = daemon.read("roles/app");
    for change in ["cp role $M/roles/app", "rm $M/roles/app", "mv $M/roles/app $M/roles/other"] {
        let said = daemon.sh_fails(&format!("cp $M/roles/app role; {change}"));
        assert!(said.contains("Operation not permitted"), "{change}: {said}");
    }
    assert!(daemon.read("errors").contains("comes from the configuration file"), "{}", daemon.read("errors"));
    assert_eq!(daemon.read("roles/app"), role);
    assert!(daemon.sh_fails("echo 'description = \"x\"' > $M/roles/app").contains("Operation not permitted"));
    // Others go on beside them.
    daemon.write("roles/own", "organization = \"acme\"");
    assert!(site.fake.is_live(&daemon.read("creds/own/token")));
}

#[test]
fn a_token_file_that_others_may_read_is_refused() {
    let site = Site::new();
    site.settings(&site.file_anchor());
    site.chmod("anchor", 0o644);
    let status = site.command(&["--ephemeral"]).status().unwrap();
    assert_eq!(status.code(), Some(5));
    assert!(site.log().contains("chmod 600"), "{}", site.log());
}

#[test]
fn sighup_reads_the_file_again_and_a_bad_file_changes_nothing() {
    let site = Site::new();
    let (anchor, role) = (site.file_anchor(), site.team_role(""));
    site.settings(&format!("{anchor}[roles.app]\n{role}"));
    let daemon = site.mount();
    daemon.write("roles/own", "organization = \"acme\"");
    let token = daemon.read("creds/app/token");

    site.settings(&format!("{anchor}[roles.app]\n{role}[roles.more]\n{role}"));
    daemon.signal(Signal::HUP);
    eventually("the new role is there", || daemon.names("roles").contains(&"more".into()));
    assert_eq!(daemon.read("creds/app/token"), token, "what did not change goes on");

    site.settings(&format!("{anchor}[roles.app]\n{role}bogus = 1\n"));
    daemon.signal(Signal::HUP);
    eventually("the bad file is reported", || daemon.read("errors").contains("bogus"));
    let mut names = daemon.names("roles");
    names.sort();
    assert_eq!(names, ["app", "more", "own"]);
    assert_eq!(daemon.read("creds/app/token"), token);

    site.settings(&anchor);
    daemon.signal(Signal::HUP);
    eventually("roles that left the file go", || daemon.names("roles") == ["own"]);
    assert_eq!(errno_of(fs::read(daemon.at("creds/app/token"))), libc::ENOENT);
}
