//! A stand-in for HCP Terraform and Terraform Enterprise: their token API, with a clock that tests move, faults that
//! tests script, and answers to what only the server knows (which tokens live, which requests came).
//!
//! ```ignore
//! #[allow(dead_code, reason = "each test binary uses another part of the fake")]
//! #[path = "../examples/fake_tfc/mod.rs"]
//! mod fake;
//!
//! let fake = fake::Fake::start(fake::FakeOptions::default());
//! let token = fake.anchor_user_token();
//! // … talk to fake.url() …
//! assert!(fake.orphans(&known_ids).is_empty());
//! ```
//!
//! [`Fake::start`] is synchronous: the server has a thread and a runtime of its own, so it serves sync and async tests
//! alike, and dropping the `Fake` ends it. What upstream is known to do, and where nobody knows, is written in the
//! project's API reference; every open question there is a field of [`Switches`].
//!
//! Over HTTP the same steering is below `/_fake/`; `GET /_fake/` explains it (see [`control`]).
//!
//! Two things to know. The anchors are good for a year, so a shorter maximum lifetime for their type kills them: with a
//! policy for user tokens call with [`Fake::anchor_org_token`], and so on; [`Fake::seed_token`] without an end is above
//! every maximum. And `base_latency` is kept by a timer of one millisecond's grain.
//!
//! A way through the files: `server` accepts, `pipeline` keeps the order of checks, `api/*` answers one family of
//! routes each over `world`; `steer` and `facts` are what tests call.
#![allow(unreachable_pub, reason = "a library in all but name: it is compiled into each test binary that includes it")]

mod access;
mod answer;
mod api;
mod body;
mod clock;
mod control;
mod facts;
mod fault;
mod ids;
mod log;
mod misbehave;
mod options;
mod owner;
mod pipeline;
mod rate;
mod route;
mod seed;
mod server;
mod steer;
mod switches;
mod tls;
mod tokens;
mod world;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

#[allow(unused_imports, reason = "each includer uses another part")]
pub use self::{
    fault::{Calls, ErrorBody, Fault, When},
    log::{Logged, Trapped},
    options::{FakeOptions, Mode},
    owner::{Kind, Owner},
    route::Route,
    switches::{PastEnd, Switches},
    tokens::TokenInfo,
    world::{ACME, TokenType},
};

use server::{Command, Shared};

/// A running fake upstream. Dropping it closes its ports and connections.
pub struct Fake {
    shared: Arc<Shared>,
    address: SocketAddr,
    scheme: &'static str,
    trap: String,
    ca_pem: Option<String>,
    commands: mpsc::UnboundedSender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Starts one and returns when it accepts connections.
    pub fn start(options: FakeOptions) -> Self {
        server::start(options)
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of its made-up CA; `None` for plain HTTP.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Another host (127.0.0.2) to which [`Fault::Redirect`] leads by default; see [`Fake::trapped`].
    pub fn trap_url(&self) -> &str {
        &self.trap
    }

    /// Closes the port and every connection, so that clients are refused, until [`Fake::go_online`].
    pub fn go_offline(&self) {
        self.command(Command::Offline);
    }

    /// Opens the same port again.
    pub fn go_online(&self) {
        self.command(Command::Online);
    }

    fn command(&self, make: fn(std::sync::mpsc::SyncSender<()>) -> Command) {
        let (done, wait) = std::sync::mpsc::sync_channel(1);
        self.commands.send(make(done)).expect("the server thread lives as long as the fake");
        wait.recv().expect("the server thread answers each command");
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        // A failed send or join means that the server has already panicked, which has been reported.
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fake({})", self.url())
    }
}
