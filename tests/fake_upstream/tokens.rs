//! Making, listing and deleting: behaviours 1 to 5, 11, 12, 14 to 17 and 19 of the reference.

use std::time::Duration;

use serde_json::json;

use crate::client::{Api, start};
use crate::fake::{ACME, Kind, Mode, Owner};

#[tokio::test]
async fn b01_a_slot_holds_one_token_and_a_post_kills_the_former() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_user_token());
    let team = fake.team_id(ACME, "deploy");
    for (path, owner, kind) in [
        ("organizations/acme/authentication-token".to_owned(), Owner::Organization(ACME.into()), Kind::Organization),
        (format!("teams/{team}/authentication-token"), Owner::Team(team.clone()), Kind::TeamLegacy),
    ] {
        assert_eq!(api.get(&path).await.status, 404, "empty at first");
        let first = api.create(&path, json!({})).await;
        assert_eq!(first.status, 201);
        assert_eq!(api.calling_with(&first.secret()).whoami().await, 200);
        let second = api.create(&path, json!({})).await;
        assert_ne!(first.id(), second.id());
        assert_eq!(api.calling_with(&first.secret()).whoami().await, 401);
        assert_eq!(api.calling_with(&second.secret()).whoami().await, 200);
        assert_eq!(fake.live_tokens_of(&owner).len(), 1);
        assert_eq!(fake.creates(&owner, kind), 2);
        assert_eq!(api.get(&path).await.id(), second.id());
        assert_eq!(api.delete(&path).await.status, 204);
        assert_eq!(api.delete(&path).await.status, 404);
        assert!(!fake.is_live(&second.secret()));
    }
}

#[tokio::test]
async fn b01_a_slot_takes_a_post_without_a_body() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_user_token());
    let path = "organizations/acme/authentication-token";
    let got = api.send(reqwest::Method::POST, path, Some(crate::client::JSON_API), None).await.unwrap();
    assert_eq!(got.status, 201);
}

#[tokio::test]
async fn b02_the_audit_slot_is_separate_on_hcp_and_the_organization_slot_on_tfe() {
    let path = "organizations/acme/authentication-token";
    for (mode, survives) in [(Mode::Hcp, true), (Mode::Tfe(2, 1), false)] {
        let fake = start(mode);
        let api = Api::new(&fake, &fake.anchor_user_token());
        let organization = api.create(path, json!({})).await;
        let audit = api.create(&format!("{path}?token=audit-trails"), json!({})).await;
        assert_eq!(audit.status, 201);
        assert_eq!(fake.is_live(&organization.secret()), survives, "{mode:?}");
        let kind = if survives { Kind::AuditTrails } else { Kind::Organization };
        assert_eq!(fake.token(&audit.id()).unwrap().kind, kind);
    }
}

#[tokio::test]
async fn b03_described_team_tokens_are_many_with_unique_descriptions() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_user_token());
    let path = format!("teams/{}/authentication-tokens", fake.team_id(ACME, "deploy"));
    let legacy = api.create(&path, json!({"description": null})).await;
    let empty = api.create(&path, json!({"description": ""})).await;
    let one = api.create(&path, json!({"description": "one"})).await;
    assert_eq!((legacy.status, empty.status, one.status), (201, 201, 201));
    assert_eq!(empty.attribute("description"), "");
    assert_eq!(fake.token(&legacy.id()).unwrap().kind, Kind::TeamLegacy);
    for taken in ["one", ""] {
        let again = api.create(&path, json!({ "description": taken })).await;
        assert_eq!(again.status, 422);
        assert_eq!(again.json["errors"][0]["detail"], "Validation failed: Description has already been taken");
    }
    let other = format!("teams/{}/authentication-tokens", fake.team_id(ACME, "owners"));
    assert_eq!(api.create(&other, json!({"description": "one"})).await.status, 201, "unique within the team only");
    let legacy_path = path.trim_end_matches('s');
    assert_eq!(api.create(legacy_path, json!({})).await.status, 201);
    assert!(!fake.is_live(&legacy.secret()));
    assert!(fake.is_live(&one.secret()), "regenerating leaves the described ones alone");
    api.delete(&format!("authentication-tokens/{}", one.id())).await;
    assert_eq!(api.create(&path, json!({"description": "one"})).await.status, 201, "free again");
    fake.switch(|switches| switches.duplicate_status = 409);
    assert_eq!(api.create(&path, json!({"description": "one"})).await.status, 409);
}

#[tokio::test]
async fn b03_old_servers_do_not_know_the_plural_path() {
    for (mode, status) in [(Mode::TfeMonthly, 404), (Mode::Tfe(1, 0), 404), (Mode::Tfe(1, 1), 201)] {
        let fake = start(mode);
        let api = Api::new(&fake, &fake.anchor_user_token());
        let path = format!("teams/{}/authentication-tokens", fake.team_id(ACME, "deploy"));
        assert_eq!(api.create(&path, json!({"description": "one"})).await.status, status, "{mode:?}");
    }
}

