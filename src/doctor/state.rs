//! The state directory and the key that seals it. Nothing is made and nothing written.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};

use super::settings::count;
use super::{Finding, Level};
use crate::adapters::sealing_key::{CREDENTIAL, Owners, SealingKeyError, SealingKeySettings};
use crate::adapters::state_directory::{StateDirectory, StateError};
use crate::domain::ledger::Stored;
use crate::domain::ports::StoreError;

const STATE: &str = "state";
const KEY: &str = "sealing key";
const ROOM: &str = "room";

/// A ledger grows in steps of about that much.
const LEAST_ROOM: u64 = 4 << 20;
const GOOD_ROOM: u64 = 64 << 20;

/// The doctor with what the service has.
pub(super) const AS_SERVICE: &str = "ask as the service: systemd-run --pipe --wait -p User=tfcfs -p LoadCredential=tfcfs-anchor -p LoadCredential=tfcfs-sealing-key tfcfs doctor";

/// What is known.
pub struct Facts {
    /// The directory; `None` = nothing is kept.
    pub directory: Option<PathBuf>,
    /// What is in it.
    pub found: Found,
    /// Bytes left there; `None` = not known, 0 also for a read-only filesystem.
    pub room: Option<u64>,
    /// A tfcfs serves where somebody wants to mount: it is what has the state open.
    pub serves: bool,
    records: Vec<Stored>,
}

/// What is in a state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing is kept.
    Ephemeral,
    /// No directory yet; whether it can be made, or why not.
    Missing(Result<(), String>),
    /// A directory, without a ledger yet.
    Empty {
        /// This user may write to it.
        writable: bool,
    },
    /// A ledger that opens.
    Whole {
        /// Records in it.
        records: usize,
        /// Those that do not open.
        damaged: usize,
        /// A new key was being put in place.
        interrupted_rekey: bool,
        /// This user may write to it.
        writable: bool,
    },
    /// Somebody has it open.
    InUse,
    /// A ledger whose key is a credential of systemd, which only the service gets.
    KeyElsewhere(PathBuf),
    /// It cannot be used, in a sentence.
    Refused {
        /// The key is to blame.
        key: bool,
        /// What and what to do.
        sentence: String,
    },
}

impl Facts {
    /// Looks. `keys` names the directory; `None` = nothing is kept.
    pub fn gather(keys: Option<&SealingKeySettings>, serves: bool) -> Self {
        let Some(keys) = keys else {
            return Self { directory: None, found: Found::Ephemeral, room: None, serves, records: Vec::new() };
        };
        let path = &keys.state_directory;
        let (found, records) = look(keys, serves);
        Self { directory: Some(path.clone()), found, room: room(path), serves, records }
    }

    /// What the ledger says, as far as it could be read.
    pub fn records(&self) -> Option<&[Stored]> {
        let known = !matches!(self.found, Found::InUse | Found::KeyElsewhere(_) | Found::Refused { .. });
        known.then_some(self.records.as_slice())
    }
}

/// Where systemd finds credentials that a unit names without a path (systemd.exec(5)).
const CREDENTIAL_STORES: [&str; 6] = [
    "/etc/credstore",
    "/etc/credstore.encrypted",
    "/run/credstore",
    "/run/credstore.encrypted",
    "/usr/lib/credstore",
    "/usr/lib/credstore.encrypted",
];

/// The key among systemd's credentials, for a service that this process is not.
fn key_elsewhere(keys: &SealingKeySettings) -> Option<PathBuf> {
    if keys.credentials_directory.is_some() {
        return None;
    }
    CREDENTIAL_STORES.iter().map(|store| Path::new(store).join(CREDENTIAL)).find(|path| path.exists())
}

