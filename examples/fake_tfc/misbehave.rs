//! What the scripted faults do to an answer.

use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::answer::{Answer, JSON_API, title};
use super::body::AnswerBody;
use super::clock::{iso, whole_milliseconds};
use super::fault::{ErrorBody, Fault, When};
use super::pipeline::Incoming;
use super::world::World;

/// The answer that takes the place of everything the server would have done.
pub fn instead(world: &World, fault: &Fault, incoming: &Incoming) -> Option<Answer> {
    match fault {
        Fault::Status { status, body, when: When::Before } => Some(failure(world, *status, body)),
        Fault::RateLimited { reset, retry_after } => {
            let mut answer = Answer::rate_limited();
            world.add_headers(&mut answer, None);
            answer.headers.retain(|(name, _)| *name != "x-ratelimit-reset");
            answer.headers.extend(reset.clone().map(|value| ("x-ratelimit-reset", value)));
            answer.headers.extend(retry_after.clone().map(|value| ("retry-after", value)));
            Some(answer)
        }
        Fault::Redirect { to, status } => {
            let target = to.clone().unwrap_or_else(|| {
                let separator = if incoming.query.is_empty() { "" } else { "?" };
                format!("{}{}{separator}{}", world.trap, incoming.path, incoming.query)
            });
            Some(Answer::empty(*status).with("location", target))
        }
        _ => None,
    }
}

/// What becomes of the right answer.
pub fn afterwards(world: &mut World, fault: &Fault, answer: &mut Answer) {
    match fault {
        Fault::Status { status, body, when: When::After } => *answer = failure(world, *status, body),
        Fault::ContentType { value } => answer.content_type = Some(value.clone()),
        Fault::NoToken => edit(answer, |data| {
            if let Some(attributes) = data["attributes"].as_object_mut() {
                attributes.remove("token");
            }
        }),
        Fault::ExpiredAt { value } => {
            let end: Option<Timestamp> = value.as_ref().map(|text| text.parse().expect("checked when it was set"));
            let end = end.map(whole_milliseconds);
            edit(answer, |data| {
                world.tokens.set_end(data["id"].as_str().unwrap_or_default(), end);
                data["attributes"]["expired-at"] = json!(end.map(iso));
            });
        }
        _ => {}
    }
}

/// The body that takes the place of the answer's.
pub fn body(fault: &Fault, bytes: &Bytes) -> Option<AnswerBody> {
    match fault {
        Fault::CutBody => Some(AnswerBody::cut(bytes)),
        Fault::SlowBody { per_byte_ms } => Some(AnswerBody::slow(bytes.clone(), Duration::from_millis(*per_byte_ms))),
        _ => None,
    }
}

/// How far off the `Date` header is to be.
pub fn skew(faults: &[Fault]) -> SignedDuration {
    let seconds = faults.iter().map(|fault| if let Fault::DateSkew { seconds } = fault { *seconds } else { 0 });
    SignedDuration::from_secs(seconds.sum())
}

/// JSON comes from the application and has its headers; a page or nothing comes from what is in front of it.
fn failure(world: &World, status: u16, body: &ErrorBody) -> Answer {
    let mut answer = match body {
        ErrorBody::Json => Answer::error(status),
        ErrorBody::PlainStrings => Answer::json(status, &json!({ "errors": [title(status)] })),
        ErrorBody::Text(text) => Answer::text(status, JSON_API, text.clone()),
        ErrorBody::Empty => return Answer::empty(status),
        ErrorBody::Html => {
            let title = title(status);
            let page =
                format!("<html><head><title>{status} {title}</title></head><body><h1>{title}</h1></body></html>");
            return Answer::text(status, "text/html", page);
        }
    };
    world.add_headers(&mut answer, None);
    answer
}

/// Changes `data` of a create answer; other answers stay as they are.
fn edit(answer: &mut Answer, change: impl FnOnce(&mut Value)) {
    if answer.status != 201 {
        return;
    }
    if let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) {
        change(&mut body["data"]);
        answer.body = body.to_string().into();
    }
}
