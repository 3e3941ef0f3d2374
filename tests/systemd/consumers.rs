//! The units of systemd/examples, and several instances.

use std::fs;
use std::path::Path;

use super::site::{MOUNT, Site, Suite};

impl Site {
    fn with_examples() -> Self {
        let site = Self::configured(Suite::Bookworm);
        let readers =
            "[roles.reader]\nteam_id = \"TEAM\"\ncredential_type = \"team\"\nmode = \"0440\"\ngid = \"app\"\n";
        let team = site.fake.team_id(crate::fake::ACME, "deploy");
        let text = site.settings_text("") + &readers.replace("TEAM", &team);
        site.settings("tfcfs", &text);
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/examples");
        for entry in fs::read_dir(&own).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|end| end != "conf") {
                let name = path.file_name().unwrap().to_str().unwrap();
                fs::copy(&path, site.at(&format!("/etc/systemd/system/{name}"))).unwrap();
            }
        }
        site.sh("groupadd --system app && systemctl daemon-reload");
        site
    }

    fn example_drop_in(&self, name: &str) {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/examples").join(name);
        self.drop_in("tfcfs.service", &fs::read_to_string(own).unwrap());
    }
}

#[test]
fn every_example_is_right() {
    let site = Site::with_examples();
    let units = "consumer.service reader.service rotated.path rotated.service legacy.service";
    assert_eq!(site.sh(&format!("systemd-analyze verify --man=no {units} 2>&1")), "");
}

#[test]
fn consumers_start_it_and_get_their_tokens() {
    let mut site = Site::with_examples();
    site.sh("systemctl start consumer");
    assert_eq!(site.property("tfcfs", "ActiveState"), "active", "it is wanted");
    site.sh("systemctl start reader legacy");
    site.sh("systemctl enable --quiet tfcfs && systemctl add-wants multi-user.target consumer.service reader.service --quiet");
    site.sh("systemctl restart tfcfs");
    site.sh("sleep 1.5");
    assert_eq!([site.property("reader", "ActiveState"), site.property("legacy", "ActiveState")], ["active", "active"]);
    // In the order of the units, whatever the machine does first.
    site.machine.power_off();
    site.machine.boot_again();
    for (unit, result) in [("consumer", "success"), ("reader", "success")] {
        site.eventually("it has run", || !site.property(unit, "ExecMainStartTimestamp").is_empty());
        assert_eq!(site.property(unit, "Result"), result, "{}", site.journal());
    }
    assert_eq!(site.property("reader", "NRestarts"), "0", "{}", site.journal());
}

#[test]
fn a_consumer_in_the_wrong_order_fails_and_hangs_nobody() {
    let site = Site::with_examples();
    site.sh("sed -i '/^Wants=/d; /^After=/d' /etc/systemd/system/consumer.service && systemctl daemon-reload");
    site.sh_fails("systemctl start consumer");
    assert_eq!(site.property("consumer", "ExecMainStatus"), "243", "CREDENTIALS");
    site.sh("systemctl start tfcfs && systemctl start consumer");
}

#[test]
fn a_bound_file_lives_as_long_as_the_mount() {
    let site = Site::with_examples();
    site.sh("systemctl enable --quiet legacy && systemctl start tfcfs");
    site.eventually("it starts with tfcfs", || site.property("legacy", "ActiveState") == "active");
    let started = site.property("legacy", "ExecMainStartTimestampMonotonic");
    let bound =
        |site: &Site| site.sh("nsenter --target $(systemctl show -P MainPID legacy) --mount cat /etc/legacy/token");
    assert_eq!(bound(&site), site.read("creds/reader/token"));
    assert!(
        site.sh_fails("nsenter --target $(systemctl show -P MainPID legacy) --mount sh -c 'echo x >/etc/legacy/token'")
            .contains("Read-only")
    );
    site.sh("systemctl restart tfcfs && systemctl kill --signal=KILL --kill-who=main tfcfs");
    site.wait_until_served();
    assert_eq!(bound(&site), site.read("creds/reader/token"));
    assert_eq!(site.property("legacy", "ExecMainStartTimestampMonotonic"), started, "it was not restarted");
    site.sh("systemctl stop tfcfs");
    site.eventually("it stops with the mount", || site.property("legacy", "ActiveState") == "inactive");
    site.sh("systemctl start tfcfs");
    site.eventually("it starts again", || site.property("legacy", "ActiveState") == "active");
    assert_eq!(bound(&site), site.read("creds/reader/token"));
}

