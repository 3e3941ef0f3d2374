//! TOML, and `key=value` lines: the same with values that need no quotes (`ttl=1h`), as in `vault write`.

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::DocumentError;
use super::statements::statements;
use super::suggest::shown_key;
use super::table::{Entry, Table, Value};

/// Reads a text, with or without quotes.
pub(super) fn parse_lenient(text: &str) -> Result<Table, DocumentError> {
    parse(&with_quotes(text))
}

/// Reads a text that must be TOML as everybody else reads it.
pub(super) fn parse(text: &str) -> Result<Table, DocumentError> {
    let lines = Lines::new(text);
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(text.len(), |span| span.start);
        let line = lines.of(at);
        let source = text.lines().nth(line - 1).unwrap_or_default();
        DocumentError::certain(format!("line {line}: {}", explain(source, error.message())))
    })?;
    convert(table.into_inner(), &lines)
}

/// The parser's message in our words, where ours say more. Neither quotes a value; the error's Display would.
fn explain(line: &str, message: &str) -> String {
    let (key, value) = line.split_once('=').map_or((line, None), |(key, value)| (key, Some(value)));
    let key = shown_key(key.trim());
    match value {
        Some(value) if message.contains("duplicate key") && !value.is_empty() => {
            format!("{key} is given twice; keep one of them (duplicate key)")
        }
        Some(value) if without_comment(value.trim()).is_empty() || value.trim().starts_with('#') => {
            format!("{key} has no value; leave the key out or give it a value")
        }
        None if message.starts_with("key with no value") && !line.trim_start().starts_with('[') => {
            "expected key = value".to_owned()
        }
        _ => message.trim_end().replace('\n', ", "),
    }
}

/// Where the lines of a text end.
struct Lines {
    breaks: Vec<usize>,
    length: usize,
}

impl Lines {
    fn new(text: &str) -> Self {
        Self { breaks: text.match_indices('\n').map(|(at, _)| at).collect(), length: text.len() }
    }

    /// Asked for every key: a settings file may have a hundred thousand.
    fn of(&self, at: usize) -> usize {
        // A place at the very end belongs to the line before the last line break.
        let at = at.min(self.length.saturating_sub(1));
        self.breaks.partition_point(|place| *place < at) + 1
    }
}

fn convert(table: DeTable<'_>, lines: &Lines) -> Result<Table, DocumentError> {
    let mut converted = Table::default();
    for (key, value) in table {
        let line = lines.of(key.span().start);
        let entry = Entry { line, value: value_of(value, lines)? };
        if !converted.insert(key.into_inner().into_owned(), entry) {
            return Err(DocumentError::certain(format!("line {line}: duplicate key")));
        }
    }
    Ok(converted)
}

fn value_of(value: Spanned<DeValue<'_>>, lines: &Lines) -> Result<Value, DocumentError> {
    Ok(match value.into_inner() {
        DeValue::String(text) => Value::text(text),
        DeValue::Integer(number) => match (i64::from_str_radix(number.as_str(), number.radix()), number.radix()) {
            (Ok(number), 8) => Value::Octal(number),
            (Ok(number), _) => Value::Integer(number),
            (Err(_), _) => Value::TooLarge,
        },
        DeValue::Float(_) => Value::Float,
        DeValue::Boolean(flag) => Value::Boolean(flag),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Array(items) => {
            Value::List(items.into_iter().map(|item| value_of(item, lines)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => Value::Table(convert(table, lines)?),
    })
}

/// Puts quotes around values that are not TOML. Keeps the number of lines.
fn with_quotes(text: &str) -> Zeroizing<String> {
    let mut quoted = Zeroizing::new(String::with_capacity(text.len() + 64));
    for statement in statements(text) {
        match bare(statement.text).filter(|_| !statement.spans_lines) {
            Some((key, value)) => {
                let value = toml::Value::from(value).to_string();
                quoted.push_str(&format!("{key}= {value}"));
                quoted.push_str(if statement.text.ends_with('\n') { "\n" } else { "" });
            }
            None => quoted.push_str(statement.text),
        }
    }
    quoted
}

/// Key and value of a line whose value lacks quotes. Whatever looks like TOML stays TOML and gets its messages.
fn bare(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | '\t');
    let value = without_comment(value.trim());
    let keeps = value.is_empty() || value.starts_with(['"', '\'', '[', '{', '#']) || value.contains(char::is_control);
    if key.trim().is_empty() || !key.chars().all(plain) || keeps || DeTable::parse(line).is_ok() {
        return None;
    }
    Some((key, value))
}

fn without_comment(value: &str) -> &str {
    let comment = value.match_indices('#').find(|(at, _)| value[..*at].ends_with([' ', '\t']));
    comment.map_or(value, |(at, _)| value[..at].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &str) -> String {
        with_quotes(text).to_string()
    }

    #[test]
    fn only_bare_values_get_quotes() {
        assert_eq!(quoted("ttl=1h\r\n"), "ttl= \"1h\"\n");
        assert_eq!(quoted("mode=0440 # read\n"), "mode= \"0440\"\n");
        assert_eq!(quoted("anchors.x.token=a#b"), "anchors.x.token= \"a#b\"");
        for same in ["ttl = 3600\n", "a = \"b\n", "a = [1,\nb=c\n]\n", "# a=b c\n", "[x]\n", "a=\n", "a\n", "x y\n"] {
            assert_eq!(quoted(same), same);
        }
    }
}
