//! One call: waits for the rate limit, sends, repeats where [`super::retry`] allows it, all before one deadline.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, Request, Response, StatusCode};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::answer::{self, Answer};
use super::describe::{self, Described};
use super::headers::{is_foreign_page, signs, text};
use super::health::{self, Observed};
use super::http::{Http, MEDIA_TYPE};
use super::limiter::{Lane, Limiter, Urgency};
use super::redact;
use super::refusals::Refusals;
use super::retry::{self, Failure, Repeat};
use super::settings::{TfcError, TfcSettings};
use crate::adapters::clock;
use crate::domain::anchor::Access;
use crate::domain::ports::{ApiError, ApiErrorKind, Effect};

/// What to call.
pub(super) struct Call<'a> {
    /// Where and with what.
    pub(super) access: &'a Access,
    /// GET, POST or DELETE.
    pub(super) method: Verb,
    /// Path below the API, escaped.
    pub(super) path: &'a str,
    /// JSON, for POST.
    pub(super) body: Option<Vec<u8>>,
    /// What a repeat could do.
    pub(super) repeat: Repeat,
    /// Whether 404 is an answer, to be returned like a success.
    pub(super) may_be_absent: bool,
    /// Who waits for it.
    pub(super) urgency: Urgency,
    /// Nothing is sent after this.
    pub(super) deadline: Instant,
    /// How much later the answer to what was sent may come.
    pub(super) patience: Duration,
}

impl Call<'_> {
    /// When the last byte of an answer must be here.
    fn end(&self) -> Instant {
        self.deadline + self.patience
    }
}

/// The methods we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// Changes nothing.
    Get,
    /// Makes.
    Post,
    /// Removes.
    Delete,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }

    /// Whether a call that got lost may have had an effect.
    pub(super) fn changes(self) -> bool {
        self != Self::Get
    }
}

/// Sends calls. One per client.
pub(super) struct Caller {
    http: Http,
    limiter: Limiter,
    pub(super) observed: Observed,
    pub(super) refusals: Refusals,
}

/// How an attempt ended short of success.
enum Miss {
    /// 429: certainly nothing happened.
    Limited { error: ApiError, pause: Duration },
    /// Anything else.
    Failed { error: ApiError, failure: Failure },
}

impl Caller {
    /// Builds the HTTP client.
    ///
    /// # Errors
    /// See [`TfcError`].
    pub(super) fn new(settings: &TfcSettings) -> Result<Self, TfcError> {
        Ok(Self {
            http: Http::new(settings)?,
            limiter: Limiter::new(settings.rate),
            observed: Observed::default(),
            refusals: Refusals::default(),
        })
    }

