//! Servers that outlived their supervisor, in the unit's own cgroup.
//!
//! The unit has `KillMode=process`: a thread of a killed server may stand in the kernel until the *next* server answers it, and
//! systemd would wait for that thread before it starts one. So whoever comes next ends what is left.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

/// Kills them.
pub(super) fn kill() {
    for pid in processes().into_iter().filter(|pid| is_server(*pid)) {
        tracing::warn!(pid = pid.as_raw_nonzero(), "killing a server that has no supervisor any more");
        // It may be gone already.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// All processes of our cgroup but ourselves.
fn processes() -> Vec<Pid> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let listed = places(&own).into_iter().find_map(|place| fs::read_to_string(place).ok()).unwrap_or_default();
    let pids = listed.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw);
    pids.filter(|pid| *pid != rustix::process::getpid()).collect()
}

/// Where the processes of a cgroup are listed: systemd's own hierarchy of version 1 if there is one, else version 2.
fn places(own: &str) -> Vec<PathBuf> {
    let path =
        |hierarchy: &str| own.lines().find_map(|line| line.split_once(hierarchy).map(|(_, path)| path.to_owned()));
    let named = path(":name=systemd:").map(|path| format!("/sys/fs/cgroup/systemd{path}/cgroup.procs"));
    let unified = path("0::").map(|path| format!("/sys/fs/cgroup{path}/cgroup.procs"));
    named.into_iter().chain(unified).map(PathBuf::from).collect()
}

/// By its command line: whoever else may be in the cgroup is not ours to kill.
fn is_server(pid: Pid) -> bool {
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    is_server_line(&line)
}

fn is_server_line(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == 0).map(std::ffi::OsStr::from_bytes);
    words.next().is_some_and(|program| program == "tfcfs") && words.next().is_some_and(|word| word == "serve")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_are_servers() {
        assert!(is_server_line(b"tfcfs\0serve\0/mnt/tfc\0"));
        for other in [&b"tfcfs\0service\0serve\0/mnt/tfc\0"[..], b"/usr/bin/tfcfs\0mount\0", b"sh\0serve\0", b""] {
            assert!(!is_server_line(other));
        }
    }

    #[test]
    fn both_versions_of_cgroups() {
        let unified = places("0::/system.slice/tfcfs.service\n");
        assert_eq!(unified, [PathBuf::from("/sys/fs/cgroup/system.slice/tfcfs.service/cgroup.procs")]);
        let both = places("3:name=systemd:/system.slice/tfcfs.service\n0::/\n");
        assert_eq!(both[0], PathBuf::from("/sys/fs/cgroup/systemd/system.slice/tfcfs.service/cgroup.procs"));
    }
}
