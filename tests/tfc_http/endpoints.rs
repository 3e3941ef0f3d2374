//! Every endpoint: method, path, headers, body, and what becomes of the answer.

use httpmock::Method::{DELETE, GET, POST};
use httpmock::MockServer;
use serde_json::{Value, json};
use tfcfs::domain::ports::TokenApi;
use tfcfs::domain::token::TokenId;

use super::wire::Server;
use super::*;

const MEDIA: &str = "application/vnd.api+json";

fn bearer() -> String {
    format!("Bearer {ANCHOR}")
}

async fn creates(order: CreateToken, path: &str, body: Value) {
    let server = MockServer::start_async().await;
    let mock = server
        .mock_async(|when, then| {
            when.method(POST)
                .path(path)
                .query_param_missing("token")
                .header("authorization", bearer())
                .header("content-type", MEDIA)
                .header("accept", MEDIA)
                .header("user-agent", concat!("tfcfs/", env!("CARGO_PKG_VERSION")))
                .json_body(body);
            then.status(201).body(ISSUED);
        })
        .await;
    let issued = client().create(&access(&server.base_url()), &order).await.unwrap();
    assert_eq!((issued.id.0.as_str(), issued.token.expose()), ("at-new", "new.atlasv1.secret"));
    assert_eq!(issued.expires_at, Some("2099-08-21T10:00:00Z".parse().unwrap()));
    mock.assert_calls_async(1).await;
}

#[tokio::test]
async fn create_of_each_type() {
    let slot = json!({"data":{"type":"authentication-token","attributes":{"expired-at":"2099-08-21T10:00:00Z"}}});
    let minted = json!({"data":{"type":"authentication-tokens","attributes":{
        "expired-at":"2099-08-21T10:00:00Z","description":"tfcfs deploy 01J"}}});
    let path = |rest: &str| format!("/api/v2/{rest}");
    creates(order(org(), CredentialType::Organization), &path("organizations/acme/authentication-token"), slot.clone())
        .await;
    creates(order(team(), CredentialType::TeamLegacy), &path("teams/team-1/authentication-token"), slot).await;
    creates(order(team(), CredentialType::Team), &path("teams/team-1/authentication-tokens"), minted.clone()).await;
    creates(user_order(), &path("users/user-1/authentication-tokens"), minted).await;
}

