//! Every program gets exactly the bytes of a living token, and sizes that are true before and after.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::support::Daemon;

/// Programs that print what `$T` holds. `$D` is a directory of their own.
const SHELL: &[&str] = &[
    "cat $T",
    "dd if=$T bs=1 status=none",
    "dd if=$T bs=64k status=none",
    "cp $T $D/c; cat $D/c",
    "cp -p $T $D/p; cat $D/p",
    "cp -a $T $D/a; cat $D/a",
    "install -m 600 $T $D/i; cat $D/i",
    "head -c 4096 $T",
    "tail -c 4096 $T",
    // Open with O_NONBLOCK, which changes nothing.
    "tar -cf - -C ${T%/*} token | tar -xO",
    "gzip -c $T | gzip -d",
    "grep -rh . ${T%/*}/token | tr -d '\\n'",
    "base64 -w0 $T | base64 -d",
    "rsync -a $T $D/r; cat $D/r",
    "printf %s \"$(<$T)\"",
    "mapfile -d '' x < $T; printf %s \"$x\"",
    "cat /dev/stdin < $T",
    "cat < $T | cat",
    "perl -e 'my $n = -s $ARGV[0]; open F, $ARGV[0]; read F, my $x, $n; print $x' $T",
    "perl -0777 -pe '' $T",
    "busybox cat $T",
    "busybox cp $T $D/b; cat $D/b",
    "busybox head -c 4096 $T",
    "dash -c 'read x < $T; printf %s $x'",
    "sed -n p $T",
    "grep -a . $T | tr -d '\\n'",
];

const PYTHON: &[&str] = &[
    "print(open(t).read(), end='')",
    "import mmap; f = open(t); print(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[:].decode(), end='')",
    "f = os.open(t, os.O_RDONLY); sys.stdout.flush(); n = os.fstat(f).st_size\n\
     r, w = os.pipe(); assert os.sendfile(w, f, 0, n + 100) == n; print(os.read(r, 999).decode(), end='')",
    "import shutil; shutil.copyfile(t, d + '/copyfile'); print(open(d + '/copyfile').read(), end='')",
    "import shutil; shutil.copy2(t, d + '/copy2'); print(open(d + '/copy2').read(), end='')",
    "n = os.stat(t).st_size; f = os.open(t, os.O_RDONLY); print(os.read(f, n).decode(), end='')",
    "f = open(t, 'rb', buffering=0)\nwhile x := f.read(7): sys.stdout.buffer.write(x)",
    "f = os.open(t, os.O_RDONLY); n = os.lseek(f, 0, os.SEEK_END); print(os.pread(f, n, 0).decode(), end='')",
    "f = os.open(t, os.O_RDONLY); r, w = os.pipe(); os.splice(f, w, 999); print(os.read(r, 999).decode(), end='')",
];

/// Runs every reader on a role, with tokens of changing length, and compares with what is live upstream.
fn all_readers(more: &str) {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(more));
    fs::create_dir(daemon.beside("d")).unwrap();
    let prepare = "T=$M/creds/app/token; D=$PWD/d; rm -rf d/*; set -e -o pipefail; export T D;";
    let shell = SHELL.iter().map(|script| (script, None));
    let python = PYTHON.iter().map(|script| (script, Some(())));
    for (round, (script, python)) in shell.chain(python).enumerate() {
        // A new length every second round; a program that takes the size from `stat` before it opens is told the last
        // length, so such a one cannot be the first after a change.
        let length = [120, 120, 60, 60][round % 4];
        daemon.fake.set_token_length(length);
        daemon.sh("rm -f $M/leases/app/*");
        let stats_first = script.contains("-s $ARGV") || script.contains("os.stat(t)");
        if stats_first {
            daemon.read("creds/app/token");
        }
        let token = match python {
            None => daemon.sh(&format!("{prepare} {script}")),
            Some(()) => daemon.python(&format!("d = 'd'\n{script}")),
        };
        assert!(daemon.fake.is_live(&token), "{script}: {} bytes of {length}: {token:?}", token.len());
        assert_eq!(token.len(), length, "{script}");
    }
}

