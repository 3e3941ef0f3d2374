//! The trail in a file, one line after the other.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::error::AuditError;
use super::sink::{Sink, Written};
use crate::adapters::private_path::{WRITE_BY_OTHERS, foreign_owner, too_open};

/// An open file of the trail. It is appended to wherever its end is, so `copytruncate` does no harm; one that is renamed
/// is written to until it is opened anew.
pub struct AuditFile {
    path: PathBuf,
    file: File,
    /// The end of it is half a line of ours.
    torn: bool,
}

impl AuditFile {
    /// Opens or creates (mode 0600) a file that nobody else can change.
    ///
    /// # Errors
    /// [`AuditError`].
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        // Without waiting: a pipe would hold us until somebody reads it.
        let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path);
        let path = path.to_owned();
        let file = match file {
            Ok(file) => file,
            Err(error) => {
                return Err(match error.raw_os_error() {
                    Some(libc::ELOOP) => AuditError::Link { path },
                    Some(libc::ENXIO | libc::EISDIR) => AuditError::NotAFile { path },
                    Some(libc::ENOENT) => AuditError::NoDirectory { path },
                    _ => AuditError::Open { path, error },
                });
            }
        };
        let metadata = match file.metadata() {
            Ok(metadata) => metadata,
            Err(error) => return Err(AuditError::Open { path, error }),
        };
        if !metadata.is_file() {
            return Err(AuditError::NotAFile { path });
        }
        if let Some(mode) = too_open(&metadata, WRITE_BY_OTHERS) {
            return Err(AuditError::Exposed { path, mode });
        }
        if let Some(uid) = foreign_owner(&metadata) {
            return Err(AuditError::Foreign { path, uid });
        }
        Ok(Self { path, file, torn: false })
    }
}

impl Sink for AuditFile {
    fn name(&self) -> &'static str {
        "file"
    }

    fn place(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, lines: &[&str]) -> Written {
        let mut bytes = Vec::with_capacity(lines.iter().map(|line| line.len() + 1).sum::<usize>() + 1);
        if self.torn {
            bytes.push(b'\n');
        }
        let mut ends = Vec::with_capacity(lines.len());
        for line in lines {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
            ends.push(bytes.len());
        }
        let (written, error) = write_as_much_as_fits(&mut self.file, &bytes);
        if written > 0 {
            self.torn = bytes[written - 1] != b'\n';
        }
        Written { whole: ends.iter().take_while(|end| **end <= written).count(), error }
    }
}

fn write_as_much_as_fits(file: &mut File, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Some(error)),
        }
    }
    (written, None)
}
