//! What happens to every request: logged, hit by faults, checked in the order that upstream keeps, answered.

use std::time::Instant;

use bytes::Bytes;
use hyper::Method;
use jiff::SignedDuration;

use super::answer::{Answer, JSON_API, Query};
use super::api::{self, Call};
use super::clock::http_date;
use super::fault::Fault;
use super::ids;
use super::log::Logged;
use super::owner::Owner;
use super::rate::Budget;
use super::route::Route;
use super::world::World;

/// A request that has been read. Not `Debug`, because it holds the caller's token.
pub struct Incoming {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub bearer: Option<String>,
    pub content_type: Option<String>,
    pub body: Bytes,
}

impl Incoming {
    /// Path and query, with token shapes blacked out.
    pub fn shown_path(&self) -> String {
        let separator = if self.query.is_empty() { "" } else { "?" };
        ids::without_secrets(&format!("{}{separator}{}", self.path, self.query))
    }
}

/// A request on its way.
pub struct Begun {
    pub entry: usize,
    pub route: Route,
    pub subject: String,
    pub faults: Vec<Fault>,
}

impl World {
    /// Logs a request and says what the script has for it.
    pub fn begin(&mut self, incoming: &Incoming) -> Begun {
        let (route, subject) = Route::parse(&incoming.method, &incoming.path, self.mode);
        let row = incoming.bearer.as_deref().and_then(|secret| self.tokens.by_secret(secret));
        let logged = Logged {
            method: incoming.method.to_string(),
            path: incoming.shown_path(),
            route: Some(route).filter(|route| *route != Route::Unknown),
            token_id: row.map(|row| row.id.clone()),
            owner: row.map(|row| row.owner.clone()),
            at: self.clock.now(),
            arrived: Instant::now(),
            status: None,
        };
        let entry = self.log.add(logged);
        Begun { entry, route, subject, faults: self.script.hit(route) }
    }

    /// The right answer, with all headers but `Date`.
    pub fn process(&mut self, incoming: &Incoming, route: Route, subject: &str) -> Answer {
        if let Some(status) = self.switches.blocked_status {
            return Answer::error(status);
        }
        let mut budget = None;
        let mut answer = self.check_and_answer(incoming, route, subject, &mut budget);
        self.add_headers(&mut answer, budget);
        answer
    }

    fn check_and_answer(
        &mut self,
        incoming: &Incoming,
        route: Route,
        subject: &str,
        budget: &mut Option<Budget>,
    ) -> Answer {
        if route == Route::Unknown {
            return Answer::error(404);
        }
        let query = Query::parse(&incoming.query);
        let call = Call { route, subject, path: &incoming.path, query: &query, body: &incoming.body };
        let caller = self.authenticate(incoming.bearer.as_deref(), route, subject);
        if caller.is_none() && !route.is_open() {
            return Answer::error(401);
        }
        if self.exceeds_rate(caller.as_ref().map(|caller| &caller.owner), budget) {
            return Answer::rate_limited();
        }
        let writes = [Method::POST, Method::PATCH, Method::DELETE].contains(&incoming.method);
        let media_type = incoming.content_type.as_deref().and_then(|text| text.split(';').next()).map(str::trim);
        if writes && media_type != Some(JSON_API) {
            return Answer::error(415);
        }
        let Some(caller) = caller else { return api::answer_anybody(self, &call) };
        let now = self.clock.now();
        self.tokens.touch(&caller.token_id, now);
        api::answer(self, &caller, &call)
    }

    fn exceeds_rate(&mut self, who: Option<&Owner>, budget: &mut Option<Budget>) -> bool {
        if self.switches.rate == 0 {
            return false;
        }
        let taken = self.limiter.take(who, self.switches.rate, self.clock.now());
        *budget = Some(taken);
        taken.exceeded
    }

    /// Version, request id and, if there is a limit, its state.
    pub fn add_headers(&self, answer: &mut Answer, budget: Option<Budget>) {
        answer.headers.extend(self.mode.headers());
        answer.headers.push(("x-request-id", ids::id("req")));
        let limit = self.switches.rate;
        if limit == 0 || self.mode == super::options::Mode::NoHeaders {
            return;
        }
        let budget = budget.unwrap_or(Budget { limit, remaining: limit, reset: 1.0, exceeded: false });
        answer.headers.push(("x-ratelimit-limit", budget.limit.to_string()));
        answer.headers.push(("x-ratelimit-remaining", budget.remaining.to_string()));
        answer.headers.push(("x-ratelimit-reset", format!("{:.3}", budget.reset)));
    }

    /// The `Date` header.
    pub fn date(&self, skew: SignedDuration) -> String {
        http_date(self.clock.now() + SignedDuration::from_millis(self.switches.date_skew_ms) + skew)
    }
}
