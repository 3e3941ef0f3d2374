//! From an opener to a token: claim what is there, or have it made. `issuer/mint.rs` makes it, in the one order of DESIGN 8;
//! `issuer/ends.rs` notes the ends of what is let go.
//!
//! `issuer/revoke.rs` is the way back, `issuer/settle.rs` finds out about lost regenerate calls, `issuer/check.rs` about tokens
//! that somebody else deleted; `issuer/rotate.rs` and `issuer/admin.rs` are the operator's side, `issuer/config.rs` and
//! `issuer/anchor.rs` that of anchors.

mod admin;
mod anchor;
mod anchor_schedule;
mod anchor_tokens;
mod check;
mod config;
mod ends;
mod forget;
mod listing;
mod mint;
mod pending_table;
mod provenance;
mod queue;
mod request;
mod revoke;
mod role_schedule;
mod rotate;
mod search;
mod settle;
mod steps;
mod stop;
mod stops;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

use super::book::{Book, Claim, Hold, Landing};
use super::error::{Ended, Error};
use super::event::{Event, Observer};
use super::lease::{AfterClose, Opener, Scope, Serial, later};
use super::ledger::Ledger;
use super::name::RoleName;
use super::ports::{Clock, StoreError, TokenApi};
use super::timeline::Timeline;

use request::{check_lifetime, upstream_end};
use steps::moment;

pub use queue::{Cause, Pending, PendingSummary};

/// What the issuer is told about the daemon.
#[derive(Debug, Clone)]
pub struct IssuerSettings {
    /// Host name in upstream descriptions.
    pub host: String,
    /// Grace between the removal of a role and the revocation of what it issued.
    pub delete_grace: Duration,
    /// Nothing survives this process: a stop revokes everything.
    pub ephemeral: bool,
    /// A stop revokes everything, although the ledger survives it.
    pub revoke_on_stop: bool,
    /// Anchors of organizations may be rotated, although a lost answer locks us out.
    pub allow_organization_anchor_rotation: bool,
}

impl IssuerSettings {
    fn stop_ends_all(&self) -> bool {
        self.ephemeral || self.revoke_on_stop
    }
}

/// Makes, hands out, renews and revokes tokens.
pub struct Issuer {
    /// Taken for moments, by any thread; never held over an await, a port call or an observer call.
    book: Mutex<Book>,
    ledger: Ledger,
    api: Arc<dyn TokenApi>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    settings: IssuerSettings,
    runtime: tokio::runtime::Handle,
    /// Lists that searches share. Taken for moments, never together with another lock.
    shelves: Mutex<listing::Shelves>,
    /// Revocations under way. Taken for moments, never together with `book`.
    pending: Mutex<pending_table::PendingTable>,
    /// Anchors that upstream refuses, and owners that it hides from them. Taken for moments, never together with `pending`.
    stops: Mutex<stops::Stops>,
    /// Leases whose ends the ledger does not have yet. Taken for moments, never together with `book`.
    unnoted: Mutex<ends::Unnoted>,
    /// Serializes commits of roles and anchors, so that check and commit are one. Never held over an upstream call.
    admin: tokio::sync::Mutex<()>,
    /// Serializes changes of anchors, upstream calls included. Taken before `admin`.
    anchors: tokio::sync::Mutex<()>,
    /// Scheduled rotations of anchors that run or failed. Taken for moments, never together with `book`.
    schedule: Mutex<anchor_schedule::Schedule>,
    /// The same of roles.
    role_schedule: Mutex<role_schedule::Schedule>,
    /// One turn for each slot, held from the intent to the publication and while a slot is emptied.
    slots: Mutex<HashMap<Scope, Arc<tokio::sync::Mutex<()>>>>,
    /// The daemon stops: nothing is made any more.
    stopping: AtomicBool,
    /// Another daemon goes on.
    handing_over: AtomicBool,
    /// For steps of the wall clock. Taken for moments, never together with `book`.
    timeline: Mutex<Timeline>,
    pub(super) wake: Notify,
    /// When the keeper will look next, in milliseconds of Unix time.
    armed: AtomicI64,
}

