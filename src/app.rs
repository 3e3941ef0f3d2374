//! The composition root: settings -> parts -> mount -> run -> drain. The only file that names every part.

mod audit;
mod health;
mod reload;

use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

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
use crate::fuse::session::{MountSettings, Mounted};
use crate::mount_point::{self, MountPoint};
use crate::vfs::{Relay, Vfs, VfsSettings};

/// A stop is over after this at the latest; what is not proven by then stays in the ledger.
const STOP: Duration = Duration::from_secs(4);

/// Signals closer than that are one decision.
const SAME_SIGNAL: Duration = Duration::from_millis(200);

/// Between a failure of the keeper and its next life.
const KEEPER_PAUSE: Duration = Duration::from_secs(1);

/// Where the ledger lives when nobody says.
pub const DEFAULT_STATE: &str = "/var/lib/tfcfs";

/// What one mount is made from.
#[derive(Debug, Clone)]
pub struct MountPlan {
    /// Where.
    pub mount_point: PathBuf,
    /// Checked settings, file and flags together.
    pub settings: Settings,
    /// The file they came from, read again at SIGHUP.
    pub settings_file: Option<PathBuf>,
    /// Keep nothing on disk; a stop revokes everything.
    pub ephemeral: bool,
    /// See [`MountSettings::reaper`].
    pub reaper: Option<PathBuf>,
}

/// Mounts and serves until a signal or an unmount. `ready` is called once the mount answers.
///
/// # Errors
/// Everything that keeps it from serving, each with its exit code and a way out.
pub fn mount(plan: &MountPlan, ready: impl FnOnce()) -> Result<(), Failure> {
    protect_memory();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("tfcfs-worker")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(ExitCode::Internal, format!("no threads can be started: {error}")))?;
    let result = runtime.block_on(serve(plan, ready));
    // A reader may still hold a file of the detached mount: its task must not hold up the end.
    runtime.shutdown_background();
    result
}

/// No core dumps, no ptrace by the same user: the process holds tokens.
pub(crate) fn protect_memory() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "memory dumps could not be switched off");
    }
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::warn!(%error, "core dumps could not be switched off");
    }
}

async fn serve(plan: &MountPlan, ready: impl FnOnce()) -> Result<(), Failure> {
    let (mut stop, mut hangup) = (Stop::new()?, listen(SignalKind::hangup())?);
    free_mount_point(&plan.mount_point)?;
    let parts = Parts::build(plan).await?;
    let served = serve_parts(plan, &parts, &mut stop, &mut hangup, ready).await;
    parts.audit.stopped(&parts.vfs, served.as_ref().err());
    served
}

async fn serve_parts(
    plan: &MountPlan,
    parts: &Parts,
    stop: &mut Stop,
    hangup: &mut Signal,
    ready: impl FnOnce(),
) -> Result<(), Failure> {
    parts.audit.started(&parts.vfs, plan);
    parts.apply_file(&plan.settings).await?;
    let settings = &plan.settings;
    let mount = MountSettings {
        mount_point: plan.mount_point.clone(),
        allow_other: settings.allow_other,
        threads: settings.threads,
        reaper: plan.reaper.clone(),
    };
    let keeper = tokio::spawn(keep_time(parts.issuer.clone()));
    let mut mounted = Mounted::start(&parts.vfs, &mount, &tokio::runtime::Handle::current())
        .map_err(|error| mount_failure(&plan.mount_point, &error))?;
    tracing::info!(mount_point = %plan.mount_point.display(), version = env!("CARGO_PKG_VERSION"), "serving");
    ready();
    loop {
        tokio::select! {
            ended = mounted.ended() => {
                match ended {
                    Ok(()) => tracing::info!("unmounted by somebody else: stopping"),
                    Err(error) => tracing::error!(%error, "the mount ended"),
                }
                break;
            }
            _ = hangup.recv() => parts.reload(plan).await,
            name = stop.signal() => {
                tracing::info!(signal = name, "stopping; a second signal leaves at once");
                // Busy: files in it stay open until their programs close them, but nobody finds it any more.
                if mounted.unmount().is_err()
                    && let Err(error) = mount_point::detach(mounted.mount_point())
                {
                    tracing::error!(%error, "could not unmount");
                }
                break;
            }
        }
    }
    let left = tokio::select! {
        left = parts.issuer.drain(STOP) => left,
        name = stop.second() => {
            tracing::warn!(signal = name, "leaving at once; what is not revoked yet stays in the ledger");
            parts.audit.stopped(&parts.vfs, None);
            process::exit(ExitCode::Interrupted as i32);
        }
    };
    keeper.abort();
    if left > 0 {
        let where_to = if plan.ephemeral {
            "nobody will repeat them: they end by themselves at their expired-at"
        } else {
            "the next start repeats them"
        };
        tracing::warn!(revocations = left, "not proven by upstream in time; {where_to}");
    }
    tracing::info!("stopped");
    Ok(())
}

