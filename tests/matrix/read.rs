//! Runs the readers: each on every kind of role, and each of these by path, symbolic link, bind-mounted directory and
//! bind-mounted file, before a rotation and after it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::page::{self, Outcome, Row};
use super::programs::Programs;
use super::readers::{self, Reader, Runs, Says, Way};
use crate::fake::{ACME, TokenInfo};
use crate::support::{Bound, Daemon, Site};

/// Which token a role hands out. Each kind has a mount of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The one token of a legacy team.
    Slot,
    /// Described tokens, one for all openers.
    Shared,
    /// Every open its own.
    Open,
    /// Tokens of 120 bytes.
    Long,
}

/// Readers between two rotations.
const AT_ONCE: usize = 32;

/// So long after a rotation a bind-mounted file may still show the former token, which works.
const FORMER: Duration = Duration::from_millis(1100);

const KINDS: [Kind; 4] = [Kind::Slot, Kind::Shared, Kind::Open, Kind::Long];

const WAYS: [Way; 4] = [Way::Path, Way::Symlink, Way::BoundDirectory, Way::BoundFile];

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path => "by path",
            Self::Symlink => "by symlink",
            Self::BoundDirectory => "in a bound directory",
            Self::BoundFile => "by a bound file",
        })
    }
}

impl Kind {
    fn length(self) -> usize {
        if self == Self::Long { 120 } else { 90 }
    }

    fn document(self, site: &Site, role: &str) -> String {
        match self {
            Self::Slot => format!("team_id = \"{}\"\n", site.fake.seed_team(ACME, role)),
            Self::Open => site.team_role("share = \"open\""),
            Self::Shared | Self::Long => site.team_role(""),
        }
    }
}

/// All readers on all kinds of roles.
pub fn all() -> Vec<Row> {
    let only = page::only().unwrap_or_default();
    let is_wanted = |reader: &Reader| format!("{} {}", reader.family, reader.name).contains(&only);
    let readers: Vec<Reader> = readers::all().into_iter().filter(is_wanted).collect();
    let programs = Programs::compiled();
    let failures: Vec<Vec<Option<String>>> = std::thread::scope(|scope| {
        let of = |kind| {
            let (readers, programs) = (&readers, programs.dir());
            scope.spawn(move || Bench::new(kind, programs).run_all(readers))
        };
        let benches: Vec<_> = KINDS.into_iter().map(of).collect();
        benches.into_iter().map(|bench| bench.join().expect("failures are values")).collect()
    });
    let outcome = |index: usize| {
        let of = |(kind, failed): (Kind, &Vec<Option<String>>)| Some(format!("{kind:?}: {}", failed[index].as_ref()?));
        let failed: Vec<String> = KINDS.into_iter().zip(&failures).filter_map(of).collect();
        if !failed.is_empty() {
            return Outcome::Failed(failed.join("; "));
        }
        readers[index].but.map_or(Outcome::Works, |but| Outcome::Limited(format!("yes, but {but}")))
    };
    let row =
        |(index, reader): (usize, &Reader)| Row { family: reader.family, name: reader.name, outcome: outcome(index) };
    readers.iter().enumerate().map(row).collect()
}

/// A mount with roles of one kind, and the other ways to it.
struct Bench {
    kind: Kind,
    daemon: Daemon,
    programs: PathBuf,
    _bound: Bound,
}

impl Bench {
    fn new(kind: Kind, programs: PathBuf) -> Self {
        let site = Site::new();
        site.fake.set_rate(0);
        site.fake.set_token_length(kind.length());
        site.settings("rate = 5000\n");
        let daemon = site.mount_ephemeral();
        daemon.write("config", &daemon.anchor());
        for dir in ["links", "dir", "files", "work"] {
            fs::create_dir(daemon.beside(dir)).unwrap();
        }
        let bound = Bound::new(&daemon.at("creds"), &daemon.beside("dir"));
        // No upstream announces its lengths: whoever takes the size before the first open of all is told the usual one.
        daemon.write("roles/first", &kind.document(&daemon, "first"));
        daemon.read("creds/first/token");
        Self { kind, daemon, programs, _bound: bound }
    }

