//! What holds for every input.

/// Where `TOKEN` stands in an input, this secret is put.
pub const SECRET: &str =
    "Fz7hunter2Qk9x.atlasv1.zX81fuzzedSecretq0W3fuzzedSecretv5Tb2fuzzedSecretkLm4fuzzedSecretn6Yp9fuzz";

/// The longest sentence that an error may be, in bytes. The list of known keys is most of it.
const LONGEST: usize = 1000;

/// The same for a sentence that names a file or a record.
pub const LONGEST_WITH_PATH: usize = 1500;

/// Bytes of a secret that nobody may learn together: upper or lower case.
const PIECE: usize = 16;

/// The input with the secret in it.
pub fn planted(input: &[u8]) -> Vec<u8> {
    const WORD: &[u8] = b"TOKEN";
    let mut out = Vec::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.windows(WORD.len()).position(|window| window == WORD) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(SECRET.as_bytes());
        rest = &rest[at + WORD.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// An error is one line of bounded length that a terminal shows as it is, and no secret stands in it.
#[track_caller]
pub fn sentence(text: &str) {
    assert!(!text.is_empty(), "an error says nothing");
    assert!(!text.contains(char::is_control), "not one printable line: {text:?}");
    assert!(text.len() <= LONGEST, "{} bytes: {text}", text.len());
    secretless(text);
}

/// No piece of the secret.
#[track_caller]
pub fn secretless(text: &str) {
    let text = text.to_ascii_lowercase();
    let secret = SECRET.to_ascii_lowercase();
    for at in 0..=secret.len() - PIECE {
        let piece = &secret[at..at + PIECE];
        assert!(!text.contains(piece), "a piece of the secret ({piece}): {text}");
    }
}

/// Places at which a text may be cut by a write: all of a short one, some of a long one.
pub fn cuts(length: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(length / 64 + 1)
}
