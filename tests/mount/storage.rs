//! The disk below the ledger: full, read-only, taken away while we serve. What needs the ledger is `EROFS`, what is held
//! goes on, nothing is made upstream that the ledger does not have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use rustix::process::Signal;

use super::support::{Daemon, Holder, Site, errno_of, eventually};

/// A filesystem of its own for the state, taken away when dropped.
pub struct Disk(PathBuf);

impl Disk {
    pub fn tmpfs(site: &Site, size: &str) -> Self {
        let path = Self::place(site);
        let options = std::ffi::CString::new(format!("size={size},mode=0700")).unwrap();
        mount("tmpfs", &path, "tmpfs", MountFlags::empty(), Some(options.as_c_str())).unwrap();
        Self(path)
    }

    /// On a loop device; `None` where there is none.
    fn ext4(site: &Site) -> Option<Self> {
        let path = Self::place(site);
        let image = site.beside("image");
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        sh(&format!("mkfs.ext4 -q -F -E root_owner=0:0 {}", image.display())).success().then_some(())?;
        let mount = format!("mount -o loop,errors=remount-ro {} {}", image.display(), path.display());
        sh(&mount).success().then(|| Self(path))
    }

    fn place(site: &Site) -> PathBuf {
        let path = site.beside("state");
        fs::create_dir(&path).unwrap();
        path
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    fn read_only(&self) {
        mount_remount(&self.0, MountFlags::RDONLY, "").unwrap();
    }

    pub fn fill(&self) {
        // In ever smaller pieces, until not one byte more fits.
        let filler = self.0.join("filler");
        for size in ["64k", "4k", "1"] {
            sh(&format!("dd if=/dev/zero bs={size} >> {} 2>/dev/null", filler.display()));
        }
    }

    pub fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

fn sh(script: &str) -> ExitStatus {
    Command::new("sh").args(["-c", script]).status().unwrap()
}

/// A daemon with role "app" (one token for all) that somebody holds, and role "fresh" (each open its own).
fn held(site: &Arc<Site>) -> (Daemon, Holder, String) {
    let daemon = Daemon::ready_on(site.clone());
    daemon.write("roles/app", &daemon.team_role(""));
    daemon.write("roles/fresh", &daemon.team_role("share = \"open\"\non_close = \"revoke\"\nmax_leases = 1000"));
    let script = "f = os.open(t, os.O_RDONLY)\n\
                  while True:\n print(os.pread(f, 999, 0).decode(), flush=True); sys.stdin.readline()";
    let mut holder = daemon.python_holder(script);
    let token = holder.line();
    (daemon, holder, token)
}

/// Opens fresh tokens until the ledger takes no more; none of them may be unknown to it.
fn until_refused(daemon: &Daemon) {
    let refused = (0..400).find_map(|_| fs::read_to_string(daemon.at("creds/fresh/token")).err());
    assert_eq!(errno_of(refused.map_or(Ok(()), Err)), libc::EROFS, "{}", daemon.read("errors"));
}

/// Everything that must hold while the ledger cannot be written.
fn goes_on(daemon: &Daemon, holder: &mut Holder, token: &str, words: &str) {
    for _ in 0..3 {
        holder.go();
        assert_eq!(holder.line(), token, "what is held goes on");
        assert_eq!(daemon.read("creds/app/token"), token, "so does what needs no call");
        let refused = fs::read_to_string(daemon.at("creds/fresh/token"));
        assert_eq!(errno_of(refused), libc::EROFS);
        assert!(daemon.sh_fails("cat $M/creds/fresh/token").contains("Read-only file system"));
    }
    let other = daemon.team_role("ttl = \"7m\"");
    let refused = fs::write(daemon.beside("other"), other).and_then(|()| {
        // `cp` shows what the close says.
        match sh(&format!("cp {} {} 2>/dev/null", daemon.beside("other").display(), daemon.at("roles/other").display()))
        {
            status if status.success() => Ok(()),
            _ => Err(std::io::Error::from_raw_os_error(libc::EROFS)),
        }
    });
    assert_eq!(errno_of(refused), libc::EROFS);
    assert!(!daemon.at("roles/other").exists());
    let errors = daemon.read("errors");
    assert!(errors.contains("EROFS") && errors.contains(words), "{errors}");
    assert!(daemon.fake.is_live(token));
}

/// Tokens upstream that are not the held one: all of them are on their way out.
fn none_but(daemon: &Daemon, token: &str) {
    eventually("only the held token is left", || daemon.made().len() == 1 && daemon.fake.is_live(token));
}

#[test]
fn a_full_disk() {
    let site = Site::new();
    let disk = Disk::tmpfs(&site, "2m");
    let (mut daemon, mut holder, token) = held(&site);
    disk.fill();
    until_refused(&daemon);
    goes_on(&daemon, &mut holder, &token, "free some space");
    disk.free();
    // By itself, at the next that is asked for.
    daemon.read("creds/fresh/token");
    daemon.write("roles/other", &daemon.team_role(""));
    daemon.read("creds/other/token");
    daemon.sh("rm $M/leases/other/*");
    none_but(&daemon, &token);
    assert_eq!(daemon.stop(Signal::TERM).0.code(), Some(0));
    drop(daemon);
    let again = site.mount();
    assert_eq!(again.read("creds/app/token"), token, "the ledger is whole");
}

/// Killed while the disk is full: nothing is lost.
#[test]
fn killed_on_a_full_disk() {
    let site = Site::new();
    let disk = Disk::tmpfs(&site, "2m");
    let (mut daemon, _holder, token) = held(&site);
    disk.fill();
    until_refused(&daemon);
    daemon.signal(Signal::KILL);
    daemon.wait();
    drop(daemon);
    disk.free();
    let again = site.mount();
    assert_eq!(again.read("creds/app/token"), token);
    none_but(&again, &token);
}

#[test]
fn a_disk_that_turns_read_only() {
    let site = Site::new();
    let Some(disk) = Disk::ext4(&site) else {
        eprintln!("NOT CHECKED: there is no loop device to mount an ext4 on");
        return;
    };
    let (daemon, mut holder, token) = held(&site);
    // What the kernel does when a disk fails.
    let device = fs::read_to_string("/proc/self/mounts").unwrap();
    let device = device.lines().find(|line| line.contains(&*disk.0.to_string_lossy())).unwrap();
    let device = Path::new(device.split(' ').next().unwrap()).file_name().unwrap().to_owned();
    fs::write(Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error"), "1").unwrap();
    until_refused(&daemon);
    goes_on(&daemon, &mut holder, &token, "EROFS");
}

#[test]
fn a_ledger_that_is_removed_or_replaced() {
    for script in ["rm state/ledger.redb", "cp state/ledger.redb copy; mv copy state/ledger.redb", "rm -r state"] {
        let site = Site::new();
        let (daemon, mut holder, token) = held(&site);
        daemon.sh(script);
        until_refused(&daemon);
        goes_on(&daemon, &mut holder, &token, "removed or replaced");
        none_but(&daemon, &token);
    }
}

/// An open file stays open: whoever loses the right to open it again goes on, and the next start says what is wrong.
#[test]
fn permission_that_is_lost() {
    let site = Site::new();
    fs::write(site.beside("settings.toml"), "").unwrap();
    let mut command = Command::new("setpriv");
    // Root without the right to pass over modes; a mount still needs the rest.
    let lost = "-dac_override,-dac_read_search";
    command.args(["--bounding-set", lost, "--inh-caps", lost, "--no-new-privs", env!("CARGO_BIN_EXE_tfcfs")]);
    command.arg("mount").arg(site.at("")).arg("--state").arg(site.beside("state"));
    command.arg("--config").arg(site.beside("settings.toml"));
    let log = fs::File::create(site.beside("log")).unwrap();
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let daemon = site.start_command(&mut command);
    daemon.write("config", &site.anchor());
    daemon.write("roles/fresh", &daemon.team_role("share = \"open\""));
    for name in ["state/ledger.redb", "state/sealing.key", "state"] {
        daemon.chmod(name, 0o000);
    }
    for _ in 0..3 {
        assert!(daemon.fake.is_live(&daemon.read("creds/fresh/token")));
    }
    drop(daemon);
    let status = command.status().unwrap();
    assert_eq!(status.code(), Some(6), "{}", site.log());
    assert!(site.log().contains("Permission denied"), "{}", site.log());
}

#[test]
fn a_start_on_a_read_only_disk() {
    let site = Site::new();
    let disk = Disk::tmpfs(&site, "2m");
    drop(Daemon::ready_on(site.clone()));
    disk.read_only();
    let before = fs::read(site.beside("state/ledger.redb")).unwrap();
    let state = site.beside("state");
    let status = site.command(&["--state", state.to_str().unwrap()]).status().unwrap();
    assert_eq!(status.code(), Some(6), "{}", site.log());
    assert!(site.log().contains("make the filesystem writable"), "{}", site.log());
    let check = Command::new(env!("CARGO_BIN_EXE_tfcfs"))
        .args(["state", "check", "--config"])
        .arg(site.beside("settings.toml"))
        .arg("--state")
        .arg(&state)
        .status()
        .unwrap();
    assert!(check.success(), "looking needs no writing");
    assert!(fs::read(site.beside("state/ledger.redb")).unwrap() == before);
}
