//! What the command finds in its environment.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::super::credential::Credential;
use crate::cli::ExecDoor;
use crate::domain::name::RoleName;
use crate::exit::{ExitCode, Failure};
use crate::vfs::env_name;

/// Where terraform reads its CLI configuration.
const CLI_CONFIG: &str = "TF_CLI_CONFIG_FILE";

/// The name of the same before terraform 0.11.
const OLD_CLI_CONFIG: &str = "TERRAFORM_CONFIG";

/// What the tfe provider and HashiCorp's SDKs read.
const BARE: &str = "TFE_TOKEN";

/// What begins a variable that is for one host.
const FOR_HOST: &str = "TF_TOKEN_";

/// One change of the environment.
pub(super) enum Change {
    /// This variable has this value.
    Set(String, Zeroizing<String>),
    /// This one is gone.
    Remove(OsString),
}

/// From the environment `have` to the command's.
pub(super) fn changes(
    credential: &Credential,
    doors: &[ExecDoor],
    variable: Option<&str>,
    have: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    if doors.contains(&ExecDoor::Env) {
        // Of two variables for one host terraform takes the later one, wherever that is.
        let others = have.map(|(name, _)| name).filter(|name| is_for(name, &credential.host));
        changes.extend(others.map(Change::Remove));
        changes.push(Change::Set(env_name(&credential.host), credential.token.clone()));
    }
    if doors.contains(&ExecDoor::Tfrc) {
        let path = credential.path.to_string_lossy().into_owned();
        changes.push(Change::Set(CLI_CONFIG.to_owned(), Zeroizing::new(path)));
    }
    if doors.contains(&ExecDoor::Token) {
        changes.push(Change::Set(variable.unwrap_or(BARE).to_owned(), credential.token.clone()));
    }
    changes
}

/// Whether terraform takes this variable for one of that host, in whatever spelling.
fn is_for(name: &OsString, host: &str) -> bool {
    let name = name.to_string_lossy();
    let encoded = name.strip_prefix(FOR_HOST);
    encoded.is_some_and(|encoded| encoded.replace("__", "-").replace('_', ".").eq_ignore_ascii_case(host))
}

/// Refuses what no environment can hold, and what would change how programs are found or loaded.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    let legal = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if legal && !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()) {
        return Ok(());
    }
    let text = format!("{name:?} is no name of a variable");
    Err(Failure::new(ExitCode::Usage, text).hint("letters, digits and _, and no digit first"))
}

/// Whether this user has a CLI configuration that another one would hide: mirrors, caches, logins.
pub(super) fn has_cli_configuration() -> bool {
    // Some images name a file that nobody has made.
    let is_there = |name| std::env::var_os(name).is_some_and(|file| Path::new(&file).exists());
    is_there(CLI_CONFIG) || is_there(OLD_CLI_CONFIG) || std::env::home_dir().is_some_and(|home| has_it_in(&home))
}

fn has_it_in(home: &Path) -> bool {
    let is_configuration = |path: PathBuf| {
        let name = path.to_string_lossy();
        name.ends_with(".tfrc") || name.ends_with(".tfrc.json")
    };
    let mut more = fs::read_dir(home.join(".terraform.d")).into_iter().flatten().flatten();
    home.join(".terraformrc").exists() || more.any(|entry| is_configuration(entry.path()))
}

/// Whether each open of the role's files makes a token, so that whoever reads one gets another than the held one.
pub(super) fn opens_apart(mount: &Path, role: &RoleName) -> bool {
    let text = fs::read_to_string(mount.join("roles").join(role.as_str())).unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    table.get("share").and_then(toml::Value::as_str) == Some("open")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_host_is_found() {
        let host = "tfe.my-corp.example";
        for name in ["TF_TOKEN_tfe_my__corp_example", "TF_TOKEN_tfe.my-corp.example", "TF_TOKEN_TFE_my__corp.example"] {
            assert!(is_for(&name.into(), host), "{name}");
        }
        for name in ["TF_TOKEN_tfe_my_corp_example", "TF_TOKEN_", "TF_TOKEN", "tfe.my-corp.example", "PATH"] {
            assert!(!is_for(&name.into(), host), "{name}");
        }
    }

    #[test]
    fn a_configuration_is_seen_in_each_of_its_places() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir_all(at(".terraform.d/plugins")).unwrap();
        fs::write(at(".terraform.d/checkpoint_cache"), "").unwrap();
        assert!(!has_it_in(home.path()));
        for name in [".terraformrc", ".terraform.d/x.tfrc", ".terraform.d/credentials.tfrc.json"] {
            fs::write(at(name), "").unwrap();
            assert!(has_it_in(home.path()), "{name}");
            fs::remove_file(at(name)).unwrap();
        }
    }

    #[test]
    fn names_of_variables() {
        for name in ["TFE_TOKEN", "_x", "a1"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "1a", "a=b", "a b", "ä"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
