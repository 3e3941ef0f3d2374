//! The ledger in one redb file: durable on this host, one process at a time.
//!
//! A thread of its own does all disk work, so no tokio worker ever waits for a disk, and all commits that wait while
//! one is being written share the next `fsync` (group commit). [`ledger_file`] locks and opens the file, [`mod@format`] knows
//! what is in it, [`writer`] is the thread, [`medium`] what redb reads and writes through, [`snapshot`] the whole ledger
//! for work without a daemon.

mod format;
mod ledger_file;
mod medium;
mod sentences;
mod snapshot;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::oneshot;

use self::ledger_file::LedgerFile;
pub use self::snapshot::{OfflineLedger, Snapshot};
use self::writer::{Job, Opener, Writer};
use crate::domain::ports::{Change, Record, Store, StoreError, Version};

/// Name of the ledger in a state directory.
pub const FILE_NAME: &str = "ledger.redb";

/// A [`Store`] in one file. Dropping it finishes what was asked for, closes the file and joins the thread.
///
/// A commit whose future is dropped still takes place. After [`StoreError::Unavailable`] a commit may or may not be
/// found later (the disk did not say); the next one opens the file anew, so it succeeds once the medium works again.
pub struct RedbStore {
    path: PathBuf,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl RedbStore {
    /// Opens the ledger, or makes an empty one (mode 0600) if there is none. The directory must exist.
    ///
    /// An existing file is checked in memory first and not touched unless it is whole. Reads the disk: call it before
    /// serving, not from a tokio worker.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for a foreign, damaged or newer file, [`StoreError::InUse`] if another process has it,
    /// [`StoreError::Unavailable`] if the medium says no. The sentence names the file and a way out.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_verified(path, |_| Ok(())).map(|(store, ())| store)
    }

    /// The same, and `verify` gets all records before a byte of the file is written; what it answers is returned.
    ///
    /// # Errors
    /// As [`Self::open`], and what `verify` says.
    pub fn open_verified<T>(
        path: impl AsRef<Path>,
        verify: impl FnOnce(Vec<Record>) -> Result<T, StoreError>,
    ) -> Result<(Self, T), StoreError> {
        let path = path.as_ref();
        let file = LedgerFile::open(path)?;
        let verified = verify(snapshot::of(&file.image()?, path)?.records)?;
        let open = move |after_failure| if after_failure { file.reopen() } else { file.database() };
        Ok((Self::start(path, Box::new(open))?, verified))
    }

    fn start(path: &Path, opener: Opener) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel();
        let writer = Writer::new(path, opener)?;
        let thread = std::thread::Builder::new()
            .name("tfcfs-ledger".into())
            .spawn(move || writer.run(&queue))
            .map_err(|e| StoreError::Unavailable(format!("the ledger's thread cannot be started: {e}")))?;
        Ok(Self { path: path.to_owned(), jobs: Some(jobs), thread: Some(thread) })
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job) -> Result<T, StoreError> {
        let gone = || {
            let path = self.path.display();
            StoreError::Unavailable(format!("the thread that writes {path} has ended; restart tfcfs"))
        };
        let (reply, answer) = oneshot::channel();
        self.jobs.as_ref().ok_or_else(gone)?.send(job(reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

#[async_trait]
impl Store for RedbStore {
    async fn load(&self) -> Result<Vec<Record>, StoreError> {
        self.ask(|reply| Job::Load { reply }).await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Version, StoreError> {
        self.ask(|reply| Job::Commit { changes, reply }).await
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed, and there is nothing left to save.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedbStore({})", self.path.display())
    }
}

#[cfg(test)]
mod tests;
