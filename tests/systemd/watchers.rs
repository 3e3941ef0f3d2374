//! Programs that watch a token of the service, which has no right to write it: they are told of another one, over restarts as well.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::site::{MOUNT, Site, suites};

/// Changes are told within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// A program that says "ready", and then something for each change.
struct Watcher {
    name: &'static str,
    child: Child,
    lines: Receiver<String>,
}

impl Watcher {
    fn start(name: &'static str, command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (said, lines) = channel();
        for output in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn std::io::Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let said = said.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = said.send(line);
                }
            });
        }
        let watcher = Self { name, child, lines };
        let mut before = Vec::new();
        while !before.last().is_some_and(|line: &String| line.contains("ready") || line.contains("established")) {
            before.push(watcher.line().unwrap_or_else(|| panic!("{name}: {before:?}")));
        }
        watcher
    }

    fn line(&self) -> Option<String> {
        self.lines.recv_timeout(PATIENCE).ok()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_watcher_is_told_of_another_token() {
    for &suite in suites() {
        let site = Site::running(suite);
        site.read("creds/app/token");
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix/programs");
        let (dir, file) = (site.mounted("creds/app"), site.mounted("creds/app/token"));
        let inotify = |path: &Path| {
            let mut command = Command::new("inotifywait");
            command.args(["-m", "-e", "modify", "-e", "close_write", "-e", "delete_self", "--format", "%e"]).arg(path);
            command
        };
        let mut directory = [
            Watcher::start("directory: inotifywait", &mut inotify(&dir)),
            Watcher::start(
                "directory: Node fs.watch",
                Command::new("node").arg(programs.join("watcher.js")).args([&dir, Path::new("token")]),
            ),
            Watcher::start(
                "directory: Python watchdog",
                Command::new("/usr/bin/python3")
                    .arg(programs.join("watcher.py"))
                    .arg("watchdog")
                    .args([&dir, Path::new("token")]),
            ),
        ];
        for round in 0..3 {
            // The file of now: each token is a file of its own.
            let of_file = [
                Watcher::start("file: inotifywait", &mut inotify(&file)),
                Watcher::start("file: Node fs.watch", Command::new("node").arg(programs.join("watcher.js")).arg(&file)),
            ];
            if round == 1 {
                site.sh("systemctl restart tfcfs");
            }
            site.sh(&format!("sleep 1.1; echo >{MOUNT}/rotate/app"));
            for watcher in directory.iter_mut().chain(&mut of_file.into_iter().collect::<Vec<_>>()) {
                let first =
                    watcher.line().unwrap_or_else(|| panic!("{} in round {round}\n{}", watcher.name, site.journal()));
                let mut seen = vec![first];
                while let Ok(more) = watcher.lines.recv_timeout(Duration::from_millis(200)) {
                    seen.push(more);
                }
                println!("{suite:?}, {round}, {}: {}", watcher.name, seen.join(" "));
            }
            site.read("creds/app/token");
        }
    }
}
