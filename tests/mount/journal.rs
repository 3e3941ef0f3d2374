//! systemd's journal: the log as entries with fields, and the one id that joins `errors`, the log and the audit trail.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
use rustix::process::Signal;

use super::support::{Daemon, Site, errno_of};

/// A journal that a test reads.
struct Reader(UnixDatagram);

impl Reader {
    /// Bound beside the mount; see [`WITH_JOURNAL`].
    fn at(site: &Site) -> Self {
        fs::create_dir(site.beside("journal")).unwrap();
        let socket = UnixDatagram::bind(site.beside("journal/socket")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Self(socket)
    }

    /// Waits for an entry that has this field, and returns what has come until then, it last.
    fn until(&self, field: &str) -> Vec<BTreeMap<String, String>> {
        let (start, mut all, mut buffer) = (Instant::now(), Vec::new(), vec![0; 1 << 16]);
        while start.elapsed() < Duration::from_secs(15) {
            let Ok(length) = self.0.recv(&mut buffer) else { continue };
            let text = str::from_utf8(&buffer[..length]).unwrap();
            let fields = text.lines().filter_map(|line| line.split_once('='));
            let entry: BTreeMap<_, _> = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let found = text.lines().any(|line| line == field);
            all.push(entry);
            if found {
                return all;
            }
        }
        panic!("no entry with {field} in {all:#?}");
    }
}

/// In a mount namespace of its own, the daemon finds the site's journal where a machine has its own. What it mounts is
/// seen by all: the site is shared.
const WITH_JOURNAL: &str = r#"
    set -e
    mount --make-private /
    mount --make-private /run 2>/dev/null || true
    mount -t tmpfs tmpfs /run
    mkdir -p /run/systemd/journal
    mount --bind "$0" /run/systemd/journal
    [ -z "$STREAM" ] || export JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2)
    exec "$@"
"#;

/// A site of a machine with a journal.
struct Machine {
    journal: Reader,
    site: Arc<Site>,
    _shared: Shared,
}

/// Taken away when dropped.
struct Shared(PathBuf);

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

impl Machine {
    fn new() -> Self {
        let site = Site::new();
        let place = site.dir.path().to_owned();
        mount_bind(&place, &place).unwrap();
        let shared = Shared(place);
        mount_change(&shared.0, MountPropagationFlags::SHARED).unwrap();
        Self { journal: Reader::at(&site), site, _shared: shared }
    }

    /// Starts a daemon. `stream`: its standard error is said to be the journal.
    fn start(&self, stream: bool, arguments: &[&str]) -> Daemon {
        let mounting = self.site.command(&["--ephemeral"]);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "unchanged", "bash", "-c", WITH_JOURNAL]);
        command.arg(self.site.beside("journal")).arg(mounting.get_program()).args(mounting.get_args()).args(arguments);
        let log = fs::File::options().create(true).append(true).open(self.site.beside("log")).unwrap();
        command.env("STREAM", if stream { "yes" } else { "" }).stdin(Stdio::null()).stdout(log.try_clone().unwrap());
        self.site.start_command(command.stderr(log))
    }
}

/// The value of `id=` in the newest line of `errors`.
fn newest_id(daemon: &Daemon) -> String {
    let errors = daemon.read("errors");
    let id = errors.split_whitespace().find_map(|word| word.strip_prefix("id="));
    id.unwrap_or_else(|| panic!("no id in {errors:?}")).to_owned()
}

#[test]
fn one_id_joins_errors_log_and_audit() {
    let machine = Machine::new();
    machine.site.settings("[audit]\nfile = \"audit.jsonl\"\njournald = true\n");
    let daemon = machine.start(true, &[]);
    let serving = machine.journal.until("TFCFS_EVENT=daemon_started");
    assert_eq!(serving.last().unwrap()["SYSLOG_FACILITY"], "10");

    daemon.write("roles/app", &daemon.team_role(""));
    let refused = fs::read(daemon.at("creds/app/token"));
    assert_eq!(errno_of(refused), libc::ENOKEY);
    let id = newest_id(&daemon);
    let joined = format!("TFCFS_ERROR_ID={id}");

    let entries = machine.journal.until(&joined);
    let log = entries.last().unwrap();
    let audit = machine.journal.until(&joined).pop().unwrap();
    let (log, audit) = if log.contains_key("TFCFS_EVENT") { (&audit, log) } else { (log, &audit) };
    assert_eq!(audit["TFCFS_EVENT"], "denied");
    let expected =
        [("PRIORITY", "6"), ("TFCFS_ERRNO", "ENOKEY"), ("TFCFS_UID", "0"), ("TFCFS_PATH", "creds/app/token")];
    for (name, value) in expected {
        assert_eq!(log[name], value, "{log:?}");
    }
    assert!(log["MESSAGE"].contains("no anchor") && log["MESSAGE"].contains(&format!("error_id={id}")), "{log:?}");
    let trail = fs::read_to_string(daemon.beside("audit.jsonl")).unwrap();
    let line = trail.lines().find(|line| line.contains("denied")).unwrap();
    assert!(line.contains(&format!("\"error_id\":\"{id}\"")), "{line}");

    // Another failure has another one; a hit has none anywhere.
    assert_eq!(errno_of(fs::read(daemon.at("creds/app/token"))), libc::ENOKEY);
    assert_ne!(newest_id(&daemon), id);
    daemon.write("config", &daemon.anchor());
    daemon.read("creds/app/token");
    daemon.read("creds/app/token");
    let opened = machine.journal.until("TFCFS_ANSWER=hit");
    assert!(!opened.last().unwrap().contains_key("TFCFS_ERROR_ID"));
    assert_eq!(daemon.log(), "", "nothing is said twice");
}

#[test]
fn text_where_the_standard_error_is_not_the_journal_and_entries_where_they_are_asked_for() {
    let machine = Machine::new();
    let mut daemon = machine.start(false, &[]);
    assert!(daemon.log().contains("serving mount_point="), "{}", daemon.log());
    daemon.stop(Signal::TERM);
    let said = daemon.log();
    drop(daemon);
    let daemon = machine.start(false, &["--log-format", "journal"]);
    machine.journal.until(&format!("TFCFS_MOUNT_POINT={}", daemon.at("").display()));
    assert_eq!(daemon.log(), said);
}

#[test]
fn a_format_that_was_chosen_wins_over_the_journal() {
    let machine = Machine::new();
    let daemon = machine.start(true, &["--log-format", "json"]);
    assert!(daemon.log().contains("\"message\":\"serving\""), "{}", daemon.log());
}
