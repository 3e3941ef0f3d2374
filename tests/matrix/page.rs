//! The table in `docs/semantics.md`: every test of the matrix keeps its own part of it, and fails when that differs.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

const START: &str = "<!-- written by tests/matrix.rs -->";
const END: &str = "<!-- end of what tests/matrix.rs writes -->";
const HEAD: &str = "| who | with what | which | works |\n|---|---|---|---|\n";

/// Parts of the table, in its order.
const PARTS: &[&str] = &["reads", "watches", "writes", "holds"];

/// One way to use a file, and what came of it.
pub struct Row {
    /// What it belongs to.
    pub family: &'static str,
    /// As the table names it.
    pub name: &'static str,
    /// What the table says of it.
    pub outcome: Outcome,
}

/// What came of a way to use a file.
pub enum Outcome {
    /// As promised.
    Works,
    /// As promised, though it cannot do everything, or does it in its own way.
    Limited(String),
    /// Neither: a bug of ours, or of the matrix.
    Failed(String),
}

/// Compares the rows with the table, or writes them.
///
/// # Panics
/// A row failed, or the table says otherwise.
pub fn settle(part: &str, rows: &[Row]) {
    let failed: Vec<String> = rows
        .iter()
        .filter_map(|row| match &row.outcome {
            Outcome::Failed(why) => Some(format!("{} {}: {why}", row.family, row.name)),
            Outcome::Works | Outcome::Limited(_) => None,
        })
        .collect();
    assert!(failed.is_empty(), "{} of {} rows failed:\n{}", failed.len(), rows.len(), failed.join("\n"));
    assert!(!rows.is_empty(), "no row has such a name");
    println!("{} rows: {part}", rows.len());
    if only().is_none() {
        compare_or_write(part, &render(part, rows));
    }
}

/// Part of the name of the rows that shall run.
pub fn only() -> Option<String> {
    std::env::var("TFCFS_MATRIX").ok()
}

/// Rows of one family with the same outcome share a line.
fn render(part: &str, rows: &[Row]) -> String {
    let mut lines: Vec<(&str, String, Vec<String>)> = Vec::new();
    for row in rows {
        let outcome = match &row.outcome {
            Outcome::Limited(what) => what.clone(),
            Outcome::Works | Outcome::Failed(_) => "yes".to_owned(),
        };
        let name = format!("`{}`", row.name.replace('|', "\\|"));
        match lines.iter_mut().find(|(family, other, _)| *family == row.family && *other == outcome) {
            Some((_, _, names)) => names.push(name),
            None => lines.push((row.family, outcome, vec![name])),
        }
    }
    let line = |(family, outcome, names): (&str, String, Vec<String>)| {
        format!("| {part} | {family} | {} | {outcome} |\n", names.join(", "))
    };
    lines.into_iter().map(line).collect()
}

/// Under a lock: every test is a process of its own.
fn compare_or_write(part: &str, lines: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/semantics.md");
    let file = fs::File::open(&path).unwrap();
    rustix::fs::flock(file.as_fd(), rustix::fs::FlockOperation::LockExclusive).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(START).expect("the table's start");
    let (table, after) = rest.split_once(END).expect("the table's end");
    let of = |part: &str| -> String {
        let start = format!("| {part} |");
        table.lines().filter(|line| line.starts_with(&start)).map(|line| format!("{line}\n")).collect()
    };
    if std::env::var_os("TFCFS_WRITE_DOCS").is_some() {
        let all: String = PARTS.iter().map(|other| if *other == part { lines.to_owned() } else { of(other) }).collect();
        // Written in place: the lock is the file's.
        fs::write(&path, format!("{before}{START}\n\n{HEAD}{all}\n{END}{after}")).unwrap();
        return;
    }
    let kept = of(part);
    let differs = lines.lines().find(|line| !kept.lines().any(|other| other == *line));
    assert!(kept == lines, "docs/semantics.md does not match; TFCFS_WRITE_DOCS=1 writes it anew. Now: {differs:?}");
}
