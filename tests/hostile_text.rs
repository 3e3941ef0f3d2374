//! What fuzzing and looking for blow-ups found, one test for each.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use common::machine::Names;
use tfcfs::config::Settings;
use tfcfs::domain::document::{ConfigSpec, LARGEST, RoleSpec, check_role_prefix};
use tfcfs::domain::ledger::Stored;
use tfcfs::domain::name::RoleName;

/// A token of the usual shape.
const TOKEN: &str =
    "Fz7Hunter2Qk9x.atlasv1.zX81secretq0W3secretv5Tb2secretkLm4secretn6Yp9secretzX81secretq0W3secretv5Tb2";

#[track_caller]
fn says_no_secret(message: &str) {
    let message = message.to_ascii_lowercase();
    assert!(!message.contains("atlasv1") && !message.contains("secret"), "{message}");
}

fn settings(text: &str) -> Result<Settings, String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tfcfs.toml");
    fs::write(&file, text).unwrap();
    Settings::load(&file).map_err(|error| error.message)
}

#[test]
fn a_token_in_place_of_another_value_is_not_repeated() {
    for line in ["anchor", "uid", "gid"].map(|key| format!("user_id = \"user-1\"\n{key} = \"{TOKEN}\"\n")) {
        says_no_secret(&RoleSpec::parse(line.as_bytes(), &Names).unwrap_err().message);
    }
    for text in [
        format!("address = \"{TOKEN}:1\"\n"),
        format!("address = \"http://{TOKEN}\"\ninsecure = false\n"),
        format!("[anchors.\"{TOKEN}\"]\ntoken = \"x\"\n"),
        format!("{TOKEN}\n"),
        format!("token{TOKEN} = 1\n"),
    ] {
        says_no_secret(&ConfigSpec::parse(text.as_bytes()).unwrap_err().message);
    }
    says_no_secret(&TOKEN.parse::<RoleName>().unwrap_err().to_string());
}

#[test]
fn a_token_in_place_of_the_name_of_its_file_is_not_repeated() {
    let message = settings(&format!("[anchors.default]\ntoken_file = \"{TOKEN}\"\n")).unwrap_err();
    says_no_secret(&message);
    assert!(message.contains("into a file of its own"), "{message}");
    says_no_secret(&settings(&format!("[roles.\"{TOKEN}\"]\nteam_id = \"team-1\"\n")).unwrap_err());
}

#[test]
fn a_name_of_several_lines_stays_in_one_line_of_the_message() {
    for text in [
        "[roles.\"a\\nb\\u001b\"]\nteam_id = \"t\"\n",
        "[anchors.\"a\\nb\"]\ntoken_file = \"token\"\n",
        "[anchors.a]\ntoken_file = \"a\\nb\"\n",
    ] {
        let message = settings(text).unwrap_err();
        assert!(!message.contains(char::is_control), "{message:?}");
    }
    let long = settings(&format!("[anchors.a]\ntoken_file = \"{}\"\n", "x".repeat(10_000))).unwrap_err();
    assert!(long.len() < 600, "{long}");
}

#[test]
fn a_pipe_as_token_file_does_not_hold_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    let message = settings(&format!("[anchors.a]\ntoken_file = \"{}\"\n", pipe.display())).unwrap_err();
    assert!(message.contains("is not a file"), "{message}");
}

#[test]
fn an_endless_settings_file_is_too_large() {
    let error = Settings::load("/dev/zero".as_ref()).unwrap_err();
    assert!(error.message.contains("larger than 4096 KiB"), "{error}");
}

#[test]
fn a_settings_file_of_the_largest_size_is_read_in_seconds() {
    let mut text = String::new();
    for number in 0.. {
        let role = format!("[roles.r{number}]\nuser_id = \"u\"\nttl = 9\nmax_ttl = 9\nuid = 1\ngid = 1\n");
        if text.len() + role.len() > 4 << 20 {
            break;
        }
        text.push_str(&role);
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tfcfs.toml");
    fs::write(&file, &text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let start = Instant::now();
    let roles = Settings::load(&file).unwrap().roles.len();
    assert!(roles > 50_000, "{roles}");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn documents_of_the_largest_size_are_judged_at_once_however_deep_or_odd() {
    let fill = |piece: &str, end: &str| piece.repeat((LARGEST - end.len()) / piece.len()) + end;
    for text in [
        fill("a.", "a=1\n"),
        "[".to_owned() + &fill("a.", "a]\n")[1..],
        fill("[", "\n"),
        "a=".to_owned() + &fill("[", "\n")[2..],
        "a=".to_owned() + &fill("{a=", "\n")[3..],
        "{\"a\":".to_owned() + &fill("[", "")[5..],
        fill("{\"a\":", "1"),
        fill("a=b c #\n", ""),
        fill("a=1\n", ""),
        fill("\"=", "\n"),
        fill("x", "=1\n"),
        fill("\n", ""),
        (0..8000).map(|n| format!("k{n}=b\n")).collect::<String>(),
        "a=\"\"\"".to_owned() + &fill("\\", "")[5..],
        "a=".to_owned() + &fill(" #", "\n")[2..],
    ] {
        let start = Instant::now();
        let error = RoleSpec::parse(text.as_bytes(), &Names).unwrap_err();
        let _ = check_role_prefix(text.as_bytes(), &Names);
        ConfigSpec::parse(text.as_bytes()).unwrap_err();
        assert!(error.message.len() < 700, "{error}");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}: {}", start.elapsed(), &text[..20]);
    }
}

#[test]
fn a_damaged_key_of_the_ledger_stays_in_one_line_of_the_message() {
    for key in ["an\u{1b}chor/x\n", &"k".repeat(10_000)] {
        let message = Stored::decode(key, b"").unwrap_err().to_string();
        assert!(!message.contains(char::is_control) && message.len() < 500, "{message:?}");
    }
}
