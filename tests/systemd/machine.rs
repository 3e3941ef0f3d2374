//! A machine: systemd as pid 1 in a container of its own, with a root that goes with it.
//!
//! Everything is below one process, which dies with the thread that started it and takes all with it, because it is pid 1 of a
//! namespace: a test that panics or is killed leaves nothing behind but files.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::image::Suite;

/// A machine is up after that, on a busy one.
const BOOT: Duration = Duration::from_secs(60);

/// No command takes longer; one that stands in a dead mount ends by that.
const COMMAND: u32 = 60;

/// Where the processes of units are known: by the old way, by the new one beside it, and by the new one.
const CGROUPS: [&str; 3] = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"];

/// A cgroup of its own, lest two machines have the same units. The overlay is gone with the namespace. Where there can be none (a root that is one itself) the image is copied.
const START: &str = r#"
name=$1 image=$2 upper=$3 work=$4 root=$5
for all in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
    [ -e $all/cgroup.procs ] && mkdir -p $all/$name && echo $$ >$all/$name/cgroup.procs
done
mount -t overlay overlay -o "lowerdir=$image,upperdir=$upper,workdir=$work" "$root" 2>/dev/null ||
    [ -d "$root/usr" ] || cp -a --reflink=auto "$image/." "$root/" || exit 1
exec systemd-nspawn --quiet --directory="$root" --boot --bind=/dev/fuse --capability=all --register=no --keep-unit \
    --console=pipe --machine="$name"
"#;

pub struct Machine {
    suite: Suite,
    dir: tempfile::TempDir,
    network: File,
    /// `unshare`, whose only child is systemd-nspawn.
    machine: Child,
    init: u32,
    boots: u32,
}

impl Machine {
    /// A machine in a network namespace, which outlives it.
    pub fn boot(suite: Suite, network: File) -> Self {
        let image = suite.image();
        let dir = tempfile::Builder::new().prefix("systemd-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for name in ["upper", "work", "root"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let machine = start(&image, dir.path(), &network, 0);
        let mut booted = Self { suite, dir, network, machine, init: 0, boots: 0 };
        booted.wait_until_up();
        booted
    }

    /// Boots it again, after [`Self::power_off`] or a kill.
    pub fn boot_again(&mut self) {
        self.boots += 1;
        self.machine = start(&self.suite.image(), self.dir.path(), &self.network, self.boots);
        self.wait_until_up();
    }

    fn wait_until_up(&mut self) {
        let begun = Instant::now();
        let machine = self.machine.id();
        let init = loop {
            let nspawn = children(machine).first().copied();
            if let Some(init) = nspawn.and_then(|nspawn| children(nspawn).into_iter().find(|pid| is_init(*pid))) {
                break init;
            }
            assert!(begun.elapsed() < BOOT, "no init:\n{}", self.console());
            assert!(self.machine.try_wait().unwrap().is_none(), "no machine:\n{}", self.console());
            std::thread::sleep(Duration::from_millis(5));
        };
        self.init = init;
        let patience = |what: &str| assert!(begun.elapsed() < BOOT, "{what}:\n{}", self.console());
        loop {
            let state = self.try_sh("systemctl is-system-running --wait");
            let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
            if ["running", "degraded"].contains(&&*state) {
                println!("booted in {:?}: {state}", begun.elapsed());
                return;
            }
            patience(&state);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it has written to its console.
    pub fn console(&self) -> String {
        fs::read_to_string(self.dir.path().join("console")).unwrap_or_default()
    }

    /// A path in it, as seen from here.
    pub fn at(&self, path: &str) -> PathBuf {
        Path::new("/proc").join(self.init.to_string()).join("root").join(path.trim_start_matches('/'))
    }

    /// A command in its namespaces, as root.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", &COMMAND.to_string(), "nsenter", "--mount", "--uts", "--ipc", "--net", "--pid"]);
        command.args(["--target", &self.init.to_string(), "--", program]).stdin(Stdio::null());
        command
    }

    pub fn try_sh(&self, script: &str) -> Output {
        self.command("sh").args(["-c", script]).output().unwrap()
    }

    /// Ends it as `systemctl poweroff` does; returns how long that took.
    pub fn power_off(&mut self) -> Duration {
        let begun = Instant::now();
        self.try_sh("systemctl --no-block poweroff");
        loop {
            if self.machine.try_wait().unwrap().is_some() {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < BOOT, "it does not go down:\n{}", self.console());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // All others die with it. One that stands in the kernel, waiting for a mount that nobody serves, must not keep the test.
        let _ = self.machine.kill();
        for _ in 0..500 {
            if !matches!(self.machine.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        for boot in 0..=self.boots {
            let name = name(self.dir.path(), boot);
            let _ = fs::remove_dir(Path::new("/run/systemd/nspawn/propagate").join(&name));
            CGROUPS.iter().for_each(|all| remove_cgroup(&Path::new(all).join(&name)));
        }
    }
}

/// Its processes are being killed.
fn remove_cgroup(group: &Path) {
    for _ in 0..100 {
        remove_groups(group);
        if !group.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// From the leaves on.
fn remove_groups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

fn start(image: &Path, dir: &Path, network: &File, boot: u32) -> Child {
    let console = File::options().create(true).append(true).open(dir.join("console")).unwrap();
    let network = format!("--net=/proc/{}/fd/{}", std::process::id(), network.as_raw_fd());
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "nsenter", &network]);
    command.args(["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]);
    command.args(["sh", "-c", START, "sh", &name(dir, boot)]).arg(image);
    command.args(["upper", "work", "root"].map(|name| dir.join(name)));
    command.stdin(Stdio::null()).stdout(console.try_clone().unwrap()).stderr(console);
    command.spawn().unwrap()
}

/// A name that no other machine has: that of its directory.
fn name(dir: &Path, boot: u32) -> String {
    let own: String = dir.file_name().unwrap().to_str().unwrap().chars().filter(char::is_ascii_alphanumeric).collect();
    format!("tfcfs-{own}-{boot}")
}

fn children(pid: u32) -> Vec<u32> {
    let numbers = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    numbers.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Whether a process is the first one of its namespace.
fn is_init(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let numbers: Vec<_> = numbers.split_whitespace().collect();
    numbers.len() > 1 && numbers.last() == Some(&"1")
}