    /// Makes a call.
    ///
    /// # Errors
    /// The failure of the last attempt. Its effect is unknown if that of any attempt was.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Answer, ApiError> {
        let result = self.attempts(&call).await;
        match &result {
            Ok(_) => {
                self.observed.works(call.access.address.origin());
                self.refusals.accepted(call.access);
            }
            Err(error) => self.note_failure(call.access, error),
        }
        result
    }

    /// An answer of which nothing can be made.
    pub(super) fn nonsense(&self, access: &Access, answer: &Answer, why: &str, changes: bool) -> ApiError {
        let mut error = ApiError::new(ApiErrorKind::Remote, format!("unusable answer: {why}"));
        error.effect = if changes { Effect::Unknown } else { Effect::None };
        error.request_id = answer.request_id.clone();
        self.note_failure(access, &error);
        error
    }

    fn note_failure(&self, access: &Access, error: &ApiError) {
        let request = error.request_id.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default();
        let (origin, now) = (access.address.origin(), clock::wall());
        self.observed.failed(origin, format!("{error}{request}"), now);
        if is_upstreams(error.kind) {
            self.observed.failing(origin, now);
        } else {
            self.observed.works(origin);
        }
        if error.kind == ApiErrorKind::Unauthorized {
            self.refusals.refused(access, now);
        }
    }

    async fn attempts(&self, call: &Call<'_>) -> Result<Answer, ApiError> {
        let lane = self.limiter.lane(call.access);
        let mut effect = Effect::None;
        let mut last = None;
        let mut repeats = 0;
        loop {
            if lane.pass(call.urgency, call.deadline).await.is_err() {
                let mut error = last.unwrap_or_else(|| exhausted(&lane));
                error.effect = effect;
                return Err(error);
            }
            match self.attempt(call, &lane).await {
                Ok(answer) => return Ok(answer),
                Err(Miss::Limited { error, pause }) => {
                    lane.close(pause);
                    last = Some(error);
                }
                Err(Miss::Failed { mut error, failure }) => {
                    if error.effect == Effect::Unknown {
                        effect = Effect::Unknown;
                    }
                    error.effect = effect;
                    repeats += 1;
                    let remaining = call.deadline.saturating_duration_since(Instant::now());
                    match retry::pause_before(repeats, call.repeat, failure, remaining, dice()) {
                        None => return Err(error),
                        Some(pause) => tokio::time::sleep(pause).await,
                    }
                    last = Some(error);
                }
            }
        }
    }

    async fn attempt(&self, call: &Call<'_>, lane: &Lane) -> Result<Answer, Miss> {
        let origin = call.access.address.origin();
        let request = request(call)?;
        let start = Instant::now();
        let sent = tokio::time::timeout_at(call.end(), self.http.client.execute(request)).await;
        let result = match sent {
            Ok(Ok(response)) => self.judge(call, lane, response, start).await,
            Ok(Err(error)) => {
                self.observed.unanswered(origin);
                Err(self.lost(call, &error))
            }
            Err(_) => {
                self.observed.unanswered(origin);
                Err(timed_out(call, "no answer"))
            }
        };
        let outcome = match &result {
            Ok(_) => "ok",
            Err(Miss::Limited { error, .. } | Miss::Failed { error, .. }) => health::outcome(error.kind),
        };
        self.observed.count(origin, call.method.name(), outcome);
        let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (method, path) = (call.method.name(), call.path);
        match &result {
            Ok(answer) => {
                let (status, request_id) = (answer.status, answer.request_id.as_deref());
                tracing::debug!(origin, method, path, status, ms, request_id, "upstream call");
            }
            Err(Miss::Limited { error, .. } | Miss::Failed { error, .. }) => {
                let request_id = error.request_id.as_deref();
                tracing::debug!(origin, method, path, ms, request_id, %error, "upstream call failed");
            }
        }
        result
    }

    /// Reads an answer and decides what it is.
    async fn judge(&self, call: &Call<'_>, lane: &Lane, response: Response, start: Instant) -> Result<Answer, Miss> {
        let secrets = [call.access.token.expose()];
        let changes = call.method.changes();
        let (status, headers) = (response.status(), response.headers().clone());
        let request_id = text(&headers, "x-request-id").and_then(|id| redact::header(id, secrets[0]));
        let signs = signs(&headers, secrets[0]);
        lane.learn(signs.rate_limit.unwrap_or(0));
        // Counted from the server's own clock where it tells, so that a wrong one here does no harm.
        let server_now = signs.date.unwrap_or_else(clock::system_time);
        let retry_after = text(&headers, RETRY_AFTER).and_then(|t| retry::parse_retry_after(t, server_now));
        let date = signs.date.and_then(|date| jiff::Timestamp::try_from(date).ok());
        self.observed.answered(call.access.address.origin(), signs, clock::wall(), start.elapsed());

        let gone = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
        if call.method == Verb::Delete && (status.is_success() || gone) && is_foreign_page(&headers) {
            return Err(Miss::from(describe::foreign_page(status.as_u16())).with_id(request_id));
        }
        if status.is_success() {
            return match answer::read_all(response, call.end()).await {
                Ok(body) => Ok(Answer { status: status.as_u16(), body, date, request_id }),
                Err(answer::Broken::Late) => Err(timed_out(call, "the answer came only in part").with_id(request_id)),
                Err(answer::Broken::TooLong) => {
                    let mut error = ApiError::new(ApiErrorKind::Remote, "the answer is too long to be one of this API");
                    error.effect = if changes { Effect::Unknown } else { Effect::None };
                    Err(Miss::Failed { error, failure: Failure::Final }.with_id(request_id))
                }
                Err(answer::Broken::Lost(error)) => Err(self.lost(call, &error).with_id(request_id)),
            };
        }
        if status == StatusCode::NOT_FOUND && call.may_be_absent {
            let body = answer::read_some(response, call.end()).await;
            return Ok(Answer { status: status.as_u16(), body, date, request_id });
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            let reset = text(&headers, "x-ratelimit-reset").and_then(retry::parse_reset);
            let pause = retry::imposed_pause(reset, retry_after, dice());
            let detail = format!("429, to be tried again in {:.1} s", pause.as_secs_f64());
            let error = ApiError::new(ApiErrorKind::RateLimited, detail);
            return Err(Miss::Limited { error, pause }.with_id(request_id));
        }
        let mut described = if status.is_redirection() {
            describe::redirect(status.as_u16(), text(&headers, LOCATION), &secrets, changes)
        } else {
            let body = answer::read_some(response, call.end()).await;
            describe::status(status.as_u16(), &body, &secrets, changes)
        };
        if let Failure::Trouble { pause } = &mut described.failure {
            *pause = retry_after;
        }
        Err(Miss::from(described).with_id(request_id))
    }

    fn lost(&self, call: &Call<'_>, error: &reqwest::Error) -> Miss {
        let secrets = [call.access.token.expose()];
        describe::transport(error, &secrets, call.method.changes(), self.http.proxy.as_deref()).into()
    }
}

