//! `tfcfs exec`: the lease lives exactly as long as the command, and the command does not notice that it is not alone.

use std::fs;
use std::os::unix::process::CommandExt;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::support::{Daemon, Holder, eventually, signal_of};

/// Prints the token that `exec` gave.
const SHOW: &str = "env | sed -n 's/^TF_TOKEN_[^=]*=//p'";

/// Role "app" that revokes at the last close and may rotate at once.
fn daemon() -> Daemon {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role("on_close = \"revoke\"\nmin_rotation_interval = \"1s\""));
    daemon
}

/// `tfcfs exec app -- bash -c SCRIPT` in a group of its own, as an interactive shell would start it.
fn exec(daemon: &Daemon, script: &str) -> Holder {
    let mut command = daemon.program(env!("CARGO_BIN_EXE_tfcfs"), &["exec", "app", "--", "bash", "-c", script]);
    command.process_group(0);
    Holder::start(command)
}

fn is_held(daemon: &Daemon) -> bool {
    daemon.lease("app").contains("state = \"held\"\nhandles = 1\n")
}

fn ended(daemon: &Daemon, token: &str) {
    eventually("the lease ends with its command", || daemon.lease("app").is_empty() && !daemon.fake.is_live(token));
}

/// The state letter of a process.
fn state(pid: Pid) -> String {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    text.rsplit_once(") ").unwrap().1[..1].to_owned()
}

#[test]
fn the_token_lives_exactly_as_long_as_the_command() {
    let daemon = daemon();
    let mut command = exec(&daemon, &format!("{SHOW}; read; exit 7"));
    let token = command.line();
    assert!(daemon.fake.is_live(&token) && is_held(&daemon), "{}", daemon.lease("app"));
    std::thread::sleep(Duration::from_millis(200));
    assert!(daemon.fake.is_live(&token) && is_held(&daemon), "{}", daemon.lease("app"));
    command.go();
    assert_eq!(command.wait().code(), Some(7));
    ended(&daemon, &token);
}

#[test]
fn the_token_is_in_no_argument() {
    let daemon = daemon();
    let mut command = exec(&daemon, &format!("{SHOW}; read"));
    let token = command.line();
    let mut seen = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        // Others come and go.
        let Ok(arguments) = fs::read(entry.path().join("cmdline")) else { continue };
        assert!(!String::from_utf8_lossy(&arguments).contains(&token), "{:?}", entry.path());
        seen += 1;
    }
    assert!(seen > 2);
    let environment = fs::read(format!("/proc/{}/environ", command.pid().as_raw_nonzero())).unwrap();
    assert!(String::from_utf8_lossy(&environment).contains(&token), "that is where it is");
    let other = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all";
    let theirs = format!("/proc/{}/environ", command.pid().as_raw_nonzero());
    assert!(daemon.sh_fails(&format!("{other} cat {theirs}")).contains("Permission denied"));
}

#[test]
fn signals_reach_the_command_once() {
    let daemon = daemon();
    let names = "HUP INT QUIT TERM USR1 USR2 WINCH ALRM";
    let traps = "for name in $N; do trap \"echo $name\" $name; done";
    let script = format!("N='{names}'; {traps}; {SHOW}; echo ready; while :; do read -t 60 line && break; done");
    let mut command = exec(&daemon, &script);
    let token = command.line();
    assert_eq!(command.line(), "ready");
    for (name, signal) in [
        ("HUP", Signal::HUP),
        ("INT", Signal::INT),
        ("QUIT", Signal::QUIT),
        ("TERM", Signal::TERM),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
        ("WINCH", Signal::WINCH),
    ] {
        command.signal(signal);
        assert_eq!(command.line(), name);
        // As a terminal does it, or `timeout`.
        kill_process_group(command.pid(), signal).unwrap();
        assert_eq!(command.line(), name);
    }
    command.signal(Signal::ALARM);
    assert_eq!(command.line(), "ALRM", "nothing came twice");
    assert!(daemon.fake.is_live(&token) && is_held(&daemon));
    command.go();
    assert!(command.wait().success());
    ended(&daemon, &token);
}

#[test]
fn a_stopped_command_keeps_its_token() {
    let daemon = daemon();
    let mut command = exec(&daemon, &format!("{SHOW}; read"));
    let token = command.line();
    kill_process_group(command.pid(), Signal::TSTP).unwrap();
    eventually("it stops", || state(command.pid()) == "T");
    std::thread::sleep(Duration::from_millis(100));
    assert!(daemon.fake.is_live(&token) && is_held(&daemon));
    kill_process_group(command.pid(), Signal::CONT).unwrap();
    command.go();
    assert!(command.wait().success());
    ended(&daemon, &token);
}

