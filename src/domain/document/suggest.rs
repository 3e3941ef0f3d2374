//! "Did you mean": the nearest of the words that would have been right.

use crate::domain::printable::guarded;

/// The word most like `text`, if any is like it at all.
pub fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = words.map(|word| (strsim::jaro_winkler(text, word), word));
    scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, word)| word)
}

/// `did you mean "…"?`, or nothing.
pub(super) fn did_you_mean<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(text, words).map(|near| format!("did you mean \"{near}\"?"))
}

/// A key as messages show it. Of a long one only the beginning: a slip of the clipboard can make a secret a key.
pub fn shown_key(key: &str) -> String {
    guarded(key, 40)
}

/// The sentence for a key that does not exist.
pub(super) fn unknown_key(key: &str, known: &[&str], place: &str) -> String {
    let hint = did_you_mean(key, known.iter().copied()).map(|hint| format!("{hint} ")).unwrap_or_default();
    format!("unknown key \"{}\"{place}; {hint}Known keys: {}", shown_key(key), known.join(", "))
}
