//! One fault met by one kind of role: a mount of its own, from the first read to the last token gone.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::faults::{After, Fault};
use crate::fake::{ACME, FakeOptions, Route};
use crate::support::{Daemon, Site, eventually};

/// What an open may take by the settings of these mounts.
const DEADLINE: Duration = Duration::from_secs(2);

/// Beyond the deadline, a busy machine may need this.
const SLACK: Duration = Duration::from_secs(1);

/// Which token a role hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Described tokens of a team.
    Team,
    /// The slot of an organization.
    Organization,
    /// Tokens of the user whose token the anchor is.
    User,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Team => "team",
            Self::Organization => "organization",
            Self::User => "user",
        })
    }
}

impl Role {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Team, Self::Organization, Self::User];

    /// The route that makes its tokens.
    pub fn create(self) -> Route {
        match self {
            Self::Team => Route::CreateTeamToken,
            Self::Organization => Route::CreateOrganizationToken,
            Self::User => Route::CreateUserToken,
        }
    }

    /// Its document, with `more` keys.
    pub fn document(self, site: &Site, more: &str) -> String {
        match self {
            Self::Team => site.team_role(more),
            Self::Organization => format!("organization = \"{ACME}\"\n{more}\n"),
            Self::User => format!("user_id = \"{}\"\n{more}\n", site.fake.user_id("alice")),
        }
    }
}

/// A mount that is about to meet a fault.
pub struct Cell {
    /// The running daemon.
    pub daemon: Daemon,
    /// What its role "app" is.
    pub role: Role,
}

impl Cell {
    fn read(&self) -> std::io::Result<String> {
        fs::read_to_string(self.daemon.at("creds/app/token"))
    }

    /// Configures another anchor.
    pub fn anchor(&self, token: &str) {
        self.daemon.write("config", &format!("address = \"{}\"\ntoken = \"{token}\"\n", self.daemon.fake.url()));
    }

    /// Ids of the tokens that the mount names as live.
    fn listed(&self) -> BTreeSet<String> {
        let Ok(leases) = fs::read_dir(self.daemon.at("leases/app")) else { return BTreeSet::new() };
        let texts = leases.flatten().map(|lease| fs::read_to_string(lease.path()).unwrap_or_default());
        let id = |text: String| Some(text.split_once("token_id = \"")?.1.split_once('"')?.0.to_owned());
        texts.filter_map(id).collect()
    }

    fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(
                start.elapsed() < Duration::from_secs(25),
                "never: {what}\nupstream: {:?}\n{}\n{}",
                self.daemon.made(),
                self.daemon.read("status"),
                self.daemon.read("errors"),
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What the reader met.
pub struct Outcome {
    /// The symbol in `errors`; `None` if the reader got a token.
    pub errno: Option<String>,
    /// How long the reader waited.
    pub took: Duration,
    /// What `errors` said, without what differs from run to run.
    pub sentence: String,
}

/// Runs one cell.
///
/// # Panics
/// Whatever does not hold.
pub fn run(fault: &Fault, role: Role) -> Outcome {
    let site = Site::with(FakeOptions { rate: 0, tls: fault.tls, ..FakeOptions::default() });
    let settings = "open_deadline = \"2s\"\nrotate_deadline = \"2s\"\ndelete_grace = \"0s\"\n";
    let cell = if fault.tls {
        // Such an upstream cannot be written to config, where it would be asked at once.
        site.settings(&format!("{settings}{}", site.file_anchor()));
        Cell { daemon: site.mount(), role }
    } else {
        site.settings(settings);
        Cell { daemon: Daemon::ready_on(Arc::clone(&site)), role }
    };
    cell.daemon.write("roles/app", &role.document(&site, ""));
    (fault.set)(&cell);
    let start = Instant::now();
    let read = cell.read();
    let took = start.elapsed();
    assert!(took < DEADLINE + SLACK, "the reader waited {took:?}");
    let outcome = judge(&cell, fault, &read, took);
    let cell = restore(cell, fault, settings);
    if fault.after.works_again() {
        cell.wait("a later read works", || cell.read().is_ok_and(|token| site.fake.is_live(&token)));
    }
    cell.wait("all that lives upstream is listed", || {
        let listed = cell.listed();
        site.made().iter().all(|token| listed.contains(&token.id))
    });
    let _ = fs::remove_file(site.at("roles/app"));
    cell.wait("with its role every token goes", || site.made().is_empty());
    assert!(site.fake.trapped().is_empty(), "another host was called: {:?}", site.fake.trapped());
    // A stop would wait for searches that go on for a minute and a half; here the ledger goes with its directory.
    cell.daemon.signal(Signal::KILL);
    outcome
}

fn judge(cell: &Cell, fault: &Fault, read: &std::io::Result<String>, took: Duration) -> Outcome {
    let errors = cell.daemon.read("errors");
    let line = errors.lines().find(|line| line.contains(" creds/app/token: "));
    // A request on a kept connection that was closed a moment ago is reset; the next one is refused.
    let reset = line.is_some_and(|line| line.contains("Connection reset by peer"));
    if reset && fault.errno.is_some_and(|(errno, _)| errno == libc::ECONNREFUSED) {
        let again = std::fs::read_to_string(cell.daemon.at("creds/app/token"));
        if again.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ECONNREFUSED)) {
            return judge(cell, fault, &again, took);
        }
    }
    let (errno, sentence) = match (read, line) {
        (Ok(_), None) => (None, String::new()),
        (Ok(_), Some(line)) => panic!("the read succeeded, yet: {line}"),
        (Err(error), None) => panic!("{error}, and errors says nothing: {errors:?}"),
        (Err(error), Some(line)) => {
            let before = line.split_once(" creds/app/token: ").expect("found by it").0;
            let name = before.rsplit(' ').next().expect("a line has an errno").to_owned();
            let expected = fault.errno.map(|(errno, _)| errno);
            assert_eq!(error.raw_os_error(), expected, "{name}: {line}");
            (Some(name), line.split_once("token: ").expect("found by it").1.to_owned())
        }
    };
    assert_eq!(errno.as_deref(), fault.errno.map(|(_, name)| name), "{read:?}: {sentence}");
    let site: &Site = &cell.daemon;
    Outcome { errno, took, sentence: super::page::steady(&sentence, site) }
}

/// Ends the fault as an operator would.
fn restore(mut cell: Cell, fault: &Fault, settings: &str) -> Cell {
    let site = Arc::clone(&cell.daemon);
    site.fake.clear_faults();
    match &fault.after {
        After::Itself | After::Never => {}
        After::Operator(_, act) => act(&cell),
        After::Restart(_) => {
            cell.daemon.signal(Signal::KILL);
            cell.daemon.wait();
            if let Some(pem) = site.fake.ca_pem() {
                fs::write(site.beside("ca.pem"), pem).unwrap();
                let ca = site.beside("ca.pem");
                site.settings(&format!("ca_file = \"{}\"\n{settings}{}", ca.display(), site.file_anchor()));
            }
            // The dead one's mount is the next one's to replace.
            std::mem::forget(std::mem::replace(&mut cell.daemon, site.mount()));
            eventually("the role is back", || cell.daemon.at("roles/app").exists());
        }
    }
    cell
}
