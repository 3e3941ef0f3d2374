//! The control interface over HTTP.

use serde_json::{Value, json};

use crate::client::{Api, Got, start};
use crate::fake::{ACME, Mode};

async fn control(api: &Api, path: &str, body: Value) -> Got {
    api.post(&format!("/_fake/{path}"), body).await
}

#[tokio::test]
async fn everything_can_be_steered_and_asked_over_http_without_a_secret() {
    let fake = start(Mode::Hcp);
    let token = fake.anchor_user_token();
    let api = Api::new(&fake, &token);
    assert!(api.get("/_fake/").await.text.contains("POST   /_fake/faults"));
    let world = api.get("/_fake/world").await.json;
    assert_eq!(world["organizations"], json!([ACME]));

    let fault = json!({"route": "account_details", "calls": {"nth": 2}, "fault": {"kind": "status", "status": 502}});
    assert_eq!(control(&api, "faults", fault).await.status, 200);
    assert_eq!((api.whoami().await, api.whoami().await, api.whoami().await), (200, 502, 200));
    let always = json!({"route": "any", "calls": "always", "fault": {"kind": "status", "status": 500, "body": "html"}});
    control(&api, "faults", always).await;
    assert_eq!(api.whoami().await, 500);
    api.delete("/_fake/faults").await;
    assert_eq!(api.whoami().await, 200);
    for bad in [
        json!({"route": "nonsense", "fault": {"kind": "cut_body"}}),
        json!({"route": "ping", "fault": {"kind": "nonsense"}}),
        json!({"route": "ping", "fault": {"kind": "content_type", "value": "a\nb"}}),
        json!({"route": "ping", "fault": {"kind": "expired_at", "value": "tomorrow"}}),
    ] {
        assert_eq!(control(&api, "faults", bad.clone()).await.status, 400, "{bad}");
    }

    let before = fake.now();
    control(&api, "clock", json!({"advance_ms": 86_400_000})).await;
    assert!(fake.now().duration_since(before).as_hours() >= 24);
    assert!(api.get("/_fake/clock").await.json["now"].is_string());

    control(&api, "switches", json!({"token_length": 60})).await;
    assert_eq!(api.get("/_fake/switches").await.json["token_length"], 60);
    assert_eq!(control(&api, "switches", json!({"nonsense": 1})).await.status, 400);
    let path = format!("users/{}/authentication-tokens", fake.user_id("alice"));
    let made = api.create(&path, json!({"description": "mine"})).await;
    assert_eq!(made.secret().len(), 60);

    let known = api.get(&format!("/_fake/orphans?known={}", made.id())).await;
    assert_eq!(known.json, json!([]));
    assert_eq!(api.get("/_fake/orphans").await.json[0]["id"], made.id());
    assert_eq!(api.delete(&format!("/_fake/tokens/{}", made.id())).await.status, 200);
    assert_eq!(api.delete(&format!("/_fake/tokens/{}", made.id())).await.status, 404);
    assert!(!fake.is_live(&made.secret()));

    let requests = api.get("/_fake/requests").await;
    assert!(requests.json.as_array().unwrap().len() > 3);
    assert!(!requests.text.contains("_fake"), "only requests to the API");
    let tokens = api.get("/_fake/tokens").await;
    assert_eq!(tokens.json.as_array().unwrap().len(), 2);
    for text in [requests.text, tokens.text, api.get("/_fake/stats").await.text, api.get("/_fake/world").await.text] {
        assert!(!text.contains(".atlasv1."));
    }
    api.delete("/_fake/requests").await;
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn policies_and_principals_can_be_changed_over_http() {
    let fake = start(Mode::Tfe(2, 1));
    let api = Api::new(&fake, &fake.anchor_user_token());
    control(&api, "organizations", json!({"name": "other"})).await;
    let team = control(&api, "organizations/other/teams", json!({"name": "ops"})).await.json["id"].clone();
    let team = team.as_str().unwrap();
    let user = control(&api, "organizations/other/users", json!({"name": "eve"})).await.json["id"].clone();
    let user = user.as_str().unwrap();
    assert_eq!((fake.team_id("other", "ops").as_str(), fake.user_id("eve").as_str()), (team, user));
    assert_eq!(control(&api, &format!("teams/{team}/members/{user}"), json!({})).await.status, 200);
    assert_eq!(control(&api, &format!("teams/{team}"), json!({"secret": true})).await.status, 200);
    assert_eq!(control(&api, "teams/team-x", json!({})).await.status, 404);

    control(&api, "organizations/acme", json!({"user_tokens_enabled": false})).await;
    assert_eq!(api.get("organizations/acme").await.status, 401);
    let policy = json!({"user_tokens_enabled": true, "max_ttl_enabled": true, "max_ttl_ms": {"user": 1000}});
    control(&api, "organizations/acme", policy).await;
    assert_eq!(api.get("organizations/acme").await.status, 401, "the anchor is good for a year");
    control(&api, "organizations/acme", json!({"max_ttl_enabled": false})).await;
    assert_eq!(api.get("organizations/acme").await.status, 200);
    control(&api, &format!("users/{}", fake.user_id("alice")), json!({"saml_expired": true})).await;
    assert_eq!(api.whoami().await, 401);

    for path in [format!("teams/{team}"), format!("users/{user}"), "organizations/other".into()] {
        assert_eq!(api.delete(&format!("/_fake/{path}")).await.status, 200);
        assert_eq!(api.delete(&format!("/_fake/{path}")).await.status, 404);
    }
    assert_eq!(api.get("/_fake/nonsense").await.status, 404);
}
