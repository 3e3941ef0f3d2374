//! What docs/containers.md says about mounts that are made in one mount namespace and read in others.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
use rustix::process::Signal;

use super::support::{Daemon, Site, eventually};

/// A directory of the host that containers bind, shared as `rshared` and `Bidirectional` want it. Taken away when dropped.
struct Host {
    site: Arc<Site>,
    shared: PathBuf,
}

impl Host {
    fn new() -> Self {
        let site = Site::new();
        let shared = site.dir.path().to_owned();
        mount_bind(&shared, &shared).unwrap();
        mount_change(&shared, MountPropagationFlags::SHARED).unwrap();
        Self { site, shared }
    }

    /// The daemon in a mount namespace of its own, as the sidecar: what it mounts below the shared directory goes out.
    fn sidecar(&self) -> Daemon {
        let state = self.site.beside("state");
        self.sidecar_of(&self.site.command(&["--state", state.to_str().unwrap()]))
    }

    fn sidecar_of(&self, inner: &Command) -> Daemon {
        let log = fs::File::options().create(true).append(true).open(self.site.beside("log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "unchanged"]).arg(inner.get_program()).args(inner.get_args());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.site.start_command(&mut command)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = unmount(&self.shared, UnmountFlags::DETACH);
    }
}

/// A program in a mount namespace of its own, with a bind of some directory at another place. Ended when dropped.
struct App(Child, PathBuf);

impl App {
    /// `HostToContainer` and `rslave`, or nothing of that.
    fn start(host: &Host, bound: &Path, propagation: &str) -> Self {
        let place = host
            .site
            .dir
            .path()
            .parent()
            .unwrap()
            .join(format!("{}-app-{propagation}", host.site.dir.path().file_name().unwrap().to_str().unwrap()));
        fs::create_dir_all(&place).unwrap();
        let script = format!(
            "mount --rbind '{}' '{1}' && mount --make-r{propagation} '{1}' && echo ready && exec sleep 600",
            bound.display(),
            place.display()
        );
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "slave", "bash", "-c", &script])
            .stdout(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().unwrap();
        let mut ready = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        Self(child, place)
    }

    /// Reads as that program would.
    fn read(&self, path: &str) -> std::io::Result<String> {
        let root = PathBuf::from(format!("/proc/{}/root", self.0.id()));
        fs::read_to_string(root.join(self.1.strip_prefix("/").unwrap()).join(path))
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = fs::remove_dir(&self.1);
    }
}

#[test]
fn a_sidecars_mount_comes_goes_and_comes_again_in_the_app_that_has_its_directory() {
    let host = Host::new();
    // Started before there is any mount.
    let app = App::start(&host, &host.shared, "slave");
    assert!(app.read("mnt/status").is_err());

    let mut daemon = host.sidecar();
    daemon.write("config", &daemon.anchor());
    daemon.write("roles/app", &daemon.team_role("on_close = \"revoke\"\n"));
    let token = app.read("mnt/creds/app/token").unwrap();
    assert!(token.contains(".atlasv1."), "{token}");
    eventually("it is revoked", || daemon.made().is_empty());

    // A new one, over the same directory, is seen by the app that runs on.
    daemon.stop(Signal::TERM);
    assert!(app.read("mnt/status").is_err(), "nothing is left in the app either");
    drop(daemon);
    let _daemon = host.sidecar();
    assert!(app.read("mnt/creds/app/token").unwrap().contains(".atlasv1."));
}

#[test]
fn a_supervised_sidecar_that_crashes_is_not_noticed_in_the_app() {
    let host = Host::new();
    let app = App::start(&host, &host.shared, "slave");
    let daemon = host.sidecar_of(&host.site.supervisor());
    daemon.write("config", &daemon.anchor());
    daemon.write("roles/app", &daemon.team_role(""));
    let token = app.read("mnt/creds/app/token").unwrap();
    daemon.kill_server();
    assert_eq!(app.read("mnt/creds/app/token").unwrap(), token);
}

#[test]
fn without_propagation_the_app_sees_no_mount_and_a_bind_of_the_mount_itself_keeps_the_former_one() {
    let host = Host::new();
    let private = App::start(&host, &host.shared, "private");
    let mut daemon = host.sidecar();
    assert!(private.read("mnt/status").is_err());
    let bound = App::start(&host, &host.site.at(""), "slave");
    assert!(bound.read("status").is_ok());
    daemon.stop(Signal::TERM);
    drop(daemon);
    let _daemon = host.sidecar();
    assert_eq!(bound.read("status").unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
}
