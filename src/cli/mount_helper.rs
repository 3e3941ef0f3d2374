//! The command lines with which mount(8) and mount.fuse3 call the program that mounts.
//!
//! `mount -t tfcfs` runs `mount.tfcfs SOURCE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]`; `mount -t fuse.tfcfs` runs
//! mount.fuse3, and that one `tfcfs SOURCE DIR -o OPTIONS`. Both become `tfcfs mount DIR -o OPTIONS --daemon`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// What every name of the helper begins with.
const HELPER: &str = "mount.";

/// Until the mount answers the log goes where mount(8) writes, which says nothing when all is well.
const QUIET: [&str; 2] = ["--log-level", "warn"];

/// The arguments to parse: those of `mount` when mount(8) or mount.fuse3 calls, `None` when they do not.
pub(super) fn rewritten(given: &[OsString], is_command: impl Fn(&OsStr) -> bool) -> Option<Vec<OsString>> {
    let (program, rest) = given.split_first()?;
    let name = Path::new(program).file_name()?.to_string_lossy().into_owned();
    if name.starts_with(HELPER) {
        return Some(of_mount(rest));
    }
    match rest {
        // A source that is called like a command is that command.
        [source, directory, dash_o, options]
            if dash_o == "-o" && is_absolute(directory) && !is_command(source) && !is_option(source) =>
        {
            let given = [directory.clone(), dash_o.clone(), options.clone()];
            Some(mount(given.into_iter().chain(QUIET.map(OsString::from))))
        }
        _ => None,
    }
}

fn is_absolute(argument: &OsStr) -> bool {
    Path::new(argument).is_absolute()
}

fn is_option(argument: &OsStr) -> bool {
    argument.to_string_lossy().starts_with('-')
}

fn mount(rest: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    ["tfcfs", "mount", "--daemon", "--helper"].map(OsString::from).into_iter().chain(rest).collect()
}

/// mount(8)'s letters, one by one or together; what they mean to us becomes an option of ours.
fn of_mount(rest: &[OsString]) -> Vec<OsString> {
    let mut words = rest.iter();
    let (mut places, mut ours, mut quiet) = (Vec::new(), Vec::new(), true);
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        match text.as_ref() {
            "-o" => ours.extend(["-o".into()].into_iter().chain(words.next().cloned())),
            // Its type is ours whatever it says, and the namespace is mount's own affair.
            "-t" | "-N" => _ = words.next(),
            "--help" | "--version" => ours.push(word.clone()),
            letters if letters.len() > 1 && letters.starts_with('-') => {
                for letter in letters.chars().skip(1) {
                    match letter {
                        'f' => ours.push("--fake".into()),
                        's' => ours.push("--sloppy".into()),
                        'v' => quiet = false,
                        // There is no mtab any more.
                        'n' => {}
                        other => ours.push(format!("-{other}").into()),
                    }
                }
            }
            _ => places.push(word.clone()),
        }
    }
    // The source comes first, and means nothing; a lone word is the directory.
    let directory = if places.len() > 1 { places.into_iter().skip(1).collect() } else { places };
    if quiet {
        ours.extend(QUIET.map(OsString::from));
    }
    mount(directory.into_iter().chain(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Option<Vec<String>> {
        let given: Vec<OsString> = words.iter().map(OsString::from).collect();
        let text = |words: Vec<OsString>| words.into_iter().map(|word| word.into_string().unwrap()).collect();
        rewritten(&given, |word| word == "mount" || word == "doctor").map(text)
    }

    fn is(words: &[&str], rest: &str) {
        let rest = rest.split_whitespace().map(str::to_owned);
        let expected: Vec<String> =
            ["tfcfs", "mount", "--daemon", "--helper"].map(str::to_owned).into_iter().chain(rest).collect();
        assert_eq!(of(words), Some(expected), "{words:?}");
    }

    #[test]
    fn as_mount_calls_its_helper() {
        is(
            &["/sbin/mount.tfcfs", "tfcfs", "/mnt/x", "-o", "rw,allow_other"],
            "/mnt/x -o rw,allow_other --log-level warn",
        );
        is(&["mount.tfcfs", "tfcfs", "/mnt/x", "-f", "-v", "-o", "rw", "-t", "tfcfs.sub"], "/mnt/x --fake -o rw");
        is(&["mount.tfcfs", "tfcfs", "/mnt/x", "-sn", "-N", "/proc/1/ns/mnt"], "/mnt/x --sloppy --log-level warn");
        is(&["mount.fuse.tfcfs", "/mnt/x"], "/mnt/x --log-level warn");
        is(&["mount.tfcfs"], "--log-level warn");
        is(&["mount.tfcfs", "--help"], "--help --log-level warn");
        is(&["mount.tfcfs", "a", "/b", "-z"], "/b -z --log-level warn");
    }

    #[test]
    fn as_mount_fuse3_calls_the_program() {
        is(&["tfcfs", "tfcfs", "/mnt/x", "-o", "rw,dev,suid"], "/mnt/x -o rw,dev,suid --log-level warn");
        is(&["tfcfs", "tfcfs", "/dev/fd/3", "-o", "rw"], "/dev/fd/3 -o rw --log-level warn");
        // `tfcfs#` in an old fstab has no source.
        is(&["tfcfs", "", "/mnt/x", "-o", "rw"], "/mnt/x -o rw --log-level warn");
        for words in [
            &["tfcfs", "mount", "/mnt/x", "-o", "rw"][..],
            &["tfcfs", "doctor", "/mnt/x", "-o", "rw"],
            &["tfcfs", "bogus"],
            &["tfcfs", "bogus", "x", "-o", "rw"],
            &["tfcfs", "--bogus", "/x", "-o", "rw"],
            &["tfcfs", "tfcfs", "/mnt/x", "-o", "rw", "more"],
            &["tfcfs"],
            &[],
        ] {
            assert_eq!(of(words), None, "{words:?}");
        }
    }
}
