//! Builds the one HTTP client: trust, proxy, time-outs, headers that never change.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, redirect, tls};

use super::proxy;
use super::settings::{TfcError, TfcSettings};

/// Media type of every request and answer.
pub(super) const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.api+json");

/// Connections are dropped before a load balancer would do it (60 s is usual): a request that meets its close may be
/// lost with an unknown effect.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// A client and what messages must know of it.
pub(super) struct Http {
    /// The client, with the one connection pool.
    pub(super) client: Client,
    /// `host:port` of the proxy, if there is one.
    pub(super) proxy: Option<String>,
}

impl Http {
    /// Builds it.
    ///
    /// # Errors
    /// See [`TfcError`].
    pub(super) fn new(settings: &TfcSettings) -> Result<Self, TfcError> {
        let proxies = proxy::choose(settings, |name| std::env::var(name).ok())?;
        let authorities = settings.ca_file.as_deref().map(read_authorities).transpose()?.unwrap_or_default();
        let builder = || {
            let mut builder = Client::builder()
                .user_agent(HeaderValue::from_str(&settings.user_agent).map_err(|_| TfcError::UserAgent)?)
                .default_headers(HeaderMap::from_iter([(ACCEPT, MEDIA_TYPE)]))
                .redirect(redirect::Policy::none())
                // Ours alone decides what is repeated.
                .retry(reqwest::retry::never())
                .referer(false)
                .http1_only()
                .tls_backend_rustls()
                .tls_version_min(tls::Version::TLS_1_2)
                .connect_timeout(settings.connect_timeout)
                .pool_idle_timeout(POOL_IDLE)
                .tcp_keepalive(Duration::from_secs(15))
                .no_proxy();
            for proxy in &proxies.list {
                builder = builder.proxy(proxy.clone());
            }
            Ok(builder)
        };
        let client = match builder()?.tls_certs_merge(authorities).build() {
            Ok(client) => client,
            Err(error) if settings.ca_file.is_none() => {
                // No certificates on this system at all (a bare container). http:// to this machine must work nevertheless, and
                // https:// will say whom it does not trust.
                tracing::warn!("no trusted authorities on this system; install ca-certificates or set ca_file");
                let error = error.to_string();
                builder()?.tls_certs_only([]).build().map_err(|_| TfcError::Setup(error))?
            }
            Err(error) => return Err(TfcError::Setup(error.to_string())),
        };
        Ok(Self { client, proxy: proxies.name })
    }
}

/// Reads and checks each certificate, so that a bad file is found at start and not at the first call.
fn read_authorities(path: &Path) -> Result<Vec<Certificate>, TfcError> {
    let bytes = std::fs::read(path)
        .map_err(|error| TfcError::CaUnreadable { path: path.to_owned(), reason: error.to_string() })?;
    let refuse = |reason: String| TfcError::CaGarbage { path: path.to_owned(), reason };
    let ders = certificates(&bytes).map_err(refuse)?;
    let mut store = rustls::RootCertStore::empty();
    for (index, der) in ders.iter().enumerate() {
        let number = index + 1;
        store.add(der.clone()).map_err(|error| refuse(format!("certificate {number} in it: {error}")))?;
    }
    ders.iter().map(|der| Certificate::from_der(der).map_err(|error| refuse(error.to_string()))).collect()
}

type Der = rustls::pki_types::CertificateDer<'static>;

fn certificates(bytes: &[u8]) -> Result<Vec<Der>, String> {
    use rustls::pki_types::pem::PemObject;
    /// First byte of every DER certificate.
    const SEQUENCE: u8 = 0x30;
    if bytes.first() == Some(&SEQUENCE) {
        return Ok(vec![Der::from(bytes.to_vec())]);
    }
    let ders = Der::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
    let ders = ders.map_err(|error| format!("damaged PEM: {error}"))?;
    if ders.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(ders) }
}