    fn run_all(&self, readers: &[Reader]) -> Vec<Option<String>> {
        let indexed: Vec<(usize, &Reader)> = readers.iter().enumerate().collect();
        indexed.chunks(AT_ONCE).flat_map(|some| self.run_some(some)).collect()
    }

    /// Every way, a rotation, every way.
    fn run_some(&self, readers: &[(usize, &Reader)]) -> Vec<Option<String>> {
        let mut runs: Vec<Run> = readers.iter().map(|(index, reader)| Run::new(self, *index, reader)).collect();
        runs.iter_mut().for_each(|run| run.round(self, ""));
        if self.kind != Kind::Open {
            runs.iter().for_each(|run| self.daemon.rotate(&run.role));
            std::thread::sleep(FORMER);
        }
        runs.iter_mut().for_each(|run| run.round(self, " after a rotation"));
        runs.into_iter().map(|run| run.failure).collect()
    }

    /// A symbolic link and a bind-mounted file for each door that a reader may want.
    fn lay(&self, role: &str, reader: &Reader) -> Vec<Bound> {
        let mut bound = Vec::new();
        let doors = [("token", ""), ("token.json", ".json")];
        for (door, suffix) in doors.into_iter().filter(|(_, suffix)| reader.script.contains(suffix)) {
            let link = self.daemon.beside(&format!("links/{role}{suffix}"));
            symlink(format!("../mnt/creds/{role}/{door}"), link).unwrap();
            let file = self.daemon.beside(&format!("files/{role}{suffix}"));
            fs::write(&file, "").unwrap();
            bound.push(Bound::new(&self.daemon.at(&format!("creds/{role}/{door}")), &file));
        }
        bound
    }

    fn file(&self, role: &str, way: Way) -> PathBuf {
        match way {
            Way::Path => self.daemon.at(&format!("creds/{role}/token")),
            Way::Symlink => self.daemon.beside(&format!("links/{role}")),
            Way::BoundDirectory => self.daemon.beside(&format!("dir/{role}/token")),
            Way::BoundFile => self.daemon.beside(&format!("files/{role}")),
        }
    }

    /// Which token of the role it is, if the reader tells.
    fn check(&self, reader: &Reader, role: &str, got: &[u8]) -> Result<Option<TokenInfo>, String> {
        let fake = &self.daemon.fake;
        let text = std::str::from_utf8(got).map_err(|_| format!("{} bytes that are no text", got.len()))?;
        let first = text.split_ascii_whitespace().next().unwrap_or_default();
        let token = match reader.says {
            Says::Silence if text.is_empty() => return Ok(None),
            Says::Length if first == self.kind.length().to_string() => return Ok(None),
            Says::Silence | Says::Length => return Err(format!("it says {first:?}")),
            Says::Token => fake.token_of_secret(text),
            Says::Sha256 => fake.token_where(|secret| digest("sha256sum", secret) == first),
            Says::GitBlob => fake.token_where(|secret| digest("git hash-object --stdin", secret) == first),
        };
        let token = token.ok_or_else(|| format!("{} bytes that upstream never issued", got.len()))?;
        let is_of_role = match &token.description {
            Some(description) => description.starts_with(role),
            None => token.owner.id() == fake.team_id(ACME, role),
        };
        if !token.alive || !is_of_role {
            return Err(format!("a token that is {}", if token.alive { "another role's" } else { "dead" }));
        }
        Ok(Some(token))
    }
}

/// One reader on one role.
struct Run {
    reader: Reader,
    role: String,
    runner: Runner,
    order: [Way; 4],
    seen: BTreeSet<String>,
    failure: Option<String>,
    _bound: Vec<Bound>,
}

impl Run {
    fn new(bench: &Bench, index: usize, reader: &Reader) -> Self {
        let role = format!("r{index:03}");
        bench.daemon.write(&format!("roles/{role}"), &bench.kind.document(&bench.daemon, &role));
        let bound = bench.lay(&role, reader);
        let runner = Runner::of(reader, bench, &role);
        let mut order = WAYS;
        // So that each way is the first one to some token for some readers.
        order.rotate_left(index % WAYS.len());
        Self { reader: *reader, role, runner, order, seen: BTreeSet::new(), failure: None, _bound: bound }
    }

    fn fail(&mut self, why: String) {
        self.failure.get_or_insert(why);
    }