#[tokio::test]
async fn b04_user_tokens_are_that_users_affair_alone() {
    let fake = start(Mode::Hcp);
    let alice = Api::new(&fake, &fake.anchor_user_token());
    let bob_id = fake.seed_user(ACME, "bob");
    let (_, bob_token) = fake.seed_token(Owner::User(bob_id.clone()), Kind::User, Some("bob's"), None);
    let path = format!("users/{bob_id}/authentication-tokens");
    let bob = alice.calling_with(&bob_token);
    let made = bob.create(&path, json!({"description": "same"})).await;
    assert_eq!(made.status, 201);
    assert_eq!(bob.create(&path, json!({"description": "same"})).await.status, 201, "need not be unique");
    assert_eq!(bob.create(&path, json!({})).await.status, 201, "need not exist");
    let by_id = format!("authentication-tokens/{}", made.id());
    assert_eq!(bob.get(&path).await.ids().len(), 4);
    for token in [fake.anchor_user_token(), fake.anchor_org_token(), fake.anchor_team_token()] {
        let other = alice.calling_with(&token);
        let list = other.get(&path).await;
        assert_eq!((list.status, list.ids().len()), (200, 0));
        assert_eq!(other.create(&path, json!({"description": "x"})).await.status, 404);
        assert_eq!(other.get(&by_id).await.status, 404);
        assert_eq!(other.delete(&by_id).await.status, 404);
    }
    assert_eq!(bob.get(&by_id).await.status, 200);
    assert_eq!(bob.delete(&by_id).await.status, 204);
}

#[tokio::test]
async fn b05_the_secret_is_shown_once_and_never_logged() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_user_token());
    let path = format!("teams/{}/authentication-tokens", fake.team_id(ACME, "deploy"));
    let made = api.create(&path, json!({"description": "one"})).await;
    let secret = made.secret();
    assert!(api.get(&format!("authentication-tokens/{}", made.id())).await.attribute("token").is_null());
    assert!(!api.get("organizations/acme/team-tokens").await.text.contains(&secret));
    api.get(&format!("organizations/{secret}?q={secret}")).await;
    let log = format!("{:?} {:?} {fake:?}", fake.requests(), fake.live_tokens());
    assert!(log.contains("organizations/[token]?q=[token]"), "{log}");
    assert!(!log.contains(&secret) && !log.contains(&fake.anchor_user_token()));
}

#[tokio::test]
async fn b11_deleting_twice_and_deleting_oneself() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_user_token());
    let path = format!("users/{}/authentication-tokens", fake.user_id("alice"));
    let made = api.create(&path, json!({"description": "x"})).await;
    let itself = api.calling_with(&made.secret());
    let by_id = format!("authentication-tokens/{}", made.id());
    fake.switch(|switches| switches.may_delete_itself = false);
    assert_eq!(itself.delete(&by_id).await.status, 404);
    fake.switch(|switches| switches.may_delete_itself = true);
    assert_eq!(itself.delete(&by_id).await.status, 204);
    assert_eq!(itself.delete(&by_id).await.status, 401);
    assert_eq!(api.delete(&by_id).await.status, 404);
}

#[tokio::test]
async fn b12_a_deleted_token_may_live_on_for_the_lag() {
    let fake = start(Mode::Hcp);
    fake.set_revocation_lag(Duration::from_secs(60));
    let api = Api::new(&fake, &fake.anchor_user_token());
    let path = "organizations/acme/authentication-token";
    let made = api.create(path, json!({})).await;
    assert_eq!(api.delete(path).await.status, 204);
    assert_eq!(api.get(path).await.status, 404);
    assert_eq!(api.calling_with(&made.secret()).whoami().await, 200);
    fake.advance(Duration::from_secs(61));
    assert_eq!(api.calling_with(&made.secret()).whoami().await, 401);
}

#[tokio::test]
async fn b15_the_type_is_not_checked() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_user_token());
    let path = format!("users/{}/authentication-tokens", fake.user_id("alice"));
    for body in [json!({"data": {}}), json!({"data": {"type": "", "attributes": {}}}), json!({"data": {"type": "x"}})] {
        assert_eq!(api.post(&path, body).await.status, 201);
    }
}

