//! `tfcfs state`: a state directory without a daemon.

mod check;
mod export;
mod rekey;

use crate::adapters::sealing_key::SealingKeySettings;
use crate::app;
use crate::cli::{StateArgs, StateCommand};
use crate::config::{Settings, default_file};
use crate::exit::{ExitCode, Failure};

pub(super) fn run(command: &StateCommand) -> Result<(), Failure> {
    match command {
        StateCommand::Check(args) => check::check(&places(args)?, args.json),
        StateCommand::Export(args) => export::export(&places(args)?),
        StateCommand::Rekey { new_key, state } => rekey::rekey(&places(state)?, new_key.as_deref(), state.json),
    }
}

/// Where the daemon would look for state and key. The machine's own settings file is not asked for what flags say: it may
/// name tokens that only the daemon can read.
fn places(args: &StateArgs) -> Result<SealingKeySettings, Failure> {
    let named_whole = args.state.is_some() && args.sealing_key.is_some();
    let file = args.config.clone().or_else(|| default_file().filter(|_| !named_whole));
    let mut settings = match file {
        Some(file) => Settings::load(&file).map_err(|error| Failure::new(ExitCode::Settings, error.to_string()))?,
        None => Settings::default(),
    };
    settings.state = args.state.clone().or(settings.state);
    settings.sealing_key_file = args.sealing_key.clone().or(settings.sealing_key_file);
    Ok(app::key_settings(&settings))
}
