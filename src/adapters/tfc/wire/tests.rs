use super::*;

fn request(kind: CredentialType) -> CreateToken {
    CreateToken {
        owner: Owner::Team { id: "team-1".into() },
        credential_type: kind,
        description: "tfcfs x".into(),
        expires_at: "2026-08-21T10:00:00.987Z".parse().unwrap(),
    }
}

fn body(kind: CredentialType) -> Value {
    serde_json::from_slice(&create_body(&request(kind))).unwrap()
}

#[test]
fn bodies_of_create_calls() {
    let slot = json!({"data":{"type":"authentication-token","attributes":{"expired-at":"2026-08-21T10:00:00Z"}}});
    assert_eq!(body(CredentialType::Organization), slot);
    assert_eq!(body(CredentialType::TeamLegacy), slot);
    let minted = json!({"data":{"type":"authentication-tokens",
        "attributes":{"description":"tfcfs x","expired-at":"2026-08-21T10:00:00Z"}}});
    assert_eq!(body(CredentialType::Team), minted);
    assert_eq!(body(CredentialType::User), minted);
}

fn issue(document: Value) -> Result<Issued, String> {
    issued(document.to_string().as_bytes(), None)
}

#[test]
fn an_issued_token() {
    let got = issue(json!({"data":{"id":"at-1","type":"whatever","new":1,
        "attributes":{"token":"a.atlasv1.b","expired-at":"2026-08-21T10:00:00.000Z"}}}))
    .unwrap();
    assert_eq!((got.id.0.as_str(), got.token.expose()), ("at-1", "a.atlasv1.b"));
    assert_eq!(got.expires_at, Some("2026-08-21T10:00:00Z".parse().unwrap()));
}

#[test]
fn ends_that_are_missing_null_or_unreadable_mean_no_end() {
    for end in [json!(null), json!("never"), json!(5)] {
        let got = issue(json!({"data":{"id":7,"attributes":{"token":"t","expired-at":end}}})).unwrap();
        assert_eq!((got.expires_at, got.id.0.as_str()), (None, "7"));
    }
    assert_eq!(issue(json!({"data":{"id":"at-1","attributes":{"token":"t"}}})).unwrap().expires_at, None);
}

#[test]
fn answers_without_a_token() {
    for document in [
        json!({}),
        json!([]),
        json!({"data":null}),
        json!({"data":{"id":"at-1","attributes":{"token":null}}}),
        json!({"data":{"id":"at-1","attributes":{"token":""}}}),
        json!({"data":{"id":"at-1","attributes":{"token":"hunter2 hunter2"}}}),
        json!({"data":{"attributes":{"token":"hunter2"}}}),
    ] {
        let error = issue(document.clone()).unwrap_err();
        assert!(!error.contains("hunter2"), "{document}: {error}");
    }
    assert!(issued(b"<html>", None).is_err());
}

#[test]
fn pages_of_every_kind() {
    let read = |v: Value| page(v.to_string().as_bytes());
    let meta = |next: Value| json!({"data":[1],"meta":{"pagination":{"next-page":next,"total-count":41}}});
    let got = read(meta(json!(2))).unwrap();
    assert_eq!((got.entries.len(), got.next, got.total), (1, Some(2), Some(41)));
    assert_eq!(read(meta(json!("2"))).unwrap().next, Some(2));
    assert_eq!(read(meta(json!(null))).unwrap().next, None);
    assert_eq!(read(json!({"data":[]})).unwrap().next, None);
    assert!(read(json!({"data":{}})).is_err());
    assert!(read(json!({})).is_err());
}

#[test]
fn lists_of_team_tokens_hold_more_than_ours() {
    let entry = |team: Value, description: Value| {
        json!({"id":"at-1","attributes":{"description":description},
        "relationships":{"team":{"data":team}}})
    };
    assert!(is_minted_for(&entry(json!({"id":"team-1"}), json!("x")), "team-1"));
    assert!(is_minted_for(&entry(json!({"id":"team-1"}), json!("")), "team-1"));
    assert!(is_minted_for(&entry(json!(null), json!("x")), "team-1"));
    assert!(!is_minted_for(&entry(json!({"id":"team-2"}), json!("x")), "team-1"));
    assert!(!is_minted_for(&entry(json!({"id":"team-1"}), json!(null)), "team-1"));
}

