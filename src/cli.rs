//! The command line.

mod audit;
mod doctor;
mod import;
mod mount_helper;
mod mount_options;
mod service;
mod state;
mod terraform;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use self::audit::AuditCommand;
pub use self::doctor::DoctorArgs;
pub use self::import::{ImportCommand, VaultArgs};
pub use self::service::ServiceCommand;
pub use self::state::{StateArgs, StateCommand};
pub use self::terraform::{ExecArgs, ExecDoor, HelperArgs, HelperVerb};
use crate::exit::ExitCode;

/// The program.
#[derive(Debug, Parser)]
#[command(
    name = "tfcfs",
    version,
    about = "HCP Terraform and Terraform Enterprise API tokens as files",
    long_about = "Mounts a filesystem in which API tokens of HCP Terraform and Terraform Enterprise are files: a token is made \
                  when its file is opened and ends after the last close. The commands that look (status, leases, roles, errors, \
                  events) read the mount itself; state works on the state directory of a tfcfs that does not run.",
    after_help = exit_codes()
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Mount and serve, in the foreground.
    #[command(after_help = "Flags win over the settings file. A first mount:\n\n  \
                            mkdir -p /mnt/tfc && tfcfs mount /mnt/tfc --daemon\n  \
                            cat /mnt/tfc/README")]
    Mount(MountArgs),
    /// Mount and serve, and keep the mount when what serves it dies: for containers, and where there is no systemd.
    #[command(
        long_about = "Mounts, starts a process that serves the mount, and starts another one when that one dies or hangs: open \
                      files and their leases go on, and readers wait for the moment it takes. A stop unmounts. Needs Linux 6.9; \
                      on an older kernel the mount goes with the process that serves it, as with tfcfs mount.",
        after_help = "As the first process of a container:\n\n  \
                      tfcfs supervise /mnt/tfc --allow-other"
    )]
    Supervise(MountArgs),
    /// Serve a mount that another process keeps; started by `supervise` and `service`.
    #[command(hide = true)]
    Serve(MountArgs),
    /// The parts of the systemd unit: mount, serve, heal, unmount.
    Service {
        /// Which part.
        #[command(subcommand)]
        command: ServiceCommand,
    },
    /// Unmount; the daemon then stops and revokes what policy says.
    Umount {
        /// Where; the only tfcfs mount if left out.
        #[arg(env = "TFCFS_MOUNTPOINT")]
        mount_point: Option<PathBuf>,
    },
    /// Show what an operator wants to know first.
    Status(LookArgs),
    /// Find what would stop a mount here, and the way out.
    #[command(
        long_about = "Looks at everything that a mount needs, here and upstream, and says for each thing whether it is in order; if \
                      not, why, and what to do. Nothing is made, changed or deleted; upstream is only asked (GET). Run it as the user \
                      who runs tfcfs, with the options that tfcfs mount gets. It ends within a minute, whatever hangs.",
        after_help = "Exit code 0: nothing stops a mount (warnings may be there); 11: something does.\n\n  \
                      tfcfs doctor /mnt/tfc --allow-other"
    )]
    Doctor(DoctorArgs),
    /// List live leases.
    #[command(after_help = "Revoke one by removing its file, renew one by writing to it:\n\n  \
                            rm /mnt/tfc/leases/ROLE/LEASE")]
    Leases {
        /// Of this role only.
        role: Option<String>,
        /// What waits for revocation instead: since when, how often tried, when next, and why it waits.
        #[arg(long, env = "TFCFS_PENDING", value_parser = FalseyValueParser::new())]
        pending: bool,
        /// Where and how.
        #[command(flatten)]
        look: LookArgs,
    },
    /// Give up the revocation of a lease that can never be proven; its token may live on.
    #[command(
        long_about = "Gives up a revocation that waits (tfcfs leases --pending). tfcfs then no longer tries to delete the token \
                      upstream, and no longer knows it: if it works, it works until its own end there (max_ttl + 60 s after its \
                      issue), or until somebody deletes it by hand. Do this only when that was seen to, or can never be. Only root \
                      and the owner of the mount may; events and the log keep who did, and the id of the token."
    )]
    Forget {
        /// Its id, as tfcfs leases --pending shows it.
        lease: String,
        /// The mount; the only tfcfs mount of this machine if left out.
        #[arg(long, env = "TFCFS_MOUNTPOINT")]
        mount: Option<PathBuf>,
    },
    /// List roles.
    Roles(LookArgs),
    /// Show the last errors and what to do about them.
    Errors(LookArgs),
    /// Show what happened: issues, rotations, revocations, ends.
    Events {
        /// Wait for more, as tail -f does.
        #[arg(long, short, env = "TFCFS_FOLLOW", value_parser = FalseyValueParser::new())]
        follow: bool,
        /// Where and how.
        #[command(flatten)]
        look: LookArgs,
    },
    /// Run a command with a token that lives exactly as long as the command.
    #[command(
        long_about = "Opens a credential of the role, puts its token into the environment and becomes the command: it has this \
                      process, so signals, exit status, terminal and standard input are its own. A small second process keeps \
                      the lease held until the command ends, however it does; what it leaves running in the background is not \
                      waited for. The environment of a process can be read by its own user and root, in /proc/PID/environ; the \
                      token is in no argument. A variable keeps the token it was started with: that lives until max_ttl although \
                      the role was rotated, unless it is the only one of its owner (organization, team_legacy) or is revoked. The \
                      file of --door tfrc has the current one at each open.",
        after_help = "Exit status: the command's own; 125 if tfcfs could not begin, 126 if the command cannot be executed, 127 if \
                      there is none.\n\n  \
                      tfcfs exec deploy -- terraform plan\n  \
                      tfcfs exec deploy --variable API_TOKEN -- ./deploy.sh"
    )]
    Exec(ExecArgs),
    /// Keep a lease held until a process ends; started by `exec` and `terraform-credentials`.
    #[command(hide = true)]
    Hold {
        /// The second of its two processes, whom nobody waits for.
        #[arg(long)]
        stay: bool,
    },
    /// Answer terraform as its credentials helper.
    #[command(
        after_help = "Terraform looks for helpers among its plugins, and calls this one by its name there:\n\n  \
                      mkdir -p ~/.terraform.d/plugins\n  \
                      ln -s \"$(command -v tfcfs)\" ~/.terraform.d/plugins/terraform-credentials-tfcfs\n  \
                      cat >> ~/.terraformrc <<'EOF'\n  \
                      credentials_helper \"tfcfs\" {\n    \
                      args = [\"--role\", \"deploy\"]\n  \
                      }\n  \
                      EOF\n\n\
                      The token lives as long as the process that asked, then as the role says."
    )]
    TerraformCredentials(HelperArgs),
    /// Check documents without a mount: roles, config, settings files.
    #[command(
        after_help = "A shell hides what is only found when a file is closed (a missing owner): check first.\n\n  \
                            tfcfs check deploy.toml && cp deploy.toml /mnt/tfc/roles/deploy"
    )]
    Check {
        /// The documents.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// What they are; guessed from their keys if left out.
        #[arg(long, env = "TFCFS_KIND")]
        kind: Option<Kind>,
        /// For programs.
        #[arg(long, env = "TFCFS_JSON", value_parser = FalseyValueParser::new())]
        json: bool,
    },
    /// Check, export or rekey a state directory, without a daemon.
    State {
        /// What to do with it.
        #[command(subcommand)]
        command: StateCommand,
    },
    /// Take over the roles of another program.
    Import {
        /// From where.
        #[command(subcommand)]
        command: ImportCommand,
    },
    /// Find a token in the audit trail.
    Audit {
        /// What to do.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Free everybody when the daemon of a mount is killed; started by `mount` itself.
    #[command(hide = true)]
    Reaper {
        /// The daemon.
        pid: u32,
    },
    /// Print a completion script.
    Completions {
        /// For which shell.
        shell: Shell,
    },
    /// Print the manual page, or write one page for each command into a directory.
    Man {
        /// Where to write them.
        directory: Option<PathBuf>,
    },
}

