//! Where a statement of TOML ends: the lines that belong together, without knowing what they mean.

/// A piece of a text: one line, or all lines of a value that goes over several.
pub(super) struct Statement<'a> {
    /// With its line break, if it has one yet.
    pub(super) text: &'a str,
    /// Whether its value may go over several lines.
    pub(super) spans_lines: bool,
    /// False for the last one if more text can belong to it.
    pub(super) finished: bool,
}

/// Cuts a text into statements.
pub(super) fn statements(text: &str) -> impl Iterator<Item = Statement<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (length, spans_lines, finished) = first(rest);
        let (statement, others) = rest.split_at(length);
        rest = others;
        Some(Statement { text: statement, spans_lines, finished })
    })
}

/// The finished statements at the beginning of a text.
pub(super) fn finished(text: &str) -> &str {
    let length = statements(text).take_while(|statement| statement.finished).map(|one| one.text.len()).sum();
    &text[..length]
}

fn first(text: &str) -> (usize, bool, bool) {
    let line_end = |from: usize| text[from..].find('\n').map(|at| from + at + 1);
    let value = value_start(&text[..line_end(0).unwrap_or(text.len())]);
    let Some(value) = value.filter(|at| ["\"\"\"", "'''", "[", "{"].iter().any(|s| text[*at..].starts_with(s))) else {
        let end = line_end(0);
        return (end.unwrap_or(text.len()), false, end.is_some());
    };
    let end = value_length(&text.as_bytes()[value..]).and_then(|length| line_end(value + length));
    (end.unwrap_or(text.len()), true, end.is_some())
}

/// Where the value begins in `key = value`.
fn value_start(line: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') => return None,
            // A table header, not a statement.
            (None, '[') if line[..at].trim().is_empty() => return None,
            (None, '=') => {
                let value = line[at + 1..].trim_start();
                return Some(line.len() - value.len());
            }
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

/// Length of a value that may go over several lines; `None` while it is open.
fn value_length(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    while at < bytes.len() {
        let rest = &bytes[at..];
        at += match rest[0] {
            quote @ (b'"' | b'\'') if rest.starts_with(&[quote; 3]) => multi_line_text(rest, quote)?,
            quote @ (b'"' | b'\'') => one_line_text(rest, quote),
            b'#' => rest.iter().position(|b| *b == b'\n')?,
            b'[' | b'{' => {
                depth += 1;
                1
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                1
            }
            _ => 1,
        };
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

fn multi_line_text(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut at = 3;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote == b'"' => at += 2,
            _ if bytes[at..].starts_with(&[quote; 3]) => {
                // One or two quotes may stand right before the closing three.
                let extra = bytes[at + 3..].iter().take(2).take_while(|b| **b == quote).count();
                return Some(at + 3 + extra);
            }
            _ => at += 1,
        }
    }
    None
}

/// To its closing quote, or to the line break that it must not contain.
fn one_line_text(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'\n' {
        match bytes[at] {
            b'\\' if quote == b'"' && bytes.get(at + 1).is_some_and(|b| *b != b'\n') => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    at.min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_ends_are_not_finished() {
        for open in ["b = 2", "b = [1,\n", "b = \"\"\"x\n", "b = '''\n", "b = {c = 1,\n", "b = [[1],\n# ]\n", "b = ["] {
            assert_eq!(finished(&format!("a = 1\n{open}")), "a = 1\n", "{open}");
        }
    }

    #[test]
    fn closed_ends_are() {
        for closed in [
            "b = 2\n",
            "b = [1,\n2]\n",
            "b = \"\"\"x\n\"\"\"\"\"\n",
            "\"=[\" = 1\n",
            "[t]\n",
            "# a = [\n",
            "b = it's [\n",
            "b = \"[\n",
            "b = [\"]\", ']']\n",
            "b = {c = \"\\\"}\"}\n",
        ] {
            assert_eq!(finished(closed), closed, "{closed}");
        }
    }
}
