//! A machine on which tfcfs is installed as docs/systemd.md says, and the fake upstream that it talks to.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use super::image::Suite;
use super::machine::Machine;
use crate::fake::{ACME, Fake, FakeOptions};
use crate::load::Load;

/// Nothing that works takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the units mount.
pub const MOUNT: &str = "/mnt/tfc";

/// Whether everything is to be run, as often as the figures of docs/systemd.md were.
pub fn is_full() -> bool {
    std::env::var("TFCFS_SYSTEMD").is_ok_and(|value| value == "full")
}

/// What is repeated is repeated so often.
pub fn times() -> u32 {
    if is_full() { 20 } else { 5 }
}

/// The versions of systemd to try.
pub fn suites() -> &'static [Suite] {
    if is_full() { &[Suite::Bookworm, Suite::Trixie] } else { &[Suite::Bookworm] }
}

pub struct Site {
    pub machine: Machine,
    pub fake: Arc<Fake>,
}

impl Site {
    /// Nothing is installed.
    pub fn bare(suite: Suite) -> Self {
        let (network, fake) = upstream();
        let machine = Machine::boot(suite, network);
        Self { machine, fake: Arc::new(fake) }
    }

    /// With units and program, without settings, credentials and user's doing.
    pub fn installed(suite: Suite) -> Self {
        let site = Self::bare(suite);
        site.install_program();
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
        for entry in fs::read_dir(&own).unwrap() {
            let path = entry.unwrap().path();
            let target = match path.extension().and_then(|end| end.to_str()) {
                Some("service") => format!("/usr/lib/systemd/system/{}", path.file_name().unwrap().to_str().unwrap()),
                Some("sysusers") => "/usr/lib/sysusers.d/tfcfs.conf".into(),
                _ => continue,
            };
            fs::copy(&path, site.at(&target)).unwrap();
        }
        site.sh("systemd-sysusers && systemctl daemon-reload");
        site
    }

    /// With settings, whose anchor is a credential, and roles.
    pub fn configured(suite: Suite) -> Self {
        let site = Self::installed(suite);
        site.secret("/etc/credstore/tfcfs-anchor", &site.fake.anchor_user_token());
        site.settings("tfcfs", &site.settings_text(""));
        site
    }

    /// The same, and the service runs.
    pub fn running(suite: Suite) -> Self {
        let site = Self::configured(suite);
        site.sh("systemctl start tfcfs");
        site
    }

    /// Settings with the anchor, `more` keys for role "app", and more roles.
    pub fn settings_text(&self, more: &str) -> String {
        let team = self.fake.team_id(ACME, "deploy");
        let role = |name: &str, more: &str| {
            format!("[roles.{name}]\nteam_id = \"{team}\"\ncredential_type = \"team\"\n{more}\n")
        };
        format!(
            "[anchors.default]\naddress = \"{}\"\ntoken_file = \"credential:tfcfs-anchor\"\n{}{}{}{}",
            self.fake.url(),
            role("app", &format!("min_rotation_interval = \"1s\"\nttl = \"10m\"\n{more}")),
            role("each", "share = \"open\"\nttl = \"1s\"\nmax_leases = 100000"),
            role("brief", "on_close = \"revoke\""),
            role("one", ""),
        )
    }

    pub fn settings(&self, name: &str, text: &str) {
        self.file(&format!("/etc/tfcfs/{name}.toml"), text);
    }

