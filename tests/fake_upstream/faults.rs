//! Every fault, and that it hits the call it was set for.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, Method};
use serde_json::json;

use crate::client::{Api, Got, JSON_API, start};
use crate::fake::{ACME, Calls, ErrorBody, Fake, FakeOptions, Fault, Kind, Mode, Owner, Route, When};

const ROUTE: Route = Route::CreateTeamToken;

struct Setup {
    fake: Fake,
    api: Api,
    path: String,
    team: Owner,
    count: std::cell::Cell<usize>,
}

impl Setup {
    fn new() -> Self {
        Self::with(start(Mode::Hcp))
    }

    fn with(fake: Fake) -> Self {
        let api = Api::new(&fake, &fake.anchor_user_token());
        let team = fake.team_id(ACME, "deploy");
        let path = format!("teams/{team}/authentication-tokens");
        Self { fake, api, path, team: Owner::Team(team), count: 0.into() }
    }

    /// A create call with a fresh description.
    async fn create(&self) -> Result<Got, reqwest::Error> {
        self.count.set(self.count.get() + 1);
        let body = json!({"data": {"attributes": {"description": self.count.get().to_string()}}}).to_string();
        self.api.send(Method::POST, &self.path, Some(JSON_API), Some(body)).await
    }

    /// The same with that fault.
    async fn hit(&self, fault: Fault) -> Result<Got, reqwest::Error> {
        self.fake.set_fault(ROUTE, 1, fault);
        let got = self.create().await;
        assert_eq!(self.fake.pending_faults(), 0, "the fault has been used");
        got
    }

    fn living(&self) -> usize {
        self.fake.live_tokens_of(&self.team).len()
    }
}

