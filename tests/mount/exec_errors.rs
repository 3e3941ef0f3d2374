//! `tfcfs exec`: in which form the command gets its token, and what is said when it gets none.

use super::support::{Daemon, Site};

const NOBODY: &str = "setpriv --reuid 65534 --regid 65534 --clear-groups";

fn daemon() -> Daemon {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role(""));
    daemon
}

/// Runs a script that must end with `code` and say `words` on standard error.
#[track_caller]
fn fails(daemon: &Daemon, script: &str, code: i32, words: &[&str]) {
    let output = daemon.try_sh(script);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{script}: {text}");
    for word in words {
        assert!(text.contains(word), "{script}: {word:?} is not in: {text}");
    }
}

#[test]
fn each_door_is_a_variable() {
    let daemon = daemon();
    let token = daemon.read("creds/app/token");
    let env = daemon.read("creds/app/env");
    let (name, _) = env.trim_end().split_once('=').unwrap();
    let shown = |options: &str| {
        let names = "^TF_TOKEN_|^TF_CLI_CONFIG_FILE=|^TFE_TOKEN=|^MINE=";
        let script = format!(
            "unset TF_CLI_CONFIG_FILE TFE_TOKEN; HOME=$PWD $T exec app {options} -- env | grep -E '{names}' | sort"
        );
        daemon.sh(&script)
    };
    let file = format!("TF_CLI_CONFIG_FILE={}\n", daemon.at("creds/app/terraform.tfrc.json").display());
    assert_eq!(shown("--door env"), env);
    assert_eq!(shown("--door tfrc"), file);
    assert_eq!(shown("--door token"), format!("TFE_TOKEN={token}\n"));
    assert_eq!(shown("--variable MINE"), format!("MINE={token}\n"));
    assert_eq!(shown("--door env,token --variable MINE"), format!("MINE={token}\n{env}"));
    // The fake's host has a port, so a variable alone would not do.
    assert_eq!(shown(""), format!("{file}{env}"));
    // Of two spellings terraform would take the later one.
    let literal = name.strip_prefix("TF_TOKEN_").unwrap().replace('_', ".");
    let script = format!("env TF_TOKEN_{literal}=old $T exec app --door env -- env | grep -c TF_TOKEN_");
    assert_eq!(daemon.sh(&script), "2\n", "another host: {literal}");
    assert_eq!(daemon.sh(&format!("{name}=old $T exec app --door env -- printenv {name}")), format!("{token}\n"));
    assert_eq!(daemon.sh("TFCFS_DOOR=token $T exec app -- printenv TFE_TOKEN"), format!("{token}\n"));
}

#[test]
fn commands_that_cannot_be_run_cost_no_token() {
    let daemon = daemon();
    fails(&daemon, "$T exec app -- no-such-command", 127, &["there is no command \"no-such-command\"", "PATH"]);
    fails(&daemon, "$T exec app -- ./none", 127, &["there is no command \"./none\""]);
    daemon.sh("echo 'echo hello' > script; mkdir -p bin; touch bin/ls");
    fails(
        &daemon,
        "$T exec app -- ./script",
        126,
        &["cannot be executed: Permission denied", "hint: give it the right"],
    );
    fails(&daemon, "$T exec app -- ./bin", 126, &["cannot be executed"]);
    fails(&daemon, "PATH=$PWD/bin:/nowhere $T exec app -- ls", 126, &["cannot be executed"]);
    assert!(daemon.made().is_empty(), "{:?}", daemon.made());
    assert_eq!(daemon.sh("PATH=$PWD/bin:$PATH $T exec app -- ls -d bin"), "bin\n", "the next one in PATH");
    assert_eq!(daemon.sh("chmod +x script; $T exec app -- ./script"), "hello\n", "a script without a first line");
    daemon.sh("printf '#!/none/such\\n' > strange; chmod +x strange");
    fails(&daemon, "$T exec app -- ./strange", 127, &["there is no command \"./strange\""]);
}

#[test]
fn without_a_token_nothing_is_run() {
    let daemon = daemon();
    let run = "-- touch ran";
    fails(&daemon, &format!("$T exec ap {run}"), 125, &["there is no role \"ap\"", "did you mean app?"]);
    fails(&daemon, &format!("$T exec ../app {run}"), 125, &["this is no role"]);
    fails(&daemon, "$T exec app", 125, &["<COMMAND>"]);
    fails(&daemon, &format!("$T exec app --door bogus {run}"), 125, &["invalid value 'bogus'", "env, tfrc, token"]);
    fails(&daemon, &format!("$T exec app --variable A=B {run}"), 125, &["no name of a variable"]);
    fails(&daemon, &format!("$T exec app --mount $PWD {run}"), 125, &["no tfcfs is mounted on", "tfcfs mount"]);
    fails(&daemon, &format!("$T exec app --mount $PWD/none {run}"), 125, &["no tfcfs is mounted on"]);
    assert!(daemon.made().is_empty());
    daemon.sh("mkdir -m 777 open; ln $T open/tfcfs 2> /dev/null || cp $T open/tfcfs");
    let theirs = format!("cd open && {NOBODY} ./tfcfs exec app {run}");
    fails(&daemon, &theirs, 125, &["may not be read by this user", "chown, chgrp or chmod"]);
    daemon.kill_anchor();
    fails(&daemon, &format!("$T exec app {run}"), 125, &["no token of app: Key was rejected", "hint: "]);
    assert!(!daemon.beside("ran").exists());
}

#[test]
fn a_mount_that_died_is_named() {
    let mut daemon = daemon();
    daemon.signal(rustix::process::Signal::KILL);
    daemon.wait();
    fails(&daemon, "$T exec app -- true", 125, &["died", "start it again"]);
}

#[test]
fn nobody_is_asked_without_an_anchor() {
    let site = Site::new();
    let daemon = site.mount();
    daemon.write("roles/app", &daemon.team_role(""));
    fails(&daemon, "$T exec app -- true", 125, &["no token of app: Required key not available", "hint: "]);
}
