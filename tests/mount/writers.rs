//! Whoever writes a role: a good document is in force after the close, a bad one leaves the old one in force.

use rustix::process::Signal;

use super::support::{Daemon, eventually};

/// Programs that write what is in the file `new` to `$R`, which exists.
const WRITERS: &[&str] = &[
    "bash -c 'echo \"$(<new)\" > $R'",
    "dash -c 'echo \"$(cat new)\" > $R'",
    "busybox sh -c 'echo \"$(cat new)\" > $R'",
    "bash -c '{ head -n 1 new; tail -n +2 new; } > $R'",
    "cat new > $R",
    "cat < new > $R",
    "tee $R < new > /dev/null",
    "dd if=new of=$R status=none",
    "dd if=new of=$R bs=7 status=none",
    "cp new $R",
    "cp -p new $R",
    "busybox cp new $R",
    "install -m 644 new $R",
    "cp new new2; mv -f new2 $R",
    "cp new /dev/shm/tfcfs-new.$$; mv -f /dev/shm/tfcfs-new.$$ $R",
    "cp new $R.tmp; mv -f $R.tmp $R",
    "cp new ${R%/*}/.r.new; mv -f ${R%/*}/.r.new $R",
    "rsync -c new $R",
    "rsync -c --inplace new $R",
    "cp --remove-destination new $R",
    "python3 -c 'with open(\"'$R'\", \"w\") as f: f.write(open(\"new\").read())'",
    "perl -e 'open F, \">\", $ARGV[0]; print F `cat new`; close F or die' $R",
    "bash -c 'exec > $R; cat new'",
    "bash -c 'exec > $R; cat new; exit 3' || true",
    "vim.tiny -u NONE -es -c '%!cat new' -c wq $R < /dev/null",
];

/// Programs that change the word `former` in `$R` to `later`.
const EDITORS: &[&str] = &[
    "sed -i s/former/later/ $R",
    "busybox sed -i s/former/later/ $R",
    "perl -pi -e s/former/later/ $R",
    "vim.tiny -u NONE -es -c '%s/former/later/' -c wq $R < /dev/null",
    "vim.tiny -u NONE -es -c 'set backup backupcopy=no directory=.' -c '%s/former/later/' -c wq $R < /dev/null",
];

fn daemon() -> Daemon {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role("description = \"former\""));
    daemon
}

fn run(daemon: &Daemon, script: &str) -> std::process::Output {
    daemon.try_sh(&format!("export R=$M/roles/app; {script}"))
}

#[test]
fn every_writer_puts_a_good_document_into_force() {
    let daemon = daemon();
    daemon.read("creds/app/token");
    for (round, writer) in WRITERS.iter().enumerate() {
        let text = daemon.team_role(&format!("description = \"round {round}\""));
        std::fs::write(daemon.beside("new"), text).unwrap();
        let output = run(&daemon, writer);
        assert!(output.status.success() && output.stderr.is_empty(), "{writer}: {output:?}\n{}", daemon.log());
        let wanted = format!("\"round {round}\"");
        // `exec >` commits at the program's end.
        eventually(writer, || std::fs::read_to_string(daemon.at("roles/app")).is_ok_and(|now| now.contains(&wanted)));
        assert_eq!(daemon.names("roles"), ["app"], "{writer} left something");
    }
    for editor in EDITORS {
        daemon.write("roles/app", &daemon.team_role("description = \"former\""));
        let output = run(&daemon, editor);
        assert!(output.status.success(), "{editor}: {output:?}\n{}", daemon.log());
        assert!(daemon.read("roles/app").contains("later"), "{editor}: {}\n{}", daemon.read("roles/app"), daemon.log());
        daemon.sh("rm -f $M/roles/*~");
        assert_eq!(daemon.names("roles"), ["app"], "{editor} left something");
    }
    // None of that touched upstream: the role kept its owner.
    assert_eq!(daemon.made().len(), 1);
    assert_eq!(daemon.lease_count("app"), 1);
}

#[test]
fn every_writer_is_told_of_a_bad_document() {
    let daemon = daemon();
    let good = daemon.read("roles/app");
    std::fs::write(daemon.beside("new"), "organization = \"acme\"\nbogus = 1\n").unwrap();
    for writer in WRITERS {
        let output = run(&daemon, writer);
        // These remove the old role before they write the new one: that is what they were asked for.
        let removes_first =
            ["install", "new2", "/dev/shm", "--remove-destination"].iter().any(|word| writer.contains(word));
        // A script whose writing child fails goes on, and vim -es says so with its exit code only when it likes.
        let hides = writer.contains("exit 3") || writer.contains("vim");
        assert!(!output.status.success() || hides, "{writer} succeeded");
        if removes_first {
            daemon.write("roles/app", &good);
        }
        assert_eq!(daemon.read("roles/app"), good, "{writer}");
        assert!(daemon.read("errors").contains("bogus"), "{writer}");
        daemon.sh("rm -f $M/roles/*.tmp $M/roles/.r* $M/roles/*~");
    }
    assert_eq!(daemon.names("roles"), ["app"]);
}

