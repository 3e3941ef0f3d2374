//! Temporary files of editors and tools in `roles/`: in memory, bounded, never roles.

use std::collections::BTreeMap;

use jiff::Timestamp;
use parking_lot::Mutex;
use zeroize::Zeroize;

use crate::domain::lease::Serial;

/// Most files at once; the oldest goes when another is created.
const FILES: usize = 64;

/// Largest file, in bytes: swap files of editors included.
pub(super) const LARGEST: u64 = 1 << 20;

/// What `stat` shows of a draft.
pub(super) struct Look {
    pub(super) size: u64,
    pub(super) mode: u16,
    pub(super) changed_at: Timestamp,
}

struct DraftFile {
    name: String,
    bytes: Vec<u8>,
    mode: u16,
    changed_at: Timestamp,
}

/// All of them, by serial.
#[derive(Default)]
pub(super) struct Drafts(Mutex<BTreeMap<Serial, DraftFile>>);

/// Whether a name in `roles/` is an editor's from its looks.
pub(super) fn looks_temporary(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~') || name.ends_with(".swp") || name.ends_with(".tmp")
}

impl Drafts {
    pub(super) fn find(&self, name: &str) -> Option<Serial> {
        self.0.lock().iter().find(|(_, draft)| draft.name == name).map(|(serial, _)| *serial)
    }

    pub(super) fn look(&self, serial: Serial) -> Option<Look> {
        let drafts = self.0.lock();
        let draft = drafts.get(&serial)?;
        Some(Look { size: draft.bytes.len() as u64, mode: draft.mode, changed_at: draft.changed_at })
    }

    pub(super) fn list(&self) -> Vec<(Serial, String)> {
        self.0.lock().iter().map(|(serial, draft)| (*serial, draft.name.clone())).collect()
    }

    pub(super) fn create(&self, serial: Serial, name: &str, bytes: Vec<u8>, mode: u16, now: Timestamp) {
        let mut drafts = self.0.lock();
        drafts.retain(|_, draft| draft.name != name);
        while drafts.len() >= FILES {
            drafts.pop_first();
        }
        drafts.insert(serial, DraftFile { name: name.to_owned(), bytes, mode, changed_at: now });
    }

    pub(super) fn rename(&self, serial: Serial, name: &str) {
        let mut drafts = self.0.lock();
        drafts.retain(|other, draft| *other == serial || draft.name != name);
        if let Some(draft) = drafts.get_mut(&serial) {
            draft.name = name.to_owned();
        }
    }

    pub(super) fn remove(&self, serial: Serial) -> Option<Vec<u8>> {
        self.0.lock().remove(&serial).map(|draft| draft.bytes)
    }

    pub(super) fn bytes(&self, serial: Serial) -> Option<Vec<u8>> {
        self.0.lock().get(&serial).map(|draft| draft.bytes.clone())
    }

    /// Writes at an offset. False when it would grow too large.
    pub(super) fn write(&self, serial: Serial, offset: u64, data: &[u8], now: Timestamp) -> bool {
        let mut drafts = self.0.lock();
        // An unlinked file that is still open swallows what is written.
        let Some(draft) = drafts.get_mut(&serial) else { return true };
        draft.changed_at = now;
        splice(&mut draft.bytes, offset, data)
    }

    pub(super) fn set(&self, serial: Serial, size: Option<u64>, mode: Option<u16>, now: Timestamp) {
        if let Some(draft) = self.0.lock().get_mut(&serial) {
            if let Some(size) = size {
                draft.bytes.resize(usize::try_from(size.min(LARGEST)).unwrap_or_default(), 0);
                draft.changed_at = now;
            }
            draft.mode = mode.unwrap_or(draft.mode);
        }
    }
}

/// Puts `data` at `offset`, with zeros before it if need be. False when the result would be too large.
pub(super) fn splice(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) -> bool {
    let end = offset.saturating_add(data.len() as u64);
    if end > LARGEST {
        return false;
    }
    let (from, end) = (offset as usize, end as usize);
    if bytes.len() < end {
        if bytes.capacity() < end {
            // A draft of `config` holds a token: what it grows out of is wiped.
            let mut larger = Vec::with_capacity(end.next_power_of_two());
            larger.extend_from_slice(bytes);
            bytes.zeroize();
            *bytes = larger;
        }
        bytes.resize(end, 0);
    }
    bytes[from..end].copy_from_slice(data);
    true
}
