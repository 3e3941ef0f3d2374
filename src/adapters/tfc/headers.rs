//! Headers of answers (reference 1.7). All are optional; none is trusted to be well-formed.

use reqwest::header::{AsHeaderName, CONTENT_TYPE, HeaderMap};

use super::health::Signs;
use super::redact;

/// A header's text, if it is text.
pub(super) fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// What the headers tell about the server, cleaned of `secret`.
pub(super) fn signs(headers: &HeaderMap, secret: &str) -> Signs {
    let get = |name| text(headers, name).and_then(|value| redact::header(value, secret));
    let date = text(headers, "date").and_then(|t| httpdate::parse_http_date(t).ok());
    Signs {
        api_version: get("tfp-api-version"),
        app_name: text(headers, "tfp-appname").map(|name| redact::clean(name, &[secret])),
        tfe_version: get("x-tfe-current-version").or_else(|| get("x-tfe-version")),
        rate_limit: text(headers, "x-ratelimit-limit").and_then(|t| t.trim().parse().ok()),
        date,
    }
}

/// A page of a portal or load balancer in between. It proves nothing about a token that is to be deleted, whatever its status.
pub(super) fn is_foreign_page(headers: &HeaderMap) -> bool {
    let html =
        text(headers, CONTENT_TYPE).is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"));
    html && !headers.contains_key("tfp-api-version")
}
