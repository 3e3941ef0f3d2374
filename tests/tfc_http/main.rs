//! `TfcClient` against local servers: httpmock where a mock can do it, [`wire::Server`] where every byte counts.

mod endpoints;
mod errors;
mod limits;
mod lists;
mod repeats;
mod secrets;
mod setup;
mod transport;
mod wire;

use std::time::Duration;

use tfcfs::adapters::tfc::{TfcClient, TfcSettings};
use tfcfs::domain::anchor::{Access, Address};
use tfcfs::domain::owner::{CredentialType, Owner};
use tfcfs::domain::ports::{ApiError, ApiErrorKind, CreateToken, Effect};
use tfcfs::domain::token::Token;

/// The token we call with. Must show up nowhere but in the one header.
const ANCHOR: &str = "PlAnTeD0anchor.atlasv1.anchor0123456789anchor0123456789anchor0123456789anchor0123456789abcd";

fn settings() -> TfcSettings {
    TfcSettings { proxy: Some("direct".into()), rate: 1000, ..TfcSettings::default() }
}

fn client() -> TfcClient {
    TfcClient::new(settings()).unwrap()
}

/// A client that gives up after `deadline`.
fn hasty(deadline: Duration) -> TfcClient {
    TfcClient::new(TfcSettings { call_deadline: deadline, create_patience: Duration::from_millis(400), ..settings() })
        .unwrap()
}

fn access(origin: &str) -> Access {
    Access {
        address: Address::parse(origin, "/api/v2/", true).unwrap(),
        token: Token::parse(ANCHOR).unwrap(),
        owner: Some(user()),
    }
}

fn org() -> Owner {
    Owner::Organization { name: "acme".into() }
}

fn team() -> Owner {
    Owner::Team { id: "team-1".into() }
}

fn user() -> Owner {
    Owner::User { id: "user-1".into() }
}

fn order(owner: Owner, credential_type: CredentialType) -> CreateToken {
    let expires_at = "2099-08-21T10:00:00.5Z".parse().unwrap();
    CreateToken { owner, credential_type, description: "tfcfs deploy 01J".into(), expires_at }
}

fn user_order() -> CreateToken {
    order(user(), CredentialType::User)
}

/// What a create call is answered.
const ISSUED: &str = r#"{"data":{"id":"at-new","type":"authentication-tokens","attributes":{
    "token":"new.atlasv1.secret","expired-at":"2099-08-21T10:00:00.000Z","description":"x"}}}"#;

fn is(error: &ApiError, kind: ApiErrorKind, effect: Effect) -> bool {
    (error.kind, error.effect) == (kind, effect)
}

#[track_caller]
fn assert_is(error: &ApiError, kind: ApiErrorKind, effect: Effect) {
    assert!(is(error, kind, effect), "{error:?} instead of {kind:?}, {effect:?}");
}
