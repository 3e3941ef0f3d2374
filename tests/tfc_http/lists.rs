//! Lists with pages, and look-ups that walk them.

use serde_json::{Value, json};
use tfcfs::domain::ports::TokenApi;
use tfcfs::domain::token::{Listed, TokenId};

use super::wire::{Reply, Server, answer};
use super::*;

fn token(id: &str, team: &str, description: Value) -> Value {
    json!({"id":id,"type":"authentication-tokens","attributes":{"description":description,"token":null},
        "relationships":{"team":{"data":{"id":team,"type":"teams"}}}})
}

fn page(data: Vec<Value>, next: Value, total: u64) -> String {
    let body = json!({"data":data,"meta":{"pagination":{"current-page":1,"next-page":next,"total-count":total}}});
    answer(200, "", &body.to_string())
}

fn listed(id: &str, description: Option<&str>) -> Listed {
    Listed { id: TokenId(id.into()), description: description.map(str::to_owned) }
}

#[tokio::test]
async fn team_tokens_of_all_pages_and_of_that_team_only() {
    let server = Server::sequence(vec![
        page(vec![token("at-1", "team-1", json!("a")), token("at-2", "team-2", json!("b"))], json!(2), 5),
        page(vec![token("at-3", "team-1", json!(null)), token("at-4", "team-1", json!(""))], json!(3), 5),
        page(vec![token("at-5", "team-1", json!("c"))], json!(null), 5),
    ])
    .await;
    let got = client().list(&access(&server.origin), &team(), Some("acme")).await.unwrap();
    assert_eq!(got, vec![listed("at-1", Some("a")), listed("at-4", Some("")), listed("at-5", Some("c"))]);
    let line = |n| format!("GET /api/v2/organizations/acme/team-tokens?page%5Bnumber%5D={n}&page%5Bsize%5D=100");
    assert_eq!(server.lines(), vec![line(1), line(2), line(3)]);
}

#[tokio::test]
async fn the_organization_is_asked_for_if_need_be() {
    let server = Server::start(|_, request| {
        Reply::Bytes(if request.starts_with("GET /api/v2/teams/team-1 ") {
            answer(200, "", r#"{"data":{"relationships":{"organization":{"data":{"id":"acme"}}}}}"#)
        } else {
            page(vec![token("at-1", "team-1", json!("a"))], json!(null), 1)
        })
    })
    .await;
    let got = client().list(&access(&server.origin), &team(), None).await.unwrap();
    assert_eq!(got, vec![listed("at-1", Some("a"))]);
    assert!(server.lines()[1].starts_with("GET /api/v2/organizations/acme/team-tokens?"));

    let silent = Server::always(200, "", r#"{"data":{"id":"team-1"}}"#).await;
    let error = client().list(&access(&silent.origin), &team(), None).await.unwrap_err();
    assert_is(&error, ApiErrorKind::Invalid, Effect::None);
    assert!(error.detail.contains("set organization"));
}

#[tokio::test]
async fn user_tokens_without_meta_are_one_page() {
    let body = json!({"data":[token("at-1", "x", json!("a")), {"id":"at-2","attributes":{}}]}).to_string();
    let server = Server::always(200, "", &body).await;
    let got = client().list(&access(&server.origin), &user(), None).await.unwrap();
    assert_eq!(got, vec![listed("at-1", Some("a")), listed("at-2", None)]);
    let path = "/api/v2/users/user-1/authentication-tokens?page%5Bnumber%5D=1&page%5Bsize%5D=100";
    assert_eq!(server.lines(), vec![format!("GET {path}")]);
}

#[tokio::test]
async fn an_organization_has_nothing_to_list() {
    let server = Server::always(500, "", "").await;
    assert_eq!(client().list(&access(&server.origin), &org(), None).await.unwrap(), vec![]);
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn pages_that_lead_nowhere_are_an_error_and_no_endless_loop() {
    for next in [json!(1), json!(0)] {
        let server = Server::sequence(vec![page(vec![], next, 1)]).await;
        let error = client().list(&access(&server.origin), &user(), None).await.unwrap_err();
        assert_is(&error, ApiErrorKind::Remote, Effect::None);
        assert_eq!(server.count(), 1);
    }
    let server = Server::start(|n, _| Reply::Bytes(page(vec![], json!(n + 2), 1))).await;
    let client = TfcClient::new(TfcSettings { rate: 100_000, ..settings() }).unwrap();
    let error = client.list(&access(&server.origin), &user(), None).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Remote);
    assert_eq!(server.count(), 1000);
}

#[tokio::test]
async fn a_list_that_shrinks_while_it_is_read_hides_nothing() {
    // at-1 was deleted between the pages: at-3 slipped to page 1, which was read before.
    let server = Server::sequence(vec![
        page(vec![token("at-1", "t", json!("a")), token("at-2", "t", json!("b"))], json!(2), 3),
        page(vec![], json!(null), 2),
        page(vec![token("at-2", "t", json!("b")), token("at-3", "t", json!("c"))], json!(null), 2),
    ])
    .await;
    let got = client().list(&access(&server.origin), &user(), None).await.unwrap();
    let ids: Vec<&str> = got.iter().map(|l| l.id.0.as_str()).collect();
    assert_eq!(ids, vec!["at-1", "at-2", "at-3"]);
}

#[tokio::test]
async fn a_list_that_breaks_off_is_an_error_and_no_short_list() {
    let server =
        Server::sequence(vec![page(vec![token("at-1", "team-1", json!("a"))], json!(2), 2), answer(404, "", "")]).await;
    let error = client().list(&access(&server.origin), &team(), Some("acme")).await.unwrap_err();
    assert_is(&error, ApiErrorKind::NotVisible, Effect::None);
}

fn named(id: &str, name: &str) -> Value {
    json!({"id":id,"type":"teams","attributes":{"name":name}})
}

#[tokio::test]
async fn a_team_by_its_exact_name() {
    let server =
        Server::sequence(vec![page(vec![named("team-1", "Deploy"), named("team-2", "deploy")], json!(null), 2)]).await;
    let got = client().team_id(&access(&server.origin), "acme", "deploy").await.unwrap();
    assert_eq!(got.as_deref(), Some("team-2"));
    let path = "/api/v2/organizations/acme/teams?filter%5Bnames%5D=deploy&page%5Bnumber%5D=1&page%5Bsize%5D=100";
    assert_eq!(server.lines(), vec![format!("GET {path}")]);
}

#[tokio::test]
async fn a_team_that_the_filter_misses_is_looked_for_in_the_whole_list() {
    for filtered in [page(vec![], json!(null), 0), answer(400, "", "")] {
        let server = Server::sequence(vec![
            filtered,
            page(vec![named("team-1", "a")], json!(2), 2),
            page(vec![named("team-2", "owners")], json!(null), 2),
        ])
        .await;
        let got = client().team_id(&access(&server.origin), "acme", "owners").await.unwrap();
        assert_eq!(got.as_deref(), Some("team-2"));
        assert_eq!(server.lines()[2], "GET /api/v2/organizations/acme/teams?page%5Bnumber%5D=2&page%5Bsize%5D=100");
    }
    let server = Server::sequence(vec![page(vec![named("team-1", "a")], json!(null), 1)]).await;
    assert_eq!(client().team_id(&access(&server.origin), "acme", "b").await.unwrap(), None);
    let hidden = Server::always(404, "", "").await;
    let error = client().team_id(&access(&hidden.origin), "acme", "b").await.unwrap_err();
    assert_eq!((error.kind, hidden.count()), (ApiErrorKind::NotVisible, 1));
}
