//! Clocks that go wrong: set by a day, asleep, not upstream's. No token is handed out past its end, none is kept for ever.

mod common;

use common::api::Fault;
use common::machine::Machine;
use common::{model::block_on, seconds};
use jiff::SignedDuration;
use tfcfs::domain::ports::ApiErrorKind;
use tfcfs::vfs::Errno;

const ROLE: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\nttl = \"1h\"\nmax_ttl = \"4h\"\n";
const DAY: SignedDuration = SignedDuration::from_hours(24);

async fn machine() -> Machine {
    let machine = Machine::new().await;
    machine.write("roles/app", ROLE).await.unwrap();
    machine
}

/// One whose clock is a day ahead, until somebody notices.
async fn machine_ahead() -> Machine {
    let machine = machine().await;
    machine.api.set_skew(-DAY);
    machine
}

/// Sets the wall clock, which upstream's does not follow, and lets the keeper look.
async fn step(m: &Machine, by: SignedDuration) {
    let skew = m.api.skew() - by;
    m.api.set_skew(skew);
    m.clock.step(by);
    m.settle().await;
}

/// What a reader gets works upstream.
async fn read(m: &Machine) -> String {
    let token = m.cat("creds/app/token").await.unwrap();
    assert!(m.api.is_live(&token), "a dead token was handed out");
    token
}

/// With the role gone and its grace over, nothing lives.
async fn nothing_is_kept(m: &Machine) {
    m.remove("roles/app").await.unwrap();
    m.pass(seconds(11)).await;
    for _ in 0..20 {
        m.pass(seconds(60)).await;
    }
    assert!(m.api.live().is_empty(), "{:?}", m.api.live());
    assert!(m.issuer.pending().is_empty(), "{:?}", m.issuer.pending());
}

#[test]
fn a_held_lease_when_the_clock_is_set_forward() {
    block_on(async {
        let m = machine().await;
        let held = m.open("creds/app/token").await.unwrap();
        let token = m.read(&held).unwrap();
        step(&m, DAY).await;
        assert_eq!(m.read(&held), Err(Errno(libc::EKEYEXPIRED)));
        assert!(!m.api.is_live(&token), "what no reader can have is not kept");
        read(&m).await;
        nothing_is_kept(&m).await;
    });
}

#[test]
fn a_held_lease_when_the_clock_is_set_back_ends_when_it_would_have() {
    block_on(async {
        let m = machine_ahead().await;
        let held = m.open("creds/app/token").await.unwrap();
        let token = m.read(&held).unwrap();
        step(&m, -DAY).await;
        assert_eq!(m.read(&held).unwrap(), token);
        m.pass(seconds(4 * 3600 - 60)).await;
        assert_eq!(m.read(&held).unwrap(), token, "it was not cut short");
        assert!(m.api.is_live(&token));
        m.pass(seconds(61)).await;
        assert_eq!(m.read(&held), Err(Errno(libc::EKEYEXPIRED)));
        assert!(!m.api.is_live(&token));
        read(&m).await;
        nothing_is_kept(&m).await;
    });
}

#[test]
fn a_held_lease_gets_its_successor_in_time_though_the_clock_was_set_back() {
    block_on(async {
        let m = machine_ahead().await;
        let held = m.open("creds/app/token").await.unwrap();
        let token = m.read(&held).unwrap();
        step(&m, -DAY).await;
        m.pass(seconds(3 * 3600 + 1)).await;
        let next = read(&m).await;
        assert_ne!(next, token);
    });
}

#[test]
fn a_lingering_lease_when_the_clock_is_set_back() {
    block_on(async {
        let m = machine().await;
        let token = read(&m).await;
        step(&m, -DAY).await;
        assert_eq!(read(&m).await, token);
        m.pass(seconds(3601)).await;
        assert!(!m.api.is_live(&token), "an hour after the last close");
    });
}

