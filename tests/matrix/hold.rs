//! Runs the holders: a lease that is revoked at its last close lives as long as any copy of its handle, and not longer. How long
//! it outlives the copy is printed.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};

use super::page::{self, Outcome, Row};
use super::programs::Programs;
use crate::support::{Daemon, Site};

/// What holds a handle, by the word of `programs/holder.c`.
const HOLDERS: &[(&str, &str)] = &[
    ("an open file", "open"),
    ("dup", "dup"),
    ("a forked child", "fork"),
    ("an inherited handle after exec", "exec"),
    ("a message under way (SCM_RIGHTS)", "scm_rights"),
    ("a mapping after close", "mmap"),
    ("an io_uring registered file", "io_uring"),
    ("O_PATH beside it does not", "O_PATH"),
    ("a process until kill -9", "killed"),
    ("a stopped process until kill -9", "stopped"),
    ("a frozen cgroup until kill -9", "frozen"),
];

/// A lease must outlive its holder's other copies by more than a busy machine needs to end it.
const STAYS: Duration = Duration::from_millis(200);

/// It is gone by then. What is measured is printed.
const PATIENCE: Duration = Duration::from_secs(5);

/// All holders, one after the other: their delays are measured.
pub fn all() -> Vec<Row> {
    let only = page::only().unwrap_or_default();
    let programs = Programs::compiled();
    let daemon = Site::new().mount_ephemeral();
    daemon.write("config", &daemon.anchor());
    let bench = Bench { daemon, programs };
    let wanted = HOLDERS.iter().filter(|(name, _)| name.contains(&only));
    let run = |(name, way): &(&'static str, &'static str)| {
        let outcome = match bench.run(way) {
            Ok(delay) => {
                // `events` cuts its times to milliseconds.
                println!("{name}: the lease had ended within {:.0} ms", delay.as_secs_f64() * 1e3 + 1.0);
                Outcome::Works
            }
            Err(why) => Outcome::Failed(why),
        };
        Row { family: "the lease", name, outcome }
    };
    wanted.map(run).collect()
}

struct Bench {
    daemon: Daemon,
    programs: Programs,
}

impl Bench {
    /// How long the lease outlived its last copy.
    fn run(&self, way: &str) -> Result<Duration, String> {
        self.daemon.write("roles/app", &self.daemon.team_role("on_close = \"revoke\""));
        let mut holder = Holder::start(&self.programs, if way == "frozen" { "stopped" } else { way }, &self.daemon);
        holder.expects("held")?;
        let frozen =
            (way == "frozen").then(|| Frozen::new(&holder.child)).transpose().map_err(|error| error.to_string())?;
        std::thread::sleep(STAYS);
        if self.handles() != 1 {
            return Err(format!("{} handles while it is held", self.handles()));
        }
        let id = self.lease().ok_or("no lease while it is held")?;
        let since = match frozen {
            Some(frozen) => {
                let since = machine_time();
                holder.signal(Signal::KILL);
                // A process in a frozen cgroup dies when it is told to.
                drop(frozen);
                since
            }
            None => {
                let since = holder.goes()?;
                if way != "stopped" {
                    since
                } else {
                    std::thread::sleep(STAYS);
                    if self.handles() != 1 {
                        return Err("a stopped process does not hold it".to_owned());
                    }
                    let since = machine_time();
                    holder.signal(Signal::KILL);
                    since
                }
            }
        };
        let ended = self.ended(&id).ok_or("the lease goes on")?;
        Ok(ended.duration_since(since).unwrap_or_default())
    }

    fn lease(&self) -> Option<String> {
        self.daemon.names("leases/app").pop()
    }

    fn handles(&self) -> usize {
        self.daemon.lease("app").lines().find_map(|line| line.strip_prefix("handles = ")?.parse().ok()).unwrap_or(0)
    }

    /// When `events` says that it ended.
    fn ended(&self, id: &str) -> Option<SystemTime> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let events = fs::read_to_string(self.daemon.at("events")).ok()?;
            for line in events.lines().filter(|line| line.contains(id)) {
                let event: serde_json::Value = serde_json::from_str(line).ok()?;
                if ["revoked", "expired"].iter().any(|word| event["event"] == *word) {
                    let time: jiff::Timestamp = event["time"].as_str()?.parse().ok()?;
                    return Some(
                        UNIX_EPOCH + Duration::try_from(time.duration_since(jiff::Timestamp::UNIX_EPOCH)).ok()?,
                    );
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

#[expect(clippy::disallowed_methods, reason = "compared with the time of a line in `events`")]
fn machine_time() -> SystemTime {
    SystemTime::now()
}

/// A running `programs/holder.c`.
struct Holder {
    child: Child,
    input: ChildStdin,
    lines: BufReader<ChildStdout>,
}

impl Holder {
    fn start(programs: &Programs, way: &str, daemon: &Daemon) -> Self {
        let mut child = Command::new(programs.dir().join("holder"))
            .arg(way)
            .arg(daemon.at("creds/app/token"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was compiled");
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, lines: BufReader::new(output) }
    }

    fn expects(&mut self, word: &str) -> Result<String, String> {
        let mut line = String::new();
        self.lines.read_line(&mut line).map_err(|error| error.to_string())?;
        let line = line.trim_end();
        line.strip_prefix(word)
            .map(|rest| rest.trim().to_owned())
            .ok_or_else(|| format!("it says {line:?}, not {word}"))
    }

    /// Lets the last copy go; when it went.
    fn goes(&mut self) -> Result<SystemTime, String> {
        self.input.write_all(b"\n").map_err(|error| error.to_string())?;
        let seconds: f64 = self.expects("gone")?.parse().map_err(|_| "no time".to_owned())?;
        Ok(UNIX_EPOCH + Duration::from_secs_f64(seconds))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A cgroup that stands still, with one process in it.
struct Frozen(PathBuf);

impl Frozen {
    fn new(child: &Child) -> std::io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let unified =
            mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|mount| mount[2] == "cgroup2");
        let unified = PathBuf::from(unified.ok_or_else(|| std::io::Error::other("no cgroup2 is mounted"))?[1]);
        let frozen = Self(unified.join(format!("tfcfs-matrix-{}", child.id())));
        fs::create_dir(&frozen.0)?;
        fs::write(frozen.0.join("cgroup.procs"), child.id().to_string())?;
        fs::write(frozen.0.join("cgroup.freeze"), "1")?;
        let start = Instant::now();
        while !fs::read_to_string(frozen.0.join("cgroup.events"))?.contains("frozen 1") {
            if start.elapsed() > PATIENCE {
                return Err(std::io::Error::other("it does not freeze"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(frozen)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let start = Instant::now();
        // Its process has to be gone first.
        while fs::remove_dir(&self.0).is_err() && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