#[tokio::test]
async fn a_type_that_does_not_fit_is_never_sent() {
    let server = Server::always(201, "", ISSUED).await;
    let error = client().create(&access(&server.origin), &order(org(), CredentialType::User)).await.unwrap_err();
    assert_is(&error, ApiErrorKind::Invalid, Effect::None);
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn other_base_paths_and_odd_names() {
    let server = Server::always(204, "", "").await;
    let mut access = access(&server.origin);
    access.address = Address::parse(&server.origin, "/tfe/api/v2", true).unwrap();
    let owner = Owner::Organization { name: "a/b?token=audit-trails#ü".into() };
    client().revoke_slot(&access, &owner).await.unwrap();
    let path = "/tfe/api/v2/organizations/a%2Fb%3Ftoken%3Daudit-trails%23%C3%BC/authentication-token";
    assert_eq!(server.lines(), vec![format!("DELETE {path}")]);
    let up = Owner::Organization { name: "..".into() };
    assert_eq!(client().revoke_slot(&access, &up).await.unwrap_err().kind, ApiErrorKind::Invalid);
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn deletes_carry_a_content_type_though_they_have_no_body() {
    let server = MockServer::start_async().await;
    let by_id = server
        .mock_async(|when, then| {
            when.method(DELETE).path("/api/v2/authentication-tokens/at-1").header("content-type", MEDIA).body("");
            then.status(204);
        })
        .await;
    let slot = server
        .mock_async(|when, then| {
            when.method(DELETE).path("/api/v2/teams/team-1/authentication-token").header("content-type", MEDIA);
            then.status(204);
        })
        .await;
    client().revoke(&access(&server.base_url()), &TokenId("at-1".into())).await.unwrap();
    client().revoke_slot(&access(&server.base_url()), &team()).await.unwrap();
    by_id.assert_async().await;
    slot.assert_async().await;
}

#[tokio::test]
async fn a_token_that_is_gone_is_an_error_to_its_revoker() {
    let server =
        Server::always(404, "x-request-id: r-1\n", r#"{"errors":[{"status":"404","title":"not found"}]}"#).await;
    let error = client().revoke(&access(&server.origin), &TokenId("at-1".into())).await.unwrap_err();
    assert_is(&error, ApiErrorKind::NotVisible, Effect::None);
    assert_eq!((error.request_id.as_deref(), error.detail.as_str()), (Some("r-1"), "404 not found"));
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_page_of_something_in_between_proves_no_deletion() {
    for (status, effect) in [(200, Effect::Unknown), (404, Effect::None)] {
        let server = Server::always(status, "content-type: text/html\n", "<html>Welcome to our hotel</html>").await;
        let error = client().revoke(&access(&server.origin), &TokenId("at-1".into())).await.unwrap_err();
        assert_is(&error, ApiErrorKind::Remote, effect);
    }
    let headers = "content-type: text/html\ntfp-api-version: 2.6\n";
    let server = Server::always(404, headers, "<html>").await;
    let error = client().revoke(&access(&server.origin), &TokenId("at-1".into())).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::NotVisible);
}

#[tokio::test]
async fn slots_full_empty_and_hidden() {
    let server = MockServer::start_async().await;
    server
        .mock_async(|when, then| {
            when.method(GET).path("/api/v2/organizations/acme/authentication-token").header_missing("content-type");
            // 201 is what OTF answers here.
            then.status(201).json_body(json!({"data":{"id":12345,"type":"x","attributes":{
                "token":null,"created-at":"2026-08-20T10:00:00.123Z","expired-at":"2026-08-21T10:00:00.000Z"}}}));
        })
        .await;
    let access = access(&server.base_url());
    let found = client().slot(&access, &org()).await.unwrap().unwrap();
    assert_eq!(found.id, TokenId("12345".into()));
    assert_eq!(found.created_at, Some("2026-08-20T10:00:00.123Z".parse().unwrap()));
    assert_eq!(found.expires_at, Some("2026-08-21T10:00:00Z".parse().unwrap()));
    assert_eq!(client().slot(&access, &team()).await.unwrap(), None);
    assert_eq!(client().slot(&access, &user()).await.unwrap_err().kind, ApiErrorKind::Invalid);

    let forbidden = Server::always(403, "", "").await;
    let error = client().slot(&super::access(&forbidden.origin), &org()).await.unwrap_err();
    assert_is(&error, ApiErrorKind::NotVisible, Effect::None);
}

#[tokio::test]
async fn whose_token() {
    let body = r#"{"data":{"id":"user-9","type":"users","attributes":{"username":"api-team_1","is-service-account":true},
        "relationships":{"authenticated-resource":{"data":{"id":"team-7","type":"teams"}}},
        "links":{"self":"/api/v2/users/user-9"},"links":{"auth-token":"/api/v2/authentication-tokens/at-77"}}}"#;
    let server = Server::always(200, "", body).await;
    let got = client().whoami(&access(&server.origin)).await.unwrap();
    assert_eq!(got.owner, Some(Owner::Team { id: "team-7".into() }));
    assert_eq!((got.token_id, got.username.as_str()), (Some(TokenId("at-77".into())), "api-team_1"));
    assert_eq!(server.lines(), vec!["GET /api/v2/account/details"]);
}

#[tokio::test]
async fn organization_of_a_team() {
    let body =
        r#"{"data":{"id":"team-1","relationships":{"organization":{"data":{"id":"acme","type":"organizations"}}}}}"#;
    let server = Server::always(200, "", body).await;
    let got = client().team_organization(&access(&server.origin), "team-1").await.unwrap();
    assert_eq!(got.as_deref(), Some("acme"));
    assert_eq!(server.lines(), vec!["GET /api/v2/teams/team-1"]);
}
