//! No secret in anything that is printed, and what `health` tells instead.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tfcfs::domain::ports::TokenApi;
use tfcfs::domain::token::TokenId;
use tracing_subscriber::fmt::MakeWriter;

use super::wire::{Reply, Server, answer};
use super::*;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

/// A token that a server hands out, and repeats where it should not.
const MADE: &str = "PlAnTeD1made00.atlasv1.made0123456789made0123456789made0123456789made0123456789abcdefgh";

#[tokio::test]
async fn no_token_in_any_output() {
    let log = Log::default();
    // What reqwest and rustls write goes the same way, as it does in the daemon.
    tracing_log::LogTracer::init().unwrap();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    // Echoes the whole request, Authorization included, and a fresh token, in body and headers.
    let server = Server::start(|n, request| {
        let made = format!(r#"{{"data":{{"id":"at-1","attributes":{{"token":"{MADE}"}}}}}}"#);
        let headers = format!(
            "x-request-id: {ANCHOR}\ntfp-appname: {ANCHOR}\ntfp-api-version: {ANCHOR}\nlocation: http://h/{ANCHOR}\n"
        );
        match n {
            0 => Reply::Bytes(answer(201, &headers, &made)),
            1 => Reply::Bytes(answer(422, &headers, &format!("{request} {MADE} {ANCHOR}"))),
            2 => Reply::Bytes(answer(302, &headers, request)),
            3 => Reply::Bytes(answer(201, &headers, &made.replace("at-1", ""))),
            4 => Reply::Bytes(answer(
                401,
                &headers,
                &format!(r#"{{"errors":["{ANCHOR}",{{"detail":"Bearer {MADE}"}}]}}"#),
            )),
            5 => Reply::Cut(format!("HTTP/1.1 201 X\r\ncontent-length: 5000\r\n\r\n{made}")),
            6 => Reply::Cut(format!("{ANCHOR} {MADE}\r\n\r\n")),
            _ => Reply::Bytes(answer(429, &format!("{headers}x-ratelimit-reset: {ANCHOR}\nretry-after: 60\n"), ANCHOR)),
        }
    })
    .await;
    let client = client();
    let access = access(&server.origin);
    let mut printed = format!("{:?} {access:?}", client);
    let issued = client.create(&access, &user_order()).await.unwrap();
    assert_eq!(issued.token.expose(), MADE);
    printed += &format!("{issued:?}");
    for _ in 1..8 {
        let error = client.create(&access, &user_order()).await.unwrap_err();
        printed += &format!("{error} {error:?} ");
    }
    assert_eq!(server.count(), 8);
    printed += &format!("{:?}", client.health());
    let logged = log.text();
    assert!(logged.contains("upstream call") && logged.contains("/authentication-tokens"), "{logged}");
    for text in [printed, logged] {
        for part in ["PlAnTeD", "anchor0123456789", "made0123456789"] {
            assert!(!text.contains(part), "{text}");
        }
    }
}

#[tokio::test]
async fn health_tells_what_the_calls_saw() {
    let headers = "tfp-api-version: 2.6\ntfp-appname: Terraform Enterprise\nx-tfe-version: v202505-1\n\
        x-tfe-current-version: 1.1.0\nx-ratelimit-limit: 30\ndate: Fri, 15 May 2026 15:34:20 GMT\n";
    let server =
        Server::sequence(vec![answer(204, headers, ""), answer(204, "", ""), answer(404, "x-request-id: r9\n", "")])
            .await;
    let client = client();
    assert!(client.health().is_empty());
    let access = access(&server.origin);
    for _ in 0..3 {
        let _ = client.revoke(&access, &TokenId("at-1".into())).await;
    }
    let refused = super::access("http://127.0.0.1:1");
    client.create(&refused, &user_order()).await.unwrap_err();
    let health = client.health();
    let seen = health.iter().find(|h| h.origin == server.origin).unwrap();
    assert!(seen.reachable && seen.last_contact.is_some());
    assert_eq!(seen.api_version.as_deref(), Some("2.6"));
    assert_eq!(seen.app_name.as_deref(), Some("Terraform Enterprise"));
    assert_eq!((seen.tfe_version.as_deref(), seen.rate_limit), (Some("1.1.0"), Some(30)));
    assert!(seen.clock_offset.is_some());
    let calls: Vec<_> = seen.calls.iter().map(|c| (c.method, c.outcome, c.count)).collect();
    assert_eq!(calls, vec![("DELETE", "not_visible", 1), ("DELETE", "ok", 2)]);
    let (_, sentence) = seen.last_error.as_ref().unwrap();
    assert!(sentence.contains("404") && sentence.contains("r9"), "{sentence}");
    let other = health.iter().find(|h| h.origin == "http://127.0.0.1:1").unwrap();
    assert!(!other.reachable && other.last_contact.is_none());
    assert_eq!(other.calls.iter().map(|c| (c.outcome, c.count)).collect::<Vec<_>>(), vec![("refused", 2)]);
}