#[test]
fn the_next_start_knows_that_the_clock_was_set_back() {
    block_on(async {
        let m = machine().await;
        let token = read(&m).await;
        step(&m, -DAY).await;
        // Ends reach the ledger within five seconds.
        m.pass(seconds(6)).await;
        let m = m.restart().await;
        m.pass(seconds(3600)).await;
        assert!(!m.api.is_live(&token), "an hour after the last close");
    });
}

#[test]
fn the_next_start_knows_that_the_clock_was_set_back_under_a_held_lease() {
    block_on(async {
        let m = machine_ahead().await;
        let held = m.open("creds/app/token").await.unwrap();
        let token = m.read(&held).unwrap();
        step(&m, -DAY).await;
        let m = m.restart().await;
        let held = m.open("creds/app/token").await.unwrap();
        assert_eq!(m.read(&held).unwrap(), token);
        m.pass(seconds(4 * 3600 + 1)).await;
        assert_eq!(m.read(&held), Err(Errno(libc::EKEYEXPIRED)), "a day later it would be dead for long");
        assert!(!m.api.is_live(&token));
    });
}

/// A timer for a time of the clock that was would sleep a day too long.
#[test]
fn the_clock_is_set_back_between_the_keepers_look_and_its_sleep() {
    block_on(async {
        let m = machine_ahead().await;
        let held = m.open("creds/app/token").await.unwrap();
        let end = m.issuer.book().leases().next().unwrap().record.ends_at;
        m.api.set_skew(SignedDuration::ZERO);
        m.clock.step_at_sleep(-DAY);
        m.pass(seconds(1)).await;
        assert_eq!(m.issuer.book().leases().next().unwrap().record.ends_at, end - DAY);
        m.close(held);
    });
}

#[test]
fn a_rotation_noted_by_a_clock_that_ran_ahead_does_not_put_the_next_one_off() {
    block_on(async {
        let m = machine_ahead().await;
        m.write("roles/app", &format!("{ROLE}rotate_every = \"30m\"\n")).await.unwrap();
        read(&m).await;
        m.write("rotate/app", "\n").await.unwrap();
        step(&m, -DAY).await;
        read(&m).await;
        assert_eq!(m.api.count("create"), 2);
        m.pass(seconds(1801)).await;
        assert_eq!(m.api.count("create"), 3, "{}", m.cat("rotate/app").await.unwrap());
    });
}

#[test]
fn what_failed_is_repeated_in_time_though_the_clock_was_set_back() {
    block_on(async {
        let m = machine_ahead().await;
        m.write("roles/app", &format!("{ROLE}rotate_every = \"30m\"\n")).await.unwrap();
        read(&m).await;
        m.api.script("create", [Fault::Before(ApiErrorKind::Unreachable)]);
        m.pass(seconds(1801)).await;
        assert_eq!(m.api.count("create"), 2);
        step(&m, -DAY).await;
        m.pass(seconds(10)).await;
        assert_eq!(m.api.count("create"), 3, "{}", m.cat("rotate/app").await.unwrap());
    });
}

#[test]
fn a_queue_that_stands_still_goes_on_in_time_though_the_clock_was_set_back() {
    block_on(async {
        let m = machine_ahead().await;
        let token = read(&m).await;
        m.api.set_anchor_dead(true);
        let lease = m.list("leases/app").remove(0);
        m.remove(&format!("leases/app/{lease}")).await.unwrap();
        m.pass(seconds(30)).await;
        m.api.set_anchor_dead(false);
        step(&m, -DAY).await;
        m.pass(seconds(301)).await;
        assert!(!m.api.is_live(&token), "{:?}", m.issuer.pending());
    });
}

#[test]
fn a_lingering_lease_when_the_clock_is_set_forward() {
    block_on(async {
        let m = machine().await;
        let token = read(&m).await;
        step(&m, DAY).await;
        assert!(!m.api.is_live(&token));
        read(&m).await;
        nothing_is_kept(&m).await;
    });
}

