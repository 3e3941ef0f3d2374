//! A server that answers with exactly the bytes it is told to, and remembers what it was sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// What a request is answered.
pub(crate) enum Reply {
    /// A whole answer; the connection stays open.
    Bytes(String),
    /// These bytes, then the end.
    Cut(String),
    /// The head of an answer after a while, its body after another one.
    Slow(Duration, String),
    /// The end, without an answer.
    Close,
    /// Nothing, for ever.
    Hang,
    /// These bytes, then nothing, for ever.
    Stall(String),
}

/// Runs until it is dropped.
pub(crate) struct Server {
    pub(crate) origin: String,
    seen: Arc<Mutex<Vec<(Instant, String)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// `script` gets the number of the request, from 0, and its text.
    pub(crate) async fn start(script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, log) = (Arc::new(script), seen.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (script, log) = (script.clone(), log.clone());
                connections.spawn(async move { converse(stream, &log, |n, text| script(n, text)).await });
            }
        });
        Self { origin, seen, task }
    }

    /// One answer for all.
    pub(crate) async fn always(status: u16, headers: &str, body: &str) -> Self {
        let reply = answer(status, headers, body);
        Self::start(move |_, _| Reply::Bytes(reply.clone())).await
    }

    /// One answer after the other, the last one for ever.
    pub(crate) async fn sequence(replies: Vec<String>) -> Self {
        Self::start(move |n, _| Reply::Bytes(replies[n.min(replies.len() - 1)].clone())).await
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.lock().iter().map(|(_, text)| text.clone()).collect()
    }

    pub(crate) fn times(&self) -> Vec<Instant> {
        self.seen.lock().iter().map(|(time, _)| *time).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().len()
    }

    /// Method and target of each request.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests().iter().map(|r| r.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned()).collect()
    }
}

/// An answer with `headers` as whole lines, each ending in a line break.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    let headers = headers.replace('\n', "\r\n");
    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// Reads requests and answers them as long as the script says so.
pub(crate) async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    log: &Mutex<Vec<(Instant, String)>>,
    script: impl Fn(usize, &str) -> Reply,
) {
    while let Some(request) = read_request(&mut stream).await {
        let number = {
            let mut log = log.lock();
            log.push((Instant::now(), request.clone()));
            log.len() - 1
        };
        match script(number, &request) {
            Reply::Bytes(text) => {
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Slow(pause, text) => {
                let (head, body) = text.split_at(text.find("\r\n\r\n").unwrap() + 4);
                for part in [head, body] {
                    tokio::time::sleep(pause).await;
                    let _ = stream.write_all(part.as_bytes()).await;
                }
            }
            Reply::Cut(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.shutdown().await;
                return;
            }
            Reply::Close => return,
            Reply::Hang => std::future::pending().await,
            Reply::Stall(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                std::future::pending().await
            }
        }
    }
}

async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> Option<String> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(head) = text.windows(4).position(|w| w == b"\r\n\r\n") {
            let head_text = String::from_utf8_lossy(&text[..head]).to_ascii_lowercase();
            let length = head_text.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok());
            if text.len() >= head + 4 + length.unwrap_or(0) {
                return Some(String::from_utf8(text).unwrap());
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => text.extend_from_slice(&buffer[..n]),
        }
    }
}
