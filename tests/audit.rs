//! The audit trail without a kernel: what is put on record, what never is, and what happens when it cannot be written.

mod common;

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::api::{ANCHOR, Fault};
use common::machine::{Machine, root};
use common::seconds;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tfcfs::adapters::audit::{self, AuditFile, AuditTrail, QUEUE, Sink, TokenHmac, Written};
use tfcfs::adapters::sealing_key::SealingKey;
use tfcfs::domain::ports::ApiErrorKind;
use tfcfs::domain::token::Token;
use tfcfs::vfs::{Caller, Callers, Errno, Exit};

const TEAM: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\n";

/// Uid 33, whose thread 7001 belongs to process 7000.
const WEB: Caller = Caller { uid: 33, gid: 44, tid: 7001 };

/// Whose process has gone.
const VANISHED: Caller = Caller { uid: 33, gid: 44, tid: 9999 };

const PATIENCE: Duration = Duration::from_secs(10);

/// Facts about callers as a test's `/proc` would tell them.
struct Facts;

impl Callers for Facts {
    fn unit(&self, tid: u32) -> Option<String> {
        (tid != VANISHED.tid).then(|| "/system.slice/web.service".to_owned())
    }
    fn process(&self, tid: u32) -> Option<u32> {
        (tid != VANISHED.tid).then_some(if tid == WEB.tid { 7000 } else { tid })
    }
    fn program(&self, _: u32) -> Option<String> {
        None
    }
    fn exe(&self, tid: u32) -> Option<String> {
        (tid != VANISHED.tid).then(|| format!("/opt/\"a\"\n{}", "x".repeat(5000)))
    }
    fn exit(&self, _: u32) -> Exit {
        Exit::Running
    }
}

/// A place that a test looks into, and that fails or stands still when it says so.
#[derive(Clone, Default)]
struct Place {
    lines: Arc<Mutex<Vec<String>>>,
    full: Arc<AtomicBool>,
    blocked: Arc<AtomicBool>,
    /// Writes that have begun.
    begun: Arc<AtomicUsize>,
}

impl Sink for Place {
    fn name(&self) -> &'static str {
        "file"
    }
    fn place(&self) -> &Path {
        Path::new("/the/trail")
    }
    fn write(&mut self, lines: &[&str]) -> Written {
        self.begun.fetch_add(1, Ordering::SeqCst);
        while self.blocked.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.full.load(Ordering::SeqCst) {
            return Written { whole: 0, error: Some(io::Error::from_raw_os_error(libc::ENOSPC)) };
        }
        self.lines.lock().extend(lines.iter().map(|line| (*line).to_owned()));
        Written::all(lines)
    }
}

fn key() -> SealingKey {
    SealingKey::from_bytes([7; 32])
}

fn trail(m: &Machine) -> Arc<AuditTrail> {
    let trail = Arc::new(AuditTrail::start(m.clock.clone(), Arc::new(Facts), TokenHmac::new(&key())).unwrap());
    m.vfs.audit_with(trail.clone());
    trail
}

struct Audited {
    m: Machine,
    trail: Arc<AuditTrail>,
    place: Place,
}

impl Audited {
    async fn new(required: bool) -> Self {
        let m = Machine::new().await;
        let (trail, place) = (trail(&m), Place::default());
        trail.install(vec![Box::new(place.clone())], required);
        m.write("roles/app", TEAM).await.unwrap();
        Self { m, trail, place }
    }

