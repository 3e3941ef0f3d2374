//! The table of figures, as Markdown, so that it can be pasted into docs/performance.md.

use std::fmt;

/// All figures so far.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    measured: String,
    limit: String,
    /// `None` = a figure without a limit.
    kept: Option<bool>,
}

impl Table {
    /// A figure that must not exceed `limit`.
    pub fn at_most(&mut self, name: impl Into<String>, value: f64, limit: f64, unit: &str) {
        self.limited(name.into(), value, limit, "<=", unit, value <= limit);
    }

    /// A figure that must reach `limit`.
    pub fn at_least(&mut self, name: impl Into<String>, value: f64, limit: f64, unit: &str) {
        self.limited(name.into(), value, limit, ">=", unit, value >= limit);
    }

    /// A count that must be exactly `limit`.
    pub fn exactly(&mut self, name: impl Into<String>, value: usize, limit: usize) {
        let (measured, limit_text) = (value.to_string(), format!("= {limit}"));
        self.add(Row { name: name.into(), measured, limit: limit_text, kept: Some(value == limit) });
    }

    /// A figure that is only reported.
    pub fn report(&mut self, name: impl Into<String>, measured: impl Into<String>) {
        self.add(Row { name: name.into(), measured: measured.into(), limit: String::new(), kept: None });
    }

    /// How many limits were missed.
    pub fn misses(&self) -> usize {
        self.rows.iter().filter(|row| row.kept == Some(false)).count()
    }

    fn limited(&mut self, name: String, value: f64, limit: f64, relation: &str, unit: &str, kept: bool) {
        let (measured, limit) = (format!("{value:.2}{unit}"), format!("{relation} {limit}{unit}"));
        self.add(Row { name, measured, limit, kept: Some(kept) });
    }

    fn add(&mut self, row: Row) {
        // Seen at once: a whole run takes minutes.
        eprintln!("  {row}");
        self.rows.push(row);
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.kept {
            Some(true) => "PASS",
            Some(false) => "MISS",
            None => "",
        };
        write!(f, "| {:<58} | {:>18} | {:<11} | {verdict:<4} |", self.name, self.measured, self.limit)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {:<58} | {:>18} | {:<11} | {:<4} |", "figure", "measured", "limit", "")?;
        writeln!(f, "|{:-<60}|{:->19}:|{:-<13}|{:-<6}|", "", "", "", "")?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}
