//! Sockets, threads, connections: from bytes to requests and back, faults of the connection included.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming as HyperBody;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::answer::Answer;
use super::body::{AnswerBody, Dropped};
use super::fault::{Fault, When};
use super::log::Trapped;
use super::options::FakeOptions;
use super::pipeline::Incoming;
use super::tls::Tls;
use super::world::World;
use super::{Fake, control, misbehave};

/// What the test's thread and the server's share. The lock is held for the length of one answer and never over an
/// await.
pub struct Shared {
    pub world: Mutex<World>,
}

/// What the test's thread tells the server's.
pub enum Command {
    /// Close port and connections, then say so.
    Offline(SyncSender<()>),
    /// Open the port again, then say so.
    Online(SyncSender<()>),
    /// End.
    Stop,
}

#[derive(Clone, Copy)]
enum Site {
    Api,
    Trap,
}

/// Binds, starts the thread, seeds.
pub fn start(options: FakeOptions) -> Fake {
    // One thread serves hundreds of connections in microseconds each and leaves the other cores to the test.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    let entered = runtime.enter();
    let listener = listen(options.listen);
    let trap_listener = listen(SocketAddr::from(([127, 0, 0, 2], 0)));
    drop(entered);
    let address = listener.local_addr().expect("a bound socket has an address");
    let trap_address = trap_listener.local_addr().expect("a bound socket has an address");
    let scheme = if options.tls { "https" } else { "http" };
    let trap = format!("{scheme}://{trap_address}");
    let tls = options.tls.then(|| Tls::new(address.ip()));
    let (acceptor, ca_pem) = tls.map_or((None, None), |tls| (Some(tls.acceptor), Some(tls.ca_pem)));
    let mut world = World::new(&options, trap.clone());
    world.seed_default();
    let shared = Arc::new(Shared { world: Mutex::new(world) });
    let (commands, receiver) = mpsc::unbounded_channel();
    let server = Server { shared: Arc::clone(&shared), acceptor, address };
    let thread = std::thread::Builder::new()
        .name("fake-tfc".into())
        .spawn(move || runtime.block_on(server.run(listener, trap_listener, receiver)))
        .expect("a thread can be started");
    Fake { shared, address, scheme, trap, ca_pem, commands, thread: Some(thread) }
}

#[derive(Clone)]
struct Server {
    shared: Arc<Shared>,
    acceptor: Option<TlsAcceptor>,
    address: SocketAddr,
}

impl Server {
    async fn run(self, listener: TcpListener, trap: TcpListener, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut listener = Some(listener);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Offline(done)) => {
                        listener = None;
                        connections.shutdown().await;
                        let _ = done.send(());
                    }
                    Some(Command::Online(done)) => {
                        listener = Some(listener.unwrap_or_else(|| listen(self.address)));
                        let _ = done.send(());
                    }
                    Some(Command::Stop) | None => return,
                },
                stream = accept(listener.as_ref()) => {
                    connections.spawn(self.clone().serve(stream, Site::Api));
                }
                stream = accept(Some(&trap)) => {
                    connections.spawn(self.clone().serve(stream, Site::Trap));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn serve(self, stream: TcpStream, site: Site) {
        let _ = stream.set_nodelay(true);
        match &self.acceptor {
            None => self.connection(stream, site).await,
            Some(acceptor) => {
                // A failed handshake is the client's affair: it is what a test of an unknown CA wants to see.
                if let Ok(stream) = acceptor.accept(stream).await {
                    self.connection(stream, site).await;
                }
            }
        }
    }

    async fn connection(&self, stream: impl AsyncRead + AsyncWrite + Unpin, site: Site) {
        let service = service_fn(|request| async move {
            match site {
                Site::Api => answer(&self.shared, request).await,
                Site::Trap => Ok(trap(&self.shared, &request)),
            }
        });
        // Errors are closed connections, by the client or by a fault.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
}

/// With a long queue: a client that opens hundreds of connections at once must not wait a second for each that did not
/// fit.
fn listen(address: SocketAddr) -> TcpListener {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.expect("a socket can be made");
    socket.set_reuseaddr(true).expect("a socket can reuse its address");
    socket.bind(address).unwrap_or_else(|error| panic!("cannot bind {address}: {error}"));
    socket.listen(4096).expect("a bound socket can listen")
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
        // Out of descriptors, most likely: give connections time to end instead of spinning.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn answer(shared: &Shared, request: Request<HyperBody>) -> Result<Response<AnswerBody>, Dropped> {
    let incoming = read(request).await?;
    if incoming.path.starts_with("/_fake") {
        let answer = control::answer(&mut shared.world.lock(), &incoming);
        return Ok(respond(&answer, AnswerBody::whole(answer.body.clone())));
    }
    let (begun, latency) = {
        let mut world = shared.world.lock();
        (world.begin(&incoming), world.switches.base_latency_us)
    };
    if latency > 0 {
        tokio::time::sleep(Duration::from_micros(latency)).await;
    }
    let mut answer = None;
    for fault in &begun.faults {
        pause_or_close(fault, When::Before).await?;
        answer = misbehave::instead(&shared.world.lock(), fault, &incoming).or(answer);
    }
    let mut answer = answer.unwrap_or_else(|| shared.world.lock().process(&incoming, begun.route, &begun.subject));
    let mut body = None;
    for fault in &begun.faults {
        pause_or_close(fault, When::After).await?;
        misbehave::afterwards(&mut shared.world.lock(), fault, &mut answer);
        body = misbehave::body(fault, &answer.body).or(body);
    }
    let mut world = shared.world.lock();
    world.log.finish(begun.entry, answer.status);
    let date = world.date(misbehave::skew(&begun.faults));
    drop(world);
    let body = body.unwrap_or_else(|| AnswerBody::whole(answer.body.clone()));
    Ok(respond(&answer.with("date", date), body))
}

async fn pause_or_close(fault: &Fault, now: When) -> Result<(), Dropped> {
    match fault {
        Fault::Delay { ms, when } if *when == now => tokio::time::sleep(Duration::from_millis(*ms)).await,
        Fault::Close { when } if *when == now => return Err(Dropped),
        _ => {}
    }
    Ok(())
}

async fn read(request: Request<HyperBody>) -> Result<Incoming, Dropped> {
    let (head, body) = request.into_parts();
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let bearer = header(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    Ok(Incoming {
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        content_type: header(header::CONTENT_TYPE),
        bearer,
        method: head.method,
        body: body.collect().await.map_err(|_| Dropped)?.to_bytes(),
    })
}

fn respond(answer: &Answer, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::builder().status(answer.status);
    if let Some(content_type) = &answer.content_type {
        response = response.header(header::CONTENT_TYPE, content_type);
    }
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    response.body(body).expect("statuses and header values are checked where they are set")
}

fn trap(shared: &Shared, request: &Request<HyperBody>) -> Response<AnswerBody> {
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    shared.world.lock().trapped.push(Trapped {
        method: request.method().to_string(),
        path: super::ids::without_secrets(path),
        had_authorization: request.headers().contains_key(header::AUTHORIZATION),
    });
    let answer = Answer::json(200, &serde_json::json!({ "data": [] }));
    respond(&answer, AnswerBody::whole(answer.body.clone()))
}
