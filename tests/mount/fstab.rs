//! `mount -t tfcfs`, `mount -t fuse.tfcfs`, `mount -a`: the real mount(8) and mount.fuse3, in a mount namespace where the
//! program lies in /sbin.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use super::support::{Site, eventually};

/// Runs a script of bash where /sbin has the program by both of its names. `$M` is the mount point, `$S` the place beside it, `$O`
/// the options that name settings and state.
fn script(site: &Site, text: &str) -> Output {
    let place = site.dir.path().display().to_string();
    let role = site.team_role("on_close = \"revoke\"");
    site.settings(&format!("{}[roles.app]\n{role}", site.file_anchor()));
    for directory in ["up", "work"] {
        fs::create_dir_all(site.beside(directory)).unwrap();
    }
    let program = env!("CARGO_BIN_EXE_tfcfs");
    let head = format!(
        "S={place}; M={place}/mnt; O=config=$S/settings.toml,state=$S/state\n\
         sbin=$(readlink -f /sbin)\n\
         mount -t overlay -o lowerdir=$sbin,upperdir=$S/up,workdir=$S/work overlay $sbin\n\
         cp {program} $sbin/tfcfs; ln -sf tfcfs $sbin/mount.tfcfs\n\
         daemons() {{ pgrep -f \"tfcfs mount.*$S\"; }}\n\
         # Whatever a failure leaves.\n\
         trap 'umount -f -l $M 2>/dev/null || true' EXIT\n"
    );
    let mut command = Command::new("timeout");
    command.args(["60", "unshare", "-m", "--propagation", "private", "bash", "-c", &format!("{head}{text}")]);
    command.stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn ok(site: &Site, text: &str) -> String {
    let output = script(site, &format!("set -e -o pipefail\n{text}"));
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {out}{error}", output.status);
    out.into_owned()
}

/// Every way of calling, up to the end of its daemon.
fn mounts_and_ends(site: &Arc<Site>, mount: &str) {
    // Whoever waits for the end of its output goes on as well.
    let said = ok(
        site,
        &format!(
            "{mount} 2>&1 | cat\n\
             daemons | wc -l\n\
             cat $M/creds/app/token; echo\n\
             exec 3< $M/creds/app/token; cat <&3; echo\n\
             umount -l $M; exec 3<&-\n\
             for i in $(seq 100); do daemons >/dev/null || break; sleep 0.1; done; daemons | wc -l || true"
        ),
    );
    let lines: Vec<&str> = said.lines().collect();
    let [daemons, token, held, left] = lines[..] else { panic!("nothing else is said: {said}") };
    assert_ne!((daemons, left), ("0", "1"), "{said}");
    assert_eq!(left, "0", "it ends by itself: {said}");
    assert!(token.contains(".atlasv1.") && held.contains(".atlasv1."), "{said}");
    eventually("all is revoked by policy", || site.made().is_empty());
}

#[test]
fn mount_t_tfcfs() {
    mounts_and_ends(
        &Site::new(),
        "mount -t tfcfs -o $O,allow_other,_netdev,nofail,x-systemd.automount,user,noatime tfcfs $M",
    );
}

#[test]
fn mount_t_fuse_tfcfs() {
    mounts_and_ends(&Site::new(), "mount -t fuse.tfcfs -o $O,_netdev tfcfs $M");
}

#[test]
fn an_old_line_with_a_hash() {
    mounts_and_ends(&Site::new(), "mount -t fuse -o $O 'tfcfs#' $M");
}

#[test]
fn fstab_and_mount_a() {
    let line = "tfcfs $M tfcfs $O,allow_other,_netdev,nofail,x-systemd.automount 0 0";
    let mount = format!("echo \"{line}\" > $S/fstab; mount -a -T $S/fstab && mount -a -T $S/fstab");
    mounts_and_ends(&Site::new(), &mount);
    let site = Site::new();
    let line = "tfcfs $M fuse.tfcfs $O,_netdev 0 0";
    mounts_and_ends(&site, &format!("echo \"{line}\" > $S/fstab; mount -T $S/fstab $M"));
}

#[test]
fn another_user_serves() {
    for mount in [
        "mount -t tfcfs -o $O,setuid=nobody,allow_other tfcfs $M",
        "mount -t fuse.tfcfs -o $O,drop_privileges,setuid=nobody,allow_other,default_permissions,nosuid,nodev tfcfs $M",
    ] {
        let site = Site::new();
        let said = ok(
            &site,
            &format!(
                "install -d -o nobody -m 700 $S/state; chown nobody $S/anchor\n\
                 {mount}\n\
                 stat -c %u /proc/$(daemons | head -1); grep CapEff /proc/$(daemons | head -1)/status\n\
                 cat $M/creds/app/token; echo\n\
                 # Nobody else may read it, though everybody is let in.\n\
                 setpriv --reuid=12345 --clear-groups cat $M/creds/app/token 2>&1 || setpriv --reuid=12345 --clear-groups cat $M/README | head -1\n\
                 echo > $M/rotate/app; cat $M/creds/app/token; echo\n\
                 # The announcement of the new token may be under way.\n\
                 for i in $(seq 50); do umount $M 2>/dev/null && break; sleep 0.1; done\n\
                 for i in $(seq 100); do daemons >/dev/null || break; sleep 0.1; done; daemons | wc -l || true"
            ),
        );
        let owner = said.lines().next().unwrap();
        // /proc of a process that cannot be dumped is root's: its capabilities tell.
        assert!(owner == "65534" || owner == "0", "{said}");
        assert!(said.contains("CapEff:\t0000000000000000"), "{said}");
        assert_eq!(said.matches(".atlasv1.").count(), 2, "{said}");
        assert!(said.contains("Permission denied") && said.contains("tfcfs: Terraform tokens as files"), "{said}");
        assert_eq!(said.lines().last(), Some("0"), "{said}");
    }
}

#[test]
fn what_cannot_be_had_is_said_and_leaves_nothing() {
    let site = Site::new();
    let say = |mount: &str| {
        let output = script(&site, &format!("{mount}; code=$?; grep -c \" $M \" /proc/self/mounts; exit $code"));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).trim().to_owned(), error)
    };
    for (mount, code, words) in [
        ("mount -t tfcfs -o $O,alow_other tfcfs $M", 1, "did you mean allow_other?"),
        ("mount -t tfcfs -o $O,ro tfcfs $M", 1, "leave ro out"),
        ("mount -t tfcfs -o config=$S/none tfcfs $M", 32, "none: cannot be read"),
        ("mount -t tfcfs -o $O,setuid=nosuchuser tfcfs $M", 1, "there is no such user"),
        // The state belongs to somebody else.
        ("install -d -m 700 $S/state; mount -t tfcfs -o $O,setuid=nobody tfcfs $M", 32, "anchor"),
        ("mount -t tfcfs -o $O tfcfs $S/settings.toml", 32, "is not a directory"),
        ("tfcfs mount /dev/fd/7 --ephemeral", 4, "no FUSE device that somebody has mounted"),
    ] {
        let (found, mounted, error) = say(mount);
        assert!(found == code && error.contains(words) && error.contains("hint: "), "{mount}: {found} {error}");
        assert_eq!(mounted, "0", "{mount}");
    }
    // Nothing is done, or what is not known is passed over, where mount(8) says so.
    let fake = ok(&site, "mount -f -t tfcfs -o $O tfcfs $M; grep -c \" $M \" /proc/self/mounts || true");
    assert_eq!(fake.trim(), "0");
    ok(&site, "mount -s -t tfcfs -o $O,bogus=1 tfcfs $M; umount $M");
    // mount.fuse3 has mounted already: the refusal comes from what it was told.
    let (_, _, error) = say("mount -t fuse.tfcfs -o $O,drop_privileges,allow_other tfcfs $M");
    assert!(error.contains("everybody could read every token") && error.contains("default_permissions"), "{error}");
}
