//! Keeps a connection to the kernel, and somebody who serves it.
//!
//! The supervisor holds the device and the table of open files, and nothing else: no state, no secret, no thread in the
//! kernel. It starts a server, watches that it beats, and starts another one when it is gone; whoever reads meanwhile waits
//! for that one. It never touches the mount point while nobody serves it.

mod orphans;
mod policy;
mod report;
mod server;

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use sd_notify::NotifyState;
use tokio::signal::unix::{self, SignalKind};
use tokio::time::Instant;

use self::policy::{Death, GROWN_UP, Next, Past, UNSERVED};
use self::server::{Server, Told};
use crate::exit::{ExitCode, Failure};
use crate::fuse::connection::{self, Connection};
use crate::mount_point;

pub use self::report::Report;
pub use self::server::{Handed, tell};

/// How often a server beats.
pub const BEAT: Duration = Duration::from_millis(500);

/// A server that has not beaten for so long hangs: whoever waits for it could not even be killed.
const SILENCE: Duration = Duration::from_secs(5);

/// One that has not for so long will hardly hear that it shall end.
const FALTERS: Duration = Duration::from_secs(2);

/// How long an orderly end may take.
const END: Duration = Duration::from_secs(8);

/// How long it takes at most until it is noticed that a server is gone.
const GONE: Duration = Duration::from_millis(20);

/// How often the supervisor looks around.
const LOOK: Duration = Duration::from_millis(250);

/// How long the word that it was meant may take, when the mount is gone.
const WORD: Duration = Duration::from_millis(300);

/// What a stop of the supervisor does.
pub enum AtStop {
    /// Somebody else keeps the mount: the next supervisor goes on.
    HandOver,
    /// The mount goes, and the server ends what policy says.
    Unmount(Connection),
}

/// What is kept, and for whom.
pub struct Supervised {
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The FUSE device.
    pub device: OwnedFd,
    /// The table of open files.
    pub handles: OwnedFd,
    /// Whether the kernel sends unanswered requests again ([`Connection::resends`]).
    pub resends: bool,
    /// Arguments of a server.
    pub arguments: Vec<OsString>,
    /// What a stop does.
    pub at_stop: AtStop,
}

/// How the watch over one server ended.
enum Watched {
    /// As it was asked to; its exit code.
    Stopped(Option<i32>),
    /// By itself, or killed because it hung.
    Died(Death),
    /// The mount is gone.
    Unmounted,
}

struct StopSignals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<Self> {
        let on = unix::signal;
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Supervises until a signal, until the mount is gone, or until nobody can serve it.
///
/// # Errors
/// Why nobody serves any more; [`ExitCode::MountGone`] when the mount was taken away.
pub fn run(supervised: Supervised) -> Result<(), Failure> {
    let internal = |error| Failure::new(ExitCode::Internal, format!("nothing can be supervised: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal)?;
    let result = runtime.block_on(async {
        let stop = StopSignals::new().map_err(internal)?;
        let hangup = unix::signal(SignalKind::hangup()).map_err(internal)?;
        Supervisor { supervised, stop, hangup, last_served: Instant::now(), stopping: false }.run().await
    });
    runtime.shutdown_background();
    result
}

struct Supervisor {
    supervised: Supervised,
    stop: StopSignals,
    hangup: unix::Signal,
    /// When a good server served last.
    last_served: Instant,
    /// It was told to stop.
    stopping: bool,
}

impl Supervisor {
    async fn run(mut self) -> Result<(), Failure> {
        let internal = |error| Failure::new(ExitCode::Internal, format!("no process can be started: {error}"));
        let mut past = Past::default();
        loop {
            let server = Server::start(
                &self.supervised.arguments,
                self.supervised.device.as_fd(),
                self.supervised.handles.as_fd(),
            );
            let death = match self.watch(server.map_err(internal)?).await {
                Watched::Stopped(code) => return stopped(code),
                Watched::Unmounted => return self.unmounted().await,
                Watched::Died(death) => death,
            };
            let was_served = past.has_served();
            let mut next = past.after(death, self.last_served.elapsed());
            // What it had read and not answered never is.
            if !self.supervised.resends && death.served.is_some() {
                next = Next::GiveUp;
            }
            match next {
                Next::Now => tracing::error!(?death, "the server is gone: starting another one"),
                Next::After(pause) => {
                    tracing::error!(?death, ?pause, "the server is gone: starting another one after a pause");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.stop.next() => {
                            self.unmount();
                            return Ok(());
                        }
                    }
                }
                Next::GiveUp => {
                    self.unmount();
                    return Err(given_up(death, was_served));
                }
            }
        }
    }

    async fn watch(&mut self, mut server: Server) -> Watched {
        let mut ready_at: Option<Instant> = None;
        if self.stopping {
            listens(&mut server, END).await;
            return Watched::Stopped(self.end(&mut server).await);
        }
        let begun = Instant::now();
        let mut last_beat = begun;
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                told = server.next() => match told {
                    Told::Report(Report::Ready) => {
                        let now = Instant::now();
                        tracing::info!(after = ?now - begun, "a server is ready");
                        (ready_at, last_beat) = (Some(now), now);
                        notify(&[NotifyState::Ready]);
                    }
                    Told::Report(Report::Beat) => {
                        last_beat = Instant::now();
                        if ready_at.is_some_and(|at| last_beat - at >= GROWN_UP) {
                            self.last_served = last_beat;
                        }
                        notify(&[NotifyState::Watchdog]);
                    }
                    Told::Report(Report::Reloading) => match NotifyState::monotonic_usec_now() {
                        Ok(now) => notify(&[NotifyState::Reloading, now]),
                        Err(_) => notify(&[NotifyState::Reloading]),
                    },
                    Told::Report(Report::Reloaded) => notify(&[NotifyState::Ready]),
                    Told::Report(Report::Status(text)) => notify(&[NotifyState::Status(&text)]),
                    Told::Gone(Some(code)) if code == ExitCode::MountGone as i32 => return Watched::Unmounted,
                    Told::Gone(code) => {
                        let served = ready_at.map(|at| at.elapsed());
                        if served.is_some_and(|served| served >= GROWN_UP) {
                            self.last_served = Instant::now();
                        }
                        return Watched::Died(Death { served, code });
                    }
                },
                _ = self.hangup.recv() => server.signal(Signal::HUP),
                () = self.stop.next() => {
                    self.stopping = true;
                    if last_beat.elapsed() > FALTERS {
                        tracing::error!(silent_for = ?last_beat.elapsed(), "the server hangs: killing it");
                        server.signal(Signal::KILL);
                    }
                    let heard = match ready_at {
                        None => listens(&mut server, END).await,
                        Some(_) => listens(&mut server, GONE).await,
                    };
                    return match (heard, &self.supervised.at_stop) {
                        // It was gone already. What an end has to do, another one does.
                        (Some(death), AtStop::Unmount(_)) => Watched::Died(death),
                        _ => Watched::Stopped(self.end(&mut server).await),
                    };
                }
                _ = look.tick() => {
                    orphans::reap(server.id());
                    let limit = if ready_at.is_some() { SILENCE } else { UNSERVED };
                    if last_beat.elapsed() > limit {
                        tracing::error!(silent_for = ?last_beat.elapsed(), "the server hangs: killing it");
                        server.signal(Signal::KILL);
                        last_beat = Instant::now();
                    }
                    if self.is_unmounted() {
                        server.signal(Signal::TERM);
                        ended(&mut server).await;
                        return Watched::Unmounted;
                    }
                }
            }
        }
    }