#[test]
fn a_signal_that_ends_the_command_is_its_status() {
    let daemon = daemon();
    for signal in [Signal::TERM, Signal::KILL] {
        let mut command = exec(&daemon, &format!("{SHOW}; read"));
        let token = command.line();
        command.signal(signal);
        assert_eq!(signal_of(command.wait()), Some(signal.as_raw()));
        ended(&daemon, &token);
    }
    assert_eq!(daemon.sh("$T exec app -- sh -c 'kill -USR1 $$'; echo $?"), "138\n");
}

#[test]
fn what_the_command_closes_or_leaves_behind_does_not_count() {
    let daemon = daemon();
    let mut command = exec(&daemon, &format!("{SHOW}; exec python3 -c 'import os; os.closerange(3, 1000); input()'"));
    let token = command.line();
    std::thread::sleep(Duration::from_millis(200));
    assert!(daemon.fake.is_live(&token) && is_held(&daemon), "sudo and ssh close everything, too");
    command.go();
    command.wait();
    ended(&daemon, &token);
    let mut command = exec(&daemon, &format!("{SHOW}; sleep 60 > /dev/null & echo $!; read"));
    let token = command.line();
    let left: i32 = command.line().parse().unwrap();
    command.go();
    command.wait();
    ended(&daemon, &token);
    kill_process(Pid::from_raw(left).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn the_command_has_no_child_and_no_file_that_it_does_not_know() {
    let daemon = daemon();
    let script = "import os\n\
                  try: os.waitpid(-1, os.WNOHANG); print('a child')\n\
                  except ChildProcessError: print('none')\n\
                  print(*[os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if int(n) > 2][:-1])";
    let mut command = daemon.program("bash", &["-c", "exec $T exec app -- python3 -c \"$1\" 9<&-", "bash", script]);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("none\n") && !text.contains("/creds/"), "{text}{output:?}");
}

#[test]
fn the_holder_keeps_no_file_of_the_commands_starter() {
    let daemon = daemon();
    // The reader of the pipe ends when the command has closed it, and does not wait for the command's end.
    let script = "exec 9> >(cat > /dev/null; echo closed); $T exec app -- bash -c 'exec 9>&-; sleep 1; echo end' & \
                  exec 9>&-; wait $!";
    assert_eq!(daemon.sh(script), "closed\nend\n");
}

#[test]
fn standard_input_and_output_are_the_commands() {
    let daemon = daemon();
    assert_eq!(daemon.sh("echo hello | $T exec app -- cat"), "hello\n");
    assert_eq!(daemon.sh("$T exec app cat - -u < <(printf x)"), "x", "without -- as well");
    assert_eq!(daemon.sh("$T exec app -- sh -c 'echo out; echo err >&2' 2>&1"), "out\nerr\n");
}

#[test]
fn a_terminal_is_the_commands() {
    let daemon = daemon();
    let output = daemon.python(
        "import pty, subprocess, signal\n\
         script = 'trap \"echo got\" INT; tty > /dev/null && echo ready; read a; read b; echo bye $b'\n\
         pid, terminal = pty.fork()\n\
         if pid == 0:\n    os.execvp(os.environ['T'], ['tfcfs', 'exec', 'app', '--', 'bash', '-c', script])\n\
         seen = b''\n\
         def until(word):\n    global seen\n    while word not in seen: seen += os.read(terminal, 1000)\n\
         until(b'ready')\n\
         os.write(terminal, b'\\x03'); until(b'got')\n\
         os.write(terminal, b'one\\n'); os.write(terminal, b'two\\n'); until(b'bye')\n\
         os.waitpid(pid, 0)\n\
         print(seen.count(b'got'), 'two' in seen.decode())",
    );
    assert_eq!(output, "1 True\n");
}

#[test]
fn a_rotation_reaches_the_file_and_not_the_variable() {
    let daemon = daemon();
    let script = format!("{SHOW}; read; {SHOW}; cat $TF_CLI_CONFIG_FILE | tr -d '\\n'; echo; read");
    let mut command = exec(&daemon, &script);
    let old = command.line();
    daemon.rotate("app");
    command.go();
    assert_eq!(command.line(), old);
    let document: serde_json::Value = serde_json::from_str(&command.line()).unwrap();
    let new = document["credentials"].as_object().unwrap().values().next().unwrap()["token"].as_str().unwrap();
    assert!(new != old && daemon.fake.is_live(&old), "both work while the command lives");
    command.go();
    assert!(command.wait().success());
    eventually("the former ends with its command", || !daemon.fake.is_live(&old));
}

#[test]
fn a_token_that_is_revoked_does_not_end_the_command() {
    let daemon = daemon();
    let mut command = exec(&daemon, &format!("{SHOW}; read; echo on"));
    let token = command.line();
    daemon.sh("rm $M/leases/app/*");
    assert!(!daemon.fake.is_live(&token));
    command.go();
    assert_eq!(command.line(), "on");
    assert!(command.wait().success());
}
