//! What `observability/` promises about the metrics of a real mount, checked by Prometheus's own `promtool`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::support::{Daemon, Site, eventually};

/// Of `node_exporter`, not ours.
const FOREIGN: &str = "node_textfile_mtime_seconds";

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("observability").join(name)
}

fn promtool(arguments: &[&str], input: &Path) -> Output {
    let input = fs::File::open(input).unwrap();
    Command::new("promtool").args(arguments).stdin(Stdio::from(input)).output().expect("Debian's package prometheus")
}

/// `promtool` has nothing to say against it.
fn approved(arguments: &[&str], input: &Path) {
    let output = promtool(arguments, input);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}{}", String::from_utf8_lossy(&output.stdout));
}

/// A daemon to which everything has happened that has a metric.
fn eventful() -> Daemon {
    let site = Site::new();
    site.settings("[audit]\nfile = \"audit.jsonl\"\n");
    let daemon = Daemon::ready_on(site);
    daemon.write("roles/app", &daemon.team_role("on_close = \"revoke\"\n"));
    daemon.write("roles/slot", "organization = \"acme\"\n");
    daemon.read("creds/app/token");
    daemon.read("creds/slot/token");
    daemon.sh_fails("echo x > $M/creds/app/token");
    eventually("a token is gone", || {
        daemon.read("metrics").contains("tfcfs_tokens_gone_total{credential_type=\"team\"} 1")
    });
    // From now on revocations wait.
    daemon.kill_anchor();
    daemon.sh("rm $M/leases/slot/*");
    eventually("it waits", || daemon.read("metrics").contains("tfcfs_revocations_waiting{"));
    daemon
}

/// Names of metrics in an expression: words with our prefix, or the foreign one.
fn names(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("tfcfs_") || *word == FOREIGN).map(str::to_owned).collect()
}

/// Names of the metrics that have at least one sample.
fn sampled(metrics: &str) -> BTreeSet<String> {
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

/// The queries of the dashboard: panels and variables.
fn queries() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match value.as_str() {
                        Some(text) if key == "expr" => found.push(text.to_owned()),
                        _ => collect(value, found),
                    }
                }
            }
            Value::Array(list) => list.iter().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    let dashboard = fs::read_to_string(file("grafana-dashboard.json")).unwrap();
    let mut found = Vec::new();
    collect(&serde_json::from_str(&dashboard).unwrap(), &mut found);
    found
}

/// Values of `key: …` in our own rules files, quotes taken away.
fn values(yaml: &str, key: &str) -> Vec<String> {
    let lines = yaml.lines().map(|line| line.trim_start().trim_start_matches("- "));
    lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).map(str::to_owned).collect()
}

#[test]
fn prometheus_accepts_the_metrics_and_every_one_has_happened() {
    let daemon = eventful();
    let metrics = daemon.read("metrics");
    approved(&["check", "metrics"], &daemon.at("metrics"));
    let declared: BTreeSet<String> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).map(str::to_owned).collect();
    assert_eq!(declared, sampled(&metrics), "the test knows a case for each");
}

#[test]
fn the_dashboard_asks_for_what_there_is_and_leaves_nothing_out() {
    let daemon = eventful();
    let known = sampled(&daemon.read("metrics"));
    let queries = queries();
    let asked: BTreeSet<String> = queries.iter().flat_map(|query| names(query)).collect();
    assert_eq!(asked, known);
    // They are expressions that Prometheus understands.
    let plain = |query: &String| query.replace("$__rate_interval", "5m").replace("$instance", ".*");
    let rules: Vec<Value> = queries
        .iter()
        .enumerate()
        .map(|(n, query)| json!({ "record": format!("q{n}"), "expr": plain(query) }))
        .collect();
    let all = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let path = daemon.beside("rules.json");
    fs::write(&path, all.to_string()).unwrap();
    approved(&["check", "rules", "--lint=none", path.to_str().unwrap()], Path::new("/dev/null"));
}

#[test]
fn alerts_ask_for_what_there_is_and_each_is_tested() {
    let daemon = eventful();
    let known = sampled(&daemon.read("metrics"));
    let alerts = fs::read_to_string(file("alerts.yml")).unwrap();
    let expressions = values(&alerts, "expr");
    let unknown: Vec<_> =
        expressions.iter().flat_map(|expr| names(expr)).filter(|name| !known.contains(name)).collect();
    assert_eq!(unknown, [FOREIGN]);
    let declared: BTreeSet<_> = values(&alerts, "alert").into_iter().collect();
    assert_eq!(declared.len(), expressions.len());

    let nowhere = Path::new("/dev/null");
    approved(&["check", "rules", file("alerts.yml").to_str().unwrap()], nowhere);
    approved(&["test", "rules", file("alerts.test.yml").to_str().unwrap()], nowhere);
    // A case in which it fires: one with labels.
    let tests = fs::read_to_string(file("alerts.test.yml")).unwrap();
    let cases = tests.split("alertname: ").skip(1).filter(|case| case.contains("exp_labels"));
    let fired: BTreeSet<_> = cases.map(|case| case.lines().next().unwrap().to_owned()).collect();
    assert_eq!(fired, declared);
}

fn textfile(daemon: &Daemon) -> Output {
    Command::new(file("textfile")).arg(daemon.at("")).arg(daemon.beside("text")).output().unwrap()
}

#[test]
fn the_textfile_is_whole_and_stays_when_the_mount_does_not_answer() {
    let daemon = eventful();
    let directory = daemon.beside("text");
    fs::create_dir(&directory).unwrap();
    let output = textfile(&daemon);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let written: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [path] = written.as_slice() else { panic!("{written:?}") };
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("tfcfs") && name.ends_with("-mnt.prom"), "{name}");
    approved(&["check", "metrics"], path);
    let (text, metrics) = (fs::read_to_string(path).unwrap(), daemon.read("metrics"));
    assert_eq!(text.lines().count(), metrics.lines().count());
    let label = format!("mount=\"{}\"", daemon.at("").display());
    for (labelled, plain) in text.lines().zip(metrics.lines()).filter(|(_, plain)| !plain.starts_with('#')) {
        let back = labelled.replace(&format!("{{{label},"), "{").replace(&format!("{{{label}}}"), "");
        // What changes with time apart.
        assert!(labelled.contains(&label) && (back == plain || plain.contains("_seconds")), "{labelled}\n{plain}");
    }

    // Nobody answers: the former file stays, and the script ends.
    let pid = Pid::from_raw(daemon.pid().cast_signed()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let start = Instant::now();
    let output = textfile(&daemon);
    kill_process(pid, Signal::CONT).unwrap();
    assert!(!output.status.success() && start.elapsed() < Duration::from_secs(13), "{:?}", start.elapsed());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("metrics cannot be read"), "{said}");
    assert_eq!(fs::read_to_string(path).unwrap(), text);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing half-made is left");
}
