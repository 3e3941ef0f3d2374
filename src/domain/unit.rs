//! Which systemd units and cgroups may open a role's files: `allow_units`. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most entries of one role.
pub const MOST_UNITS: usize = 64;

/// Longest entry, in bytes.
const LONGEST: usize = 512;

/// Types of units that processes run in.
const TYPES: [&str; 6] = [".service", ".scope", ".slice", ".socket", ".mount", ".swap"];

/// One entry of `allow_units`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AllowedUnit {
    /// A system unit by its name, e.g. `backup.service`, or a slice with everything in it.
    Name(String),
    /// A cgroup by its path, e.g. `/system.slice/docker-….scope`, with everything below it.
    Path(String),
}

/// Why an entry is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AllowedUnitError {
    /// Empty, too long, or with blanks or control characters.
    #[error("is not a unit: no blanks, at most {LONGEST} bytes")]
    Text,
    /// A name without a type.
    #[error(
        "is not the name of a unit that processes run in: it ends in .service, .scope or .slice; a cgroup path begins with /"
    )]
    Type,
    /// A path that is not in its shortest form, or is the root of all.
    #[error("is not a cgroup path below the root: no //, no . or .., no slash at its end")]
    Path,
}

impl FromStr for AllowedUnit {
    type Err = AllowedUnitError;

    fn from_str(text: &str) -> Result<Self, AllowedUnitError> {
        let plain = |c: char| !c.is_whitespace() && !c.is_control();
        if text.is_empty() || text.len() > LONGEST || !text.chars().all(plain) {
            return Err(AllowedUnitError::Text);
        }
        if let Some(path) = text.strip_prefix('/') {
            return match path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                true => Err(AllowedUnitError::Path),
                false => Ok(Self::Path(text.into())),
            };
        }
        let named = TYPES.iter().any(|kind| text.strip_suffix(kind).is_some_and(|stem| !stem.is_empty()));
        match named && !text.contains('/') {
            true => Ok(Self::Name(text.into())),
            false => Err(AllowedUnitError::Type),
        }
    }
}

impl TryFrom<String> for AllowedUnit {
    type Error = AllowedUnitError;

    fn try_from(text: String) -> Result<Self, AllowedUnitError> {
        text.parse()
    }
}

impl From<AllowedUnit> for String {
    fn from(unit: AllowedUnit) -> Self {
        unit.to_string()
    }
}

impl fmt::Display for AllowedUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(text) | Self::Path(text) => f.write_str(text),
        }
    }
}

impl AllowedUnit {
    /// Whether a process in the cgroup `path` is meant.
    ///
    /// A name is compared with what the system's manager made: the slices that the path begins with, and the first part
    /// that is no slice. What is below belongs to whoever the unit delegates to: a user can make a cgroup `backup.service`
    /// in a session, and a container one in itself.
    pub fn has(&self, path: &str) -> bool {
        // A path outside our cgroup namespace, or of a cgroup that is gone, proves nothing.
        if !path.starts_with('/') || path.starts_with("/..") || path.ends_with(" (deleted)") {
            return false;
        }
        match self {
            Self::Path(allowed) => {
                path.strip_prefix(allowed.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Name(name) => {
                // systemd writes `_` before a name that the kernel could take for a file of its own.
                let mut parts = path.split('/').skip(1).map(|part| part.strip_prefix('_').unwrap_or(part));
                let mut found = false;
                for part in &mut parts {
                    found |= part == name;
                    if found || !part.ends_with(".slice") {
                        break;
                    }
                }
                found
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(entry: &str, path: &str) -> bool {
        entry.parse::<AllowedUnit>().unwrap().has(path)
    }

    #[test]
    fn a_unit_by_name_wherever_its_slice_is() {
        for path in [
            "/system.slice/backup.service",
            "/system.slice/system-backup.slice/backup.service",
            "/backup.service",
            "/system.slice/backup.service/worker",
            "/system.slice/_backup.service",
        ] {
            assert!(has("backup.service", path), "{path}");
        }
        assert!(has("system-web.slice", "/system.slice/system-web.slice/web@1.service"));
        assert!(has("user-1000.slice", "/user.slice/user-1000.slice/session-3.scope"));
    }

    #[test]
    fn a_name_that_somebody_else_can_make_is_not_the_unit() {
        for path in [
            "/user.slice/user-1000.slice/user@1000.service/app.slice/backup.service",
            "/user.slice/user-1000.slice/user@1000.service/backup.service",
            "/system.slice/docker-0123.scope/system.slice/backup.service",
            "/system.slice/other.service/backup.service",
            "/system.slice/xbackup.service",
            "/system.slice/backup.service2",
            "/system.slice/backup.service (deleted)",
            "/../system.slice/backup.service",
            "/../../backup.service",
            "/",
            "",
            "backup.service",
        ] {
            assert!(!has("backup.service", path), "{path}");
        }
        assert!(!has("web.slice", "/system.slice/other.service/web.slice/x.service"));
    }

    #[test]
    fn a_path_with_all_below_it() {
        let pod = "/kubepods.slice/pod1";
        for path in ["/kubepods.slice/pod1", "/kubepods.slice/pod1/container"] {
            assert!(has(pod, path), "{path}");
        }
        for path in ["/kubepods.slice/pod12", "/kubepods.slice", "/x/kubepods.slice/pod1", "/../kubepods.slice/pod1"] {
            assert!(!has(pod, path), "{path}");
        }
    }

    #[test]
    fn what_is_no_entry() {
        for (text, error) in [
            ("", AllowedUnitError::Text),
            ("a b.service", AllowedUnitError::Text),
            ("a\n.service", AllowedUnitError::Text),
            ("backup", AllowedUnitError::Type),
            (".service", AllowedUnitError::Type),
            ("x/backup.service", AllowedUnitError::Type),
            ("backup.timer", AllowedUnitError::Type),
            ("/", AllowedUnitError::Path),
            ("/a/", AllowedUnitError::Path),
            ("/a//b", AllowedUnitError::Path),
            ("/a/../b", AllowedUnitError::Path),
        ] {
            assert_eq!(text.parse::<AllowedUnit>(), Err(error), "{text:?}");
        }
        assert_eq!(format!("/{}", "x".repeat(512)).parse::<AllowedUnit>(), Err(AllowedUnitError::Text));
    }
}
