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
    app::protect_memory();
    let done = match command {
        StateCommand::Check(args) => places(args).and_then(|places| check::check(&places, args.json)),
        StateCommand::Export(args) => places(args).and_then(|places| export::export(&places)),
        StateCommand::Rekey { new_key, state } => {
            places(state).and_then(|places| rekey::rekey(&places, new_key.as_deref(), state.json))
        }
    };
    done.map_err(|failure| match failure {
        // What a mount could do instead is no help here.
        Failure { code: ExitCode::State, hint: None, .. } => {
            failure.hint("tfcfs state --help says which state and key are meant")
        }
        failure => failure,
    })
}

/// Where the daemon would look for state and key. The machine's own settings file is not asked for what flags say: it may
/// name tokens that only the daemon can read.
pub(super) fn places(args: &StateArgs) -> Result<SealingKeySettings, Failure> {
    let named_whole = args.state.is_some() && args.sealing_key.is_some();
    let file = args.config.clone().or_else(|| default_file().filter(|_| !named_whole));
    let mut settings = match file {
        Some(file) => Settings::load_without_credentials(&file)
            .map_err(|error| Failure::new(ExitCode::Settings, error.to_string()))?,
        None => Settings::default(),
    };
    settings.state = args.state.clone().or(settings.state);
    settings.sealing_key_file = args.sealing_key.clone().or(settings.sealing_key_file);
    Ok(app::key_settings(&settings))
}
