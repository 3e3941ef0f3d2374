//! The way to systemd's journal, by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): a datagram for each entry,
//! `FIELD=value` lines, values with line breaks preceded by their length.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the journal listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// By this name `journalctl -t` finds what is ours.
const IDENTIFIER: &str = "tfcfs";

/// A way to the journal. Each entry is sent to the socket's name, so that it reaches a journal that was restarted.
pub struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// Finds out whether somebody listens. An entry that is not taken within `patience` fails.
    ///
    /// # Errors
    /// Nobody does.
    pub fn connect(path: &Path, patience: Duration) -> io::Result<Self> {
        UnixDatagram::unbound()?.connect(path)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(patience))?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// The socket's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sends an entry.
    ///
    /// # Errors
    /// The system's: nobody listens, or not in time; the entry is too large for one datagram.
    pub fn send(&self, entry: &Entry) -> io::Result<()> {
        loop {
            match self.socket.send_to(&entry.0, &self.path) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent.map(|_| ()),
            }
        }
    }
}

/// How much an entry matters, as syslog counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Something failed.
    Error = 3,
    /// It may fail.
    Warning = 4,
    /// Normal, but worth a look.
    Notice = 5,
    /// Normal.
    Info = 6,
    /// For whoever looks for a defect.
    Debug = 7,
}

/// One entry.
pub struct Entry(Vec<u8>);

impl Entry {
    /// What a plain `journalctl` shows of it.
    pub fn new(priority: Priority, message: &str) -> Self {
        let mut entry = Self(Vec::with_capacity(2 * message.len() + 512));
        entry.plain("MESSAGE", message);
        entry.plain("PRIORITY", &(priority as u8).to_string());
        entry.plain("SYSLOG_IDENTIFIER", IDENTIFIER);
        entry
    }

    /// Syslog's facility.
    #[must_use]
    pub fn facility(mut self, number: u8) -> Self {
        self.plain("SYSLOG_FACILITY", &number.to_string());
        self
    }

    /// A value to search by: `role` becomes `TFCFS_ROLE=`.
    pub fn field(&mut self, name: &str, value: &str) {
        let legal = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let name: String = name.chars().map(legal).collect();
        self.plain(&format!("TFCFS_{name}"), value);
    }

    fn plain(&mut self, name: &str, value: &str) {
        let bytes = &mut self.0;
        bytes.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            bytes.push(b'\n');
            bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            bytes.push(b'=');
        }
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_fake_a_field() {
        let mut entry = Entry::new(Priority::Notice, "said").facility(10);
        entry.field("event", "open");
        entry.field("exe.path", "/bin/x\nTFCFS_EVENT=stop");
        let expected: [&[u8]; 3] = [
            b"MESSAGE=said\nPRIORITY=5\nSYSLOG_IDENTIFIER=tfcfs\nSYSLOG_FACILITY=10\n",
            b"TFCFS_EVENT=open\n",
            b"TFCFS_EXE_PATH\n\x17\0\0\0\0\0\0\0/bin/x\nTFCFS_EVENT=stop\n",
        ];
        assert_eq!(entry.0, expected.concat(), "{}", String::from_utf8_lossy(&entry.0));
    }
}
