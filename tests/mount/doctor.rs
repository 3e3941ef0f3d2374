//! `tfcfs doctor` where a mount cannot work, each condition made real.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::Signal;
use serde_json::Value;

use super::support::{Daemon, Site, eventually};
use crate::fake::{ACME, Calls, FakeOptions, Fault, Kind, Owner, Route};

/// What it found, by check and level.
struct Report {
    code: i32,
    text: String,
    json: Value,
}

impl Report {
    fn of(output: Output) -> Self {
        let text = String::from_utf8(output.stdout).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr));
        });
        Self { code: output.status.code().unwrap(), text, json }
    }

    /// There is such a finding: words of what was found, and of the way out.
    #[track_caller]
    fn has(&self, check: &str, level: &str, what: &str, way_out: &str) -> &Self {
        let is_it = |one: &&Value| {
            let has = |key: &str, words: &str| one[key].as_str().unwrap_or_default().contains(words);
            one["check"] == check && one["level"] == level && has("what", what) && has("way_out", way_out)
        };
        assert!(self.json["checks"].as_array().unwrap().iter().find(is_it).is_some(), "{check} {level}: {}", self.text);
        assert_eq!(self.code, if self.json["problems"] == 0 { 0 } else { 11 }, "{}", self.text);
        if level == "problem" {
            assert_eq!((self.code, &self.json["ok"]), (11, &Value::Bool(false)));
        }
        self
    }

    #[track_caller]
    fn is_fine(&self) {
        assert_eq!(
            (self.code, &self.json["problems"], &self.json["ok"]),
            (0, &0.into(), &true.into()),
            "{}",
            self.text
        );
    }
}

/// The doctor for a place, as this user or by means of another program (`unshare -m sh -c …`), which gets it as `"$@"`.
fn doctor_by(site: &Site, by: &[&str], more: &[&str]) -> Report {
    let settings = site.beside("settings.toml");
    if !settings.exists() {
        fs::write(&settings, "").unwrap();
    }
    // Also for users who may not come near the build's directory.
    let program = site.beside("tfcfs");
    if !program.exists() {
        fs::copy(env!("CARGO_BIN_EXE_tfcfs"), &program).unwrap();
        site.chmod("tfcfs", 0o755);
    }
    let mut words: Vec<String> = by.iter().map(|word| (*word).to_owned()).collect();
    words.push(program.display().to_string());
    words.extend(["doctor", "--json", "--config"].map(str::to_owned));
    words.push(settings.display().to_string());
    words.push(site.at("").display().to_string());
    if !more.contains(&"--ephemeral") {
        words.extend(["--state".to_owned(), site.beside("state").display().to_string()]);
    }
    words.extend(more.iter().map(|word| (*word).to_owned()));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env_remove("TFCFS_MOUNTPOINT").env("HOME", site.dir.path());
    Report::of(command.output().unwrap())
}

fn doctor(site: &Site) -> Report {
    doctor_by(site, &[], &[])
}

/// In a mount namespace of its own, after a script.
fn doctor_after(site: &Site, script: &str, more: &[&str]) -> Report {
    let script = format!("set -e; {script}; exec \"$@\"");
    doctor_by(site, &["unshare", "-m", "sh", "-c", &script, "sh"], more)
}

const NOBODY: &str = "--reuid=65534";

#[test]
fn where_all_is_well_it_says_so_and_changes_nothing() {
    let site = Site::new();
    let (team, user) = (site.fake.team_id(ACME, "deploy"), site.fake.user_id("alice"));
    site.settings(&format!(
        "{}[roles.org]\norganization = \"acme\"\n[roles.team]\nteam_id = \"{team}\"\ncredential_type = \"team\"\n[roles.named]\norganization = \"acme\"\nteam = \"deploy\"\n[roles.me]\nuser_id = \"{user}\"\n",
        site.file_anchor()
    ));
    let report = doctor(&site);
    report.is_fine();
    report.has("upstream", "ok", "accepts anchor \"default\", of user", "");
    report.has("clock", "ok", "agree", "");
    for role in ["org", "team", "named", "me"] {
        report.has("role", "ok", &format!("role \"{role}\": anchor \"default\" may make tokens of"), "");
    }
    assert!(!report.text.contains(&site.fake.anchor_user_token()));
    assert!(site.fake.requests().iter().all(|request| request.method == "GET"), "{:?}", site.fake.requests());
    assert!(!site.beside("state").exists() && site.made().is_empty());
}

