//! The units of systemd, where it runs.

use std::process::Command;
use std::time::Duration;

use super::Finding;
use super::probe;

const CHECK: &str = "systemd";

/// What `systemctl` may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// systemd is this machine's service manager.
    pub runs: bool,
    /// Its units of tfcfs, or why it does not say.
    pub units: Result<Vec<Unit>, String>,
}

/// One unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// `loaded`, `not-found`, `bad-setting`, …
    pub load: String,
    /// `active`, `failed`, `inactive`, …
    pub active: String,
    /// `success`, `exit-code`, `signal`, …
    pub result: String,
    /// Exit status of its main process.
    pub status: String,
    /// Descriptors that are kept for it, and may be.
    pub stored: u64,
    /// How many may be.
    pub most_stored: u64,
}

impl Facts {
    /// Asks `systemctl`.
    pub fn gather() -> Self {
        // sd_booted(3).
        if !probe::exists("/run/systemd/system") {
            return Self { runs: false, units: Ok(Vec::new()) };
        }
        Self { runs: true, units: units().map_err(|error| error.to_string()) }
    }
}

fn units() -> std::io::Result<Vec<Unit>> {
    let list = ["list-units", "--all", "--plain", "--no-legend", "--no-pager", "tfcfs*.service"];
    let listed = probe::output(Command::new("systemctl").args(list), PATIENCE)?;
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut show = Command::new("systemctl");
    show.args(["show", "--no-pager", "--property"]);
    show.arg("Id,LoadState,ActiveState,Result,ExecMainStatus,NFileDescriptorStore,FileDescriptorStoreMax");
    let shown = probe::output(show.args(names), PATIENCE)?;
    Ok(shown.split("\n\n").filter(|block| !block.trim().is_empty()).map(parse).collect())
}

/// `KEY=VALUE` lines.
fn parse(block: &str) -> Unit {
    let get = |key: &str| {
        let value = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_default().to_owned()
    };
    let number = |key: &str| get(key).parse().unwrap_or(0);
    Unit {
        name: get("Id"),
        load: get("LoadState"),
        active: get("ActiveState"),
        result: get("Result"),
        status: get("ExecMainStatus"),
        stored: number("NFileDescriptorStore"),
        most_stored: number("FileDescriptorStoreMax"),
    }
}

/// What it means; nothing where systemd does not run.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    match &facts.units {
        _ if !facts.runs => Vec::new(),
        Err(error) => vec![Finding::warning(
            CHECK,
            format!("systemctl does not say how the units of tfcfs are: {error}"),
            "systemctl status 'tfcfs*'",
        )],
        Ok(units) if units.is_empty() => vec![Finding::ok(CHECK, "no unit of tfcfs is loaded")],
        Ok(units) => units.iter().map(judge_unit).collect(),
    }
}

fn judge_unit(unit: &Unit) -> Finding {
    let name = &unit.name;
    if !matches!(unit.load.as_str(), "loaded" | "masked") {
        return Finding::problem(
            CHECK,
            format!("{name} cannot be loaded ({})", unit.load),
            format!("systemd-analyze verify {name}; then systemctl daemon-reload"),
        );
    }
    match unit.active.as_str() {
        "failed" => Finding::problem(
            CHECK,
            format!("{name} has failed ({}, exit status {}): systemd has given it up", unit.result, unit.status),
            format!("journalctl -u {name} says why; then systemctl reset-failed {name}; systemctl start {name}"),
        ),
        "active" if unit.most_stored > 0 && unit.stored == 0 => Finding::warning(
            CHECK,
            format!("{name} runs, but systemd keeps no descriptor of its mount: a restart drops the mount"),
            format!("systemctl stop {name}; systemctl start {name}"),
        ),
        active => Finding::ok(CHECK, format!("{name} is {active}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    const SHOWN: &str = "\
Id=tfcfs.service
LoadState=loaded
ActiveState=active
Result=success
ExecMainStatus=0
FileDescriptorStoreMax=1
NFileDescriptorStore=1
";

    fn level(change: impl FnOnce(&mut Unit)) -> Level {
        let mut unit = parse(SHOWN);
        change(&mut unit);
        judge_unit(&unit).level
    }

    #[test]
    fn what_systemctl_shows() {
        let unit = parse(SHOWN);
        assert_eq!((unit.name.as_str(), unit.stored, unit.most_stored), ("tfcfs.service", 1, 1));
        assert_eq!(level(|_| ()), Level::Ok);
        assert_eq!(level(|unit| unit.active = "failed".into()), Level::Problem);
        assert_eq!(level(|unit| unit.load = "bad-setting".into()), Level::Problem);
        assert_eq!(level(|unit| unit.stored = 0), Level::Warning);
        assert_eq!(level(|unit| (unit.stored, unit.most_stored) = (0, 0)), Level::Ok, "it does not want any");
        assert_eq!(level(|unit| (unit.active, unit.stored) = ("inactive".into(), 0)), Level::Ok);
    }

    #[test]
    fn with_and_without_systemd() {
        assert_eq!(judge(&Facts { runs: false, units: Ok(Vec::new()) }), []);
        assert_eq!(judge(&Facts { runs: true, units: Ok(Vec::new()) })[0].level, Level::Ok);
        assert_eq!(judge(&Facts { runs: true, units: Err("x".into()) })[0].level, Level::Warning);
    }
}
