//! A place with a fake upstream, the daemon in it, and programs that use its mount.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::fake::{ACME, Fake, FakeOptions, TokenInfo};

/// Nothing that works takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);

/// A fake upstream and a temporary directory with mount point, state and settings.
pub struct Site {
    pub fake: Fake,
    pub dir: tempfile::TempDir,
}

impl Site {
    pub fn new() -> Arc<Self> {
        Self::with(FakeOptions::default())
    }

    pub fn with(options: FakeOptions) -> Arc<Self> {
        let dir = tempfile::tempdir().unwrap();
        // Other users walk through it.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("mnt")).unwrap();
        Arc::new(Self { fake: Fake::start(options), dir })
    }

    /// A path beside the mount.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path in the mount.
    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join("mnt").join(path)
    }

    /// Writes the settings file, which every later start reads.
    pub fn settings(&self, text: &str) {
        fs::write(self.beside("settings.toml"), text).unwrap();
    }

    /// A settings file's anchor `default`, with its token in a file of its own.
    pub fn file_anchor(&self) -> String {
        let token_file = self.beside("anchor");
        fs::write(&token_file, self.fake.anchor_user_token()).unwrap();
        self.chmod("anchor", 0o600);
        format!("[anchors.default]\naddress = \"{}\"\ntoken_file = \"anchor\"\n", self.fake.url())
    }

    pub fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.beside(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What `config` needs.
    pub fn anchor(&self) -> String {
        format!("address = \"{}\"\ntoken = \"{}\"\n", self.fake.url(), self.fake.anchor_user_token())
    }

    /// A role of team "deploy" with described tokens, and `more` keys.
    pub fn team_role(&self, more: &str) -> String {
        format!("team_id = \"{}\"\ncredential_type = \"team\"\n{more}\n", self.fake.team_id(ACME, "deploy"))
    }

    /// The command that mounts here, its log beside the mount. `state`: `--state` or `--ephemeral`.
    pub fn command(&self, state: &[&str]) -> Command {
        self.command_of("mount", state)
    }

    fn command_of(&self, verb: &str, state: &[&str]) -> Command {
        let log = fs::File::options().create(true).append(true).open(self.beside("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tfcfs"));
        command.arg(verb).arg(self.at("")).args(["--allow-other"]).args(state);
        // Never the machine's own settings file.
        let settings = self.beside("settings.toml");
        if !settings.exists() {
            fs::write(&settings, "").unwrap();
        }
        command.arg("--config").arg(settings);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command
    }

    /// Starts the daemon with its state beside the mount, and waits until the mount answers.
    pub fn mount(self: &Arc<Self>) -> Daemon {
        let state = self.beside("state");
        self.start(&["--state", state.to_str().unwrap()])
    }

    /// Starts a supervisor, whose server has its state beside the mount, and waits until the mount answers.
    pub fn supervise(self: &Arc<Self>) -> Daemon {
        self.start_command(&mut self.supervisor())
    }

    /// The command that supervises here, its log beside the mount.
    pub fn supervisor(&self) -> Command {
        let state = self.beside("state");
        self.command_of("supervise", &["--state", state.to_str().unwrap()])
    }

    pub fn mount_ephemeral(self: &Arc<Self>) -> Daemon {
        self.start(&["--ephemeral"])
    }

    fn start(self: &Arc<Self>, state: &[&str]) -> Daemon {
        self.start_command(&mut self.command(state))
    }

    /// Runs a command that mounts here, and waits until the mount answers.
    pub fn start_command(self: &Arc<Self>, command: &mut Command) -> Daemon {
        let child = command.spawn().unwrap();
        let mut daemon = Daemon { site: self.clone(), child };
        let start = Instant::now();
        while fs::read(self.at("status")).is_err() {
            let ended = daemon.child.try_wait().unwrap();
            assert!(ended.is_none() && start.elapsed() < PATIENCE, "no mount ({ended:?}): {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        daemon
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.beside("log")).unwrap_or_default()
    }

    pub fn is_mounted(&self) -> bool {
        let point = format!(" {} ", self.at("").to_str().unwrap().trim_end_matches('/'));
        fs::read_to_string("/proc/self/mounts").unwrap().contains(&point)
    }

    /// Upstream no longer accepts the anchor.
    pub fn kill_anchor(&self) {
        let anchor = self.fake.token_of_secret(&self.fake.anchor_user_token()).unwrap();
        assert!(self.fake.delete_token(&anchor.id));
    }

    /// Tokens made through the API that work now.
    pub fn made(&self) -> Vec<TokenInfo> {
        self.fake.live_tokens().into_iter().filter(|token| !token.seeded).collect()
    }
}

/// A running daemon. Dropping it stops it and leaves nothing mounted.
pub struct Daemon {
    site: Arc<Site>,
    child: Child,
}

impl Deref for Daemon {
    type Target = Arc<Site>;

    fn deref(&self) -> &Arc<Site> {
        &self.site
    }
}

impl Daemon {
    /// A daemon with an anchor that may do everything.
    pub fn ready() -> Self {
        Self::ready_on(Site::new())
    }

    pub fn ready_on(site: Arc<Site>) -> Self {
        let daemon = site.mount();
        daemon.write("config", &site.anchor());
        daemon
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn child_mut(&mut self) -> &mut Child {
        &mut self.child
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process that serves for a supervisor; `None` between two of them.
    pub fn server(&self) -> Option<Pid> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid())).unwrap();
        children.split_whitespace().last().and_then(|pid| Pid::from_raw(pid.parse().ok()?))
    }

    /// Kills it, and waits until another one is there.
    pub fn kill_server(&self) {
        let former = self.server().unwrap();
        kill_process(former, Signal::KILL).unwrap();
        eventually("another server", || self.server().is_some_and(|server| server != former));
    }

    /// Its memory, in KiB.
    pub fn resident(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for(&mut self.child, PATIENCE).unwrap_or_else(|| panic!("still running: {}", self.site.log()))
    }

    /// Asks it to stop; returns how it ended and how long that took.
    pub fn stop(&mut self, signal: Signal) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.signal(signal);
        (self.wait(), start.elapsed())
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|e| panic!("{path}: {e}\n{}", self.site.log()))
    }

    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).unwrap_or_else(|e| panic!("{path}: {e}\n{}", self.site.log()));
    }

    pub fn names(&self, path: &str) -> Vec<String> {
        let names = fs::read_dir(self.at(path)).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    /// Lets a role rotate as often as a test wants, and rotates it.
    pub fn rotate(&self, role: &str) {
        self.write(&format!("rotate/{role}"), "\n");
    }

    /// The text of the only lease of a role; empty if there is none.
    pub fn lease(&self, role: &str) -> String {
        match self.names(&format!("leases/{role}")).as_slice() {
            [] => String::new(),
            [one] => fs::read_to_string(self.at(&format!("leases/{role}/{one}"))).unwrap_or_default(),
            several => panic!("several leases of {role}: {several:?}"),
        }
    }

    pub fn lease_count(&self, role: &str) -> usize {
        self.names(&format!("leases/{role}")).len()
    }

    /// Runs a script of bash in the directory beside the mount; `$M` is the mount. Returns what it prints.
    pub fn sh(&self, script: &str) -> String {
        let output = self.try_sh(script);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {}\n{error}\n{}", output.status, self.site.log());
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn try_sh(&self, script: &str) -> Output {
        self.program("bash", &["-c", script]).output().unwrap()
    }

    /// What a script that must fail says on its standard error.
    pub fn sh_fails(&self, script: &str) -> String {
        let output = self.try_sh(script);
        assert!(!output.status.success(), "{script} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Runs Python; `m` is the mount's path, `t` a role "app"'s token file.
    pub fn python(&self, script: &str) -> String {
        let output = self.python_command(script).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {}\n{error}\n{}", output.status, self.site.log());
        String::from_utf8(output.stdout).unwrap()
    }

    fn python_command(&self, script: &str) -> Command {
        let script = format!("import os, sys, time\nm = os.environ['M']\nt = m + '/creds/app/token'\n{script}");
        self.program("python3", &["-c", &script])
    }

    /// A program that runs beside the test until it is told to go on.
    pub fn holder(&self, script: &str) -> Holder {
        Holder::start(self.program("bash", &["-c", script]))
    }

    pub fn python_holder(&self, script: &str) -> Holder {
        Holder::start(self.python_command(script))
    }

    /// A program in the directory beside the mount. `$M` is the mount, for `tfcfs` as well, and `$T` is `tfcfs`.
    pub fn program(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        let mount = self.at("");
        let mount = mount.to_str().unwrap().trim_end_matches('/');
        command.args(arguments).current_dir(self.dir.path());
        command.env("M", mount).env("TFCFS_MOUNTPOINT", mount).env("T", env!("CARGO_BIN_EXE_tfcfs"));
        command
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.child);
        for (signal, patience) in [(Signal::TERM, 8), (Signal::KILL, 2)] {
            if let Ok(None) = self.child.try_wait() {
                let _ = kill_process(pid, signal);
                wait_for(&mut self.child, Duration::from_secs(patience));
            }
        }
        unmount(&self.site.at(""));
    }
}

/// As the last resort: nothing of a failed test stays mounted.
fn unmount(path: &Path) {
    let _ = rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH);
}

/// A bind mount, taken away when dropped.
pub struct Bound(PathBuf);

impl Bound {
    pub fn new(from: &Path, to: &Path) -> Self {
        rustix::mount::mount_bind(from, to).unwrap();
        Self(to.to_owned())
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}

/// A program that says lines and waits for one to go on.
pub struct Holder {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Holder {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Its next line, without the end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Lets it go on.
    pub fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub fn wait(mut self) -> ExitStatus {
        wait_for(&mut self.child, PATIENCE).expect("the program ends")
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn wait_for(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return Some(status),
            None if start.elapsed() > patience => return None,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Waits until something is so.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How a failed read ended.
#[track_caller]
pub fn errno_of<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.expect_err("must fail").raw_os_error().expect("an error of the system")
}

/// The signal that ended a program.
pub fn signal_of(status: ExitStatus) -> Option<i32> {
    status.signal()
}
