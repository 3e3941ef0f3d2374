//! How the program ends: numbers that scripts can rely on, and errors that say what to do.

use std::fmt;

use crate::adapters::state_directory::StateError;
use crate::domain::ports::StoreError;

/// Exit codes. Published in the README and by `tfcfs help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum ExitCode {
    /// Done.
    Ok = 0,
    /// A defect, or a machine without threads.
    Internal = 1,
    /// The command line is wrong.
    Usage = 2,
    /// No tfcfs is mounted where one was looked for.
    NotMounted = 3,
    /// The mount point cannot be used.
    MountPoint = 4,
    /// A settings file or a document is wrong.
    Settings = 5,
    /// The state directory cannot be used.
    State = 6,
    /// The mount does not let this user in.
    Permission = 7,
    /// Another tfcfs uses the state directory.
    InUse = 8,
    /// The state is damaged, newer, or sealed with another key.
    Corrupt = 9,
    /// No token: the anchor, upstream or a limit is against it.
    NoToken = 10,
    /// `doctor` found something that would stop a mount.
    Obstacle = 11,
    /// A mount is there, but nobody serves it, or it does not answer.
    Unanswered = 12,
    /// Called by mount(8), whose numbers differ: the mount failed.
    MountFailed = 32,
    /// The mount was taken away, or nobody could serve it any more.
    MountGone = 75,
    /// `exec` could not begin; the command was not run.
    NotBegun = 125,
    /// The command of `exec` cannot be executed.
    NotExecutable = 126,
    /// There is no such command for `exec`.
    NoCommand = 127,
    /// A second signal ended it before everything was revoked.
    Interrupted = 130,
}

impl ExitCode {
    /// All of them with their meaning, for the help.
    pub const ALL: [(Self, &'static str); 19] = [
        (Self::Ok, "done"),
        (Self::Internal, "internal error"),
        (Self::Usage, "wrong command line"),
        (Self::NotMounted, "no tfcfs is mounted there"),
        (Self::MountPoint, "the mount point cannot be used"),
        (Self::Settings, "a settings file or document is wrong"),
        (Self::State, "the state directory cannot be used"),
        (Self::Permission, "the mount does not let this user in"),
        (Self::InUse, "another tfcfs uses the state directory"),
        (Self::Corrupt, "the state is damaged, of a newer tfcfs, or sealed with another key"),
        (Self::NoToken, "no token can be had; tfcfs errors says why"),
        (Self::Obstacle, "doctor: something would stop a mount"),
        (Self::Unanswered, "a mount is there, but it is dead or does not answer"),
        (Self::MountFailed, "mount -t tfcfs: the mount failed"),
        (Self::MountGone, "the mount was taken away, or nobody could serve it"),
        (Self::NotBegun, "exec: the command was not run"),
        (Self::NotExecutable, "exec: the command cannot be executed"),
        (Self::NoCommand, "exec: there is no such command"),
        (Self::Interrupted, "a second signal ended it before everything was revoked"),
    ];
}

impl ExitCode {
    /// The code with that number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().map(|(code, _)| code).find(|code| *code as i32 == number)
    }

    /// What to do if nobody knows better.
    fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::Ok | Self::Interrupted => return None,
            Self::Internal => "run it with --log-level debug to see more; if it is a defect, please report it",
            Self::Usage => "tfcfs --help shows what there is",
            Self::NotMounted => "tfcfs mount DIRECTORY starts one, --mount names another",
            Self::MountPoint => "tfcfs mount --help says what a mount point must be",
            Self::Settings => "tfcfs check FILE tries a file without starting anything",
            Self::State => "name another directory with --state; tfcfs mount --ephemeral keeps nothing",
            Self::InUse => "a running tfcfs shows its state in its mount: tfcfs status, tfcfs leases",
            Self::Corrupt => "tfcfs state check says what can be read of it",
            Self::NoToken => "tfcfs errors says why, and what to do",
            Self::Obstacle => "the way out stands under each problem",
            Self::Unanswered => "tfcfs doctor says what is at the mount point",
            Self::MountFailed => "tfcfs doctor MOUNTPOINT says what stands in the way",
            Self::MountGone => "start it again: it mounts anew",
            Self::NotBegun => "tfcfs exec --help says what it needs",
            Self::NotExecutable => "give it the right to be executed, or name its interpreter",
            Self::NoCommand => "name it with its path, or put its directory into PATH",
            Self::Permission => "run it as the owner of the mount, or as root",
        })
    }
}

/// Why the program ends: what happened, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The number.
    pub code: ExitCode,
    /// What happened.
    pub message: String,
    /// What to do; `None` = what the code says.
    pub hint: Option<String>,
}

impl Failure {
    /// With the general hint of its code.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// The same as mount(8) wants it from its helper, whose other numbers mean something else there.
    #[must_use]
    pub fn of_helper(mut self) -> Self {
        self.hint = self.hint.or_else(|| self.code.hint().map(str::to_owned));
        self.code = if self.code == ExitCode::Usage { ExitCode::Internal } else { ExitCode::MountFailed };
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tfcfs: {}", self.message)?;
        match self.hint.as_deref().or(self.code.hint()) {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let code = match &error {
            StateError::Store(StoreError::InUse(_)) => ExitCode::InUse,
            StateError::Store(StoreError::Corrupt(_)) => ExitCode::Corrupt,
            StateError::SameKey | StateError::NotReplaceable { .. } => ExitCode::Usage,
            _ => ExitCode::State,
        };
        Self::new(code, error.to_string())
    }
}
