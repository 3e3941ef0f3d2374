//! JSON objects, with the line of every key and without repeated ones.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::DocumentError;
use super::suggest::shown_key;
use super::table::{Entry, Table, Value};

/// Reads an object. `missing` errors are those at the end of the text, which more text may repair.
pub(super) fn parse(text: &str) -> Result<Table, DocumentError> {
    let line = Cell::new(1);
    let mut json = serde_json::Deserializer::from_reader(Counting { bytes: text.as_bytes(), line: &line });
    let value = Seed(&line).deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    match value {
        Ok(Value::Table(table)) => Ok(table),
        Ok(_) => Err(DocumentError::certain("the document must be one JSON object: { … }")),
        Err(error) if error.is_eof() => Err(DocumentError::missing(format!(
            "line {}: the JSON text ends too early: a brace or a quote is not closed",
            error.line()
        ))),
        // Ours, e.g. a repeated key; serde_json adds the place.
        Err(error) if error.is_data() => Err(DocumentError::certain(error.to_string())),
        Err(error) => {
            Err(DocumentError::certain(format!("line {} column {}: this is not JSON", error.line(), error.column())))
        }
    }
}

/// Counts lines while the parser reads, byte by byte: right after a key the count is that key's line.
struct Counting<'a> {
    bytes: &'a [u8],
    line: &'a Cell<usize>,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (Some((first, rest)), Some(place)) = (self.bytes.split_first(), buffer.first_mut()) else { return Ok(0) };
        *place = *first;
        self.line.set(self.line.get() + usize::from(*first == b'\n'));
        self.bytes = rest;
        Ok(1)
    }
}

#[derive(Clone, Copy)]
struct Seed<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Boolean(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::TooLarge, Value::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Float)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut table = Table::default();
        while let Some(key) = map.next_key::<String>()? {
            let line = self.0.get();
            if table.contains(&key) {
                return Err(A::Error::custom(format!("{} is given twice; keep one of them", shown_key(&key))));
            }
            let _new = table.insert(key, Entry { line, value: map.next_value_seed(self)? });
        }
        Ok(Value::Table(table))
    }
}
