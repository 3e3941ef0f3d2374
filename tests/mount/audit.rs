//! The audit trail of a real mount: who opened what, logrotate, a full disk, and what keeps it from starting.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::support::{Daemon, Site, errno_of, eventually};

/// Runs a command as nobody.
const NOBODY: &str = "setpriv --reuid 65534 --regid 65534 --clear-groups";

fn lines_of(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    // The last line may be half-way there.
    let (text, _) = text.rsplit_once('\n').unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn events(path: &Path, event: &str) -> Vec<Value> {
    lines_of(path).into_iter().filter(|line| line["event"] == event).collect()
}

/// A trail in a directory of its own, and more settings.
fn site(more: &str) -> (Arc<Site>, PathBuf) {
    let site = Site::new();
    fs::create_dir_all(site.beside("log.d")).unwrap();
    site.settings(&format!("[audit]\nfile = \"log.d/audit.jsonl\"\n{more}"));
    let path = site.beside("log.d/audit.jsonl");
    (site, path)
}

fn ready(more: &str) -> (Daemon, PathBuf) {
    let (site, path) = site(more);
    let daemon = Daemon::ready_on(site);
    daemon.write("roles/app", &daemon.team_role(""));
    (daemon, path)
}

#[test]
fn who_opened_what_and_logrotate() {
    let (mut daemon, path) = ready("");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let started = &lines_of(&path)[0];
    assert_eq!(started["event"], "daemon_started");

    // Its own program, process and unit, while it runs.
    let mut holder = daemon.holder("exec 3<$M/creds/app/token; cat <&3; echo; echo $$; read; true");
    let (token, pid) = (holder.line(), holder.line());
    eventually("the open is on record", || !events(&path, "open").is_empty());
    let line = events(&path, "open").pop().unwrap();
    assert_eq!(line["pid"].to_string(), pid);
    let bash = fs::canonicalize(format!("/proc/{pid}/exe")).unwrap();
    assert_eq!(line["exe"], json!(bash.to_str().unwrap()));
    assert_eq!((&line["uid"], &line["role"], &line["answer"]), (&json!(0), &json!("app"), &json!("made")));
    assert!(line["unit"].as_str().unwrap().starts_with('/'), "{line}");
    holder.go();

    // Whoever has the token finds the lines.
    let mut hash = Command::new(env!("CARGO_BIN_EXE_tfcfs"))
        .args(["audit", "hash", "--state"])
        .arg(daemon.beside("state"))
        .arg("--config")
        .arg(daemon.beside("settings.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut hash.stdin.take().unwrap(), token.as_bytes()).unwrap();
    let hash = String::from_utf8(hash.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(line["token_hmac"], hash.trim_end(), "while the daemon runs");

    // What we refuse is on record; what the kernel refuses by owner and mode never reaches us.
    daemon.sh_fails("echo x > $M/creds/app/token");
    daemon.sh_fails(&format!("{NOBODY} cat $M/creds/app/token"));
    daemon.write("roles/shut", &daemon.team_role("mode = \"0444\"\nallow_units = [\"no-such.service\"]\n"));
    daemon.sh_fails(&format!("{NOBODY} cat $M/creds/shut/token"));
    eventually("two denials", || events(&path, "denied").len() == 2);
    let denied: Vec<_> = events(&path, "denied").iter().map(|l| (l["uid"].clone(), l["path"].clone())).collect();
    assert_eq!(denied[0], (json!(0), json!("creds/app/token")));
    assert_eq!(denied[1], (json!(65534), json!("creds/shut/token")));

    // logrotate: rename, then SIGHUP; also when somebody has broken the settings meanwhile.
    for (number, broken) in [(1, ""), (2, "bogus = 1\n")] {
        let moved = daemon.beside(&format!("log.d/audit.jsonl.{number}"));
        fs::rename(&path, &moved).unwrap();
        daemon.read("creds/app/token");
        eventually("the moved file is written on", || lines_of(&moved).last().unwrap()["event"] == "open");
        daemon.settings(&format!("{broken}[audit]\nfile = \"log.d/audit.jsonl\"\n"));
        daemon.signal(Signal::HUP);
        eventually("a new file", || path.exists());
        let was = lines_of(&moved).len();
        daemon.read("creds/app/token");
        eventually("the new file is written", || !events(&path, "open").is_empty());
        assert_eq!(lines_of(&moved).len(), was, "and the former one no more");
    }
    daemon.settings("[audit]\nfile = \"log.d/audit.jsonl\"\n");
    daemon.signal(Signal::HUP);
    eventually("read again", || !events(&path, "settings_read").is_empty());
    assert!(daemon.read("status").contains("[audit.file]"), "{}", daemon.read("status"));

    daemon.stop(Signal::TERM);
    assert_eq!(lines_of(&path).last().unwrap()["event"], "daemon_stopped");
    let all = daemon.sh("cat log.d/*");
    assert!(all.contains(hash.trim_end()) && !all.contains(&token) && !all.contains(".atlasv1."));
}

#[test]
fn settings_that_cannot_be_followed_change_nothing() {
    let (daemon, path) = ready("");
    for bad in ["[audit]\nfile = \"none/audit.jsonl\"\n", "[audit]\nfile = \"mnt/roles/audit\"\n", "[audit]\n"] {
        let before = daemon.read("errors").lines().count();
        daemon.settings(&format!("{bad}[roles.more]\norganization = \"acme\"\n"));
        daemon.signal(Signal::HUP);
        eventually("refused", || daemon.read("errors").lines().count() > before);
        assert!(daemon.read("errors").lines().next().unwrap().contains("[audit]"), "{}", daemon.read("errors"));
        assert_eq!(daemon.names("roles"), ["app"]);
    }
    let opens = events(&path, "open").len();
    daemon.read("creds/app/token");
    eventually("the trail goes on", || events(&path, "open").len() > opens);
    // Off.
    daemon.settings("");
    daemon.signal(Signal::HUP);
    eventually("no trail", || !daemon.read("status").contains("[audit.file]"));
    let opens = events(&path, "open").len();
    daemon.read("creds/app/token");
    assert_eq!(events(&path, "open").len(), opens);
}

#[test]
fn a_place_that_cannot_be_used_keeps_it_from_starting() {
    let mut cases = vec![
        ("file = \"none/audit.jsonl\"", "install -d -m 0700"),
        ("file = \"log.d\"", "not a regular file"),
        ("file = \"mnt/audit.jsonl\"", "inside the mount"),
    ];
    if !Path::new("/run/systemd/journal/socket").exists() {
        cases.push(("journald = true", "is systemd-journald running?"));
    }
    for (setting, words) in cases {
        let (site, _) = site("");
        site.settings(&format!("[audit]\n{setting}\n"));
        let status = site.command(&["--ephemeral"]).status().unwrap();
        assert_eq!(status.code(), Some(5), "{setting}: {}", site.log());
        assert!(site.log().contains(words), "{setting}: {}", site.log());
    }
}

/// Taken away when dropped.
struct Disk(PathBuf);

impl Disk {
    fn small(path: PathBuf) -> Self {
        let options = std::ffi::CString::new("size=256k,mode=0700").unwrap();
        mount("tmpfs", &path, "tmpfs", MountFlags::empty(), Some(options.as_c_str())).unwrap();
        Self(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk() {
    let (site, path) = site("");
    let _disk = Disk::small(site.beside("log.d"));
    let daemon = Daemon::ready_on(site);
    daemon.write("roles/app", &daemon.team_role(""));
    daemon.read("creds/app/token");
    daemon.sh("dd if=/dev/zero of=log.d/filler bs=4k 2>/dev/null; true");
    // The last page has room yet.
    eventually("lines are dropped", || {
        daemon.read("creds/app/token");
        daemon.read("status").contains("error = \"No space left on device")
    });
    assert!(!daemon.read("metrics").contains("tfcfs_audit_dropped_total{destination=\"file\"} 0"));
    // From now on they must be on record.
    daemon.settings("[audit]\nfile = \"log.d/audit.jsonl\"\nrequired = true\n");
    daemon.signal(Signal::HUP);
    eventually("opens are refused", || match fs::read(daemon.at("creds/app/token")) {
        Ok(_) => false,
        refused => errno_of(refused) == libc::EROFS,
    });
    assert!(daemon.read("errors").contains("cannot be recorded"), "{}", daemon.read("errors"));
    fs::remove_file(daemon.beside("log.d/filler")).unwrap();
    daemon.read("creds/app/token");
    // Half a line may have got onto the full disk: it stands alone.
    let text = fs::read_to_string(&path).unwrap();
    let broken = text.lines().filter(|line| serde_json::from_str::<Value>(line).is_err()).count();
    let told: Vec<&str> = text.lines().filter(|line| line.contains("\"event\":\"dropped\"")).collect();
    assert!(broken <= 2 && !told.is_empty(), "{text}");
    assert!(told.iter().all(|line| line.contains("No space left")), "{told:?}");
    assert!(text.lines().last().unwrap().contains("\"event\":\"open\""));
}
