//! `tfcfs audit`: from a token to its lines, never back.

use std::io::{self, IsTerminal, Read};

use serde_json::json;
use zeroize::Zeroizing;

use super::{print, state};
use crate::adapters::audit::TokenHmac;
use crate::adapters::sealing_key::{Owners, SealingKeyError};
use crate::adapters::state_directory::StateError;
use crate::app;
use crate::cli::{AuditCommand, StateArgs};
use crate::domain::token::{MAX_TOKEN, Token};
use crate::exit::{ExitCode, Failure};

/// Room for a token and blanks around it. A buffer that never grows leaves no copies behind.
const LARGEST: usize = MAX_TOKEN + 1024;

pub(super) fn run(command: &AuditCommand) -> Result<(), Failure> {
    app::protect_memory();
    match command {
        AuditCommand::Hash(args) => hash(args),
    }
}

fn hash(args: &StateArgs) -> Result<(), Failure> {
    let places = state::places(args)?;
    let found = places.find(Owners::Any).map_err(|error| match error {
        SealingKeyError::Missing { path } => {
            let text = format!("there is no sealing key: {} does not exist", path.display());
            Failure::new(ExitCode::State, text)
                .hint("name the state directory of the daemon with --state, or its key with --sealing-key")
        }
        error => {
            let failure = Failure::from(StateError::from(error));
            failure.hint("run it as root or as the user of the daemon; --state and --sealing-key name another state")
        }
    })?;
    let hmac = TokenHmac::new(&found.key).of(&read_token()?);
    if args.json {
        return print::json(&json!({ "token_hmac": hmac }));
    }
    print::line(&hmac)
}

fn read_token() -> Result<Token, Failure> {
    let usage = |text: String| {
        Failure::new(ExitCode::Usage, text).hint("give one token on standard input: tfcfs audit hash < leaked.token")
    };
    if io::stdin().is_terminal() {
        eprintln!("paste the token, then Enter and Ctrl-D:");
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST + 1));
    let read = io::stdin().lock().take(LARGEST as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| usage(format!("standard input cannot be read: {error}")))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| usage("standard input is not text".into()))?;
    Token::parse(text).map_err(|error| usage(format!("standard input: {error}")))
}
