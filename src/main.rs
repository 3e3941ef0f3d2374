//! The program: parse, start logging, run, turn the error into an exit code.

use std::process::ExitCode;

use clap::Parser;
use tfcfs::cli::Cli;
use tfcfs::commands;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(u8::try_from(failure.code as i32).unwrap_or(1))
        }
    }
}