#[test]
fn a_tfcfs_that_serves_is_no_problem() {
    let site = Site::new();
    site.settings(&site.file_anchor());
    let daemon = site.mount();
    let report = doctor(&daemon);
    report.is_fine();
    report.has("mount point", "ok", "a tfcfs serves on", "").has("state", "ok", "in use by the tfcfs that runs", "");
    drop(daemon);
    // What was written to the mount is known from the ledger when nobody serves.
    let daemon = site.mount();
    daemon.write("config", &format!("[anchors.other]\n{}", site.anchor()));
    daemon.write("roles/app", &site.team_role("anchor = \"other\""));
    drop(daemon);
    let report = doctor(&site);
    report.is_fine();
    report.has("role", "ok", "role \"app\": anchor \"other\" may make", "");
}

#[test]
fn the_device() {
    let site = Site::new();
    let dev = "mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3";
    doctor_after(&site, dev, &[]).has("device", "problem", "/dev/fuse does not exist", "");
    let other = format!("{dev}; mknod /dev/fuse c 10 254");
    doctor_after(&site, &other, &[]).has("device", "problem", "the kernel behind it has no FUSE", "modprobe fuse");
    let file = format!("{dev}; touch /dev/fuse");
    doctor_after(&site, &file, &[]).has("device", "problem", "not a character device", "mknod");
    let closed = format!("{dev}; mknod -m 600 /dev/fuse c 10 229");
    let script = format!("{closed}; exec setpriv {NOBODY} --clear-groups \"$@\"");
    doctor_after(&site, &script, &["--ephemeral"]).has("device", "problem", "by this user (mode 0600", "chmod 666");
}

#[test]
fn the_right_to_mount() {
    let site = Site::new();
    let powerless = "setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin \"$@\"";
    let report = doctor_by(&site, &["sh", "-c", powerless, "sh"], &[]);
    report.has("right to mount", "problem", "without CAP_SYS_ADMIN", "");
    let namespace = doctor_by(&site, &["unshare", "-Ur"], &["--ephemeral", "--allow-other"]);
    namespace.has("right to mount", "warning", "in a user namespace", "unshare -Urm");
    namespace.has("other users", "warning", "nobody from outside", "");
    let user = ["setpriv", NOBODY, "--clear-groups"];
    // Everything that a user lacks on a machine where fusermount3 is as it should be.
    let report = doctor_by(&site, &user, &["--ephemeral"]);
    report.has("right to mount", "ok", "fusermount3 mounts for this user", "");
    report.has("mount point", "problem", "this user may not write to", "as root");
    let report = doctor_by(&site, &[&user[..], &["--no-new-privs"]].concat(), &["--ephemeral"]);
    report.has("right to mount", "problem", "no_new_privs is set", "NoNewPrivileges=");
    let plain = "cp /usr/bin/fusermount3 $0.bin; chmod 755 $0.bin; mount --bind $0.bin /usr/bin/fusermount3";
    let script = format!(
        "set -- \"$@\"; {} exec setpriv {NOBODY} --clear-groups \"$@\"",
        plain.replace("$0", "/run/tfcfs-test") + ";"
    );
    let script = format!("mount -t tmpfs none /run; {script}");
    doctor_after(&site, &script, &["--ephemeral"]).has("right to mount", "problem", "not setuid root", "chmod 4755");
}

#[test]
fn other_users_of_a_user() {
    let site = Site::new();
    let with = |conf: &str| {
        let script = format!(
            "mount -t tmpfs none /run; echo '{conf}' > /run/conf; mount --bind /run/conf /etc/fuse.conf; exec setpriv {NOBODY} --clear-groups \"$@\""
        );
        doctor_after(&site, &script, &["--ephemeral", "-o", "allow_other"])
    };
    with("#user_allow_other").has("other users", "problem", "does not allow it to users", "echo user_allow_other >>");
    with("user_allow_other").has("other users", "ok", "user_allow_other is in", "");
}