fn look(keys: &SealingKeySettings, serves: bool) -> (Found, Vec<Stored>) {
    let path = &keys.state_directory;
    // Whoever serves there is trusted with it already.
    let owners = if serves { Owners::Any } else { Owners::Trusted };
    let directory = match StateDirectory::existing(path, owners) {
        Err(StateError::Unusable { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            return (Found::Missing(makeable(path)), Vec::new());
        }
        Err(error) => return (refused(&error), Vec::new()),
        Ok(directory) => directory,
    };
    let writable = access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    // As strictly as the daemon asks for it.
    match keys.find(owners) {
        Ok(_) => {}
        // In use, most likely: that is told first.
        Err(_) if serves => {}
        Err(SealingKeyError::Lost { .. }) if let Some(key) = key_elsewhere(keys) => {
            return (Found::KeyElsewhere(key), Vec::new());
        }
        Err(SealingKeyError::Missing { .. }) => return (Found::Empty { writable }, Vec::new()),
        Err(error) => return (refused(&error.into()), Vec::new()),
    }
    match directory.inspect(keys) {
        Err(StateError::NoLedger { .. }) => (Found::Empty { writable }, Vec::new()),
        Err(StateError::Store(StoreError::InUse(_))) => (Found::InUse, Vec::new()),
        Err(error) => (refused(&error), Vec::new()),
        Ok(inspection) => {
            let found = Found::Whole {
                records: inspection.records.len(),
                damaged: inspection.damaged(),
                interrupted_rekey: inspection.interrupted_rekey,
                writable,
            };
            (found, inspection.records.into_iter().filter_map(|record| record.content.ok()).collect())
        }
    }
}

fn refused(error: &StateError) -> Found {
    Found::Refused { key: matches!(error, StateError::Key(_)), sentence: error.to_string() }
}

/// Whether the first directory above that exists can be written to.
fn makeable(path: &Path) -> Result<(), String> {
    let above = path.ancestors().skip(1).find(|above| above.exists()).unwrap_or(Path::new("/"));
    access(above, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| format!("{}: {error}", above.display()))
}

fn room(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|above| above.exists())?;
    let found = statvfs(there).ok()?;
    let read_only = found.f_flag.contains(StatVfsMountFlags::RDONLY);
    Some(if read_only { 0 } else { found.f_bavail.saturating_mul(found.f_frsize) })
}

/// What it means.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let Some(directory) = &facts.directory else {
        return vec![Finding::ok(STATE, "nothing is kept on disk: a stop revokes everything")];
    };
    let mut findings = judge_found(&directory.display().to_string(), &facts.found, facts.serves);
    findings.extend(facts.room.and_then(|room| judge_room(&directory.display().to_string(), room)));
    findings
}

fn judge_found(shown: &str, found: &Found, serves: bool) -> Vec<Finding> {
    let not_writable = || {
        Finding::problem(
            STATE,
            format!("this user may not write to the state directory {shown}"),
            format!("run tfcfs as its owner, name another with --state, or: chmod u+wx {shown}"),
        )
    };
    match found {
        Found::Ephemeral => Vec::new(),
        Found::Missing(Ok(())) => {
            vec![Finding::ok(STATE, format!("the state directory {shown} is made by the first start, with its key"))]
        }
        Found::Missing(Err(why)) => vec![Finding::problem(
            STATE,
            format!("the state directory {shown} is not there, and this user cannot make it ({why})"),
            format!(
                "make it as root, for the user who runs tfcfs: install -d -m 0700 -o USER {shown}; or name another with --state"
            ),
        )],
        Found::Empty { writable: false } | Found::Whole { writable: false, .. } => vec![not_writable()],
        Found::Empty { .. } => vec![Finding::ok(STATE, format!("nothing is kept in {shown} yet"))],
        Found::Whole { damaged: 0, records, interrupted_rekey, .. } => {
            let mut findings = vec![Finding::ok(
                STATE,
                format!("{shown} is whole: {}, and the key opens all", count(*records, "record")),
            )];
            if *interrupted_rekey {
                findings.push(Finding::warning(
                    KEY,
                    format!("a change of the key of {shown} was interrupted"),
                    "nothing: the next start finishes it (or tfcfs state rekey)",
                ));
            }
            findings
        }
        Found::Whole { damaged, records, .. } => vec![Finding::problem(
            STATE,
            format!("{damaged} of {records} records in {shown} cannot be opened"),
            "restore the directory from a backup; tfcfs state check names them",
        )],
        Found::InUse if serves => vec![Finding::ok(STATE, format!("{shown} is in use by the tfcfs that runs"))],
        Found::InUse => vec![Finding::problem(
            STATE,
            format!("another tfcfs has the state directory {shown} open"),
            "stop that one (tfcfs status shows where it serves; pgrep -a tfcfs), or name another directory with --state",
        )],
        Found::KeyElsewhere(path) => vec![Finding::warning(
            KEY,
            format!(
                "the key of {shown} is the credential {}, which only the service gets: the state was not looked into",
                path.display()
            ),
            AS_SERVICE,
        )],
        Found::Refused { key, sentence } => {
            let check = if *key { KEY } else { STATE };
            let otherwise = "tfcfs state check says more; docs/state.md has the ways out";
            vec![Finding::of_sentence(check, Level::Problem, sentence, otherwise)]
        }
    }
}

