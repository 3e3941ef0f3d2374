//! Taking values out of a table: each with its type, its limits and a message that says what to do.

use std::time::Duration;

use jiff::SignedDuration;
use toml::{Table, Value};

use super::DocumentError;

/// Longest time that makes sense anywhere here.
const ABSURD: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

type Result<T> = std::result::Result<T, DocumentError>;

/// A table whose known keys are taken one by one; what is left in the end is unknown.
pub struct Fields {
    table: Table,
    known: &'static [&'static str],
    /// Where the table stands, for messages: `""` or `in [anchors.ci]`.
    place: String,
}

impl Fields {
    /// Over a table.
    ///
    /// # Errors
    /// A key that is not known, with the nearest one that is.
    pub fn new(table: Table, known: &'static [&'static str], place: &str) -> Result<Self> {
        let place = if place.is_empty() { String::new() } else { format!(" in {place}") };
        for key in table.keys() {
            if !known.contains(&key.as_str()) {
                return Err(DocumentError::certain(unknown_key(key, known, &place)));
            }
        }
        Ok(Self { table, known, place })
    }

    /// Text.
    ///
    /// # Errors
    /// Another type, or nothing but blanks.
    pub fn text(&mut self, key: &str) -> Result<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => {
                Err(self.wrong(key, "is empty; leave the key out or give it a value"))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            // `key=value` lines cannot tell 123 from "123".
            Some(Value::Integer(number)) => Ok(Some(number.to_string())),
            Some(other) => Err(self.type_error(key, "text", &other)),
        }
    }

    /// An id or a name of upstream: printable, no blanks, no slash.
    ///
    /// # Errors
    /// Another type, or characters that no id has.
    pub fn id(&mut self, key: &str) -> Result<Option<String>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '?' | '#' | '%');
        if text.len() > 255 || text.contains(bad) {
            return Err(self.wrong(key, "is not an id: no blanks, no slash, at most 255 characters"));
        }
        Ok(Some(text))
    }

    /// True or false.
    ///
    /// # Errors
    /// Another type.
    pub fn flag(&mut self, key: &str) -> Result<Option<bool>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Boolean(value)) => Ok(Some(value)),
            Some(other) => Err(self.type_error(key, "true or false", &other)),
        }
    }

    /// A whole number within limits.
    ///
    /// # Errors
    /// Another type, or outside.
    pub fn number(&mut self, key: &str, least: u32, most: u32) -> Result<Option<u32>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Integer(number)) => match u32::try_from(number) {
                Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
                _ => Err(self.wrong(key, &format!("must be between {least} and {most}"))),
            },
            Some(other) => Err(self.type_error(key, "a whole number", &other)),
        }
    }

    /// A time: whole seconds, or text such as `"90m"`, `"1h30m"`, `"7d"`. Zero means default, as in Vault.
    ///
    /// # Errors
    /// Another type, negative, absurd.
    pub fn time(&mut self, key: &str) -> Result<Option<Duration>> {
        let time = match self.take(key) {
            None => return Ok(None),
            Some(Value::Integer(number)) => SignedDuration::from_secs(number),
            Some(Value::String(text)) => {
                let parsed = match text.trim().parse::<i64>() {
                    Ok(seconds) => Some(SignedDuration::from_secs(seconds)),
                    Err(_) => parse_time(text.trim()),
                };
                parsed.ok_or_else(|| {
                    self.wrong(key, "is not a time; write seconds, or text such as \"90m\", \"1h30m\", \"7d\"")
                })?
            }
            Some(other) => return Err(self.type_error(key, "a time (seconds, or text such as \"90m\")", &other)),
        };
        let time = Duration::try_from(time)
            .map_err(|_| self.wrong(key, "is negative; a time must be positive, or 0 for the default"))?;
        if time > ABSURD {
            return Err(self.wrong(key, "is more than ten years; tokens here are meant to be short-lived"));
        }
        if time.subsec_nanos() != 0 {
            return Err(self.wrong(key, "must be whole seconds"));
        }
        Ok(Some(time).filter(|time| !time.is_zero()))
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
                let hint = nearest(&text, words.iter().map(|(word, _)| *word));
                let hint = hint.map(|word| format!("; did you mean \"{word}\"?")).unwrap_or_default();
                Err(self.wrong(key, &format!("must be one of {}{hint}", all.join(", "))))
            }
        }
    }

    /// A user or group: a number, or a name that `find` knows.
    ///
    /// # Errors
    /// Another type, or an account that this machine does not know.
    pub fn account(&mut self, key: &str, find: &dyn Fn(&str) -> Option<u32>) -> Result<Option<u32>> {
        let number = match self.take(key) {
            None => return Ok(None),
            Some(Value::Integer(number)) => number,
            Some(Value::String(name)) => match name.parse().ok().or_else(|| find(&name).map(i64::from)) {
                Some(number) => number,
                None => {
                    return Err(self.wrong(key, "names an account that this machine does not know; write its number"));
                }
            },
            Some(other) => return Err(self.type_error(key, "a name or a number", &other)),
        };
        // The highest number means "nobody in particular" to chown.
        match u32::try_from(number) {
            Ok(number) if number != u32::MAX => Ok(Some(number)),
            _ => Err(self.wrong(key, "is not the number of an account")),
        }
    }

    /// The raw value.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        debug_assert!(self.known.contains(&key), "{key} is not among the known keys");
        self.table.remove(key)
    }

    /// An error about a key, without its value.
    pub fn wrong(&self, key: &str, what: &str) -> DocumentError {
        DocumentError::certain(format!("{key}{} {what}", self.place))
    }

    /// An error about the type of a key.
    pub fn type_error(&self, key: &str, expected: &str, found: &Value) -> DocumentError {
        self.wrong(key, &format!("must be {expected}, not {}", type_name(found)))
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) => "a number",
        Value::Float(_) => "a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

fn parse_time(text: &str) -> Option<SignedDuration> {
    // jiff's friendly notation has no days in a SignedDuration: a day is 24 hours here.
    if let Some(days) = text.strip_suffix('d')
        && let Ok(days) = days.trim().parse::<i64>()
    {
        return days.checked_mul(24 * 3600).map(SignedDuration::from_secs);
    }
    text.parse().ok()
}

/// The sentence for a key that does not exist.
fn unknown_key(key: &str, known: &[&str], place: &str) -> String {
    let hint = nearest(key, known.iter().copied()).map(|near| format!("did you mean \"{near}\"? ")).unwrap_or_default();
    format!("unknown key \"{}\"{place}; {hint}Known keys: {}", shown_key(key), known.join(", "))
}

/// A key as messages show it: a slip of the clipboard can make anything a key.
pub(super) fn shown_key(key: &str) -> String {
    key.chars().filter(|c| !c.is_control()).take(40).collect()
}

/// The word most like `text`, if any is like it at all.
pub fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = words.map(|word| (strsim::jaro_winkler(text, word), word));
    scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, word)| word)
}
