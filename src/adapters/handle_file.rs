//! [`HandleTable`] in a file that has no name: made once for each connection to the kernel, kept open by whoever keeps the
//! FUSE device (a service manager, `tfcfs supervise`), and gone with the last of them, as the open files are.
//!
//! One record is 64 bytes at a place of its own, written by one call; a place of zeros is free. The first place says what
//! this is. Nothing secret is in it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use rustix::fs::MemfdFlags;

use crate::domain::lease::Serial;
use crate::vfs::{HandleKind, HandleRecord, HandleTable, Ino};

/// Bytes of a record.
const SIZE: usize = 64;

/// The first place: name and version of the format.
const HEADER: &[u8; 16] = b"tfcfs handles 1\n";

/// Where a record has its poller.
const POLL_AT: u64 = 40;

const DOOR: u8 = 1;
const DIRECT_DOOR: u8 = 2;
const TEXT: u8 = 3;
const EVENTS: u8 = 4;
const DRAFT: u8 = 5;

/// The table.
pub struct HandleFile {
    file: File,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    of: FxHashMap<u64, u32>,
    free: Vec<u32>,
    /// Places below this were used; place 0 is the header.
    end: u32,
}

impl HandleFile {
    /// An empty one, for a new connection.
    ///
    /// # Errors
    /// The system's.
    pub fn create() -> io::Result<OwnedFd> {
        let file = File::from(rustix::fs::memfd_create("tfcfs-handles", MemfdFlags::CLOEXEC)?);
        let mut first = [0; SIZE];
        first[..HEADER.len()].copy_from_slice(HEADER);
        file.write_all_at(&first, 0)?;
        Ok(file.into())
    }

    /// Opens one that was made before, with what it has.
    ///
    /// # Errors
    /// The system's; `InvalidData` for a file of another program or format.
    pub fn open(file: OwnedFd) -> io::Result<(Self, Vec<HandleRecord>)> {
        let file = File::from(file);
        let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        if !bytes.starts_with(HEADER) {
            let text = "the table of open files is not one that this version can read";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let (mut places, mut records) = (Places { end: 1, ..Places::default() }, Vec::new());
        for bytes in bytes.chunks_exact(SIZE).skip(1) {
            match decode(bytes) {
                Some(record) => {
                    places.of.insert(record.handle, places.end);
                    records.push(record);
                }
                None => places.free.push(places.end),
            }
            places.end += 1;
        }
        Ok((Self { file, places: Mutex::new(places) }, records))
    }

    fn write(&self, bytes: &[u8], at: u64) {
        // It is memory: this fails only when there is none left. Then a restart loses this handle, and nothing else.
        if let Err(error) = self.file.write_all_at(bytes, at) {
            tracing::warn!(%error, "an open file could not be noted; it would not survive a restart");
        }
    }
}

impl AsFd for HandleFile {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl HandleTable for HandleFile {
    fn put(&self, record: &HandleRecord) {
        let place = {
            let mut places = self.places.lock();
            match places.of.get(&record.handle) {
                Some(place) => *place,
                None => {
                    let place = places.take();
                    places.of.insert(record.handle, place);
                    place
                }
            }
        };
        self.write(&encode(record), u64::from(place) * SIZE as u64);
    }

    fn set_poll(&self, handle: u64, poll: u64) {
        let place = self.places.lock().of.get(&handle).copied();
        if let Some(place) = place {
            self.write(&poll.to_le_bytes(), u64::from(place) * SIZE as u64 + POLL_AT);
        }
    }

    fn remove(&self, handle: u64) {
        let Some(place) = self.places.lock().of.remove(&handle) else { return };
        self.write(&[0; SIZE], u64::from(place) * SIZE as u64);
        self.places.lock().free.push(place);
    }
}

impl Places {
    fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.end += 1;
            self.end - 1
        })
    }
}