    /// Taken away from outside: at once, or lazily, so that nobody finds it any more although some hold files of it.
    fn is_unmounted(&self) -> bool {
        connection::is_gone(self.supervised.device.as_fd()).unwrap_or(true)
            || !mount_point::is_listed(&self.supervised.mount_point)
    }

    async fn end(&mut self, server: &mut Server) -> Option<i32> {
        notify(&[NotifyState::Stopping]);
        let is_unmounted = self.is_unmounted();
        match &self.supervised.at_stop {
            // Nobody will go on with what is not mounted any more.
            AtStop::HandOver if is_unmounted => server.signal(Signal::TERM),
            AtStop::HandOver => server.signal(Signal::USR1),
            // Before the unmount, lest the server take it for somebody else's.
            AtStop::Unmount(_) => server.signal(Signal::TERM),
        }
        self.unmount();
        tokio::select! {
            code = ended(server) => code,
            // As with one process: the second signal leaves at once.
            () = self.stop.next() => {
                server.signal(Signal::TERM);
                ended(server).await
            }
        }
    }

    /// If that is ours to do. Busy: files in it stay open until their programs close them, but nobody finds it any more.
    fn unmount(&mut self) {
        if let AtStop::Unmount(connection) = &mut self.supervised.at_stop
            && connection.unmount().is_err()
            && let Err(error) = mount_point::detach(&self.supervised.mount_point)
        {
            tracing::error!(%error, "could not unmount");
        }
    }

    async fn unmounted(mut self) -> Result<(), Failure> {
        let point = self.supervised.mount_point.display();
        match self.supervised.at_stop {
            // As with one process.
            AtStop::Unmount(connection) => {
                tracing::info!("unmounted by somebody else: stopping");
                // Whatever is mounted there now is not ours.
                connection.leave();
                Ok(())
            }
            // Whoever unmounts at a stop says so.
            AtStop::HandOver if tokio::time::timeout(WORD, self.stop.next()).await.is_ok() => Ok(()),
            AtStop::HandOver => {
                Err(Failure::new(ExitCode::MountGone, format!("{point} was unmounted by somebody else")))
            }
        }
    }
}

/// Waits until a server that was just started can hear that it shall end: before, the signal would only kill it, and leave
/// undone what an end has to do. Or, for one that has listened for long, for a moment, in which it turns out to be gone.
async fn listens(server: &mut Server, limit: Duration) -> Option<Death> {
    let heard = async {
        loop {
            match server.next().await {
                Told::Report(Report::Ready) => return None,
                Told::Report(_) => {}
                Told::Gone(code) => return Some(Death { served: None, code }),
            }
        }
    };
    tokio::time::timeout(limit, heard).await.unwrap_or_default()
}

async fn ended(server: &mut Server) -> Option<i32> {
    if let Ok(code) = tokio::time::timeout(END, server.gone()).await {
        return code;
    }
    tracing::error!("the server does not end: killing it; the ledger has what it left undone");
    server.signal(Signal::KILL);
    let _ = tokio::time::timeout(END, server.gone()).await;
    None
}

fn stopped(code: Option<i32>) -> Result<(), Failure> {
    match code.and_then(ExitCode::from_number) {
        Some(ExitCode::Interrupted) => {
            Err(Failure::new(ExitCode::Interrupted, "a second signal: what is not revoked yet stays in the ledger"))
        }
        _ => Ok(()),
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // Without a service manager this does nothing.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

fn given_up(death: Death, was_served: bool) -> Failure {
    let code = death.code.and_then(ExitCode::from_number);
    if let (Some(code), false) = (code, was_served) {
        // The server itself has said what is wrong.
        return Failure::new(code, "tfcfs could not begin to serve; the lines before this one say why");
    }
    Failure::new(
        ExitCode::MountGone,
        format!("nobody could serve for {} s: the mount goes, so that its readers need not wait", UNSERVED.as_secs()),
    )
}