    fn lines(&self) -> Vec<Value> {
        assert!(self.trail.flush(PATIENCE), "written in time");
        self.place.lines.lock().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Lines of one event since the last look.
    fn take(&self, event: &str) -> Vec<Value> {
        let lines = self.lines();
        self.place.lines.lock().clear();
        lines.into_iter().filter(|line| line["event"] == event).collect()
    }

    fn only(&self, event: &str) -> Value {
        let all = self.lines();
        match self.take(event).as_slice() {
            [one] => one.clone(),
            other => panic!("{event}: {other:#?} of {all:#?}"),
        }
    }
}

fn hmac(token: &str) -> String {
    TokenHmac::new(&key()).of(&Token::parse(token).unwrap())
}

#[tokio::test]
async fn an_open_says_who_what_and_how() {
    let a = Audited::new(false).await;
    let (_, made) = a.m.open_as(WEB, "creds/app/env", libc::O_RDONLY).await.unwrap();
    let line = a.only("open");
    let lease = a.m.list("leases/app").pop().unwrap();
    let token = a.m.cat("creds/app/token").await.unwrap();
    assert_eq!(line["time"], "2026-11-24T12:00:00.000Z");
    for (key, value) in [
        ("uid", json!(33)),
        ("gid", json!(44)),
        ("pid", json!(7000)),
        ("tid", json!(7001)),
        ("unit", json!("/system.slice/web.service")),
        ("role", json!("app")),
        ("lease_id", json!(lease)),
        ("token_id", json!(a.m.api.made()[0].id.0)),
        ("owner", json!("team team-1")),
        ("credential_type", json!("team")),
        ("path", json!("creds/app/env")),
        ("answer", json!("made")),
        ("token_hmac", json!(hmac(&token))),
    ] {
        assert_eq!(line[key], value, "{key} of {line:#}");
    }
    let exe = line["exe"].as_str().unwrap();
    assert!(exe.starts_with("/opt/\"a\"x") && exe.chars().count() <= 1025, "bounded and in one line: {exe:?}");
    assert!(line.get("errno").is_none() && line.get("reason").is_none());
    a.m.close(made);
    // The `cat` above: through another node, without a call; and again, the fast way.
    assert_eq!(a.only("open")["answer"], "hit");
    for _ in 0..2 {
        a.m.cat("creds/app/token").await.unwrap();
        let line = a.only("open");
        assert_eq!((&line["answer"], &line["path"]), (&json!("hit"), &json!("creds/app/token")));
        assert_eq!(line["token_hmac"], json!(hmac(&token)));
    }
    // A process that has gone is not guessed at.
    a.m.open_as(VANISHED, "creds/app/token", libc::O_RDONLY).await.unwrap();
    let line = a.only("open");
    assert_eq!((&line["uid"], &line["tid"]), (&json!(33), &json!(9999)));
    for key in ["pid", "exe", "unit"] {
        assert!(line.get(key).unwrap().is_null(), "{key}");
    }
}

#[tokio::test]
async fn refused_opens_are_denials_with_their_errno() {
    let a = Audited::new(false).await;
    a.m.open_as(WEB, "creds/app/token", libc::O_WRONLY).await.unwrap_err();
    let line = a.only("denied");
    assert_eq!((&line["errno"], &line["path"]), (&json!("EACCES"), &json!("creds/app/token")));
    assert_eq!((&line["role"], &line["uid"], &line["pid"]), (&json!("app"), &json!(33), &json!(7000)));
    assert!(line["reason"].as_str().unwrap().contains("read-only"));
    // By policy.
    a.m.write("roles/app", &format!("{TEAM}allow_units = [\"backup.service\"]\n")).await.unwrap();
    a.m.open_as(WEB, "creds/app/env", libc::O_RDONLY).await.unwrap_err();
    let line = a.only("denied");
    assert_eq!((&line["errno"], &line["path"]), (&json!("EACCES"), &json!("creds/app/env")));
    assert!(line["reason"].as_str().unwrap().contains("allow_units"), "{line}");
    // By upstream, after a wait.
    a.m.write("roles/app", TEAM).await.unwrap();
    a.m.api.script("create", [Fault::Before(ApiErrorKind::NotVisible)]);
    a.m.open_as(WEB, "creds/app/token", libc::O_RDONLY).await.unwrap_err();
    assert_eq!(a.only("denied")["errno"], "EACCES");
    // A note of the daemon's own is nobody's request.
    a.m.vfs.note_error("creds/app/token", &tfcfs::domain::error::Error::Internal);
    assert!(a.take("denied").is_empty() && a.take("open").is_empty());
}

#[tokio::test]
async fn what_becomes_of_tokens_and_roles() {
    let a = Audited::new(false).await;
    let line = a.only("role_created");
    assert_eq!((&line["role"], &line["path"], &line["uid"]), (&json!("app"), &json!("roles/app"), &json!(0)));
    assert_eq!(line["pid"], json!(root().tid), "of the caller whose close it was");

    let token = a.m.cat("creds/app/token").await.unwrap();
    let line = a.only("issued");
    assert_eq!((&line["uid"], &line["token_hmac"]), (&json!(0), &json!(hmac(&token))));

    a.m.write_as(WEB, "rotate/app", b"\n").await.unwrap();
    let line = a.only("rotated");
    assert_eq!((&line["role"], &line["uid"], &line["pid"]), (&json!("app"), &json!(33), &json!(7000)));

    let lease = a.m.list("leases/app").pop().unwrap();
    a.m.remove(&format!("leases/app/{lease}")).await.unwrap();
    let lines = a.lines();
    let line = a.only("revoked");
    assert_eq!((&line["lease_id"], &line["uid"], &line["gid"]), (&json!(lease), &json!(0), &json!(0)));
    assert!(line["token_hmac"].is_string(), "known at its end");
    assert!(lines.iter().any(|line| line["event"] == "gone" && line["lease_id"] == json!(lease)));

    a.m.write("roles/app", &format!("{TEAM}ttl = \"1m\"\n")).await.unwrap();
    assert_eq!(a.only("role_changed")["uid"], 0);
    a.m.cat("creds/app/token").await.unwrap();
    a.m.pass(seconds(61)).await;
    assert!(a.only("expired")["uid"].is_null(), "nobody did that but time");

    a.m.rename("roles/app", "roles/web").await.unwrap();
    let events: Vec<Value> = a.lines().iter().map(|line| line["event"].clone()).collect();
    assert!(events.contains(&json!("role_removed")) && events.contains(&json!("role_created")), "{events:?}");
    a.m.remove("roles/web").await.unwrap();
    assert_eq!(a.take("role_removed").last().unwrap()["role"], "web");
    a.m.write("config", &format!("token = \"{ANCHOR}\"\n")).await.unwrap();
    assert_eq!(a.only("config_written")["uid"], 0);
    a.m.write_as(WEB, "rotate/config", b"\n").await.unwrap();
    assert_eq!(a.only("anchor_rotated")["uid"], 33);
    a.m.vfs.audit_daemon("daemon_stopped", Some("why".into()));
    assert_eq!(a.only("daemon_stopped")["reason"], "why");
}

#[tokio::test]
async fn a_forgotten_revocation_is_on_record_with_whoever_gave_it_up() {
    let a = Audited::new(false).await;
    a.m.cat("creds/app/token").await.unwrap();
    a.m.api.script("revoke", (0..100).map(|_| Fault::Before(ApiErrorKind::Unreachable)));
    let lease = a.m.list("leases/app").pop().unwrap();
    a.m.remove(&format!("leases/app/{lease}")).await.unwrap();
    a.m.write("revocations", &format!("forget {lease}\n")).await.unwrap();
    let line = a.only("forgotten");
    assert_eq!((&line["lease_id"], &line["uid"]), (&json!(lease), &json!(0)));
    assert!(line["token_id"].is_string());
}

#[tokio::test]
async fn no_secret_is_in_any_line() {
    let a = Audited::new(false).await;
    for door in ["token", "token.json", "env", "terraform.tfrc.json"] {
        a.m.cat(&format!("creds/app/{door}")).await.unwrap();
    }
    a.m.write("rotate/app", "revoke").await.unwrap();
    a.m.write("rotate/config", "\n").await.unwrap();
    let _ = a.m.write("config", "tokn = \"other.atlasv1.typo\"\n").await;
    a.lines();
    let lines = a.place.lines.lock().join("\n");
    assert!(lines.lines().count() > 8, "{lines}");
    assert!(!lines.contains(".atlasv1.") && !lines.contains("secret0"), "{lines}");
}

/// `tfcfs audit hash` with a key file and this on its standard input.
fn audit_hash(directory: &Path, input: &[u8]) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tfcfs"))
        .args(["audit", "hash", "--state"])
        .arg(directory)
        .arg("--sealing-key")
        .arg(directory.join("key"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn whoever_has_a_token_and_the_key_finds_its_lines() {
    let a = Audited::new(false).await;
    let token = a.m.cat("creds/app/token").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    let (code, _, error) = audit_hash(directory.path(), b"x");
    assert_eq!(code, Some(6), "no key: {error}");
    assert!(error.contains("--sealing-key"), "{error}");
    fs::write(&file, [7; 32]).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, error) = audit_hash(directory.path(), token.as_bytes());
    assert_eq!(code, Some(6), "a key that others can read: {error}");
    assert!(error.contains("chmod 600"), "{error}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let (code, shown, _) = audit_hash(directory.path(), format!("{token}\r\n").as_bytes());
    assert_eq!(code, Some(0));
    assert_eq!(a.only("open")["token_hmac"], shown.trim_end());
    for bad in [&b""[..], b"two words.atlasv1.x", b"\xff", &[b'x'; 9000]] {
        let (code, shown, error) = audit_hash(directory.path(), bad);
        assert_eq!((code, shown.as_str()), (Some(2), ""), "{error}");
        assert!(error.contains("standard input") && !error.contains("atlasv1"), "{error}");
    }
}

#[tokio::test]
async fn required_an_open_is_on_record_before_it_is_answered() {
    let a = Audited::new(true).await;
    a.m.open("creds/app/token").await.unwrap();
    // Without waiting for anything.
    assert!(a.place.lines.lock().iter().any(|line| line.contains("\"event\":\"open\"")));
    for _ in 0..2 {
        a.place.lines.lock().clear();
        a.m.open("creds/app/token").await.unwrap();
        assert_eq!(a.place.lines.lock().len(), 1, "a hit as well");
    }
}

#[tokio::test]
async fn required_an_open_that_cannot_be_recorded_is_refused_until_it_can() {
    let a = Audited::new(true).await;
    a.m.cat("creds/app/token").await.unwrap();
    a.place.full.store(true, Ordering::SeqCst);
    for path in ["creds/app/token", "creds/app/env"] {
        assert_eq!(a.m.open(path).await.unwrap_err(), Errno(libc::EROFS));
    }
    let error = a.m.last_error().await;
    assert!(error.contains("EROFS creds/app/env") && error.contains("No space left"), "{error}");
    assert!(error.contains("[audit] required"), "{error}");
    assert!(a.m.cat("status").await.unwrap().contains("error = \"No space left on device"));
    let lease = a.m.list("leases/app").pop().unwrap();
    let text = a.m.cat(&format!("leases/app/{lease}")).await.unwrap();
    assert!(text.contains("handles = 0"), "nobody holds it: {text}");
    // A refused open made a token for nobody: the next one gets it.
    a.m.write("roles/other", &TEAM.replace("team-1", "team-2")).await.unwrap();
    assert_eq!(a.m.open("creds/other/token").await.unwrap_err(), Errno(libc::EROFS));
    let made = a.m.api.count("create");
    a.place.full.store(false, Ordering::SeqCst);
    a.m.cat("creds/app/token").await.unwrap();
    a.m.cat("creds/other/token").await.unwrap();
    assert_eq!(a.m.api.count("create"), made);
    let status = a.m.cat("status").await.unwrap();
    assert!(!status.contains("No space left on device\""), "{status}");
}

#[tokio::test]
async fn required_a_trail_that_stands_still_refuses_after_the_deadline() {
    let a = Audited::new(true).await;
    let opened = a.m.open("creds/app/token").await.unwrap();
    a.m.close(opened);
    a.trail.flush(PATIENCE);
    a.place.lines.lock().clear();
    a.place.blocked.store(true, Ordering::SeqCst);
    // Something that is being written already, so that the next one waits behind it.
    let begun = a.place.begun.load(Ordering::SeqCst);
    a.m.vfs.audit_daemon("settings_read", None);
    while a.place.begun.load(Ordering::SeqCst) == begun {
        std::thread::yield_now();
    }
    let start = Instant::now();
    assert_eq!(a.m.open("creds/app/token").await.unwrap_err(), Errno(libc::EROFS));
    assert!(start.elapsed() < seconds(5), "the deadline is 2 s: {:?}", start.elapsed());
    a.place.blocked.store(false, Ordering::SeqCst);
    let lines = a.lines();
    assert!(lines.iter().all(|line| line["event"] != "open"), "an open that was refused is not on record as one");
    assert!(lines.iter().any(|line| line["event"] == "denied" && line["errno"] == "EROFS"), "{lines:#?}");
    a.m.cat("creds/app/token").await.unwrap();
}

#[tokio::test]
async fn a_trail_that_stands_still_never_delays_a_hit_and_says_what_it_missed() {
    let a = Audited::new(false).await;
    a.m.cat("creds/app/token").await.unwrap();
    a.lines();
    let (node, _) = a.m.walk(root(), "creds/app/token").unwrap();
    a.place.blocked.store(true, Ordering::SeqCst);
    let count = QUEUE + 1000;
    let start = Instant::now();
    for _ in 0..count {
        let tfcfs::vfs::Reply::Now(opened) = a.m.vfs.open(root(), node.ino(), libc::O_RDONLY) else {
            panic!("a hit is answered inline")
        };
        a.m.close(opened.unwrap());
    }
    assert!(start.elapsed() < seconds(5), "{:?}", start.elapsed());
    let metrics = a.m.cat("metrics").await.unwrap();
    let dropped =
        metrics.lines().find_map(|line| line.strip_prefix("tfcfs_audit_dropped_total{destination=\"file\"} "));
    let dropped: u64 = dropped.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap();
    assert!((700..=1000).contains(&dropped), "one batch had left the queue: {dropped}");
    assert!(a.m.cat("status").await.unwrap().contains(&format!("dropped = {dropped}")));
    a.place.blocked.store(false, Ordering::SeqCst);
    let lines = a.lines();
    let told: Vec<&Value> = lines.iter().filter(|line| line["event"] == "dropped").collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["count"], json!(dropped));
    assert!(told[0]["reason"].as_str().unwrap().contains("waited"), "{}", told[0]);
    let opens = lines.iter().filter(|line| line["event"] == "open").count();
    assert_eq!(opens as u64, 1 + count as u64 - dropped, "no line more and none less");
}

#[tokio::test]
async fn a_full_pipe_as_well() {
    /// What a place of somebody else's making may do: block in the middle of a write.
    struct Pipe(fs::File);
    impl Sink for Pipe {
        fn name(&self) -> &'static str {
            "file"
        }
        fn place(&self) -> &Path {
            Path::new("pipe")
        }
        fn write(&mut self, lines: &[&str]) -> Written {
            let error = self.0.write_all((lines.join("\n") + "\n").as_bytes()).err();
            Written { whole: if error.is_none() { lines.len() } else { 0 }, error }
        }
    }
    let a = Audited::new(false).await;
    let (read, write) = rustix::pipe::pipe().unwrap();
    a.trail.install(vec![Box::new(Pipe(write.into()))], false);
    let start = Instant::now();
    for _ in 0..2000 {
        a.m.cat("creds/app/token").await.unwrap();
    }
    assert!(start.elapsed() < seconds(5), "{:?}", start.elapsed());
    assert!(!a.trail.flush(Duration::from_millis(50)), "the pipe is full");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        fs::File::from(read).read_to_string(&mut text).unwrap();
        text
    });
    assert!(a.trail.flush(PATIENCE));
    a.trail.install(Vec::new(), false);
    assert!(a.trail.flush(PATIENCE));
    let text = reader.join().unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("\"event\":\"open\"")).count(), 2000);
}

