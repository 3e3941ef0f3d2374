//! `tfcfs supervise` as the first process of a pid namespace, as it is in a container.

use std::fs;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::support::{Site, eventually};

fn children(pid: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn orphans_do_not_stay_as_zombies() {
    let site = Site::new();
    let inner = site.supervisor();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child"]).arg(inner.get_program()).args(inner.get_args());
    let mut daemon = site.start_command(&mut command);
    let [first] = &children(&daemon.pid().to_string())[..] else { panic!("{}", site.log()) };
    let server = children(first);
    assert_eq!(server.len(), 1);

    // Its parent ends before it does.
    let orphan = ["--target", first, "--pid", "sh", "-c", "sleep 0.5 & exit 0"];
    assert!(Command::new("nsenter").args(orphan).status().unwrap().success());
    assert_eq!(children(first).len(), 2, "it has become a child");
    eventually("nothing is left of it", || children(first) == server);

    // And how the server ends is still known.
    daemon.write("roles/app", &daemon.team_role(""));
    let pid = |text: &str| Pid::from_raw(text.parse().unwrap()).unwrap();
    kill_process(pid(&server[0]), Signal::KILL).unwrap();
    eventually("one server, another one", || children(first).len() == 1 && children(first) != server);
    daemon.read("roles/app");
    kill_process(pid(first), Signal::TERM).unwrap();
    assert_eq!(daemon.wait().code(), Some(0), "{}", site.log());
    assert!(!site.is_mounted());
}
