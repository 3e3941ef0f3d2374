//! `errors` and `events`: what went wrong and what happened, bounded, in memory.

use std::collections::VecDeque;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::errno::Errno;
use super::error_id::ErrorId;

/// Lines that `errors` keeps.
const ERRORS: usize = 200;

/// Bytes of history that `events` keeps. Older lines go in one piece, so that offsets rarely have to be translated.
const EVENTS: usize = 1 << 20;

/// The last errors, newest first.
#[derive(Debug, Default)]
pub struct ErrorLog {
    lines: Mutex<VecDeque<String>>,
}

impl ErrorLog {
    /// Adds one. `sentence` says what to do and holds nothing secret.
    pub fn add(&self, at: Timestamp, id: ErrorId, uid: u32, path: &str, errno: Errno, sentence: &str) {
        let at = at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ");
        let line = format!("{at} id={id} uid={uid} {} {}: {}\n", errno.name(), escape(path), one_line(sentence));
        tracing::info!(error_id = %id, uid, errno = errno.name(), path = %escape(path), "{}", one_line(sentence));
        let mut lines = self.lines.lock();
        lines.push_front(line);
        lines.truncate(ERRORS);
    }

    /// All of them, as the file shows them.
    pub fn text(&self) -> String {
        self.lines.lock().iter().map(String::as_str).collect()
    }

    /// The newest line.
    pub fn last(&self) -> Option<String> {
        self.lines.lock().front().map(|line| line.trim_end().to_owned())
    }
}

/// Blanks and what cannot be printed, as `\x20`: the first five fields of a line split on blanks.
fn escape(path: &str) -> String {
    path.chars()
        .map(|c| match c {
            ' ' | '\\' => format!("\\x{:02x}", c as u32),
            c if c.is_control() => format!("\\x{:02x}", c as u32),
            c => c.to_string(),
        })
        .collect()
}

fn one_line(sentence: &str) -> String {
    sentence.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// JSON lines that only grow. A position is a count of bytes since the start of the daemon.
#[derive(Debug, Default)]
pub struct EventLog {
    inner: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    bytes: Vec<u8>,
    /// Position of the first byte kept.
    base: u64,
}

impl EventLog {
    /// Adds a line.
    pub fn add(&self, line: &str) {
        let mut ring = self.inner.lock();
        ring.bytes.extend_from_slice(line.as_bytes());
        ring.bytes.push(b'\n');
        if ring.bytes.len() > EVENTS {
            let half = ring.bytes.len() / 2;
            let cut = ring.bytes[half..].iter().position(|b| *b == b'\n').map_or(half, |at| half + at + 1);
            ring.bytes.drain(..cut);
            ring.base += cut as u64;
        }
    }

    /// Position after the last byte: the size of the file.
    pub fn end(&self) -> u64 {
        let ring = self.inner.lock();
        ring.base + ring.bytes.len() as u64
    }

    /// Position of the first byte that is still kept.
    pub fn base(&self) -> u64 {
        self.inner.lock().base
    }

    /// Bytes from a position on.
    pub fn read(&self, position: u64, size: usize) -> Vec<u8> {
        let ring = self.inner.lock();
        let from = usize::try_from(position.saturating_sub(ring.base)).unwrap_or(usize::MAX).min(ring.bytes.len());
        ring.bytes[from..ring.bytes.len().min(from.saturating_add(size))].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_errors_splits_on_blanks() {
        let log = ErrorLog::default();
        let id = ErrorId::new();
        log.add(Timestamp::UNIX_EPOCH, id, 7, "creds/a b/token", Errno(libc::EACCES), "no\nway; ask");
        let line = format!("1970-01-01T00:00:00.000Z id={id} uid=7 EACCES creds/a\\x20b/token: no way; ask\n");
        assert_eq!(log.text(), line);
    }

    #[test]
    fn events_are_bounded_and_cut_at_a_line() {
        let log = EventLog::default();
        for number in 0..30_000 {
            log.add(&format!("{{\"number\":{number},\"padding\":\"..............................\"}}"));
        }
        assert!(log.end() - log.base() <= EVENTS as u64);
        let text = String::from_utf8(log.read(log.base(), EVENTS)).unwrap();
        assert!(text.starts_with('{') && text.ends_with("}\n"));
        assert!(text.contains("29999"));
    }
}