    fn round(&mut self, bench: &Bench, when: &str) {
        let mut in_round = BTreeSet::new();
        let failed_before = self.failure.is_some();
        for way in self.order {
            if self.reader.spares.contains(&way) {
                continue;
            }
            let got = self.runner.read(&bench.file(&self.role, way));
            match got.and_then(|got| bench.check(&self.reader, &self.role, &got)) {
                Ok(token) => in_round.extend(token.map(|token| token.id)),
                Err(why) => self.fail(format!("{way}{when}: {why}")),
            }
        }
        let wanted = if bench.kind == Kind::Open { WAYS.len() - self.reader.spares.len() } else { 1 };
        let tells = !matches!(self.reader.says, Says::Length | Says::Silence);
        if tells && !failed_before && (in_round.len() != wanted || !in_round.is_disjoint(&self.seen)) {
            self.fail(format!("{} tokens where {wanted} new ones were due{when}", in_round.len()));
        }
        self.seen.extend(in_round);
        self.order.reverse();
    }
}

fn digest(program: &str, secret: &str) -> String {
    let mut child = Command::new("bash")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash is there");
    child.stdin.take().unwrap().write_all(secret.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).split_ascii_whitespace().next().unwrap_or_default().to_owned()
}

/// Runs one reader.
enum Runner {
    Once { script: String, programs: PathBuf, base: PathBuf, work: PathBuf },
    Serving { child: Child, lines: BufReader<ChildStdout> },
}

impl Runner {
    fn of(reader: &Reader, bench: &Bench, role: &str) -> Self {
        let base = bench.daemon.dir.path().to_owned();
        let work = bench.daemon.beside(&format!("work/{role}"));
        let programs = bench.programs.clone();
        match reader.runs {
            Runs::Once => {
                let script = reader.script.replace("{length}", &bench.kind.length().to_string());
                Self::Once { script, programs, base, work }
            }
            Runs::Serving => {
                fs::create_dir(&work).unwrap();
                let mut child = command(reader.script, &programs, &base, &work)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .expect("bash is there");
                let lines = BufReader::new(child.stdout.take().unwrap());
                Self::Serving { child, lines }
            }
        }
    }

    fn read(&mut self, file: &Path) -> Result<Vec<u8>, String> {
        match self {
            Self::Once { script, programs, base, work } => {
                fs::create_dir(&*work).unwrap();
                let script = script.replace("{file}", file.to_str().unwrap());
                let output = command(&script, programs, base, work).stdin(Stdio::null()).output().unwrap();
                fs::remove_dir_all(&*work).unwrap();
                let error = String::from_utf8_lossy(&output.stderr);
                let said: String =
                    error.lines().take(3).map(|line| line.chars().take(200).collect::<String>()).collect();
                let is_good = output.status.success();
                if is_good { Ok(output.stdout) } else { Err(format!("{} {said}", output.status)) }
            }
            Self::Serving { child, lines } => {
                let to = child.stdin.as_mut().unwrap();
                writeln!(to, "{}", file.display()).and_then(|()| to.flush()).map_err(|error| error.to_string())?;
                let mut line = String::new();
                lines.read_line(&mut line).map_err(|error| error.to_string())?;
                let line = line.trim_end_matches('\n');
                line.strip_prefix('!').map_or_else(|| Ok(line.as_bytes().to_vec()), |error| Err(error.to_owned()))
            }
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Self::Serving { child, .. } = self {
            // Its input ends, so it does.
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// A script of bash with the environment of the matrix, for a while.
pub fn command(script: &str, programs: &Path, base: &Path, work: &Path) -> Command {
    let mut command = Command::new("timeout");
    command
        // A hang ends with an error that names its row; longer than any row, or a server's whole round, takes.
        .args(["300", "bash", "-c"])
        .arg(format!("set -e -o pipefail\n{script}"))
        .current_dir(work)
        // Debian's own before wrappers that only choose a version.
        .env("PATH", format!("/usr/bin:/bin:{}", std::env::var("PATH").unwrap_or_default()))
        .env("BASE", base)
        .env("JAVA", format!("-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -cp {}", programs.display()))
        .env("HOME", work)
        .env("P", programs);
    command
}
