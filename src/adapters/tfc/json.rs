//! JSON as upstream writes it: an object may hold one key twice (`account/details` does, reference 3.2), and both count.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Parses a document. Objects under a repeated key are merged, of other values the last one that is not null stands.
///
/// # Errors
/// Position and kind of the mistake; never a part of the document.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    let merged: Merged = serde_json::from_slice(bytes)
        .map_err(|e| format!("not JSON ({:?} error in line {}, column {})", e.classify(), e.line(), e.column()))?;
    Ok(merged.0)
}

struct Merged(Value);

impl<'de> Deserialize<'de> for Merged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MergedVisitor).map(Self)
    }
}

struct MergedVisitor;

impl<'de> Visitor<'de> for MergedVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Merged(value)) = access.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Merged(value))) = access.next_entry::<String, Merged>()? {
            merge(map.entry(key).or_insert(Value::Null), value);
        }
        Ok(Value::Object(map))
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (into, from) => *into = from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn repeated_keys_are_merged() {
        let text = br#"{"links":{"self":"a"},"n":1,"links":{"auth-token":"b"},"n":2,"s":"x","s":null}"#;
        assert_eq!(parse(text).unwrap(), json!({"links":{"self":"a","auth-token":"b"},"n":2,"s":"x"}));
    }

    #[test]
    fn everything_else_is_as_usual() {
        let text = r#"[null,true,-1,1.5,18446744073709551615,"é\n",{},[]]"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn mistakes_show_nothing_of_the_text() {
        for text in ["", "hunter2", "{\"hunter2\":", "[\"hunter2\"] hunter2"] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.starts_with("not JSON") && !error.contains("hunter2"), "{error}");
        }
        assert!(parse(&b"[".repeat(100_000)).is_err());
    }
}
