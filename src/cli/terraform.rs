//! The command line of what feeds Terraform: `tfcfs exec` and `tfcfs terraform-credentials`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What every name of the helper begins with: terraform starts it as `terraform-credentials-NAME`.
const HELPER: &str = "terraform-credentials-";

/// The subcommand that is meant when the program is called by such a name.
const HELPER_COMMAND: &str = "terraform-credentials";

/// In which form the command of `exec` gets its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExecDoor {
    /// TF_TOKEN_HOST, which terraform reads since 1.2.
    Env,
    /// TF_CLI_CONFIG_FILE, the path of creds/ROLE/terraform.tfrc.json: every terraform, and the tfe provider.
    Tfrc,
    /// The bare token in a variable, TFE_TOKEN if --variable names no other: the tfe provider, SDKs, scripts.
    Token,
}

/// How to run a command with a token.
#[derive(Debug, Clone, Args)]
pub struct ExecArgs {
    /// Whose token.
    pub role: String,
    /// In which form the command gets it, or several, with commas. If left out: env, and tfrc as well unless that would hide a
    /// CLI configuration of yours or the role gives each open a token of its own.
    #[arg(long, env = "TFCFS_DOOR", value_enum, value_delimiter = ',', value_name = "DOOR")]
    pub door: Vec<ExecDoor>,
    /// The variable of --door token, which this implies.
    #[arg(long, env = "TFCFS_VARIABLE", value_name = "NAME")]
    pub variable: Option<String>,
    /// The mount; the only tfcfs mount of this machine if left out.
    #[arg(long, env = "TFCFS_MOUNTPOINT", value_name = "DIR")]
    pub mount: Option<PathBuf>,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// How to answer terraform.
#[derive(Debug, Clone, Args)]
pub struct HelperArgs {
    /// The role that answers for its own host; HOST=ROLE for one host only. Several, repeated or with commas.
    #[arg(long, env = "TFCFS_ROLE", required = true, value_delimiter = ',', value_name = "[HOST=]ROLE")]
    pub role: Vec<String>,
    /// The mount; the only tfcfs mount of this machine if left out.
    #[arg(long, env = "TFCFS_MOUNTPOINT", value_name = "DIR")]
    pub mount: Option<PathBuf>,
    /// What terraform wants.
    #[command(subcommand)]
    pub verb: HelperVerb,
}

/// The verbs of terraform's protocol.
#[derive(Debug, Clone, Subcommand)]
pub enum HelperVerb {
    /// Print {"token": …} for a host, or {} if the role's token is not for it.
    Get {
        /// As terraform writes it: punycode, with a port if that is not 443.
        host: String,
    },
    /// Refused: tfcfs makes the tokens itself (terraform login).
    Store {
        /// The host.
        host: String,
    },
    /// Refused: there is nothing stored; remove the lease to revoke a token (terraform logout).
    Forget {
        /// The host.
        host: String,
    },
}

/// The arguments to parse: those of `terraform-credentials-NAME …` are those of `tfcfs terraform-credentials …`.
pub(super) fn arguments(given: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut given: Vec<OsString> = given.into_iter().collect();
    let name = given.first().and_then(|program| std::path::Path::new(program).file_name());
    if name.is_some_and(|name| name.to_string_lossy().starts_with(HELPER)) {
        given.splice(..1, ["tfcfs".into(), HELPER_COMMAND.into()]);
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_helper_is_the_same_program_by_another_name() {
        let given = |words: &[&str]| arguments(words.iter().map(OsString::from));
        let helper: Vec<OsString> =
            ["tfcfs", "terraform-credentials", "--role", "app", "get", "host"].iter().map(OsString::from).collect();
        for name in ["terraform-credentials-tfcfs", "/x/plugins/terraform-credentials-tfcfs_v0.1.0"] {
            assert_eq!(given(&[name, "--role", "app", "get", "host"]), helper, "{name}");
        }
        for name in ["tfcfs", "/usr/bin/tfcfs", "terraform-credentials-x/tfcfs"] {
            assert_eq!(given(&[name, "status"]), [OsString::from(name), "status".into()], "{name}");
        }
        assert!(given(&[]).is_empty());
    }
}
