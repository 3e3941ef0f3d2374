//! What stands for a token in the trail: HMAC-SHA-256 with a key that only whoever holds the sealing key can make.
//!
//! A bare hash would do for a random token, but not every token is: whoever guesses one could prove the guess. And with
//! the key, no line tells anything to somebody who has the trail alone.

use std::fmt;
use std::fmt::Write;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::adapters::sealing_key::SealingKey;
use crate::domain::token::Token;

/// Sets this key apart from every other use of the sealing key.
const PURPOSE: &[u8] = b"tfcfs audit token_hmac v1";

/// Makes the `token_hmac` of tokens.
#[derive(Clone)]
pub struct TokenHmac(Hmac<Sha256>);

impl TokenHmac {
    /// With a key derived (HKDF-SHA-256) from the key of the state: the same after a restart.
    pub fn new(key: &SealingKey) -> Self {
        let mut derived = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, key.expose())
            .expand(PURPOSE, derived.as_mut())
            .expect("HKDF gives 255 times as much");
        Self(Hmac::new_from_slice(derived.as_ref()).expect("HMAC takes keys of any length"))
    }

    /// In hexadecimal digits.
    pub fn of(&self, token: &Token) -> String {
        let mut hmac = self.0.clone();
        hmac.update(token.expose().as_bytes());
        let mut text = String::with_capacity(64);
        for byte in hmac.finalize().into_bytes() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl fmt::Debug for TokenHmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHmac(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python: `hmac(hkdf(b"\7" * 32, b"tfcfs audit token_hmac v1"), b"hunter2")`. What was written by one
    /// version must be found by the next.
    #[test]
    fn known_answer() {
        let token = Token::parse("hunter2").unwrap();
        let hmac = |byte| TokenHmac::new(&SealingKey::from_bytes([byte; 32])).of(&token);
        assert_eq!(hmac(7), "ab4b1b6e3e64dfe3775a9fc36c1e2de571b77e9cccf24b01dab2b1949b09ff70");
        assert_ne!(hmac(7), hmac(8));
    }
}
