//! Readers that must not notice what becomes of the process that serves them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Programs that read all the time, in as many ways.
pub struct Load {
    over: Arc<AtomicBool>,
    readers: Vec<(&'static str, JoinHandle<Reads>)>,
}

/// What one of them has to tell.
#[derive(Default)]
struct Reads {
    wrong: Vec<String>,
    count: u64,
    longest: Duration,
}

impl Load {
    /// On a mount with the roles "app" and "each", whose every open is its own; `is_issued` knows every token that was made.
    pub fn start(mount: &Path, is_issued: impl Fn(&str) -> bool + Send + 'static) -> Self {
        let at = |path: &str| mount.join(path);
        let over = Arc::new(AtomicBool::new(false));
        let mut load = Self { over, readers: Vec::new() };
        let token = at("creds/app/token");
        let expected = fs::read_to_string(&token).unwrap();
        let held = File::open(&token).unwrap();
        let same =
            move |found: &str, expected: &str| if found == expected { Ok(()) } else { Err(format!("{found:?}")) };
        {
            let (token, expected) = (token.clone(), expected.clone());
            load.add("open", move || same(&fs::read_to_string(&token).map_err(|e| e.to_string())?, &expected));
        }
        {
            let expected = expected.clone();
            load.add("held", move || {
                let mut bytes = [0; 256];
                let size = held.read_at(&mut bytes, 0).map_err(|e| e.to_string())?;
                same(std::str::from_utf8(&bytes[..size]).unwrap(), &expected)
            });
        }
        let unshared = at("creds/each/token");
        load.add("unshared", move || {
            let found = fs::read_to_string(&unshared).map_err(|e| e.to_string())?;
            if is_issued(&found) { Ok(()) } else { Err(format!("{found:?} was never issued")) }
        });
        let dir = at("creds/app");
        load.add("list", move || {
            let count = fs::read_dir(&dir).map_err(|e| e.to_string())?.count();
            if count == 4 { Ok(()) } else { Err(format!("{count} names")) }
        });
        let status = at("status");
        load.add("status", move || {
            let text = fs::read_to_string(&status).map_err(|e| e.to_string())?;
            if text.contains("version") { Ok(()) } else { Err(format!("{text:?}")) }
        });
        load.add("stat", move || {
            let size = fs::metadata(&token).map_err(|e| e.to_string())?.len();
            if size == expected.len() as u64 { Ok(()) } else { Err(format!("{size} bytes")) }
        });
        load
    }

    fn add(&mut self, name: &'static str, mut read: impl FnMut() -> Result<(), String> + Send + 'static) {
        let over = self.over.clone();
        let reader = std::thread::spawn(move || {
            let mut reads = Reads::default();
            while !over.load(Ordering::Relaxed) {
                let start = Instant::now();
                if let Err(what) = read() {
                    reads.wrong.push(what);
                }
                reads.count += 1;
                reads.longest = reads.longest.max(start.elapsed());
            }
            reads
        });
        self.readers.push((name, reader));
    }

    /// Ends it; nothing may have gone wrong. Returns the longest read.
    pub fn end(self, log: impl Fn() -> String) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        let mut longest = Duration::ZERO;
        for (name, reader) in self.readers {
            let Reads { wrong, count, longest: stall } = reader.join().unwrap();
            println!("{name}: {count} reads, the longest took {stall:?}");
            let few: Vec<_> = wrong.iter().take(3).collect();
            assert!(wrong.is_empty() && count > 0, "{name}: {} of {count}: {few:?}\n{}", wrong.len(), log());
            longest = longest.max(stall);
        }
        longest
    }
}
