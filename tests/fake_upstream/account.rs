//! Whose token, and headers by mode: behaviour 20 and sections 1.7 and 3.2 of the reference.

use crate::client::{Api, start};
use crate::fake::{ACME, Fake, FakeOptions, Mode};

#[tokio::test]
async fn b20_teams_and_organizations_are_seen_as_service_users() {
    let fake = start(Mode::Hcp);
    let team = fake.team_id(ACME, "owners");
    let alice = fake.user_id("alice");
    for (token, kind, id, name) in [
        (fake.anchor_user_token(), "users", alice.as_str(), "alice"),
        (fake.anchor_team_token(), "teams", team.as_str(), "api-team_"),
        (fake.anchor_org_token(), "organizations", ACME, "api-org-acme-"),
    ] {
        let got = Api::new(&fake, &token).get("account/details").await;
        assert!(got.attribute("username").as_str().unwrap().starts_with(name));
        assert_eq!(got.attribute("is-service-account"), kind != "users");
        let resource = &got.json["data"]["relationships"]["authenticated-resource"]["data"];
        assert_eq!((&resource["type"], &resource["id"]), (&kind.into(), &id.into()));
        assert_eq!(got.id() == alice, kind == "users");
        assert!(got.id().starts_with("user-"));
        let own = format!("/api/v2/authentication-tokens/{}", fake.token_of_secret(&token).unwrap().id);
        assert_eq!(got.json["data"]["links"]["auth-token"], own);
    }
}

#[tokio::test]
async fn the_token_in_use_is_named_by_new_servers_only_and_in_either_spelling() {
    for (mode, named) in [(Mode::Tfe(2, 1), true), (Mode::Tfe(2, 0), false), (Mode::TfeMonthly, false)] {
        let fake = start(mode);
        let api = Api::new(&fake, &fake.anchor_user_token());
        let links = api.get("account/details").await.json["data"]["links"].clone();
        assert_eq!(links["auth-token"].is_string(), named, "{mode:?}");
        fake.switch(|switches| switches.hide_authenticated_resource = true);
        let got = api.get("account/details").await;
        assert!(got.json["data"]["relationships"]["authenticated-resource"].is_null());
        fake.switch(|switches| switches.repeat_links_key = true);
        let got = api.get("account/details").await;
        assert_eq!(got.text.matches("\"links\":{\"auth-token\"").count(), usize::from(named));
        assert_eq!(got.json["data"]["links"]["self"], links["self"], "still JSON");
    }
}

#[tokio::test]
async fn headers_depend_on_the_product() {
    for (mode, api_version, app, numeric, monthly) in [
        (Mode::Hcp, Some("2.6"), Some("HCP Terraform"), None, None),
        (Mode::Tfe(2, 1), Some("2.6"), Some("Terraform Enterprise"), Some("2.1.0"), None),
        (Mode::Tfe(1, 0), Some("2.6"), Some("Terraform Enterprise"), None, None),
        (Mode::TfeMonthly, Some("2.6"), Some("Terraform Enterprise"), None, Some("202505-1")),
        (Mode::NoHeaders, None, None, None, None),
    ] {
        let fake = Fake::start(FakeOptions { mode, ..FakeOptions::default() });
        let api = Api::new(&fake, &fake.anchor_user_token());
        for path in ["ping", "account/details", "nonsense"] {
            let got = api.get(path).await;
            assert_eq!(got.header("tfp-api-version"), api_version, "{mode:?} {path}");
            assert_eq!(got.header("tfp-appname"), app);
            assert_eq!(got.header("x-tfe-current-version"), numeric);
            assert_eq!(got.header("x-tfe-version"), monthly);
            assert_eq!(got.header("x-ratelimit-limit").is_some(), mode != Mode::NoHeaders);
            assert!(got.header("x-request-id").is_some());
        }
    }
}

#[test]
fn modes_are_read_from_text() {
    for (text, mode) in [
        ("hcp", Mode::Hcp),
        ("tfe:2.1", Mode::Tfe(2, 1)),
        ("tfe:1.0", Mode::Tfe(1, 0)),
        ("tfe-monthly", Mode::TfeMonthly),
        ("no-headers", Mode::NoHeaders),
    ] {
        assert_eq!(text.parse(), Ok(mode));
    }
    for text in ["", "tfe", "tfe:", "tfe:2", "tfe:x.1", "HCP"] {
        assert!(text.parse::<Mode>().is_err(), "{text}");
    }
}
