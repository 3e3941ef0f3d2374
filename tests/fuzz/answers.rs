//! What upstream answers: status, headers and body of every call, and bytes that are no HTTP at all.
//!
//! An input is a call and its answers: a line `CALL STATUS`, header lines, an empty line, a body; `%%%` on a line of its own
//! begins the answer to the next request, which has no call. `raw` in place of the status sends what follows the line as it is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tfcfs::adapters::tfc::{TfcClient, TfcSettings};
use tfcfs::domain::anchor::{Access, Address};
use tfcfs::domain::owner::{CredentialType, Owner};
use tfcfs::domain::ports::{ApiError, CreateToken, TokenApi};
use tfcfs::domain::token::{Token, TokenId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::properties::{SECRET, planted, secretless, sentence};

/// A client keeps what it learned about each owner; a new one from time to time keeps that small.
const CALLS_OF_A_CLIENT: u64 = 2000;

/// Shorter than any pause before a repeat: one answer, one attempt.
const DEADLINE: Duration = Duration::from_millis(40);

type Answers = Arc<Mutex<VecDeque<Vec<u8>>>>;

/// A server that answers what the input says, and the client that calls it.
pub struct Upstream {
    runtime: Runtime,
    origin: String,
    answers: Answers,
    client: TfcClient,
    calls: u64,
}

fn client() -> TfcClient {
    let settings = TfcSettings {
        call_deadline: DEADLINE,
        create_patience: Duration::ZERO,
        proxy: Some("direct".into()),
        rate: 1_000_000,
        ..TfcSettings::default()
    };
    TfcClient::new(settings).unwrap()
}

impl Upstream {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answers = Answers::default();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let waiting = answers.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = waiting.lock().pop_front();
                tokio::spawn(answer_one(stream, answer.unwrap_or_default()));
            }
        });
        Self { runtime, origin, answers, client: client(), calls: 0 }
    }

    pub fn target(mut self) -> impl FnMut(&[u8]) {
        move |input| self.call(&planted(input))
    }

    fn call(&mut self, input: &[u8]) {
        let mut parts = split(input, b"\n%%%\n").into_iter();
        let first = parts.next().unwrap_or_default();
        let (line, rest) = cut(first, b"\n");
        let line = String::from_utf8_lossy(line).into_owned();
        let (call, status) = line.split_once(' ').unwrap_or((&line, "200"));
        let mut answers = VecDeque::from([answer(status, rest)]);
        for part in parts {
            let (status, rest) = cut(part, b"\n");
            answers.push_back(answer(&String::from_utf8_lossy(status), rest));
        }
        *self.answers.lock() = answers;
        self.calls += 1;
        if self.calls.is_multiple_of(CALLS_OF_A_CLIENT) {
            self.client = client();
        }
        // An owner of its own for each call: nobody waits for what an earlier answer said about the rate.
        let access = Access {
            address: Address::parse(&self.origin, "/api/v2/", false).unwrap(),
            token: Token::parse(SECRET).unwrap(),
            owner: Some(Owner::User { id: format!("user-{}", self.calls) }),
        };
        if let Err(error) = self.runtime.block_on(make(&self.client, &access, call)) {
            assert!(error.detail.is_empty() || !error.detail.contains(char::is_control), "{error:?}");
            sentence(&error.to_string());
            error.request_id.iter().for_each(|id| sentence(id));
        }
        for health in self.client.health() {
            secretless(&format!("{health:?}"));
            health.last_error.iter().for_each(|(_, text)| sentence(text));
            let shown = [&health.api_version, &health.app_name, &health.tfe_version];
            shown.into_iter().flatten().filter(|text| !text.is_empty()).for_each(|text| sentence(text));
        }
    }
}

async fn make(client: &TfcClient, access: &Access, call: &str) -> Result<(), ApiError> {
    let user = || Owner::User { id: "user-1".into() };
    let team = || Owner::Team { id: "team-1".into() };
    let organization = || Owner::Organization { name: "acme".into() };
    let create = |owner, credential_type| CreateToken {
        owner,
        credential_type,
        description: "tfcfs deploy 01J".into(),
        expires_at: "2099-08-21T10:00:00Z".parse().unwrap(),
    };
    let order = match call {
        "create-user" => Some(create(user(), CredentialType::User)),
        "create-team" => Some(create(team(), CredentialType::Team)),
        "create-legacy" => Some(create(team(), CredentialType::TeamLegacy)),
        "create-organization" => Some(create(organization(), CredentialType::Organization)),
        _ => None,
    };
    if let Some(order) = order {
        let issued = client.create(access, &order).await?;
        assert!(!issued.token.expose().is_empty());
        clean_id(&issued.id);
        secretless(&format!("{issued:?}"));
        return Ok(());
    }
    match call {
        "revoke" => client.revoke(access, &TokenId("at-1".into())).await?,
        "revoke-slot" => client.revoke_slot(access, &organization()).await?,
        "slot" => {
            if let Some(slot) = client.slot(access, &team()).await? {
                clean_id(&slot.id);
            }
        }
        "list-user" => client.list(access, &user(), None).await?.iter().for_each(|token| clean_id(&token.id)),
        "list-team" => client.list(access, &team(), None).await?.iter().for_each(|token| clean_id(&token.id)),
        "team-id" => client.team_id(access, "acme", "ops").await?.iter().for_each(|id| clean(id)),
        "team-organization" => client.team_organization(access, "team-1").await?.iter().for_each(|name| clean(name)),
        _ => {
            let identity = client.whoami(access).await?;
            identity.token_id.iter().for_each(clean_id);
            identity.owner.iter().for_each(|owner| clean(owner.id()));
            assert!(identity.username.len() <= 255 && !identity.username.contains(char::is_control));
        }
    }
    Ok(())
}

fn clean_id(id: &TokenId) {
    clean(&id.0);
}

/// What is put into paths, documents, events and messages later.
fn clean(id: &str) {
    assert!(!id.is_empty() && id.len() <= 255, "{} bytes", id.len());
    assert!(!id.contains(|c: char| c.is_control() || c.is_whitespace() || c == '/'), "{id:?}");
}

fn answer(status: &str, rest: &[u8]) -> Vec<u8> {
    if status == "raw" {
        return rest.to_vec();
    }
    let (headers, body) = if let Some(body) = rest.strip_prefix(b"\n") { (&b""[..], body) } else { cut(rest, b"\n\n") };
    let mut bytes =
        format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", body.len()).into_bytes();
    for line in headers.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        bytes.extend_from_slice(line);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

async fn answer_one(mut stream: TcpStream, answer: Vec<u8>) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    // All of it: an end with bytes unread would be a reset, and the answer lost.
    while !is_whole(&request) {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(n) => request.extend_from_slice(&buffer[..n]),
        }
    }
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
}

fn is_whole(request: &[u8]) -> bool {
    let Some(head) = request.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    request.len() >= head + 4 + length
}

fn cut<'a>(bytes: &'a [u8], at: &[u8]) -> (&'a [u8], &'a [u8]) {
    match bytes.windows(at.len()).position(|window| window == at) {
        Some(found) => (&bytes[..found], &bytes[found + at.len()..]),
        None => (bytes, b""),
    }
}

fn split<'a>(mut bytes: &'a [u8], at: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(found) = bytes.windows(at.len()).position(|window| window == at) {
        parts.push(&bytes[..found]);
        bytes = &bytes[found + at.len()..];
    }
    parts.push(bytes);
    parts
}
