//! What a create call asks for, and whether that is valid.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::super::answer::Answer;
use super::super::clock::whole_milliseconds;
use super::super::ids;
use super::super::options::Mode;
use super::super::owner::{Kind, Owner};
use super::super::switches::PastEnd;
use super::super::tokens::NewToken;
use super::super::world::{TokenType, World};

/// Two years of 365 days: under the default maximum of two average years also where one of them has a leap day.
const DEFAULT_LIFETIME: SignedDuration = SignedDuration::from_hours(2 * 365 * 24);

/// The attributes of a create call.
pub struct TokenRequest {
    pub description: Option<String>,
    expires_at: Option<Timestamp>,
}

impl TokenRequest {
    /// Slots take an empty body, the others do not. Unknown attributes and every `type` are accepted.
    pub fn parse(body: &[u8], empty_is_fine: bool) -> Result<Self, Answer> {
        if body.is_empty() && empty_is_fine {
            return Ok(Self { description: None, expires_at: None });
        }
        let attributes = attributes(body)?;
        let text = |key: &str| match attributes.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Answer::invalid(422, &format!("{key} must be a string"))),
        };
        let expires_at = match text("expired-at")? {
            None => None,
            Some(text) => {
                let end: Timestamp =
                    text.parse().map_err(|_| Answer::invalid(422, "Expired at is not a valid date"))?;
                Some(whole_milliseconds(end))
            }
        };
        Ok(Self { description: text("description")?, expires_at })
    }

    /// Checks it against limits and switches, and completes it.
    pub fn validate(self, world: &World, owner: Owner, kind: Kind, created_by: &Owner) -> Result<NewToken, Answer> {
        let switches = &world.switches;
        let now = whole_milliseconds(world.clock.now());
        let invalid = |detail: &str| Err(Answer::invalid(422, &format!("Validation failed: {detail}")));
        if let Some(end) = self.expires_at {
            if end <= now && switches.past_end == PastEnd::Reject {
                return invalid("Expired at must be in the future");
            }
            if end > now && end.duration_since(now) < SignedDuration::from_millis(switches.min_lifetime_ms) {
                return invalid("Expired at is too soon");
            }
        }
        let expires_at = self.expires_at.or_else(|| default_end(world.mode, now));
        if let Some(text) = &self.description {
            if switches.max_description.is_some_and(|most| text.chars().count() > most) {
                return invalid("Description is too long");
            }
            if kind == Kind::Team && world.tokens.is_described(&owner, text) {
                let detail = "Validation failed: Description has already been taken";
                return Err(Answer::invalid(switches.duplicate_status, detail));
            }
        }
        if !kind.is_slot() && switches.max_tokens.is_some_and(|most| world.tokens.count_of(&owner) >= most) {
            return invalid("Too many tokens");
        }
        if switches.refuse_over_max_ttl && over_max(world, &owner, kind, now, expires_at) {
            return invalid("Expired at exceeds the maximum lifetime");
        }
        let secret = ids::secret(switches.token_length);
        let created_by = Some(created_by.clone());
        let description = self.description.filter(|_| !kind.is_slot());
        Ok(NewToken { secret, owner, kind, description, created_at: now, expires_at, created_by, seeded: false })
    }
}

/// The end of a token for which none is asked.
pub fn default_end(mode: Mode, now: Timestamp) -> Option<Timestamp> {
    mode.ends_tokens_by_default().then(|| now + DEFAULT_LIFETIME)
}

/// `data` of a body; 422 without.
pub fn data(body: &[u8]) -> Result<Value, Answer> {
    let mut body: Value = serde_json::from_slice(body).map_err(|_| Answer::invalid(422, "Body is not JSON"))?;
    body.get_mut("data").map(Value::take).ok_or_else(|| Answer::invalid(422, "data is missing"))
}

/// `data.attributes` of a body; 422 if it has another shape.
pub fn attributes(body: &[u8]) -> Result<Map<String, Value>, Answer> {
    let mut data = data(body)?;
    let data = data.as_object_mut().ok_or_else(|| Answer::invalid(422, "data must be an object"))?;
    match data.remove("attributes") {
        None => Ok(Map::new()),
        Some(Value::Object(attributes)) => Ok(attributes),
        Some(_) => Err(Answer::invalid(422, "attributes must be an object")),
    }
}

fn over_max(world: &World, owner: &Owner, kind: Kind, now: Timestamp, end: Option<Timestamp>) -> bool {
    let Some(organization) = world.organization_of(owner).filter(|org| org.max_ttl_enabled) else { return false };
    let policy = organization.policies.get(&TokenType::of(kind));
    policy
        .is_some_and(|policy| end.is_none_or(|end| end.duration_since(now).as_millis() > i128::from(policy.max_ttl_ms)))
}
