//! What tokens, roles and leases mean, independent of files, HTTP and databases.
//!
//! A *role* names an *owner* upstream and a policy. Opening one of a role's files yields a *lease*: one token with an
//! end. An *anchor* is the token with which we mint. Everything made upstream is in the *ledger* before anybody gets
//! it. Order of dependencies inside: `name`, `token`, `owner`, `error` <- `role`, `anchor`, `lease`, `ports` <-
//! `anchor_rotation` <- `ledger` <- `issuer`, `keeper`. Nothing here knows fuser, reqwest, redb or an errno.

pub mod anchor;
pub mod anchor_rotation;
pub mod book;
pub mod document;
pub mod error;
pub mod event;
pub mod issuer;
pub mod keeper;
pub mod lease;
pub mod ledger;
pub mod name;
pub mod owner;
pub mod parallel;
pub mod ports;
pub mod printable;
pub mod role;
pub mod timeline;
pub mod token;
pub mod unit;
