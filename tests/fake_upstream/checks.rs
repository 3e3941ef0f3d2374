//! The order of checks, the rate limit (behaviour 13), bodies that are wrong.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::client::{Api, JSON_API, start};
use crate::fake::{ACME, Fake, FakeOptions, Fault, Kind, Mode, Owner, Route};

#[tokio::test]
async fn each_check_comes_before_the_next() {
    let fake = Fake::start(FakeOptions { rate: 2, ..FakeOptions::default() });
    let api = Api::new(&fake, &fake.anchor_user_token());
    let path = format!("teams/{}/authentication-tokens", fake.team_id(ACME, "deploy"));
    let nobody = api.calling_with("nonsense");
    let wrong = |api: &Api, path: &str, content_type: Option<&'static str>, body: &str| {
        let (api, path, body) = (api.clone(), path.to_owned(), body.to_owned());
        async move { api.send(Method::POST, &path, content_type, Some(body)).await.unwrap().status }
    };
    // Everything is wrong at first, and one thing less in each line.
    fake.set_fault(Route::Any, 1, Fault::status(503));
    assert_eq!(wrong(&nobody, "nonsense", None, "{").await, 503);
    assert_eq!(wrong(&nobody, "nonsense", None, "{").await, 404);
    assert_eq!(wrong(&nobody, "teams/nonsense/authentication-tokens", None, "{").await, 401);
    api.whoami().await;
    api.whoami().await;
    assert_eq!(wrong(&api, "teams/nonsense/authentication-tokens", None, "{").await, 429);
    fake.set_rate(0);
    for content_type in [None, Some("application/json"), Some("application/vnd.api+jsonx")] {
        assert_eq!(wrong(&api, "teams/nonsense/authentication-tokens", content_type, "{").await, 415);
    }
    assert_eq!(wrong(&api, "teams/nonsense/authentication-tokens", Some(JSON_API), "{").await, 404);
    assert_eq!(wrong(&api, &path, Some(JSON_API), "{").await, 422);
    assert_eq!(api.create(&path, json!({"description": "x"})).await.status, 201);
    let charset = "application/vnd.api+json; charset=utf-8";
    assert_eq!(wrong(&api, &path, Some(charset), "{").await, 422, "parameters of the media type are fine");
}

#[tokio::test]
async fn a_delete_without_content_type_is_415_and_has_no_effect() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_user_token());
    let (id, _) = fake.seed_token(Owner::Team(fake.team_id(ACME, "deploy")), Kind::Team, Some("x"), None);
    let path = format!("authentication-tokens/{id}");
    assert_eq!(api.send(Method::DELETE, &path, None, None).await.unwrap().status, 415);
    assert!(fake.token(&id).unwrap().alive);
}

#[tokio::test]
async fn without_a_good_token_only_ping_and_discovery_answer() {
    let fake = start(Mode::Hcp);
    let good = fake.anchor_user_token();
    for token in ["", "nonsense", &good[..20]] {
        let api = Api::new(&fake, token);
        assert_eq!(api.get("ping").await.status, 204);
        let discovery = api.get("/.well-known/terraform.json").await;
        assert_eq!((discovery.status, discovery.header("content-type")), (200, Some("application/json")));
        assert_eq!(discovery.json["tfe.v2"], "/api/v2/");
        for path in ["account/details", "organizations", "organizations/acme", "authentication-tokens/at-x"] {
            let got = api.get(path).await;
            assert_eq!(
                (got.status, got.text.as_str()),
                (401, r#"{"errors":[{"status":"401","title":"unauthorized"}]}"#)
            );
        }
    }
}

#[tokio::test]
async fn forbidden_and_absent_are_the_same_404() {
    let fake = start(Mode::Hcp);
    fake.seed_organization("other");
    let api = Api::new(&fake, &fake.anchor_user_token());
    let team = fake.seed_team("other", "ops");
    let (id, _) = fake.seed_token(Owner::Team(team.clone()), Kind::Team, Some("x"), None);
    for (hidden, absent) in [
        (format!("teams/{team}"), "teams/team-x".to_owned()),
        ("organizations/other".into(), "organizations/nobody".into()),
        (format!("authentication-tokens/{id}"), "authentication-tokens/at-x".into()),
        ("organizations/other/authentication-token".into(), "organizations/x/authentication-token".into()),
        ("organizations/other/team-tokens".into(), "organizations/x/team-tokens".into()),
    ] {
        let (hidden, absent) = (api.get(&hidden).await, api.get(&absent).await);
        assert_eq!((hidden.status, hidden.text), (404, absent.text));
        assert_eq!(absent.status, 404);
    }
}

#[tokio::test]
async fn wrong_bodies_are_422() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_user_token());
    let path = format!("users/{}/authentication-tokens", fake.user_id("alice"));
    for body in [
        json!({}),
        json!([]),
        json!({"data": null}),
        json!({"data": []}),
        json!({"data": {"attributes": []}}),
        json!({"data": {"attributes": {"description": 1}}}),
        json!({"data": {"attributes": {"expired-at": 1}}}),
        json!({"data": {"attributes": {"expired-at": "tomorrow"}}}),
        json!({"data": {"attributes": {"expired-at": "2099-01-01"}}}),
    ] {
        let got = api.post(&path, body.clone()).await;
        assert_eq!(got.status, 422, "{body}");
        assert!(got.json["errors"][0]["detail"].is_string());
    }
    let nothing = api.send(Method::POST, &path, Some(JSON_API), None).await.unwrap();
    assert_eq!(nothing.status, 422, "only slots take an empty body");
}

