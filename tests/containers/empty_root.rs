//! The static program alone: in a root that has nothing else, and in mount namespaces of its own.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::engine::Engine;
use super::image;
use super::shared::Shared;
use crate::support::{Site, eventually};

/// Ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

fn script(text: &str, site: &Site) -> Process {
    let log = fs::File::create(site.beside("log")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "unchanged", "sh", "-ec", text]).current_dir(site.dir.path());
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    // Of the environment nothing is needed either.
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    Process(command.spawn().unwrap())
}

/// The mount is made in a namespace of its own below a shared directory, in a root with the program, `/proc` and four devices; it is
/// seen here, where the directory is, and by a third namespace that only listens.
#[test]
fn the_program_serves_from_an_empty_root_to_other_namespaces() {
    let site = Site::new();
    let shared = Shared::new(site.beside("shared"));
    fs::create_dir(shared.at("")).unwrap();
    let root = site.beside("root");
    for directory in ["proc", "dev", "srv", "state"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    image::copy_program(&Engine::new(), &root.join("tfcfs"));
    // It ends with its namespace: only what is below the directory is seen elsewhere.
    let start = "mount --rbind shared root/srv; mount -t proc proc root/proc; for device in fuse null random urandom; do touch root/dev/$device; mount --bind /dev/$device root/dev/$device; done\n\
                 exec chroot root /tfcfs supervise /srv/mnt --allow-other --state /state";
    let mut daemon = script(start, &site);
    let log = || fs::read_to_string(site.beside("log")).unwrap();
    eventually("it serves", || {
        assert!(daemon.0.try_wait().unwrap().is_none(), "{}", log());
        shared.at("status").exists()
    });
    fs::write(shared.at("config"), site.anchor()).unwrap_or_else(|error| panic!("{error}: {}", log()));
    fs::write(shared.at("roles/app"), site.team_role("uid = 65534")).unwrap();
    let listener = format!(
        "mount --make-rslave /; exec setpriv --reuid 65534 --clear-groups cat {}",
        shared.at("creds/app/token").display()
    );
    let mut command = Command::new("unshare");
    let output = command.args(["--mount", "sh", "-ec", &listener]).process_group(0).output().unwrap();
    let token = String::from_utf8(output.stdout).unwrap();
    assert!(site.fake.is_live(&token), "{}", String::from_utf8_lossy(&output.stderr));
    kill_process(Pid::from_child(&daemon.0), Signal::TERM).unwrap();
    assert!(daemon.0.wait().unwrap().success(), "{}", log());
    assert!(!shared.is_mounted());
}
