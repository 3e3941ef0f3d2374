//! The state directory without a daemon: `tfcfs state`, and what a start refuses.

mod records;
mod support;

mod damage;
mod fixtures;
mod keys;
mod rekey;
mod reports;
mod trust;
