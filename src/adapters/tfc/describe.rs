//! Failures of a call in the domain's words (reference 1.5): kind, effect, and one clean sentence.

use std::error::Error as StdError;
use std::io;

use serde_json::Value;

use super::json;
use super::redact::clean;
use super::retry::Failure;
use crate::domain::ports::{ApiErrorKind, Effect};

/// A failure before it becomes an `ApiError`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    /// What kind.
    pub(super) kind: ApiErrorKind,
    /// Whether something may have happened.
    pub(super) effect: Effect,
    /// Clean words.
    pub(super) detail: String,
    /// What it means for a repeat.
    pub(super) failure: Failure,
}

/// An answer that is neither success nor 429. `changes` says whether the call would have changed something.
pub(super) fn status(status: u16, body: &[u8], secrets: &[&str], changes: bool) -> Described {
    let words = Words::read(body, secrets);
    let code = status.to_string();
    // Pages of load balancers begin with the status already.
    let detail = if words.text.is_empty() {
        code
    } else if words.text.starts_with(&code) {
        words.text
    } else {
        format!("{code} {}", words.text)
    };
    let kind = match status {
        401 => ApiErrorKind::Unauthorized,
        403 | 404 | 410 => ApiErrorKind::NotVisible,
        // Of a proxy, or "come back later".
        407 | 408 | 425 => ApiErrorKind::Remote,
        400..=499 if words.description_taken => ApiErrorKind::DescriptionTaken,
        400..=499 => ApiErrorKind::Invalid,
        _ => ApiErrorKind::Remote,
    };
    let certain = (400..500).contains(&status) || !changes;
    let failure = if status >= 500 { Failure::Trouble { pause: None } } else { Failure::Final };
    Described { kind, effect: if certain { Effect::None } else { Effect::Unknown }, detail, failure }
}

/// A redirect, which we never follow. 301, 307 and 308 say that the request itself was not acted upon; after the others nobody
/// knows.
pub(super) fn redirect(status: u16, location: Option<&str>, secrets: &[&str], changes: bool) -> Described {
    let target = location
        .and_then(|l| url::Url::parse(l).ok())
        .map(|url| format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), port(&url)))
        .unwrap_or_else(|| "another path".to_owned());
    let detail = format!(
        "{status} redirect to {}; not followed, since the token would go along: set address to the host that answers itself",
        clean(&target, secrets)
    );
    let certain = matches!(status, 301 | 307 | 308) || !changes;
    let effect = if certain { Effect::None } else { Effect::Unknown };
    Described { kind: ApiErrorKind::Remote, effect, detail, failure: Failure::Final }
}

fn port(url: &url::Url) -> String {
    url.port().map(|port| format!(":{port}")).unwrap_or_default()
}

/// A web page in answer to a DELETE: somebody in between spoke, so the token may live.
pub(super) fn foreign_page(status: u16) -> Described {
    let detail = format!("{status} with a web page: something between us and upstream answered");
    let effect = if status < 400 { Effect::Unknown } else { Effect::None };
    Described { kind: ApiErrorKind::Remote, effect, detail, failure: Failure::Trouble { pause: None } }
}

/// A call without an answer, or with half of one.
/// `proxy` names the proxy that is configured, which may be the one that failed.
pub(super) fn transport(error: &reqwest::Error, secrets: &[&str], changes: bool, proxy: Option<&str>) -> Described {
    let causes = Causes::of(error);
    let sent = !error.is_connect();
    let effect = if sent && changes { Effect::Unknown } else { Effect::None };
    let trouble = Failure::Trouble { pause: None };
    let not_sent = if sent { trouble } else { Failure::NotSent };
    let (kind, words, failure) = if let Some(tls) = &causes.tls {
        (ApiErrorKind::Tls, tls_words(tls), Failure::Final)
    } else if causes.refused {
        (ApiErrorKind::Refused, "connection refused".to_owned(), not_sent)
    } else if error.is_timeout() {
        // Slow already: a create that is tried again would only use up its deadline.
        let words = if sent { "connection timed out" } else { "no connection in time" };
        (ApiErrorKind::Timeout, words.to_owned(), trouble)
    } else if error.is_dns() {
        (ApiErrorKind::Unreachable, format!("host name not found: {}", causes.last), not_sent)
    } else if causes.nonsense {
        (ApiErrorKind::Remote, format!("the answer is not HTTP: {}", causes.last), Failure::Final)
    } else if sent {
        (ApiErrorKind::Unreachable, format!("connection lost: {}", causes.last), trouble)
    } else {
        (ApiErrorKind::Unreachable, format!("no connection: {}", causes.last), not_sent)
    };
    let words = match proxy {
        Some(proxy) if !sent => format!("{words} (there is a proxy in between: {proxy})"),
        _ => words,
    };
    Described { kind, effect, detail: clean(&words, secrets), failure }
}

