//! Upstream as a port: tokens in a list, every call counted, faults by script.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tfcfs::domain::anchor::{Access, Identity};
use tfcfs::domain::owner::{CredentialType, Owner};
use tfcfs::domain::ports::{ApiError, ApiErrorKind, Clock, CreateToken, TokenApi};
use tfcfs::domain::token::{Issued, Listed, SlotToken, Token, TokenId};

use super::ManualClock;

/// What the next calls of one kind meet.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Fails, nothing happens.
    Before(ApiErrorKind),
    /// Happens, but the answer is lost.
    After(ApiErrorKind),
    /// Lost on the way: nothing happens, and nobody knows.
    Lost,
    /// The answer is lost, and the effect comes only this much later (clock time).
    Late(Duration),
    /// Waits this long first (tokio time).
    Slow(Duration),
    /// The answer is that of now, and takes this long (tokio time).
    SlowAnswer(Duration),
    /// Made, but the answer says that its life is longer than the organization allows.
    Rejected,
    /// The answer's `expired-at`.
    Ends(Option<Timestamp>),
    /// Nothing happens, and no call ever returns again: the process was killed before it.
    Stop,
    /// The same, killed after its effect.
    StopAfter,
}

#[derive(Debug, Clone)]
pub struct Made {
    pub id: TokenId,
    pub owner: Owner,
    pub kind: CredentialType,
    pub description: String,
    pub secret: String,
    pub ends: Option<Timestamp>,
    pub alive: bool,
    /// When it came to be.
    pub born: Timestamp,
}

#[derive(Default)]
struct State {
    made: Vec<Made>,
    calls: Vec<String>,
    faults: Vec<(&'static str, VecDeque<Fault>)>,
    token_length: usize,
    latency: Duration,
    anchor_dead: bool,
    /// Whose token the first anchor is; `None` = the user alice.
    anchor_owner: Option<Owner>,
    entered: usize,
    /// This call of whatever kind meets that.
    nth: Option<(usize, Fault)>,
    stopped: bool,
    /// Upstream's clock minus ours.
    skew: SignedDuration,
}

pub struct FakeApi {
    clock: Arc<ManualClock>,
    state: Mutex<State>,
}

pub const ANCHOR: &str = "anchor-secret.atlasv1.planted";

impl FakeApi {
    pub fn new(clock: Arc<ManualClock>) -> Arc<Self> {
        let state = State { token_length: 90, ..State::default() };
        Arc::new(Self { clock, state: Mutex::new(state) })
    }

    /// The next calls of `call` meet these, one each.
    pub fn script(&self, call: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().faults.push((call, faults.into_iter().collect()));
    }

    /// The n-th call from the start fails, whichever it is: before or after its effect.
    pub fn fail_nth(&self, nth: usize, after: bool) {
        let fault = match after {
            true => Fault::After(ApiErrorKind::Timeout),
            false => Fault::Before(ApiErrorKind::Unreachable),
        };
        self.meet_nth(nth, fault);
    }

    /// The n-th call from the start meets this, whichever it is.
    pub fn meet_nth(&self, nth: usize, fault: Fault) {
        self.state.lock().nth = Some((nth, fault));
    }

    /// A new process: calls return again.
    pub fn go_on(&self) {
        let mut state = self.state.lock();
        (state.nth, state.stopped) = (None, false);
    }

    /// How many calls there were from the start.
    pub fn entered(&self) -> usize {
        self.state.lock().entered
    }

    /// How many scripted faults nobody met yet.
    pub fn faults_left(&self) -> usize {
        self.state.lock().faults.iter().map(|(_, faults)| faults.len()).sum()
    }

    /// Upstream is well again.
    pub fn forget_faults(&self) {
        self.state.lock().faults.clear();
    }

    pub fn set_token_length(&self, length: usize) {
        self.state.lock().token_length = length;
    }

    /// Every create takes this long (tokio time).
    pub fn set_latency(&self, latency: Duration) {
        self.state.lock().latency = latency;
    }

    /// Upstream's clock minus ours.
    pub fn set_skew(&self, skew: SignedDuration) {
        self.state.lock().skew = skew;
    }

    pub fn skew(&self) -> SignedDuration {
        self.state.lock().skew
    }

    pub fn set_anchor_dead(&self, dead: bool) {
        self.state.lock().anchor_dead = dead;
    }

    pub fn set_anchor_owner(&self, owner: Owner) {
        self.state.lock().anchor_owner = Some(owner);
    }

    fn anchor_owner(&self) -> Owner {
        self.state.lock().anchor_owner.clone().unwrap_or(Owner::User { id: "user-alice".into() })
    }

    /// Living secrets of the anchor's owner, the first anchor among them. Only for owners that no role uses.
    pub fn live_anchors(&self) -> Vec<String> {
        let owner = self.anchor_owner();
        let first = (!self.state.lock().anchor_dead).then(|| ANCHOR.to_owned());
        let made = self.live().into_iter().filter(|made| made.owner == owner).map(|made| made.secret);
        first.into_iter().chain(made).collect()
    }

