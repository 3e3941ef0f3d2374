//! All of these run on tokio's paused clock: hours pass in no time, and to the millisecond.

use super::*;
use crate::domain::anchor::Address;
use crate::domain::token::Token;

fn access(token: &str, owner: Option<&str>) -> Access {
    let owner = owner.map(|id| Owner::User { id: id.into() });
    Access { address: Address::hcp(), token: Token::parse(token).unwrap(), owner }
}

/// When each of `callers`, all arriving now, got its place.
async fn rush(lane: &Arc<Lane>, callers: usize, patience: Duration) -> Vec<(usize, Result<Instant, Exhausted>)> {
    let deadline = Instant::now() + patience;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..callers {
        let (lane, order) = (lane.clone(), order.clone());
        tasks.spawn(async move {
            let result = lane.pass(Urgency::Awaited, deadline).await.map(|()| Instant::now());
            order.lock().push((caller, result));
        });
        tokio::task::yield_now().await;
    }
    while tasks.join_next().await.is_some() {}
    Arc::try_unwrap(order).unwrap().into_inner()
}

fn busiest_second(times: &[Instant]) -> usize {
    let within =
        |start: &Instant| times.iter().filter(|t| *t >= start && **t - *start <= Duration::from_secs(1)).count();
    times.iter().map(within).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn no_second_exceeds_the_ceiling_and_little_of_it_is_lost() {
    for ceiling in [1, 2, 3, 5, 6, 7, 10, 15, 19, 20, 29, 30, 60, 100] {
        let lane = Limiter::new(ceiling).lane(&access("t", None));
        // An idle start, so that the burst counts too.
        tokio::time::sleep(Duration::from_secs(30)).await;
        let start = Instant::now();
        let patience = Duration::from_secs(20);
        let passed: Vec<Instant> =
            rush(&lane, 40 * ceiling as usize, patience).await.into_iter().filter_map(|(_, r)| r.ok()).collect();
        let busiest = busiest_second(&passed);
        assert!(busiest <= ceiling as usize, "{busiest} calls in a second with ceiling {ceiling}");
        let rate = passed.len() as f64 / patience.as_secs_f64();
        assert!(rate >= 0.9 * f64::from(ceiling), "{rate} calls a second with ceiling {ceiling}");
        assert!(passed.iter().all(|t| *t <= start + patience));
    }
}

#[tokio::test(start_paused = true)]
async fn first_come_first_served() {
    let lane = Limiter::new(20).lane(&access("t", None));
    let order: Vec<usize> = rush(&lane, 200, Duration::from_secs(60)).await.into_iter().map(|(n, _)| n).collect();
    assert_eq!(order, (0..200).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_served_in_time_hears_it_at_once() {
    let lane = Limiter::new(10).lane(&access("t", None));
    let start = Instant::now();
    let results = rush(&lane, 50, Duration::from_secs(2)).await;
    let served = results.iter().filter(|(_, r)| r.is_ok()).count();
    assert!((18..=21).contains(&served), "{served}");
    // The refused ones came back first: before any place was due.
    assert!(results[..25].iter().filter(|(_, r)| r.is_err()).count() >= 20);
    assert_eq!(start.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_429_holds_everybody_back() {
    let lane = Limiter::new(20).lane(&access("t", None));
    let start = Instant::now();
    let background = tokio::spawn({
        let lane = lane.clone();
        async move { rush(&lane, 30, Duration::from_secs(30)).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    lane.close(Duration::from_secs(5));
    lane.close(Duration::from_secs(1));
    let passed: Vec<Duration> = background.await.unwrap().into_iter().map(|(_, r)| r.unwrap() - start).collect();
    assert_eq!(passed.len(), 30);
    let closed = Duration::from_millis(501)..Duration::from_millis(5500);
    assert!(!passed.iter().any(|t| closed.contains(t)), "{passed:?}");
    // Afterwards at the usual pace, not all at once.
    assert!(passed.last().unwrap() > &Duration::from_millis(6400), "{passed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_gate_beyond_the_deadline_fails_at_once() {
    let lane = Limiter::new(20).lane(&access("t", None));
    lane.close(Duration::from_secs(30));
    let start = Instant::now();
    assert_eq!(lane.pass(Urgency::Awaited, start + Duration::from_secs(10)).await, Err(Exhausted));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn upstream_can_lower_the_ceiling_but_not_raise_it() {
    let lane = Limiter::new(20).lane(&access("t", None));
    lane.learn(600);
    assert_eq!(lane.ceiling(), 20);
    lane.learn(0);
    assert_eq!(lane.ceiling(), 20);
    lane.learn(4);
    assert_eq!(lane.ceiling(), 4);
    let passed: Vec<Instant> =
        rush(&lane, 40, Duration::from_secs(9)).await.into_iter().filter_map(|(_, r)| r.ok()).collect();
    assert!(busiest_second(&passed) <= 4);
}

#[tokio::test(start_paused = true)]
async fn a_changed_ceiling_brings_no_second_burst() {
    let lane = Limiter::new(100).lane(&access("t", None));
    lane.learn(50);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut passed = Vec::new();
    for limit in [50, 60, 50, 60, 50, 60] {
        lane.learn(limit);
        while lane.try_pass(Urgency::Awaited).is_none() {
            passed.push(Instant::now());
        }
    }
    assert!(passed.len() <= 5, "{}", passed.len());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gave_up_leaves_no_gap() {
    let lane = Limiter::new(10).lane(&access("t", None));
    let deadline = Instant::now() + Duration::from_secs(60);
    lane.pass(Urgency::Awaited, deadline).await.unwrap();
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            tokio::spawn({
                let lane = lane.clone();
                async move { lane.pass(Urgency::Awaited, deadline).await }
            })
        })
        .collect();
    tokio::task::yield_now().await;
    for task in waiting {
        task.abort();
        let _ = task.await;
    }
    let start = Instant::now();
    lane.pass(Urgency::Awaited, deadline).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(200));
    assert_eq!(lane.awaited.waiting.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn lanes_belong_to_owners() {
    let limiter = Limiter::new(20);
    let lane = |token, owner| limiter.lane(&access(token, owner));
    assert!(
        Arc::ptr_eq(&lane("a", Some("user-1")), &lane("b", Some("user-1"))),
        "all tokens of one owner count together"
    );
    assert!(!Arc::ptr_eq(&lane("a", Some("user-1")), &lane("a", Some("user-2"))));
    assert!(Arc::ptr_eq(&lane("a", None), &lane("a", None)));
    assert!(!Arc::ptr_eq(&lane("a", None), &lane("b", None)));
}

#[tokio::test(start_paused = true)]
async fn lanes_of_the_past_are_forgotten() {
    let limiter = Limiter::new(20);
    for n in 0..1000 {
        limiter.lane(&access(&format!("t{n}"), None));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(limiter.lanes.lock().len() <= KEEP + 1);
    let keys = format!("{:?}", limiter.lanes.lock().keys().collect::<Vec<_>>());
    assert!(!keys.contains("t99"), "{keys}");
}

/// Keeps the lane's background full until the end; says when each call passed.
fn revocations(lane: &Arc<Lane>, callers: usize, end: Instant) -> Arc<Mutex<Vec<Instant>>> {
    let passed = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..callers {
        let (lane, passed) = (lane.clone(), passed.clone());
        tokio::spawn(async move {
            while lane.pass(Urgency::Background, end).await.is_ok() {
                passed.lock().push(Instant::now());
            }
        });
    }
    passed
}

#[tokio::test(start_paused = true)]
async fn a_reader_finds_a_place_at_once_among_revocations() {
    for ceiling in [1, 20, 100] {
        let lane = Limiter::new(ceiling).lane(&access("t", None));
        let (begun, end) = (Instant::now(), Instant::now() + Duration::from_secs(300));
        let passed = revocations(&lane, 8, end);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let mut waits = Vec::new();
        let mut all = Vec::new();
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(5077)).await;
            let start = Instant::now();
            lane.pass(Urgency::Awaited, end).await.unwrap();
            waits.push(start.elapsed());
            all.push(Instant::now());
        }
        // A place or two at the most, and none where the burst leaves room.
        let longest = waits.iter().max().unwrap();
        assert!(*longest <= interval(NonZeroU32::new(ceiling).unwrap()) * 2, "{ceiling}/s: {waits:?}");
        if ceiling >= 20 {
            assert!(*longest <= Duration::from_millis(1), "{ceiling}/s: {waits:?}");
        }
        let passed = passed.lock().clone();
        all.extend(&passed);
        assert!(busiest_second(&all) <= ceiling as usize, "{ceiling}/s");
        let rate = all.len() as f64 / begun.elapsed().as_secs_f64();
        assert!(rate >= 0.79 * f64::from(ceiling), "{rate} calls a second of {ceiling}");
    }
}

#[tokio::test(start_paused = true)]
async fn readers_that_take_all_leave_some_places_to_revocations() {
    let lane = Limiter::new(20).lane(&access("t", None));
    let end = Instant::now() + Duration::from_secs(50);
    let revoked = revocations(&lane, 8, end);
    let opened = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..32 {
        let (lane, opened) = (lane.clone(), opened.clone());
        tokio::spawn(async move {
            while lane.pass(Urgency::Awaited, end).await.is_ok() {
                opened.lock().push(Instant::now());
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(51)).await;
    let (revoked, mut opened) = (revoked.lock().clone(), opened.lock().clone());
    let (revocations, opens) = (revoked.len(), opened.len());
    assert!((100..250).contains(&revocations), "{revocations} of {opens}");
    assert!(revocations + opens >= 890, "{revocations} + {opens}: the lane is full");
    opened.extend(revoked);
    assert!(busiest_second(&opened) <= 20);
}