#[test]
fn the_profile_of_fusermount3() {
    let site = Site::new();
    let script = format!(
        "mount -t tmpfs none /run; cp -a /etc /run/etc; mkdir -p /run/etc/apparmor.d; mount --bind /run/etc /etc; \
         echo 'profile fusermount3 /usr/bin/fusermount3 {{' > /etc/apparmor.d/fusermount3; \
         echo 'mount fstype=fuse options=(nosuid,nodev) -> /mnt/{{,**/}},' >> /etc/apparmor.d/fusermount3; \
         mount -t tmpfs none /sys/module; mkdir -p /sys/module/apparmor/parameters; \
         echo Y > /sys/module/apparmor/parameters/enabled; exec setpriv {NOBODY} --clear-groups \"$@\""
    );
    let report = doctor_after(&site, &script, &["--ephemeral"]);
    report.has("AppArmor", "problem", "below /mnt/{,**/} only", "apparmor_parser -r");
    // Root mounts without fusermount3: the profile is none of its business.
    let root =
        doctor_after(&site, &script.replace(&format!("exec setpriv {NOBODY} --clear-groups \"$@\""), "true"), &[]);
    assert!(!root.text.contains("AppArmor"), "{}", root.text);
}

#[test]
fn the_mount_point() {
    let site = Site::new();
    fs::write(site.at("file"), "").unwrap();
    doctor(&site).has("mount point", "warning", "is not empty (file", "mkdir -p");
    fs::remove_file(site.at("file")).unwrap();
    let over = format!("mount -t tmpfs none {}", site.at("").display());
    doctor_after(&site, &over, &[]).has("mount point", "warning", "(tmpfs) is mounted exactly on", "umount");
    fs::remove_dir(site.at("")).unwrap();
    doctor(&site).has("mount point", "problem", "does not exist", "mkdir -p");
    fs::write(site.beside("mnt"), "").unwrap();
    doctor(&site).has("mount point", "problem", "is not a directory", "");
}

#[test]
fn a_mount_that_died_or_does_not_answer() {
    let mut daemon = Daemon::ready();
    daemon.signal(Signal::STOP);
    let start = Instant::now();
    doctor(&daemon).has("mount point", "problem", "does not answer", "umount -f -l");
    assert!(start.elapsed() < Duration::from_secs(20));
    daemon.signal(Signal::CONT);
    daemon.signal(Signal::KILL);
    daemon.wait();
    eventually("the mount is dead", || fs::read(daemon.at("status")).is_err());
    doctor(&daemon).has("mount point", "warning", "of a tfcfs that died", "tfcfs umount");
}

/// A daemon that takes requests and never answers: whoever waits for it cannot be killed.
pub struct Deaf(Arc<Site>);

impl Deaf {
    pub fn new(site: Arc<Site>) -> Self {
        let mut device = fs::File::options().read(true).write(true).open("/dev/fuse").unwrap();
        let data = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
        let data = std::ffi::CString::new(data).unwrap();
        mount("tfcfs", site.at(""), "fuse.tfcfs", MountFlags::NODEV | MountFlags::NOSUID, data.as_c_str()).unwrap();
        let mut request = vec![0; 1 << 20];
        let _ = device.read(&mut request).unwrap();
        let unique: [u8; 8] = request[8..16].try_into().unwrap();
        // fuse_out_header and fuse_init_out of version 7.31, all else zero.
        let mut answer = vec![0; 80];
        answer[..4].copy_from_slice(&80u32.to_ne_bytes());
        answer[8..16].copy_from_slice(&unique);
        answer[16..20].copy_from_slice(&7u32.to_ne_bytes());
        answer[20..24].copy_from_slice(&31u32.to_ne_bytes());
        answer[36..40].copy_from_slice(&4096u32.to_ne_bytes());
        device.write_all(&answer).unwrap();
        // Takes everything, answers nothing, until the mount is gone.
        std::thread::spawn(move || while device.read(&mut request).is_ok() {});
        Self(site)
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        let _ = unmount(self.0.at(""), UnmountFlags::FORCE | UnmountFlags::DETACH);
    }
}

#[test]
fn a_daemon_that_takes_requests_and_answers_none_holds_up_nobody() {
    let site = Site::new();
    let _deaf = Deaf::new(site.clone());
    let start = Instant::now();
    doctor(&site).has("mount point", "problem", "does not answer", "umount -f -l");
    // Nothing that it was told to read lies well either.
    let settings = site.at("settings.toml").display().to_string();
    let report = Report::of(
        Command::new(env!("CARGO_BIN_EXE_tfcfs"))
            .args(["doctor", "--json", "--config", &settings, "--state", site.at("state").to_str().unwrap()])
            .arg(site.at(""))
            .output()
            .unwrap(),
    );
    report.has("settings", "problem", "was not read within", "umount -l");
    report.has("state", "problem", "no result within", "umount -l");
    assert!(start.elapsed() < Duration::from_secs(90), "{:?}", start.elapsed());
}

