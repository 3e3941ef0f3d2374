//! The right to mount: root, a setuid `fusermount3`, containers, user namespaces, `/etc/fuse.conf`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Finding;
use super::probe;

const CHECK: &str = "right to mount";
const OTHERS: &str = "other users";

/// Bit of CAP_SYS_ADMIN.
const SYS_ADMIN: u32 = 21;

/// Where `fuser` and libfuse read it.
const FUSE_CONF: &str = "/etc/fuse.conf";

/// The whole range of user ids: what the first user namespace maps.
const ALL_IDS: [&str; 3] = ["0", "0", "4294967295"];

/// What is known of the right to mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Effective user.
    pub uid: u32,
    /// CAP_SYS_ADMIN, in whatever user namespace this is.
    pub sys_admin: bool,
    /// In a user namespace that is not the machine's own.
    pub user_namespace: bool,
    /// In a container, as far as it can be told.
    pub container: bool,
    /// Setuid programs give no rights to this process and its children.
    pub no_new_privileges: bool,
    /// The program that mounts for users.
    pub helper: Helper,
    /// Why a user cannot make a user namespace; `None` = may.
    pub namespaces_off: Option<&'static str>,
    /// Other users shall come in.
    pub allow_other: bool,
    /// The text of `/etc/fuse.conf`; `None` = not there or not readable.
    pub fuse_conf: Option<String>,
}

/// `fusermount3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Helper {
    /// Not in `$PATH`.
    Missing,
    /// There, but neither setuid root.
    Powerless(PathBuf),
    /// There, and setuid root.
    SetUid(PathBuf),
}

impl Facts {
    /// Looks.
    pub fn gather(allow_other: bool) -> Self {
        let status = probe::text("/proc/self/status").unwrap_or_default();
        let capabilities = probe::status_field(&status, "CapEff").and_then(|bits| u64::from_str_radix(bits, 16).ok());
        let map = probe::text("/proc/self/uid_map").unwrap_or_default();
        Self {
            uid: rustix::process::geteuid().as_raw(),
            sys_admin: capabilities.is_some_and(|bits| bits & (1 << SYS_ADMIN) != 0),
            user_namespace: !map.is_empty() && map.split_whitespace().collect::<Vec<_>>() != ALL_IDS,
            container: in_container(),
            no_new_privileges: probe::status_field(&status, "NoNewPrivs") == Some("1"),
            helper: find_helper(),
            namespaces_off: namespaces_off(probe::text),
            allow_other,
            fuse_conf: probe::text(FUSE_CONF),
        }
    }

    /// Whether `fusermount3` will mount, not we ourselves.
    pub fn uses_helper(&self) -> bool {
        !self.sys_admin
    }
}

/// Whether this looks like a container.
pub(super) fn in_container() -> bool {
    probe::exists("/.dockerenv")
        || probe::exists("/run/.containerenv")
        || probe::exists("/run/systemd/container")
        || probe::exists("/run/secrets/kubernetes.io")
        || std::env::var_os("container").is_some()
}

fn find_helper() -> Helper {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = None;
    for directory in std::env::split_paths(&path).chain(["/usr/bin".into(), "/bin".into()]) {
        let program = directory.join("fusermount3");
        let Ok(metadata) = fs::metadata(&program) else { continue };
        if metadata.uid() == 0 && metadata.mode() & 0o4001 == 0o4001 {
            return Helper::SetUid(program);
        }
        found = found.or(Some(program));
    }
    found.map_or(Helper::Missing, Helper::Powerless)
}

fn namespaces_off(read: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    let is = |path: &str, value: &str| read(path).is_some_and(|text| text.trim() == value);
    if is("/proc/sys/user/max_user_namespaces", "0") {
        Some("user.max_user_namespaces is 0")
    } else if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        Some("kernel.unprivileged_userns_clone is 0")
    } else if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        Some("kernel.apparmor_restrict_unprivileged_userns is 1")
    } else {
        None
    }
}

/// What it means.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![judge_right(facts)];
    findings.extend(judge_others(facts));
    findings
}

fn judge_right(facts: &Facts) -> Finding {
    if facts.sys_admin && !facts.user_namespace {
        return Finding::ok(CHECK, "this process may mount by itself (CAP_SYS_ADMIN)");
    }
    if facts.sys_admin {
        return Finding::warning(
            CHECK,
            "in a user namespace: mounting works only if the mount namespace was made in it too, and only programs inside see the mount",
            "start both together (unshare -Urm), or mount outside of the namespace and bind the mount into it",
        );
    }
    if facts.uid == 0 && facts.container {
        return Finding::problem(
            CHECK,
            "root in a container without CAP_SYS_ADMIN may not mount",
            "--cap-add SYS_ADMIN --device /dev/fuse (on AppArmor hosts also --security-opt apparmor=unconfined), or mount on the host and share the mount; see docs/containers.md",
        );
    }
    if facts.uid == 0 {
        return Finding::problem(
            CHECK,
            "root without CAP_SYS_ADMIN may not mount",
            "give it the capability (CapabilityBoundingSet= of a unit takes it away), or let another process mount and hand over the descriptor: docs/systemd.md",
        );
    }
    judge_helper(facts)
}