#[tokio::test]
async fn a_place_that_failed_says_so_by_itself_when_it_can() {
    let a = Audited::new(false).await;
    a.lines();
    a.place.full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        a.m.cat("creds/app/token").await.unwrap();
    }
    a.trail.flush(PATIENCE);
    a.place.lines.lock().clear();
    a.place.full.store(false, Ordering::SeqCst);
    let start = Instant::now();
    while a.place.lines.lock().is_empty() {
        assert!(start.elapsed() < PATIENCE, "never");
        std::thread::sleep(Duration::from_millis(20));
    }
    let line = a.only("dropped");
    assert_eq!((&line["count"], &line["place"]), (&json!(4), &json!("/the/trail")), "three opens, one issue");
    assert!(line["reason"].as_str().unwrap().contains("No space left"));
}

#[tokio::test]
async fn off_again_and_on_again() {
    let a = Audited::new(true).await;
    a.trail.install(Vec::new(), true);
    a.m.cat("creds/app/token").await.unwrap();
    assert!(a.take("open").is_empty() && !a.m.cat("status").await.unwrap().contains("[audit"));
    a.trail.install(vec![Box::new(a.place.clone())], false);
    a.m.cat("creds/app/token").await.unwrap();
    assert_eq!(a.only("open")["role"], "app");
    assert!(a.m.cat("status").await.unwrap().contains("[audit.file]\nplace = \"/the/trail\"\n"));
}

