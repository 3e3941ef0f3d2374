//! One record of each kind, as a daemon writes them. Also compiled into `examples/state_fixture.rs`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tfcfs::adapters::redb_store::{self, RedbStore};
use tfcfs::adapters::sealed_store::SealedStore;
use tfcfs::adapters::sealing_key::SealingKey;
use tfcfs::domain::anchor::{Access, Address, Anchor};
use tfcfs::domain::lease::{LeaseId, LeaseRecord, Opener, Phase, Scope, Serial};
use tfcfs::domain::ledger::{Entry, Ledger, Rotation, StoredRole};
use tfcfs::domain::name::{AnchorName, RoleName};
use tfcfs::domain::owner::{CredentialType, Owner};
use tfcfs::domain::role::{self, OnClose, Role, Share, Times};
use tfcfs::domain::token::{Issued, Token, TokenId};

/// Stands for tokens; must be in no output and in no file.
pub const SECRETS: [&str; 3] =
    ["hunter2.atlasv1.the-anchor", "hunter2.atlasv1.of-the-live-lease", "hunter2.atlasv1.of-the-revoked-lease"];

/// The key of every state here, until it gets another.
pub const KEY: [u8; 32] = *b"tfcfs test key, not a secret....";

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Fills a state directory as a daemon does.
pub fn fill(directory: &Path) {
    let store = RedbStore::open(directory.join(redb_store::FILE_NAME)).unwrap();
    let ledger = Ledger::new(Arc::new(SealedStore::new(store, &SealingKey::from_bytes(KEY))));
    block_on(async {
        ledger.reserve(Serial(65_537)).await.unwrap();
        let lingers = Entry::Linger(id(1), Some(at(4000)));
        let rotation = Entry::Rotation(name("app"), Rotation { at: at(5), uid: Some(1000) });
        let role = Entry::Role(name("app"), StoredRole { role: role(), changed_at: at(1) });
        let entries = vec![role, Entry::Anchor(anchor()), Entry::Number(name("app"), 1), rotation, lingers];
        ledger.write(entries).await.unwrap();
        for (number, secret) in [(1, Some(SECRETS[1])), (2, Some(SECRETS[2])), (3, None)] {
            let intent = ledger.intent(lease(number)).await.unwrap().into_inner();
            if let Some(secret) = secret {
                let id = TokenId(format!("at-{number}"));
                let token = Token::parse(secret).unwrap();
                let issued = Issued { id, token, expires_at: None, is_ttl_rejected: false, answered_at: None };
                let live = ledger.live(&intent, &issued).await.unwrap().into_inner();
                if number == 2 {
                    ledger.revoking(&live).await.unwrap();
                }
            }
        }
    });
}

pub fn name(text: &str) -> RoleName {
    text.parse().unwrap()
}

fn default_anchor() -> AnchorName {
    "default".parse().unwrap()
}

/// So many seconds after the beginning of 2026.
pub fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_767_225_600 + second).unwrap()
}

fn id(number: u64) -> LeaseId {
    serde_json::from_value(format!("{number:032x}").into()).unwrap()
}

fn team() -> Owner {
    Owner::Team { id: "team-Ex4mp1e".into() }
}

fn anchor() -> Anchor {
    let access = Access { address: Address::hcp(), token: Token::parse(SECRETS[0]).unwrap(), owner: Some(team()) };
    let anchor = Anchor::new(default_anchor(), access, Some(TokenId("at-0".into())));
    Anchor { rotated_at: Some(at(0)), ..anchor }
}

fn role() -> Role {
    Role {
        owner: team(),
        credential_type: CredentialType::Team,
        organization: Some("acme".into()),
        team: Some("deploy".into()),
        description: None,
        share: Share::Role,
        ttl: Some(Duration::from_secs(600)),
        max_ttl: None,
        on_close: OnClose::Linger,
        max_leases: None,
        min_rotation_interval: None,
        rotate_every: None,
        access: role::Access { uid: Some(1000), gid: None, mode: Some(0o400) },
        allow_units: Vec::new(),
        anchor: default_anchor(),
    }
}

fn lease(number: u64) -> LeaseRecord {
    LeaseRecord {
        id: id(number),
        serial: Serial(number),
        role: name("app"),
        scope: Scope::Role(name("app")),
        owner: team(),
        credential_type: CredentialType::Team,
        organization: Some("acme".into()),
        anchor: default_anchor(),
        address: Address::hcp(),
        description: format!("app tfcfs host {number}"),
        phase: Phase::Intent,
        token_id: None,
        token: None,
        issued_at: at(i64::try_from(number).unwrap() * 100),
        ends_at: at(86_400),
        times: Times { ttl: Duration::from_secs(600), max_ttl: Duration::from_secs(86_400) },
        on_close: OnClose::Linger,
        opener: Opener { uid: 1000, gid: 1000 },
    }
}
