//! The parts of one daemon, put together.

use std::path::PathBuf;
use std::sync::Arc;

use super::{DEFAULT_STATE, MountPlan, audit};
use crate::adapters::accounts::SystemAccounts;
use crate::adapters::caller::ProcCallers;
use crate::adapters::clock::SystemClock;
use crate::adapters::memory_store::MemoryStore;
use crate::adapters::sealing_key::{Owners, SealingKey, SealingKeySettings};
use crate::adapters::state_directory::{StateDirectory, StateError};
use crate::adapters::tfc::{TfcClient, TfcSettings};
use crate::config::Settings;
use crate::domain::book::Book;
use crate::domain::issuer::{Issuer, IssuerSettings};
use crate::domain::ledger::Ledger;
use crate::domain::ports::{Clock, Store};
use crate::exit::{ExitCode, Failure};
use crate::vfs::{HandleKind, HandleRecord, Relay, Vfs, VfsSettings};

/// Everything that serves one mount.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) issuer: Arc<Issuer>,
    pub(super) vfs: Arc<Vfs>,
    pub(super) audit: Arc<audit::Audit>,
    /// The task that asks upstream about what the settings file names.
    pub(super) asking: Arc<parking_lot::Mutex<Option<tokio::task::JoinHandle<()>>>>,
}

impl Parts {
    /// Over what the state has. `handles` are open files that a former daemon gave out on the same mount.
    pub(super) async fn build(plan: &MountPlan, handles: &[HandleRecord]) -> Result<Self, Failure> {
        let settings = &plan.settings;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let audit_places = audit::open(settings.audit.as_ref(), &plan.mount_point)?;
        let (store, sealing_key) = open_store(plan)?;
        let ledger = Ledger::new(store);
        let state = |error: crate::domain::ports::StoreError| Failure::from(StateError::from(error));
        let contents = ledger.load().await.map_err(state)?;
        let mut book = Book::new(settings.limits(), contents, clock.now());
        for record in handles {
            if let HandleKind::Door { lease, .. } = record.kind {
                book.take_over(lease);
            }
        }
        ledger.reserve(book.serial_limit()).await.map_err(state)?;
        let tfc = TfcSettings {
            // A little sooner than the open's: whoever waits then hears why, and not only that it took too long.
            call_deadline: settings.open_deadline * 9 / 10,
            create_patience: settings.open_deadline * 2,
            rate: settings.rate,
            ca_file: settings.ca_file.clone(),
            proxy: settings.proxy.clone().map(|proxy| proxy.0),
            no_proxy: settings.no_proxy.clone(),
            ..TfcSettings::default()
        };
        let api = Arc::new(TfcClient::new(tfc).map_err(|e| Failure::new(ExitCode::Settings, e.to_string()))?);
        let relay = Arc::new(Relay::default());
        let issuer_settings = IssuerSettings {
            host: host_name(),
            delete_grace: settings.delete_grace,
            ephemeral: plan.ephemeral,
            revoke_on_stop: settings.revoke_on_stop,
            allow_organization_anchor_rotation: settings.allow_organization_anchor_rotation,
        };
        let runtime = tokio::runtime::Handle::current();
        let audit = audit::Audit::start(settings.audit.clone(), audit_places, clock.clone(), &sealing_key)?;
        let issuer = Issuer::new(book, ledger, api.clone(), clock, relay.clone(), issuer_settings, runtime);
        let vfs_settings = VfsSettings {
            uid: settings.uid.unwrap_or_else(|| rustix::process::geteuid().as_raw()),
            gid: settings.gid.unwrap_or_else(|| rustix::process::getegid().as_raw()),
            mode: settings.mode,
            open_deadline: settings.open_deadline,
            rotate_deadline: settings.rotate_deadline,
            deadline: settings.deadline,
            deny_programs: settings.deny_programs.clone(),
            version: env!("CARGO_PKG_VERSION"),
        };
        let upstreams = Arc::new(super::health::ClientHealth(api));
        let vfs = Vfs::new(issuer.clone(), Arc::new(ProcCallers), upstreams, Arc::new(SystemAccounts), vfs_settings)
            .map_err(|error| Failure::new(ExitCode::State, error.to_string()))?;
        vfs.audit_with(audit.trail());
        relay.connect(&vfs);
        Ok(Self { issuer, vfs, audit: Arc::new(audit), asking: Arc::default() })
    }
}

/// The ledger's store, and the key that seals it; without a state, one that nobody else has.
fn open_store(plan: &MountPlan) -> Result<(Arc<dyn Store>, SealingKey), Failure> {
    if plan.ephemeral {
        let key = SealingKey::random().map_err(|error| {
            Failure::new(ExitCode::Internal, format!("the kernel gives no random numbers: {error}"))
        })?;
        return Ok((Arc::new(MemoryStore::new()), key));
    }
    let keys = key_settings(&plan.settings);
    let state = StateDirectory::prepare(&keys.state_directory)?;
    let store = Arc::new(state.open(&keys)?);
    // Now: a rekey that was interrupted is finished.
    let key = keys.find(Owners::Trusted).map_err(StateError::from)?.key;
    Ok((store, key))
}

/// Where the state and its key are, as settings and environment say.
pub fn key_settings(settings: &Settings) -> SealingKeySettings {
    SealingKeySettings {
        key_file: settings.sealing_key_file.clone(),
        credentials_directory: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        state_directory: settings.state.clone().unwrap_or_else(|| DEFAULT_STATE.into()),
    }
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let plain: String = name.chars().filter(|c| c.is_ascii_graphic()).collect();
    if plain.is_empty() { "unnamed".to_owned() } else { plain }
}
