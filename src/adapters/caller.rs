//! Facts about a calling thread, as `/proc` tells them. Everything fails closed: what cannot be read is unknown.

use std::fs;
use std::sync::OnceLock;

use crate::vfs::{Callers, Exit};

/// A dying thread (`PF_EXITING` of the kernel's `sched.h`).
const PF_EXITING: u64 = 0x4;
/// Killed by a signal (`PF_SIGNALED`).
const PF_SIGNALED: u64 = 0x400;

/// [`Callers`] from `/proc`.
#[derive(Debug, Default, Clone, Copy)]
pub struct ProcCallers;

impl Callers for ProcCallers {
    fn unit(&self, tid: u32) -> Option<String> {
        unit_of(tid)
    }

    fn program(&self, tid: u32) -> Option<String> {
        // The process's: a thread may have a name of its own.
        let process = thread_group(tid)?;
        Some(read(process, "comm")?.trim_end_matches('\n').to_owned())
    }

    fn process(&self, tid: u32) -> Option<u32> {
        thread_group(tid)
    }

    fn exe(&self, tid: u32) -> Option<String> {
        exe_of(tid)
    }

    fn runs_as(&self, tid: u32, uid: u32) -> bool {
        read(tid, "status").is_some_and(|status| has_uid(&status, uid))
    }

    fn exit(&self, tid: u32) -> Exit {
        exit_state(tid)
    }
}

/// The file of the program that thread `tid` runs; ends in ` (deleted)` when it was removed or replaced since. Needs the
/// right to trace it: an unprivileged daemon sees its own user's programs only.
pub fn exe_of(tid: u32) -> Option<String> {
    if tid == 0 {
        return None;
    }
    Some(fs::read_link(format!("/proc/{tid}/exe")).ok()?.to_string_lossy().into_owned())
}

/// The cgroup that thread `tid` runs in, e.g. `/system.slice/backup.service`.
///
/// A cgroup outside our cgroup namespace begins with `/..`; one that was removed ends in ` (deleted)`.
pub fn unit_of(tid: u32) -> Option<String> {
    parse_cgroup(&read(tid, "cgroup")?)
}

/// Whether thread `tid` is alive, exiting or killed. Only meaningful while it waits for our answer.
pub fn exit_state(tid: u32) -> Exit {
    read(tid, "stat").as_deref().map_or(Exit::Unknown, parse_stat)
}

/// The process (thread group) that thread `tid` belongs to.
pub fn thread_group(tid: u32) -> Option<u32> {
    parse_tgid(&read(tid, "status")?)
}

/// Whether `/proc` numbers processes as we, and the requests, do. In a pid namespace of our own with the `/proc` of another
/// one, every number would be somebody else's.
fn numbers_agree() -> bool {
    static AGREE: OnceLock<bool> = OnceLock::new();
    *AGREE.get_or_init(|| {
        let own = fs::read_link("/proc/self").ok().and_then(|link| link.to_str()?.parse().ok());
        let agree = own == Some(std::process::id());
        if !agree {
            tracing::warn!("/proc is not of this pid namespace: nothing is known about callers, so allow_units denies all; mount a /proc here");
        }
        agree
    })
}

fn read(tid: u32, file: &str) -> Option<String> {
    if tid == 0 || !numbers_agree() {
        return None;
    }
    // A command name may be any bytes; all that is looked at is ASCII, or a cgroup that then matches nothing.
    Some(String::from_utf8_lossy(&fs::read(format!("/proc/{tid}/{file}")).ok()?).into_owned())
}

/// cgroup v2 has one line, `0::/path`. v1 has one for each controller, and systemd's own is `name=systemd`; where both
/// are mounted ("hybrid") that one is the reliable one.
fn parse_cgroup(text: &str) -> Option<String> {
    let path_of = |controllers: &str| {
        text.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_hierarchy, named, path) = (fields.next()?, fields.next()?, fields.next()?);
            (named == controllers && path.starts_with('/')).then(|| path.to_owned())
        })
    };
    path_of("name=systemd").or_else(|| path_of(""))
}

/// The command name, second field in parentheses, may itself contain blanks, parentheses and line breaks; the fields
/// after it are a letter and numbers.
fn parse_stat(text: &str) -> Exit {
    let flags = text.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(6)?.parse::<u64>().ok());
    match flags {
        None => Exit::Unknown,
        Some(flags) if flags & PF_SIGNALED != 0 => Exit::Killed,
        Some(flags) if flags & PF_EXITING != 0 => Exit::Exiting,
        Some(_) => Exit::Running,
    }
}

