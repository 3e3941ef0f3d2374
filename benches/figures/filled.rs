//! State directories with many leases, filled by the program's own store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tfcfs::adapters::clock::SystemClock;
use tfcfs::adapters::sealing_key::SealingKeySettings;
use tfcfs::adapters::state_directory::StateDirectory;
use tfcfs::domain::anchor::Address;
use tfcfs::domain::lease::{LeaseId, LeaseRecord, Opener, Phase, Scope, Serial};
use tfcfs::domain::ledger::{Entry, Ledger};
use tfcfs::domain::name::RoleName;
use tfcfs::domain::owner::{CredentialType, Owner};
use tfcfs::domain::ports::Clock;
use tfcfs::domain::role::{OnClose, Times};
use tfcfs::domain::token::{Token, TokenId};

use crate::Outcome;
use crate::fake::Fake;

const HOUR: Duration = Duration::from_secs(3600);

/// A lease record that a test completes.
pub fn lease(fake: &Fake, number: usize, role: usize) -> Outcome<LeaseRecord> {
    let role: RoleName = format!("r{role}").parse()?;
    let (now, serial) = (SystemClock.now(), Serial(number as u64 + 1));
    Ok(LeaseRecord {
        id: LeaseId::new(now),
        serial,
        scope: Scope::Open { role: role.clone(), node: serial },
        description: format!("{role} tfcfs@figures {number:032x}"),
        role,
        owner: Owner::User { id: fake.user_id("alice") },
        credential_type: CredentialType::User,
        organization: None,
        anchor: "default".parse()?,
        address: address(fake)?,
        phase: Phase::Live,
        token_id: Some(TokenId(format!("at-{number:016}"))),
        token: Some(Token::parse(&format!("{number:014}.atlasv1.{number:067}"))?),
        issued_at: now,
        ends_at: now + 20 * HOUR,
        times: Times { ttl: 10 * HOUR, max_ttl: 20 * HOUR },
        on_close: OnClose::Linger,
        opener: Opener { uid: 1000, gid: 1000 },
    })
}

fn address(fake: &Fake) -> Outcome<Address> {
    Ok(Address::parse(&fake.url(), "/api/v2", false)?)
}

/// Writes them. `lingering`: those whose end after the last close is noted too, as it is for each that nobody holds.
pub fn fill(state: &Path, leases: Vec<LeaseRecord>, lingering: impl Fn(usize) -> bool) -> Outcome {
    let keys = SealingKeySettings { key_file: None, credentials_directory: None, state_directory: state.to_owned() };
    let ledger = Ledger::new(Arc::new(StateDirectory::prepare(state)?.open(&keys)?));
    let last = leases.iter().map(|lease| lease.serial.0).max().unwrap_or_default();
    let mut entries = Vec::new();
    for (number, lease) in leases.into_iter().enumerate() {
        if lingering(number) {
            entries.push(Entry::Linger(lease.id.clone(), Some(lease.issued_at + lease.times.ttl)));
        }
        entries.push(Entry::Lease(Box::new(lease)));
    }
    tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
        ledger.write(entries).await?;
        ledger.reserve(Serial(last + 1)).await
    })?;
    Ok(())
}
