//! What is in a ledger's file, in which format, and how an older format becomes the present one.

use std::path::Path;

use redb::{Builder, Database, ReadableDatabase, StorageBackend, TableDefinition, WriteTransaction};

use super::medium::Image;
use super::sentences::{corrupt, explain, newer};
use super::snapshot::Snapshot;
use crate::domain::ports::StoreError;

/// Key -> version of the commit that wrote it, bytes.
pub(super) const RECORDS: TableDefinition<'static, &str, (u64, &[u8])> = TableDefinition::new("records");
/// [`FORMAT_KEY`] and [`VERSION_KEY`].
pub(super) const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
/// Version of the last commit.
pub(super) const VERSION_KEY: &str = "version";
/// Number of the format.
pub(super) const FORMAT_KEY: &str = "format";
/// No ledger gets so far; from there on a sum would overflow one day.
const LARGEST_VERSION: u64 = u64::MAX / 2;
/// The first format there ever was.
const FIRST_FORMAT: u64 = 1;
/// The format written here. To raise it, because an older tfcfs would misread what a newer one writes, add the step that
/// leads to it.
pub(super) const FORMAT: u64 = FIRST_FORMAT + MIGRATIONS.len() as u64;

/// The steps from [`FIRST_FORMAT`] on, each from one format to the next. They see tables and sealed values; what a value
/// says once it is unsealed is the domain's, whose records have defaults for what older ones lack.
pub(super) const MIGRATIONS: &[Migration] = &[];

/// One step, inside the transaction that also notes the new format.
pub(super) type Migration = fn(&WriteTransaction) -> Result<(), redb::Error>;

/// Bytes of redb's page cache; a ledger is small and its pages are in the kernel's cache as well.
const CACHE: usize = 4 << 20;

/// Opens a database, verifies every page and the format record, and migrates an older one. Without the integrity check
/// redb trusts a file that was closed properly, and panics over a damaged one.
pub(super) fn checked(medium: impl StorageBackend, path: &Path) -> Result<Database, StoreError> {
    opened(medium, path, Pages::Unknown, FIRST_FORMAT, MIGRATIONS)
}

/// The same for bytes of which a copy was [`checked`].
pub(super) fn known(medium: impl StorageBackend, path: &Path) -> Result<Database, StoreError> {
    opened(medium, path, Pages::Checked, FIRST_FORMAT, MIGRATIONS)
}

/// What is known of a medium's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pages {
    /// Nothing.
    Unknown,
    /// They are whole.
    Checked,
}

/// The same with any list of steps, the first of which leads away from `first`.
pub(super) fn opened(
    medium: impl StorageBackend,
    path: &Path,
    pages: Pages,
    first: u64,
    migrations: &[Migration],
) -> Result<Database, StoreError> {
    let database = Builder::new()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(pages == Pages::Unknown)
        .create_with_backend(medium)
        .map_err(|e| explain(path, e))?;
    let known = first + migrations.len() as u64;
    let found = match meta(&database).map_err(|e| explain(path, e))? {
        Some((_, version)) if version > LARGEST_VERSION => return Err(corrupt(path, "its version is impossible")),
        meta => meta.map(|(format, _)| format),
    };
    let found = match found {
        Some(found) if found > known => return Err(newer(path, found, known)),
        Some(found) if found >= first => found,
        _ => return Err(corrupt(path, "it has no format number")),
    };
    let steps = usize::try_from(found - first).ok().and_then(|done| migrations.get(done..)).unwrap_or_default();
    if !steps.is_empty() {
        migrate(&database, steps, known).map_err(|e| explain(path, e))?;
    }
    Ok(database)
}

/// All steps in one transaction: a crash leaves the former format or the new one.
fn migrate(database: &Database, steps: &[Migration], to: u64) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    for step in steps {
        step(&write)?;
    }
    write.open_table(META)?.insert(FORMAT_KEY, to)?;
    write.commit()?;
    Ok(())
}

/// Format and version, if both are there.
fn meta(database: &Database) -> Result<Option<(u64, u64)>, redb::Error> {
    let read = database.begin_read()?;
    read.open_table(RECORDS)?;
    let meta = read.open_table(META)?;
    let (format, version) = (meta.get(FORMAT_KEY)?, meta.get(VERSION_KEY)?);
    Ok(format.zip(version).map(|(format, version)| (format.value(), version.value())))
}

/// The bytes of a ledger with these records and no others, not even in free pages.
pub(super) fn image_of(snapshot: &Snapshot, path: &Path) -> Result<Vec<u8>, StoreError> {
    let image = Image::default();
    let make = || -> Result<(), redb::Error> {
        let database = Builder::new().create_with_backend(image.clone())?;
        let write = database.begin_write()?;
        {
            let mut records = write.open_table(RECORDS)?;
            for record in &snapshot.records {
                records.insert(record.key.as_str(), (record.version.0, record.value.as_slice()))?;
            }
            let mut meta = write.open_table(META)?;
            meta.insert(FORMAT_KEY, FORMAT)?;
            meta.insert(VERSION_KEY, snapshot.version.0)?;
        }
        write.commit()?;
        database.close()?;
        Ok(())
    };
    make().map_err(|e| explain(path, e))?;
    Ok(image.take())
}
