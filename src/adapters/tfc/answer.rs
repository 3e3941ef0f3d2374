//! The body of an answer, read within bounds of size and time, and wiped after use: one of them holds a token.

use std::time::Duration;

use reqwest::Response;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Longest body of a success that we read. A page of 100 entries has some hundred KiB.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// As much as we read of an error's body, and as long as we wait for it: it is decoration.
const MAX_ERROR_BODY: usize = 64 * 1024;
const ERROR_BODY_TIME: Duration = Duration::from_secs(1);

/// Room made at once, so that an answer with a token is not left behind in a buffer that was too small.
const FIRST_ROOM: usize = 16 * 1024;

/// A success, or the 404 that a call said it can use.
pub(super) struct Answer {
    /// 2xx or 404.
    pub(super) status: u16,
    /// All of it.
    pub(super) body: Zeroizing<Vec<u8>>,
    /// `Date`.
    pub(super) date: Option<jiff::Timestamp>,
    /// `X-Request-Id`.
    pub(super) request_id: Option<String>,
}

/// Why a body is not whole.
pub(super) enum Broken {
    /// The deadline came first.
    Late,
    /// More than any answer has.
    TooLong,
    /// The connection ended.
    Lost(reqwest::Error),
}

/// Reads a whole body.
///
/// # Errors
/// See [`Broken`].
pub(super) async fn read_all(mut response: Response, deadline: Instant) -> Result<Zeroizing<Vec<u8>>, Broken> {
    let mut body = Zeroizing::new(Vec::with_capacity(FIRST_ROOM));
    loop {
        match tokio::time::timeout_at(deadline, response.chunk()).await {
            Err(_) => return Err(Broken::Late),
            Ok(Err(error)) => return Err(Broken::Lost(error)),
            Ok(Ok(None)) => return Ok(body),
            Ok(Ok(Some(chunk))) if body.len() + chunk.len() > MAX_BODY => return Err(Broken::TooLong),
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
        }
    }
}

/// Reads the start of an error's body, as much as there is of it.
pub(super) async fn read_some(mut response: Response, deadline: Instant) -> Zeroizing<Vec<u8>> {
    let deadline = deadline.min(Instant::now() + ERROR_BODY_TIME);
    let mut body = Zeroizing::new(Vec::new());
    while let Ok(Ok(Some(chunk))) = tokio::time::timeout_at(deadline, response.chunk()).await {
        let room = MAX_ERROR_BODY - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == MAX_ERROR_BODY {
            break;
        }
    }
    body
}
