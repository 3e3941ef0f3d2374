//! Text from outside, made fit for errors and logs: short, one line, nothing that may be a secret.

/// Longest text that gets into an error, in characters.
const MAX_TEXT: usize = 300;

/// Longest header value we repeat, in characters.
const MAX_HEADER: usize = 128;

/// Words of at least this many characters that mix letters and digits count as secrets, whatever they are.
const LONG_WORD: usize = 32;

/// What stands in place of a secret.
const REMOVED: &str = "(removed)";

/// Cleans upstream's words: `secrets` are removed wherever they stand, then everything that has the shape of a token,
/// then markup, line breaks and control characters; the rest is cut.
pub(super) fn clean(text: &str, secrets: &[&str]) -> String {
    // First: what stands between the parts of a secret must not be dropped after it was looked for.
    let mut text: String = text.chars().filter(|c| !is_invisible(*c)).collect();
    for secret in secrets.iter().filter(|s| !s.is_empty()) {
        text = text.replace(secret, REMOVED);
    }
    let text = if looks_like_html(&text) { without_markup(&text) } else { text };
    let mut out = String::new();
    let mut after_bearer = false;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        if after_bearer {
            out.push_str(REMOVED);
        } else {
            push_without_tokens(&mut out, word);
        }
        after_bearer = word.trim_end_matches(':').to_ascii_lowercase().ends_with("bearer");
        if out.len() > 8 * MAX_TEXT {
            break;
        }
    }
    cut(&out, MAX_TEXT)
}

/// A short header value (a request id, a version) as we repeat it: visible ASCII, cut; `None` when nothing is left or the
/// token stands in it.
pub(super) fn header(text: &str, secret: &str) -> Option<String> {
    let mut value: String = text.chars().filter(char::is_ascii_graphic).collect();
    // Before the cut, which could leave the better part of it.
    let clean = !value.is_empty() && !value.contains(secret) && !value.contains(".atlasv1.");
    value.truncate(MAX_HEADER);
    clean.then_some(value)
}

fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn in_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '=' | '+' | '~')
}

/// Copies a word, with its token-shaped stretches replaced.
fn push_without_tokens(out: &mut String, word: &str) {
    let mut rest = word;
    while !rest.is_empty() {
        let end = rest.find(|c| !in_token(c)).unwrap_or(rest.len());
        let (stretch, after) = rest.split_at(end);
        out.push_str(if is_token_shaped(stretch) { REMOVED } else { stretch });
        let end = after.find(in_token).unwrap_or(after.len());
        let (between, after) = after.split_at(end);
        out.push_str(between);
        rest = after;
    }
}

/// Direction marks and the like.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn is_token_shaped(word: &str) -> bool {
    let mixed = || word.bytes().any(|b| b.is_ascii_digit()) && word.bytes().any(|b| b.is_ascii_alphabetic());
    word.contains(".atlasv1.")
        || word.starts_with("hcpt_")
        || (word.starts_with("eyJ") && word.len() >= 16)
        || (word.len() >= LONG_WORD && mixed())
}

fn looks_like_html(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(200).collect::<String>().to_ascii_lowercase();
    start.starts_with('<') && (start.contains("<html") || start.contains("<!doctype") || start.contains("<head"))
}

/// The title of a page if it has one (the body is decoration), its text otherwise.
fn without_markup(page: &str) -> String {
    let lower = page.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|at| {
        let start = at + lower[at..].find('>')? + 1;
        let end = start + lower[start..].find("</title")?;
        Some(page[start..end].to_owned())
    });
    title.unwrap_or_else(|| {
        let mut inside = false;
        page.chars()
            .filter_map(|c| match c {
                '<' => {
                    inside = true;
                    Some(' ')
                }
                '>' => {
                    inside = false;
                    None
                }
                c => (!inside).then_some(c),
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str =
        "Ab3dEf6hIj9lMn.atlasv1.1234567890abcdefghijklmnopqrstuvwxyz1234567890abcdefghijklmnopqrstuvwxyz1";

    #[test]
    fn token_shapes_go_wherever_they_stand() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc";
        for text in [
            TOKEN.to_owned(),
            format!("token={TOKEN}."),
            format!("{{\"token\":\"{TOKEN}\"}}"),
            format!("Authorization: Bearer {TOKEN}"),
            format!("https://x/y?token={TOKEN}&z"),
        ] {
            let out = clean(&text, &[]);
            assert!(!out.contains("atlasv1") && !out.contains("1234567890"), "{out}");
        }
        assert!(!clean(jwt, &[]).contains("eyJ"));
        assert!(!clean("hcpt_abc", &[]).contains("abc"));
        assert_eq!(clean("Bearer hunter2 failed", &[]), "Bearer (removed) failed");
    }

    #[test]
    fn the_token_in_use_goes_whatever_its_shape() {
        assert_eq!(clean("you sent 'pw1', sorry", &["pw1"]), "you sent '(removed)', sorry");
    }

    #[test]
    fn invisible_marks_hide_no_token() {
        let mut hidden = String::new();
        for (n, c) in TOKEN.chars().enumerate() {
            hidden.extend((n % 9 == 8).then_some('\u{200b}').into_iter().chain([c]));
        }
        assert_eq!(clean(&hidden, &[]), REMOVED);
        assert_eq!(clean(&hidden, &[TOKEN]), REMOVED);
    }

    #[test]
    fn plain_words_stay() {
        let text = "Validation failed: Description has already been taken (team-Ex4mp1eTeamAbCdE)";
        assert_eq!(clean(text, &[]), text);
    }

    #[test]
    fn one_short_line_without_control_characters() {
        assert_eq!(clean("a\r\n\x1b[31mb\0c\u{202e}", &[]), "a [31mb c");
        let long = clean(&"word ".repeat(1000), &[]);
        assert_eq!(long.chars().count(), MAX_TEXT + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn pages_shrink_to_their_title() {
        let page = "<!DOCTYPE html><html><head><title>502 Bad\nGateway</title></head><body>long</body></html>";
        assert_eq!(clean(page, &[]), "502 Bad Gateway");
        assert_eq!(clean("<html><body><h1>Sorry</h1>back <b>soon</b></body></html>", &[]), "Sorry back soon");
    }

    #[test]
    fn header_values() {
        assert_eq!(header("3f2b-…-9\n", "secret").as_deref(), Some("3f2b--9"));
        assert_eq!(header("x-secret", "secret"), None);
        assert_eq!(header("\u{1}", "secret"), None);
        assert_eq!(header(&format!("{}secret", "x".repeat(MAX_HEADER - 3)), "secret"), None);
        assert_eq!(header(&"x".repeat(500), "secret").map(|value| value.len()), Some(MAX_HEADER));
    }
}