#[test]
fn a_path_unit_is_told_of_a_rotation() {
    let site = Site::with_examples();
    site.sh("systemctl start rotated.path");
    site.read("creds/app/token");
    for number in 1..=2 {
        site.sh("sleep 1.1");
        let before = site.property("rotated.service", "ExecMainStartTimestampMonotonic");
        site.sh(&format!("echo >{MOUNT}/rotate/app"));
        site.eventually(&format!("it runs the {number}. time"), || {
            site.property("rotated.service", "ExecMainStartTimestampMonotonic") != before
        });
    }
}

#[test]
fn anchor_and_key_may_be_encrypted() {
    let site = Site::with_examples();
    fs::remove_file(site.at("/etc/credstore/tfcfs-anchor")).unwrap();
    site.example_drop_in("encrypted-credentials.conf");
    site.sh("mkdir -p /etc/credstore.encrypted");
    site.secret("/root/anchor.token", &site.fake.anchor_user_token());
    site.secret("/root/key", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n");
    let encrypt = "systemd-creds encrypt --with-key=host";
    site.sh(&format!("{encrypt} --name=tfcfs-anchor /root/anchor.token /etc/credstore.encrypted/tfcfs-anchor"));
    site.sh("systemctl start tfcfs");
    assert!(site.fake.is_live(&site.read("creds/app/token")));
    assert!(site.at("/var/lib/tfcfs/sealing.key").exists(), "one of the two is enough");
    site.sh("systemctl stop tfcfs && rm -r /var/lib/tfcfs/*");
    site.sh(&format!("{encrypt} --name=tfcfs-sealing-key - /etc/credstore.encrypted/tfcfs-sealing-key </root/key"));
    site.sh("systemctl start tfcfs");
    assert!(!site.at("/var/lib/tfcfs/sealing.key").exists());
    assert!(!fs::read_to_string(site.at("/etc/credstore.encrypted/tfcfs-anchor")).unwrap().contains("atlasv1"));
}

#[test]
fn two_instances_know_nothing_of_each_other() {
    let site = Site::configured(Suite::Bookworm);
    let instances = [("srv-a", "/srv/a", "a"), (r"srv-b\x2dc", "/srv/b-c", "b")];
    for (name, _, more) in instances {
        site.settings(name, &(site.settings_text(&format!("description = \"{more}\"\n"))));
        site.secret(&format!("/etc/credstore/tfcfs-anchor.{name}"), &site.fake.anchor_user_token());
        site.sh(&format!("systemctl start 'tfcfs@{name}.service'"));
    }
    site.sh("systemctl start tfcfs");
    assert_eq!(site.mounts(), 3);
    let tokens: Vec<_> =
        [MOUNT, "/srv/a", "/srv/b-c"].map(|mount| site.sh(&format!("cat {mount}/creds/app/token"))).into();
    assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2] && tokens.iter().all(|token| site.fake.is_live(token)));
    let state = site.sh(
        "nsenter --target $(systemctl show -P MainPID tfcfs@srv-a.service) --mount ls -A /var/lib /var/lib/tfcfs-srv-a",
    );
    assert!(!state.contains("x2d") && state.contains("redb"), "{state}");
    // Each goes on by itself, also while another one hangs.
    let server =
        site.sh("cat /proc/$(systemctl show -P MainPID tfcfs@srv-a.service)/task/*/children").trim().to_owned();
    site.sh(&format!("kill -STOP {server}"));
    site.sh(r"timeout 4 systemctl restart 'tfcfs@srv-b\x2dc.service' tfcfs.service");
    site.sh(&format!("kill -CONT {server}"));
    site.sh(r"systemctl restart tfcfs@srv-a.service && systemctl stop 'tfcfs@srv-b\x2dc.service'");
    assert_eq!(site.mounts(), 2);
    assert_eq!(site.sh("cat /srv/a/creds/app/token"), tokens[1]);
    site.sh(r"systemctl start 'tfcfs@srv-b\x2dc.service'");
    assert_eq!(site.sh("cat /srv/b-c/creds/app/token"), tokens[2]);
}