#[test]
fn a_clock_that_is_set_forward_and_right_again() {
    block_on(async {
        let m = machine().await;
        let held = m.open("creds/app/token").await.unwrap();
        step(&m, DAY).await;
        let token = read(&m).await;
        step(&m, -DAY).await;
        assert_eq!(read(&m).await, token);
        m.pass(seconds(3601)).await;
        assert!(!m.api.is_live(&token), "an hour after the last close, not a day and an hour");
        m.close(held);
        nothing_is_kept(&m).await;
    });
}

#[test]
fn a_pending_revocation_when_the_clock_is_set_back() {
    block_on(async {
        let m = machine().await;
        let token = read(&m).await;
        m.api.script("revoke", [Fault::Before(ApiErrorKind::Unreachable), Fault::Before(ApiErrorKind::Unreachable)]);
        let lease = m.list("leases/app").pop().unwrap();
        m.remove(&format!("leases/app/{lease}")).await.unwrap();
        assert!(m.api.is_live(&token), "the first attempt failed");
        step(&m, -DAY).await;
        for _ in 0..10 {
            m.pass(seconds(1)).await;
        }
        assert!(!m.api.is_live(&token), "the next attempt was not put off by a day");
        assert!(m.issuer.pending().is_empty());
    });
}

#[test]
fn a_removed_role_when_the_clock_is_set_back() {
    block_on(async {
        let m = machine().await;
        let token = read(&m).await;
        m.remove("roles/app").await.unwrap();
        step(&m, -DAY).await;
        m.pass(seconds(11)).await;
        assert!(!m.api.is_live(&token), "after its grace");
    });
}

#[test]
fn a_renewal_that_cools_when_the_clock_is_set_back() {
    block_on(async {
        let m = machine_ahead().await;
        let _held = m.open("creds/app/token").await.unwrap();
        m.api.script("create", [Fault::Before(ApiErrorKind::Unreachable)]);
        m.pass(seconds(3 * 3600 + 1)).await;
        assert_eq!(m.api.live().len(), 1, "the renewal failed");
        step(&m, -DAY).await;
        m.pass(seconds(6)).await;
        assert_eq!(m.api.live().len(), 2, "the next one was not put off by a day");
    });
}

#[test]
fn a_rotation_is_not_too_soon_for_a_day_because_the_clock_was_set_back() {
    block_on(async {
        let m = machine_ahead().await;
        read(&m).await;
        m.write("rotate/app", "\n").await.unwrap();
        step(&m, -DAY).await;
        m.pass(seconds(11)).await;
        m.write("rotate/app", "\n").await.unwrap();
    });
}

/// The wall clock goes on in a suspend, tokio's time does not.
#[test]
fn a_suspend() {
    block_on(async {
        let m = machine().await;
        let held = m.open("creds/app/token").await.unwrap();
        let token = m.read(&held).unwrap();
        let lingering = {
            m.write("roles/web", ROLE).await.unwrap();
            m.cat("creds/web/token").await.unwrap()
        };
        let before = tokio::time::Instant::now();
        m.pass(seconds(8 * 3600)).await;
        assert_eq!(before.elapsed(), seconds(0));
        assert_eq!(m.read(&held), Err(Errno(libc::EKEYEXPIRED)));
        assert!(!m.api.is_live(&token) && !m.api.is_live(&lingering));
        read(&m).await;
    });
}

#[test]
fn an_upstream_clock_that_is_ahead_shortens_the_lease() {
    block_on(async {
        let m = machine().await;
        m.api.set_skew(SignedDuration::from_hours(3));
        let held = m.open("creds/app/token").await.unwrap();
        let token = m.read(&held).unwrap();
        m.pass(seconds(3600 - 1)).await;
        assert_eq!(m.read(&held).unwrap(), token);
        assert!(m.api.is_live(&token));
        m.pass(seconds(2)).await;
        assert_eq!(m.read(&held), Err(Errno(libc::EKEYEXPIRED)));
        assert!(!m.api.is_live(&token));
    });
}

