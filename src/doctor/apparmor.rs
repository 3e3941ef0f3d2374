//! The AppArmor profile of `fusermount3`: since AppArmor 4.1 (Ubuntu 25.04) it lets users mount below a few directories
//! only, and what fusermount3 prints then is a bare "Permission denied".

use std::path::{Path, PathBuf};

use super::Finding;
use super::{probe, rights};

const CHECK: &str = "AppArmor";
const PROFILE: &str = "/etc/apparmor.d/fusermount3";
const LOCAL: &str = "/etc/apparmor.d/local/fusermount3";
const DISABLED: &str = "/etc/apparmor.d/disable/fusermount3";

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The kernel enforces profiles.
    pub enabled: bool,
    /// The profile and its local addition; `None` = there is none, or it is switched off.
    pub profile: Option<String>,
    /// Where to mount, absolute.
    pub mount_point: PathBuf,
    /// `$HOME`.
    pub home: Option<PathBuf>,
}

impl Facts {
    /// Looks.
    pub fn gather(mount_point: &Path) -> Self {
        let enabled = probe::text("/sys/module/apparmor/parameters/enabled").is_some_and(|text| text.trim() == "Y");
        let profile = probe::text(PROFILE).filter(|_| !probe::exists(DISABLED));
        let local = probe::text(LOCAL).unwrap_or_default();
        Self {
            enabled,
            profile: profile.map(|profile| format!("{profile}\n{local}")),
            mount_point: std::path::absolute(mount_point).unwrap_or_else(|_| mount_point.to_owned()),
            home: rights::home(),
        }
    }
}

/// What it means; nothing where no profile is in force.
pub fn judge(facts: &Facts) -> Option<Finding> {
    let profile = facts.profile.as_ref().filter(|_| facts.enabled)?;
    let shown = facts.mount_point.display();
    if profile
        .lines()
        .any(|line| line.contains("fusermount3") && (line.contains("complain") || line.contains("unconfined")))
    {
        return Some(Finding::ok(CHECK, "the profile of fusermount3 is there, but refuses nothing"));
    }
    let place = format!("{}/", facts.mount_point.to_string_lossy().trim_end_matches('/'));
    let places: Vec<&str> = profile.lines().filter_map(allowed_place).collect();
    if places.iter().any(|pattern| expand(pattern, facts.home.as_deref()).iter().any(|one| matches(one, &place))) {
        return Some(Finding::ok(CHECK, format!("the profile of fusermount3 allows {shown}")));
    }
    let rule =
        "mount fstype=@{fuse_types} options=(nosuid,nodev) options in (ro,rw,noatime,dirsync,nodiratime,noexec,sync)";
    Some(Finding::problem(
        CHECK,
        format!("the profile of fusermount3 allows users to mount below {} only, not on {shown}", places.join(" ")),
        format!(
            "mount there (a directory in your home, or below /mnt), as root, or add to {LOCAL} the two lines `{rule} -> {place},` and `umount {place},`, then: apparmor_parser -r {PROFILE}"
        ),
    ))
}

/// The pattern of places of a `mount … -> PATTERN,` rule.
fn allowed_place(line: &str) -> Option<&str> {
    let rule = line.split('#').next()?.trim();
    let rule = rule.strip_prefix("allow ").unwrap_or(rule);
    let (head, place) = rule.strip_suffix(',')?.split_once("->")?;
    head.starts_with("mount ").then(|| place.trim().trim_matches('"'))
}

/// A pattern without variables and alternatives: all that it stands for.
fn expand(pattern: &str, home: Option<&Path>) -> Vec<String> {
    let homes = home.map_or_else(String::new, |home| format!(",{}", home.to_string_lossy().trim_matches('/')));
    let pattern = pattern
        .replace("@{HOME}", &format!("/{{home/*,root{homes}}}"))
        .replace("@{run}", "/{,var/}run")
        .replace("@{uid}", "[0-9]*");
    let mut done = Vec::new();
    let mut todo = vec![pattern];
    while let Some(next) = todo.pop() {
        // The innermost alternative: the first closing brace and the last opening one before it.
        let Some(close) = next.find('}') else {
            done.push(next);
            continue;
        };
        let Some(open) = next[..close].rfind('{') else {
            done.push(next);
            continue;
        };
        for choice in next[open + 1..close].split(',') {
            todo.push(format!("{}{choice}{}", &next[..open], &next[close + 1..]));
        }
        // A rule that is made to explode is not followed.
        if todo.len() > 256 {
            return done;
        }
    }
    done
}

