//! The table of errors: status and body to kind, effect and words.

use tfcfs::domain::ports::TokenApi;
use tfcfs::domain::token::TokenId;

use super::wire::Server;
use super::*;

#[tokio::test]
async fn statuses_of_a_create_call() {
    use ApiErrorKind::{Invalid, NotVisible, Remote, Unauthorized};
    for (status, kind, effect) in [
        (400, Invalid, Effect::None),
        (401, Unauthorized, Effect::None),
        (403, NotVisible, Effect::None),
        (404, NotVisible, Effect::None),
        (409, Invalid, Effect::None),
        (415, Invalid, Effect::None),
        (422, Invalid, Effect::None),
        (500, Remote, Effect::Unknown),
        (502, Remote, Effect::Unknown),
        (503, Remote, Effect::Unknown),
        (504, Remote, Effect::Unknown),
        (599, Remote, Effect::Unknown),
    ] {
        let server = Server::always(status, "x-request-id: req-7\n", "").await;
        let error = client().create(&access(&server.origin), &user_order()).await.unwrap_err();
        assert!(is(&error, kind, effect), "{status}: {error:?}");
        assert!(error.detail.starts_with(&status.to_string()), "{error:?}");
        assert_eq!(error.request_id.as_deref(), Some("req-7"));
        assert_eq!(server.count(), 1, "{status} was repeated");
    }
}

#[tokio::test]
async fn a_read_that_failed_had_no_effect() {
    let server = Server::always(500, "retry-after: 60\n", "").await;
    let error = client().whoami(&access(&server.origin)).await.unwrap_err();
    assert_is(&error, ApiErrorKind::Remote, Effect::None);
    let server = Server::always(401, "", r#"{"errors":[{"status":"401","title":"unauthorized"}]}"#).await;
    let error = client().whoami(&access(&server.origin)).await.unwrap_err();
    assert_is(&error, ApiErrorKind::Unauthorized, Effect::None);
    assert_eq!(error.detail, "401 unauthorized");
}

#[tokio::test]
async fn a_description_that_is_taken() {
    let body = r#"{"errors":[{"status":"422","title":"invalid attributes",
        "detail":"Validation failed: Description has already been taken"}]}"#;
    let server = Server::always(422, "", body).await;
    let error = client().create(&access(&server.origin), &user_order()).await.unwrap_err();
    assert_is(&error, ApiErrorKind::DescriptionTaken, Effect::None);
}

#[tokio::test]
async fn described_team_tokens_never_fall_back_to_the_slot() {
    let server = Server::always(404, "", r#"{"errors":[{"status":"404","title":"not found"}]}"#).await;
    let error = client().create(&access(&server.origin), &order(team(), CredentialType::Team)).await.unwrap_err();
    assert_is(&error, ApiErrorKind::NotVisible, Effect::None);
    assert!(error.detail.contains("old TFE (before 1.1") && error.detail.contains("missing right"), "{error}");
    assert_eq!(server.lines(), vec!["POST /api/v2/teams/team-1/authentication-tokens"]);
    let error = client().create(&access(&server.origin), &user_order()).await.unwrap_err();
    assert!(!error.detail.contains("old TFE"));
}

#[tokio::test]
async fn successes_without_a_usable_token() {
    for body in [
        "",
        "<html>hello</html>",
        "{}",
        r#"{"data":{"id":"at-1","attributes":{"token":null}}}"#,
        r#"{"data":{"attributes":{"token":"t.atlasv1.u"}}}"#,
        r#"{"data":{"id":"at-1","attributes":{"token":"two words"}}}"#,
    ] {
        let server = Server::always(201, "x-request-id: r\n", body).await;
        let error = client().create(&access(&server.origin), &user_order()).await.unwrap_err();
        assert_is(&error, ApiErrorKind::Remote, Effect::Unknown);
        assert_eq!(error.request_id.as_deref(), Some("r"));
        assert!(!error.detail.contains("atlasv1"));
        assert_eq!(server.count(), 1);
    }
}

#[tokio::test]
async fn nonsense_in_answer_to_a_read() {
    for body in ["", "<html>login</html>", "[]", r#"{"data":null}"#] {
        let server = Server::always(200, "", body).await;
        let error = client().whoami(&access(&server.origin)).await.unwrap_err();
        assert_is(&error, ApiErrorKind::Remote, Effect::None);
    }
}

#[tokio::test]
async fn bodies_are_decoration_short_and_clean() {
    let page = format!("<html><head><title>Oops {ANCHOR}</title></head>{}</html>", "x".repeat(100_000));
    let server = Server::always(403, "", &page).await;
    let error = client().revoke_slot(&access(&server.origin), &org()).await.unwrap_err();
    assert_eq!(error.detail, "403 Oops (removed)");
    let server = Server::always(422, "", &format!("{}\u{1b}[31m", "very long ".repeat(10_000))).await;
    let error = client().revoke_slot(&access(&server.origin), &org()).await.unwrap_err();
    assert!(error.detail.chars().count() < 320 && !error.detail.contains('\u{1b}'), "{error}");
}

#[tokio::test]
async fn answers_too_long_to_be_true_are_not_read() {
    let server = Server::always(200, "", &"x".repeat(9 * 1024 * 1024)).await;
    let error = client().whoami(&access(&server.origin)).await.unwrap_err();
    assert_is(&error, ApiErrorKind::Remote, Effect::None);
    assert!(error.detail.contains("too long"));
}

#[tokio::test]
async fn redirects_are_not_followed_and_carry_no_token() {
    for (status, effect) in
        [(301, Effect::None), (302, Effect::Unknown), (303, Effect::Unknown), (307, Effect::None), (308, Effect::None)]
    {
        let trap = Server::always(201, "", ISSUED).await;
        let location = format!("location: {}/api/v2/trap?x={ANCHOR}\n", trap.origin);
        let server = Server::always(status, &location, "").await;
        let access = access(&server.origin);
        let error = client().create(&access, &user_order()).await.unwrap_err();
        assert_is(&error, ApiErrorKind::Remote, effect);
        assert!(error.detail.contains(&trap.origin) && error.detail.contains("set address"), "{error}");
        assert!(!error.detail.contains("PlAnTeD"));
        let error = client().whoami(&access).await.unwrap_err();
        assert_is(&error, ApiErrorKind::Remote, Effect::None);
        client().revoke(&access, &TokenId("at-1".into())).await.unwrap_err();
        assert_eq!((trap.count(), server.count()), (0, 3));
    }
}
