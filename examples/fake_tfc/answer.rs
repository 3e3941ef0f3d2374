//! Answers: status, body, and the shapes that JSON:API gives to errors and pages.

use bytes::Bytes;
use serde_json::{Value, json};

/// The media type of nearly everything.
pub const JSON_API: &str = "application/vnd.api+json";

/// An answer before it becomes HTTP.
pub struct Answer {
    pub status: u16,
    pub content_type: Option<String>,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Answer {
    /// A body in JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            content_type: Some(format!("{JSON_API}; charset=utf-8")),
            headers: Vec::new(),
            body: body.to_string().into(),
        }
    }

    /// A status alone.
    pub fn empty(status: u16) -> Self {
        Self { status, content_type: None, headers: Vec::new(), body: Bytes::new() }
    }

    /// A text.
    pub fn text(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { status, content_type: Some(content_type.to_owned()), headers: Vec::new(), body: body.into() }
    }

    /// An error with the usual title of its status.
    pub fn error(status: u16) -> Self {
        let error = json!({"status": status.to_string(), "title": title(status)});
        Self::json(status, &json!({ "errors": [error] }))
    }

    /// A validation error.
    pub fn invalid(status: u16, detail: &str) -> Self {
        let error = json!({"status": status.to_string(), "title": "invalid attributes", "detail": detail});
        Self::json(status, &json!({ "errors": [error] }))
    }

    /// The 429 body, whose status is a number.
    pub fn rate_limited() -> Self {
        let error = json!({"detail": "You have exceeded the API's rate limit.", "status": 429,
                           "title": "Too many requests"});
        Self::json(429, &json!({ "errors": [error] }))
    }

    /// Adds a header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What upstream calls a status.
pub fn title(status: u16) -> &'static str {
    match status {
        400 => "bad request",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not found",
        415 => "unsupported media type",
        422 => "unprocessable entity",
        429 => "Too many requests",
        500 => "internal server error",
        502 => "bad gateway",
        503 => "service unavailable",
        504 => "gateway timeout",
        _ => "error",
    }
}

/// A decoded query string.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Of the part after `?`.
    pub fn parse(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The first value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The items of a comma list.
    pub fn list(&self, key: &str) -> Vec<&str> {
        self.get(key).map(|value| value.split(',').filter(|item| !item.is_empty()).collect()).unwrap_or_default()
    }

    /// Whether a page is asked for.
    pub fn is_paged(&self) -> bool {
        self.get("page[number]").is_some() || self.get("page[size]").is_some()
    }

    /// 400 if something unknown is to be included.
    pub fn check_include(&self, known: &[&str]) -> Result<(), Answer> {
        if self.list("include").iter().all(|item| known.contains(item)) { Ok(()) } else { Err(Answer::error(400)) }
    }

    fn number(&self, key: &str, default: usize) -> usize {
        self.get(key).and_then(|value| value.parse().ok()).filter(|number| *number > 0).unwrap_or(default)
    }
}

/// The page of `items` that the query asks for, with `links` and `meta`; `included` goes along unpaged.
pub fn page(path: &str, query: &Query, items: Vec<Value>, included: Option<Vec<Value>>) -> Answer {
    let size = query.number("page[size]", 20).min(100);
    let number = query.number("page[number]", 1);
    let count = items.len();
    let last = count.div_ceil(size).max(1);
    let link = |page: usize| format!("{path}?page%5Bnumber%5D={page}&page%5Bsize%5D={size}");
    let prev = (number > 1).then(|| number - 1);
    let next = (number < last).then(|| number + 1);
    let shown: Vec<Value> = items.into_iter().skip((number - 1).saturating_mul(size)).take(size).collect();
    let mut body = json!({
        "data": shown,
        "links": {"self": link(number), "first": link(1), "prev": prev.map(link), "next": next.map(link),
                  "last": link(last)},
        "meta": {"pagination": {"current-page": number, "page-size": size, "prev-page": prev, "next-page": next,
                                "total-pages": last, "total-count": count}},
    });
    if let Some(included) = included {
        body["included"] = Value::Array(included);
    }
    Answer::json(200, &body)
}

/// The same for the two lists that are whole, without `meta`, unless a page is asked for.
pub fn page_if_asked(path: &str, query: &Query, items: Vec<Value>) -> Answer {
    if query.is_paged() { page(path, query, items, None) } else { Answer::json(200, &json!({ "data": items })) }
}