#[test]
fn files_and_limits() {
    let site = Site::new();
    site.settings(&site.file_anchor());
    site.chmod("settings.toml", 0o666);
    doctor(&site).has("settings", "warning", "others can write to", "chmod go-w");
    site.chmod("anchor", 0o644);
    doctor(&site).has("settings", "problem", "can be read by others (mode 0644)", "chmod 600");
    site.settings("[audit]\nfile = \"none/audit.jsonl\"\n");
    doctor(&site).has("settings", "problem", "is not there", "install -d");
    site.settings("ca_file = \"settings.toml\"\n");
    doctor(&site).has("settings", "problem", "no certificate in it", "PEM");
    site.settings("ttl = 1\n");
    doctor(&site).has("settings", "problem", "unknown key", "");
    site.settings("");
    let few = doctor_by(&site, &["sh", "-c", "ulimit -n 30; exec \"$@\"", "sh"], &[]);
    few.has("open files", "problem", "only 30 open files", "ulimit -n");
}

#[test]
fn state_and_key() {
    let site = Site::new();
    drop(site.mount());
    doctor(&site).has("state", "ok", "is whole", "");
    site.chmod("state", 0o777);
    doctor(&site).has("state", "problem", "others can write to the state directory", "chmod go-w");
    site.chmod("state", 0o700);
    site.chmod("state/sealing.key", 0o644);
    doctor(&site).has("sealing key", "problem", "mode 0644", "chmod 600");
    site.chmod("state/sealing.key", 0o600);
    let key = fs::read(site.beside("state/sealing.key")).unwrap();
    fs::write(site.beside("state/sealing.key"), [7; 32]).unwrap();
    doctor(&site).has("state", "problem", "wrong sealing key", "--sealing-key");
    fs::write(site.beside("state/sealing.key"), "short").unwrap();
    doctor(&site).has("sealing key", "problem", "must be 32 raw bytes", "openssl rand -hex 32");
    fs::remove_file(site.beside("state/sealing.key")).unwrap();
    doctor(&site).has("sealing key", "problem", "is there but its sealing key", "");
    fs::write(site.beside("state/sealing.key"), key).unwrap();
    site.chmod("state/sealing.key", 0o600);
    // Somebody else's mount has it open.
    fs::create_dir(site.beside("mnt2")).unwrap();
    let _daemon = site.mount();
    let elsewhere = Command::new(env!("CARGO_BIN_EXE_tfcfs"))
        .args(["doctor", "--json", "--config"])
        .arg(site.beside("settings.toml"))
        .arg("--state")
        .arg(site.beside("state"))
        .arg(site.beside("mnt2"))
        .output()
        .unwrap();
    Report::of(elsewhere).has("state", "problem", "another tfcfs has the state directory", "--state");
}

#[test]
fn no_room_and_read_only() {
    let site = Site::new();
    let place = site.beside("state").display().to_string();
    fs::create_dir(&place).unwrap();
    let script = format!("mount -t tmpfs -o size=1m,mode=700 none {place}");
    doctor_after(&site, &script, &[]).has("room", "problem", "MiB are left", "make room");
    let script = format!("mount -t tmpfs -o ro,mode=700 none {place}");
    doctor_after(&site, &script, &[]).has("room", "problem", "read-only", "read-write");
}

#[test]
fn upstream_in_trouble() {
    let site = Site::new();
    let role = site.team_role("");
    site.settings(&format!("{}[roles.app]\n{role}", site.file_anchor()));
    let with = |fault: Fault| {
        site.fake.set_fault(Route::Any, Calls::Always, fault);
        let report = doctor(&site);
        site.fake.clear_faults();
        report
    };
    with(Fault::status(503)).has("upstream", "problem", "503", "operator").has("role", "warning", "not looked at", "");
    with(Fault::rate_limited("60")).has("upstream", "warning", "rate limit", "rate");
    with(Fault::status(403)).has("upstream", "problem", "403", "base_path");
    with(Fault::redirect()).has("upstream", "problem", "redirect", "");
    site.fake.set_date_skew(3600);
    doctor(&site).has("clock", "problem", "ahead of ours", "timedatectl");
    site.fake.set_date_skew(-30);
    doctor(&site).has("clock", "warning", "behind ours", "timedatectl");
    site.fake.set_date_skew(0);
    site.kill_anchor();
    let report = doctor(&site);
    report.has("upstream", "problem", "refuses the token (401)", "token_file");
    assert!(!report.text.contains(&site.fake.anchor_user_token()));
    site.fake.go_offline();
    doctor(&site).has("upstream", "problem", "connection is refused", "port");
    site.settings("[anchors.default]\naddress = \"https://no-such-host.invalid\"\ntoken_file = \"anchor\"\n");
    doctor(&site).has("upstream", "problem", "cannot be reached", "name server");
}

