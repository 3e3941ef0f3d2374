//! Taking values out of a table: each with its type, its limits and a message that says what to do.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use zeroize::Zeroizing;

use super::DocumentError;
use super::suggest::{did_you_mean, shown_key, unknown_key};
use super::table::{Table, Value};
use super::times;
use crate::domain::owner::{LONGEST_ID, is_id};

type Result<T> = std::result::Result<T, DocumentError>;

/// A table whose keys are all known, taken one by one. Messages begin with the line of the key they are about and never
/// repeat its value, unless that is said.
pub struct Fields {
    table: Table,
    lines: HashMap<String, usize>,
    /// Where the table stands, for messages: `""` or ` in [anchors.ci]`.
    place: String,
}

impl Fields {
    /// Over a table; `place` names it in messages, `""` for a whole document.
    ///
    /// # Errors
    /// A key that is not known, with the nearest one that is. A key whose value cannot be one.
    pub fn new(table: Table, known: &[&str], place: &str) -> Result<Self> {
        let place = if place.is_empty() { String::new() } else { format!(" in {place}") };
        let unknown = table.iter().filter(|(key, _)| !known.contains(key));
        if let Some((key, entry)) = unknown.min_by_key(|(_, entry)| entry.line) {
            return Err(DocumentError::certain(format!("line {}: {}", entry.line, unknown_key(key, known, &place))));
        }
        let lines = table.iter().map(|(key, entry)| (key.to_owned(), entry.line)).collect();
        let fields = Self { table, lines, place };
        for (key, entry) in fields.table.iter() {
            match entry.value {
                Value::Null => return Err(fields.wrong(key, "is null; leave the key out or give it a value")),
                Value::TooLarge => return Err(fields.wrong(key, "is too large a number")),
                _ => {}
            }
        }
        Ok(fields)
    }