#[test]
fn an_upstream_clock_that_is_far_ahead_makes_tokens_that_are_dead_at_birth() {
    block_on(async {
        let m = machine().await;
        m.api.set_skew(DAY);
        assert_eq!(m.cat("creds/app/token").await, Err(Errno(libc::EREMOTEIO)));
        let error = m.last_error().await;
        assert!(error.contains("set the clocks right") && error.contains("2026-11-25T12:00:00Z there"), "{error}");
        m.settle().await;
        assert!(m.issuer.pending().is_empty() && m.api.live().is_empty());
        m.api.set_skew(SignedDuration::ZERO);
        read(&m).await;
    });
}

#[test]
fn a_slot_whose_new_token_is_dead_at_birth_is_not_handed_out() {
    block_on(async {
        let m = machine().await;
        m.write("roles/app", "organization = \"acme\"\nttl = \"1h\"\nmax_ttl = \"4h\"\n").await.unwrap();
        m.api.set_skew(DAY);
        assert_eq!(m.cat("creds/app/token").await, Err(Errno(libc::EREMOTEIO)));
        m.api.set_skew(SignedDuration::ZERO);
        m.settle().await;
        read(&m).await;
    });
}

/// Nothing can be made by a clock that is a day behind, but what is there goes on.
#[test]
fn a_clock_that_is_set_wrong_is_said_and_what_is_held_goes_on() {
    block_on(async {
        let m = machine().await;
        let held = m.open("creds/app/token").await.unwrap();
        let token = m.read(&held).unwrap();
        step(&m, -DAY).await;
        assert_eq!(m.write("rotate/app", "\n").await, Err(Errno(libc::EREMOTEIO)));
        assert!(m.last_error().await.contains("set the clocks right"), "{}", m.last_error().await);
        assert_eq!(m.read(&held).unwrap(), token);
        assert_eq!(read(&m).await, token);
        assert_eq!(m.api.live().len(), 1);
    });
}

/// Upstream would let it outlive its end, so the net of DESIGN 8.5 comes late; we are not.
#[test]
fn an_upstream_clock_that_is_behind_keeps_nothing_longer() {
    block_on(async {
        let m = machine().await;
        m.api.set_skew(SignedDuration::from_hours(-6));
        let held = m.open("creds/app/token").await.unwrap();
        let token = m.read(&held).unwrap();
        m.pass(seconds(4 * 3600 + 1)).await;
        assert_eq!(m.read(&held), Err(Errno(libc::EKEYEXPIRED)));
        assert!(!m.api.is_live(&token), "we ended it ourselves");
        m.close(held);
        nothing_is_kept(&m).await;
    });
}

/// Starts an open whose call takes ten seconds, and sets the clock meanwhile.
async fn leap_during_a_mint(m: &Machine, by: SignedDuration) -> Result<String, Errno> {
    m.api.script("create", [Fault::Slow(seconds(5))]);
    let (read, ()) = tokio::join!(m.cat("creds/app/token"), async {
        tokio::time::sleep(seconds(1)).await;
        step(m, by).await;
    });
    read
}

#[test]
fn a_leap_back_during_a_mint_ends_the_lease_when_it_would_have() {
    block_on(async {
        let m = machine_ahead().await;
        let token = leap_during_a_mint(&m, -DAY).await.unwrap();
        let held = m.open("creds/app/token").await.unwrap();
        assert_eq!(m.read(&held).unwrap(), token);
        m.pass(seconds(4 * 3600 + 1)).await;
        assert_eq!(m.read(&held), Err(Errno(libc::EKEYEXPIRED)));
        assert!(!m.api.is_live(&token));
        m.close(held);
        nothing_is_kept(&m).await;
    });
}

#[test]
fn a_leap_forward_during_a_mint_hands_out_nothing_that_has_ended() {
    block_on(async {
        let m = machine().await;
        assert_eq!(leap_during_a_mint(&m, DAY).await, Err(Errno(libc::EREMOTEIO)));
        m.settle().await;
        assert!(m.api.live().is_empty(), "and keeps nothing");
        read(&m).await;
        nothing_is_kept(&m).await;
    });
}
