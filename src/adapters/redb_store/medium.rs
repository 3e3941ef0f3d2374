//! What redb reads and writes through: the locked file, a file that stays as it is, or memory.
//!
//! redb's own file backend drops an `flock` that somebody else holds on the same open file, so we bring ours: the lock
//! is taken once, before anything is read, and kept while the store lives.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

use super::sentences::REPLACED;

/// The ledger file. Whoever made it holds the lock.
#[derive(Debug)]
pub(super) struct FileMedium(pub(super) Arc<File>);

impl StorageBackend for FileMedium {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()?;
        // Removed, or replaced by a restored copy: what is written here is lost when the process ends.
        if self.0.metadata()?.nlink() == 0 {
            return Err(io::Error::new(REPLACED, "it was removed or replaced while in use"));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

/// A file of which not one byte is written: what is written stays in memory and goes with this.
///
/// Whoever made it keeps the file locked, so that nobody else changes it meanwhile.
#[derive(Debug)]
pub(super) struct Overlay {
    file: Arc<File>,
    over: Mutex<Over>,
}

/// What was changed.
#[derive(Debug)]
struct Over {
    pages: HashMap<u64, Box<[u8]>>,
    len: u64,
    /// So much of the file still shows; from there on it was cut off, or never was.
    shows: u64,
}

const PAGE: u64 = 4096;

impl Overlay {
    pub(super) fn new(file: Arc<File>) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, over: Mutex::new(Over { pages: HashMap::new(), len, shows: len }) })
    }
}

impl Over {
    /// What the file shows of a range, and zeros for the rest.
    fn below(&self, file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let shown = usize::try_from(self.shows.saturating_sub(offset)).unwrap_or(usize::MAX).min(out.len());
        let (shown, rest) = out.split_at_mut(shown);
        rest.fill(0);
        file.read_exact_at(shown, offset)
    }

    /// The pages that a range touches: number, and which bytes of the page and of the range they have in common.
    fn touched(offset: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>, Range<usize>)> {
        let end = offset + len as u64;
        (offset / PAGE..end.div_ceil(PAGE)).map(move |page| {
            let (from, to) = (offset.max(page * PAGE), end.min((page + 1) * PAGE));
            let span = |base: u64| (from - base) as usize..(to - base) as usize;
            (page, span(page * PAGE), span(offset))
        })
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.over.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let over = self.over.lock();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > over.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        over.below(&self.file, offset, out)?;
        if over.pages.is_empty() {
            return Ok(());
        }
        for (page, of_page, of_range) in Over::touched(offset, out.len()) {
            if let Some(bytes) = over.pages.get(&page) {
                out[of_range].copy_from_slice(&bytes[of_page]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut over = self.over.lock();
        if len < over.len {
            over.shows = over.shows.min(len);
            over.pages.retain(|page, _| page * PAGE < len);
            if let Some(last) = over.pages.get_mut(&(len / PAGE)) {
                last[(len % PAGE) as usize..].fill(0);
            }
        }
        over.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut over = self.over.lock();
        let end = offset.checked_add(data.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        for (page, of_page, of_range) in Over::touched(offset, data.len()) {
            if !over.pages.contains_key(&page) {
                let mut bytes = vec![0; PAGE as usize].into_boxed_slice();
                over.below(&self.file, page * PAGE, &mut bytes)?;
                over.pages.insert(page, bytes);
            }
            if let Some(bytes) = over.pages.get_mut(&page) {
                bytes[of_page].copy_from_slice(&data[of_range]);
            }
        }
        over.len = over.len.max(end);
        Ok(())
    }
}

/// Bytes in memory that outlive the database opened on them.
#[derive(Clone, Default)]
pub(super) struct Image(Arc<Mutex<Vec<u8>>>);

impl Image {
    /// The bytes as they are now; the image is empty afterwards.
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock())
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({} bytes)", self.0.lock().len())
    }
}

impl StorageBackend for Image {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.0.lock();
        let start = index(offset)?;
        let end = start.checked_add(out.len()).ok_or(io::ErrorKind::InvalidInput)?;
        out.copy_from_slice(bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().resize(index(len)?, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut bytes = self.0.lock();
        let start = index(offset)?;
        let end = start.checked_add(data.len()).ok_or(io::ErrorKind::InvalidInput)?;
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(data);
        Ok(())
    }
}

fn index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn an_overlay_shows_what_was_written_and_its_file_stays_as_it_is(
            len in 0..10_000u64, ops in vec((0..3u8, 0..15_000u64, 0..6000usize), 1..30),
        ) {
            let bytes: Vec<u8> = (0..len).map(|n| n as u8 | 1).collect();
            let named = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(named.path(), &bytes).unwrap();
            let overlay = Overlay::new(Arc::new(File::open(named.path()).unwrap())).unwrap();
            let model = Image(Arc::new(Mutex::new(bytes.clone())));
            for (number, (kind, offset, size)) in ops.into_iter().enumerate() {
                match kind {
                    0 => {
                        overlay.set_len(offset).unwrap();
                        model.set_len(offset).unwrap();
                    }
                    1 => {
                        let data = vec![number as u8; size];
                        overlay.write(offset, &data).unwrap();
                        model.write(offset, &data).unwrap();
                    }
                    _ => {
                        let (mut one, mut other) = (vec![0; size], vec![0; size]);
                        prop_assert_eq!(overlay.read(offset, &mut one).is_ok(), model.read(offset, &mut other).is_ok());
                        prop_assert_eq!(one == other, true);
                    }
                }
                prop_assert_eq!(overlay.len().unwrap(), model.len().unwrap());
            }
            prop_assert_eq!(std::fs::read(named.path()).unwrap(), bytes);
        }
    }
}
