//! The seal of one value: XChaCha20-Poly1305 with a random 24-byte nonce for each.
//!
//! The record's key text is authenticated with the value, so that one record cannot be passed off as another. Not
//! covered: a whole record, or the whole file, that somebody puts back to what it was earlier.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use super::sealing_key::SealingKey;
use crate::domain::ports::StoreError;
use crate::domain::printable::record_key;

/// First byte of a sealed value.
const FORMAT: u8 = 1;
/// Bytes of a nonce, which follow it.
const NONCE: usize = 24;

/// Seals and opens values with one key.
pub(super) struct Seal(XChaCha20Poly1305);

impl Seal {
    pub(super) fn new(key: &SealingKey) -> Self {
        Self(XChaCha20Poly1305::new(key.expose().into()))
    }

    /// Seals the value of the record `key`.
    pub(super) fn seal(&self, key: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|e| {
            StoreError::Unavailable(format!("the kernel gives no random numbers ({e}), so nothing can be sealed"))
        })?;
        let sealed = self
            .0
            .encrypt(&XNonce::from(nonce), Payload { msg: value, aad: key.as_bytes() })
            .map_err(|_| StoreError::Unavailable(format!("the record {key} is too big to be sealed")))?;
        let mut bytes = Vec::with_capacity(1 + NONCE + sealed.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Ok(bytes)
    }

    /// Opens what was sealed as the record `key`, with the same sealing key.
    pub(super) fn unseal(&self, key: &str, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
        let (&format, rest) = bytes.split_first().ok_or_else(|| damaged(key))?;
        if format > FORMAT {
            let key = record_key(key);
            return Err(StoreError::Corrupt(format!(
                "the record {key} was sealed by a newer tfcfs (format {format}), or it is damaged; run that version, \
                 or restore the ledger from a backup"
            )));
        }
        if format != FORMAT {
            return Err(damaged(key));
        }
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or_else(|| damaged(key))?;
        self.0.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: key.as_bytes() }).map_err(|_| damaged(key))
    }
}

fn damaged(key: &str) -> StoreError {
    let key = record_key(key);
    StoreError::Corrupt(format!(
        "wrong sealing key or damaged record ({key}): give tfcfs the key that sealed this ledger, restore ledger and \
         key from the same backup, or move the ledger away and start with an empty one (the tokens it recorded then \
         live until their own end)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(byte: u8) -> Seal {
        Seal::new(&SealingKey::from_bytes([byte; 32]))
    }

    #[test]
    fn what_was_sealed_opens_again_and_never_looks_the_same_twice() {
        let seal = seal(1);
        let (one, two) = (seal.seal("k", b"hunter2").unwrap(), seal.seal("k", b"hunter2").unwrap());
        assert_ne!(one, two);
        assert_eq!(seal.unseal("k", &one).unwrap(), b"hunter2");
        assert_eq!(seal.unseal("k", &two).unwrap(), b"hunter2");
    }

    #[test]
    fn any_flipped_bit_any_cut_another_name_or_another_key_is_found() {
        let sealer = seal(1);
        let sealed = sealer.seal("k", b"hunter2").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(sealer.unseal("k", &bad), Err(StoreError::Corrupt(_))), "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert!(matches!(sealer.unseal("k", &sealed[..len]), Err(StoreError::Corrupt(_))), "cut to {len}");
        }
        for error in [sealer.unseal("other", &sealed).unwrap_err(), seal(2).unseal("k", &sealed).unwrap_err()] {
            let StoreError::Corrupt(sentence) = error else { panic!("{error:?}") };
            assert!(sentence.contains("wrong sealing key or damaged record"), "{sentence}");
        }
    }
}
