//! One reader for three notations: TOML, JSON (text begins with `{`), and `key=value` lines.

use toml::{Table, Value};

use super::DocumentError;

/// Largest document, in bytes.
pub const LARGEST: usize = 64 * 1024;

/// The error for a document beyond [`LARGEST`].
pub fn too_large() -> DocumentError {
    DocumentError::certain(format!(
        "the document is larger than {} KiB; roles and anchors are a few lines",
        LARGEST / 1024
    ))
}

/// How a text failed to be read.
enum Failure {
    /// At a place that more text cannot change.
    Certain(String),
    /// At its end: more text may repair it.
    AtTheEnd(String),
}

/// Reads a finished document.
///
/// # Errors
/// Anything that is no table in one of the notations. Messages name the line, never a value.
pub fn read(bytes: &[u8]) -> Result<Table, DocumentError> {
    let text = checked_text(bytes)?;
    parse(text).map_err(|failure| match failure {
        Failure::Certain(message) | Failure::AtTheEnd(message) => DocumentError::certain(message),
    })
}

/// Reads the beginning of a document that is still being written: its finished lines if it is TOML or `key=value`
/// lines, all of it if it is JSON. `None` while it cannot be told.
///
/// # Errors
/// Only what more text could not repair.
pub fn read_prefix(bytes: &[u8]) -> Result<Option<Table>, DocumentError> {
    let text = match checked_text(bytes) {
        // A character may be cut in the middle.
        Err(_) if bytes.len() <= LARGEST && cut_in_a_character(bytes) => return Ok(None),
        text => text?,
    };
    let finished = match is_json(text) {
        true => text,
        false => &text[..text.rfind('\n').map_or(0, |end| end + 1)],
    };
    match parse(finished) {
        Ok(table) => Ok(Some(table)),
        Err(Failure::AtTheEnd(_)) => Ok(None),
        Err(Failure::Certain(message)) => Err(DocumentError::certain(message)),
    }
}

fn cut_in_a_character(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none()) && !bytes.contains(&0)
}

fn checked_text(bytes: &[u8]) -> Result<&str, DocumentError> {
    if bytes.len() > LARGEST {
        return Err(too_large());
    }
    if bytes.contains(&0) {
        return Err(DocumentError::certain("the document contains NUL bytes; it must be text"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        DocumentError::certain(format!("byte {} is not UTF-8; the document must be text", error.valid_up_to() + 1))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

fn parse(text: &str) -> Result<Table, Failure> {
    if is_json(text) {
        return parse_json(text);
    }
    match text.parse::<Table>() {
        Ok(table) => Ok(table),
        Err(error) => match parse_lines(text) {
            Some(table) => Ok(table),
            None => Err(toml_failure(text, &error)),
        },
    }
}

fn toml_failure(text: &str, error: &toml::de::Error) -> Failure {
    let at = error.span().map_or(text.len(), |span| span.start);
    let line = text[..at.min(text.len())].matches('\n').count() + 1;
    // The parser's own message never quotes a value; its Display would show the line.
    let message = format!("line {line}: {}", error.message().trim_end().replace('\n', " "));
    // An unclosed string or array is reported where it ends, at the last line break at the earliest.
    match text[at.min(text.len())..].trim().is_empty() {
        true => Failure::AtTheEnd(message),
        false => Failure::Certain(message),
    }
}

fn parse_json(text: &str) -> Result<Table, Failure> {
    match serde_json::from_str::<Strict>(text) {
        Ok(Strict(table)) => Ok(table),
        Err(error) => {
            let message = match error.classify() {
                // Syntax messages name a place and a character; data messages are ours.
                serde_json::error::Category::Data => error.to_string(),
                _ => format!("line {} column {}: this is not JSON", error.line(), error.column()),
            };
            Err(if error.is_eof() { Failure::AtTheEnd(message) } else { Failure::Certain(message) })
        }
    }
}

/// `key=value` lines, values without quotes: Vault's habit. A dotted key names a table. `None` if a line is neither.
fn parse_lines(text: &str) -> Option<Table> {
    let mut table = Table::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = line.split_once('=')?;
        let (key, value) = (key.trim(), value.trim());
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        // Whatever needs TOML's grammar is TOML, with TOML's message.
        if key.is_empty() || !key.chars().all(plain) || value.starts_with(['"', '\'', '[', '{']) || value.is_empty() {
            return None;
        }
        let mut path: Vec<&str> = key.split('.').collect();
        let last = path.pop()?;
        let mut place = &mut table;
        for step in path {
            place = place.entry(step).or_insert_with(|| Value::Table(Table::new())).as_table_mut()?;
        }
        let value = match (value.parse::<i64>(), value) {
            (Ok(number), _) => Value::Integer(number),
            (_, "true") => Value::Boolean(true),
            (_, "false") => Value::Boolean(false),
            _ => Value::String(value.to_owned()),
        };
        if place.insert(last.to_owned(), value).is_some() {
            return None;
        }
    }
    Some(table)
}

/// A JSON object without repeated keys, as TOML values.
struct Strict(Table);

impl<'de> serde::Deserialize<'de> for Strict {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Strict;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
                let mut table = Table::new();
                while let Some(key) = map.next_key::<String>()? {
                    let value = map.next_value::<StrictValue>()?.0;
                    if table.insert(key.clone(), value).is_some() {
                        return Err(serde::de::Error::custom(format!("key \"{key}\" is given twice")));
                    }
                }
                Ok(Strict(table))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

struct StrictValue(Value);

impl<'de> serde::Deserialize<'de> for StrictValue {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = StrictValue;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("text, a whole number, true, false or an object")
            }
            fn visit_str<E>(self, text: &str) -> Result<StrictValue, E> {
                Ok(StrictValue(Value::String(text.to_owned())))
            }
            fn visit_bool<E>(self, value: bool) -> Result<StrictValue, E> {
                Ok(StrictValue(Value::Boolean(value)))
            }
            fn visit_i64<E>(self, value: i64) -> Result<StrictValue, E> {
                Ok(StrictValue(Value::Integer(value)))
            }
            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<StrictValue, E> {
                i64::try_from(value)
                    .map(|value| StrictValue(Value::Integer(value)))
                    .map_err(|_| E::custom("a number is too large"))
            }
            fn visit_f64<E>(self, value: f64) -> Result<StrictValue, E> {
                Ok(StrictValue(Value::Float(value)))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<StrictValue, A::Error> {
                let inner = serde::de::value::MapAccessDeserializer::new(map);
                <Strict as serde::Deserialize>::deserialize(inner).map(|Strict(table)| StrictValue(Value::Table(table)))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