#[test]
fn tls_and_proxies() {
    let site = Site::with(FakeOptions { tls: true, ..FakeOptions::default() });
    site.settings(&site.file_anchor());
    doctor(&site).has("upstream", "problem", "authority that is not trusted", "ca_file");
    fs::write(site.beside("ca.pem"), site.fake.ca_pem().unwrap()).unwrap();
    site.settings(&format!("ca_file = \"ca.pem\"\n{}", site.file_anchor()));
    doctor(&site).is_fine();
    site.settings(&format!(
        "ca_file = \"ca.pem\"\nproxy = \"http://me:hunter2@127.0.0.1:1\"\nno_proxy = \"\"\n{}",
        site.file_anchor()
    ));
    let report = doctor(&site);
    report.has("upstream", "problem", "there is a proxy in between: 127.0.0.1:1", "");
    assert!(!report.text.contains("hunter2"));
}

#[test]
fn anchors_without_the_rights() {
    let site = Site::new();
    let (alice, team) = (site.fake.user_id("alice"), site.fake.team_id(ACME, "deploy"));
    let roles = format!(
        "[roles.org]\norganization = \"acme\"\n[roles.none]\norganization = \"nowhere\"\n[roles.user]\nuser_id = \"{alice}\"\n[roles.team]\nteam_id = \"{team}\"\n[roles.lost]\nteam_id = \"{team}\"\nanchor = \"gone\"\n[roles.named]\norganization = \"acme\"\nteam = \"nobodies\"\n"
    );
    // The organization's own token.
    site.settings(&format!("{}{roles}", site.file_anchor()));
    fs::write(site.beside("anchor"), site.fake.anchor_org_token()).unwrap();
    let report = doctor(&site);
    report.has("role", "problem", "role \"org\": its token would replace the one that anchor \"default\" is", "");
    report.has("role", "problem", "role \"none\": organization nowhere does not exist, or", "check the id");
    report.has("role", "problem", &format!("role \"user\": only a token of user {alice} itself"), "[anchors.NAME]");
    report.has("role", "ok", "role \"team\"", "");
    report.has("role", "problem", "role \"lost\": there is no anchor \"gone\"", "");
    report.has("role", "problem", "role \"named\": anchor \"default\" sees no team \"nobodies\"", "");
    // A team's token may not make the organization's.
    let weak = Owner::Team(site.fake.seed_team(ACME, "weak"));
    fs::write(site.beside("anchor"), site.fake.seed_token(weak, Kind::Team, Some("anchor"), None).1).unwrap();
    doctor(&site).has(
        "role",
        "problem",
        "role \"org\": anchor \"default\" may not make tokens of organization acme",
        "",
    );
}

#[test]
fn what_only_the_service_gets_is_no_problem_of_a_shell() {
    let site = Site::new();
    let role = site.team_role("");
    let settings = site.file_anchor().replace("\"anchor\"", "\"credential:tfcfs-anchor\"");
    site.settings(&format!("{settings}[roles.app]\n{role}"));
    let report = doctor(&site);
    report.has("upstream", "warning", "neither it nor 1 role were asked about", "systemd-run --pipe");
    report.is_fine();
    // As the service it is asked.
    fs::create_dir(site.beside("credentials")).unwrap();
    fs::copy(site.beside("anchor"), site.beside("credentials/tfcfs-anchor")).unwrap();
    let directory = format!("CREDENTIALS_DIRECTORY={}", site.beside("credentials").display());
    let report = doctor_by(&site, &["env", &directory], &[]);
    report.has("role", "ok", "role \"app\"", "").is_fine();
    // A key among the credentials.
    site.settings("");
    drop(site.mount());
    let key = fs::read(site.beside("state/sealing.key")).unwrap();
    fs::remove_file(site.beside("state/sealing.key")).unwrap();
    let script = "mount -t tmpfs none /run; mkdir -p /run/credstore; echo x > /run/credstore/tfcfs-sealing-key";
    doctor_after(&site, script, &[]).has("sealing key", "warning", "which only the service gets", "systemd-run");
    fs::write(site.beside("credentials/tfcfs-sealing-key"), key).unwrap();
    site.chmod("credentials/tfcfs-sealing-key", 0o400);
    doctor_by(&site, &["env", &directory], &[]).has("state", "ok", "is whole", "");
}
