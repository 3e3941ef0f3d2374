//! Where the log of a daemon goes, and how it looks.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::adapters::journal_log::{self, JournalLog};
use crate::cli::{LogFormat, MountArgs};
use crate::exit::{ExitCode, Failure};

/// Starts the log. To be called once.
pub(super) fn start(args: &MountArgs) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&args.log_level).map_err(|error| {
        Failure::new(ExitCode::Usage, format!("log level: {error}")).hint("error, warn, info, debug or trace")
    })?;
    let lines = || tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let text = || lines().with_ansi(std::io::stderr().is_terminal());
    let log = tracing_subscriber::registry().with(filter);
    let started = match (args.log_format, journal(args.log_format)?) {
        (_, Some(journal)) => log.with(journal).try_init(),
        (LogFormat::Json, None) => log.with(lines().json()).try_init(),
        (_, None) => log.with(text()).try_init(),
    };
    started.map_err(|error| Failure::new(ExitCode::Internal, format!("the log cannot be started: {error}")))
}

/// The journal, where it is wanted: asked for, or found at the standard error's other end.
fn journal(format: LogFormat) -> Result<Option<JournalLog>, Failure> {
    match format {
        LogFormat::Journal => JournalLog::connect().map(Some).map_err(|error| {
            Failure::new(
                ExitCode::Usage,
                format!("log format journal, but systemd's journal cannot be reached: {error}"),
            )
            .hint("is systemd-journald running? Else take text or json")
        }),
        // A journal that takes lines and no entries gets lines.
        LogFormat::Auto if journal_log::is_standard_error() => Ok(JournalLog::connect().ok()),
        LogFormat::Auto | LogFormat::Text | LogFormat::Json => Ok(None),
    }
}