    pub fn calls(&self) -> Vec<String> {
        self.state.lock().calls.clone()
    }

    /// How many calls of one kind there were.
    pub fn count(&self, call: &str) -> usize {
        self.state.lock().calls.iter().filter(|one| one.split(' ').next() == Some(call)).count()
    }

    pub fn forget_calls(&self) {
        self.state.lock().calls.clear();
    }

    pub fn made(&self) -> Vec<Made> {
        self.state.lock().made.clone()
    }

    pub fn live(&self) -> Vec<Made> {
        let now = self.clock.now();
        let state = self.state.lock();
        let (made, now) = (&state.made, now + state.skew);
        // Of a slot's tokens the one that came last is the only one, however late its call arrived.
        let replaced = |at: usize, one: &Made| {
            let same_slot = |other: &Made| one.kind.is_slot() && other.owner == one.owner && other.kind == one.kind;
            let after = |(place, other): (usize, &Made)| {
                same_slot(other) && other.born <= now && (other.born, place) > (one.born, at)
            };
            made.iter().enumerate().any(after)
        };
        let live = |(at, one): &(usize, &Made)| {
            one.alive && one.born <= now && one.ends.is_none_or(|ends| now < ends) && !replaced(*at, one)
        };
        made.iter().enumerate().filter(live).map(|(_, made)| made.clone()).collect()
    }

    pub fn is_live(&self, secret: &str) -> bool {
        self.live().iter().any(|made| made.secret == secret)
    }

    /// Somebody else fills the slot of an organization; returns the secret.
    pub fn fill_by_hand(&self, organization: &str, ends: Option<Timestamp>) -> String {
        let mut state = self.state.lock();
        let number = state.made.len();
        let secret = format!("byhand{number:06}.atlasv1.x");
        state.made.push(Made {
            id: TokenId(format!("at-{number:016}")),
            owner: Owner::Organization { name: organization.into() },
            kind: CredentialType::Organization,
            description: "by hand".into(),
            secret: secret.clone(),
            ends,
            alive: true,
            born: self.clock.now(),
        });
        secret
    }

    /// Somebody else deletes a token.
    pub fn kill(&self, secret: &str) {
        for made in self.state.lock().made.iter_mut().filter(|made| made.secret == secret) {
            made.alive = false;
        }
    }

    async fn enter(&self, call: &'static str, what: &str) -> Result<Option<Fault>, ApiError> {
        let (fault, latency) = {
            let mut state = self.state.lock();
            state.entered += 1;
            state.calls.push(format!("{call} {what}"));
            let script = state.faults.iter_mut().find(|(name, faults)| *name == call && !faults.is_empty());
            let fault = script.and_then(|(_, faults)| faults.pop_front());
            let entered = state.entered;
            let nth = state.nth.clone().filter(|(nth, _)| *nth == entered).map(|(_, fault)| fault);
            let fault = if state.stopped { Some(Fault::Stop) } else { nth.or(fault) };
            state.stopped |= matches!(fault, Some(Fault::Stop | Fault::StopAfter));
            let latency = if call == "create" { state.latency } else { Duration::ZERO };
            (fault, latency)
        };
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        match fault {
            Some(Fault::Before(kind)) => Err(ApiError::new(kind, "scripted")),
            Some(Fault::Lost) => Err(ApiError::new(ApiErrorKind::Timeout, "lost").with_unknown_effect()),
            Some(Fault::Stop) => std::future::pending().await,
            Some(Fault::Slow(wait)) => {
                tokio::time::sleep(wait).await;
                Ok(None)
            }
            other => Ok(other),
        }
    }

    fn authorize(&self, access: &Access) -> Result<(), ApiError> {
        let secret = access.token.expose();
        let dead = self.state.lock().anchor_dead;
        if (secret == ANCHOR && !dead) || (secret != ANCHOR && self.is_live(secret)) {
            return Ok(());
        }
        Err(ApiError::new(ApiErrorKind::Unauthorized, "401"))
    }
}

async fn lost(fault: &Option<Fault>) -> Result<(), ApiError> {
    match fault {
        Some(Fault::StopAfter) => std::future::pending().await,
        Some(Fault::Late(_)) => Err(ApiError::new(ApiErrorKind::Timeout, "answer lost").with_unknown_effect()),
        Some(Fault::After(kind)) => Err(ApiError::new(*kind, "answer lost").with_unknown_effect()),
        Some(Fault::SlowAnswer(wait)) => {
            tokio::time::sleep(*wait).await;
            Ok(())
        }
        _ => Ok(()),
    }
}

#[async_trait]
impl TokenApi for FakeApi {
    async fn whoami(&self, access: &Access) -> Result<Identity, ApiError> {
        lost(&self.enter("whoami", "").await?).await?;
        self.authorize(access)?;
        let made = self.live().into_iter().find(|made| made.secret == access.token.expose());
        let (owner, id) = match made {
            Some(made) => (made.owner, made.id),
            None => (self.anchor_owner(), TokenId("at-anchor".into())),
        };
        Ok(Identity { owner: Some(owner), username: "alice".into(), token_id: Some(id) })
    }