fn who(document: Value) -> Identity {
    identity(document.to_string().as_bytes()).unwrap()
}

#[test]
fn owners_of_every_kind() {
    let of = |kind: &str| {
        who(json!({"data":{"id":"user-1","attributes":{"username":"u","is-service-account":true},
            "relationships":{"authenticated-resource":{"data":{"id":"x","type":kind}}}}}))
        .owner
    };
    assert_eq!(of("users"), Some(Owner::User { id: "x".into() }));
    assert_eq!(of("teams"), Some(Owner::Team { id: "x".into() }));
    assert_eq!(of("organizations"), Some(Owner::Organization { name: "x".into() }));
    assert_eq!(of("galaxies"), None);
}

#[test]
fn owners_on_old_servers() {
    let of = |attributes: Value| who(json!({"data":{"id":"user-1","attributes":attributes}})).owner;
    assert_eq!(of(json!({"is-service-account":false})), Some(Owner::User { id: "user-1".into() }));
    assert_eq!(of(json!({"is-service-account":true})), None);
    assert_eq!(of(json!({})), None);
}

#[test]
fn the_token_in_use_is_found_though_links_stands_twice() {
    for links in [
        r#""links":{"self":"/x"},"links":{"auth-token":"/api/v2/authentication-tokens/at-9"}"#,
        r#""links":{"auth-token":"https://h/api/v2/authentication-tokens/at-9?x=1"},"links":{"self":"/x"}"#,
        r#""links":{"auth-token":{"href":"/base/authentication-tokens/at-9"}}"#,
    ] {
        let text = format!(r#"{{"data":{{"id":"user-1","attributes":{{"username":"alice"}},{links}}}}}"#);
        let got = identity(text.as_bytes()).unwrap();
        assert_eq!((got.token_id, got.username.as_str()), (Some(TokenId("at-9".into())), "alice"));
    }
    assert_eq!(who(json!({"data":{"id":"u","links":{"auth-token":"/elsewhere/at-9"}}})).token_id, None);
}

#[test]
fn organizations_of_teams() {
    let of = |relation: Value| {
        team_organization(json!({"data":{"relationships":{"organization":relation}}}).to_string().as_bytes()).unwrap()
    };
    assert_eq!(of(json!({"data":{"id":"acme","type":"organizations"}})).as_deref(), Some("acme"));
    assert_eq!(of(json!({"links":{"related":"/api/v2/organizations/acme"}})).as_deref(), Some("acme"));
    assert_eq!(of(json!({})), None);
    let own = json!({"data":{"links":{"self":"/api/v2/organizations/acme/teams/team-1"}}}).to_string();
    assert_eq!(team_organization(own.as_bytes()).unwrap().as_deref(), Some("acme"));
}

#[test]
fn ids_that_cannot_be_any_count_as_missing() {
    for id in ["a\nb", "a b", "a/b", "..", "\u{1b}[31m", &"x".repeat(256)] {
        let error = issue(json!({"data":{"id":id,"attributes":{"token":"t"}}})).unwrap_err();
        assert!(error.contains("without a usable id"), "{error}");
        let who = json!({"data":{"id":"user-1","attributes":{"username":id},"links":{"auth-token":format!("/authentication-tokens/{id}")},
            "relationships":{"authenticated-resource":{"data":{"id":id,"type":"teams"}}}}});
        let identity = identity(who.to_string().as_bytes()).unwrap();
        assert_eq!((identity.owner, identity.username.as_str()), (None, ""));
        assert!(identity.token_id.is_none_or(|id| is_id(&id.0)));
        assert_eq!(listed(&json!({"id":id})), None);
    }
}