#[tokio::test]
async fn statuses_with_each_body_before_and_after_the_effect() {
    let setup = Setup::new();
    for status in [500, 502, 503, 504] {
        for (body, content_type, starts) in [
            (ErrorBody::Json, Some("application/vnd.api+json; charset=utf-8"), r#"{"errors":[{"#),
            (ErrorBody::PlainStrings, Some("application/vnd.api+json; charset=utf-8"), r#"{"errors":[""#),
            (ErrorBody::Html, Some("text/html"), "<html>"),
            (ErrorBody::Empty, None, ""),
            (ErrorBody::Text("boo".into()), Some(JSON_API), "boo"),
        ] {
            for when in [When::Before, When::After] {
                let before = setup.living();
                let got = setup.hit(Fault::Status { status, body: body.clone(), when }).await.unwrap();
                assert_eq!((got.status, got.header("content-type")), (status, content_type));
                assert!(got.text.starts_with(starts) && got.text.is_empty() == starts.is_empty());
                assert_eq!(setup.living() - before, usize::from(when == When::After));
            }
        }
    }
}

#[tokio::test]
async fn calls_are_counted_by_route_from_the_moment_the_fault_is_set() {
    let setup = Setup::new();
    setup.create().await.unwrap();
    setup.fake.set_fault(ROUTE, 2, Fault::status(503));
    setup.fake.set_fault(Route::Ping, Calls::First(2), Fault::status(502));
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push((setup.create().await.unwrap().status, setup.api.get("ping").await.status));
    }
    assert_eq!(seen, [(201, 502), (503, 502), (201, 204)]);
    setup.fake.set_fault(Route::Any, Calls::Always, Fault::status(500));
    assert_eq!((setup.api.whoami().await, setup.api.whoami().await), (500, 500));
    setup.fake.clear_faults();
    assert_eq!(setup.api.whoami().await, 200);
}

#[tokio::test]
async fn a_429_carries_any_reset() {
    let setup = Setup::with(Fake::start(FakeOptions::default()));
    for reset in ["0.0", "0.413", "garbage", "-1", "99999999999999999999", ""] {
        let got = setup.hit(Fault::rate_limited(reset)).await.unwrap();
        assert_eq!((got.status, got.header("x-ratelimit-reset")), (429, Some(reset)));
        assert_eq!(got.headers.get_all("x-ratelimit-reset").iter().count(), 1);
        assert_eq!(got.json["errors"][0]["status"], 429);
    }
    let bare = Fault::RateLimited { reset: None, retry_after: Some("2".into()) };
    let got = setup.hit(bare).await.unwrap();
    assert_eq!((got.header("x-ratelimit-reset"), got.header("retry-after")), (None, Some("2")));
    assert_eq!(setup.living(), 0);
}

#[tokio::test]
async fn a_delay_comes_before_or_after_the_effect() {
    let setup = Setup::new();
    let started = Instant::now();
    assert_eq!(setup.hit(Fault::delay(Duration::from_millis(80))).await.unwrap().status, 201);
    assert!(started.elapsed() >= Duration::from_millis(80));
    for (when, effect) in [(When::Before, 0), (When::After, 1)] {
        let before = setup.living();
        let patience = Duration::from_millis(100);
        let hit = setup.hit(Fault::Delay { ms: 60_000, when });
        assert!(tokio::time::timeout(patience, hit).await.is_err(), "no answer in time");
        assert_eq!(setup.living() - before, effect, "{when:?}");
    }
}

#[tokio::test]
async fn a_connection_closes_without_an_answer_before_or_after_the_effect() {
    let setup = Setup::new();
    for (when, effect) in [(When::Before, 0), (When::After, 1)] {
        let before = setup.living();
        let error = setup.hit(Fault::Close { when }).await.err().expect("no answer");
        assert!(error.is_request() && !error.is_timeout(), "{error:?}");
        assert_eq!(setup.living() - before, effect, "{when:?}");
        assert_eq!(setup.fake.requests().last().unwrap().status, None);
        let made = setup.fake.creates(&setup.team, Kind::Team);
        assert_eq!(made, effect, "the client library has not tried again by itself");
    }
    assert_eq!(setup.create().await.unwrap().status, 201, "the next connection is fine");
}

#[tokio::test]
async fn a_body_is_cut_in_the_middle() {
    let setup = Setup::new();
    let error = setup.hit(Fault::CutBody).await.err().expect("half a body");
    assert!(error.is_decode() || error.is_body(), "status and headers have come: {error:?}");
    assert_eq!(setup.living(), 1);
}

#[tokio::test]
async fn a_body_drips() {
    let setup = Setup::new();
    let started = Instant::now();
    let got = setup.hit(Fault::SlowBody { per_byte_ms: 1 }).await.unwrap();
    assert_eq!((got.status, got.secret().len()), (201, 90));
    assert!(started.elapsed() >= Duration::from_millis(got.text.len() as u64), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_answer_lies_about_its_type_or_lacks_the_token() {
    let setup = Setup::new();
    let got = setup.hit(Fault::ContentType { value: "text/html".into() }).await.unwrap();
    assert_eq!((got.status, got.header("content-type"), got.secret().len()), (201, Some("text/html"), 90));
    let got = setup.hit(Fault::NoToken).await.unwrap();
    assert_eq!((got.status, got.json["data"]["attributes"].get("token")), (201, None));
    assert!(setup.fake.token(&got.id()).unwrap().alive);
}

#[tokio::test]
async fn the_server_keeps_another_end_than_asked_for() {
    let setup = Setup::new();
    let got = setup.hit(Fault::ExpiredAt { value: None }).await.unwrap();
    assert!(got.attribute("expired-at").is_null());
    assert_eq!(setup.fake.token(&got.id()).unwrap().expires_at, None);
    let got = setup.hit(Fault::ExpiredAt { value: Some("2055-01-01T00:00:00Z".into()) }).await.unwrap();
    assert_eq!(got.attribute("expired-at"), "2055-01-01T00:00:00.000Z");
    let kept = setup.fake.token(&got.id()).unwrap().expires_at;
    assert_eq!(kept, Some("2055-01-01T00:00:00Z".parse().unwrap()));
}

#[tokio::test]
async fn the_date_header_is_off_and_the_clock_is_not() {
    let setup = Setup::new();
    let ahead = |got: &Got, fake: &Fake| {
        let date = jiff::fmt::rfc2822::parse(got.header("date").unwrap()).unwrap().timestamp();
        date.duration_since(fake.now()).as_secs()
    };
    let got = setup.create().await.unwrap();
    assert!((-2..=0).contains(&ahead(&got, &setup.fake)));
    let got = setup.hit(Fault::DateSkew { seconds: 3600 }).await.unwrap();
    assert!((3598..=3600).contains(&ahead(&got, &setup.fake)));
    setup.fake.set_date_skew(-3600);
    let got = setup.create().await.unwrap();
    assert!((-3602..=-3600).contains(&ahead(&got, &setup.fake)));
    setup.fake.set_date_skew(0);
    let before = setup.fake.now();
    setup.fake.advance(Duration::from_secs(86_400));
    assert!(setup.fake.now().duration_since(before) >= SignedDuration::from_hours(24));
    let got = setup.create().await.unwrap();
    assert!((-2..=0).contains(&ahead(&got, &setup.fake)), "moves with the clock");
    let created: Timestamp = got.attribute("created-at").as_str().unwrap().parse().unwrap();
    assert!(created.duration_since(before).as_secs_f64().round() as i64 == 86_400, "in whole milliseconds");
}

#[tokio::test]
async fn a_redirect_leads_to_a_trap_that_sees_who_brings_the_token() {
    let setup = Setup::new();
    let got = setup.hit(Fault::redirect()).await.unwrap();
    let target = format!("{}/api/v2/{}", setup.fake.trap_url(), setup.path);
    assert_eq!((got.status, got.header("location")), (307, Some(target.as_str())));
    assert_eq!((setup.living(), setup.fake.trapped().len()), (0, 0));
    assert!(!setup.fake.trap_url().contains("127.0.0.1"), "another host, not only another port");
    let client = Client::builder().no_proxy().build().unwrap();
    for careless in [false, true] {
        let request = client.get(&target);
        let request = if careless { request.bearer_auth(setup.fake.anchor_user_token()) } else { request };
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    let seen: Vec<_> = setup.fake.trapped().into_iter().map(|one| one.had_authorization).collect();
    assert_eq!(seen, [false, true]);
}

#[tokio::test]
async fn several_faults_on_one_call_all_take_place() {
    let setup = Setup::new();
    setup.fake.set_fault(ROUTE, 1, Fault::delay(Duration::from_millis(50)));
    setup.fake.set_fault(ROUTE, 1, Fault::status_with(503, ErrorBody::Html));
    let started = Instant::now();
    let got = setup.create().await.unwrap();
    assert_eq!(got.status, 503);
    assert!(started.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn tls_is_only_good_for_those_who_know_the_ca() {
    let fake = Fake::start(FakeOptions { tls: true, ..FakeOptions::default() });
    assert!(fake.url().starts_with("https://"));
    let ca = reqwest::Certificate::from_pem(fake.ca_pem().expect("a CA").as_bytes()).unwrap();
    let knowing = Client::builder().tls_certs_only([ca]);
    assert_eq!(Api::with(knowing, &fake, &fake.anchor_user_token()).whoami().await, 200);
    let other = Fake::start(FakeOptions { tls: true, ..FakeOptions::default() });
    let wrong = reqwest::Certificate::from_pem(other.ca_pem().expect("a CA").as_bytes()).unwrap();
    for builder in [Client::builder(), Client::builder().tls_certs_only([wrong])] {
        let api = Api::with(builder, &fake, "");
        let error = api.send(Method::GET, "ping", None, None).await.err().expect("a refusal");
        assert!(error.is_connect(), "{error:?}");
    }
}

#[tokio::test]
async fn offline_refuses_and_online_comes_back_on_the_same_port() {
    let setup = Setup::new();
    let living = setup.create().await.unwrap();
    setup.fake.go_offline();
    let error = setup.create().await.err().expect("the open connection is closed, or a new one refused");
    assert!(error.is_request(), "{error:?}");
    let fresh = Api::new(&setup.fake, "").send(Method::GET, "ping", None, None).await;
    assert!(fresh.err().expect("refused").is_connect());
    setup.fake.go_online();
    setup.fake.go_online();
    assert_eq!(setup.create().await.unwrap().status, 201);
    assert!(setup.fake.is_live(&living.secret()), "the state is kept");
}

#[test]
#[should_panic(expected = "a fault that HTTP can carry")]
fn a_fault_that_cannot_be_sent_is_refused_at_once() {
    let fake = start(Mode::Hcp);
    fake.set_fault(Route::Any, 1, Fault::ContentType { value: "a\nb".into() });
}