/// AppArmor's globs: `*` and `?` stay within a directory, `**` does not, `[…]` is a set.
fn matches(pattern: &str, text: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return text.is_empty() };
    let rest = &pattern[first.len_utf8()..];
    if let Some(rest) = pattern.strip_prefix("**") {
        return text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| matches(rest, &text[at..]));
    }
    if first == '*' {
        let end = text.find('/').unwrap_or(text.len());
        return (0..=end).filter(|at| text.is_char_boundary(*at)).any(|at| matches(rest, &text[at..]));
    }
    let Some(head) = text.chars().next() else { return false };
    let tail = &text[head.len_utf8()..];
    match first {
        '?' => head != '/' && matches(rest, tail),
        '[' => match rest.split_once(']') {
            Some(("0-9", rest)) => head.is_ascii_digit() && matches(rest, tail),
            Some((set, rest)) => set.contains(head) && matches(rest, tail),
            None => false,
        },
        one => one == head && matches(rest, tail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    const SHIPPED: &str = "\
abi <abi/4.0>,
profile fusermount3 /usr/bin/fusermount3 {
  # mount fstype=fuse -> /everywhere/**/,
  mount fstype=@{fuse_types} options=(nosuid,nodev) options in (ro,rw,noatime,dirsync,nodiratime,noexec,sync) -> @{HOME}/**/,
  mount fstype=@{fuse_types} options=(nosuid,nodev) options in (ro,rw,noatime,dirsync,nodiratime,noexec,sync) -> /mnt/{,**/},
  mount fstype=@{fuse_types} options=(nosuid,nodev) options in (ro,rw,noatime,dirsync,nodiratime,noexec,sync) -> @{run}/user/@{uid}/**/,
  mount fstype=@{fuse_types} options=(nosuid,nodev) options in (ro,rw,noatime,dirsync,nodiratime,noexec,sync) -> /tmp/**/,
  umount /mnt/{,**/},
}
";

    fn of(place: &str, more: &str) -> Option<Finding> {
        judge(&Facts {
            enabled: true,
            profile: Some(format!("{SHIPPED}{more}")),
            mount_point: place.into(),
            home: Some("/srv/people/ann".into()),
        })
    }

    #[test]
    fn where_the_shipped_profile_lets_users_mount() {
        for place in
            ["/mnt", "/mnt/tfc", "/mnt/a/b", "/home/ann/tfc", "/srv/people/ann/tfc", "/tmp/x", "/run/user/1000/tfc"]
        {
            assert_eq!(of(place, "").unwrap().level, Level::Ok, "{place}");
        }
        for place in ["/data/tfc", "/everywhere/x", "/home/ann", "/tmp", "/run/user/ann/x", "/mntx"] {
            let finding = of(place, "").unwrap();
            assert_eq!(finding.level, Level::Problem, "{place}");
            assert!(finding.way_out.unwrap().contains(&format!("-> {place}/,")));
        }
    }

    #[test]
    fn an_addition_of_the_administrator_counts() {
        let local = "mount fstype=@{fuse_types} options=(nosuid,nodev) -> \"/data/tfc/\",\n";
        assert_eq!(of("/data/tfc", local).unwrap().level, Level::Ok);
    }

    #[test]
    fn a_profile_that_is_not_in_force_says_nothing() {
        let facts = Facts { enabled: false, profile: Some(SHIPPED.into()), mount_point: "/data".into(), home: None };
        assert_eq!(judge(&facts), None);
        assert_eq!(judge(&Facts { enabled: true, profile: None, ..facts.clone() }), None);
        let lax = SHIPPED.replace("fusermount3 {", "fusermount3 flags=(complain) {");
        let finding = judge(&Facts { enabled: true, profile: Some(lax), ..facts }).unwrap();
        assert_eq!(finding.level, Level::Ok);
    }
}
