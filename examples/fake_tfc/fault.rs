//! Scripted misbehaviour, by route and by call.

use hyper::StatusCode;
use hyper::header::HeaderValue;
use serde::{Deserialize, Serialize};

use super::route::Route;

/// Before or after the request had its effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Nothing has happened on the server.
    #[default]
    Before,
    /// The token exists, or is gone; only the answer is missing or wrong.
    After,
}

/// What an error answer looks like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorBody {
    /// `{"errors":[{"status":…,"title":…}]}`.
    #[default]
    Json,
    /// `{"errors":["some plain string"]}`.
    PlainStrings,
    /// A load balancer's page.
    Html,
    /// Nothing.
    Empty,
    /// This text, as `application/vnd.api+json`.
    Text(String),
}

/// One misbehaviour. Several on the same call all take place, in the order in which they were set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Another status than the right one.
    Status {
        /// E.g. 503.
        status: u16,
        /// Its body.
        #[serde(default)]
        body: ErrorBody,
        /// `After`: a failure that did its work.
        #[serde(default)]
        when: When,
    },
    /// 429.
    RateLimited {
        /// `X-RateLimit-Reset`, sent as it is: `0.4`, `garbage`, `-1`, `99999999`; `None` leaves it out.
        #[serde(default)]
        reset: Option<String>,
        /// `Retry-After`, likewise.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// A late answer, right otherwise.
    Delay {
        /// How late.
        ms: u64,
        /// `After`: the effect is there at once.
        #[serde(default)]
        when: When,
    },
    /// The connection is closed without an answer.
    Close {
        /// `After`: the effect took place.
        #[serde(default)]
        when: When,
    },
    /// The right headers and half of the body, then the connection is closed. The effect took place.
    CutBody,
    /// The right answer byte by byte.
    SlowBody {
        /// Pause before each byte.
        per_byte_ms: u64,
    },
    /// The right answer under another `Content-Type`.
    ContentType {
        /// E.g. `text/html`.
        value: String,
    },
    /// A create answer without `token`.
    NoToken,
    /// A create answer with another end than asked for, which is also what the server keeps.
    ExpiredAt {
        /// RFC 3339, or `None` for a token without end.
        value: Option<String>,
    },
    /// The `Date` header is off.
    DateSkew {
        /// Positive: the server is ahead.
        seconds: i64,
    },
    /// A redirect to another host, instead of the effect.
    Redirect {
        /// Where to; `None`: the same path of the fake's trap, which notes whether the token came along.
        #[serde(default)]
        to: Option<String>,
        /// 307 keeps the method.
        #[serde(default = "temporary_redirect")]
        status: u16,
    },
}

fn temporary_redirect() -> u16 {
    307
}

impl Fault {
    /// A status with a JSON body, without effect.
    pub fn status(status: u16) -> Self {
        Self::Status { status, body: ErrorBody::Json, when: When::Before }
    }

    /// A status with that body, without effect.
    pub fn status_with(status: u16, body: ErrorBody) -> Self {
        Self::Status { status, body, when: When::Before }
    }

    /// 429 with that `X-RateLimit-Reset`.
    pub fn rate_limited(reset: &str) -> Self {
        Self::RateLimited { reset: Some(reset.to_owned()), retry_after: None }
    }

    /// A late answer; the effect is late as well.
    pub fn delay(by: std::time::Duration) -> Self {
        Self::Delay { ms: u64::try_from(by.as_millis()).unwrap_or(u64::MAX), when: When::Before }
    }

    /// A redirect to the trap.
    pub fn redirect() -> Self {
        Self::Redirect { to: None, status: temporary_redirect() }
    }

    /// Says what about it cannot be put into HTTP, so that the server need not look again.
    pub fn check(&self) -> Result<(), String> {
        let status = |status: u16| StatusCode::from_u16(status).map(drop).map_err(|_| format!("no status: {status}"));
        let header = |value: Option<&String>| match value {
            Some(text) => HeaderValue::from_str(text).map(drop).map_err(|_| format!("no header value: {text:?}")),
            None => Ok(()),
        };
        match self {
            Self::Status { status: code, .. } => status(*code),
            Self::RateLimited { reset, retry_after } => header(reset.as_ref()).and(header(retry_after.as_ref())),
            Self::ContentType { value } => header(Some(value)),
            Self::ExpiredAt { value: Some(text) } => {
                text.parse::<jiff::Timestamp>().map(drop).map_err(|_| format!("no time: {text:?}"))
            }
            Self::Redirect { to, status: code } => header(to.as_ref()).and(status(*code)),
            Self::Delay { .. }
            | Self::Close { .. }
            | Self::CutBody
            | Self::SlowBody { .. }
            | Self::NoToken
            | Self::ExpiredAt { value: None }
            | Self::DateSkew { .. } => Ok(()),
        }
    }
}

/// Which calls of a route are hit, counted from the moment the fault is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calls {
    /// Only this one; 1 is the next.
    Nth(u32),
    /// The next so many.
    First(u32),
    /// All, until [`super::Fake::clear_faults`].
    Always,
}

impl From<u32> for Calls {
    fn from(nth: u32) -> Self {
        Self::Nth(nth)
    }
}

#[derive(Debug)]
struct Rule {
    route: Route,
    calls: Calls,
    fault: Fault,
    seen: u32,
}

/// The faults that are set.
#[derive(Debug, Default)]
pub struct Script {
    rules: Vec<Rule>,
}

impl Script {
    /// Adds one.
    pub fn add(&mut self, route: Route, calls: Calls, fault: Fault) {
        self.rules.push(Rule { route, calls, fault, seen: 0 });
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// How many have calls to come.
    pub fn pending(&self) -> usize {
        self.rules.len()
    }

    /// Counts a call and returns what is to happen to it.
    pub fn hit(&mut self, route: Route) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.rules.retain_mut(|rule| {
            if rule.route != Route::Any && rule.route != route {
                return true;
            }
            rule.seen += 1;
            let (hit, more) = match rule.calls {
                Calls::Nth(nth) => (rule.seen == nth, rule.seen < nth),
                Calls::First(count) => (rule.seen <= count, rule.seen < count),
                Calls::Always => (true, true),
            };
            if hit {
                faults.push(rule.fault.clone());
            }
            more
        });
        faults
    }
}