/// The kernel escapes line breaks in the name above it, so that no name can fake this line.
fn parse_tgid(text: &str) -> Option<u32> {
    text.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// Real, effective, saved and filesystem id: a program that gave up its right since still counts.
fn has_uid(text: &str, uid: u32) -> bool {
    let ids = text.lines().find_map(|line| line.strip_prefix("Uid:"));
    ids.is_some_and(|ids| ids.split_ascii_whitespace().any(|id| id.parse() == Ok(uid)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use super::*;

    fn stat(comm: &str, flags: u64) -> String {
        format!("4711 ({comm}) S 1 4711 4711 34816 4711 {flags} 123 0 0 0 1 2 0 0 20 0 1 0 55 0 0\n")
    }

    #[test]
    fn flags_tell_a_close_from_a_death() {
        for (flags, state) in [
            (0x0040_0000, Exit::Running),
            (0x0040_0004, Exit::Exiting),
            (0x0040_0404, Exit::Killed),
            (0x0040_0400, Exit::Killed),
        ] {
            for comm in ["cat", "a b", "tmux: server", "x) S 1 1 1 1 1 1024 (", ")", "", "é) (\n"] {
                assert_eq!(parse_stat(&stat(comm, flags)), state, "{comm:?}");
            }
        }
        for text in ["", "4711", "4711 (cat", "4711 (cat) S 1 1", "4711 (cat) S 1 1 1 1 1 flags 1"] {
            assert_eq!(parse_stat(text), Exit::Unknown, "{text:?}");
        }
    }

    #[test]
    fn cgroup_v2_v1_and_hybrid() {
        let unit = "/system.slice/backup.service";
        let v1 = format!("12:pids:/x\n3:cpu,cpuacct:/y\n1:name=systemd:{unit}\n");
        for text in [format!("0::{unit}\n"), v1.clone(), format!("{v1}0::/\n"), format!("{v1}0::{unit}\n")] {
            assert_eq!(parse_cgroup(&text).as_deref(), Some(unit), "{text}");
        }
        assert_eq!(parse_cgroup("0::/user.slice/a:b.scope\n").as_deref(), Some("/user.slice/a:b.scope"));
        assert_eq!(parse_cgroup("0::/\n").as_deref(), Some("/"));
        for text in ["", "\n", "0:", "0::", "0::relative\n", "4:cpu:/x\n"] {
            assert_eq!(parse_cgroup(text), None, "{text:?}");
        }
    }

    #[test]
    fn thread_groups() {
        assert_eq!(parse_tgid("Name:\tx\\nTgid:\\t1\nUmask:\t0022\nTgid:\t4711\nNgid:\t0\n"), Some(4711));
        assert_eq!(parse_tgid("Name:\tx\n"), None);
        let (tid, group) = std::thread::spawn(|| {
            let tid = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
            (tid, thread_group(tid))
        })
        .join()
        .unwrap();
        assert_eq!(group, Some(std::process::id()));
        assert_ne!(tid, std::process::id());
    }

    #[test]
    fn this_process_runs_and_nobody_is_unknown() {
        let me = std::process::id();
        assert_eq!(exit_state(me), Exit::Running);
        assert_eq!(exe_of(me), std::env::current_exe().ok().map(|exe| exe.to_string_lossy().into_owned()));
        assert!(ProcCallers.runs_as(me, rustix::process::geteuid().as_raw()) && !ProcCallers.runs_as(me, 4_000_000));
        for tid in [0, u32::MAX] {
            assert_eq!(exit_state(tid), Exit::Unknown);
            assert_eq!((unit_of(tid), thread_group(tid), exe_of(tid)), (None, None, None));
            assert!(!ProcCallers.runs_as(tid, 0));
        }
    }

    /// A zombie keeps its flags, so the table can be seen without catching anybody in the act.
    #[test]
    fn the_kernel_tells_an_exit_from_a_kill() {
        let spawn = || Command::new("cat").arg0("c) (at").stdin(Stdio::piped()).spawn().unwrap();
        let (mut exits, mut killed) = (spawn(), spawn());
        drop(exits.stdin.take());
        killed.kill().unwrap();
        for (child, state) in [(&mut exits, Exit::Exiting), (&mut killed, Exit::Killed)] {
            let pid = rustix::process::Pid::from_child(child);
            let wait = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
            rustix::process::waitid(rustix::process::WaitId::Pid(pid), wait).unwrap();
            assert_eq!(exit_state(child.id()), state);
            child.wait().unwrap();
        }
    }
}