/// The keeper never ends by itself. A defect in it must not stop the ends of leases: it is begun anew.
async fn keep_time(issuer: Arc<Issuer>) {
    loop {
        let mut keeper = AbortOnDrop(tokio::spawn(issuer.clone().keep_time()));
        if let Err(error) = (&mut keeper.0).await {
            tracing::error!(%error, "the keeper of leases failed; it begins anew");
        }
        tokio::time::sleep(KEEPER_PAUSE).await;
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Looks before mounting: replaces a dead mount of ours, refuses everything else that is in the way.
fn free_mount_point(path: &Path) -> Result<(), Failure> {
    let fail = |text: String, hint: &str| Err(Failure::new(ExitCode::MountPoint, text).hint(hint));
    let shown = path.display();
    let found = mount_point::inspect(path).map_err(|error| Failure::new(ExitCode::MountPoint, error.to_string()))?;
    match found {
        MountPoint::Free => Ok(()),
        MountPoint::Missing => fail(format!("{shown} does not exist"), &format!("make it first: mkdir -p {shown}")),
        MountPoint::NotADirectory => fail(format!("{shown} is not a directory"), "name a directory to mount on"),
        MountPoint::LiveTfcfs => fail(
            format!("a live tfcfs is mounted on {shown} already"),
            &format!("stop that one, or unmount it: tfcfs umount {shown}"),
        ),
        MountPoint::SilentTfcfs => fail(
            format!("a tfcfs is mounted on {shown} that does not answer: it is stopped, overloaded, or was killed"),
            &format!("look at its process; if there is none, take the mount away: umount -f -l {shown}"),
        ),
        MountPoint::OtherFuse { fstype, source } => fail(
            format!("{shown} is a mount of {fstype} ({source})"),
            "choose another directory, or unmount that filesystem first",
        ),
        MountPoint::DeadTfcfs => {
            tracing::warn!(mount_point = %shown, "replacing the mount of a tfcfs that died");
            mount_point::detach(path).map_err(|error| Failure::new(ExitCode::MountPoint, error.to_string()))
        }
    }
}

fn mount_failure(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::new(ExitCode::MountPoint, format!("cannot mount on {}: {error}", path.display()));
    failure.hint(match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV) => "is /dev/fuse there? load the module: modprobe fuse",
        Some(libc::EPERM | libc::EACCES) => {
            "mounting needs root, or fusermount3 (Debian package fuse3); --allow-other as a user needs user_allow_other in /etc/fuse.conf"
        }
        _ => "root can mount directly; other users need fusermount3 (Debian package fuse3)",
    })
}

/// Everything that serves one mount.
#[derive(Clone)]
struct Parts {
    issuer: Arc<Issuer>,
    vfs: Arc<Vfs>,
    audit: Arc<audit::Audit>,
    /// The task that asks upstream about what the settings file names.
    asking: Arc<parking_lot::Mutex<Option<tokio::task::JoinHandle<()>>>>,
}

impl Parts {
    async fn build(plan: &MountPlan) -> Result<Self, Failure> {
        let settings = &plan.settings;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let audit_places = audit::open(settings.audit.as_ref(), &plan.mount_point)?;
        let (store, sealing_key) = open_store(plan)?;
        let ledger = Ledger::new(store);
        let state = |error: crate::domain::ports::StoreError| Failure::from(StateError::from(error));
        let contents = ledger.load().await.map_err(state)?;
        let book = Book::new(settings.limits(), contents, clock.now());
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
        let upstreams = Arc::new(health::ClientHealth(api));
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

/// The signals that end the service.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Self, Failure> {
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for one that is a new decision: some tools (`timeout`) deliver the first one twice.
    async fn second(&mut self) -> &'static str {
        let first = tokio::time::Instant::now();
        loop {
            let name = self.signal().await;
            if first.elapsed() > SAME_SIGNAL {
                return name;
            }
        }
    }

    /// Waits for the next one.
    async fn signal(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::new(ExitCode::Internal, format!("cannot listen to signals: {error}")))
}
