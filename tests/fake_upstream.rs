//! Does the fake upstream do what the reference says of the real one? Its numbered behaviours, its faults, its facts.

// Each of these modules and the server itself is used in part by every one of the others.
#[allow(dead_code, reason = "the program and other tests use the rest")]
#[path = "../examples/fake_tfc/mod.rs"]
mod fake;

#[path = "fake_upstream/account.rs"]
mod account;
#[path = "fake_upstream/checks.rs"]
mod checks;
#[path = "fake_upstream/client.rs"]
mod client;
#[path = "fake_upstream/control.rs"]
mod control;
#[path = "fake_upstream/faults.rs"]
mod faults;
#[path = "fake_upstream/lifetimes.rs"]
mod lifetimes;
#[path = "fake_upstream/load.rs"]
mod load;
#[path = "fake_upstream/lookup.rs"]
mod lookup;
#[path = "fake_upstream/pytfe.rs"]
mod pytfe;
#[path = "fake_upstream/registry.rs"]
mod registry;
#[path = "fake_upstream/tokens.rs"]
mod tokens;