#[tokio::test]
async fn b17_the_tokens_of_what_is_deleted_die() {
    let fake = start(Mode::Hcp);
    fake.set_revocation_lag(Duration::from_secs(60));
    fake.seed_organization("other");
    let team = fake.seed_team("other", "ops");
    let bob = fake.seed_user("other", "bob");
    let (_, of_team) = fake.seed_token(Owner::Team(team.clone()), Kind::Team, Some("x"), None);
    let (_, of_user) = fake.seed_token(Owner::User(bob.clone()), Kind::User, None, None);
    let owners = Owner::Team(fake.team_id("other", "owners"));
    let (_, of_owners) = fake.seed_token(owners, Kind::TeamLegacy, None, None);
    let (_, of_organization) = fake.seed_token(Owner::Organization("other".into()), Kind::Organization, None, None);
    let api = Api::new(&fake, "");
    for secret in [&of_team, &of_user, &of_owners, &of_organization] {
        assert_eq!(api.calling_with(secret).whoami().await, 200);
    }
    assert!(fake.delete_team(&team) && fake.delete_user(&bob) && !fake.delete_user(&bob));
    for secret in [&of_team, &of_user] {
        assert!(fake.token_of_secret(secret).unwrap().deleted);
    }
    assert_eq!(api.calling_with(&of_team).whoami().await, 401);
    assert_eq!(api.calling_with(&of_user).whoami().await, 401);
    assert_eq!(api.calling_with(&of_owners).whoami().await, 200);
    assert!(fake.delete_organization("other"));
    assert_eq!(api.calling_with(&of_owners).whoami().await, 401);
    assert_eq!(api.calling_with(&of_organization).whoami().await, 401);
    assert!(fake.is_live(&fake.anchor_user_token()), "acme is untouched");
}

#[tokio::test]
async fn b19_strings_have_upstreams_shape_and_the_length_that_is_set() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_user_token());
    let path = format!("users/{}/authentication-tokens", fake.user_id("alice"));
    for length in [90, 60, 120, 24] {
        fake.set_token_length(length);
        let made = api.create(&path, json!({})).await;
        let (secret, id) = (made.secret(), made.id());
        assert_eq!(secret.len(), length);
        assert_eq!(secret.find(".atlasv1."), Some(14));
        assert!(secret.replace(".atlasv1.", "").bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!((id.len(), &id[..3]), (19, "at-"));
        assert!(!id[3..].contains(['0', 'O', 'I', 'l']));
    }
    assert!(fake.team_id(ACME, "deploy").starts_with("team-") && fake.user_id("alice").starts_with("user-"));
}

#[tokio::test]
async fn bulk_delete_is_for_owners_and_for_that_organization() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_org_token());
    let team = Owner::Team(fake.team_id(ACME, "deploy"));
    let (one, _) = fake.seed_token(team.clone(), Kind::Team, Some("1"), None);
    let (two, of_deploy) = fake.seed_token(team, Kind::Team, Some("2"), None);
    let user = fake.token_of_secret(&fake.anchor_user_token()).unwrap().id;
    let body = json!({"data": [{"type": "authentication-tokens", "id": one}, {"id": user}]}).to_string();
    let path = "organizations/acme/team-tokens";
    let bulk = |api: Api| {
        let body = body.clone();
        async move {
            let sent = api.send(reqwest::Method::DELETE, path, Some(crate::client::JSON_API), Some(body));
            sent.await.unwrap().status
        }
    };
    assert_eq!(bulk(api.calling_with(&of_deploy)).await, 403);
    assert_eq!(bulk(api).await, 204);
    assert!(fake.token(&one).unwrap().deleted && !fake.token(&two).unwrap().deleted);
    assert!(!fake.token(&user).unwrap().deleted, "not a team token");
}

#[tokio::test]
async fn limits_that_nobody_documents_can_be_switched_on() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_user_token());
    let path = format!("users/{}/authentication-tokens", fake.user_id("alice"));
    fake.switch(|switches| switches.max_description = Some(3));
    assert_eq!(api.create(&path, json!({"description": "four"})).await.status, 422);
    assert_eq!(api.create(&path, json!({"description": "thr"})).await.status, 201);
    fake.switch(|switches| switches.max_tokens = Some(2));
    assert_eq!(api.create(&path, json!({})).await.status, 422);
    fake.switch(|switches| switches.services_manage_organization_token = false);
    let own = "organizations/acme/authentication-token";
    assert_eq!(api.calling_with(&fake.anchor_org_token()).create(own, json!({})).await.status, 404);
    assert_eq!(api.calling_with(&fake.anchor_team_token()).create(own, json!({})).await.status, 404);
    assert_eq!(api.create(own, json!({})).await.status, 201);
    fake.switch(|switches| switches.blocked_status = Some(403));
    assert_eq!(api.whoami().await, 403);
}

#[tokio::test]
async fn orphans_are_live_unknown_and_not_seeded() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_user_token());
    let path = format!("users/{}/authentication-tokens", fake.user_id("alice"));
    let kept = api.create(&path, json!({})).await.id();
    let lost = api.create(&path, json!({})).await.id();
    let gone = api.create(&path, json!({})).await.id();
    assert!(fake.delete_token(&gone) && !fake.delete_token(&gone));
    let orphans: Vec<_> = fake.orphans([&kept]).into_iter().map(|token| token.id).collect();
    assert_eq!(orphans, [lost]);
}
