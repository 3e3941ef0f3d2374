//! The fake against a client that nobody here wrote: HashiCorp's pytfe, from PyPI.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::client::start;
use crate::fake::{ACME, Kind, Mode, Owner};

const PYTFE: &str = "pytfe==1.5.0";

fn run(command: &mut Command) -> Output {
    // The whole command would show its environment, and with it a token.
    let program = format!("{:?} {:?}", command.get_program(), command.get_args());
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program}\n{out}\n{err}");
    output
}

/// A Python with pytfe in it, made once below target/ and kept there.
fn python() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(PYTFE.replace("==", "-"));
    let (python, done) = (folder.join("bin/python"), folder.join("installed"));
    if !done.exists() {
        // The mark is written last: what an interrupted run left behind is made again.
        let _ = std::fs::remove_dir_all(&folder);
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PYTFE]));
        std::fs::write(done, PYTFE).expect("target/ is writable");
    }
    python
}

#[test]
fn the_official_sdk_makes_lists_shows_and_deletes_every_kind() {
    let fake = start(Mode::Hcp);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pytfe/check.py");
    let team = fake.team_id(ACME, "deploy");
    let output = run(Command::new(python())
        .arg(script)
        .env_clear()
        .env("TFE_ADDRESS", fake.url())
        .env("TFE_TOKEN", fake.anchor_user_token())
        .env("ORGANIZATION", ACME)
        .env("TEAM_ID", &team)
        .env("USER_ID", fake.user_id("alice")));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "organization audit team_legacy team user policies ok");
    for (owner, kind, least) in [
        (Owner::Organization(ACME.into()), Kind::Organization, 2),
        (Owner::Organization(ACME.into()), Kind::AuditTrails, 1),
        (Owner::Team(team.clone()), Kind::TeamLegacy, 2),
        (Owner::Team(team), Kind::Team, 25),
        (Owner::User(fake.user_id("alice")), Kind::User, 1),
    ] {
        assert!(fake.creates(&owner, kind) >= least, "{owner} {kind:?}");
    }
    assert!(fake.orphans([""; 0]).is_empty(), "the script deletes what it makes");
}
