//! The composition root: settings -> parts -> mount -> run -> drain. The only file that names every part.

mod audit;
mod health;
mod parts;
mod place;
mod reload;
mod server;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Settings;
use crate::domain::issuer::Issuer;
use crate::exit::{ExitCode, Failure};
use crate::fuse::connection::Connection;
use crate::fuse::session::{MountSettings, Mounted};
use crate::mount_point;

use self::parts::Parts;
pub use self::parts::key_settings;
pub use self::place::{free_mount_point, mount_failure};
pub use self::server::serve;

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

impl MountPlan {
    fn mount_settings(&self) -> MountSettings {
        MountSettings {
            mount_point: self.mount_point.clone(),
            allow_other: self.settings.allow_other,
            threads: self.settings.threads,
            reaper: self.reaper.clone(),
        }
    }
}

/// Mounts for somebody who serves later, after a look at what is there.
///
/// # Errors
/// What is in the way.
pub fn connect(plan: &MountPlan) -> Result<Connection, Failure> {
    free_mount_point(&plan.mount_point)?;
    Connection::mount(&plan.mount_settings()).map_err(|error| mount_failure(&plan.mount_point, &error))
}

/// Mounts and serves until a signal or an unmount. `ready` is called once the mount answers.
///
/// # Errors
/// Everything that keeps it from serving, each with its exit code and a way out.
pub fn mount(plan: &MountPlan, ready: impl FnOnce()) -> Result<(), Failure> {
    run(plan, None, ready)
}

/// The same for a mount that somebody else has made and of which nobody has answered the kernel's INIT: `device` is its device.
///
/// # Errors
/// As [`mount`].
pub fn mount_given(plan: &MountPlan, device: OwnedFd, ready: impl FnOnce()) -> Result<(), Failure> {
    run(plan, Some(device), ready)
}

fn run(plan: &MountPlan, device: Option<OwnedFd>, ready: impl FnOnce()) -> Result<(), Failure> {
    protect_memory();
    let runtime = new_runtime()?;
    let result = runtime.block_on(mount_and_serve(plan, device, ready));
    // A reader may still hold a file of the detached mount: its task must not hold up the end.
    runtime.shutdown_background();
    result
}

fn new_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("tfcfs-worker")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(ExitCode::Internal, format!("no threads can be started: {error}")))
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

async fn mount_and_serve(plan: &MountPlan, device: Option<OwnedFd>, ready: impl FnOnce()) -> Result<(), Failure> {
    let (mut stop, mut hangup) = (Stop::new()?, listen(SignalKind::hangup())?);
    if device.is_none() {
        free_mount_point(&plan.mount_point)?;
    }
    let parts = Parts::build(plan, &[]).await?;
    let served = serve_parts(plan, &parts, device, &mut stop, &mut hangup, ready).await;
    parts.audit.stopped(&parts.vfs, served.as_ref().err());
    served
}

async fn serve_parts(
    plan: &MountPlan,
    parts: &Parts,
    device: Option<OwnedFd>,
    stop: &mut Stop,
    hangup: &mut Signal,
    ready: impl FnOnce(),
) -> Result<(), Failure> {
    parts.audit.started(&parts.vfs, plan);
    parts.apply_file(&plan.settings).await?;
    let mount = plan.mount_settings();
    let keeper = tokio::spawn(keep_time(parts.issuer.clone()));
    let runtime = tokio::runtime::Handle::current();
    let mounted = match device {
        Some(device) => Mounted::given(&parts.vfs, &mount, device, &runtime),
        None => Mounted::start(&parts.vfs, &mount, &runtime),
    };
    let mut mounted = mounted.map_err(|error| mount_failure(&plan.mount_point, &error))?;
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
    drain(plan, parts, stop).await;
    keeper.abort();
    tracing::info!("stopped");
    Ok(())
}

/// Nothing is mounted any more: ends what policy says, and waits for upstream's word, for a while.
async fn drain(plan: &MountPlan, parts: &Parts, stop: &mut Stop) {
    let left = tokio::select! {
        left = parts.issuer.drain(STOP) => left,
        name = stop.second() => {
            tracing::warn!(signal = name, "leaving at once; what is not revoked yet stays in the ledger");
            parts.audit.stopped(&parts.vfs, None);
            process::exit(ExitCode::Interrupted as i32);
        }
    };
    if left > 0 {
        let where_to = if plan.ephemeral {
            "nobody will repeat them: they end by themselves at their expired-at"
        } else {
            "the next start repeats them"
        };
        tracing::warn!(revocations = left, "not proven by upstream in time; {where_to}");
    }
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
