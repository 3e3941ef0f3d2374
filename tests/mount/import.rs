//! `tfcfs import vault` with a `vault` that prints what the real one does, to roles of a mount.

use std::fs;

use super::support::{Daemon, Site};
use crate::fake::ACME;

/// A script in place of `vault`: `read` and `list` of a Terraform secrets engine with three roles.
fn put_vault(site: &Site) {
    let (team, user) = (site.fake.team_id(ACME, "deploy"), site.fake.user_id("alice"));
    let url = site.fake.url();
    let answer = |data: String| {
        format!(
            r#"{{"request_id":"8a","lease_id":"","lease_duration":0,"renewable":false,"data":{data},"warnings":null,"mount_type":"terraform"}}"#
        )
    };
    let files = [
        ("terraform-config", answer(format!(r#"{{"address":"{url}","base_path":"/api/v2/","explicit_max_ttl":0}}"#))),
        (
            "terraform-role-deploy",
            answer(format!(
                r#"{{"credential_type":"team","description":"by Vault","max_ttl":7200,"name":"deploy","organization":"acme","team_id":"{team}","ttl":600}}"#
            )),
        ),
        (
            "terraform-role-alice",
            answer(format!(r#"{{"credential_type":"user","max_ttl":0,"name":"alice","ttl":0,"user_id":"{user}"}}"#)),
        ),
        ("terraform-role-org", answer(r#"{"max_ttl":0,"name":"org","organization":"acme","ttl":0}"#.into())),
        ("terraform-role", r#"["alice","deploy","org"]"#.into()),
    ];
    fs::create_dir(site.beside("bin")).unwrap();
    for (name, text) in files {
        fs::write(site.beside(&format!("bin/{name}")), text + "\n").unwrap();
    }
    // vault read|list -format=json PATH
    fs::write(site.beside("bin/vault"), "#!/bin/sh\ncat \"$(dirname \"$0\")/$(echo \"$3\" | tr / -)\"\n").unwrap();
    site.chmod("bin/vault", 0o755);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tfcfs"), site.beside("bin/tfcfs")).unwrap();
}

/// The loop that the help and docs/operations.md have.
const EXPORT: &str = r#"export PATH="$PWD/bin:$PATH"
{ vault read -format=json terraform/config
  for role in $(vault list -format=json terraform/role | jq -r '.[]'); do
    vault read -format=json "terraform/role/$role"
  done; }"#;

#[test]
fn the_loop_is_what_help_and_docs_say() {
    let help =
        std::process::Command::new(env!("CARGO_BIN_EXE_tfcfs")).args(["import", "vault", "--help"]).output().unwrap();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, the_loop) = EXPORT.split_once('\n').unwrap();
    assert!(words(&String::from_utf8(help.stdout).unwrap()).contains(&words(the_loop)));
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    assert!(words(&fs::read_to_string(page).unwrap()).contains(&words(the_loop)));
}

#[test]
fn settings_that_a_daemon_takes() {
    let site = Site::new();
    put_vault(&site);
    // For its shell only.
    let daemon = site.mount_ephemeral();
    let said = daemon.sh(&format!("{EXPORT} | tfcfs import vault 2>notes > imported.toml; echo $?; cat notes"));
    assert!(said.starts_with("0\n") && said.contains("never shows its token"), "{said}");
    // Not without the token, which nobody has carried over.
    assert!(daemon.try_sh("$T check --kind settings imported.toml").status.code() == Some(5));
    fs::write(site.beside("anchor.token"), site.fake.anchor_user_token()).unwrap();
    site.chmod("anchor.token", 0o600);
    daemon.sh("$T check --kind settings imported.toml");
    drop(daemon);
    fs::rename(site.beside("imported.toml"), site.beside("settings.toml")).unwrap();
    let daemon = site.mount();
    for role in ["deploy", "alice", "org"] {
        assert!(site.fake.is_live(&daemon.read(&format!("creds/{role}/token"))), "{role}");
    }
    let (one, other) = (daemon.read("creds/deploy/token"), daemon.read("creds/deploy/token"));
    assert_ne!(one, other, "as each read of Vault made one");
}

#[test]
fn documents_that_are_copied_into_the_mount() {
    let site = Site::new();
    put_vault(&site);
    let daemon = Daemon::ready_on(site);
    let said = daemon.sh(&format!("{EXPORT} | tfcfs import vault --to roles 2>/dev/null; ls roles"));
    assert_eq!(said, "3 written, 0 already there\nalice\ndeploy\norg\n");
    daemon.sh("cp roles/* $M/roles/; diff -r roles $M/roles");
    assert!(daemon.fake.is_live(&daemon.read("creds/deploy/token")));
    // Again, also into the mount itself: nothing changes.
    for place in ["roles", "$M/roles"] {
        let said = daemon.sh(&format!("{EXPORT} | tfcfs import vault --to {place} 2>/dev/null"));
        assert_eq!(said, "0 written, 3 already there\n");
    }
    let fails = |script: &str| {
        let output = daemon.try_sh(script);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) =
        fails(&format!("rm roles/alice; echo other > roles/deploy; {EXPORT} | tfcfs import vault --to roles"));
    assert!(code == 5 && said.contains("deploy cannot be written: it is there with another content"), "{code} {said}");
    assert!(!daemon.beside("roles/alice").exists(), "all or nothing");
    let (code, said) = fails("echo '{\"name\":\"_x\",\"user_id\":\"user-1\"}' | $T import vault");
    assert!(code == 5 && said.contains("--rename '_x=x'"), "{code} {said}");
    daemon.sh("echo '{\"name\":\"_x\",\"user_id\":\"user-1\"}' | $T import vault --rename _x=x");
    let (code, said) = fails("echo nonsense | $T import vault");
    assert!(code == 5 && said.contains("not JSON"), "{code} {said}");
    assert_eq!(fails("echo '{}' | $T import vault --rename x").0, 2);
    assert_eq!(fails("echo '{}' | $T import vault --rename x=Y").0, 2);
}
