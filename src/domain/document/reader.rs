//! One reader for three notations: TOML, JSON (text begins with `{`), and `key=value` lines.

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use toml::{Table, Value};

use super::DocumentError;
use super::fields::shown_key;

/// Largest document, in bytes.
pub const LARGEST: usize = 64 * 1024;

/// Most dots in a key of a `key=value` line; `anchors.NAME.token` has two, and a name may have dots of its own.
const DEEPEST: usize = 16;

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
/// lines, all of it if it is JSON. One table for each notation it may turn out to be; none while it cannot be told.
///
/// # Errors
/// Only what more text could not repair.
pub fn read_prefix(bytes: &[u8]) -> Result<Vec<Table>, DocumentError> {
    let text = match checked_text(bytes) {
        // A character may be cut in the middle.
        Err(_) if bytes.len() <= LARGEST && cut_in_a_character(bytes) => return Ok(Vec::new()),
        text => text?,
    };
    let finished = match is_json(text) {
        true => text,
        false => &text[..text.rfind('\n').map_or(0, |end| end + 1)],
    };
    match parse(finished) {
        Ok(table) => {
            // `organization=1e3` is a number in TOML, and text if unquoted text follows.
            let lines = if is_json(text) { None } else { parse_lines(finished).and_then(Result::ok) };
            Ok(std::iter::once(table).chain(lines).collect())
        }
        Err(Failure::AtTheEnd(_)) => Ok(Vec::new()),
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
            Some(lines) => lines.map_err(Failure::Certain),
            None => Err(toml_failure(text, &error)),
        },
    }
}

fn toml_failure(text: &str, error: &toml::de::Error) -> Failure {
    let at = error.span().map_or(text.len(), |span| span.start);
    let line = text[..at.min(text.len())].matches('\n').count() + 1;
    let lonely = |line: &&str| !line.contains('=') && !line.trim_start().starts_with('[');
    let message = match text.lines().nth(line - 1).filter(lonely) {
        Some(_) if error.message().starts_with("key with no value") => "expected key = value".to_owned(),
        // The parser's own message never quotes a value; its Display would show the line.
        _ => error.message().trim_end().replace('\n', " "),
    };
    let message = format!("line {line}: {message}");
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

/// `key=value` lines, values without quotes: Vault's habit. A dotted key names a table. `None` if a line is something
/// else: whatever needs TOML's grammar is TOML, with TOML's message.
fn parse_lines(text: &str) -> Option<Result<Table, String>> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let lines: Vec<(usize, &str, &str)> = lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| key_and_value(line).map(|(key, value)| (number, key, value)))
        .collect::<Option<_>>()?;
    let mut table = Table::new();
    for (number, key, value) in lines {
        if value.is_empty() {
            return Some(Err(format!("line {number}: {key} has no value; leave the key out or give it a value")));
        }
        if !insert(&mut table, key, plain_value(value)) {
            return Some(Err(format!("line {number}: {key} is given twice; keep one of them")));
        }
    }
    Some(Ok(table))
}

fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let is_key = !key.is_empty() && key.chars().all(plain) && key.matches('.').count() <= DEEPEST;
    (is_key && !value.starts_with(['"', '\'', '[', '{'])).then_some((key, value))
}

/// A number with leading zeros is text: `mode=0440`.
fn plain_value(value: &str) -> Value {
    let is_padded = value.len() > 1 && value.trim_start_matches('-').starts_with('0');
    match (value, value.parse::<i64>()) {
        (_, Ok(number)) if !is_padded => Value::Integer(number),
        ("true", _) => Value::Boolean(true),
        ("false", _) => Value::Boolean(false),
        _ => Value::String(value.to_owned()),
    }
}

/// False: there is something at that key already.
fn insert(table: &mut Table, key: &str, value: Value) -> bool {
    match key.split_once('.') {
        None => table.insert(key.to_owned(), value).is_none(),
        Some((first, rest)) => {
            let inner = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
            inner.as_table_mut().is_some_and(|inner| insert(inner, rest, value))
        }
    }
}

/// A JSON object without repeated keys, as TOML values.
struct Strict(Table);

impl<'de> serde::Deserialize<'de> for Strict {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ValueOf("the document")).map(|value| match value {
            Value::Table(table) => Strict(table),
            _ => Strict(Table::new()),
        })
    }
}

/// Reads the value of a key: messages name the key, never the value.
struct ValueOf<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for ValueOf<'_> {
    type Value = Value;
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueOf<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value for {}", self.0)
    }
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value).map(Value::Integer).map_err(|_| E::custom(format!("{} is too large a number", self.0)))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Err(E::custom(format!("{} is null; leave the key out or give it a value", self.0)))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(ValueOf(self.0))? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut table = Table::new();
        while let Some(key) = map.next_key::<String>()? {
            let shown = shown_key(&key);
            let value = map.next_value_seed(ValueOf(&shown))?;
            if table.insert(key, value).is_some() {
                return Err(serde::de::Error::custom(format!("{shown} is given twice; keep one of them")));
            }
        }
        Ok(Value::Table(table))
    }
}
