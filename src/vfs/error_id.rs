//! A short name for one failure: it joins the line in `errors`, the event in the log and the line of the audit trail.

use std::fmt;

/// Letters and digits that nobody takes for one another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Bits of randomness. Of a hundred thousand failures, two share a name once in two hundred times.
const BITS: u32 = 40;

/// The name of one failure. Random, so that those of former daemons, in logs that outlive them, are others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorId(u64);

impl ErrorId {
    /// A name for a failure that has none yet.
    pub fn new() -> Self {
        // A failure to name it must not hide the failure itself.
        Self(getrandom::u64().unwrap_or_default())
    }
}

impl Default for ErrorId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for ErrorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for shift in (0..BITS).step_by(5).rev() {
            let at = usize::try_from((self.0 >> shift) & 31).unwrap_or_default();
            write!(f, "{}", char::from(ALPHABET[at]))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_eight_plain_characters() {
        assert_eq!(ErrorId(0).to_string(), "00000000");
        assert_eq!(ErrorId(u64::MAX).to_string(), "zzzzzzzz");
        assert_eq!(ErrorId(31 << 35 | 10).to_string(), "z000000a");
    }

    #[test]
    fn two_failures_have_two_names() {
        assert_ne!(ErrorId::new().to_string(), ErrorId::new().to_string());
    }
}
