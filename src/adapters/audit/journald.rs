//! The trail in systemd's journal.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::error::AuditError;
use super::sink::{Sink, Written};
use crate::adapters::journal::{Entry, Journal, Priority};

pub use crate::adapters::journal::SOCKET;

/// A journal that takes no datagram for that long misses it.
const PATIENCE: Duration = Duration::from_millis(500);

/// `authpriv`: not for everybody's eyes.
const FACILITY: u8 = 10;

/// The trail's way to the journal.
pub struct Journald(Journal);

impl Journald {
    /// Finds out whether somebody listens.
    ///
    /// # Errors
    /// [`AuditError::NoJournal`].
    pub fn connect(path: &Path) -> Result<Self, AuditError> {
        let no_journal = |error| AuditError::NoJournal { socket: path.to_owned(), error };
        Journal::connect(path, PATIENCE).map(Self).map_err(no_journal)
    }

    fn send(&self, line: &str) -> io::Result<()> {
        self.0.send(&entry(line))
    }
}

impl Sink for Journald {
    fn name(&self) -> &'static str {
        "journald"
    }

    fn place(&self) -> &Path {
        self.0.path()
    }

    fn write(&mut self, lines: &[&str]) -> Written {
        for (whole, line) in lines.iter().enumerate() {
            if let Err(error) = self.send(line) {
                return Written { whole, error: Some(error) };
            }
        }
        Written::all(lines)
    }
}

/// The whole line as `MESSAGE`, and each of its values as a field to search by: `TFCFS_ROLE=deploy`.
fn entry(line: &str) -> Entry {
    let mut entry = Entry::new(Priority::Notice, line).facility(FACILITY);
    if let Ok(Value::Object(values)) = serde_json::from_str(line) {
        for (key, value) in values {
            match value {
                Value::Null => {}
                Value::String(text) => entry.field(&key, &text),
                other => entry.field(&key, &other.to_string()),
            }
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_journal_that_is_not_there_is_told_at_the_start_and_one_that_restarts_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let missing = Journald::connect(&path).err().unwrap().to_string();
        assert!(missing.contains("is systemd-journald running?"), "{missing}");
        let journal = UnixDatagram::bind(&path).unwrap();
        let mut sink = Journald::connect(&path).unwrap();
        let mut buffer = [0; 4096];
        assert_eq!(sink.write(&[r#"{"event":"open","uid":7,"unit":null}"#, "{}"]).whole, 2);
        let length = journal.recv(&mut buffer).unwrap();
        let text = str::from_utf8(&buffer[..length]).unwrap();
        assert!(text.ends_with("\nSYSLOG_FACILITY=10\nTFCFS_EVENT=open\nTFCFS_UID=7\n"), "{text}");
        drop(journal);
        std::fs::remove_file(&path).unwrap();
        let written = sink.write(&["{}"]);
        assert!(written.whole == 0 && written.error.is_some());
        let _journal = UnixDatagram::bind(&path).unwrap();
        assert_eq!(sink.write(&["{}"]).whole, 1);
    }

    #[test]
    fn a_journal_that_stands_still_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let _journal = UnixDatagram::bind(&path).unwrap();
        let mut sink = Journald::connect(&path).unwrap();
        let lines = vec!["{}"; 10_000];
        let start = std::time::Instant::now();
        let written = sink.write(&lines);
        assert!(written.whole < lines.len() && written.error.is_some());
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}
