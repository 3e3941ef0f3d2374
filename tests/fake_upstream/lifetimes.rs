//! Ends of tokens: behaviours 6 to 10, 14 and 18 of the reference.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::client::{Api, Got, start};
use crate::fake::{ACME, Fake, Kind, Mode, Owner, PastEnd, TokenType};

const DAY: Duration = Duration::from_secs(86_400);

fn setup(mode: Mode) -> (Fake, Api, String) {
    let fake = start(mode);
    let api = Api::new(&fake, &fake.anchor_user_token());
    let path = format!("users/{}/authentication-tokens", fake.user_id("alice"));
    (fake, api, path)
}

fn end(fake: &Fake, after: Duration) -> String {
    let end = fake.now() + SignedDuration::try_from(after).unwrap();
    end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn stored_end(got: &Got) -> Timestamp {
    got.attribute("expired-at").as_str().expect("an end").parse().expect("a time")
}

#[tokio::test]
async fn b06_a_use_moves_last_used_at() {
    let (fake, api, path) = setup(Mode::Hcp);
    let made = api.create(&path, json!({})).await;
    let by_id = format!("authentication-tokens/{}", made.id());
    assert!(api.get(&by_id).await.attribute("last-used-at").is_null());
    let mut before = None;
    for _ in 0..2 {
        api.calling_with(&made.secret()).whoami().await;
        let used: Timestamp = api.get(&by_id).await.attribute("last-used-at").as_str().unwrap().parse().unwrap();
        assert!(before.is_none_or(|before| used > before));
        before = Some(used);
        fake.advance(Duration::from_secs(5));
    }
}

#[tokio::test]
async fn b07_the_end_is_kept_in_milliseconds_and_defaults_by_mode() {
    let (fake, api, path) = setup(Mode::Hcp);
    let made = api.create(&path, json!({"expired-at": "2099-01-02T03:04:05.678999Z"})).await;
    assert_eq!(made.attribute("expired-at"), "2099-01-02T03:04:05.678Z");
    assert_eq!(fake.token(&made.id()).unwrap().expires_at, Some(stored_end(&made)), "kept no finer than shown");
    let made = api.create(&path, json!({"expired-at": "2099-01-02T03:04:05+02:00"})).await;
    assert_eq!(made.attribute("expired-at"), "2099-01-02T01:04:05.000Z");
    drop(fake);
    for (mode, ends) in [
        (Mode::Hcp, true),
        (Mode::Tfe(2, 0), true),
        (Mode::NoHeaders, true),
        (Mode::Tfe(1, 1), false),
        (Mode::TfeMonthly, false),
    ] {
        let (fake, api, path) = setup(mode);
        for attributes in [json!({}), json!({"expired-at": null})] {
            let made = api.create(&path, attributes).await;
            if ends {
                let days = stored_end(&made).duration_since(fake.now()).as_hours() / 24;
                assert!((729..=731).contains(&days), "{mode:?}: {days}");
            } else {
                assert!(made.attribute("expired-at").is_null(), "{mode:?}");
            }
        }
    }
}

#[tokio::test]
async fn b07_an_end_in_the_past_is_refused_or_makes_a_dead_token() {
    let (fake, api, path) = setup(Mode::Hcp);
    let past = json!({"expired-at": "2020-01-01T00:00:00Z"});
    assert_eq!(api.create(&path, past.clone()).await.status, 422);
    fake.switch(|switches| switches.past_end = PastEnd::CreateDead);
    let made = api.create(&path, past).await;
    assert_eq!(made.status, 201);
    assert_eq!(api.calling_with(&made.secret()).whoami().await, 401);
    fake.switch(|switches| switches.min_lifetime_ms = 60_000);
    let soon = json!({"expired-at": end(&fake, Duration::from_secs(30))});
    assert_eq!(api.create(&path, soon).await.status, 422);
}

#[tokio::test]
async fn b08_an_expired_token_answers_401_and_stays_listed() {
    let (fake, api, _) = setup(Mode::Hcp);
    let path = format!("teams/{}/authentication-tokens", fake.team_id(ACME, "deploy"));
    let short = api.create(&path, json!({"description": "short", "expired-at": end(&fake, DAY)})).await;
    let long = api.create(&path, json!({"description": "long", "expired-at": end(&fake, 20 * DAY)})).await;
    let list = |status: &str| {
        let (api, path) = (api.clone(), format!("organizations/acme/team-tokens?{status}"));
        async move { api.get(&path).await.ids() }
    };
    assert_eq!(list("").await, [short.id(), long.id()], "by end, ascending");
    assert_eq!(list("sort=-expired-at").await, [long.id(), short.id()]);
    assert_eq!(list("filter%5Bstatus%5D=expiring_in_7_days").await, [short.id()]);
    fake.advance(DAY);
    assert_eq!(api.calling_with(&short.secret()).whoami().await, 401);
    assert_eq!(api.calling_with(&long.secret()).whoami().await, 200);
    assert_eq!(list("").await.len(), 2);
    assert_eq!(list("filter%5Bstatus%5D=expired").await, [short.id()]);
    assert_eq!(list("filter%5Bexpiry_status%5D=expired,no_expiration").await, [short.id()]);
    assert_eq!(list("filter%5Bstatus%5D=active").await, [long.id()]);
    assert_eq!(list("filter%5Bstatus%5D=expiring_in_30_days").await, [long.id()]);
    assert_eq!(api.delete(&format!("authentication-tokens/{}", short.id())).await.status, 204);
}

#[tokio::test]
async fn b09_a_lifetime_above_the_maximum_is_made_and_then_useless() {
    let (fake, api, _) = setup(Mode::Hcp);
    let path = format!("teams/{}/authentication-tokens", fake.team_id(ACME, "deploy"));
    let long = api.create(&path, json!({"description": "long", "expired-at": end(&fake, 10 * DAY)})).await;
    let short = api.create(&path, json!({"description": "short", "expired-at": end(&fake, DAY)})).await;
    fake.set_max_ttl_policy(ACME, TokenType::Team, Some(5 * DAY));
    assert_eq!(api.calling_with(&long.secret()).whoami().await, 401, "hits existing tokens");
    assert_eq!(api.calling_with(&short.secret()).whoami().await, 200);
    let row = api.get(&format!("authentication-tokens/{}", long.id())).await;
    assert_eq!(row.attribute("is-ttl-rejected"), true);
    let row = api.get(&format!("authentication-tokens/{}", short.id())).await;
    assert_eq!(row.attribute("is-ttl-rejected"), false);
    let attributes = json!({"description": "new", "expired-at": end(&fake, 10 * DAY)});
    let new = api.create(&path, attributes.clone()).await;
    assert_eq!((new.status, api.calling_with(&new.secret()).whoami().await), (201, 401));
    fake.switch(|switches| switches.refuse_over_max_ttl = true);
    let attributes = json!({"description": "newer", "expired-at": attributes["expired-at"]});
    assert_eq!(api.create(&path, attributes).await.status, 422);
    fake.set_max_ttl_policy(ACME, TokenType::Team, None);
    assert_eq!(api.calling_with(&long.secret()).whoami().await, 200);
}

#[tokio::test]
async fn b09_a_policy_for_users_bites_per_organization() {
    let (fake, api, path) = setup(Mode::Hcp);
    let made = api.create(&path, json!({"expired-at": end(&fake, 10 * DAY)})).await;
    let short = api.create(&path, json!({"expired-at": end(&fake, DAY)})).await;
    fake.set_max_ttl_policy(ACME, TokenType::User, Some(5 * DAY));
    let (made, short) = (api.calling_with(&made.secret()), api.calling_with(&short.secret()));
    assert_eq!((made.whoami().await, made.get("organizations/acme").await.status), (200, 401));
    assert_eq!(short.get("organizations/acme").await.status, 200);
}

#[tokio::test]
async fn b09_policies_are_shown_and_changed_by_owners() {
    let (fake, api, _) = setup(Mode::Hcp);
    let path = "organizations/acme/token-ttl-policies";
    assert_eq!(api.get(path).await.ids().len(), 4);
    let item = json!({"token-type": "team", "max-ttl-ms": 3_600_000});
    let documented = json!({"data": {"type": "organization-token-ttl-policies",
                                     "attributes": {"token-ttl-policies": [item]}}});
    let of_pytfe = json!({"data": [{"type": "organization-token-ttl-policies", "attributes": item}]});
    for body in [&documented, &of_pytfe] {
        let got = api.patch(path, body.clone()).await;
        let team = got.json["data"].as_array().unwrap().iter().find(|one| one["attributes"]["token-type"] == "team");
        assert_eq!((got.status, &team.unwrap()["attributes"]["max-ttl-ms"]), (200, &json!(3_600_000)));
    }
    assert_eq!(api.patch(path, json!({"data": {"attributes": {}}})).await.status, 422);
    let bob = fake.seed_user(ACME, "bob");
    let (_, bob) = fake.seed_token(Owner::User(bob), Kind::User, None, None);
    assert_eq!(api.calling_with(&bob).patch(path, documented).await.status, 403);
    let (old, api, _) = setup(Mode::Tfe(1, 1));
    assert_eq!(api.get(path).await.status, 404);
    drop(old);
}

#[tokio::test]
async fn b10_an_organization_may_refuse_user_tokens() {
    let (fake, api, _) = setup(Mode::Hcp);
    let team = format!("teams/{}", fake.team_id(ACME, "deploy"));
    fake.set_user_tokens_enabled(ACME, false);
    assert_eq!(api.get("organizations/acme").await.status, 401);
    assert_eq!(api.get(&team).await.status, 401);
    assert_eq!(api.whoami().await, 200);
    let org = api.calling_with(&fake.anchor_org_token());
    assert_eq!(org.get(&team).await.status, 200);
    assert_eq!(org.get("organizations/acme").await.attribute("user-tokens-enabled"), false);
    fake.set_user_tokens_enabled(ACME, true);
    assert_eq!(api.get("organizations/acme").await.status, 200);
}

#[tokio::test]
async fn b14_a_misspelt_end_gives_the_default() {
    let (fake, api, path) = setup(Mode::Hcp);
    let made = api.create(&path, json!({"expired_at": end(&fake, DAY), "colour": "red"})).await;
    assert_eq!(made.status, 201);
    assert!(stored_end(&made) > fake.now() + SignedDuration::from_hours(24 * 700));
}

#[tokio::test]
async fn b18_on_tfe_user_tokens_stop_with_the_saml_session() {
    for (mode, status) in [(Mode::Tfe(2, 1), 401), (Mode::Hcp, 200)] {
        let (fake, api, _) = setup(mode);
        fake.set_saml_expired(&fake.user_id("alice"), true);
        assert_eq!(api.whoami().await, status, "{mode:?}");
        assert_eq!(api.calling_with(&fake.anchor_org_token()).whoami().await, 200);
        fake.set_service_account(&fake.user_id("alice"), true);
        assert_eq!(api.whoami().await, 200);
    }
}
