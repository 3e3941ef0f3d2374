//! Trust and proxies: what a client is built from.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tfcfs::adapters::tfc::TfcError;
use tfcfs::domain::ports::TokenApi;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::wire::{Reply, Server, answer, converse};
use super::*;

const WHO: &str = r#"{"data":{"id":"user-1","attributes":{"username":"alice"}}}"#;

/// A server for `localhost` under an authority of its own; returns its origin and the authority's certificate.
async fn tls_server() -> (String, String) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::<String>::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    converse(stream, &Default::default(), |_, _| Reply::Bytes(answer(200, "", WHO))).await;
                }
            });
        }
    });
    (origin, ca_pem)
}

fn with_ca(path: &Path) -> Result<TfcClient, TfcError> {
    TfcClient::new(TfcSettings { ca_file: Some(path.to_owned()), ..settings() })
}

#[tokio::test]
async fn an_authority_is_trusted_when_it_is_named_and_only_then() {
    let (origin, ca) = tls_server().await;
    let access = access(&origin);
    let error = client().create(&access, &user_order()).await.unwrap_err();
    assert_is(&error, ApiErrorKind::Tls, Effect::None);
    assert!(error.detail.contains("authority that is not trusted"), "{error}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, format!("a comment\n{ca}")).unwrap();
    assert_eq!(with_ca(&file).unwrap().whoami(&access).await.unwrap().username, "alice");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (origin, ca) = tls_server().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), ca).unwrap();
    let error =
        with_ca(file.path()).unwrap().whoami(&access(&origin.replace("localhost", "127.0.0.1"))).await.unwrap_err();
    assert_is(&error, ApiErrorKind::Tls, Effect::None);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let error = client().create(&access(&plain), &user_order()).await.unwrap_err();
    assert_is(&error, ApiErrorKind::Tls, Effect::None);
    assert!(error.detail.contains("is the port right?"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_finishes_the_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("https://{}", listener.local_addr().unwrap());
    let client = TfcClient::new(TfcSettings { connect_timeout: Duration::from_millis(200), ..settings() }).unwrap();
    let error = client.create(&access(&origin), &user_order()).await.unwrap_err();
    // Nothing was sent yet, so there can be no token.
    assert_is(&error, ApiErrorKind::Timeout, Effect::None);
}

#[test]
fn ca_files_of_no_use() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let error = with_ca(&directory.path().join("absent.pem")).unwrap_err();
    assert!(matches!(error, TfcError::CaUnreadable { .. }));
    let said = error.to_string();
    assert!(said.contains("absent.pem") && said.contains("No such file") && said.contains("check path"), "{said}");
    for (name, content) in [
        ("empty.pem", &b""[..]),
        ("text.pem", b"hello"),
        ("key.pem", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        ("cut.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n"),
        ("base64.pem", b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"),
        ("der.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("garbage.der", b"0\x82\x01\x01garbage"),
    ] {
        let error = with_ca(&file(name, content)).unwrap_err();
        assert!(matches!(error, TfcError::CaGarbage { .. }), "{name}: {error:?}");
        assert!(error.to_string().contains(name) && error.to_string().contains("PEM form"), "{error}");
    }
}

#[tokio::test]
async fn a_proxy_sees_the_host_and_not_the_token() {
    let proxy = Server::always(502, "", "").await;
    let settings = TfcSettings { proxy: Some(proxy.origin.replace("//", "//me:hunter2@")), ..settings() };
    assert!(!format!("{settings:?}").contains("hunter2"));
    let client = TfcClient::new(settings).unwrap();
    let error = client.create(&access("https://tfe.example"), &user_order()).await.unwrap_err();
    assert_is(&error, ApiErrorKind::Unreachable, Effect::None);
    assert!(error.detail.contains("proxy") && !error.detail.contains("hunter2"), "{error}");
    assert!(proxy.lines().iter().all(|line| line == "CONNECT tfe.example:443"), "{:?}", proxy.lines());
    for request in proxy.requests() {
        assert!(!request.contains(ANCHOR));
        assert!(request.to_ascii_lowercase().contains("proxy-authorization: basic "));
    }
}

#[tokio::test]
async fn hosts_that_need_no_proxy() {
    let proxy = Server::always(502, "", "").await;
    let server = Server::always(200, "", WHO).await;
    let settings =
        TfcSettings { proxy: Some(proxy.origin.clone()), no_proxy: Some("example.org,127.0.0.1".into()), ..settings() };
    TfcClient::new(settings).unwrap().whoami(&access(&server.origin)).await.unwrap();
    assert_eq!((proxy.count(), server.count()), (0, 1));
}

#[test]
fn settings_of_no_use() {
    let proxy = TfcSettings { proxy: Some("socks5://u:hunter2@h".into()), ..settings() };
    let error = TfcClient::new(proxy).unwrap_err();
    assert!(error.to_string().contains("http://host:port") && !format!("{error:?}").contains("hunter2"), "{error}");
    let agent = TfcSettings { user_agent: "a\nb".into(), ..settings() };
    assert_eq!(TfcClient::new(agent).unwrap_err(), TfcError::UserAgent);
}
