//! `allow_units` with the kernel's cgroups: who is denied is denied on every way to the file.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::process::Signal;

use super::support::{Bound, Daemon, Site};

/// A cgroup of this test, beside the one that we are in, taken away when dropped.
struct Cgroup {
    directory: PathBuf,
    path: String,
}

impl Cgroup {
    fn new(name: &str) -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        // systemd's hierarchy where there is one of its own, as the daemon sees it.
        let of = |named: &str| own.lines().find_map(|line| line.split_once(named).map(|(_, path)| path.to_owned()));
        let (mounted_at, path) = match (of(":name=systemd:"), of("0::")) {
            (Some(path), _) => ("/sys/fs/cgroup/systemd", path),
            (None, Some(path)) => ("/sys/fs/cgroup", path),
            (None, None) => panic!("no cgroups here: {own}"),
        };
        let path = format!("{}/{name}-{}.scope", path.trim_end_matches('/'), std::process::id());
        let directory = PathBuf::from(format!("{mounted_at}{path}"));
        fs::create_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        Self { directory, path }
    }

    /// A shell command that runs `script` in it.
    fn run(&self, script: &str) -> String {
        format!("sh -c 'echo $$ > {}/cgroup.procs; {script}'", self.directory.display())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.directory);
    }
}

#[test]
fn another_unit_is_denied_on_every_way_in() {
    let (own, other) = (Cgroup::new("tfcfs-own"), Cgroup::new("tfcfs-other"));
    let site = Site::new();
    let daemon = Daemon::ready_on(site.clone());
    let role = site.team_role(&format!("allow_units = [\"{}\"]\n", own.path));
    daemon.write("roles/units", &role);
    let token = daemon.at("creds/units/token");
    let before = site.made().len();
    let denied = |script: &str| {
        let said = daemon.sh_fails(&other.run(script));
        assert!(said.contains("Permission denied"), "{script}: {said}");
    };
    let bound = site.beside("bound");
    fs::write(&bound, "").unwrap();
    let file = token.display();
    denied(&format!("cat {file}"));
    denied(&format!("cd {}; cat token", token.parent().unwrap().display()));
    assert_eq!(site.made().len(), before, "nothing was made for it");
    let read = daemon.sh(&own.run(&format!("cat {file}")));
    assert!(read.contains(".atlasv1."));
    let _bound = Bound::new(&token, &bound);
    denied(&format!("cat {}", bound.display()));
    denied(&format!("ln {file} {}/hard 2>&1; cat {file}", site.beside("").display()));
    // The pages are in the kernel's cache now: that helps nobody.
    denied(&format!("cat {file}"));
    // Somebody of the unit holds it; what another one makes of its descriptor in /proc is an open of its own.
    let mut holder = daemon.holder(&own.run(&format!("exec 3< {file}; echo $$; read x")));
    let pid = holder.line();
    denied(&format!("cat /proc/{}/fd/3", pid.trim()));
    holder.go();
    holder.wait();
    assert_eq!(daemon.sh(&own.run(&format!("cat {}", bound.display()))), read);
    assert!(daemon.read("errors").contains("is not among allow_units of role \"units\""));
}

/// A daemon in a pid namespace of its own, with the `/proc` of ours.
fn in_a_pid_namespace(site: &Arc<Site>) -> Daemon {
    let state = site.beside("state");
    let inner = site.command(&["--state", state.to_str().unwrap()]);
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child"]).arg(inner.get_program()).args(inner.get_args());
    let daemon = site.start_command(command.stdin(Stdio::null()));
    daemon.write("config", &site.anchor());
    daemon
}

#[test]
fn a_caller_without_a_number_is_denied() {
    let own = Cgroup::new("tfcfs-numberless");
    let site = Site::new();
    let daemon = in_a_pid_namespace(&site);
    daemon.write("roles/app", &site.team_role(&format!("allow_units = [\"{}\"]", own.path)));
    daemon.sh_fails(&own.run(&format!("cat {}", site.at("creds/app/token").display())));
    assert!(daemon.read("errors").contains("an unknown unit is not among allow_units"), "{}", daemon.read("errors"));
    assert!(site.made().is_empty());
    // Without the key it is served as ever.
    daemon.write("roles/all", &site.team_role(""));
    assert!(site.fake.is_live(&daemon.read("creds/all/token")));
    daemon.signal(Signal::KILL);
}

/// The number that a caller has in the daemon's namespace is another process's in the `/proc` that the daemon sees: one of
/// the unit that may.
#[test]
fn the_proc_of_another_pid_namespace_proves_nothing() {
    let own = Cgroup::new("tfcfs-foreign");
    let site = Site::new();
    let daemon = in_a_pid_namespace(&site);
    daemon.write("roles/app", &site.team_role(&format!("allow_units = [\"{}\"]", own.path)));
    let mut allowed = daemon.holder(&own.run("echo $$; read x"));
    let number: u32 = allowed.line().trim().parse().unwrap();
    let inside = fs::read_to_string(format!("/proc/{0}/task/{0}/children", daemon.pid())).unwrap();
    let inside = inside.split_whitespace().next().unwrap();
    let file = site.at("creds/app/token");
    // The reader gets that number there: it is the next one after the last.
    let reader = format!(
        "nsenter --pid=/proc/{inside}/ns/pid sh -c 'echo {} > /proc/sys/kernel/ns_last_pid; cat {}; exit $?'",
        number - 1,
        file.display()
    );
    let said = daemon.sh_fails(&reader);
    assert!(said.contains("Permission denied"), "{said}");
    assert!(site.made().is_empty());
    allowed.go();
    allowed.wait();
    daemon.signal(Signal::KILL);
}

#[test]
fn root_of_another_user_namespace_is_who_it_is_outside() {
    let site = Site::new();
    let daemon = Daemon::ready_on(site.clone());
    daemon.write("roles/app", &site.team_role(""));
    let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user --map-root-user";
    let said = daemon.sh_fails(&format!("{nobody} cat $M/creds/app/token"));
    assert!(said.contains("Permission denied"), "{said}");
    assert!(site.made().is_empty());
    daemon.sh("chown 65534 $M/creds/app");
    let token = daemon.sh(&format!("{nobody} cat $M/creds/app/token"));
    assert!(site.fake.is_live(&token));
}
