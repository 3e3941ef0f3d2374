//! The command line of `tfcfs import`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Where definitions come from.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// From Vault's or OpenBao's Terraform secrets engine: what `vault read -format=json` prints, on standard input.
    #[command(
        long_about = "Reads what `vault read -format=json terraform/role/NAME` and `… terraform/config` print: one object, several one \
                      after the other, or an array. Writes settings to standard output ([roles.NAME], [anchors.default]), or one role \
                      document for each role into a directory. What Vault does otherwise, and what cannot be carried over, comes on \
                      standard error with what to do about it. No token is read: Vault does not show them.",
        after_help = "All roles of a mount at terraform/ (needs jq):\n\n  \
                      { vault read -format=json terraform/config\n    \
                      for role in $(vault list -format=json terraform/role | jq -r '.[]'); do\n      \
                      vault read -format=json \"terraform/role/$role\"\n    \
                      done; } | tfcfs import vault > tfcfs.toml\n\n\
                      Exit code 5: something could not be read, or was left out."
    )]
    Vault(VaultArgs),
}

/// What to make of it.
#[derive(Debug, Clone, Args)]
pub struct VaultArgs {
    /// Write one role document for each role into this directory, for the mount's roles/, instead of settings. A file that is
    /// there with another content is not touched: nothing is written then.
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// What the settings shall name as the file of the anchor's token: beside the settings file, unless it is a whole path.
    #[arg(long, value_name = "FILE", default_value = "anchor.token")]
    pub token_file: String,
    /// Another name for a role, several with commas: what Vault allows is not always a name here.
    #[arg(long, value_name = "OLD=NEW", value_delimiter = ',')]
    pub rename: Vec<String>,
}
