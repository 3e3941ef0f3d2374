//! The kernel's age, and the limit of open files.

use rustix::process::{Resource, getrlimit};

use super::Finding;

const KERNEL: &str = "kernel";
const FILES: &str = "open files";

/// A daemon that rests has 14 files open (ledger, devices, threads); each call of upstream is one more. Handles of readers are none.
const LEAST_FILES: u64 = 32;

/// Fewer than that, and many calls of upstream at once may meet the limit.
const GOOD_FILES: u64 = 128;

/// What an old kernel lacks, newest first: below that version, what does not work then.
const LACKS: [(Version, &str); 3] = [
    (
        Version(6, 13),
        "the unit of a caller is found through /proc, so allow_units and share = \"unit\" need ProtectProc=default in a unit file",
    ),
    (
        Version(6, 9),
        "a request that a daemon had read when it was killed is not sent again, so its reader waits until the mount is aborted",
    ),
    (Version(5, 16), "each close of a file costs one more round trip"),
];

/// Without pidfd there is neither `exec` nor the helper that frees everybody after a kill -9.
const LEAST: Version = Version(5, 3);

/// Major and minor number of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// As `uname -r` says it.
    pub release: String,
    /// Soft limit of open files; `None` = none.
    pub files: Option<u64>,
}

impl Facts {
    /// Looks.
    pub fn gather() -> Self {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        Self { release, files: getrlimit(Resource::Nofile).current }
    }
}

fn version(release: &str) -> Option<Version> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some(Version(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// What it means.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    vec![judge_kernel(&facts.release), judge_files(facts.files)]
}

fn judge_kernel(release: &str) -> Finding {
    let newer = "use a newer kernel; 6.13 has everything";
    match version(release) {
        None => Finding::warning(KERNEL, format!("the kernel calls itself {release:?}: its age cannot be told"), newer),
        Some(found) if found < LEAST => Finding::problem(
            KERNEL,
            format!("Linux {release} is older than {}.{}: processes cannot be waited for by a pidfd", LEAST.0, LEAST.1),
            newer,
        ),
        Some(found) => {
            let lacks: Vec<&str> = LACKS.iter().filter(|(needed, _)| found < *needed).map(|(_, lack)| *lack).collect();
            match lacks.as_slice() {
                [] => Finding::ok(KERNEL, format!("Linux {release}")),
                lacks => Finding::warning(KERNEL, format!("Linux {release}: {}", lacks.join("; ")), newer),
            }
        }
    }
}

fn judge_files(limit: Option<u64>) -> Finding {
    let raise = "raise it: ulimit -n 1024, or LimitNOFILE=1024 in the unit";
    match limit {
        Some(limit) if limit < LEAST_FILES => Finding::problem(
            FILES,
            format!("only {limit} open files are allowed: the daemon needs {LEAST_FILES}"),
            raise,
        ),
        Some(limit) if limit < GOOD_FILES => Finding::warning(
            FILES,
            format!("only {limit} open files are allowed: many calls of upstream at once may fail"),
            raise,
        ),
        Some(limit) => Finding::ok(FILES, format!("{limit} are allowed")),
        None => Finding::ok(FILES, "there is no limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn what_each_kernel_lacks() {
        let of = |release: &str| judge_kernel(release);
        for fine in ["6.13.0", "6.18.44-x", "7.0", "10.1"] {
            assert_eq!(of(fine).level, Level::Ok, "{fine}");
        }
        let lacks = |release: &str| of(release).what.matches("; ").count() + 1;
        assert_eq!((of("6.12.9").level, lacks("6.12.9")), (Level::Warning, 1));
        assert_eq!((of("6.8.0-52-generic").level, lacks("6.8.0-52-generic")), (Level::Warning, 2));
        assert_eq!((of("5.4.0").level, lacks("5.4.0")), (Level::Warning, 3));
        assert_eq!(of("4.19.0").level, Level::Problem);
        assert_eq!(of("strange").level, Level::Warning);
    }

    #[test]
    fn limits_of_open_files() {
        let levels = [Some(20), Some(100), Some(1024), None].map(|limit| judge_files(limit).level);
        assert_eq!(levels, [Level::Problem, Level::Warning, Level::Ok, Level::Ok]);
    }
}