fn tls_words(error: &rustls::Error) -> String {
    use rustls::CertificateError as Certificate;
    match error {
        rustls::Error::InvalidCertificate(Certificate::UnknownIssuer) => {
            "the server's certificate comes from an authority that is not trusted here".to_owned()
        }
        rustls::Error::InvalidMessage(_) => format!("the server does not speak TLS ({error}); is the port right?"),
        other => other.to_string(),
    }
}

/// What the chain of sources says.
#[derive(Default)]
struct Causes {
    tls: Option<rustls::Error>,
    refused: bool,
    nonsense: bool,
    last: String,
}

impl Causes {
    fn of(error: &reqwest::Error) -> Self {
        let mut causes = Self::default();
        let mut next: Option<&(dyn StdError + 'static)> = error.source();
        while let Some(cause) = next {
            causes.last = cause.to_string();
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                causes.tls = Some(tls.clone());
            }
            causes.nonsense |=
                causes.last.starts_with("invalid HTTP") || causes.last.starts_with("message head is too");
            let io = cause.downcast_ref::<io::Error>();
            causes.refused |= io.is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused);
            // `source` of an io::Error skips the error that it wraps.
            next = match io.and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => cause.source(),
            };
        }
        causes
    }
}

/// Upstream's own words, from whatever body there is.
struct Words {
    text: String,
    description_taken: bool,
}

impl Words {
    fn read(body: &[u8], secrets: &[&str]) -> Self {
        let document = json::parse(body).unwrap_or(Value::Null);
        let entries = document.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let texts: Vec<String> = entries.iter().filter_map(entry_text).collect();
        let description_taken = texts.iter().any(|text| {
            let text = text.to_ascii_lowercase();
            text.contains("description") && text.contains("taken")
        });
        let text = match &document {
            Value::Object(_) | Value::Array(_) => texts.join("; "),
            _ => String::from_utf8_lossy(body).into_owned(),
        };
        Self { text: clean(&text, secrets), description_taken }
    }
}

/// `title: detail` of one entry of `errors`, or the plain string that some endpoints send.
fn entry_text(entry: &Value) -> Option<String> {
    if let Some(text) = entry.as_str() {
        return Some(text.to_owned());
    }
    let field = |name: &str| entry.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    match (field("title"), field("detail")) {
        (Some(title), Some(detail)) => Some(format!("{title}: {detail}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u16, body: &str) -> Described {
        status(code, body.as_bytes(), &["planted"], true)
    }

    #[test]
    fn shapes_of_error_bodies() {
        for (body, detail) in [
            (r#"{"errors":[{"status":"404","title":"not found"}]}"#, "404 not found"),
            (r#"{"errors":[{"status":404,"detail":"gone"}]}"#, "404 gone"),
            (r#"{"errors":[{"title":"a","detail":"b","source":{"pointer":"/x"}},{"title":"c"}]}"#, "404 a: b; c"),
            (r#"{"errors":["some plain string"]}"#, "404 some plain string"),
            (r#"{"errors":"odd"}"#, "404"),
            (r#"{"errors":[null,5,{}]}"#, "404"),
            ("", "404"),
            ("null", "404 null"),
            ("<html><title>Not here</title></html>", "404 Not here"),
            ("<html><title>404 Not here</title></html>", "404 Not here"),
            ("you sent planted\r\n\x1b[1m", "404 you sent (removed) [1m"),
        ] {
            assert_eq!(of(404, body).detail, detail, "{body}");
        }
    }

    #[test]
    fn taken_descriptions_in_either_shape() {
        let taken = "Validation failed: Description has already been taken";
        for body in [
            format!(r#"{{"errors":[{{"status":"422","title":"invalid attributes","detail":"{taken}"}}]}}"#),
            format!(r#"{{"errors":["{taken}"]}}"#),
        ] {
            assert_eq!(of(422, &body).kind, ApiErrorKind::DescriptionTaken);
            assert_eq!(of(404, &body).kind, ApiErrorKind::NotVisible);
            assert_eq!(of(500, &body).kind, ApiErrorKind::Remote);
        }
        let name = r#"{"errors":[{"title":"invalid attribute","detail":"Name has already been taken"}]}"#;
        assert_eq!(of(422, name).kind, ApiErrorKind::Invalid);
    }

    #[test]
    fn redirects_name_the_host_and_nothing_else() {
        let got = redirect(302, Some("https://evil.example:8/planted?token=planted"), &["planted"], true);
        assert!(got.detail.contains("https://evil.example:8;") && !got.detail.contains("planted"), "{}", got.detail);
        assert_eq!((got.kind, got.effect), (ApiErrorKind::Remote, Effect::Unknown));
        assert_eq!(redirect(308, None, &[], true).effect, Effect::None);
        assert_eq!(redirect(302, Some("/x"), &[], false).effect, Effect::None);
    }
}
