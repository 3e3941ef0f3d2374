//! Terraform's credentials helper: `get`, `store` and `forget` by its protocol. Errors are a text and a number other than 0;
//! terraform shows the text.

use std::path::Path;

use serde::Serialize;
use zeroize::Zeroizing;

use super::look::find_mount;
use super::{credential, hold, print};
use crate::cli::{HelperArgs, HelperVerb};
use crate::domain::name::RoleName;
use crate::exit::{ExitCode, Failure};

/// What terraform understands as "I have none for this host".
const NONE: &str = "{}";

pub(super) fn answer(args: &HelperArgs) -> Result<(), Failure> {
    match &args.verb {
        HelperVerb::Get { host } => get(args, host),
        HelperVerb::Store { host } => {
            // Terraform writes it all before it looks at the answer.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            let text = format!("a token for {host} is not stored: tfcfs makes tokens itself");
            Err(Failure::new(ExitCode::Usage, text).hint("terraform needs no login for this host"))
        }
        HelperVerb::Forget { host } => {
            let text = format!("there is nothing to forget for {host}: the next terraform would get a token again");
            Err(Failure::new(ExitCode::Usage, text).hint(
                "rm MOUNT/leases/ROLE/* revokes the role's tokens; take credentials_helper out of ~/.terraformrc",
            ))
        }
    }
}

fn get(args: &HelperArgs, host: &str) -> Result<(), Failure> {
    let Some(Choice { role, by_host }) = choose(&args.role, host)? else { return print::line(NONE) };
    let mount = find_mount(args.mount.as_deref())?;
    // Terraform asks for public registries, too: no token is made for them.
    if !by_host && !is_upstream(&mount, host) {
        return print::line(NONE);
    }
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let credential = credential::open(&mount, &role)?;
    if !same_host(&credential.host, host) {
        if by_host {
            let text = format!("the role {role} has tokens for {}, not for {host}", credential.host);
            return Err(Failure::new(ExitCode::Usage, text).hint("correct args of credentials_helper"));
        }
        return print::line(NONE);
    }
    // Terraform keeps the answer in memory until it ends.
    hold::while_my_parent_lives(&credential.file).map_err(|error| {
        Failure::new(ExitCode::Internal, format!("the process that holds the lease cannot be started: {error}"))
    })?;
    // A quoted token is no longer than this; no copy of it is left behind.
    let mut text = Zeroizing::new(Vec::with_capacity(64 + 6 * credential.token.len()));
    serde_json::to_writer(&mut *text, &Answer { token: &credential.token })
        .map_err(|error| Failure::new(ExitCode::Internal, error.to_string()))?;
    text.push(b'\n');
    print::bytes(&text)
}

/// What terraform reads.
#[derive(Serialize)]
struct Answer<'a> {
    token: &'a str,
}

/// The role for a host.
struct Choice {
    role: RoleName,
    /// Named together with the host.
    by_host: bool,
}

/// One that is named with the host goes before one that is named alone.
fn choose(roles: &[String], host: &str) -> Result<Option<Choice>, Failure> {
    let mut general = None;
    for text in roles {
        match text.split_once('=') {
            Some((of, role)) => {
                let role = credential::role_name(role)?;
                if same_host(of, host) {
                    return Ok(Some(Choice { role, by_host: true }));
                }
            }
            None if general.is_some() => {
                return Err(Failure::new(ExitCode::Usage, "two roles for every host")
                    .hint("name hosts: --role HOST=ROLE, once for each host"));
            }
            None => general = Some(Choice { role: credential::role_name(text)?, by_host: false }),
        }
    }
    Ok(general)
}

/// Whether an anchor is of that host, as `status` says it; true if that cannot be told.
fn is_upstream(mount: &Path, host: &str) -> bool {
    let Ok(status) = std::fs::read_to_string(mount.join("status")) else { return true };
    let table: toml::Table = status.parse().unwrap_or_default();
    let Some(upstreams) = table.get("upstream").and_then(toml::Value::as_table) else { return true };
    let mut addresses = upstreams.values().filter_map(|upstream| upstream.get("address")?.as_str());
    addresses.any(|address| address.split_once("://").is_some_and(|(_, authority)| same_host(authority, host)))
}

fn same_host(one: &str, other: &str) -> bool {
    let plain = |host: &str| host.trim_end_matches('/').trim_end_matches(":443").to_ascii_lowercase();
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(roles: &[&str], host: &str) -> Option<String> {
        let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
        choose(&roles, host).unwrap().map(|choice| choice.role.as_str().to_owned())
    }

    #[test]
    fn a_host_has_its_role() {
        let roles = ["tfe.example=one", "app", "TFE.example:8443=two"];
        assert_eq!(chosen(&roles, "tfe.example").as_deref(), Some("one"));
        assert_eq!(chosen(&roles, "tfe.example:443").as_deref(), Some("one"));
        assert_eq!(chosen(&roles, "tfe.example:8443").as_deref(), Some("two"));
        assert_eq!(chosen(&roles, "app.terraform.io").as_deref(), Some("app"));
        assert_eq!(chosen(&roles[..1], "app.terraform.io"), None);
        assert!(choose(&["a".into(), "b".into()], "x").is_err());
        assert!(choose(&["../a".into()], "x").is_err());
    }
}
