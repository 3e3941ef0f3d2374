//! A place for lines.

use std::io;
use std::path::Path;

/// Somewhere lines go.
pub trait Sink: Send {
    /// `file` or `journald`.
    fn name(&self) -> &'static str;

    /// Where that is, for `status`.
    fn place(&self) -> &Path;

    /// Writes these lines, without line breaks, in order. May block: it has a thread of its own.
    fn write(&mut self, lines: &[&str]) -> Written;
}

/// How far a write came.
#[derive(Debug)]
pub struct Written {
    /// So many of the lines are there whole.
    pub whole: usize,
    /// Why it went no further.
    pub error: Option<io::Error>,
}

impl Written {
    /// All of `lines`.
    pub fn all(lines: &[&str]) -> Self {
        Self { whole: lines.len(), error: None }
    }
}
