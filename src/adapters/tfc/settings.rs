//! Settings of the client, and what can be wrong with them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How to call upstream.
#[derive(Clone, PartialEq, Eq)]
pub struct TfcSettings {
    /// Longest time of one call of the port, with every retry and all waiting for the rate limit. Lists of tokens, which nobody
    /// waits for in front of a terminal, have [`LIST_FACTOR`] times as much for all their pages together.
    pub call_deadline: Duration,
    /// How much longer than [`Self::call_deadline`] the answer to a create call may take.
    pub create_patience: Duration,
    /// Longest time to get a connection, TLS included.
    pub connect_timeout: Duration,
    /// Calls per second and token owner, unless upstream allows less. 0 counts as 1.
    pub rate: u32,
    /// PEM file (or one DER certificate) of authorities that are trusted beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// Proxy for all calls, `http://[user:password@]host:port`. `None` takes `HTTPS_PROXY` and `HTTP_PROXY` of the environment
    /// (either case); the empty text and `direct` mean no proxy at all.
    pub proxy: Option<String>,
    /// Hosts, domains and networks (`example.org,10.0.0.0/8,*`) that are called without the proxy. `None` takes `NO_PROXY` of the
    /// environment.
    pub no_proxy: Option<String>,
    /// `User-Agent` of every call.
    pub user_agent: String,
}

/// Lists may take this many times [`TfcSettings::call_deadline`].
pub const LIST_FACTOR: u32 = 6;

impl Default for TfcSettings {
    fn default() -> Self {
        Self {
            call_deadline: Duration::from_secs(10),
            create_patience: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(3),
            rate: 20,
            ca_file: None,
            proxy: None,
            no_proxy: None,
            user_agent: concat!("tfcfs/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl fmt::Debug for TfcSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand, because a proxy's URL may hold a password.
        f.debug_struct("TfcSettings")
            .field("call_deadline", &self.call_deadline)
            .field("create_patience", &self.create_patience)
            .field("connect_timeout", &self.connect_timeout)
            .field("rate", &self.rate)
            .field("ca_file", &self.ca_file)
            .field("proxy", &self.proxy.as_ref().map(|_| "…"))
            .field("no_proxy", &self.no_proxy)
            .field("user_agent", &self.user_agent)
            .finish()
    }
}

/// Why there is no client. Each says what to do; none repeats a proxy's password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TfcError {
    /// The CA file cannot be read.
    #[error("ca_file {} cannot be read ({reason}); check path and permissions, or remove the setting", path.display())]
    CaUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The CA file holds no usable certificate.
    #[error("ca_file {} is of no use ({reason}); it must hold certificates in PEM form (-----BEGIN CERTIFICATE-----)", path.display())]
    CaGarbage {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A proxy that is none.
    #[error("{source_name} names no usable proxy ({reason}); write it as http://host:port, or \"direct\" for none")]
    Proxy {
        /// The setting or variable.
        source_name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The user agent cannot stand in a header.
    #[error("user_agent holds a character that no HTTP header can hold; use visible ASCII")]
    UserAgent,
    /// The TLS library could not be started.
    #[error("the HTTPS client cannot be set up ({0})")]
    Setup(String),
}
