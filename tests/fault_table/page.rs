//! `docs/faults.md`: the same text from every run.

use std::fs;
use std::path::Path;

use super::cell::{Outcome, Role};
use super::faults::Fault;
use crate::support::Site;

const HEAD: &str = "# When upstream fails

What a reader of `creds/ROLE/token` meets, measured on a real mount against the fake upstream by `tests/fault_table.rs`,
which writes this page (`TFCFS_WRITE_DOCS=1 ./test --test fault_table`) and fails when it does not match. Checked for each
row besides: the answer comes before `open_deadline` (plus a second for a busy machine), and once the fault and the role are
gone, nothing is left upstream that the mount does not list. `…` stands for what differs from run to run.

| fault | roles | errno | what `errors` says | afterwards |
|---|---|---|---|---|
";

/// Takes out of a sentence what differs from run to run.
pub fn steady(sentence: &str, site: &Site) -> String {
    let text = sentence.replace(&site.fake.url(), "http://UPSTREAM").replace(site.fake.trap_url(), "http://ELSEWHERE");
    let words: Vec<&str> = text.split(' ').collect();
    let steady = |(index, word): (usize, &&str)| {
        let bare = word.trim_end_matches([')', ']', ',', ';', ':']);
        let end = &word[bare.len()..];
        let start = if bare.starts_with('(') { "(" } else { "" };
        let bare = bare.trim_start_matches('(');
        let varies = ["req-", "user-", "team-"].iter().any(|prefix| bare.starts_with(prefix))
            || bare.parse::<jiff::Timestamp>().is_ok()
            || (bare.parse::<f64>().is_ok()
                && words.get(index + 1).is_some_and(|next| next.trim_end_matches(']') == "s"));
        if varies { format!("{start}…{end}") } else { (*word).to_owned() }
    };
    words.iter().enumerate().map(steady).collect::<Vec<_>>().join(" ")
}

/// The page. Roles of one fault with the same outcome share a row.
pub fn render(rows: &[(&Fault, Role, Outcome)]) -> String {
    let mut page = HEAD.to_owned();
    let mut rest = rows;
    while let Some((fault, _, outcome)) = rest.first() {
        let alike = |(other, _, one): &(&Fault, Role, Outcome)| {
            other.name == fault.name && one.errno == outcome.errno && one.sentence == outcome.sentence
        };
        let count = rest.iter().take_while(|row| alike(row)).count();
        let (these, others) = rest.split_at(count);
        rest = others;
        let roles: Vec<String> = these.iter().map(|(_, role, _)| role.to_string()).collect();
        let errno = outcome.errno.as_ref().map_or_else(|| "–".into(), |name| format!("`{name}`"));
        let sentence = if outcome.sentence.is_empty() { "–".into() } else { outcome.sentence.replace('|', "\\|") };
        let (name, after) = (&fault.name, fault.after.words());
        page += &format!("| {name} | {} | {errno} | {sentence} | {after} |\n", roles.join(", "));
    }
    page
}

/// # Panics
/// The page in the repository is another one.
pub fn compare_or_write(page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md");
    if std::env::var_os("TFCFS_WRITE_DOCS").is_some() {
        fs::write(&path, page).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().find(|line| !kept.lines().any(|other| other == *line));
    assert!(kept == page, "docs/faults.md does not match; TFCFS_WRITE_DOCS=1 writes it anew. Now: {differs:?}");
}
