//! Notifications to the kernel as bytes: `fuse_out_header` with a code in place of an error, then the body that the code
//! has in the kernel's `fuse.h`. fuser sends them on its own device only, see [`super::device`].

use zeroize::Zeroizing;

use crate::vfs::Ino;

/// Length, code, and the request that it answers: none.
const HEADER: usize = 16;

const POLL: i32 = 1;
const INVAL_INODE: i32 = 2;
const INVAL_ENTRY: i32 = 3;
const STORE: i32 = 4;
const DELETE: i32 = 6;

/// One message. Wiped, for a [`store`] holds a token.
pub(super) type Message = Zeroizing<Vec<u8>>;

/// A message being written. Of its final size from the start, lest growing leave copies behind.
struct Writer(Message);

impl Writer {
    fn new(code: i32, body: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER + body);
        bytes.extend((HEADER as u32 + body as u32).to_ne_bytes());
        bytes.extend(code.to_ne_bytes());
        bytes.extend(0u64.to_ne_bytes());
        Self(Zeroizing::new(bytes))
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
}

/// Whoever polls `handle` shall ask again.
pub(super) fn poll(handle: u64) -> Message {
    Writer::new(POLL, 8).u64(handle).0
}

/// Attributes of a node are out of date, and its pages from `offset` on for `length` bytes; a length below 1: to the end;
/// an offset below 0: none.
pub(super) fn inval_inode(node: Ino, offset: i64, length: i64) -> Message {
    Writer::new(INVAL_INODE, 24).u64(node.0).bytes(&offset.to_ne_bytes()).bytes(&length.to_ne_bytes()).0
}

/// A name in `dir` has to be looked up again.
pub(super) fn inval_entry(dir: Ino, name: &str) -> Message {
    let name = name.as_bytes();
    Writer::new(INVAL_ENTRY, 17 + name.len()).u64(dir.0).u32(name.len() as u32).u32(0).bytes(name).bytes(&[0]).0
}

/// A name in `dir`, which was `node`, is gone: watchers of the file hear of it.
pub(super) fn delete(dir: Ino, node: Ino, name: &str) -> Message {
    let name = name.as_bytes();
    let writer = Writer::new(DELETE, 25 + name.len()).u64(dir.0).u64(node.0);
    writer.u32(name.len() as u32).u32(0).bytes(name).bytes(&[0]).0
}

/// The first bytes of a node's content.
pub(super) fn store(node: Ino, bytes: &[u8]) -> Message {
    Writer::new(STORE, 24 + bytes.len()).u64(node.0).u64(0).u32(bytes.len() as u32).u32(0).bytes(bytes).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_codes() {
        let node = Ino(0x0102_0304);
        for (message, code) in [
            (poll(7), 1),
            (inval_inode(node, 0, -1), 2),
            (inval_entry(node, "token"), 3),
            (store(node, b"bytes"), 4),
            (delete(node, node, "token.json"), 6),
        ] {
            assert_eq!(message.capacity(), message.len(), "no growing");
            assert_eq!(message[..4], (message.len() as u32).to_ne_bytes());
            assert_eq!(message[4..8], i32::to_ne_bytes(code));
            assert_eq!(message[8..16], [0; 8]);
        }
        assert_eq!(&inval_entry(node, "token")[32..], b"token\0");
        assert_eq!(&delete(node, node, "token")[40..], b"token\0");
        assert_eq!(&store(node, b"bytes")[40..], b"bytes");
    }
}
