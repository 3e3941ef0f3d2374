//! `tfcfs import`: definitions of others as ours.

mod vault;

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use self::vault::{Imported, Options};
use super::print;
use crate::cli::{ImportCommand, VaultArgs};
use crate::domain::name::RoleName;
use crate::exit::{ExitCode, Failure};

/// More is no list of roles.
const LARGEST: u64 = 16 << 20;

pub(super) fn run(command: &ImportCommand) -> Result<(), Failure> {
    match command {
        ImportCommand::Vault(args) => vault(args),
    }
}

fn vault(args: &VaultArgs) -> Result<(), Failure> {
    let options = Options { token_file: args.token_file.clone(), renames: renames(&args.rename)? };
    let imported = vault::import(&input()?, &options).map_err(|text| {
        let hint =
            "give it what `vault read -format=json terraform/role/NAME` prints; tfcfs import vault --help has a loop";
        Failure::new(ExitCode::Settings, text).hint(hint)
    })?;
    for note in &imported.notes {
        eprintln!("tfcfs: {note}");
    }
    match &args.to {
        Some(directory) => into_directory(&imported, directory)?,
        None => print::bytes(imported.settings.as_bytes())?,
    }
    match imported.left_out {
        0 => Ok(()),
        left => Err(Failure::new(
            ExitCode::Settings,
            format!("{left} could not be carried over (see above); all others were"),
        )
        .hint("--rename OLD=NEW gives a role another name")),
    }
}

fn renames(given: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let one = |text: &String| {
        let (old, new) = text.split_once('=').ok_or_else(|| {
            Failure::new(ExitCode::Usage, "--rename needs OLD=NEW").hint("for instance: --rename _ci=ci")
        })?;
        new.parse::<RoleName>().map_err(|error| {
            Failure::new(ExitCode::Usage, format!("--rename {old}=…: {error}")).hint("choose another name")
        })?;
        Ok((old.to_owned(), new.to_owned()))
    };
    given.iter().map(one).collect()
}

fn input() -> Result<Vec<u8>, Failure> {
    if io::stdin().is_terminal() {
        eprintln!("paste what vault printed, then Ctrl-D:");
    }
    let mut bytes = Vec::new();
    let fail = |text: String| Failure::new(ExitCode::Settings, text);
    let read = io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| fail(format!("standard input cannot be read: {error}")))?;
    if bytes.len() as u64 > LARGEST {
        return Err(fail("standard input is more than 16 MiB: no list of roles".into()));
    }
    Ok(bytes)
}

/// All or nothing: what is in the way is found before the first file is written.
fn into_directory(imported: &Imported, directory: &Path) -> Result<(), Failure> {
    let fail = |path: &Path, error: &dyn std::fmt::Display| {
        Failure::new(ExitCode::Settings, format!("{} cannot be written: {error}", path.display()))
    };
    fs::create_dir_all(directory).map_err(|error| fail(directory, &error).hint("name another directory with --to"))?;
    let mut new = Vec::new();
    for (name, document) in &imported.roles {
        let path = directory.join(name.as_str());
        match fs::read(&path) {
            Ok(there) if there == document.as_bytes() => {}
            Ok(_) => {
                return Err(fail(&path, &"it is there with another content; nothing was written").hint(
                    "compare them, and remove the one that you do not want, or name another directory with --to",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => new.push((path, document)),
            Err(error) => return Err(fail(&path, &error)),
        }
    }
    for (path, document) in &new {
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
        file.and_then(|mut file| file.write_all(document.as_bytes())).map_err(|error| fail(path, &error))?;
    }
    print::line(&format!("{} written, {} already there", new.len(), imported.roles.len() - new.len()))
}
