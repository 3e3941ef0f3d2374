//! `tfcfs exec`: becomes the command. So the kernel passes on signals, exit status, terminal and job control, and nothing can be
//! forgotten or delivered twice (terraform takes a second interrupt for "at once"); the lease is held beside it, see
//! [`super::hold`].

mod environment;
mod program;

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use self::environment::Change;
use super::credential::{self, Credential};
use super::hold;
use super::look::find_mount;
use crate::cli::{ExecArgs, ExecDoor};
use crate::exit::{ExitCode, Failure};

/// Returns only if the command could not be started.
pub(super) fn exec(args: ExecArgs) -> Result<(), Failure> {
    let Some((name, arguments)) = args.command.split_first() else {
        return Err(Failure::new(ExitCode::NotBegun, "there is no command"));
    };
    // Before a token is made for nothing.
    program::find(name)?;
    let mut command = Command::new(name);
    command.args(arguments);
    prepare(&args, &mut command).map_err(|failure| Failure { code: ExitCode::NotBegun, ..failure })?;
    Err(program::failure(name, &command.exec()))
}

/// Everything up to the moment where this process becomes the command.
fn prepare(args: &ExecArgs, command: &mut Command) -> Result<(), Failure> {
    let role = credential::role_name(&args.role)?;
    if let Some(name) = &args.variable {
        environment::check_name(name)?;
    }
    let mount = find_mount(args.mount.as_deref())?;
    // The kernel makes the command dumpable again.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let credential = credential::open(&mount, &role)?;
    let doors = doors(args, &credential, || environment::opens_apart(&mount, &role));
    for change in environment::changes(&credential, &doors, args.variable.as_deref(), std::env::vars_os()) {
        match change {
            Change::Set(name, value) => command.env(name, &*value),
            Change::Remove(name) => command.env_remove(name),
        };
    }
    hold::while_i_live(&credential.file).map_err(|error| {
        let text = format!("the process that holds the lease cannot be started: {error}");
        Failure::new(ExitCode::NotBegun, text).hint("it needs /proc, Linux 5.3 and one process more")
    })
}

fn doors(args: &ExecArgs, credential: &Credential, opens_apart: impl FnOnce() -> bool) -> Vec<ExecDoor> {
    let mut doors = args.door.clone();
    if args.variable.is_some() && !doors.contains(&ExecDoor::Token) {
        doors.push(ExecDoor::Token);
    }
    if !doors.is_empty() {
        return doors;
    }
    doors.push(ExecDoor::Env);
    // No variable can name a host with a port.
    let needed = credential.host.contains(':');
    if needed || !(environment::has_cli_configuration() || opens_apart()) {
        doors.push(ExecDoor::Tfrc);
    }
    doors
}