fn judge_helper(facts: &Facts) -> Finding {
    let as_root = "run tfcfs as root";
    match &facts.helper {
        Helper::Missing => {
            let alone = match facts.namespaces_off {
                Some(why) => format!("a user namespace is no way out either: {why}"),
                None => "unshare -Urm gives a mount that only its own programs see".to_owned(),
            };
            Finding::problem(
                CHECK,
                "neither root nor fusermount3 is here: users cannot mount",
                format!("install fusermount3 (Debian: apt-get install fuse3), or {as_root}; {alone}"),
            )
        }
        Helper::Powerless(path) => Finding::problem(
            CHECK,
            format!("{} is not setuid root, so it cannot mount for users", path.display()),
            format!("chown root {path}; chmod 4755 {path}, or {as_root}", path = path.display()),
        ),
        Helper::SetUid(path) if facts.no_new_privileges => Finding::problem(
            CHECK,
            format!("{} gets no rights here: no_new_privs is set on this process", path.display()),
            format!(
                "mount from outside of the sandbox (NoNewPrivileges= of a unit, allowPrivilegeEscalation of a pod), or {as_root}"
            ),
        ),
        Helper::SetUid(path) if facts.user_namespace => Finding::problem(
            CHECK,
            format!("{} is setuid root of another user namespace than this one", path.display()),
            "mount outside of the namespace and bind the mount into it",
        ),
        Helper::SetUid(path) => Finding::ok(CHECK, format!("{} mounts for this user", path.display())),
    }
}

fn judge_others(facts: &Facts) -> Option<Finding> {
    if !facts.allow_other {
        return None;
    }
    if !facts.uses_helper() {
        return Some(match facts.user_namespace {
            false => Finding::ok(OTHERS, "allow_other needs nothing more for root"),
            true => Finding::warning(
                OTHERS,
                "allow_other of a mount in a user namespace lets in nobody from outside of it",
                "mount outside of the namespace if others shall read",
            ),
        });
    }
    let permits = |text: &String| text.lines().any(|line| strip(line) == "user_allow_other");
    if facts.fuse_conf.as_ref().is_some_and(permits) {
        return Some(Finding::ok(OTHERS, "user_allow_other is in /etc/fuse.conf"));
    }
    Some(Finding::problem(
        OTHERS,
        "allow_other is wanted, but /etc/fuse.conf does not allow it to users",
        "echo user_allow_other >> /etc/fuse.conf (as root), mount as root, or leave allow_other out",
    ))
}

/// As fusermount3 reads a line: without a comment and blanks around it.
fn strip(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

/// The home directory of this user, for what a profile allows.
pub(super) fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|home| home != Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    fn user() -> Facts {
        Facts {
            uid: 1000,
            sys_admin: false,
            user_namespace: false,
            container: false,
            no_new_privileges: false,
            helper: Helper::SetUid("/usr/bin/fusermount3".into()),
            namespaces_off: None,
            allow_other: false,
            fuse_conf: None,
        }
    }

    #[track_caller]
    fn is(facts: &Facts, level: Level, what: &str, way_out: &str) {
        let finding = judge_right(facts);
        assert_eq!(finding.level, level, "{finding:?}");
        assert!(finding.what.contains(what), "{finding:?}");
        assert!(finding.way_out.unwrap_or_default().contains(way_out), "{way_out}");
    }

    #[test]
    fn who_may_mount() {
        let root = Facts { uid: 0, sys_admin: true, ..user() };
        is(&root, Level::Ok, "may mount by itself", "");
        is(&Facts { user_namespace: true, ..root.clone() }, Level::Warning, "in a user namespace", "unshare -Urm");
        is(&Facts { sys_admin: false, container: true, ..root.clone() }, Level::Problem, "in a container", "--cap-add");
        is(&Facts { sys_admin: false, ..root }, Level::Problem, "root without CAP", "CapabilityBoundingSet=");
        is(&user(), Level::Ok, "mounts for this user", "");
        is(&Facts { helper: Helper::Missing, ..user() }, Level::Problem, "neither root", "unshare -Urm");
        let off = Facts { helper: Helper::Missing, namespaces_off: Some("x is 0"), ..user() };
        is(&off, Level::Problem, "neither root", "no way out either: x is 0");
        let powerless = Facts { helper: Helper::Powerless("/bin/fusermount3".into()), ..user() };
        is(&powerless, Level::Problem, "not setuid root", "chmod 4755 /bin/fusermount3");
        is(&Facts { no_new_privileges: true, ..user() }, Level::Problem, "no_new_privs", "NoNewPrivileges=");
        is(&Facts { user_namespace: true, ..user() }, Level::Problem, "another user namespace", "bind the mount");
    }

    #[test]
    fn allow_other_of_a_user_needs_a_line_in_fuse_conf() {
        assert_eq!(judge_others(&user()), None);
        let with = |conf: Option<&str>| {
            let facts = Facts { allow_other: true, fuse_conf: conf.map(str::to_owned), ..user() };
            judge_others(&facts).unwrap().level
        };
        assert_eq!(with(Some("# x\n  user_allow_other # yes\n")), Level::Ok);
        for conf in [None, Some(""), Some("#user_allow_other\n"), Some("user_allow_others\n")] {
            assert_eq!(with(conf), Level::Problem, "{conf:?}");
        }
        let root = Facts { uid: 0, sys_admin: true, allow_other: true, ..user() };
        assert_eq!(judge_others(&root).unwrap().level, Level::Ok);
        assert_eq!(judge_others(&Facts { user_namespace: true, ..root }).unwrap().level, Level::Warning);
    }

    #[test]
    fn why_there_are_no_user_namespaces() {
        let with = |name: &'static str, value: &'static str| {
            namespaces_off(move |path| path.ends_with(name).then(|| format!("{value}\n")))
        };
        assert!(with("max_user_namespaces", "0").unwrap().contains("max_user"));
        assert!(with("unprivileged_userns_clone", "0").unwrap().contains("userns_clone"));
        assert!(with("apparmor_restrict_unprivileged_userns", "1").unwrap().contains("apparmor"));
        assert_eq!(with("max_user_namespaces", "1000"), None);
    }
}
