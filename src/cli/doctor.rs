//! The command line of `tfcfs doctor`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::{LogFormat, MountArgs};

/// The mount that somebody wants, as for `tfcfs mount`.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Where to mount; the only tfcfs mount of this machine if left out, else no place is looked at.
    #[arg(env = "TFCFS_MOUNTPOINT")]
    pub mount_point: Option<PathBuf>,
    /// Settings file; /etc/tfcfs/tfcfs.toml if that exists.
    #[arg(long, env = "TFCFS_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// State directory; that of the settings file, else /var/lib/tfcfs if left out.
    #[arg(long, env = "TFCFS_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Key that seals the state.
    #[arg(long, env = "TFCFS_SEALING_KEY", value_name = "FILE")]
    pub sealing_key: Option<PathBuf>,
    /// Nothing shall be kept on disk.
    #[arg(long, env = "TFCFS_EPHEMERAL", value_parser = FalseyValueParser::new())]
    pub ephemeral: bool,
    /// Other users shall come in.
    #[arg(long, env = "TFCFS_ALLOW_OTHER", value_parser = FalseyValueParser::new())]
    pub allow_other: bool,
    /// Options as mount(8) gives them.
    #[arg(short = 'o', value_name = "OPTIONS", env = "TFCFS_OPTIONS", value_delimiter = ',')]
    pub options: Vec<String>,
    /// For programs.
    #[arg(long, env = "TFCFS_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
}

impl DoctorArgs {
    /// The same as arguments of `mount`.
    pub fn as_mount(self) -> MountArgs {
        MountArgs {
            make_mount_point: None,
            mount_point: self.mount_point.unwrap_or_default(),
            config: self.config,
            state: self.state,
            sealing_key: self.sealing_key,
            ephemeral: self.ephemeral,
            allow_other: self.allow_other,
            options: self.options,
            daemon: false,
            log_format: LogFormat::Text,
            log_level: String::new(),
            helper: false,
            sloppy: false,
            fake: false,
            run_as: None,
        }
    }
}
