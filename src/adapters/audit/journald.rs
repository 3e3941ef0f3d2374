//! The trail in systemd's journal, by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): a datagram for each
//! entry, `FIELD=value` lines, values with line breaks preceded by their length.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::error::AuditError;
use super::sink::{Sink, Written};

/// Where the journal listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// A journal that takes no datagram for that long misses it.
const PATIENCE: Duration = Duration::from_millis(500);

/// `notice`: normal, but worth a look.
const PRIORITY: &str = "5";

/// A way to the journal. Each entry is sent to the socket's name, so that it reaches a journal that was restarted.
pub struct Journald {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journald {
    /// Finds out whether somebody listens.
    ///
    /// # Errors
    /// [`AuditError::NoJournal`].
    pub fn connect(path: &Path) -> Result<Self, AuditError> {
        let open = || {
            UnixDatagram::unbound()?.connect(path)?;
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(socket)
        };
        match open() {
            Ok(socket) => Ok(Self { socket, path: path.to_owned() }),
            Err(error) => Err(AuditError::NoJournal { socket: path.to_owned(), error }),
        }
    }

    fn send(&self, line: &str) -> io::Result<()> {
        let datagram = datagram(line);
        loop {
            match self.socket.send_to(&datagram, &self.path) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent.map(|_| ()),
            }
        }
    }
}

impl Sink for Journald {
    fn name(&self) -> &'static str {
        "journald"
    }

    fn place(&self) -> &Path {
        &self.path
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
fn datagram(line: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 * line.len() + 512);
    field(&mut bytes, "MESSAGE", line);
    field(&mut bytes, "PRIORITY", PRIORITY);
    field(&mut bytes, "SYSLOG_IDENTIFIER", "tfcfs");
    // `authpriv`: not for everybody's eyes.
    field(&mut bytes, "SYSLOG_FACILITY", "10");
    if let Ok(Value::Object(values)) = serde_json::from_str(line) {
        for (key, value) in values {
            let name = format!("TFCFS_{}", key.to_ascii_uppercase());
            match value {
                Value::Null => {}
                Value::String(text) => field(&mut bytes, &name, &text),
                other => field(&mut bytes, &name, &other.to_string()),
            }
        }
    }
    bytes
}

fn field(bytes: &mut Vec<u8>, name: &str, value: &str) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_fake_a_field() {
        let line = r#"{"event":"open","uid":7,"unit":null,"exe":"/bin/x\nTFCFS_EVENT=stop"}"#;
        let expected = [
            format!("MESSAGE={line}\nPRIORITY=5\nSYSLOG_IDENTIFIER=tfcfs\nSYSLOG_FACILITY=10\n").into_bytes(),
            b"TFCFS_EVENT=open\n".to_vec(),
            b"TFCFS_EXE\n\x17\0\0\0\0\0\0\0/bin/x\nTFCFS_EVENT=stop\n".to_vec(),
            b"TFCFS_UID=7\n".to_vec(),
        ];
        let (sent, mut length) = (datagram(line), 0);
        for part in expected {
            assert!(sent.windows(part.len()).any(|window| window == part), "{}", String::from_utf8_lossy(&sent));
            length += part.len();
        }
        assert_eq!(sent.len(), length, "and nothing else");
    }

    #[test]
    fn a_journal_that_is_not_there_is_told_at_the_start_and_one_that_restarts_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let missing = Journald::connect(&path).err().unwrap().to_string();
        assert!(missing.contains("is systemd-journald running?"), "{missing}");
        let journal = UnixDatagram::bind(&path).unwrap();
        let mut sink = Journald::connect(&path).unwrap();
        let mut buffer = [0; 4096];
        assert_eq!(sink.write(&["{}", "{}"]).whole, 2);
        assert!(journal.recv(&mut buffer).unwrap() > 0);
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
