//! A real terraform 1.0 against the fake upstream over TLS, by each of the ways that this version knows: its requests arrive
//! with a living token of the role.

use std::fs;
use std::process::{Command, Output};

use super::support::{Daemon, Site, eventually};
use super::terraform_program::terraform;
use crate::fake::{ACME, FakeOptions, Logged, Mode, Owner, Route};

/// What a module costs, and what a backend.
const MODULE: [Route; 2] = [Route::ModuleVersions, Route::ModuleDownload];
const BACKEND: [Route; 3] = [Route::EntitlementSet, Route::ShowWorkspace, Route::CurrentStateVersion];

/// A daemon whose upstream speaks TLS, with a role "app" whose token dies at the last close, a folder `module` and a folder
/// `backend` for terraform, and an empty home.
fn daemon() -> Daemon {
    // HCP names a server for versions that is not in this machine.
    let site = Site::with(FakeOptions { tls: true, mode: Mode::Tfe(2, 1), rate: 0, ..FakeOptions::default() });
    fs::write(site.beside("ca.pem"), site.fake.ca_pem().unwrap()).unwrap();
    site.settings(&format!("ca_file = {:?}\n", site.beside("ca.pem")));
    let host = site.fake.address();
    for folder in ["home", "module", "backend"] {
        fs::create_dir(site.beside(folder)).unwrap();
    }
    let module = format!("module \"m\" {{\n  source = \"{host}/{ACME}/hello/null\"\n  version = \"1.0.0\"\n}}\n");
    fs::write(site.beside("module/main.tf"), module).unwrap();
    let workspaces = "workspaces {\n      name = \"app\"\n    }";
    let place = format!("hostname = \"{host}\"\n    organization = \"{ACME}\"\n    {workspaces}");
    let backend = format!("terraform {{\n  backend \"remote\" {{\n    {place}\n  }}\n}}\n");
    fs::write(site.beside("backend/main.tf"), backend).unwrap();
    let daemon = Daemon::ready_on(site);
    daemon.write("roles/app", &daemon.team_role("on_close = \"revoke\""));
    daemon.fake.clear_requests();
    daemon
}

/// Runs bash in a folder as a user without any configuration; `$TF` is terraform.
fn script(daemon: &Daemon, folder: &str, text: &str) -> Output {
    let mut command: Command = daemon.program("bash", &["-c", text]);
    let inherited = std::env::vars_os().map(|(name, _)| name);
    for name in inherited.filter(|name| name.to_string_lossy().starts_with("TF_")) {
        command.env_remove(name);
    }
    command.current_dir(daemon.beside(folder)).env("TF", terraform()).env("HOME", daemon.beside("home"));
    command.env("SSL_CERT_FILE", daemon.beside("ca.pem")).env("CHECKPOINT_DISABLE", "1");
    command.output().unwrap()
}

/// Every request of `routes` must have come, from the role's team and with a token that worked. Returns the tokens' ids.
#[track_caller]
fn arrived(daemon: &Daemon, routes: &[Route], output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("successfully initialized"), "{text}\n{}", daemon.log());
    let team = Owner::Team(daemon.fake.team_id(ACME, "deploy"));
    let requests = daemon.fake.requests();
    let mut ids = Vec::new();
    for route in routes {
        let of_route: Vec<&Logged> = requests.iter().filter(|logged| logged.route == Some(*route)).collect();
        assert!(!of_route.is_empty(), "{route:?} never came: {requests:?}");
        for logged in of_route {
            assert_eq!((logged.owner.as_ref(), logged.status != Some(401)), (Some(&team), true), "{logged:?}");
            ids.extend(logged.token_id.clone());
        }
    }
    daemon.fake.clear_requests();
    ids.sort();
    ids.dedup();
    ids
}

#[track_caller]
fn all_ended(daemon: &Daemon) {
    eventually("every token is dead", || daemon.made().is_empty() && daemon.lease("app").is_empty());
}

#[test]
fn without_a_token_terraform_is_refused() {
    let daemon = daemon();
    let output = script(&daemon, "module", "$TF init -no-color");
    assert!(!output.status.success());
    let requests = daemon.fake.requests();
    assert!(requests.iter().any(|logged| logged.route == Some(Route::ModuleVersions) && logged.status == Some(401)));
}

#[test]
fn by_exec() {
    let daemon = daemon();
    for (folder, routes) in [("module", &MODULE[..]), ("backend", &BACKEND[..])] {
        let output = script(&daemon, folder, "$T exec app -- $TF init -no-color");
        let tokens = arrived(&daemon, routes, &output);
        assert_eq!(tokens.len(), 1, "one token for the whole run: {tokens:?}");
        all_ended(&daemon);
        assert!(!daemon.fake.token(&tokens[0]).unwrap().alive);
    }
}

#[test]
fn by_the_file_in_the_mount() {
    let daemon = daemon();
    // It is read at once and closed: a role for this way lingers.
    daemon.write("roles/app", &daemon.team_role("ttl = \"10m\""));
    for (folder, routes) in [("module", &MODULE[..]), ("backend", &BACKEND[..])] {
        let by = "TF_CLI_CONFIG_FILE=$M/creds/app/terraform.tfrc.json";
        arrived(&daemon, routes, &script(&daemon, folder, &format!("{by} $TF init -no-color")));
    }
    assert_eq!(daemon.made().len(), 1);
    // Or among the files of ~/.terraform.d.
    daemon.sh("mkdir -p home/.terraform.d; ln -s $M/creds/app/terraform.tfrc.json home/.terraform.d/tfcfs.tfrc.json");
    daemon.sh("rm -r module/.terraform");
    arrived(&daemon, &MODULE, &script(&daemon, "module", "$TF init -no-color"));
}

#[test]
fn by_the_credentials_helper() {
    let daemon = daemon();
    // As the help says it.
    daemon.sh("mkdir -p home/.terraform.d/plugins; ln -s $T home/.terraform.d/plugins/terraform-credentials-tfcfs");
    let helper = "credentials_helper \"tfcfs\" {\n  args = [\"--role\", \"app\"]\n}\n";
    fs::write(daemon.beside("home/.terraformrc"), helper).unwrap();
    for (folder, routes) in [("module", &MODULE[..]), ("backend", &BACKEND[..])] {
        arrived(&daemon, routes, &script(&daemon, folder, "$TF init -no-color"));
        all_ended(&daemon);
    }
    let output = script(&daemon, "module", &format!("$TF logout -no-color {}", daemon.fake.address()));
    let words = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(!output.status.success() && words.contains("nothing to forget for"), "{words}");
}

#[test]
fn the_variable_is_what_later_versions_read() {
    let daemon = daemon();
    daemon.write("roles/app", &daemon.team_role("ttl = \"10m\""));
    let output = script(&daemon, "module", "set -a; . $M/creds/app/env; env | grep ^TF_TOKEN_; $TF init -no-color");
    let text = String::from_utf8_lossy(&output.stdout);
    let (name, token) = text.lines().next().unwrap().split_once('=').unwrap();
    let host = daemon.fake.address().to_string().replace(['.', ':'], "_");
    assert_eq!(name, format!("TF_TOKEN_{host}"));
    assert!(daemon.fake.is_live(token));
    assert!(!output.status.success(), "1.0 does not know it");
}
