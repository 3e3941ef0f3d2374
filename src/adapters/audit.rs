//! The audit trail: one JSON line for each thing that happened, to a file and to journald (docs/audit.md).
//!
//! Whoever notes something puts it into a bounded queue and goes on; one thread ([`writer`]) finds out about the callers
//! ([`callers`]), makes the lines ([`mod@line`]) and writes them to every [`Sink`].

mod callers;
mod error;
mod file;
mod journald;
mod line;
mod sink;
mod token_hmac;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

use self::writer::{Job, Shared};
use crate::domain::ports::Clock;
use crate::domain::token::Token;
use crate::vfs::{AuditEntry, AuditHealth, Auditor, Callers};

pub use self::error::AuditError;
pub use self::file::AuditFile;
pub use self::journald::{Journald, SOCKET};
pub use self::sink::{Sink, Written};
pub use self::token_hmac::TokenHmac;
pub use self::writer::QUEUE;

/// The trail of one daemon. Off until something is installed.
pub struct AuditTrail {
    shared: Arc<Shared>,
    hmac: TokenHmac,
}

/// Opens what the settings name.
///
/// # Errors
/// [`AuditError`]; then nothing is kept open.
pub fn open(file: Option<&Path>, journald: bool) -> Result<Vec<Box<dyn Sink>>, AuditError> {
    let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
    if let Some(path) = file {
        sinks.push(Box::new(AuditFile::open(path)?));
    }
    if journald {
        sinks.push(Box::new(Journald::connect(SOCKET.as_ref())?));
    }
    Ok(sinks)
}

impl AuditTrail {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(clock: Arc<dyn Clock>, callers: Arc<dyn Callers>, hmac: TokenHmac) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writing = shared.clone();
        std::thread::Builder::new()
            .name("tfcfs-audit".into())
            .spawn(move || writer::run(&writing, &*clock, &*callers))?;
        Ok(Self { shared, hmac })
    }

    /// From now on lines go to these places, none = the trail is off. What is being written at this moment goes to the
    /// former ones.
    pub fn install(&self, sinks: Vec<Box<dyn Sink>>, required: bool) {
        self.shared.install(sinks, required);
    }

    /// Waits until all that was noted is written, or given up; false when that takes longer than `patience`.
    pub fn flush(&self, patience: Duration) -> bool {
        self.shared.wait_idle(patience)
    }
}

impl Drop for AuditTrail {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

#[async_trait]
impl Auditor for AuditTrail {
    fn is_on(&self) -> bool {
        self.shared.is_on()
    }

    fn is_required(&self) -> bool {
        self.shared.is_required()
    }

    fn token_hmac(&self, token: &Token) -> String {
        self.hmac.of(token)
    }

    fn note(&self, entry: AuditEntry) {
        self.shared.push(Job { entry, answer: None });
    }

    async fn record(&self, entry: AuditEntry) -> Result<(), String> {
        let (answer, recorded) = oneshot::channel();
        if !self.shared.push(Job { entry, answer: Some(answer) }) {
            return Err("too many lines wait to be written".into());
        }
        recorded.await.unwrap_or_else(|_| Err("the audit trail has stopped".into()))
    }

    fn health(&self) -> Option<AuditHealth> {
        self.shared.health()
    }
}