/// Kinds of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A role.
    Role,
    /// The mount's `config`.
    Config,
    /// The daemon's settings file.
    Settings,
}

/// How to write the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Entries of systemd's journal where the standard error goes there, else text.
    Auto,
    /// For people.
    Text,
    /// For programs.
    Json,
    /// Entries of systemd's journal.
    Journal,
}

/// Where the commands that look find the mount.
#[derive(Debug, Clone, Args)]
pub struct LookArgs {
    /// The mount; the only tfcfs mount of this machine if left out.
    #[arg(long, env = "TFCFS_MOUNTPOINT")]
    pub mount: Option<PathBuf>,
    /// For programs.
    #[arg(long, env = "TFCFS_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
}

/// How to mount.
#[derive(Debug, Clone, Args)]
pub struct MountArgs {
    /// An empty directory.
    #[arg(env = "TFCFS_MOUNTPOINT")]
    pub mount_point: PathBuf,
    /// Settings file; /etc/tfcfs/tfcfs.toml if that exists.
    #[arg(long, env = "TFCFS_CONFIG")]
    pub config: Option<PathBuf>,
    /// State directory: roles, anchors and the ledger of every token, sealed; /var/lib/tfcfs if left out.
    #[arg(long, env = "TFCFS_STATE")]
    pub state: Option<PathBuf>,
    /// Key that seals the state; else the credential tfcfs-sealing-key of systemd, else sealing.key in the state directory,
    /// which the first start makes.
    #[arg(long, env = "TFCFS_SEALING_KEY", value_name = "FILE")]
    pub sealing_key: Option<PathBuf>,
    /// Keep nothing on disk; a stop revokes everything.
    #[arg(long, env = "TFCFS_EPHEMERAL", value_parser = FalseyValueParser::new())]
    pub ephemeral: bool,
    /// Let other users in; modes and owners decide what they may read.
    #[arg(long, env = "TFCFS_ALLOW_OTHER", value_parser = FalseyValueParser::new())]
    pub allow_other: bool,
    /// Options as mount(8) gives them: allow_other, config=FILE, state=DIR, sealing_key=FILE, ephemeral, setuid=USER (mount as
    /// root, then serve as that user), x-mount.mkdir.
    #[arg(short = 'o', value_name = "OPTIONS", env = "TFCFS_OPTIONS", value_delimiter = ',')]
    pub options: Vec<String>,
    /// Return once the mount answers, and serve in the background.
    #[arg(long, env = "TFCFS_DAEMON", value_parser = FalseyValueParser::new())]
    pub daemon: bool,
    /// How to write the log.
    #[arg(long, env = "TFCFS_LOG_FORMAT", value_enum, default_value = "auto")]
    pub log_format: LogFormat,
    /// How much to log: error, warn, info, debug, trace.
    #[arg(long, env = "TFCFS_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// Called by mount(8): its exit codes.
    #[arg(long, hide = true)]
    pub helper: bool,
    /// Unknown options mean nothing (mount -s).
    #[arg(long, hide = true)]
    pub sloppy: bool,
    /// Do nothing (mount -f).
    #[arg(long, hide = true)]
    pub fake: bool,
    /// Whose process serves, if root mounts for somebody else.
    #[arg(skip)]
    pub run_as: Option<String>,
    /// Of `-o x-mount.mkdir=MODE`: make the mount point if it is missing.
    #[arg(skip)]
    pub make_mount_point: Option<u32>,
}

/// The arguments to parse: whoever calls the program by another name, as terraform and mount(8) do, means one of its commands.
pub fn arguments(given: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let given = terraform::arguments(given);
    let is_command = |word: &OsStr| word == "help" || Cli::command().find_subcommand(word).is_some();
    mount_helper::rewritten(&given, is_command).unwrap_or(given)
}

fn exit_codes() -> String {
    let codes = ExitCode::ALL.map(|(code, meaning)| format!("{} {meaning}", code as i32));
    format!("Exit codes: {}.", codes.join(", "))
}
