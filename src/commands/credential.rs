//! Opening a credential: the token, the host it is for, and the open file that keeps its lease held.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::tables::known_role;
use crate::domain::name::RoleName;
use crate::exit::{ExitCode, Failure};
use crate::mount_point::{self, MountPoint};

/// The door that says for which host its token is.
const DOOR: &str = "terraform.tfrc.json";

/// What is behind an open door.
pub(super) struct Credential {
    /// Punycode, with a port if that is not 443.
    pub host: String,
    /// The secret.
    pub token: Zeroizing<String>,
    /// Where [`DOOR`] is, from the root.
    pub path: PathBuf,
    /// The lease is held while this or a copy of it is open.
    pub file: File,
}

/// What the door shows.
#[derive(Deserialize)]
struct Tfrc<'a> {
    #[serde(borrow)]
    credentials: BTreeMap<Cow<'a, str>, Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    token: Cow<'a, str>,
}

/// A role's name, checked before it becomes part of a path.
pub(super) fn role_name(text: &str) -> Result<RoleName, Failure> {
    let parsed: Result<RoleName, _> = text.parse();
    parsed.map_err(|error| Failure::new(ExitCode::Usage, format!("this is no role: {error}")))
}

/// Opens the credential of a role. Makes a token if none can be shared.
pub(super) fn open(mount: &Path, role: &RoleName) -> Result<Credential, Failure> {
    let mount = std::path::absolute(mount).unwrap_or_else(|_| mount.to_owned());
    check_mount(&mount)?;
    let path = mount.join("creds").join(role.as_str()).join(DOOR);
    let mut text = Zeroizing::new(Vec::with_capacity(4096));
    let opened = File::open(&path).and_then(|mut file| file.read_to_end(&mut text).map(|_| file));
    let file = opened.map_err(|error| explain(&mount, role, &path, &error))?;
    let strange = || {
        let message = format!("{} is not what tfcfs writes", path.display());
        Failure::new(ExitCode::NotMounted, message).hint("is another version mounted?")
    };
    let Tfrc { credentials } = serde_json::from_slice(&text).map_err(|_| strange())?;
    let (host, Entry { token }) = credentials.into_iter().next().ok_or_else(strange)?;
    Ok(Credential { host: host.into_owned(), token: Zeroizing::new(token.into_owned()), path, file })
}

/// Whoever touches a mount whose daemon hangs, hangs too: so its pulse comes first.
fn check_mount(mount: &Path) -> Result<(), Failure> {
    let shown = mount.display();
    let not_mounted = |text: String, hint: String| Err(Failure::new(ExitCode::NotMounted, text).hint(hint));
    match mount_point::inspect(mount).map_err(|error| Failure::new(ExitCode::NotMounted, error.to_string()))? {
        MountPoint::LiveTfcfs | MountPoint::Free | MountPoint::OtherFuse { .. } => Ok(()),
        MountPoint::Missing | MountPoint::NotADirectory => {
            not_mounted(format!("no tfcfs is mounted on {shown}"), format!("start one: tfcfs mount {shown}"))
        }
        MountPoint::DeadTfcfs => not_mounted(
            format!("the tfcfs on {shown} died"),
            format!("start it again: tfcfs mount {shown}; its service log says what happened"),
        ),
        MountPoint::SilentTfcfs => not_mounted(
            format!("the tfcfs on {shown} does not answer: it is stopped, overloaded, or was killed"),
            format!("look at its process; if there is none, take the mount away: umount -f -l {shown}"),
        ),
    }
}

fn explain(mount: &Path, role: &RoleName, path: &Path, error: &io::Error) -> Failure {
    let fail = |code, text: String, hint: String| Failure::new(code, text).hint(hint);
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) if !mount.join("creds").is_dir() => fail(
            ExitCode::NotMounted,
            format!("no tfcfs is mounted on {}", mount.display()),
            format!("start one: tfcfs mount {}", mount.display()),
        ),
        Some(libc::ENOENT | libc::ENOTDIR) => match known_role(mount, role.as_str()) {
            Err(failure) => failure,
            Ok(_) => fail(
                ExitCode::NoToken,
                format!("the role {role} is being removed"),
                "tfcfs roles lists what there is".into(),
            ),
        },
        Some(libc::EACCES | libc::EPERM) if rustix::fs::access(path, rustix::fs::Access::READ_OK).is_err() => fail(
            ExitCode::Permission,
            format!("{} may not be read by this user", path.display()),
            format!("chown, chgrp or chmod {}/creds/{role} to let it in, as root", mount.display()),
        ),
        Some(libc::ENOTCONN | libc::ECONNABORTED) => fail(
            ExitCode::NotMounted,
            format!("{} cannot be read: {error}", path.display()),
            format!("its daemon died; start it again: tfcfs mount {}", mount.display()),
        ),
        _ => {
            let failure = Failure::new(ExitCode::NoToken, format!("no token of {role}: {error}"));
            match reason(mount, role) {
                Some(reason) => failure.hint(reason),
                None => failure,
            }
        }
    }
}

/// The sentence that the daemon has just written about this door.
fn reason(mount: &Path, role: &RoleName) -> Option<String> {
    let errors = std::fs::read_to_string(mount.join("errors")).ok()?;
    let about = format!(" creds/{role}/{DOOR}: ");
    errors.lines().find_map(|line| line.split_once(&about)).map(|(_, sentence)| sentence.to_owned())
}
