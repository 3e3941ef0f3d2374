//! Implementations of `domain::ports` for the world outside. Nothing above `app` knows them.

pub mod tfc;
