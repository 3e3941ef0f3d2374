//! `tfcfs status`: is it serving, what is wrong, since when, what to do, and what will happen by itself.

mod trouble;

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use toml::Table;

use self::trouble::{Trouble, ago, troubles};
use super::look::{find_mount, read};
use super::tables::{cell, parse, to_json};
use super::{guarded, print};
use crate::adapters::clock::SystemClock;
use crate::cli::LookArgs;
use crate::domain::ports::Clock;
use crate::exit::{ExitCode, Failure};
use crate::mount_point::{self, MountPoint};

/// A file of the mount that is not read by then is not read at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// For all of it.
const DEADLINE: Duration = Duration::from_secs(15);

pub(super) fn status(look: &LookArgs) -> Result<(), Failure> {
    guarded::run(DEADLINE, || {
        let mount = find_mount(look.mount.as_deref())?;
        match mount_point::inspect(&mount) {
            Ok(MountPoint::DeadTfcfs) => not_serving(&mount, look.json, "dead"),
            Ok(MountPoint::SilentTfcfs) => not_serving(&mount, look.json, "silent"),
            _ => serving(&mount, look.json),
        }
    })
}

fn serving(mount: &Path, as_json: bool) -> Result<(), Failure> {
    let asked = mount.to_owned();
    let Some(text) = mount_point::within(PATIENCE, move || read(&asked, "status")) else {
        return not_serving(mount, as_json, "silent");
    };
    let table = parse("status", &text?)?;
    let now = SystemClock.now();
    let troubles = troubles(&table, mount, now);
    if as_json {
        let mut all = to_json(&table);
        if let Value::Object(all) = &mut all {
            all.insert("mount".into(), mount.display().to_string().into());
            all.insert("serving".into(), true.into());
            all.insert("ok".into(), troubles.is_empty().into());
            all.insert("trouble".into(), json!(troubles));
        }
        return print::json(&all);
    }
    print::line(&page(&table, mount, &troubles, now))
}

/// Nobody answers there. What to do comes with the failure, on standard error; programs get it as JSON too.
fn not_serving(mount: &Path, as_json: bool, state: &str) -> Result<(), Failure> {
    let shown = mount.display();
    let (what, to_do) = match state {
        "dead" => (
            format!(
                "NOT SERVING: the tfcfs on {shown} has died; whoever opens a file there gets \"Transport endpoint is not connected\""
            ),
            format!(
                "start it again, which replaces the mount: tfcfs mount {shown} (or systemctl restart tfcfs); tfcfs umount {shown} only takes it away"
            ),
        ),
        _ => (
            format!("NOT SERVING: the tfcfs on {shown} does not answer; whoever opens a file there waits"),
            format!(
                "look at its process: pgrep -a tfcfs; go on: kill -CONT PID; end it: kill -9 PID; if there is none: umount -f -l {shown}"
            ),
        ),
    };
    if as_json {
        let trouble = Trouble {
            what: what.clone(),
            since: None,
            why: None,
            to_do: to_do.clone(),
            by_itself: nothing_by_itself(state),
        };
        print::json(&json!({
            "mount": mount.display().to_string(), "serving": false, "ok": false, "state": state, "trouble": [trouble],
        }))?;
    }
    Err(Failure::new(ExitCode::Unanswered, format!("{what}. {}", nothing_by_itself(state))).hint(to_do))
}

fn nothing_by_itself(state: &str) -> String {
    match state {
        "dead" => "By itself: tokens that were made end at their expired-at upstream at the latest; the next start revokes them sooner",
        _ => "By itself: nothing, unless a service manager's watchdog ends it",
    }
    .to_owned()
}

fn page(table: &Table, mount: &Path, troubles: &[Trouble], now: Timestamp) -> String {
    let shown = mount.display();
    let mut lines = vec![match troubles.len() {
        0 => format!("SERVING on {shown}; nothing is wrong"),
        1 => format!("SERVING on {shown}, but something is wrong:"),
        many => format!("SERVING on {shown}, but {many} things are wrong:"),
    }];
    for trouble in troubles {
        let since =
            trouble.since.as_deref().map(|since| format!(", since {since}{}", ago(since, now))).unwrap_or_default();
        lines.push(format!("\n* {}{since}", trouble.what));
        if let Some(why) = &trouble.why {
            lines.push(format!("  why:       {why}"));
        }
        lines.push(format!("  to do:     {}", trouble.to_do));
        lines.push(format!("  by itself: {}", trouble.by_itself));
    }
    lines.push(String::new());
    lines.extend(summary(table, now));
    lines.join("\n")
}

/// The rest, for whoever goes on reading.
fn summary(table: &Table, now: Timestamp) -> Vec<String> {
    let at = |section: &str, key: &str| {
        table.get(section).and_then(toml::Value::as_table).map_or_else(String::new, |part| cell(part, key))
    };
    let number =
        |section: &str, key: &str| Some(at(section, key)).filter(|text| !text.is_empty()).unwrap_or_else(|| "0".into());
    let started = cell(table, "started_at");
    let mut lines = vec![
        format!("daemon       tfcfs {}, started {started}{}", cell(table, "version"), ago(&started, now)),
        format!(
            "leases       {} live: {} held, {} lingering, {} superseded; {} open files, {} roles",
            number("leases", "live"),
            number("leases", "held"),
            number("leases", "lingering"),
            number("leases", "superseded"),
            cell(table, "open_files"),
            cell(table, "roles"),
        ),
        format!("revocations  {} pending", number("revocations", "pending")),
    ];
    for (name, anchor) in table.get("upstream").and_then(toml::Value::as_table).into_iter().flatten() {
        let Some(anchor) = anchor.as_table() else { continue };
        let known = |key: &str, before: &str| {
            Some(cell(anchor, key)).filter(|text| !text.is_empty()).map(|text| format!("{before}{text}"))
        };
        let contact = cell(anchor, "last_contact");
        let parts = [
            known("server", ", "),
            known("owner", ", of "),
            known("last_contact", ", last contact ").map(|text| format!("{text}{}", ago(&contact, now))),
        ];
        let parts: String = parts.into_iter().flatten().collect();
        lines.push(format!("anchor       {name}: {}{parts}", cell(anchor, "address")));
    }
    let error = cell(table, "last_error");
    if !error.is_empty() {
        lines.push(format!("last error   {error}"));
    }
    lines
}