impl Issuer {
    /// Over what a start found. The caller has reserved [`Book::serial_limit`].
    pub fn new(
        book: Book,
        ledger: Ledger,
        api: Arc<dyn TokenApi>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
        settings: IssuerSettings,
        runtime: tokio::runtime::Handle,
    ) -> Arc<Self> {
        let timeline = Mutex::new(Timeline::new(moment(&*clock)));
        let issuer = Arc::new(Self {
            book: Mutex::new(book),
            ledger,
            api,
            clock,
            observer,
            settings,
            runtime,
            shelves: Mutex::default(),
            pending: Mutex::default(),
            stops: Mutex::default(),
            unnoted: Mutex::default(),
            admin: tokio::sync::Mutex::default(),
            anchors: tokio::sync::Mutex::default(),
            schedule: Mutex::default(),
            role_schedule: Mutex::default(),
            slots: Mutex::default(),
            stopping: AtomicBool::new(false),
            handing_over: AtomicBool::new(false),
            timeline,
            wake: Notify::new(),
            armed: AtomicI64::new(0),
        });
        issuer.enqueue_found();
        issuer
    }

    /// The book, for looking. Hold it for moments only.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock()
    }

    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Runs something beside the request that caused it.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(work);
    }

    /// Whether a stop revokes everything.
    pub fn ephemeral(&self) -> bool {
        self.settings.ephemeral
    }

    pub(super) fn observe(&self, event: Event) {
        self.observer.observe(self.now(), &event);
    }

    /// The fast way: holds a lease if one has enough life. Never waits.
    pub fn open_now(self: &Arc<Self>, scope: &Scope, role: &RoleName, opener: Opener) -> Option<Serial> {
        let now = self.now();
        let mut book = self.book.lock();
        let Claim::Held { serial, renew } = book.claim(scope, role, now) else { return None };
        if renew {
            self.start_flight(&mut book, scope, role, opener, 0);
        }
        self.claimed(book, serial, now);
        Some(serial)
    }

    fn claimed(self: &Arc<Self>, mut book: MutexGuard<'_, Book>, serial: Serial, now: Timestamp) {
        let hold = book.held(serial, now);
        drop(book);
        if let Some(hold) = hold {
            self.held(serial, hold, now);
        }
    }

    /// The fastest way: see [`Book::reopen`].
    pub fn reopen(self: &Arc<Self>, serial: Serial, role: u32) -> bool {
        let now = self.now();
        let hold = self.book.lock().reopen(serial, role, now);
        if let Some(hold) = hold {
            self.held(serial, hold, now);
        }
        hold.is_some()
    }

    /// A first hold moves the end, and a successor may have to be made in time; now and then the token is checked.
    fn held(self: &Arc<Self>, serial: Serial, hold: Hold, now: Timestamp) {
        if hold.first {
            self.note_linger(serial, now);
            if let Some(at) = hold.renew_at {
                self.arm(at);
            }
        }
        if hold.check {
            self.check_soon(serial);
        }
    }

    /// Holds a lease of `scope`, making one if needed.
    ///
    /// # Errors
    /// What making it met, unless an older token still lives: that one is handed out then. [`Error::Deadline`] after
    /// `deadline`; the token is kept for the next open.
    pub async fn open(
        self: &Arc<Self>,
        scope: &Scope,
        role: &RoleName,
        opener: Opener,
        deadline: Duration,
    ) -> Result<Serial, Error> {
        if let Some(serial) = self.open_now(scope, role, opener) {
            return Ok(serial);
        }
        let (mut waiter, fallback) = {
            let now = self.now();
            let mut book = self.book.lock();
            // Somebody may have been faster since the lock was let go.
            match book.claim(scope, role, now) {
                Claim::Held { serial, renew } => {
                    if renew {
                        self.start_flight(&mut book, scope, role, opener, 0);
                    }
                    self.claimed(book, serial, now);
                    return Ok(serial);
                }
                Claim::Wait { fallback } => {
                    let landing = self.start_flight(&mut book, scope, role, opener, 1);
                    (Waiter { issuer: self, scope, landing, seated: true }, fallback)
                }
            }
        };
        let result = match tokio::time::timeout(deadline, waiter.land()).await {
            Ok(result) => result,
            Err(_) => Err(Error::Deadline(deadline)),
        };
        drop(waiter);
        match (result, fallback) {
            (Ok(serial), _) => Ok(serial),
            (Err(_), Some(serial)) if self.book.lock().hold(serial, self.now()) => Ok(serial),
            (error, _) => self.unless_left(error).await,
        }
    }

    /// A handle was closed.
    pub fn close(self: &Arc<Self>, serial: Serial) {
        let now = self.now();
        let (after, end, ending) = {
            let mut book = self.book.lock();
            let after = book.release(serial, now);
            // Under the same lock: nobody opens it again in between.
            let ending = (after == AfterClose::Revoke).then(|| book.end(serial, Ended::Revoked)).flatten();
            (after, book.lease(serial).map(|lease| lease.expires_at), ending)
        };
        match after {
            AfterClose::Held | AfterClose::Over => {}
            AfterClose::Lingers => {
                self.note_linger(serial, now);
                if let Some(end) = end {
                    self.arm(end);
                }
            }
            AfterClose::Revoke => {
                if let Some(ending) = ending {
                    self.finish_soon(ending);
                }
            }
        }
    }

    /// Gives back a hold that nobody will read.
    pub fn give_back(&self, serial: Serial) {
        let now = self.now();
        let end = {
            let mut book = self.book.lock();
            book.give_back(serial, now);
            book.lease(serial).map(|lease| lease.expires_at)
        };
        if let Some(end) = end {
            self.arm(end);
        }
    }

    /// Joins the flight of a scope, starting it if there is none.
    pub(super) fn start_flight(
        self: &Arc<Self>,
        book: &mut Book,
        scope: &Scope,
        role: &RoleName,
        opener: Opener,
        waiters: u32,
    ) -> watch::Receiver<Landing> {
        let (landing, first) = book.board(scope, 0);
        if waiters > 0 {
            book.board(scope, waiters);
        }
        if first {
            let (issuer, scope, role) = (self.clone(), scope.clone(), role.clone());
            self.runtime.spawn(async move { issuer.fly(scope, role, opener).await });
        }
        landing
    }

    /// Carries one flight to its end, a panic included: a scope must never stay closed.
    async fn fly(self: Arc<Self>, scope: Scope, role: RoleName, opener: Opener) {
        let making = {
            let (issuer, scope) = (self.clone(), scope.clone());
            self.runtime.spawn(async move { issuer.make(&scope, &role, opener).await })
        };
        let error = match making.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(Error::Internal),
        };
        if let Some(error) = error {
            self.book.lock().crash(&scope, error, self.now());
        }
        self.wake.notify_one();
    }

    /// Asks the keeper to look again at `at` or earlier.
    pub(super) fn arm(&self, at: Timestamp) {
        let at = at.as_millisecond();
        if at < self.armed.load(Ordering::Acquire) && at < self.armed.fetch_min(at, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }

    /// The keeper is about to look: whatever is armed from now on must wake it.
    pub(super) fn disarm(&self) {
        self.armed.store(i64::MAX, Ordering::Release);
    }

    /// The keeper sleeps until `at` at the latest.
    pub(super) fn armed_until(&self, at: Timestamp) {
        self.armed.fetch_min(at.as_millisecond(), Ordering::AcqRel);
    }

    /// The next serial; the keeper reserves more when few are left.
    ///
    /// # Errors
    /// All reserved ones are used and the ledger could not reserve more.
    pub fn take_serial(&self) -> Result<Serial, Error> {
        let (serial, few) = {
            let mut book = self.book.lock();
            (book.take_serial(), book.wants_serials().is_some())
        };
        if few {
            self.wake.notify_one();
        }
        serial
    }

    /// Reserves serials if few are left.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn reserve_serials(&self) -> Result<(), StoreError> {
        let wanted = self.book.lock().wants_serials();
        if let Some(limit) = wanted {
            self.ledger.reserve(limit).await?;
            self.book.lock().serials_reserved(limit);
        }
        Ok(())
    }
}

/// An opener that waits for a flight. Dropped before the landing it gives up its seat; the landing's hold goes back.
struct Waiter<'a> {
    issuer: &'a Arc<Issuer>,
    scope: &'a Scope,
    landing: watch::Receiver<Landing>,
    seated: bool,
}

impl Waiter<'_> {
    async fn land(&mut self) -> Result<Serial, Error> {
        let landing = self.landing.wait_for(Option::is_some).await;
        let result = match landing {
            Ok(landing) => landing.clone().unwrap_or(Err(Error::Internal)),
            Err(_) => Err(Error::Stopping),
        };
        // No await since the landing was read: the hold is the caller's now.
        self.seated = false;
        result
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if self.seated {
            let now = self.issuer.now();
            self.issuer.book.lock().leave(self.scope, &self.landing, now);
        }
    }
}