#[test]
fn of_a_shared_role() {
    all_readers("");
}

#[test]
fn of_a_role_whose_every_open_is_fresh() {
    all_readers("share = \"open\"\nmax_leases = 1000");
}

#[test]
fn sizes_are_true_before_and_after_open() {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(""));
    daemon.write("roles/open", &daemon.team_role("share = \"open\""));
    daemon.write("roles/org", "organization = \"acme\"");
    for role in ["app", "open", "org"] {
        for door in ["token", "token.json", "env", "terraform.tfrc.json"] {
            let path = daemon.at(&format!("creds/{role}/{door}"));
            let before = fs::metadata(&path).unwrap().size();
            let bytes = fs::read(&path).unwrap();
            assert_eq!(
                (before, fs::metadata(&path).unwrap().size()),
                (bytes.len() as u64, bytes.len() as u64),
                "{path:?}"
            );
        }
    }
}

#[test]
fn all_doors_carry_the_same_token() {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(""));
    let token = daemon.read("creds/app/token");
    let variable = format!("TF_TOKEN_127_0_0_1_{}", daemon.fake.address().port());
    assert_eq!(daemon.sh(&format!("source $M/creds/app/env; printf %s ${variable}")), token);
    let json = "import json; print(json.load(open(m + '/creds/app/token.json'))['token'], end='')";
    assert_eq!(daemon.python(json), token);
    let tfrc = "import json; c = json.load(open(m + '/creds/app/terraform.tfrc.json'))['credentials']; \
                print(list(c.values())[0]['token'], end='')";
    assert_eq!(daemon.python(tfrc), token);
}

#[test]
fn looking_costs_nothing() {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(""));
    daemon.write("roles/open", &daemon.team_role("share = \"open\""));
    daemon.fake.clear_requests();
    daemon.sh("ls -lR $M > /dev/null; find $M -size +0 > /dev/null; df $M > /dev/null; du -a $M > /dev/null; test -r $M/creds/open/token; stat $M/creds/*/* > /dev/null");
    assert!(daemon.fake.requests().is_empty(), "{:?}", daemon.fake.requests());
    assert!(daemon.made().is_empty());
}

#[test]
fn a_search_through_everything_ends() {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(""));
    daemon.write("roles/org", "organization = \"acme\"");
    // It opens every door, so it is given a token of each role.
    daemon.sh("timeout 10 grep -rs nothing-like-this $M; test $? = 1");
    assert_eq!(daemon.made().len(), 2);
    daemon.sh("find $M -type f -exec timeout 10 cat {} + > /dev/null");
    assert_eq!(daemon.made().len(), 2);
}

#[test]
fn events_can_be_followed() {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(""));
    let mut tail = daemon.holder("exec tail -n 0 -s 0.1 -f $M/events");
    // Tail has no sign that it waits.
    std::thread::sleep(std::time::Duration::from_millis(300));
    daemon.read("creds/app/token");
    assert!(tail.line().contains("\"issued\""));
    daemon.sh("rm $M/leases/app/*");
    assert!(tail.line().contains("lease_id"));
}

#[test]
fn long_directories_are_listed_whole_and_removed_whole() {
    let daemon = Daemon::ready();
    let name = |number| format!("{number:03}-a-name-of-some-length-so-that-one-read-of-the-directory-does-not-do");
    let names: Vec<String> = (0..150).map(name).collect();
    for name in &names {
        daemon.write(&format!("roles/{name}"), "organization = \"acme\"");
    }
    for directory in ["roles", "creds", "leases"] {
        let mut listed = daemon.names(directory);
        listed.sort();
        assert_eq!(listed, names, "{directory}");
    }
    daemon.sh("rm -r $M/roles/*");
    assert!(daemon.names("roles").is_empty() && daemon.names("creds").is_empty());
}