    async fn create(&self, access: &Access, request: &CreateToken) -> Result<Issued, ApiError> {
        let fault = self.enter("create", &request.owner.to_string()).await?;
        self.authorize(access)?;
        let issued = {
            let mut state = self.state.lock();
            let (number, skew) = (state.made.len(), state.skew);
            if request.credential_type.is_slot() {
                if state.anchor_owner.as_ref() == Some(&request.owner) {
                    state.anchor_dead = true;
                }
            } else if state.made.iter().any(|made| made.description == request.description) {
                return Err(ApiError::new(ApiErrorKind::DescriptionTaken, "Description has already been taken"));
            }
            let mut secret = format!("secret{number:06}.atlasv1.");
            while secret.len() < state.token_length {
                secret.push('x');
            }
            secret.truncate(state.token_length);
            let id = TokenId(format!("at-{number:016}"));
            let ends = match fault {
                Some(Fault::Ends(ends)) => ends,
                _ => Some(request.expires_at),
            };
            state.made.push(Made {
                id: id.clone(),
                owner: request.owner.clone(),
                kind: request.credential_type,
                description: request.description.clone(),
                secret: secret.clone(),
                ends,
                alive: true,
                born: match fault {
                    Some(Fault::Late(wait)) => self.clock.now() + skew + wait,
                    _ => self.clock.now() + skew,
                },
            });
            let answered_at = Some(self.clock.now() + state.skew);
            let is_ttl_rejected = matches!(fault, Some(Fault::Rejected));
            Issued { id, token: Token::parse(&secret).unwrap(), expires_at: ends, is_ttl_rejected, answered_at }
        };
        lost(&fault).await?;
        Ok(issued)
    }

    async fn revoke(&self, access: &Access, id: &TokenId) -> Result<(), ApiError> {
        let fault = self.enter("revoke", &id.0).await?;
        self.authorize(access)?;
        let found = {
            let mut state = self.state.lock();
            let made = state.made.iter_mut().find(|made| &made.id == id && made.alive);
            match made {
                Some(made) => std::mem::replace(&mut made.alive, false),
                None if id.0 == "at-anchor" => !std::mem::replace(&mut state.anchor_dead, true),
                None => false,
            }
        };
        lost(&fault).await?;
        if found { Ok(()) } else { Err(ApiError::new(ApiErrorKind::NotVisible, "404")) }
    }

    async fn slot(&self, access: &Access, owner: &Owner) -> Result<Option<SlotToken>, ApiError> {
        // A slow answer tells what was so when it was given.
        let found = self.live().into_iter().rfind(|made| &made.owner == owner && made.kind.is_slot());
        let found = found.map(|made| SlotToken { id: made.id, created_at: Some(made.born), expires_at: made.ends });
        lost(&self.enter("slot", &owner.to_string()).await?).await?;
        self.authorize(access)?;
        Ok(found)
    }

    async fn revoke_slot(&self, access: &Access, owner: &Owner) -> Result<(), ApiError> {
        let fault = self.enter("revoke_slot", &owner.to_string()).await?;
        self.authorize(access)?;
        let now = self.clock.now();
        let in_slot = |made: &&mut Made| &made.owner == owner && made.kind.is_slot() && made.born <= now;
        for made in self.state.lock().made.iter_mut().filter(in_slot) {
            made.alive = false;
        }
        lost(&fault).await
    }

    async fn list(&self, access: &Access, owner: &Owner, _: Option<&str>) -> Result<Vec<Listed>, ApiError> {
        let fault = self.enter("list", &owner.to_string()).await?;
        self.authorize(access)?;
        let of = self.live().into_iter().filter(|made| &made.owner == owner && !made.kind.is_slot());
        let listed = of.map(|made| Listed { id: made.id, description: Some(made.description) }).collect();
        lost(&fault).await?;
        Ok(listed)
    }

    async fn team_id(&self, access: &Access, organization: &str, team: &str) -> Result<Option<String>, ApiError> {
        lost(&self.enter("team_id", &format!("{organization}/{team}")).await?).await?;
        self.authorize(access)?;
        Ok((team == "deploy").then(|| "team-deploy".to_owned()))
    }

    async fn team_organization(&self, access: &Access, _: &str) -> Result<Option<String>, ApiError> {
        lost(&self.enter("team_organization", "").await?).await?;
        self.authorize(access)?;
        Ok(Some("acme".into()))
    }
}