fn encode(record: &HandleRecord) -> [u8; SIZE] {
    let (kind, value) = match record.kind {
        HandleKind::Door { lease, direct: false } => (DOOR, lease.0),
        HandleKind::Door { lease, direct: true } => (DIRECT_DOOR, lease.0),
        HandleKind::Text { size } => (TEXT, size),
        HandleKind::Events => (EVENTS, 0),
        HandleKind::Draft => (DRAFT, 0),
    };
    // The kernel's numbers begin at 1.
    let poll = record.poll.unwrap_or(0);
    let mut bytes = [0; SIZE];
    bytes[0] = kind;
    for (place, number) in [record.handle, record.node.0, value, record.opened_by, poll].into_iter().enumerate() {
        bytes[8 + place * 8..16 + place * 8].copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<HandleRecord> {
    let number = |place: usize| Some(u64::from_le_bytes(bytes.get(8 + place * 8..16 + place * 8)?.try_into().ok()?));
    let value = number(2)?;
    let kind = match *bytes.first()? {
        DOOR => HandleKind::Door { lease: Serial(value), direct: false },
        DIRECT_DOOR => HandleKind::Door { lease: Serial(value), direct: true },
        TEXT => HandleKind::Text { size: value },
        EVENTS => HandleKind::Events,
        DRAFT => HandleKind::Draft,
        _ => return None,
    };
    let poll = Some(number(4)?).filter(|poll| *poll != 0);
    Some(HandleRecord { handle: number(0)?, node: Ino(number(1)?), kind, opened_by: number(3)?, poll })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = HandleKind> {
        prop_oneof![
            (any::<u64>(), any::<bool>()).prop_map(|(lease, direct)| HandleKind::Door { lease: Serial(lease), direct }),
            any::<u64>().prop_map(|size| HandleKind::Text { size }),
            Just(HandleKind::Events),
            Just(HandleKind::Draft),
        ]
    }

    fn records() -> impl Strategy<Value = HandleRecord> {
        // Few handles, so that they meet.
        (1u64..20, any::<u64>(), kinds(), any::<u64>(), proptest::option::of(1..u64::MAX)).prop_map(
            |(handle, node, kind, opened_by, poll)| HandleRecord { handle, node: Ino(node), kind, opened_by, poll },
        )
    }

    #[derive(Debug, Clone)]
    enum Step {
        Put(HandleRecord),
        Poll(u64, u64),
        Remove(u64),
        Restart,
    }

    fn steps() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => records().prop_map(Step::Put),
            1 => (1u64..20, 1..u64::MAX).prop_map(|(handle, poll)| Step::Poll(handle, poll)),
            3 => (1u64..20).prop_map(Step::Remove),
            1 => Just(Step::Restart),
        ]
    }

    fn reopened(table: &HandleFile) -> (HandleFile, std::collections::BTreeMap<u64, HandleRecord>) {
        let (table, records) = HandleFile::open(table.as_fd().try_clone_to_owned().unwrap()).unwrap();
        (table, records.into_iter().map(|record| (record.handle, record)).collect())
    }

    proptest! {
        #[test]
        fn whatever_was_put_and_not_removed_is_found_after_a_restart(steps in proptest::collection::vec(steps(), 0..60)) {
            let (mut table, records) = HandleFile::open(HandleFile::create().unwrap()).unwrap();
            prop_assert_eq!(records, []);
            let mut expected = std::collections::BTreeMap::new();
            for step in steps {
                match step {
                    Step::Put(record) => {
                        table.put(&record);
                        expected.insert(record.handle, record);
                    }
                    Step::Poll(handle, poll) => {
                        table.set_poll(handle, poll);
                        if let Some(record) = expected.get_mut(&handle) {
                            record.poll = Some(poll);
                        }
                    }
                    Step::Remove(handle) => {
                        table.remove(handle);
                        expected.remove(&handle);
                    }
                    Step::Restart => table = reopened(&table).0,
                }
            }
            prop_assert_eq!(reopened(&table).1, expected);
        }
    }

    #[test]
    fn places_are_used_again() {
        let (table, _) = HandleFile::open(HandleFile::create().unwrap()).unwrap();
        for handle in 1..10_000 {
            table.put(&HandleRecord { handle, node: Ino(1), kind: HandleKind::Events, opened_by: 0, poll: None });
            table.remove(handle);
        }
        assert_eq!(table.file.metadata().unwrap().len(), 2 * SIZE as u64);
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"something else that is long enough", 0).unwrap();
        let error = HandleFile::open(file.into()).map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
