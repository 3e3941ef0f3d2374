//! Text that somebody else chose, as our own sentences show it.

/// At most so many characters of it, and none that a terminal would obey. What is cut off shows as `…`.
pub fn printable(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(most).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

/// The key of a ledger record. Only the key of a team is longer than that.
pub fn record_key(key: &str) -> String {
    printable(key, 200)
}

/// The same for a place where a slip of the clipboard can put a secret: of a text longer than `most` only the beginning.
pub fn guarded(text: &str, most: usize) -> String {
    const BEGINNING: usize = 8;
    printable(text, if text.chars().nth(most).is_some() { BEGINNING } else { most })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_short_line() {
        assert_eq!(guarded("a-key-of-sixteen", 15), "a-key-of…");
        assert_eq!(guarded("a-key-of-sixteen", 16), "a-key-of-sixteen");
        assert_eq!(printable("role/app", 8), "role/app");
        assert_eq!(printable("role/app2", 8), "role/app…");
        assert_eq!(printable("a\n\u{1b}[31mé\0", 99), "a[31mé");
    }
}
