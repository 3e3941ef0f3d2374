//! One function for each command. The ones that look read files of the mount and nothing else;
//! `exec` and `terraform_credentials` open a credential there and keep it open; `state` works on the state directory while no
//! daemon does.

mod audit;
mod check;
mod credential;
mod doctor;
mod exec;
mod forget;
mod given;
mod guarded;
mod hold;
mod import;
mod log;
mod look;
mod mount;
mod print;
mod service;
mod state;
mod status;
mod supervise;
mod tables;
mod terraform_credentials;

use std::path::PathBuf;

use clap::CommandFactory;

use crate::cli::{Cli, Command};
use crate::exit::{ExitCode, Failure};

/// Runs a command.
///
/// # Errors
/// What kept it from its end, with an exit code.
pub fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Mount(args) => mount::mount(args),
        Command::Supervise(args) => supervise::supervise(args),
        Command::Serve(args) => supervise::serve(args),
        Command::Service { command } => service::run(command),
        Command::Umount { mount_point } => mount::umount(mount_point),
        Command::Status(look) => status::status(&look),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Leases { role, pending: true, look } => tables::pending(&look, role.as_deref()),
        Command::Leases { role, pending: false, look } => tables::leases(&look, role.as_deref()),
        Command::Forget { lease, mount } => forget::forget(&lease, mount.as_deref()),
        Command::Roles(look) => tables::roles(&look),
        Command::Errors(look) => tables::errors(&look),
        Command::Events { follow, look } => tables::events(&look, follow),
        Command::Exec(args) => exec::exec(args),
        Command::Hold { stay } => hold::run(stay).map_err(|error| {
            Failure::new(ExitCode::Internal, format!("this is started by `tfcfs exec` only: {error}"))
        }),
        Command::TerraformCredentials(args) => terraform_credentials::answer(&args),
        Command::Check { files, kind, json } => check::check(&files, kind, json),
        Command::Reaper { pid } => crate::fuse::reaper::run(pid).map_err(|error| {
            Failure::new(ExitCode::Internal, format!("this is started by `tfcfs mount` only: {error}"))
        }),
        Command::State { command } => state::run(&command),
        Command::Import { command } => import::run(&command),
        Command::Audit { command } => audit::run(&command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tfcfs", &mut script);
            print::bytes(&script)
        }
        Command::Man { directory } => man(directory),
    }
}

fn man(directory: Option<PathBuf>) -> Result<(), Failure> {
    let fail = |error| Failure::new(ExitCode::Internal, format!("the manual cannot be written: {error}"));
    match directory {
        Some(directory) => clap_mangen::generate_to(Cli::command(), directory).map_err(fail),
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(fail)?;
            print::bytes(&page)
        }
    }
}
