//! One reader for three notations: TOML, JSON (the text begins with `{`), and `key=value` lines.

use super::table::Table;
use super::{DocumentError, json, statements, toml_text};

/// Largest document, in bytes.
pub const LARGEST: usize = 64 * 1024;

/// Largest settings file, in bytes: it may hold thousands of roles.
pub const LARGEST_SETTINGS: usize = 4 << 20;

/// The error for a document beyond [`LARGEST`].
pub fn too_large() -> DocumentError {
    too_large_for(LARGEST)
}

fn too_large_for(largest: usize) -> DocumentError {
    DocumentError::certain(format!("the document is larger than {} KiB; is it the right file?", largest / 1024))
}

/// Reads a finished document.
///
/// # Errors
/// Anything that is no table in one of the notations. Messages name the line, never a value.
pub fn read(bytes: &[u8]) -> Result<Table, DocumentError> {
    let text = checked_text(bytes, LARGEST)?;
    match is_json(text) {
        true => json::parse(text),
        false => toml_text::parse_lenient(text).map_err(|error| {
            // An array or a text that is still open at the end is only unfinished.
            let finished = statements::finished(text);
            let only_unfinished = finished.len() < text.len() && toml_text::parse_lenient(finished).is_ok();
            DocumentError { certain: error.certain && !only_unfinished, ..error }
        }),
    }
}

/// Reads a finished document that must be TOML and may be larger: the settings file.
///
/// # Errors
/// As [`read`].
pub fn read_toml(bytes: &[u8]) -> Result<Table, DocumentError> {
    toml_text::parse(checked_text(bytes, LARGEST_SETTINGS)?)
}

/// Reads the beginning of a document that is still being written: its finished statements. `None` while there are none.
///
/// # Errors
/// Only what more text could not repair.
pub(super) fn read_prefix(bytes: &[u8]) -> Result<Option<Table>, DocumentError> {
    let text = checked_text(without_cut_character(bytes), LARGEST)?;
    let table = match is_json(text) {
        true => json::parse(text),
        false => toml_text::parse_lenient(statements::finished(text)),
    };
    match table {
        Err(error) if !error.certain => Ok(None),
        table => table.map(Some),
    }
}

/// A character may be cut in the middle; the next write brings the rest.
fn without_cut_character(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}

fn checked_text(bytes: &[u8], largest: usize) -> Result<&str, DocumentError> {
    if bytes.len() > largest {
        return Err(too_large_for(largest));
    }
    if bytes.contains(&0) {
        return Err(DocumentError::certain(
            "the document contains NUL bytes (a binary file, or UTF-16?); it must be text in UTF-8",
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let line = bytes[..at].iter().filter(|b| **b == b'\n').count() + 1;
        DocumentError::certain(format!("line {line}: byte {} is not UTF-8; the document must be text", at + 1))
    })?;
    // Some editors begin a file with a byte order mark.
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}