impl Miss {
    fn with_id(mut self, id: Option<String>) -> Self {
        match &mut self {
            Self::Limited { error, .. } | Self::Failed { error, .. } => error.request_id = id,
        }
        self
    }
}

impl From<Described> for Miss {
    fn from(described: Described) -> Self {
        let Described { kind, effect, detail, failure } = described;
        Self::Failed { error: ApiError { kind, effect, detail, request_id: None }, failure }
    }
}

fn request(call: &Call<'_>) -> Result<Request, Miss> {
    let method = match call.method {
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
        Verb::Delete => Method::DELETE,
    };
    let bearer = Zeroizing::new(format!("Bearer {}", call.access.token.expose()));
    let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| Miss::Failed {
        error: ApiError::new(ApiErrorKind::Invalid, "the token cannot stand in a header"),
        failure: Failure::Final,
    })?;
    bearer.set_sensitive(true);
    let mut request = Request::new(method, call.access.address.api(call.path));
    request.headers_mut().insert(AUTHORIZATION, bearer);
    if call.method.changes() {
        // Also on DELETE, which has no body: without it the answer is 415.
        request.headers_mut().insert(CONTENT_TYPE, MEDIA_TYPE);
    }
    *request.body_mut() = call.body.clone().map(Into::into);
    Ok(request)
}

/// Whether such an error says that upstream itself does not work, and not what it thinks of the request.
fn is_upstreams(kind: ApiErrorKind) -> bool {
    match kind {
        ApiErrorKind::Unreachable
        | ApiErrorKind::Refused
        | ApiErrorKind::Tls
        | ApiErrorKind::Timeout
        | ApiErrorKind::RateLimited
        | ApiErrorKind::Remote => true,
        ApiErrorKind::Unauthorized
        | ApiErrorKind::NotVisible
        | ApiErrorKind::Invalid
        | ApiErrorKind::DescriptionTaken
        | ApiErrorKind::Lifetime => false,
    }
}

fn exhausted(lane: &Lane) -> ApiError {
    let detail = format!(
        "budget exhausted within the deadline: {} calls a second for all tokens of this owner, and others wait before us",
        lane.ceiling()
    );
    ApiError::new(ApiErrorKind::RateLimited, detail)
}

/// Cut off by the deadline. What was going on is not known: the request may have been under way.
fn timed_out(call: &Call<'_>, what: &str) -> Miss {
    let mut error = ApiError::new(ApiErrorKind::Timeout, format!("{what} within the deadline"));
    error.effect = if call.method.changes() { Effect::Unknown } else { Effect::None };
    Miss::Failed { error, failure: Failure::Final }
}

/// Uniform in 0..1. Without a random source all callers wait equally long, which is no reason to fail.
fn dice() -> f64 {
    getrandom::u32().map_or(0.5, |n| f64::from(n) / f64::from(u32::MAX))
}
