//! Runs the watchers: each on a role of its own that is rotated and revoked, and on roles that come and go. One word for each
//! change, none lost, none invented.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::page::{self, Outcome, Row};
use super::programs::Programs;
use super::watchers::{ROLES, TOKEN, Watcher};
use crate::support::{Daemon, Site};

/// A change that is not seen by then is lost. What is promised is 50 ms; what was measured is printed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Rotations come no closer than this; what comes within it after a change belongs to that.
const QUIET: Duration = Duration::from_millis(1050);

/// What happens to a watched token.
const CHANGES: &[(&str, &str)] = &[
    ("a rotation", "echo > $M/rotate/ROLE"),
    ("a revocation", "rm $M/leases/ROLE/*"),
    ("a rotation after it", "echo > $M/rotate/ROLE"),
    ("a rotation with revocation", "echo revoke > $M/rotate/ROLE"),
];

/// All watchers.
pub fn all() -> Vec<Row> {
    let only = page::only().unwrap_or_default();
    let programs = Programs::compiled();
    let site = Site::new();
    site.fake.set_rate(0);
    site.settings("rate = 5000\n");
    let daemon = site.mount_ephemeral();
    daemon.write("config", &daemon.anchor());
    let is_wanted = |watcher: &&Watcher| format!("{} {}", watcher.family, watcher.name).contains(&only);
    let tokens = TOKEN.iter().filter(is_wanted).enumerate();
    let bench = Bench { daemon: &daemon, programs: &programs };
    let mut rows = std::thread::scope(|scope| {
        let run = |(index, watcher): (usize, &'static Watcher)| {
            let bench = &bench;
            scope.spawn(move || bench.token(&format!("w{index:02}"), watcher))
        };
        let running: Vec<_> = tokens.map(run).collect();
        running.into_iter().map(|row| row.join().expect("failures are values")).collect::<Vec<Row>>()
    });
    rows.extend(bench.roles(&ROLES.iter().filter(is_wanted).collect::<Vec<_>>()));
    rows
}

fn row(watcher: &Watcher, result: Result<Duration, String>) -> Row {
    let outcome = match result {
        Ok(longest) => {
            println!("{} {}: {:.1} ms at the longest", watcher.family, watcher.name, longest.as_secs_f64() * 1e3);
            Outcome::Works
        }
        Err(why) => Outcome::Failed(why),
    };
    Row { family: watcher.family, name: watcher.name, outcome }
}

struct Bench<'a> {
    daemon: &'a Daemon,
    programs: &'a Programs,
}

impl Bench<'_> {
    fn token(&self, role: &str, watcher: &Watcher) -> Row {
        self.daemon.write(&format!("roles/{role}"), &self.daemon.team_role("min_rotation_interval = \"1s\""));
        let token = format!("creds/{role}/token");
        self.daemon.read(&token);
        let dir = self.daemon.at(&format!("creds/{role}"));
        let told = Told::start(self, watcher, dir.to_str().unwrap());
        row(watcher, told.and_then(|told| self.changes(role, &token, &told)))
    }

    /// How long the latest word of any change took.
    fn changes(&self, role: &str, token: &str, told: &Told) -> Result<Duration, String> {
        self.daemon.sh(&format!("cat $M/{token} > /dev/null; stat $M/{token} > /dev/null; ls -l $M/creds/{role}"));
        told.nothing("a look")?;
        let mut longest = Duration::ZERO;
        for (what, script) in CHANGES {
            let start = Instant::now();
            self.daemon.sh(&script.replace("ROLE", role));
            longest = longest.max(told.some(what, start)?);
            // As whoever watches does.
            self.daemon.read(token);
            told.nothing(what)?;
        }
        Ok(longest)
    }

    /// A role comes, comes back under a temporary file's name, and goes.
    fn roles(&self, watchers: &[&Watcher]) -> Vec<Row> {
        let dir = self.daemon.at("roles");
        let told: Vec<_> = watchers.iter().map(|watcher| Told::start(self, watcher, dir.to_str().unwrap())).collect();
        std::fs::write(self.daemon.beside("document"), self.daemon.team_role("")).unwrap();
        let mut results: Vec<Result<Duration, String>> = told.iter().map(|_| Ok(Duration::ZERO)).collect();
        for (what, script) in [("a new role", "cat document > $M/roles/new"), ("its removal", "rm $M/roles/new")] {
            let start = Instant::now();
            self.daemon.sh(script);
            for (told, result) in told.iter().zip(&mut results) {
                // A new file is written too: several words, of which the first counts.
                let seen = told.as_ref().map_err(Clone::clone).and_then(|told| told.some(what, start));
                *result = result.clone().and_then(|longest| Ok(longest.max(seen?)));
            }
            std::thread::sleep(Duration::from_millis(700));
            told.iter().flatten().for_each(|told| while told.lines.try_recv().is_ok() {});
        }
        watchers.iter().zip(results).map(|(watcher, result)| row(watcher, result)).collect()
    }
}

/// A running watcher and what it says, with the time of each line.
struct Told {
    child: Child,
    lines: Receiver<(Instant, String)>,
}

impl Told {
    fn start(bench: &Bench<'_>, watcher: &Watcher, dir: &str) -> Result<Self, String> {
        let script = watcher.script.replace("{file}", &format!("{dir}/token")).replace("{dir}", dir);
        let beside = bench.daemon.dir.path();
        let mut child = super::read::command(&script, &bench.programs.dir(), beside, beside)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bash is there");
        let (sender, lines) = channel();
        let printed = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in printed.lines().map_while(Result::ok) {
                let _ = sender.send((Instant::now(), line));
            }
        });
        let told = Self { child, lines };
        loop {
            let (_, line) =
                told.lines.recv_timeout(Duration::from_secs(20)).map_err(|_| "it never began".to_owned())?;
            if line == "ready" || line == "Watches established." {
                // It may say so a moment before it is.
                std::thread::sleep(Duration::from_millis(300));
                return Ok(told);
            }
        }
    }

    fn some(&self, what: &str, since: Instant) -> Result<Duration, String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok((at, _)) => Ok(at.duration_since(since)),
            Err(RecvTimeoutError::Timeout) => Err(format!("{what} was not seen")),
            Err(RecvTimeoutError::Disconnected) => Err(format!("it ended before {what}")),
        }
    }

    fn nothing(&self, what: &str) -> Result<(), String> {
        match self.lines.recv_timeout(QUIET) {
            Ok((_, line)) => Err(format!("{what} was told twice, or made up: {line}")),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // `timeout` hands the signal on to what it runs.
        let _ =
            rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}
