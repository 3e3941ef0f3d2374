//! `tfcfs service`: the parts of the systemd unit.

use std::path::PathBuf;

use clap::Subcommand;

use super::MountArgs;

/// What the unit calls.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Mount, unless that is done, and give the connection to systemd to keep (root, ExecStartPre=+).
    Mount(MountArgs),
    /// Serve the mount that systemd keeps (the main process; needs no right at all).
    Serve(MountArgs),
    /// Take away a mount that nobody can serve any more (root, ExecStopPost=+).
    Heal {
        /// Where.
        #[arg(env = "TFCFS_MOUNTPOINT")]
        mount_point: PathBuf,
    },
    /// Unmount, whoever serves it (root, at a stop that is no restart).
    Unmount {
        /// Where.
        #[arg(env = "TFCFS_MOUNTPOINT")]
        mount_point: PathBuf,
    },
}