#[tokio::test]
async fn b13_thirty_requests_a_second_and_user() {
    let fake = Fake::start(FakeOptions::default());
    let alice = fake.user_id("alice");
    let (_, second) = fake.seed_token(Owner::User(alice.clone()), Kind::User, None, None);
    let api = Api::new(&fake, &fake.anchor_user_token());
    let other = api.calling_with(&second);
    let first = api.get("account/details").await;
    assert_eq!(first.header("x-ratelimit-limit"), Some("30"));
    assert_eq!(first.header("x-ratelimit-remaining"), Some("29"));
    let mut refused = None;
    for _ in 0..30 {
        let got = other.get("account/details").await;
        if got.status == 429 {
            refused = Some(got);
        }
    }
    let refused = refused.expect("all tokens of a user count together");
    assert_eq!(refused.json["errors"][0]["status"], 429, "a number");
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
    let reset: f64 = refused.header("x-ratelimit-reset").unwrap().parse().unwrap();
    assert!(reset > 0.0 && reset <= 1.0, "{reset}");
    let team = api.calling_with(&fake.anchor_team_token());
    assert_eq!(team.whoami().await, 200, "others have their own budget");
    tokio::time::sleep(Duration::from_secs_f64(reset + 0.01)).await;
    assert_eq!(api.whoami().await, 200);
    assert!(fake.max_requests_in_one_second() >= 32);
    assert_eq!(fake.max_requests_in_one_second_of(&Owner::Team(fake.team_id(ACME, "owners"))), 1);
    let owner = Owner::User(alice);
    assert!((31..=32).contains(&fake.max_requests_in_one_second_of(&owner)), "refused ones count");
}

#[tokio::test]
async fn b13_the_limit_can_be_changed_and_switched_off() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_user_token());
    for _ in 0..100 {
        let got = api.get("account/details").await;
        assert_eq!((got.status, got.header("x-ratelimit-limit")), (200, None));
    }
    fake.set_rate(1);
    assert_eq!((api.whoami().await, api.whoami().await), (200, 429));
    fake.advance(Duration::from_secs(1));
    assert_eq!(api.whoami().await, 200, "the window moves with the server's clock");
}

#[tokio::test]
async fn team_rights_decide_who_manages_team_tokens() {
    let fake = start(Mode::Hcp);
    let team = fake.team_id(ACME, "deploy");
    let bob = fake.seed_user(ACME, "bob");
    let (_, token) = fake.seed_token(Owner::User(bob.clone()), Kind::User, None, None);
    let api = Api::new(&fake, &token);
    let path = format!("teams/{team}/authentication-token");
    let shows = || {
        let (api, team) = (api.clone(), format!("teams/{team}"));
        async move {
            let got = api.get(&team).await;
            (got.status, got.json["data"]["attributes"]["permissions"]["can-update-api-token"].as_bool())
        }
    };
    assert_eq!(shows().await, (200, Some(false)));
    assert_eq!(api.create(&path, json!({})).await.status, 404);
    fake.seed_member(&team, &bob);
    assert_eq!(shows().await, (200, Some(true)));
    assert_eq!(api.create(&path, json!({})).await.status, 201);
    fake.set_members_manage_tokens(&team, false);
    assert_eq!(shows().await, (200, Some(false)));
    assert_eq!(api.create(&path, json!({})).await.status, 404);
    let managers = fake.seed_team(ACME, "managers");
    fake.seed_member(&managers, &bob);
    fake.set_team_manages_teams(&managers, true);
    assert_eq!(api.create(&path, json!({})).await.status, 201);
    let hidden = fake.seed_team(ACME, "hidden");
    fake.set_team_secret(&hidden, true);
    assert_eq!(api.get(&format!("teams/{hidden}")).await.status, 404);
    assert_eq!(api.calling_with(&fake.anchor_org_token()).get(&format!("teams/{hidden}")).await.status, 200);
    for anchor in [fake.anchor_user_token(), fake.anchor_org_token(), fake.anchor_team_token()] {
        let owner = api.calling_with(&anchor);
        assert_eq!(owner.create(&format!("teams/{hidden}/authentication-token"), json!({})).await.status, 201);
    }
}
