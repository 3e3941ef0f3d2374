//! What a daemon with a hundred roles needs: memory, and nothing while nobody asks.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::Outcome;
use crate::daemon::{Daemon, Setup};
use crate::fake::{Fake, FakeOptions};
use crate::table::Table;

const ROLES: usize = 100;
/// MB.
const MEMORY: f64 = 25.0;
/// By then the ends of what was just closed are in the ledger (5 s), and the timers of the last calls and of the idle
/// connection (20 s, looked at every 20 s) have fired for the last time.
const SETTLE: Duration = Duration::from_secs(45);
const IDLE: Duration = Duration::from_secs(10);

/// Measures it.
pub fn measure(table: &mut Table) -> Outcome {
    let fake = Fake::start(FakeOptions { rate: 0, ..FakeOptions::default() });
    let daemon = Daemon::start(&Setup::new(&fake, "idle", ROLES))?;
    for role in 0..ROLES {
        fs::read(daemon.token(role))?;
    }
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()))?;
    table.at_most(
        format!("resident memory, {ROLES} roles, each read once"),
        field(&status, "VmRSS")? / 1e3,
        MEMORY,
        " MB",
    );
    std::thread::sleep(SETTLE);
    let before = Usage::of(daemon.pid())?;
    std::thread::sleep(IDLE);
    let after = Usage::of(daemon.pid())?;
    table.exactly("10 s idle: CPU ticks of 10 ms", after.ticks - before.ticks, 0);
    let awake = after.awake_since(&before);
    table.exactly(format!("10 s idle: context switches {}", awake.join(" ")), after.switches() - before.switches(), 0);
    Ok(())
}

/// A number of a `/proc/*/status` file.
/// A number of `/proc/PID/status`.
pub fn field(status: &str, name: &str) -> Outcome<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()).ok_or("a field is missing")?;
    Ok(number.parse()?)
}

struct Usage {
    ticks: usize,
    /// By thread.
    switches: BTreeMap<String, usize>,
}

impl Usage {
    fn of(pid: u32) -> Outcome<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // After the name, which may hold anything: utime and stime are the 12th and 13th.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let times = fields.get(11..13).ok_or("stat is short")?.iter();
        let ticks = times.map(|field| field.parse::<usize>()).sum::<Result<_, _>>()?;
        let mut switches = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?;
            let status = fs::read_to_string(task.path().join("status"))?;
            let count = field(&status, "voluntary_ctxt_switches")? + field(&status, "nonvoluntary_ctxt_switches")?;
            let name = fs::read_to_string(task.path().join("comm"))?;
            switches.insert(format!("{}/{}", name.trim_end(), task.file_name().display()), count as usize);
        }
        Ok(Self { ticks, switches })
    }

    fn switches(&self) -> usize {
        self.switches.values().sum()
    }

    /// Threads that ran.
    fn awake_since(&self, before: &Self) -> Vec<String> {
        let ran = self.switches.iter().filter(|(thread, count)| before.switches.get(*thread) != Some(count));
        ran.map(|(thread, _)| thread.clone()).collect()
    }
}
