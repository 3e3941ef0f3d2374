//! What every notation is read into: keys with a typed value and the line they stand on.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::DocumentError;

/// Values by key. No key stands in it twice.
#[derive(Default)]
pub struct Table(BTreeMap<String, Entry>);

/// A value and where it was found.
pub struct Entry {
    /// Line of its key, from 1.
    pub line: usize,
    /// What it says.
    pub value: Value,
}

/// A value as its notation types it. Without `Debug`: any text may be a token.
pub enum Value {
    /// Text; wiped on drop.
    Text(Zeroizing<String>),
    /// A whole number in ten digits.
    Integer(i64),
    /// A whole number that was written as `0o…`; as a mode it means what it says.
    Octal(i64),
    /// A number with a fraction or an exponent.
    Float,
    /// True or false.
    Boolean(bool),
    /// One of TOML's dates and times.
    Date,
    /// An array.
    List(Vec<Value>),
    /// A table.
    Table(Table),
    /// A whole number beyond 64 bits.
    TooLarge,
    /// JSON's null.
    Null,
}

impl Value {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Zeroizing::new(text.into()))
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) | Self::Octal(_) => "a whole number",
            Self::TooLarge => "too large a number",
            Self::Float => "a number with a fraction",
            Self::Boolean(_) => "true or false",
            Self::Date => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Null => "null",
        }
    }
}

impl Table {
    /// Adds a value; false if its key was there already.
    #[must_use]
    pub fn insert(&mut self, key: String, entry: Entry) -> bool {
        self.0.insert(key, entry).is_none()
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &str) -> Option<Entry> {
        self.0.remove(key)
    }

    /// Whether there is a key.
    pub fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The table under a key, if that is one.
    pub fn table(&self, key: &str) -> Option<&Table> {
        match &self.0.get(key)?.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(key, entry)| (key.as_str(), entry))
    }

    /// Takes out the tables `[key.NAME]`, by name, each with its line.
    ///
    /// # Errors
    /// Something else stands there.
    pub fn take_tables(&mut self, key: &str) -> Result<Vec<(String, usize, Table)>, DocumentError> {
        let wrong = |line: usize| DocumentError::certain(format!("line {line}: {key} must be tables: [{key}.NAME]"));
        match self.remove(key) {
            None => Ok(Vec::new()),
            Some(Entry { value: Value::Table(Table(tables)), .. }) => tables
                .into_iter()
                .map(|(name, entry)| match entry.value {
                    Value::Table(table) => Ok((name, entry.line, table)),
                    _ => Err(wrong(entry.line)),
                })
                .collect(),
            Some(entry) => Err(wrong(entry.line)),
        }
    }
}
