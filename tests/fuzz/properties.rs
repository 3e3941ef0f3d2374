//! What holds for every input.

/// Where `TOKEN` stands in an input, this secret is put. [`MARK`] is in each of its pieces.
pub const SECRET: &str = "Fz7qzjdTp8Qzj.atlasv1.qzjxkDVde7qzjNgBRdLpqzjcfFEesfqzjOFd7PhrqzjUURdPRDqzjdrcO9ivqzjEkNhPwOqzj7XngRPUqzjoBgO0ePqzj";

/// Letters of the secret that nothing else has. An input with them is none: libFuzzer sees what is compared with what, and would
/// soon write parts of the secret itself.
const MARK: &str = "qzj";

/// The longest sentence that an error may be, in bytes. The list of known keys is most of it.
const LONGEST: usize = 1000;

/// The same for a sentence that names a file or a record.
pub const LONGEST_WITH_PATH: usize = 1500;

/// Bytes of a secret that nobody may learn together: upper or lower case.
const PIECE: usize = 16;

/// Whether something has parts of the secret; an input, without `TOKEN`.
pub fn knows_the_secret(input: &[u8]) -> bool {
    input.windows(MARK.len()).any(|window| window.eq_ignore_ascii_case(MARK.as_bytes()))
}

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
    if !text.contains(MARK) {
        return;
    }
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
