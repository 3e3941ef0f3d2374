//! The package: install, upgrade under load, remove with files held, purge.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::site::{Held, Site, suites};

/// Upgrades under load.
const UPGRADES: u32 = 3;

/// The package of the program under test, and the same with higher versions, one for each upgrade.
fn packages(directory: &Path) -> Vec<PathBuf> {
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    run(Command::new(source.join("packaging/package")).arg(env!("CARGO_BIN_EXE_tfcfs")).arg(directory));
    let made = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let first = made.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb")).unwrap();
    let mut packages = vec![first.clone()];
    let raw = directory.join("raw");
    run(Command::new("dpkg-deb").arg("--raw-extract").arg(&first).arg(&raw));
    let control = raw.join("DEBIAN/control");
    let text = fs::read_to_string(&control).unwrap();
    let version = text.lines().find(|line| line.starts_with("Version: ")).unwrap().to_owned();
    for number in 1..=UPGRADES {
        fs::write(&control, text.replace(&version, &format!("{version}+{number}"))).unwrap();
        let next = directory.join(format!("next-{number}.deb"));
        run(Command::new("dpkg-deb").args(["--build", "--root-owner-group", "-Znone"]).arg(&raw).arg(&next));
        packages.push(next);
    }
    packages
}

#[test]
fn it_is_installed_upgraded_under_load_removed_and_purged() {
    let directory = tempfile::tempdir().unwrap();
    let packages = packages(directory.path());
    for &suite in suites() {
        let site = Site::bare(suite);
        let install = |package: &Path| {
            fs::copy(package, site.at("/tmp/tfcfs.deb")).unwrap();
            site.sh("dpkg --install --force-confdef --force-confold /tmp/tfcfs.deb 2>&1")
        };
        install(&packages[0]);
        site.secret("/etc/credstore/tfcfs-anchor", &site.fake.anchor_user_token());
        site.settings("tfcfs", &site.settings_text(""));
        assert_eq!(site.mounts(), 0, "an installation starts nothing by itself");
        site.sh("systemctl enable --now tfcfs");
        let held: Vec<Held> = ["brief", "one"].map(|role| site.hold(role)).into();
        let load = site.load();
        for package in &packages[1..] {
            let pid = site.main_pid();
            install(package);
            site.wait_until_served();
            assert_ne!(site.main_pid(), pid, "the new program serves");
            held.iter().for_each(|held| site.check_held(held));
        }
        let stall = load.end(|| site.journal());
        println!("{suite:?}: {UPGRADES} upgrades of the package under load: nobody waited longer than {stall:?}");
        assert!(site.sh("dpkg-query --show tfcfs").ends_with(&format!("+{UPGRADES}")));
        assert!(site.sh("cat /etc/tfcfs/tfcfs.toml").contains("[roles.app]"), "what was written is kept");
        // A stop waits for upstream for a few seconds only, and the load has left many revocations before ours.
        site.eventually("the tokens of the load are revoked", || {
            let status = site.read("status");
            status.contains("[revocations]\npending = 0\n") && status.contains("held = 2\n")
        });
        std::thread::sleep(std::time::Duration::from_millis(1500));
        site.eventually("and the last of them", || site.read("status").contains("[revocations]\npending = 0\n"));
        site.sh("dpkg --remove tfcfs 2>&1");
        assert_eq!(site.mounts(), 0);
        site.eventually("what policy says is revoked", || !site.fake.is_live(&held[0].token));
        assert!(site.fake.is_live(&held[1].token), "this one lingers");
        let said = site.sh("dpkg --purge tfcfs 2>&1");
        assert!(said.contains("/var/lib/tfcfs"), "the record of tokens that live is kept, and said so: {said}");
        assert!(site.at("/var/lib/tfcfs/ledger.redb").exists());
    }
}
