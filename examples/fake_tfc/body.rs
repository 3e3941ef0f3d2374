//! Bodies that misbehave.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// Tells hyper to close the connection.
#[derive(Debug)]
pub struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is closed on purpose")
    }
}

impl std::error::Error for Dropped {}

/// How long a cut body waits before it closes: hyper must have flushed the half that was sent.
const FLUSH: Duration = Duration::from_millis(30);

/// The body of an answer.
pub enum AnswerBody {
    /// At once.
    Whole(Option<Bytes>),
    /// Half, then the connection is closed.
    Cut { half: Option<Bytes>, close: Pin<Box<Sleep>>, announced: u64 },
    /// Byte by byte.
    Slow { rest: Bytes, pause: Duration, timer: Pin<Box<Sleep>> },
}

impl AnswerBody {
    /// The usual body.
    pub fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    /// One that stops in the middle, although all of it was announced.
    pub fn cut(bytes: &Bytes) -> Self {
        let announced = bytes.len() as u64;
        Self::Cut { half: Some(bytes.slice(..bytes.len() / 2)), close: Box::pin(sleep(FLUSH)), announced }
    }

    /// One that drips.
    pub fn slow(rest: Bytes, pause: Duration) -> Self {
        Self::Slow { rest, pause, timer: Box::pin(sleep(pause)) }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Dropped;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Dropped>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Cut { half, close, .. } => {
                if let Some(half) = half.take() {
                    return Poll::Ready(Some(Ok(Frame::data(half))));
                }
                ready!(close.as_mut().poll(context));
                Poll::Ready(Some(Err(Dropped)))
            }
            Self::Slow { rest, pause, timer } => {
                if rest.is_empty() {
                    return Poll::Ready(None);
                }
                ready!(timer.as_mut().poll(context));
                timer.as_mut().set(sleep(*pause));
                Poll::Ready(Some(Ok(Frame::data(rest.split_to(1)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Cut { .. } => false,
            Self::Slow { rest, .. } => rest.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::Cut { announced, .. } => *announced,
            Self::Slow { rest, .. } => rest.len() as u64,
        })
    }
}
