//! Calls that get no answer, half of one, or one that comes too late.

use std::time::Instant;

use tfcfs::domain::ports::TokenApi;
use tfcfs::domain::token::TokenId;
use tokio::net::TcpListener;

use super::wire::{Reply, Server};
use super::*;

/// An origin on which nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn refused() {
    let access = access(&nobody().await);
    let start = Instant::now();
    let error = client().create(&access, &user_order()).await.unwrap_err();
    assert_is(&error, ApiErrorKind::Refused, Effect::None);
    assert!(start.elapsed() < Duration::from_secs(1), "a create fails fast");
    let error = client().revoke(&access, &TokenId("at-1".into())).await.unwrap_err();
    assert_is(&error, ApiErrorKind::Refused, Effect::None);
}

#[tokio::test]
async fn a_create_is_tried_again_once_when_nobody_listened_yet() {
    let origin = nobody().await;
    let address = origin.trim_start_matches("http://").to_owned();
    let late = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let listener = TcpListener::bind(address).await.unwrap();
        let log = parking_lot::Mutex::default();
        let (stream, _) = listener.accept().await.unwrap();
        let issued = wire::answer(201, "connection: close\n", ISSUED);
        wire::converse(stream, &log, |_, _| Reply::Cut(issued.clone())).await;
    });
    client().create(&access(&origin), &user_order()).await.unwrap();
    late.await.unwrap();
}

#[tokio::test]
async fn unknown_host() {
    let error = client().create(&access("http://no-such-host.invalid"), &user_order()).await.unwrap_err();
    assert_is(&error, ApiErrorKind::Unreachable, Effect::None);
}

#[tokio::test]
async fn connection_lost() {
    let server = Server::start(|_, _| Reply::Close).await;
    let error = client().create(&access(&server.origin), &user_order()).await.unwrap_err();
    assert_is(&error, ApiErrorKind::Unreachable, Effect::Unknown);
    let error = client().whoami(&access(&server.origin)).await.unwrap_err();
    assert_is(&error, ApiErrorKind::Unreachable, Effect::None);
}

#[tokio::test]
async fn half_an_answer() {
    for head in ["content-length: 500", "transfer-encoding: chunked"] {
        let text = format!("HTTP/1.1 201 Created\r\nx-request-id: r\r\n{head}\r\n\r\n");
        let server = Server::start(move |_, _| Reply::Cut(text.clone())).await;
        let error = client().create(&access(&server.origin), &user_order()).await.unwrap_err();
        assert_is(&error, ApiErrorKind::Unreachable, Effect::Unknown);
        assert_eq!(error.request_id.as_deref(), Some("r"));
    }
}

#[tokio::test]
async fn an_answer_that_is_not_http() {
    let server = Server::start(|_, _| Reply::Cut("SSH-2.0-OpenSSH_9.9\r\n\r\n".into())).await;
    let error = client().create(&access(&server.origin), &user_order()).await.unwrap_err();
    assert_is(&error, ApiErrorKind::Remote, Effect::Unknown);
}

#[tokio::test]
async fn too_slow() {
    let half = "HTTP/1.1 201 Created\r\ncontent-length: 500\r\n\r\n{";
    for stall in [false, true] {
        let server = Server::start(move |_, _| if stall { Reply::Stall(half.into()) } else { Reply::Hang }).await;
        let (access, client) = (access(&server.origin), hasty(Duration::from_millis(400)));
        let start = Instant::now();
        let error = client.create(&access, &user_order()).await.unwrap_err();
        assert_is(&error, ApiErrorKind::Timeout, Effect::Unknown);
        let error = client.whoami(&access).await.unwrap_err();
        assert_is(&error, ApiErrorKind::Timeout, Effect::None);
        // The create had its patience beyond the deadline, the look-up had none.
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(1200) && took < Duration::from_millis(1900), "{took:?}");
        assert_eq!(server.count(), 2);
    }
}

#[tokio::test]
async fn what_comes_late_to_a_create_is_read_nevertheless() {
    let taken = r#"{"errors":["Description has already been taken"]}"#;
    for (status, body) in [(201, ISSUED), (422, taken)] {
        let text = wire::answer(status, "", body);
        let server = Server::start(move |_, _| Reply::Slow(Duration::from_millis(150), text.clone())).await;
        let client = hasty(Duration::from_millis(50));
        match client.create(&access(&server.origin), &user_order()).await {
            Ok(issued) => assert_eq!((status, issued.id.0.as_str()), (201, "at-new")),
            Err(error) => assert_is(&error, ApiErrorKind::DescriptionTaken, Effect::None),
        }
    }
}

#[tokio::test]
async fn the_status_counts_though_the_body_never_comes() {
    let text = "HTTP/1.1 404 Not Found\r\ncontent-length: 500\r\n\r\n{";
    let server = Server::start(move |_, _| Reply::Stall(text.into())).await;
    let start = Instant::now();
    let error = client().create(&access(&server.origin), &user_order()).await.unwrap_err();
    assert_is(&error, ApiErrorKind::NotVisible, Effect::None);
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn connections_are_kept() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let accepted = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = accepted.clone();
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let log = parking_lot::Mutex::default();
                wire::converse(stream, &log, |n, _| {
                    // Errors with a body, too, leave the connection in a usable state.
                    Reply::Bytes(if n % 2 == 0 { wire::answer(201, "", ISSUED) } else { wire::answer(404, "", "{}") })
                })
                .await;
            });
        }
    });
    let client = client();
    for _ in 0..10 {
        let _ = client.create(&access(&origin), &user_order()).await;
    }
    server.abort();
    assert_eq!(accepted.load(Ordering::Relaxed), 1);
}