#[test]
fn what_is_only_missing_is_shown_by_the_close_and_by_errors() {
    let daemon = daemon();
    let good = daemon.read("roles/app");
    std::fs::write(daemon.beside("new"), "description = \"no owner\"\n").unwrap();
    for writer in ["cp new $R", "tee $R < new", "cat new > $R"] {
        assert!(!run(&daemon, writer).status.success(), "{writer}");
    }
    // Shells do not look at what close says.
    assert!(run(&daemon, "echo 'description = \"no owner\"' > $R").status.success());
    assert_eq!(daemon.read("roles/app"), good);
    let errors = daemon.read("errors");
    assert!(errors.lines().filter(|line| line.contains("EINVAL roles/app")).count() == 4, "{errors}");
}

#[test]
fn appending_and_truncating() {
    let daemon = daemon();
    daemon.sh("echo 'ttl = \"7m\"' >> $M/roles/app");
    let role = daemon.read("roles/app");
    assert!(role.contains("former") && role.contains("7m"), "{role}");
    assert!(daemon.sh_fails("echo 'bogus = 1' >> $M/roles/app").contains("Invalid argument"));
    daemon.sh(": > $M/roles/app; truncate -s 0 $M/roles/app; touch $M/roles/app; cp /dev/null $M/roles/app");
    assert_eq!(daemon.read("roles/app"), role);
}

#[test]
fn what_is_read_can_be_written_back() {
    let daemon = daemon();
    daemon.write(
        "roles/full",
        &daemon.team_role("ttl = \"5m\"\nmax_ttl = \"1h\"\nshare = \"unit\"\nmode = \"0440\"\nuid = 7"),
    );
    for path in ["roles/app", "roles/full", "config"] {
        let before = daemon.read(path);
        daemon.sh(&format!("cp $M/{path} copy; cp copy $M/{path}; cat copy > $M/{path}"));
        assert_eq!(daemon.read(path), before);
    }
}

#[test]
fn of_two_writers_the_last_to_close_wins_whole() {
    let daemon = daemon();
    let (one, two) = (daemon.team_role("description = \"one\""), daemon.team_role("description = \"two\""));
    std::fs::write(daemon.beside("one"), one).unwrap();
    std::fs::write(daemon.beside("two"), two).unwrap();
    daemon.python(
        "f, g = open(m + '/roles/app', 'w'), open(m + '/roles/app', 'w')\n\
         a, b = open('one').read(), open('two').read()\n\
         f.write(a[:20]); f.flush(); g.write(b[:30]); g.flush(); f.write(a[20:]); g.write(b[30:])\n\
         g.close(); f.close()",
    );
    assert!(daemon.read("roles/app").contains("\"one\""));
}

fn killed(daemon: &Daemon) -> usize {
    daemon.read("errors").matches("killed half-way").count()
}

#[test]
fn a_killed_writer_commits_nothing() {
    let daemon = daemon();
    let good = daemon.read("roles/app");
    std::fs::write(daemon.beside("half"), daemon.team_role("description = \"half\"")).unwrap();
    for signal in [Signal::KILL, Signal::TERM] {
        // Not `printf >&3`: bash closes a copy after it, which counts.
        let mut writer = daemon.holder("exec 3> $M/roles/app; cat half >&3; echo ok; read");
        assert_eq!(writer.line(), "ok");
        let before = killed(&daemon);
        writer.signal(signal);
        writer.wait();
        eventually("errors says so", || killed(&daemon) > before);
        assert_eq!(daemon.read("roles/app"), good, "{signal:?}");
    }
    // One that does not exist yet does not come to exist.
    let mut writer = daemon.holder("exec 3> $M/roles/new; cat half >&3; echo ok; read");
    assert_eq!(writer.line(), "ok");
    writer.signal(Signal::KILL);
    writer.wait();
    eventually("it is gone", || daemon.names("roles") == ["app"]);
    assert!(!daemon.at("roles/new").exists() && !daemon.at("creds/new").exists());
}

#[test]
fn a_writer_that_exits_without_closing_commits() {
    let daemon = daemon();
    let document = daemon.team_role("description = \"whole\"").replace('\n', "\\n");
    daemon.sh(&format!("bash -c \"exec 3> $M/roles/app; printf '{}' >&3\"", document.replace('"', "\\\"")));
    eventually("in force", || daemon.read("roles/app").contains("whole"));
}

#[test]
fn names_of_roles() {
    let daemon = daemon();
    std::fs::write(daemon.beside("new"), daemon.team_role("")).unwrap();
    for name in ["Capital", "config", "-x", "über"] {
        let said = daemon.sh_fails(&format!("cat new > '{}/roles/{name}'", daemon.at("").display()));
        assert!(said.contains("Invalid argument"), "{name}: {said}");
    }
    assert!(daemon.read("errors").contains("capital"), "{}", daemon.read("errors"));
    for impossible in [
        "mkdir $M/roles/d",
        "ln -s x $M/roles/l",
        "ln $M/roles/app $M/roles/h",
        "cp new $M/creds/x",
        "cp new $M/x",
        "mv $M/creds/app/token stolen",
        "rmdir $M/creds/app",
    ] {
        daemon.sh_fails(impossible);
    }
    daemon.sh("mv $M/roles/app $M/roles/other");
    assert_eq!(daemon.names("creds"), ["other"]);
    daemon.sh("rm $M/roles/other");
    assert!(daemon.names("creds").is_empty() && daemon.names("leases").is_empty());
}
