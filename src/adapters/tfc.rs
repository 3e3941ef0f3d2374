//! placeholder
mod limiter;
mod paths;
mod redact;
mod retry;
