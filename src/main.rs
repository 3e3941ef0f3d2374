//! The program: parse, start logging, run, turn the error into an exit code.

use std::process::ExitCode;

use clap::Parser;
use tfcfs::adapters::name_service;
use tfcfs::cli::{self, Cli};
use tfcfs::commands;
use tfcfs::exit;

fn main() -> ExitCode {
    name_service::keep_to_files_and_dns();
    let arguments = cli::arguments(std::env::args_os());
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        // Its other numbers are the command's.
        Err(error) if error.use_stderr() && arguments.get(1).is_some_and(|command| command == "exec") => {
            let _ = error.print();
            return number(exit::ExitCode::NotBegun);
        }
        Err(error) => error.exit(),
    };
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            number(failure.code)
        }
    }
}

fn number(code: exit::ExitCode) -> ExitCode {
    ExitCode::from(u8::try_from(code as i32).unwrap_or(1))
}