    /// A file that others may read.
    pub fn file(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A file that root alone may read.
    pub fn secret(&self, path: &str, text: &str) {
        self.file(path, text);
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// A drop-in for a unit, in force at its next start.
    pub fn drop_in(&self, unit: &str, text: &str) {
        self.file(&format!("/etc/systemd/system/{unit}.d/test.conf"), text);
        self.sh("systemctl daemon-reload");
    }

    /// As a package does: the new file in place of the former one, which may be running.
    pub fn install_program(&self) {
        let new = self.at("/usr/bin/.tfcfs.new");
        fs::copy(env!("CARGO_BIN_EXE_tfcfs"), &new).unwrap();
        fs::rename(&new, self.at("/usr/bin/tfcfs")).unwrap();
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.machine.at(path)
    }

    /// A path in the mount.
    pub fn mounted(&self, path: &str) -> PathBuf {
        self.machine.at(MOUNT).join(path)
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.mounted(path)).unwrap_or_else(|e| panic!("{path}: {e}\n{}", self.journal()))
    }

    /// Runs a script in the machine as root. Returns what it prints.
    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        let output = self.machine.try_sh(script);
        let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script}: {}\n{said}{error}\n{}", output.status, self.journal());
        said.trim_end().to_owned()
    }

    /// A script that must fail; returns everything that it says.
    #[track_caller]
    pub fn sh_fails(&self, script: &str) -> String {
        let output = self.machine.try_sh(script);
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(!output.status.success(), "{script} succeeded: {said}\n{}", self.journal());
        said
    }

    pub fn property(&self, unit: &str, name: &str) -> String {
        self.sh(&format!("systemctl show --property={name} --value {unit}"))
    }

    /// The main process, by its number in the machine.
    pub fn main_pid(&self) -> String {
        self.property("tfcfs", "MainPID")
    }

    /// The process that serves, by its number in the machine.
    pub fn server_pid(&self) -> String {
        let supervisor = self.main_pid();
        let children = self.sh(&format!("cat /proc/{supervisor}/task/{supervisor}/children"));
        children.split_whitespace().last().unwrap_or_default().to_owned()
    }

    pub fn journal(&self) -> String {
        let output = self.machine.try_sh(
            "journalctl --no-pager --output=short-monotonic | grep -v ' vm systemd.*: .*systemd-' | tail -n 40",
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// How many mounts of ours there are.
    pub fn mounts(&self) -> usize {
        self.sh("cat /proc/mounts").lines().filter(|line| line.starts_with("tfcfs ")).count()
    }

    /// Waits until the mount answers.
    #[track_caller]
    pub fn wait_until_served(&self) {
        self.eventually("the mount answers", || fs::read(self.mounted("status")).is_ok());
    }

    #[track_caller]
    pub fn eventually(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < PATIENCE, "never happened: {what}\n{}", self.journal());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Readers of every kind, who must not notice anything.
    pub fn load(&self) -> Load {
        let fake = self.fake.clone();
        Load::start(&self.at(MOUNT), move |token| fake.token_of_secret(token).is_some())
    }

    pub fn hold(&self, role: &str) -> Held {
        let file = File::open(self.mounted(&format!("creds/{role}/token"))).unwrap();
        let token = content(&file).unwrap();
        Held { role: role.into(), file, token }
    }

    /// The same bytes, and the lease is held.
    #[track_caller]
    pub fn check_held(&self, held: &Held) {
        assert_eq!(content(&held.file).unwrap_or_else(|e| panic!("{e}\n{}", self.journal())), held.token);
        let leases = self.sh(&format!("cat {MOUNT}/leases/{}/*", held.role));
        assert!(leases.contains("handles = 1\n"), "{leases}\n{}", self.journal());
        assert!(self.fake.is_live(&held.token));
    }
}

/// An open file of a role that nobody else opens.
pub struct Held {
    role: String,
    pub file: File,
    pub token: String,
}

pub fn content(file: &File) -> std::io::Result<String> {
    let mut bytes = [0; 4096];
    let size = file.read_at(&mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes[..size]).into_owned())
}

/// A network of its own with the fake upstream in it, which outlives the machine.
fn upstream() -> (File, Fake) {
    let made = std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
        assert!(up.success(), "ip link set lo up: {up}");
        (File::open("/proc/thread-self/ns/net").unwrap(), Fake::start(FakeOptions::default()))
    });
    made.join().unwrap()
}
