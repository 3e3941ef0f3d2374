//! The thread that owns the database: takes everything that waits, writes it in one transaction, answers.

use std::path::{Path, PathBuf};
use std::sync::mpsc;

use redb::{Database, ReadableTable, WriteTransaction};
use tokio::sync::oneshot;

use super::format::{META, RECORDS, VERSION_KEY};
use super::sentences::explain;
use super::snapshot::load;
use crate::domain::ports::{Change, Record, StoreError, Version};

/// Opens the database; `true` if the last one was given up after a failure.
pub(super) type Opener = Box<dyn FnMut(bool) -> Result<Database, StoreError> + Send>;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Work for the thread, done in the order in which it was sent.
pub(super) enum Job {
    /// See [`crate::domain::ports::Store::load`].
    Load { reply: Reply<Vec<Record>> },
    /// See [`crate::domain::ports::Store::commit`].
    Commit { changes: Vec<Change>, reply: Reply<Version> },
}

pub(super) struct Writer {
    path: PathBuf,
    opener: Opener,
    /// `None` after a failure: redb refuses all further work on a database that had one.
    database: Option<Database>,
}

impl Writer {
    pub(super) fn new(path: &Path, mut opener: Opener) -> Result<Self, StoreError> {
        let database = Some(opener(false)?);
        Ok(Self { path: path.to_owned(), opener, database })
    }

    /// Works until the other end of the queue is dropped and the queue is empty.
    pub(super) fn run(mut self, queue: &mpsc::Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let mut commits = Vec::new();
            for job in std::iter::once(first).chain(queue.try_iter()) {
                match job {
                    Job::Commit { changes, reply } => commits.push((changes, reply)),
                    Job::Load { reply } => {
                        self.commit(std::mem::take(&mut commits));
                        let _ = reply.send(self.with_database(load));
                    }
                }
            }
            self.commit(commits);
        }
    }

    fn commit(&mut self, commits: Vec<(Vec<Change>, Reply<Version>)>) {
        if commits.is_empty() {
            return;
        }
        let (changes, replies): (Vec<_>, Vec<_>) = commits.into_iter().unzip();
        match self.with_database(|database| commit_all(database, &changes)) {
            Ok(results) => {
                for (reply, result) in replies.into_iter().zip(results) {
                    let _ = reply.send(result);
                }
            }
            // Nothing of this transaction counts, not even a conflict with one of its own members.
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    fn with_database<T>(&mut self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.opener)(true)?,
        };
        let done = work(&database).map_err(|e| explain(&self.path, e))?;
        self.database = Some(database);
        Ok(done)
    }
}

/// One transaction, hence one `fsync`, for all of them; each sees those before it.
fn commit_all(database: &Database, commits: &[Vec<Change>]) -> Result<Vec<Result<Version, StoreError>>, redb::Error> {
    let transaction = database.begin_write()?;
    let results = commits.iter().map(|changes| commit_one(&transaction, changes)).collect::<Result<Vec<_>, _>>()?;
    if results.iter().any(Result::is_ok) {
        transaction.commit()?;
    } else {
        transaction.abort()?;
    }
    Ok(results)
}

fn commit_one(transaction: &WriteTransaction, changes: &[Change]) -> Result<Result<Version, StoreError>, redb::Error> {
    let mut records = transaction.open_table(RECORDS)?;
    for change in changes {
        let found = records.get(change.key.as_str())?.map(|record| Version(record.value().0));
        if !change.expect.holds(found) {
            return Ok(Err(StoreError::Conflict));
        }
    }
    let mut meta = transaction.open_table(META)?;
    let version = meta.get(VERSION_KEY)?.map_or(0, |version| version.value()) + 1;
    meta.insert(VERSION_KEY, version)?;
    for Change { key, value, .. } in changes {
        match value {
            Some(value) => records.insert(key.as_str(), (version, value.as_slice()))?,
            None => records.remove(key.as_str())?,
        };
    }
    Ok(Ok(Version(version)))
}
