//! The program under test: the release binary, in a process of its own, set up by a settings file.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Outcome;
use crate::fake::Fake;

/// On a disk, not in memory: state is synced there.
const PLACE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/figures");

/// Where a daemon keeps its state.
#[derive(Clone, Copy)]
pub enum State<'a> {
    /// On the disk of the build directory.
    Disk,
    /// In a directory that is there and stays.
    Kept(&'a Path),
    /// In a file system in memory, which tells the program's part from the disk's.
    Tmpfs,
    /// Nowhere.
    Ephemeral,
}

/// How to start one.
pub struct Setup<'a> {
    /// Upstream.
    pub fake: &'a Fake,
    /// Distinguishes daemons that run at the same time.
    pub name: &'a str,
    /// Lines at the top of the settings file.
    pub settings: &'a str,
    /// How many roles, `r0` and up.
    pub roles: usize,
    /// Lines in each of them, beside the owner.
    pub role: &'a str,
    /// Its state.
    pub state: State<'a>,
    /// Log level.
    pub log: &'a str,
    /// `mount`, or `supervise`.
    pub command: &'a str,
}

impl<'a> Setup<'a> {
    /// Roles with nothing special, state on disk, a rate that never slows anything down.
    pub fn new(fake: &'a Fake, name: &'a str, roles: usize) -> Self {
        Self {
            fake,
            name,
            settings: "rate = 10000",
            roles,
            role: "",
            state: State::Disk,
            log: "warn",
            command: "mount",
        }
    }
}

/// A daemon about to start.
pub struct Prepared {
    mount_point: PathBuf,
    log: PathBuf,
    command: Command,
    in_memory: Option<tempfile::TempDir>,
}

impl Prepared {
    /// Starts it and returns when it serves, after a look each `step`.
    pub fn spawn(mut self, step: Duration) -> Outcome<Daemon> {
        let child = self.command.spawn()?;
        let Self { mount_point, log, in_memory, .. } = self;
        let daemon = Daemon { mount_point, log, child, _in_memory: in_memory };
        wait_for(&daemon.status(), step)
            .map_err(|error| format!("{error}; its log: {}", fs::read_to_string(&daemon.log).unwrap_or_default()))?;
        Ok(daemon)
    }
}

/// A running daemon.
pub struct Daemon {
    mount_point: PathBuf,
    log: PathBuf,
    child: Child,
    /// Removed with the daemon.
    _in_memory: Option<tempfile::TempDir>,
}

impl Daemon {
    /// Starts one and returns when it serves.
    pub fn start(setup: &Setup<'_>) -> Outcome<Self> {
        Self::prepare(setup)?.spawn(Duration::from_millis(20))
    }

    /// All that is to be done before it starts.
    pub fn prepare(setup: &Setup<'_>) -> Outcome<Prepared> {
        let mount_point = mount_directory(setup.name)?;
        let place = Path::new(PLACE).join(format!("{}.files", setup.name));
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place)?;
        let settings = place.join("tfcfs.toml");
        fs::write(&settings, settings_text(setup, &place)?)?;
        let log = place.join("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tfcfs"));
        command.arg(setup.command).arg(&mount_point).arg("--config").arg(&settings).args(["--log-level", setup.log]);
        let mut in_memory = None;
        match setup.state {
            State::Disk => command.arg("--state").arg(place.join("state")),
            State::Kept(state) => command.arg("--state").arg(state),
            State::Tmpfs => command.arg("--state").arg(in_memory.insert(tempfile::tempdir_in("/dev/shm")?).path()),
            State::Ephemeral => command.arg("--ephemeral"),
        };
        command.stdin(Stdio::null()).stderr(fs::File::create(&log)?);
        Ok(Prepared { mount_point, log, command, in_memory })
    }

    /// The state of the daemon, as a file.
    pub fn status(&self) -> PathBuf {
        self.path("status")
    }

    /// Ends it as a service manager does, and waits for it.
    pub fn stop(self) -> Outcome {
        drop(self);
        Ok(())
    }

    /// Ends it in the middle of everything.
    pub fn kill(mut self) -> Outcome {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The process that serves for it; `None` between two of them.
    pub fn server(&self) -> Outcome<Option<Pid>> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.child.id()))?;
        Ok(children.split_whitespace().last().and_then(|pid| Pid::from_raw(pid.parse().ok()?)))
    }

    /// The token of the role with a number.
    pub fn token(&self, role: usize) -> PathBuf {
        self.mount_point.join(format!("creds/r{role}/token"))
    }

    /// A path in its mount.
    pub fn path(&self, path: &str) -> PathBuf {
        self.mount_point.join(path)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged so far.
    pub fn log(&self) -> Outcome<String> {
        Ok(fs::read_to_string(&self.log)?)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
        detach(&self.mount_point);
    }
}

fn settings_text(setup: &Setup<'_>, place: &Path) -> Outcome<String> {
    let anchor = place.join("anchor");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&anchor)?;
    std::io::Write::write_all(&mut file, setup.fake.anchor_user_token().as_bytes())?;
    let mut text = format!(
        "{}\n[anchors.default]\naddress = \"{}\"\ntoken_file = \"{}\"\n",
        setup.settings,
        setup.fake.url(),
        anchor.display()
    );
    let user = setup.fake.user_id("alice");
    for role in 0..setup.roles {
        writeln!(text, "[roles.r{role}]\nuser_id = \"{user}\"\n{}", setup.role)?;
    }
    Ok(text)
}

/// An empty directory, on the same disk as everything.
pub fn scratch(name: &str) -> Outcome<PathBuf> {
    let path = Path::new(PLACE).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path)?;
    Ok(path)
}

/// An empty directory to mount on. What a run that was killed left there is cleared away.
pub fn mount_directory(name: &str) -> Outcome<PathBuf> {
    let path = Path::new(PLACE).join(name);
    detach(&path);
    fs::create_dir_all(&path)?;
    Ok(path)
}

/// Unmounts, if something is mounted.
pub fn detach(mount_point: &Path) {
    let _ = rustix::mount::unmount(mount_point, rustix::mount::UnmountFlags::DETACH);
}

/// Waits until a file of a mount is there.
pub fn wait_for_mount(file: &Path) -> Outcome {
    wait_for(file, Duration::from_millis(20))
}

fn wait_for(file: &Path, step: Duration) -> Outcome {
    let start = Instant::now();
    while fs::metadata(file).is_err() {
        if start.elapsed() > Duration::from_secs(20) {
            return Err(format!("{} does not appear", file.display()).into());
        }
        std::thread::sleep(step);
    }
    Ok(())
}
