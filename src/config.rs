//! The daemon's settings: one TOML file, checked whole before anything is changed.

mod audit;
mod file;
mod token_file;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::anchor::Access;
use crate::domain::document::RoleSpec;
use crate::domain::name::{AnchorName, RoleName};
use crate::domain::role::Limits;
use crate::domain::token::Token;

pub use self::audit::AuditSettings;

/// Where the file is when nobody says.
pub const DEFAULT_FILE: &str = "/etc/tfcfs/tfcfs.toml";

/// The default file, if it exists.
pub fn default_file() -> Option<PathBuf> {
    Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists())
}

/// Why a settings file was refused; names file and key, and says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .path.display())]
pub struct SettingsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub message: String,
}

/// What becomes of `token_file = "credential:NAME"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credentials {
    /// It is read from where systemd has put it for the service.
    OfService,
    /// It is not.
    Unread,
}

/// The text of `proxy`. Redacted in `Debug`, because it may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxySetting(pub String);

impl fmt::Debug for ProxySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxySetting(…)")
    }
}

/// Checked settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// State directory; `None` = the built-in default.
    pub state: Option<PathBuf>,
    /// File of the sealing key; `None` = credential or generated.
    pub sealing_key_file: Option<PathBuf>,
    /// `ttl` of roles that name none.
    pub default_ttl: Duration,
    /// Upper bound of every `max_ttl`.
    pub max_ttl: Duration,
    /// Longest wait of an open that makes a token.
    pub open_deadline: Duration,
    /// Longest wait of a rotation.
    pub rotate_deadline: Duration,
    /// Longest wait of all else.
    pub deadline: Duration,
    /// Between the removal of a role and the revocation of its tokens.
    pub delete_grace: Duration,
    /// A stop of `mount` or `supervise` revokes everything: the state may go with the container that it is in.
    pub revoke_on_stop: bool,
    /// Calls a second for each owner of an anchor.
    pub rate: u32,
    /// Additional CA certificates, PEM.
    pub ca_file: Option<PathBuf>,
    /// Proxy for upstream; `None` = the environment's.
    pub proxy: Option<ProxySetting>,
    /// Hosts reached without the proxy, comma-separated.
    pub no_proxy: Option<String>,
    /// Owner of the tree; `None` = who runs the daemon.
    pub uid: Option<u32>,
    /// Group of the tree; `None` = that of who runs the daemon.
    pub gid: Option<u32>,
    /// Mode of the files in `creds/`.
    pub mode: u16,
    /// Other users may come in.
    pub allow_other: bool,
    /// FUSE threads.
    pub threads: usize,
    /// Anchors of organizations may be rotated, although a lost answer locks the daemon out.
    pub allow_organization_anchor_rotation: bool,
    /// Names of programs whose opens in `creds/` are refused.
    pub deny_programs: Vec<String>,
    /// Where the audit trail is kept; `None` = nowhere.
    pub audit: Option<AuditSettings>,
    /// Anchors of this file.
    pub anchors: Vec<(AnchorName, Access)>,
    /// Roles of this file.
    pub roles: Vec<(RoleName, RoleSpec)>,
}

impl Default for Settings {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            state: None,
            sealing_key_file: None,
            default_ttl: limits.default_ttl,
            max_ttl: limits.max_ttl,
            open_deadline: Duration::from_secs(10),
            rotate_deadline: Duration::from_secs(30),
            deadline: Duration::from_secs(2),
            delete_grace: Duration::from_secs(10),
            revoke_on_stop: false,
            rate: 20,
            ca_file: None,
            proxy: None,
            no_proxy: None,
            uid: None,
            gid: None,
            mode: 0o400,
            allow_other: false,
            threads: 2,
            allow_organization_anchor_rotation: false,
            deny_programs: Vec::new(),
            audit: None,
            anchors: Vec::new(),
            roles: Vec::new(),
        }
    }
}

/// Whether a token stands for one that [`Settings::load_without_credentials`] did not read.
pub fn is_unread(token: &Token) -> bool {
    token_file::is_unread(token)
}

impl Settings {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// The first thing that is wrong in it.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        file::load(path, Credentials::OfService)
    }

    /// The same for whoever needs no token: credentials are not looked for, because only the service gets them.
    ///
    /// # Errors
    /// The first thing that is wrong in it.
    pub fn load_without_credentials(path: &Path) -> Result<Self, SettingsError> {
        file::load(path, Credentials::Unread)
    }

    /// The bounds on every role.
    pub fn limits(&self) -> Limits {
        Limits { default_ttl: self.default_ttl, max_ttl: self.max_ttl }
    }
}