    /// Text as it stands, e.g. a token.
    ///
    /// # Errors
    /// Another type, or nothing but blanks.
    pub fn secret(&mut self, key: &str) -> Result<Option<Zeroizing<String>>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Text(text)) if text.trim().is_empty() => {
                Err(self.wrong(key, "is empty; leave the key out or give it a value"))
            }
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other @ (Value::Integer(_) | Value::Octal(_) | Value::Float | Value::Boolean(_) | Value::Date)) => {
                Err(self.type_error(key, "text", &other, "; put it in quotes"))
            }
            Some(other) => Err(self.type_error(key, "text", &other, "")),
        }
    }

    /// Text.
    ///
    /// # Errors
    /// As [`Fields::secret`].
    pub fn text(&mut self, key: &str) -> Result<Option<String>> {
        Ok(self.secret(key)?.map(|text| text.to_string()))
    }

    /// An id or a name of upstream: printable, no blanks, no slash.
    ///
    /// # Errors
    /// Another type, or characters that no id has.
    pub fn id(&mut self, key: &str) -> Result<Option<String>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        if !is_id(&text) {
            return Err(self.wrong(key, &format!("is not an id: no blanks, no slash, at most {LONGEST_ID} characters")));
        }
        Ok(Some(text))
    }

    /// A list of texts, or a single one.
    ///
    /// # Errors
    /// Another type.
    pub fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>> {
        let expected = "a list of texts";
        match self.take(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(vec![text.to_string()])),
            Some(Value::List(values)) => {
                let text = |value| match value {
                    Value::Text(text) => Ok(text.to_string()),
                    other => Err(self.type_error(key, expected, &other, " in it")),
                };
                values.into_iter().map(text).collect::<Result<_>>().map(Some)
            }
            Some(other) => Err(self.type_error(key, expected, &other, "")),
        }
    }

    /// True or false.
    ///
    /// # Errors
    /// Another type.
    pub fn flag(&mut self, key: &str) -> Result<Option<bool>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Boolean(value)) => Ok(Some(value)),
            Some(other) => Err(self.type_error(key, "true or false", &other, "")),
        }
    }

    /// A whole number within limits.
    ///
    /// # Errors
    /// Another type, or outside.
    pub fn number(&mut self, key: &str, least: u32, most: u32) -> Result<Option<u32>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Integer(number) | Value::Octal(number)) => match u32::try_from(number) {
                Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
                _ => Err(self.wrong(key, &format!("must be between {least} and {most}"))),
            },
            Some(other) => Err(self.type_error(key, "a whole number", &other, "")),
        }
    }

    /// A time: whole seconds, or text such as `"90m"`, `"1h30m"`, `"7d"`. Zero means default, as in Vault.
    ///
    /// # Errors
    /// Another type, negative, absurd.
    pub fn time(&mut self, key: &str) -> Result<Option<Duration>> {
        Ok(self.exact_time(key)?.filter(|time| !time.is_zero()))
    }

    /// A time within limits, of which zero may be one.
    ///
    /// # Errors
    /// Another type, or outside.
    pub fn time_within(&mut self, key: &str, limits: &RangeInclusive<Duration>) -> Result<Option<Duration>> {
        match self.exact_time(key)? {
            Some(time) if !limits.contains(&time) => {
                let (least, most) = (times::shown(*limits.start()), times::shown(*limits.end()));
                Err(self.wrong(key, &format!("must be between {least} and {most}")))
            }
            time => Ok(time),
        }
    }

    fn exact_time(&mut self, key: &str) -> Result<Option<Duration>> {
        let time = match self.take(key) {
            None => return Ok(None),
            Some(Value::Integer(seconds)) => times::from_seconds(seconds),
            Some(Value::Text(text)) => times::from_text(&text),
            Some(other) => {
                return Err(self.type_error(key, "a time: whole seconds, or text such as \"90m\"", &other, ""));
            }
        };
        time.map(Some).map_err(|what| self.wrong(key, &what))
    }

    /// One of several words.
    ///
    /// # Errors
    /// Another type or word.
    pub fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Result<Option<T>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let all: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                let hint = did_you_mean(&text, words.iter().map(|(word, _)| *word))
                    .map(|hint| format!("; {hint}"))
                    .unwrap_or_default();
                Err(self.wrong(key, &format!("must be one of {}{hint}", all.join(", "))))
            }
        }
    }

    /// A user or group: a number, or a name that `find` knows. A name that is not known is repeated in the message.
    ///
    /// # Errors
    /// Another type, or an account that this machine does not know.
    pub fn account(&mut self, key: &str, find: &dyn Fn(&str) -> Option<u32>) -> Result<Option<u32>> {
        let number = match self.take(key) {
            None => return Ok(None),
            Some(Value::Integer(number)) => number,
            Some(Value::Text(name)) => match (name.trim().parse::<i64>(), find(name.trim())) {
                (Ok(number), _) => number,
                (_, Some(number)) => number.into(),
                _ => {
                    let name = shown_key(name.trim());
                    return Err(self.wrong(
                        key,
                        &format!(
                            "names an account that this machine does not know; write its number (found \"{name}\")"
                        ),
                    ));
                }
            },
            Some(other) => return Err(self.type_error(key, "a name or a number", &other, "")),
        };
        match u32::try_from(number) {
            // The highest number means "leave it" to chown.
            Ok(number) if number != u32::MAX => Ok(Some(number)),
            _ => Err(self.wrong(key, "is not the number of an account (0 to 4294967294)")),
        }
    }

    /// Whether a key was written, also after it was taken.
    pub fn has(&self, key: &str) -> bool {
        self.lines.contains_key(key)
    }

    /// The raw value.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.table.remove(key).map(|entry| entry.value)
    }

    /// An error about a key; `what` continues a sentence that begins with it.
    pub fn wrong(&self, key: &str, what: &str) -> DocumentError {
        self.wrong_at(key, &format!("{key}{} {what}", self.place))
    }

    /// An error on the line of a key.
    pub fn wrong_at(&self, key: &str, sentence: &str) -> DocumentError {
        let line = self.lines.get(key).map(|line| format!("line {line}: ")).unwrap_or_default();
        DocumentError::certain(format!("{line}{sentence}"))
    }

    /// An error about the type of a key.
    pub fn type_error(&self, key: &str, expected: &str, found: &Value, hint: &str) -> DocumentError {
        self.wrong(key, &format!("must be {expected}, not {}{hint}", found.kind()))
    }
}
