//! `state check` and `state export`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::support::{KEY, SECRETS, State};

#[test]
fn check_counts_what_is_there_and_writes_nothing() {
    let state = State::filled();
    let before = state.files();
    let report = state.run("check", &["--json"]).json();
    assert_eq!(report["ok"], true);
    assert_eq!((&report["format"], &report["records"]), (&1.into(), &9.into()));
    let kinds = serde_json::json!({
        "anchor": 1, "counter": 1, "lease": 3, "linger": 1, "number": 1, "role": 1, "rotation": 1
    });
    assert_eq!(report["kinds"], kinds);
    assert_eq!(report["leases"], serde_json::json!({ "intent": 1, "live": 1, "revoking": 1 }));
    assert_eq!(report["oldest_pending"]["phase"], "revoking");
    assert_eq!(report["oldest_pending"]["issued_at"], "2026-01-01T00:03:20Z");
    let text = state.run("check", &[]).ok();
    assert!(text.contains(": ok\n") && text.contains("1 intent, 1 live, 1 revoking"), "{text}");
    assert!(text.contains("oldest pending  2026-01-01T00:03:20Z"), "{text}");
    assert!(state.files() == before);
}

#[test]
fn check_works_where_nothing_can_be_written() {
    let state = State::filled();
    fs::set_permissions(state.ledger(), fs::Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(state.dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
    state.run("check", &[]).ok();
}

#[test]
fn export_has_every_record_and_no_secret() {
    let state = State::filled();
    let before = state.files();
    let text = state.run("export", &[]).ok();
    // Not even the part that all of them begin with.
    for secret in SECRETS.iter().flat_map(|secret| secret.split('.')).chain([str::from_utf8(&KEY).unwrap()]) {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    let export: serde_json::Value = serde_json::from_str(&text).unwrap();
    let records = export["records"].as_array().unwrap();
    assert_eq!(records.len(), 9);
    let of = |key: &str| records.iter().find(|record| record["key"].as_str().unwrap().starts_with(key)).unwrap();
    assert_eq!(of("anchor/default")["value"]["address"]["origin"], "https://app.terraform.io");
    assert_eq!(of("role/app")["value"]["role"]["team"], "deploy");
    let lease = &of("lease/")["value"];
    assert_eq!((&lease["phase"], &lease["token_id"]), (&"live".into(), &"at-1".into()));
    assert_eq!(lease["token_known"], true);
    assert!(state.files() == before);
}

#[test]
fn where_no_state_is() {
    let state = State::empty();
    for command in ["check", "export", "rekey"] {
        state.run(command, &[]).failed(6, &["there is no ledger in", "--state"]);
    }
    let gone = State::empty();
    fs::remove_dir_all(gone.dir.path()).unwrap();
    for command in ["check", "export", "rekey"] {
        gone.run(command, &[]).failed(6, &["the state directory", "No such file", "--state"]);
    }
    assert!(!gone.dir.path().exists(), "looking makes nothing");
}

#[test]
fn help_says_what_each_does() {
    let state = State::empty();
    for command in ["check", "export", "rekey"] {
        let help = state.run(command, &["--help"]).ok();
        assert!(help.contains("--state") && help.contains("--sealing-key"), "{help}");
    }
}
