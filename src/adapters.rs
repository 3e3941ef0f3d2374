//! The outside world: every implementation of a port of [`crate::domain::ports`], and facts read from the system.

pub mod accounts;
pub mod audit;
pub mod caller;
pub mod clock;
pub mod handle_file;
pub mod journal;
pub mod journal_log;
pub mod memory_store;
pub mod name_service;
mod private_path;
pub mod redb_store;
mod seal;
pub mod sealed_store;
pub mod sealing_key;
pub mod state_directory;
pub mod tfc;
pub mod watched_store;
mod whole_file;
