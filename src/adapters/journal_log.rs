//! The log in systemd's journal: each value of an event is a field to search by, and the message has them all, so that a
//! plain `journalctl` shows as much as the log on a terminal.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::os::linux::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::journal::{Entry, Journal, Priority, SOCKET};

/// A journal that takes no entry for that long misses it: whoever logs may be serving the mount.
const PATIENCE: Duration = Duration::from_millis(50);

/// Whether the standard error of this process is the journal, as systemd says in `JOURNAL_STREAM` (systemd.exec(5)).
pub fn is_standard_error() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    std::fs::metadata("/proc/self/fd/2").is_ok_and(|error| is_stream(&stream, error.st_dev(), error.st_ino()))
}

/// `stream` is `DEVICE:INODE`. It is inherited by processes whose standard error is something else.
fn is_stream(stream: &str, device: u64, inode: u64) -> bool {
    stream.split_once(':').is_some_and(|(d, i)| d.parse() == Ok(device) && i.parse() == Ok(inode))
}

/// Sends events to the journal.
pub struct JournalLog(Journal);

impl JournalLog {
    /// Finds out whether somebody listens.
    ///
    /// # Errors
    /// Nobody does.
    pub fn connect() -> io::Result<Self> {
        Self::connect_to(SOCKET.as_ref())
    }

    fn connect_to(path: &Path) -> io::Result<Self> {
        Journal::connect(path, PATIENCE).map(Self)
    }
}

impl<S: Subscriber> Layer<S> for JournalLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let mut entry = Entry::new(priority(*event.metadata().level()), &said.line());
        for (name, value) in &said.values {
            entry.field(name, value);
        }
        // Where it went before there was a journal: no entry is lost silently.
        if let Err(error) = self.0.send(&entry) {
            let _ = writeln!(io::stderr(), "{} (not in the journal as an entry: {error})", said.line());
        }
    }
}

fn priority(level: Level) -> Priority {
    match level {
        Level::ERROR => Priority::Error,
        Level::WARN => Priority::Warning,
        Level::INFO => Priority::Info,
        _ => Priority::Debug,
    }
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    values: Vec<(&'static str, String)>,
}

impl Said {
    fn line(&self) -> String {
        let mut line = self.message.clone();
        for (name, value) in &self.values {
            let _ = write!(line, " {name}={value}");
        }
        line
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            // Where in its source a library said so, which is a path of the machine that built this.
            name if name.starts_with("log.") => {}
            name => self.values.push((name, value.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn the_stream_is_this_file_and_no_other() {
        assert!(is_stream("8:77", 8, 77));
        for other in ["8:78", "9:77", "8", "8:", ":77", "", "8:77:1"] {
            assert!(!is_stream(other, 8, 77), "{other}");
        }
    }

    #[test]
    fn an_event_is_an_entry_with_fields() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let log = tracing_subscriber::registry().with(JournalLog::connect_to(&path).unwrap());
        tracing::subscriber::with_default(log, || {
            tracing::warn!(uid = 7, errno = "EACCES", path = %"creds/a", why = ?Some("x"), "no way: {}", "ask");
        });
        let mut buffer = [0; 4096];
        let length = journal.recv(&mut buffer).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&buffer[..length]),
            "MESSAGE=no way: ask uid=7 errno=EACCES path=creds/a why=Some(\"x\")\nPRIORITY=4\nSYSLOG_IDENTIFIER=tfcfs\n\
             TFCFS_UID=7\nTFCFS_ERRNO=EACCES\nTFCFS_PATH=creds/a\nTFCFS_WHY=Some(\"x\")\n"
        );
    }

    #[test]
    fn where_a_library_was_built_is_not_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let log = tracing_subscriber::registry().with(JournalLog::connect_to(&path).unwrap());
        tracing::subscriber::with_default(log, || {
            let mut record = tracing_log::log::Record::builder();
            let record = record.level(tracing_log::log::Level::Info).target("fuser").file(Some("/build/x.rs"));
            tracing_log::format_trace(&record.args(format_args!("Mounting")).build()).unwrap();
        });
        let mut buffer = [0; 4096];
        let length = journal.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"MESSAGE=Mounting\nPRIORITY=6\nSYSLOG_IDENTIFIER=tfcfs\n");
    }

    #[test]
    fn each_level_has_its_priority() {
        let all = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE].map(priority);
        assert_eq!(all.map(|priority| priority as u8), [3, 4, 6, 7, 7]);
    }
}
