//! Random ids and token strings of the shape that upstream has.

const BASE58: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const MIDDLE: &str = ".atlasv1.";
const HEAD: usize = 14;

/// The shortest token there can be: head, middle and one character.
pub const MIN_TOKEN: usize = HEAD + MIDDLE.len() + 1;

fn random(alphabet: &[u8], length: usize) -> String {
    let mut bytes = vec![0u8; length];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes.iter().map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()])).collect()
}

/// `PREFIX-` and 16 characters of base 58.
pub fn id(prefix: &str) -> String {
    format!("{prefix}-{}", random(BASE58, 16))
}

/// A token of `length` characters (at least [`MIN_TOKEN`]).
pub fn secret(length: usize) -> String {
    let tail = length.max(MIN_TOKEN) - HEAD - MIDDLE.len();
    format!("{}{MIDDLE}{}", random(ALNUM, HEAD), random(ALNUM, tail))
}

/// A text in which whatever looks like a token is blacked out: clients may put one into a path by mistake.
pub fn without_secrets(text: &str) -> String {
    if !text.contains(MIDDLE) {
        return text.to_owned();
    }
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    text.split_inclusive(|c| !word(c))
        .map(
            |piece| {
                if piece.contains(MIDDLE) { format!("[token]{}", piece.trim_start_matches(word)) } else { piece.into() }
            },
        )
        .collect()
}
