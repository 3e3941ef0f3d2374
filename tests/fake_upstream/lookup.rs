//! Lists, pages and names: behaviour 16 and sections 1.6 and 3 of the reference.

use serde_json::Value;

use crate::client::{Api, start};
use crate::fake::{ACME, Kind, Mode, Owner};

#[tokio::test]
async fn b16_pages_hold_20_by_default_and_100_at_most() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_user_token());
    for number in 0..119 {
        fake.seed_team(ACME, &format!("team-{number}"));
    }
    let page = |query: &str| {
        let (api, path) = (api.clone(), format!("organizations/acme/teams?{query}"));
        async move { api.get(&path).await }
    };
    let first = page("").await;
    assert_eq!(first.ids().len(), 20);
    let meta = |got: &crate::client::Got, key: &str| got.json["meta"]["pagination"][key].clone();
    assert_eq!(meta(&first, "total-count"), 121);
    assert_eq!(meta(&first, "total-pages"), 7);
    assert_eq!((meta(&first, "prev-page"), meta(&first, "next-page")), (Value::Null, 2.into()));
    let most = page("page%5Bsize%5D=1000&page%5Bnumber%5D=2").await;
    assert_eq!((most.ids().len(), meta(&most, "page-size")), (21, 100.into()));
    assert_eq!((meta(&most, "prev-page"), meta(&most, "next-page")), (1.into(), Value::Null));
    assert_eq!(page("page%5Bnumber%5D=9").await.ids().len(), 0);

    let mut all = Vec::new();
    let mut next = Some(first.json["links"]["first"].as_str().unwrap().to_owned());
    while let Some(link) = next {
        let got = api.get(link.strip_prefix("/api/v2/").unwrap()).await;
        all.extend(got.ids());
        next = got.json["links"]["next"].as_str().map(str::to_owned);
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 121);
}

#[tokio::test]
async fn b16_organizations_and_user_tokens_are_whole_unless_a_page_is_asked_for() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_user_token());
    let alice = fake.user_id("alice");
    for number in 0..30 {
        fake.seed_token(Owner::User(alice.clone()), Kind::User, None, None);
        let organization = format!("org-{number}");
        fake.seed_organization(&organization);
        fake.seed_user(&organization, "alice");
    }
    for path in ["organizations".to_owned(), format!("users/{alice}/authentication-tokens")] {
        let whole = api.get(&path).await;
        assert_eq!((whole.ids().len(), whole.json.get("meta")), (31, None));
        let paged = api.get(&format!("{path}?page%5Bsize%5D=10")).await;
        assert_eq!((paged.ids().len(), &paged.json["meta"]["pagination"]["total-count"]), (10, &31.into()));
    }
}

#[tokio::test]
async fn teams_are_found_by_name() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_org_token());
    let (deploy, owners) = (fake.team_id(ACME, "deploy"), fake.team_id(ACME, "owners"));
    let by = |query: &str| {
        let (api, path) = (api.clone(), format!("organizations/acme/teams?{query}"));
        async move { api.get(&path).await.ids() }
    };
    assert_eq!(by("filter%5Bnames%5D=deploy").await, std::slice::from_ref(&deploy));
    assert_eq!(by("filter%5Bnames%5D=deploy,owners").await.len(), 2);
    assert_eq!(by("filter%5Bnames%5D=depl").await.len(), 0);
    assert_eq!(by("q=EPLO").await, std::slice::from_ref(&deploy));
    assert_eq!(by("filter%5Bnames%5D=DEPLOY").await.len(), 0);
    fake.switch(|switches| switches.filter_names_case_sensitive = false);
    assert_eq!(by("filter%5Bnames%5D=DEPLOY").await, [deploy]);
    fake.switch(|switches| switches.hide_owners_from_filter = true);
    assert_eq!(by("filter%5Bnames%5D=owners").await.len(), 0);
    assert!(by("").await.contains(&owners), "the full list still has it");
}

#[tokio::test]
async fn users_are_found_through_teams_and_memberships() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_user_token());
    let bob = fake.seed_user(ACME, "bob");
    let memberships = "organizations/acme/organization-memberships";
    assert_eq!(api.get(memberships).await.ids().len(), 2);
    for query in ["q=BO", "filter%5Bemail%5D=bob%40example.org", "q=bob&include=user"] {
        let got = api.get(&format!("{memberships}?{query}")).await;
        let one = &got.json["data"][0];
        assert_eq!((got.ids().len(), &one["attributes"]["username"]), (1, &"bob".into()), "{query}");
        assert_eq!(one["relationships"]["user"]["data"]["id"], bob);
        assert_eq!(got.json["included"][0]["id"] == bob, query.contains("include"));
    }
    let team = format!("teams/{}?include=users", fake.team_id(ACME, "owners"));
    assert_eq!(api.get(&team).await.json["included"][0]["attributes"]["username"], "alice");
    for path in ["organizations/acme/teams", memberships] {
        assert_eq!(api.get(&format!("{path}?include=nonsense")).await.status, 400);
    }
    assert_eq!(api.get("organization-memberships").await.ids().len(), 1);
    assert_eq!(api.get(&format!("users/{bob}")).await.attribute("username"), "bob");
    fake.seed_organization("other");
    let stranger = fake.seed_user("other", "eve");
    assert_eq!(api.get(&format!("users/{stranger}")).await.status, 404);
}

#[tokio::test]
async fn organizations_tell_what_the_caller_may_do() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_user_token());
    let bob = fake.seed_user(ACME, "bob");
    let (_, bob) = fake.seed_token(Owner::User(bob), Kind::User, None, None);
    for (token, may) in [(fake.anchor_user_token(), true), (fake.anchor_org_token(), true), (bob, false)] {
        let got = api.calling_with(&token).get("organizations/acme").await;
        assert_eq!(got.attribute("permissions")["can-update-api-token"], may);
        assert_eq!(got.id(), ACME);
    }
    let entitlements = api.get("organizations/acme/entitlement-set").await;
    assert_eq!(entitlements.attribute("teams"), true);
}
