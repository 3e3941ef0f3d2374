//! What the service knows of its callers, although it has no rights: every rule that asks who somebody is.

use super::site::{MOUNT, Site, Suite, suites};

impl Site {
    /// A command as a unit of its own; returns what it prints.
    fn run_as(&self, unit: &str, command: &str) -> String {
        self.sh(&format!("systemd-run --quiet --wait --pipe --collect --unit={unit} {command}"))
    }

    fn with_settings(suite: Suite, role: &str, more: &str) -> Self {
        let site = Self::configured(suite);
        site.settings("tfcfs", &(more.to_owned() + &site.settings_text(role)));
        site.sh("systemctl start tfcfs");
        site
    }
}

#[test]
fn units_are_told_from_each_other() {
    for &suite in suites() {
        let site = Site::with_settings(suite, "allow_units = [\"friend.service\"]\nshare = \"unit\"", "");
        let cat = format!("cat {MOUNT}/creds/app/token");
        let token = site.run_as("friend", &cat);
        assert!(site.fake.is_live(&token));
        assert_eq!(site.run_as("friend", &cat), token, "the same unit");
        let refused = site.sh_fails(&format!("systemd-run --quiet --wait --pipe --collect --unit=stranger {cat}"));
        assert!(refused.contains("Permission denied"), "{refused}");
        assert!(site.sh_fails(&cat).contains("Permission denied"), "nobody's unit");
    }
}

#[test]
fn programs_are_told_from_each_other_and_put_on_record() {
    let audit = "deny_programs = [\"head\"]\n[audit]\nfile = \"/var/log/tfcfs/audit.jsonl\"\nrequired = true\n";
    let site = Site::with_settings(Suite::Bookworm, "", audit);
    let file = format!("{MOUNT}/creds/app/token");
    assert!(site.sh_fails(&format!("head -c 10 {file}")).contains("Permission denied"));
    site.run_as("reader", &format!("cat {file}"));
    let audit = site.sh("cat /var/log/tfcfs/audit.jsonl");
    let of = |word: &str| audit.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("{word}: {audit}"));
    assert!(of("denied").contains("\\\"head\\\" is among deny_programs"), "{audit}");
    assert!(of("\"open\"").contains("/system.slice/reader.service"), "{audit}");
}

#[test]
fn a_writer_that_is_killed_commits_nothing() {
    let site = Site::running(Suite::Bookworm);
    site.file("/root/role", "team_id = \"team-x\"\ncredential_type = \"team\"\n");
    // Not dash, which closes a copy after the data: that counts as a close.
    let write = |name: &str, end: &str| {
        site.machine.try_sh(&format!("bash -c 'exec 3>{MOUNT}/roles/{name}; cat /root/role >&3; {end}'"));
    };
    write("whole", "true");
    write("half", "kill -KILL $$");
    site.eventually("errors says so", || site.read("errors").contains("killed half-way"));
    assert_eq!(site.sh(&format!("ls {MOUNT}/roles | tr '\\n' ' '")), "app brief each one whole");
}