fn judge_room(shown: &str, room: u64) -> Option<Finding> {
    let left = room >> 20;
    if room < LEAST_ROOM {
        return Some(Finding::problem(
            ROOM,
            format!(
                "{left} MiB are left for {shown}, or it is mounted read-only: no token can be recorded, so none is made"
            ),
            "make room, or mount it read-write",
        ));
    }
    (room < GOOD_ROOM).then(|| Finding::warning(ROOM, format!("only {left} MiB are left for {shown}"), "make room"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(found: Found, serves: bool, level: Level, what: &str, way_out: &str) {
        let findings = judge_found("/s", &found, serves);
        let worst = findings.iter().max_by_key(|finding| finding.level).unwrap();
        assert_eq!(worst.level, level, "{worst:?}");
        assert!(worst.what.contains(what), "{worst:?}");
        assert!(worst.way_out.clone().unwrap_or_default().contains(way_out), "{worst:?}");
    }

    fn whole() -> (usize, bool) {
        (3, true)
    }

    #[test]
    fn each_state_has_its_verdict() {
        let (records, writable) = whole();
        let with =
            |damaged, interrupted_rekey, writable| Found::Whole { records, damaged, interrupted_rekey, writable };
        is(with(0, false, writable), false, Level::Ok, "is whole: 3 records", "");
        is(with(0, true, writable), false, Level::Warning, "interrupted", "next start");
        is(with(1, false, writable), false, Level::Problem, "1 of 3 records", "backup");
        is(with(0, false, false), false, Level::Problem, "may not write", "chmod u+wx /s");
        is(Found::Empty { writable: true }, false, Level::Ok, "nothing is kept in /s yet", "");
        is(Found::Empty { writable: false }, false, Level::Problem, "may not write", "--state");
        is(Found::Missing(Ok(())), false, Level::Ok, "made by the first start", "");
        is(Found::Missing(Err("/: no".into())), false, Level::Problem, "cannot make it (/: no)", "install -d");
        is(Found::InUse, true, Level::Ok, "by the tfcfs that runs", "");
        is(Found::InUse, false, Level::Problem, "another tfcfs", "--state");
        is(Found::KeyElsewhere("/c".into()), false, Level::Warning, "credential /c", "systemd-run");
        let sentence = "the sealing key /k can be read by others (mode 0644); run: chmod 600 /k".to_owned();
        is(Found::Refused { key: true, sentence }, false, Level::Problem, "mode 0644", "chmod 600 /k");
    }

    #[test]
    fn room_for_the_ledger() {
        assert_eq!(judge_room("/s", 0).unwrap().level, Level::Problem);
        assert_eq!(judge_room("/s", 10 << 20).unwrap().level, Level::Warning);
        assert_eq!(judge_room("/s", 1 << 30), None);
    }
}
