//! What keeps it from serving: it fails at once, says why and what to do, and leaves nobody hanging.

use std::fs;

use super::site::{MOUNT, Site, Suite};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

impl Site {
    /// Starts or restarts what must fail, once and for all, with this exit code and these words.
    #[track_caller]
    fn fails(&self, verb: &str, code: u32, words: &[&str]) {
        let since = self.sh("date +%s.%N");
        self.sh_fails(&format!("systemctl {verb} tfcfs"));
        assert_eq!(self.property("tfcfs", "ActiveState"), "failed", "{}", self.journal());
        assert_eq!(self.property("tfcfs", "ExecMainStatus"), code.to_string(), "{}", self.journal());
        let said = self.sh(&format!("journalctl --no-pager --output=cat --since=@{since} --unit=tfcfs"));
        for word in words {
            assert!(said.contains(word), "{word:?} is not in\n{said}");
        }
        assert!(!said.contains("Scheduled restart"), "{said}");
    }

    /// The same, and the mount is gone.
    #[track_caller]
    fn fails_unmounted(&self, verb: &str, code: u32, words: &[&str]) {
        self.fails(verb, code, words);
        assert_eq!(self.mounts(), 0, "{}", self.journal());
    }
}

#[test]
fn a_missing_credential() {
    let site = Site::configured(Suite::Bookworm);
    fs::remove_file(site.at("/etc/credstore/tfcfs-anchor")).unwrap();
    site.fails_unmounted(
        "start",
        5,
        &["the credential tfcfs-anchor", "did not hand over", "/etc/credstore/tfcfs-anchor"],
    );
    site.secret("/etc/credstore/tfcfs-anchor", &site.fake.anchor_user_token());
    site.sh("systemctl start tfcfs");
    assert!(site.fake.is_live(&site.read("creds/app/token")));
}

#[test]
fn a_settings_file_that_is_wrong() {
    let site = Site::running(Suite::Bookworm);
    site.settings("tfcfs", "rotate = true\n");
    site.fails_unmounted("restart", 5, &["/etc/tfcfs/tfcfs.toml", "\"rotate\"", "tfcfs check"]);
    site.settings("tfcfs", &site.settings_text(""));
    site.sh("systemctl start tfcfs");
    assert!(site.read("status").contains("roles = 4"));
}

#[test]
fn another_sealing_key() {
    let site = Site::configured(Suite::Bookworm);
    let key = "/etc/credstore/tfcfs-sealing-key";
    site.secret(key, KEY);
    site.sh("systemctl start tfcfs");
    let token = site.read("creds/app/token");
    assert!(!site.at("/var/lib/tfcfs/sealing.key").exists(), "the credential seals");
    site.secret(key, &KEY.replace('0', "1"));
    site.fails_unmounted("restart", 9, &["wrong sealing key", "tfcfs-sealing-key opens none"]);
    site.secret(key, KEY);
    site.sh("systemctl start tfcfs");
    assert_eq!(site.read("creds/app/token"), token);
}

#[test]
fn a_state_that_somebody_else_uses() {
    let site = Site::running(Suite::Bookworm);
    site.sh("systemctl stop tfcfs");
    let ledger = site.sh("ls /var/lib/tfcfs/*.redb");
    site.sh(&format!("systemd-run --quiet --unit=user flock {ledger} sleep 100"));
    site.eventually("it is locked", || !site.machine.try_sh(&format!("flock -n {ledger} true")).status.success());
    site.fails_unmounted("start", 8, &["another tfcfs"]);
    site.sh("systemctl stop user && systemctl start tfcfs");
}

#[test]
fn a_mount_point_that_is_in_use() {
    let site = Site::configured(Suite::Bookworm);
    site.file(MOUNT, "a file");
    site.fails("start", 4, &["/mnt/tfc is not a directory"]);
    fs::remove_file(site.at(MOUNT)).unwrap();
    // Somebody's mount stays as it is.
    site.sh("mkdir /mnt/tfc && systemd-run --quiet --unit=other tfcfs mount /mnt/tfc --ephemeral --allow-other --config /dev/null");
    site.wait_until_served();
    site.fails("start", 4, &["/mnt/tfc is served by another tfcfs already", "stop that one"]);
    assert!(site.read("status").contains("roles = 0"));
    site.sh("systemctl stop other && systemctl start tfcfs");
    assert!(site.read("status").contains("roles = 4"));
    site.sh("systemctl stop tfcfs && rmdir /mnt/tfc && systemctl start tfcfs");
    assert!(site.read("status").contains("roles = 4"), "the directory is made");
}

#[test]
fn a_lost_descriptor_store() {
    let site = Site::running(Suite::Bookworm);
    let pid = site.main_pid();
    let names = site.sh(&format!("tr '\\0' '\\n' </proc/{pid}/environ | sed -n 's/^LISTEN_FDNAMES=//p'"));
    let removes: String =
        names.split(':').map(|name| format!("ExecReload=+systemd-notify FDSTOREREMOVE=1 FDNAME={name}\n")).collect();
    site.drop_in("tfcfs.service", &format!("[Service]\nExecReload=\n{removes}"));
    site.sh("systemctl reload tfcfs");
    site.eventually("it is lost", || site.property("tfcfs", "NFileDescriptorStore") == "0");
    let token = site.read("creds/app/token");
    site.sh("systemctl kill --signal=KILL --kill-who=main tfcfs");
    site.eventually("another mount", || {
        site.property("tfcfs", "NFileDescriptorStore") == "2" && fs::read(site.mounted("status")).is_ok()
    });
    assert_eq!((site.mounts(), site.read("creds/app/token")), (1, token));
}

#[test]
fn a_dead_mount_is_replaced() {
    let site = Site::configured(Suite::Bookworm);
    site.sh("mkdir /mnt/tfc && systemd-run --quiet --unit=other tfcfs mount /mnt/tfc --ephemeral --allow-other --config /dev/null");
    site.wait_until_served();
    site.sh("systemctl kill --signal=KILL --kill-who=all other");
    site.eventually("it is dead", || site.sh_fails("ls /mnt/tfc").contains("not connected"));
    site.sh("systemctl start tfcfs");
    assert_eq!((site.mounts(), site.read("status").contains("roles = 4")), (1, true));
}