#[tokio::test]
async fn a_file_survives_logrotate_in_both_ways() {
    let a = Audited::new(false).await;
    let directory = tempfile::tempdir().unwrap();
    let (path, moved) = (directory.path().join("audit.jsonl"), directory.path().join("audit.jsonl.1"));
    let opens = |path: &Path| fs::read_to_string(path).unwrap().matches("\"event\":\"open\"").count();
    let reopen = || a.trail.install(audit::open(Some(&path), false).unwrap(), false);
    reopen();
    a.m.cat("creds/app/token").await.unwrap();
    a.trail.flush(PATIENCE);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::rename(&path, &moved).unwrap();
    a.m.cat("creds/app/token").await.unwrap();
    a.trail.flush(PATIENCE);
    assert_eq!(opens(&moved), 2, "the moved file is written on until SIGHUP");
    reopen();
    a.m.cat("creds/app/token").await.unwrap();
    a.trail.flush(PATIENCE);
    assert_eq!((opens(&moved), opens(&path)), (2, 1));
    // copytruncate: no hole, no lines lost.
    fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    a.m.cat("creds/app/token").await.unwrap();
    a.trail.flush(PATIENCE);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with('{') && text.lines().count() == 1, "{text:?}");
}

#[test]
fn files_that_are_none_or_that_others_could_forge() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let refused = |name: &str, words: &[&str]| {
        let error = AuditFile::open(&at(name)).err().unwrap_or_else(|| panic!("{name} is accepted")).to_string();
        assert!(error.contains("[audit]") && error.contains(&at(name).display().to_string()), "{error}");
        for word in words {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
    };
    refused("missing/audit.jsonl", &["does not exist", "install -d -m 0700"]);
    refused("", &["not a regular file"]);
    fs::create_dir(at("directory")).unwrap();
    refused("directory", &["not a regular file", "journald = true"]);
    rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RWXU).unwrap();
    refused("pipe", &["not a regular file"]);
    let _reader = fs::File::options().read(true).write(true).open(at("pipe")).unwrap();
    refused("pipe", &["not a regular file"]);
    fs::write(at("target"), "").unwrap();
    symlink(at("target"), at("link")).unwrap();
    refused("link", &["symbolic link", "name the file itself"]);
    fs::write(at("shared"), "").unwrap();
    for mode in [0o620, 0o602, 0o666] {
        fs::set_permissions(at("shared"), fs::Permissions::from_mode(mode)).unwrap();
        refused("shared", &["others can write", &format!("mode {mode:04o}"), "chmod go-w"]);
    }
    // As `logrotate` makes them: a group may read.
    fs::set_permissions(at("shared"), fs::Permissions::from_mode(0o640)).unwrap();
    AuditFile::open(&at("shared")).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(at("shared"), Some(65534), None).unwrap();
        refused("shared", &["belongs to uid 65534", "chown"]);
    }
    assert!(AuditFile::open(Path::new("/dev/null")).err().unwrap().to_string().contains("not a regular file"));
}
