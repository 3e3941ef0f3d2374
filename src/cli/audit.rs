//! The command line of `tfcfs audit`.

use clap::Subcommand;

use super::StateArgs;

/// What can be done about the audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Read a token from standard input and print its token_hmac, by which its lines are found.
    #[command(
        after_help = "For a token that leaked: which lease was it, and who opened it? Never on the command line, where ps shows \
                            it:\n\n  \
                            grep \"$(tfcfs audit hash < leaked.token)\" /var/log/tfcfs/audit.jsonl\n\n\
                            It needs the sealing key, so run it where the daemon runs, as the same user or root. Exit code 6: no \
                            key there, or it cannot be read. Works while the daemon runs."
    )]
    Hash(StateArgs),
}
