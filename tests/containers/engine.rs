//! Podman with a configuration, images and containers of its own, below target/ and /run.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A hung mount must not hang the test that finds it.
const PATIENCE: &str = "60";

/// What containers need so that they start where a test may not raise limits.
const LIMITS: &str = "[containers]\ndefault_ulimits = [\"nofile=1024:4096\", \"nproc=4096:4096\"]\n";

/// Where podman keeps what it makes.
pub struct Engine {
    configuration: PathBuf,
}

impl Engine {
    pub fn new() -> Self {
        let configuration = Path::new(env!("CARGO_TARGET_TMPDIR")).join("podman");
        // Sockets live there: their paths must be short.
        let mut hasher = DefaultHasher::new();
        configuration.hash(&mut hasher);
        let run = format!("/run/tfcfs-test-{:08x}", hasher.finish() as u32);
        fs::create_dir_all(&configuration).unwrap();
        fs::create_dir_all(&run).unwrap();
        let store = configuration.join("store");
        let storage = format!("[storage]\ndriver = \"overlay\"\ngraphroot = {store:?}\nrunroot = \"{run}/storage\"\n");
        let engine = format!(
            "{LIMITS}[engine]\ncgroup_manager = \"cgroupfs\"\nruntime = \"runc\"\nevents_logger = \"file\"\nlock_type = \"file\"\n\
             tmp_dir = \"{run}/libpod\"\n"
        );
        put(&configuration.join("storage.conf"), &storage);
        put(&configuration.join("containers.conf"), &engine);
        Self { configuration }
    }

    /// A program that calls podman.
    pub fn prepare(&self, command: &mut Command) {
        command.env("CONTAINERS_CONF", self.configuration.join("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", self.configuration.join("storage.conf"));
        // Its proxies are not the containers'.
        for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            command.env_remove(name);
        }
    }

    pub fn podman(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        self.prepare(command.args([PATIENCE, "podman"]).args(arguments));
        command.output().unwrap()
    }

    /// What podman prints.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.podman(arguments);
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "podman {arguments:?}: {}\n{text}\n{error}", output.status);
        text
    }

    /// Starts a container; `arguments` are those of `podman run` after `--name`.
    pub fn start(&self, arguments: &[&str]) -> Container<'_> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("tfcfs-test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let container = Container { engine: self, name };
        self.ok(&[&["run", "--detach", "--name", &container.name, "--network", "host"], arguments].concat());
        container
    }
}

/// Written once: another test may be reading it.
fn put(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|now| now == text) {
        return;
    }
    let draft = path.with_extension(std::process::id().to_string());
    fs::write(&draft, text).unwrap();
    fs::rename(draft, path).unwrap();
}

/// A container, taken away when dropped.
pub struct Container<'a> {
    engine: &'a Engine,
    pub name: String,
}

impl<'a> Container<'a> {
    /// One that somebody else starts.
    pub fn named(engine: &'a Engine, name: &str) -> Self {
        Self { engine, name: name.to_owned() }
    }

    /// What a program in it prints.
    pub fn exec(&self, arguments: &[&str]) -> String {
        self.engine.ok(&[&["exec", &self.name], arguments].concat())
    }

    pub fn try_exec(&self, arguments: &[&str]) -> Output {
        self.engine.podman(&[&["exec", &self.name], arguments].concat())
    }

    pub fn sh(&self, script: &str) -> String {
        self.exec(&["sh", "-c", script])
    }

    pub fn logs(&self) -> String {
        let output = self.engine.podman(&["logs", &self.name]);
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    /// Its first process, as the host numbers it.
    pub fn pid(&self) -> u32 {
        self.engine.ok(&["inspect", "--format", "{{.State.Pid}}", &self.name]).parse().unwrap()
    }

    /// Children of its first process.
    pub fn children(&self) -> Vec<u32> {
        let pid = self.pid();
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        text.split_whitespace().map(|child| child.parse().unwrap()).collect()
    }

    /// Kills it as the kernel does when memory runs out; nothing of it tidies up.
    pub fn kill(&self) {
        self.engine.ok(&["kill", "--signal", "KILL", &self.name]);
        self.engine.ok(&["wait", &self.name]);
    }

    pub fn start_again(&self) {
        self.engine.ok(&["start", &self.name]);
    }

    /// Asks it to end; returns its exit code.
    pub fn stop(&self) -> i32 {
        self.engine.ok(&["stop", "--time", "30", &self.name]);
        self.exit_code()
    }

    /// Waits for its end.
    pub fn exit_code(&self) -> i32 {
        self.engine.ok(&["wait", &self.name]).parse().unwrap()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.name, self.logs());
        }
        self.engine.podman(&["rm", "--force", "--volumes", "--time", "2", &self.name]);
    }
}
