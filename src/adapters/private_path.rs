//! Whether others could read or replace what must be ours alone: checked before it is used, as ssh does.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// Permission bits of other users that would let them read.
pub(super) const READ_BY_OTHERS: u32 = 0o077;
/// Permission bits of other users that would let them change.
pub(super) const WRITE_BY_OTHERS: u32 = 0o022;

/// Those of the permission bits in `forbidden` that are set; `None` if none is.
pub(super) fn too_open(metadata: &Metadata, forbidden: u32) -> Option<u32> {
    (metadata.mode() & forbidden != 0).then_some(metadata.mode() & 0o7777)
}

/// The owner, if that is neither root nor whoever runs this: they could change it at any time.
pub(super) fn foreign_owner(metadata: &Metadata) -> Option<u32> {
    let uid = metadata.uid();
    (uid != 0 && uid != rustix::process::geteuid().as_raw()).then_some(uid)
}
