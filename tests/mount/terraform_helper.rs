//! The credentials helper, asked as terraform asks it (tests/mount/terraform.rs has terraform itself).

use super::support::{Daemon, eventually};

/// Role "app" whose token dies at the last close.
fn daemon() -> Daemon {
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role("on_close = \"revoke\""));
    daemon.sh("ln -s $T terraform-credentials-tfcfs");
    daemon
}

fn host(daemon: &Daemon) -> String {
    daemon.fake.address().to_string()
}

fn token_in(answer: &str) -> String {
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
    assert_eq!(answer.as_object().unwrap().len(), 1);
    answer["token"].as_str().unwrap().to_owned()
}

#[test]
fn the_answer_lives_as_long_as_who_asked() {
    let daemon = daemon();
    let ask = format!("./terraform-credentials-tfcfs --role app get {}; read; echo on; read", host(&daemon));
    let mut asker = daemon.holder(&ask);
    let token = token_in(&asker.line());
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(daemon.fake.is_live(&token) && daemon.lease("app").contains("state = \"held\""));
    asker.go();
    assert_eq!(asker.line(), "on", "it is a child that nobody has to wait for");
    asker.go();
    asker.wait();
    eventually("it ends with the asker", || !daemon.fake.is_live(&token) && daemon.lease("app").is_empty());
}

#[test]
fn other_hosts_get_nothing_and_cost_nothing() {
    let daemon = daemon();
    let host = host(&daemon);
    for role in ["app", "app.terraform.io=app"] {
        let ask = format!("./terraform-credentials-tfcfs --role {role} get registry.terraform.io");
        assert_eq!(daemon.sh(&ask), "{}\n", "{role}");
    }
    assert_eq!(daemon.sh(&format!("$T terraform-credentials --role other.example=app get {host}")), "{}\n");
    assert!(daemon.made().is_empty());
    let by_host = format!("$T terraform-credentials --role none --role {host}=app get {host}");
    token_in(&daemon.sh(&by_host));
    let wrong = "$T terraform-credentials --role registry.terraform.io=app get registry.terraform.io";
    assert!(daemon.sh_fails(wrong).contains(&format!("has tokens for {host}, not for registry.terraform.io")));
}

#[test]
fn store_and_forget_are_refused_with_a_reason() {
    let daemon = daemon();
    let words = daemon
        .sh_fails("set -o pipefail; yes | head -c 1000000 | ./terraform-credentials-tfcfs --role app store x.example");
    assert!(words.contains("a token for x.example is not stored") && words.contains("needs no login"), "{words}");
    let words = daemon.sh_fails("./terraform-credentials-tfcfs --role app forget x.example");
    assert!(words.contains("nothing to forget for x.example") && words.contains("rm MOUNT/leases/ROLE/*"), "{words}");
}

#[test]
fn failures_have_a_number_and_a_sentence() {
    let daemon = daemon();
    let host = host(&daemon);
    let fails = |arguments: &str, code: i32, words: &str| {
        let output = daemon.try_sh(&format!("$T terraform-credentials {arguments}"));
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(words) && output.stdout.is_empty(), "{text}");
    };
    fails(&format!("get {host}"), 2, "--role");
    fails(&format!("--role none get {host}"), 2, "there is no role \"none\"");
    fails(&format!("--role app --role app get {host}"), 2, "name hosts");
    fails(&format!("--role app --mount /nowhere get {host}"), 3, "no tfcfs is mounted");
    daemon.kill_anchor();
    fails(&format!("--role app get {host}"), 10, "no token of app: Key was rejected by service");
}
