//! How often each call is sent.

use std::time::Instant;

use tfcfs::domain::ports::TokenApi;
use tfcfs::domain::token::TokenId;

use super::wire::{Reply, Server, answer};
use super::*;

const WHO: &str = r#"{"data":{"id":"user-1","attributes":{"username":"alice","is-service-account":false}}}"#;

fn at_1() -> TokenId {
    TokenId("at-1".into())
}

#[tokio::test]
async fn reads_are_repeated_three_times() {
    let server = Server::always(503, "", "").await;
    let error = client().whoami(&access(&server.origin)).await.unwrap_err();
    assert_is(&error, ApiErrorKind::Remote, Effect::None);
    assert_eq!(server.count(), 4);
    let server = Server::sequence(vec![answer(502, "", ""), answer(500, "", ""), answer(200, "", WHO)]).await;
    assert_eq!(client().whoami(&access(&server.origin)).await.unwrap().username, "alice");
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn deletes_by_id_are_repeated_and_remember_that_one_may_have_worked() {
    let server = Server::sequence(vec![answer(500, "", ""), answer(404, "", "")]).await;
    let error = client().revoke(&access(&server.origin), &at_1()).await.unwrap_err();
    assert_is(&error, ApiErrorKind::NotVisible, Effect::Unknown);
    assert_eq!(server.count(), 2);
    let server = Server::start(|n, _| if n < 2 { Reply::Close } else { Reply::Bytes(answer(204, "", "")) }).await;
    client().revoke(&access(&server.origin), &at_1()).await.unwrap();
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn creates_and_slot_deletes_are_sent_once() {
    for reply in ["500", "close", "cut"] {
        let server = Server::start(move |_, _| match reply {
            "500" => Reply::Bytes(answer(500, "", "")),
            "close" => Reply::Close,
            _ => Reply::Cut("HTTP/1.1 201 Created\r\ncontent-length: 500\r\n\r\n{\"data\":".into()),
        })
        .await;
        let access = access(&server.origin);
        let error = client().create(&access, &user_order()).await.unwrap_err();
        assert_eq!(error.effect, Effect::Unknown, "{reply}: {error:?}");
        let error = client().revoke_slot(&access, &org()).await.unwrap_err();
        assert_eq!(error.effect, Effect::Unknown, "{reply}: {error:?}");
        assert_eq!(server.count(), 2, "{reply}");
    }
}

#[tokio::test]
async fn nothing_is_gained_by_repeating_a_refusal() {
    for status in [400, 401, 403, 404, 422, 302] {
        let server = Server::always(status, "", "").await;
        let access = access(&server.origin);
        client().whoami(&access).await.unwrap_err();
        client().revoke(&access, &at_1()).await.unwrap_err();
        assert_eq!(server.count(), 2, "{status}");
    }
}

#[tokio::test]
async fn a_429_is_always_repeated_after_its_reset() {
    for header in ["x-ratelimit-reset: 0.4\n", "retry-after: 0.4\n"] {
        let limited = answer(429, header, r#"{"errors":[{"status":429,"title":"Too many requests"}]}"#);
        let server = Server::sequence(vec![limited.clone(), limited, answer(201, "", ISSUED)]).await;
        let start = Instant::now();
        let issued = client().create(&access(&server.origin), &user_order()).await.unwrap();
        assert_eq!(issued.id.0, "at-new");
        assert_eq!(server.count(), 3);
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(800) && took < Duration::from_millis(2500), "{took:?}");
    }
}

#[tokio::test]
async fn garbage_in_the_headers_of_a_429_is_survived() {
    for header in ["x-ratelimit-reset: soon\n", "x-ratelimit-reset: -5\n", "x-ratelimit-reset: NaN\n", ""] {
        let server = Server::sequence(vec![answer(429, header, ""), answer(200, "", WHO)]).await;
        client().whoami(&access(&server.origin)).await.unwrap();
        assert_eq!(server.count(), 2);
    }
}

#[tokio::test]
async fn a_reset_after_the_deadline_fails_at_once() {
    for reset in ["30.0", "1787000000", "inf"] {
        let server = Server::always(429, &format!("x-ratelimit-reset: {reset}\nx-request-id: r\n"), "").await;
        let start = Instant::now();
        let error = client().create(&access(&server.origin), &user_order()).await.unwrap_err();
        assert_is(&error, ApiErrorKind::RateLimited, Effect::None);
        assert_eq!(error.request_id.as_deref(), Some("r"));
        assert!(start.elapsed() < Duration::from_secs(2));
        assert_eq!(server.count(), 1);
    }
}

#[tokio::test]
async fn retry_after_counts_from_the_servers_clock() {
    let headers = "date: Fri, 15 May 2026 15:34:20 GMT\nretry-after: Fri, 15 May 2026 15:34:21 GMT\n";
    let server = Server::sequence(vec![answer(503, headers, ""), answer(200, "", WHO)]).await;
    let start = Instant::now();
    client().whoami(&access(&server.origin)).await.unwrap();
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_millis(2500), "{took:?}");
}
