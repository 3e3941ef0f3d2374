//! What a check found.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// In order.
    Ok,
    /// The mount would work, but not as somebody may expect.
    Warning,
    /// The mount, or what it is for, would fail.
    Problem,
}

/// One line of the report. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check.
    pub check: &'static str,
    /// How bad.
    pub level: Level,
    /// What was found, and why it matters.
    pub what: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
}

impl Finding {
    /// In order.
    pub fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, what: what.into(), way_out: None }
    }

    /// Works, but.
    pub fn warning(check: &'static str, what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { check, level: Level::Warning, what: what.into(), way_out: Some(way_out.into()) }
    }

    /// Does not work.
    pub fn problem(check: &'static str, what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { check, level: Level::Problem, what: what.into(), way_out: Some(way_out.into()) }
    }

    /// From an error whose sentence reads "what; way out", as those of this program do.
    pub fn of_sentence(check: &'static str, level: Level, sentence: &str, otherwise: &str) -> Self {
        let (what, way_out) = sentence.rsplit_once("; ").unwrap_or((sentence, otherwise));
        Self { check, level, what: what.to_owned(), way_out: Some(way_out.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_what_and_way_out() {
        let finding = Finding::of_sentence("x", Level::Problem, "a is bad (b; c); do d", "e");
        assert_eq!((finding.what.as_str(), finding.way_out.as_deref()), ("a is bad (b; c)", Some("do d")));
        let finding = Finding::of_sentence("x", Level::Warning, "a is bad", "e");
        assert_eq!((finding.what.as_str(), finding.way_out.as_deref()), ("a is bad", Some("e")));
        assert!(Level::Problem > Level::Warning && Level::Warning > Level::Ok);
    }
}
