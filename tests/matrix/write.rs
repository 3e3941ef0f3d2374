//! Runs the writers: a good document is in force, a bad one leaves the old one in force and is shown.

use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::page::{self, Outcome, Row};
use super::programs::Programs;
use super::read::command;
use super::writers::{self, Leads, Writer};
use crate::support::{Daemon, Site};

/// Writers at once: an editor waits for its screen most of the time.
const AT_ONCE: usize = 6;

/// What was good, and what no role can have.
const VALUES: [&str; 2] = ["20m", "bogus"];

/// All writers.
pub fn all() -> Vec<Row> {
    let only = page::only().unwrap_or_default();
    let is_wanted = |writer: &Writer| format!("{} {}", writer.family, writer.name).contains(&only);
    let writers: Vec<Writer> = writers::all().into_iter().filter(is_wanted).collect();
    let bench = Bench::new();
    let next = AtomicUsize::new(0);
    let mut rows: Vec<(usize, Row)> = std::thread::scope(|scope| {
        let work = || {
            let mut rows = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(writer) = writers.get(index) else { return rows };
                let outcome = bench.run(&format!("w{index:03}"), writer).unwrap_or_else(Outcome::Failed);
                rows.push((index, Row { family: writer.family, name: writer.name, outcome }));
            }
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("failures are values")).collect()
    });
    rows.sort_by_key(|(index, _)| *index);
    rows.into_iter().map(|(_, row)| row).collect()
}

struct Bench {
    daemon: Daemon,
    programs: Programs,
}

impl Bench {
    fn new() -> Self {
        let programs = Programs::compiled();
        let daemon = Site::new().mount_ephemeral();
        daemon.write("config", &daemon.anchor());
        Self { daemon, programs }
    }

    fn run(&self, role: &str, writer: &Writer) -> Result<Outcome, String> {
        let former = self.daemon.team_role("ttl = \"10m\"");
        let path = self.daemon.at(&format!("roles/{role}"));
        let mut but = Vec::new();
        for value in VALUES {
            self.daemon.write(&format!("roles/{role}"), &former);
            let before = fs::read_to_string(&path).map_err(|error| error.to_string())?;
            let (shown, said) = self.write(role, writer, value);
            let after = self.settled(role, &before);
            let is_good = value == VALUES[0];
            match (is_good, writer.leads, after) {
                (true, Leads::Commits, Some(after)) if after.contains(value) && !shown => {}
                (_, Leads::Nothing, Some(after)) if after == before => {}
                (false, Leads::Commits, Some(after)) if after == before => {
                    if !shown {
                        but.push("hides the error");
                    }
                }
                (false, Leads::Commits, None) if shown => {
                    but.push("a bad document leaves no role: it removes or renames the old one first")
                }
                (_, _, after) => {
                    let after = after.unwrap_or_else(|| "(no role)".into());
                    return Err(format!("{value}: {said:?}, then {after:?}"));
                }
            }
            self.daemon.sh(&format!("rm -f $M/roles/{role}~ $M/roles/{role}.* $M/roles/.{role}*"));
        }
        if writer.leads == Leads::Nothing {
            return Ok(Outcome::Limited("changes nothing".into()));
        }
        Ok(if but.is_empty() { Outcome::Works } else { Outcome::Limited(format!("yes, but {}", but.join("; "))) })
    }

    /// Runs it; whether it shows an error, and what it says.
    fn write(&self, role: &str, writer: &Writer, value: &str) -> (bool, String) {
        let work = self.daemon.beside(&format!("{role}-{value}"));
        fs::create_dir(&work).unwrap();
        let new = work.join("new");
        fs::write(&new, self.daemon.team_role(&format!("ttl = \"{value}\""))).unwrap();
        let script = writer.script.replace("{value}", value);
        let output = command(&script, &self.programs.dir(), self.daemon.dir.path(), &work)
            .env("R", self.daemon.at(&format!("roles/{role}")))
            .env("D", self.daemon.at("roles"))
            .env("N", &new)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
        let shown = !output.status.success() || ["rror", "nvalid argument"].iter().any(|word| said.contains(word));
        (shown, said.chars().rev().take(400).collect::<Vec<_>>().into_iter().rev().collect())
    }

    /// The role, once a writer that exits without closing had its time.
    fn settled(&self, role: &str, before: &str) -> Option<String> {
        let start = Instant::now();
        loop {
            let now = fs::read_to_string(self.daemon.at(&format!("roles/{role}"))).ok();
            if now.as_deref() != Some(before) || start.elapsed() > Duration::from_millis(200) {
                return now;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
