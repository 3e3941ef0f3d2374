//! Serving a mount that a supervisor keeps: take over, serve, hand over.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Pid;
use tokio::signal::unix::{Signal, SignalKind};

use super::parts::Parts;
use super::{MountPlan, Stop, drain, keep_time, listen, new_runtime, protect_memory};
use crate::adapters::handle_file::HandleFile;
use crate::exit::{ExitCode, Failure};
use crate::fuse::pulse;
use crate::fuse::session::Mounted;
use crate::supervisor::{BEAT, Handed, Report, tell};
use crate::vfs::Vfs;

/// Calls under way at a hand-over may take so long: their answers would be lost, and their tokens would have to be searched.
const CALLS: Duration = Duration::from_secs(3);

/// The kernel takes what it is told within this time, or the next server frees it.
const TOLD: Duration = Duration::from_secs(1);

/// Serves what a supervisor has handed to this process, until it is told to end.
///
/// # Errors
/// Everything that keeps it from serving; [`ExitCode::MountGone`] when the mount is gone.
pub fn serve(plan: &MountPlan, handed: Handed) -> Result<(), Failure> {
    protect_memory();
    let runtime = new_runtime()?;
    let result = runtime.block_on(take_over(plan, handed));
    runtime.shutdown_background();
    result
}

async fn take_over(plan: &MountPlan, handed: Handed) -> Result<(), Failure> {
    let stop = Stop::new()?;
    let hand_over = listen(SignalKind::user_defined1())?;
    let supervisor = rustix::process::getppid();
    // Whoever keeps the mount starts another supervisor, and that one another server. If nobody keeps it, it ends with us.
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::USR1)) {
        tracing::warn!(%error, "this process would outlive its supervisor");
    }
    // Open for as long as this process lives.
    let Handed { device, handles, reports, alive } = handed;
    std::mem::forget(alive);
    let unusable =
        |error: io::Error| Failure::new(ExitCode::MountGone, format!("the mount cannot be taken over: {error}"));
    let (table, records) = HandleFile::open(handles).map_err(unusable)?;
    let parts = Parts::build(plan, &records).await?;
    parts.vfs.take_over(Arc::new(table), &records);
    parts.audit.started(&parts.vfs, plan);
    let served = async {
        parts.apply_file(&plan.settings).await?;
        let polled = records.iter().filter_map(|record| Some((record.handle, record.poll?)));
        let runtime = tokio::runtime::Handle::current();
        let mounted = Mounted::take_over(&parts.vfs, &plan.mount_settings(), device.as_fd(), polled, &runtime)
            .map_err(unusable)?;
        let (point, version) = (plan.mount_point.display(), env!("CARGO_PKG_VERSION"));
        tracing::info!(mount_point = %point, version, open_files = records.len(), "serving");
        tell(&reports, &Report::Ready);
        Server { plan, parts: &parts, mounted, reports, stop, hand_over, supervisor }.run().await
    }
    .await;
    parts.audit.stopped(&parts.vfs, served.as_ref().err());
    served
}

struct Server<'a> {
    plan: &'a MountPlan,
    parts: &'a Parts,
    mounted: Mounted,
    reports: OwnedFd,
    stop: Stop,
    hand_over: Signal,
    supervisor: Option<Pid>,
}

/// Why a server ends.
enum End {
    /// The next one goes on.
    HandOver,
    /// The mount is gone, because somebody said so.
    Stop,
    /// The mount is gone.
    Unmounted,
}

impl Server<'_> {
    async fn run(mut self) -> Result<(), Failure> {
        let keeper = tokio::spawn(keep_time(self.parts.issuer.clone()));
        let internal = |error| Failure::new(ExitCode::Internal, format!("no thread can be started: {error}"));
        start_beating(&self.parts.vfs, self.plan.mount_point.clone(), &self.reports).map_err(internal)?;
        let end = self.serve().await?;
        if let End::HandOver = end {
            tracing::info!("handing over to the next process");
            self.hand_over().await;
            self.parts.audit.stopped(&self.parts.vfs, None);
            // Not by the way of an orderly end: it would answer what the next one is to answer.
            process::exit(ExitCode::Ok as i32);
        }
        drain(self.plan, self.parts, &mut self.stop).await;
        keeper.abort();
        if let End::Unmounted = end {
            let point = self.plan.mount_point.display();
            return Err(Failure::new(ExitCode::MountGone, format!("{point} was unmounted by somebody else")));
        }
        tracing::info!("stopped");
        Ok(())
    }

    async fn serve(&mut self) -> Result<End, Failure> {
        let mut hangup = listen(SignalKind::hangup())?;
        let mut status = tokio::time::interval(STATUS);
        let mut last = String::new();
        loop {
            tokio::select! {
                ended = self.mounted.ended() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "the mount ended");
                    }
                    // Whoever unmounts at a stop says so.
                    let told = tokio::time::timeout(WORD, self.stop.signal()).await;
                    return Ok(if told.is_ok() { End::Stop } else { End::Unmounted });
                }
                _ = hangup.recv() => {
                    tell(&self.reports, &Report::Reloading);
                    self.parts.reload(self.plan).await;
                    tell(&self.reports, &Report::Reloaded);
                }
                _ = self.hand_over.recv() => return Ok(End::HandOver),
                name = self.stop.signal() => {
                    tracing::info!(signal = name, "stopping; a second signal leaves at once");
                    return Ok(End::Stop);
                }
                _ = status.tick() => {
                    let now = self.parts.vfs.summary();
                    if now != last {
                        tell(&self.reports, &Report::Status(now.clone()));
                        last = now;
                    }
                }
            }
        }
    }

    /// Still serves what needs no call, leaves the rest to the next one.
    async fn hand_over(&self) {
        // If the supervisor was killed, whoever comes next must not find the state in use for long.
        if rustix::process::getppid() == self.supervisor {
            self.parts.issuer.hand_over(CALLS).await;
        }
        self.mounted.all_told(TOLD).await;
    }
}

/// How long the word that it was meant may take, when the mount is gone.
const WORD: Duration = Duration::from_millis(200);

/// Between two looks for another status text.
const STATUS: Duration = Duration::from_secs(2);

/// Tells the supervisor again and again that the mount answers, that tasks run and that the tree's lock is free.
fn start_beating(vfs: &Arc<Vfs>, mount_point: PathBuf, reports: &OwnedFd) -> io::Result<()> {
    let ticks = Arc::new(AtomicU64::new(0));
    let (ticking, vfs) = (ticks.clone(), Arc::downgrade(vfs));
    tokio::spawn(async move {
        let mut every = tokio::time::interval(BEAT / 2);
        while let Some(vfs) = vfs.upgrade() {
            drop(vfs.issuer().book());
            ticking.fetch_add(1, Ordering::Relaxed);
            drop(vfs);
            every.tick().await;
        }
    });
    let mut seen = 0;
    pulse::start(reports.as_fd(), mount_point, BEAT, move |reports| {
        let ticks = ticks.load(Ordering::Relaxed);
        if std::mem::replace(&mut seen, ticks) != ticks {
            tell(reports, &Report::Beat);
        }
    })
}
