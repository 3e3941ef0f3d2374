//! The command line of `tfcfs state`.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};

/// What can be done with a state directory while no daemon runs.
#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// Verify format, key and every record; count what is there. Writes nothing.
    #[command(
        after_help = "Exit code 0: whole. 6: no state there, or it cannot be read. 8: a tfcfs runs on it. 9: damaged, of a \
                            newer tfcfs, or sealed with another key. Works on a copy or a read-only medium too."
    )]
    Check(StateArgs),
    /// Print every record as JSON, without any secret: fit for a support ticket. Writes nothing.
    ///
    /// Names of roles, organizations, teams and addresses are in it; tokens and keys are not, not even in part.
    Export(StateArgs),
    /// Seal the state with a new key.
    #[command(
        after_help = "Stop the daemon first. A crash at any step leaves a state that opens with one of the two keys: the next \
                            start, or a repeat of this command, finds out which, and finishes. Until then the new key is in KEY.new \
                            beside the old one.\n\n\
                            A key in systemd's keeping cannot be replaced by tfcfs: name the new one, then put it there:\n\n  \
                            umask 077; openssl rand -hex 32 > new.key\n  \
                            tfcfs state rekey --new-key new.key"
    )]
    Rekey {
        /// The new key: 32 bytes, or 64 hexadecimal digits, mode 0600; a random one if left out.
        #[arg(long, env = "TFCFS_NEW_KEY", value_name = "FILE")]
        new_key: Option<PathBuf>,
        /// Which state.
        #[command(flatten)]
        state: StateArgs,
    },
}

/// Which state, and which key opens it.
#[derive(Debug, Clone, Args)]
pub struct StateArgs {
    /// State directory; that of the settings file, else /var/lib/tfcfs if left out.
    #[arg(long, env = "TFCFS_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Key that seals it; else that of the settings file, else the credential tfcfs-sealing-key of systemd, else sealing.key
    /// in the state directory.
    #[arg(long, env = "TFCFS_SEALING_KEY", value_name = "FILE")]
    pub sealing_key: Option<PathBuf>,
    /// Settings file; /etc/tfcfs/tfcfs.toml if that exists.
    #[arg(long, env = "TFCFS_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// For programs.
    #[arg(long, env = "TFCFS_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
}
