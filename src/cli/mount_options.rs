//! Mount options as mount(8) has them: `-o name,name=value`.

use super::MountArgs;
use crate::domain::document::nearest;
use crate::exit::{ExitCode, Failure};

/// Options that mount(8), systemd or habit add and that mean nothing here: nothing in the mount is executed, a device, or
/// has times of access.
const IGNORED: &[&str] = &[
    "rw",
    "dev",
    "nodev",
    "suid",
    "nosuid",
    "exec",
    "noexec",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "sync",
    "async",
    "dirsync",
    "silent",
    "loud",
    "nosymfollow",
    "_netdev",
    "nofail",
    "auto",
    "noauto",
    "defaults",
    "user",
    "nouser",
    "users",
    "owner",
    "group",
    "default_permissions",
    "nonempty",
];

/// The same with a value.
const IGNORED_VALUES: &[&str] = &["user", "comment", "helper", "uhelper", "fsname", "subtype", "max_read"];

const OPTIONS: &[&str] = &["allow_other", "config", "state", "sealing_key", "ephemeral", "setuid"];

impl MountArgs {
    /// Moves what `-o` says to where the flags put it.
    ///
    /// # Errors
    /// An option that does not exist.
    pub fn fold_options(mut self) -> Result<Self, Failure> {
        for option in std::mem::take(&mut self.options) {
            self.fold(&option)?;
        }
        if self.ephemeral && self.state.is_some() {
            return Err(usage("ephemeral keeps nothing, state keeps everything: choose one"));
        }
        Ok(self)
    }

    fn fold(&mut self, option: &str) -> Result<(), Failure> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        match (name, value.filter(|value| !value.is_empty())) {
            ("allow_other", None) => self.allow_other = true,
            ("ephemeral", None) => self.ephemeral = true,
            ("config", Some(file)) => self.config = Some(file.into()),
            ("state", Some(directory)) => self.state = Some(directory.into()),
            ("sealing_key", Some(file)) => self.sealing_key = Some(file.into()),
            ("setuid", Some(user)) => self.run_as = Some(user.to_owned()),
            ("x-mount.mkdir", mode) => self.make_mount_point = Some(directory_mode(mode)?),
            _ if name.is_empty() || name.starts_with("x-") || name.starts_with("X-") => {}
            (_, None) if IGNORED.contains(&name) => {}
            (_, Some(_)) if IGNORED_VALUES.contains(&name) => {}
            ("config" | "state" | "sealing_key", _) => {
                return Err(usage(&format!("mount option {name} needs a value: {name}=PATH")));
            }
            ("setuid", _) => return Err(usage("mount option setuid needs a value: setuid=USER")),
            ("allow_other" | "ephemeral", _) => return Err(usage(&format!("mount option {name} takes no value"))),
            ("ro", _) => {
                let text = "a read-only mount cannot be configured nor announce changes";
                return Err(usage(text).hint("leave ro out; modes decide who may write"));
            }
            ("remount", _) => {
                let text = "a mounted tfcfs is not changed by a remount";
                return Err(
                    usage(text).hint("change the settings file and reload: kill -HUP, or systemctl reload tfcfs")
                );
            }
            ("allow_root", _) => {
                return Err(usage("mount option allow_root does not exist here")
                    .hint("allow_other lets everybody in whom the modes let in"));
            }
            _ if self.sloppy => {}
            _ => {
                let near = nearest(name, OPTIONS.iter().copied());
                let hint = near.map_or_else(|| OPTIONS.join(", "), |near| format!("did you mean {near}?"));
                return Err(usage(&format!("unknown mount option {name:?}")).hint(hint));
            }
        }
        Ok(())
    }
}

/// Of `x-mount.mkdir`, as mount(8) reads it.
fn directory_mode(text: Option<&str>) -> Result<u32, Failure> {
    let Some(text) = text else { return Ok(0o755) };
    u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777).ok_or_else(|| {
        usage(&format!("mount option x-mount.mkdir: {text:?} is no mode of a directory"))
            .hint("write x-mount.mkdir, or x-mount.mkdir=0755")
    })
}

fn usage(text: &str) -> Failure {
    Failure::new(ExitCode::Usage, text)
}
