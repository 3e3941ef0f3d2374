//! The rate limit on the wire; its finer points are unit tests of the limiter.

use std::sync::Arc;
use std::time::Instant;

use tfcfs::domain::ports::TokenApi;

use super::wire::{Reply, Server, answer};
use super::*;

const WHO: &str = r#"{"data":{"id":"user-1","attributes":{}}}"#;

#[tokio::test]
async fn no_second_sees_more_than_the_ceiling() {
    let server = Server::always(200, "x-ratelimit-limit: 30\n", WHO).await;
    let client = Arc::new(TfcClient::new(TfcSettings { rate: 20, ..settings() }).unwrap());
    let access = access(&server.origin);
    let calls: Vec<_> = (0..60)
        .map(|_| {
            let (client, access) = (client.clone(), access.clone());
            tokio::spawn(async move { client.whoami(&access).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let times = server.times();
    assert_eq!(times.len(), 60);
    // A little less than a second, because a busy machine stamps late; the exact bound is a unit test on a moved clock.
    let window = Duration::from_millis(900);
    for (n, start) in times.iter().enumerate() {
        let within = times[n..].iter().filter(|t| t.duration_since(*start) < window).count();
        assert!(within <= 20, "{within} calls within a second");
    }
    let took = times[59] - times[0];
    assert!(took < Duration::from_millis(4500), "{took:?} for 60 calls at 20 a second");
}

#[tokio::test]
async fn the_servers_limit_counts_if_it_is_lower() {
    let server = Server::always(200, "x-ratelimit-limit: 5\n", WHO).await;
    let client = client();
    let access = access(&server.origin);
    for _ in 0..8 {
        client.whoami(&access).await.unwrap();
    }
    let times = server.times();
    assert!(times[7] - times[1] >= Duration::from_millis(1000), "{:?}", times[7] - times[1]);
}

#[tokio::test]
async fn one_owners_429_stops_all_its_callers_and_no_other_owner() {
    let server = Server::start(|n, _| {
        Reply::Bytes(if n == 0 { answer(429, "x-ratelimit-reset: 1.0\n", "") } else { answer(200, "", WHO) })
    })
    .await;
    let client = Arc::new(client());
    let limited = access(&server.origin);
    let first = tokio::spawn({
        let (client, access) = (client.clone(), limited.clone());
        async move { client.whoami(&access).await }
    });
    while server.count() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    let other = Access { owner: Some(org()), ..limited.clone() };
    client.whoami(&other).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(500));
    client.whoami(&limited).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(800), "{:?}", start.elapsed());
    first.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_queue_that_reaches_past_the_deadline_is_refused_at_once() {
    let server = Server::always(200, "", WHO).await;
    let settings = TfcSettings { rate: 2, call_deadline: Duration::from_secs(2), ..settings() };
    let client = Arc::new(TfcClient::new(settings).unwrap());
    let access = access(&server.origin);
    let start = Instant::now();
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let (client, access) = (client.clone(), access.clone());
            tokio::spawn(async move { (client.whoami(&access).await, Instant::now()) })
        })
        .collect();
    let mut refused = 0;
    for call in calls {
        if let (Err(error), when) = call.await.unwrap() {
            assert_is(&error, ApiErrorKind::RateLimited, Effect::None);
            assert!(error.detail.contains("budget exhausted within the deadline"), "{error}");
            refused += usize::from(when - start < Duration::from_millis(500));
        }
    }
    assert!(refused >= 190, "{refused}");
    assert!(server.count() <= 5, "{}", server.count());
}
