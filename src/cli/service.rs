//! `tfcfs service`: the parts of the systemd unit.

use std::path::PathBuf;

use clap::Subcommand;

use super::MountArgs;

/// What the unit calls.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Mount, unless that is done, and give the connection to systemd to keep (root, ExecStartPre=+). The settings file is not read:
    /// other users are always let in, modes and owners decide what they may read.
    Mount(MountArgs),
    /// Serve the mount that systemd keeps (the main process; needs no right at all).
    Serve(MountArgs),
    /// Unmount, if systemd stops the unit and does not restart it (root, ExecStop=+).
    Stop {
        /// Where.
        #[arg(env = "TFCFS_MOUNTPOINT")]
        mount_point: PathBuf,
        /// The unit: %n in it.
        #[arg(long)]
        unit: String,
    },
    /// Take away a mount that nobody can serve any more (root, ExecStopPost=+).
    Heal {
        /// Where.
        #[arg(env = "TFCFS_MOUNTPOINT")]
        mount_point: PathBuf,
    },
    /// Take away what the unit left mounted, at its end (root, the companion unit).
    Unmount {
        /// Where.
        #[arg(env = "TFCFS_MOUNTPOINT")]
        mount_point: PathBuf,
    },
}
