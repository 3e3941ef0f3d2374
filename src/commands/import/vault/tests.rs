use super::*;

fn options() -> Options {
    Options { token_file: "anchor.token".into(), renames: vec![("_ci".into(), "ci".into())] }
}

/// As `vault read -format=json` prints it.
fn answer(data: &str) -> String {
    format!(
        "{{\"request_id\":\"7e\",\"lease_id\":\"\",\"lease_duration\":0,\"renewable\":false,\"data\":{data},\"warnings\":null,\"mount_type\":\"terraform\"}}\n"
    )
}

fn import_text(input: &str) -> Imported {
    import(input.as_bytes(), &options()).unwrap()
}

fn role(data: &str) -> String {
    let imported = import_text(&answer(data));
    assert_eq!((imported.roles.len(), imported.left_out), (1, 0), "{:?}", imported.notes);
    imported.roles.into_values().next().unwrap()
}

#[test]
fn each_type_of_role() {
    for (data, document) in [
        // Vault infers the type where none was given, and older ones show none.
        (r#"{"name":"a","organization":"acme","ttl":0,"max_ttl":0}"#, "organization = \"acme\"\n"),
        (
            r#"{"name":"a","organization":"acme","team_id":"team-1","ttl":0,"max_ttl":0}"#,
            "organization = \"acme\"\nteam_id = \"team-1\"\ncredential_type = \"team_legacy\"\n",
        ),
        (
            r#"{"name":"a","user_id":"user-1","ttl":1800,"max_ttl":"2h0m0s"}"#,
            "user_id = \"user-1\"\nshare = \"open\"\nttl = \"30m\"\nmax_ttl = \"2h\"\n",
        ),
        (
            r#"{"name":"a","organization":"acme","team_id":"team-1","credential_type":"team","description":"by Vault","ttl":"3600","max_ttl":86400}"#,
            "organization = \"acme\"\nteam_id = \"team-1\"\ncredential_type = \"team\"\ndescription = \"by Vault\"\nshare = \"open\"\nttl = \"1h\"\nmax_ttl = \"1d\"\n",
        ),
        (
            r#"{"name":"a","organization":"acme","credential_type":"organization","ttl":600}"#,
            "organization = \"acme\"\nttl = \"10m\"\n",
        ),
    ] {
        assert_eq!(role(data), document, "{data}");
        // What comes out is a document that goes in.
        assert!(RoleSpec::parse(document.as_bytes(), &SystemAccounts).is_ok());
    }
}

#[test]
fn one_object_several_an_array_or_data_alone() {
    let one = r#"{"name":"one","user_id":"user-1"}"#;
    let two = r#"{"name":"two","user_id":"user-2"}"#;
    for input in [
        answer(one) + &answer(two),
        format!("[{},{}]", answer(one), answer(two)),
        format!("{one}{two}"),
        format!("[{one},[{two}]]\n{}", answer(one)),
    ] {
        let imported = import_text(&input);
        let names: Vec<&str> = imported.roles.keys().map(RoleName::as_str).collect();
        assert_eq!((names, imported.left_out), (vec!["one", "two"], 0), "{input}");
    }
}

#[test]
fn settings_with_an_anchor() {
    let config = answer(
        r#"{"address":"https://tfe.example","base_path":"/api/v2/","explicit_max_ttl":0,"token_owner_type":"users","rotation_period":86400}"#,
    );
    let imported = import_text(&(config + &answer(r#"{"name":"a.b","user_id":"user-1","ttl":60}"#)));
    assert_eq!(
        imported.settings,
        "[anchors.default]\naddress = \"https://tfe.example\"\ntoken_file = \"anchor.token\"\n\n[roles.\"a.b\"]\nuser_id = \"user-1\"\nshare = \"open\"\nttl = \"1m\"\n"
    );
    let notes = imported.notes.join("\n");
    for words in ["never shows its token", "rotate_every", "share = \"open\""] {
        assert!(notes.contains(words), "{notes}");
    }
    let standard = import_text(&answer(r#"{"address":"https://app.terraform.io","base_path":"/api/v2/"}"#));
    assert_eq!(standard.settings, "[anchors.default]\ntoken_file = \"anchor.token\"\n");
    assert!(!standard.notes.join("\n").contains("rotate_every"));
}

#[test]
fn what_cannot_be_carried_over_is_said_with_a_way_out() {
    for (data, words) in [
        (r#"{"name":"_x","user_id":"user-1"}"#, "--rename '_x=x'"),
        (r#"{"name":"config","user_id":"user-1"}"#, "--rename 'config=role-1'"),
        (r#"{"name":"a","organization":"acme","credential_type":"agent"}"#, "\"agent\" is not known here"),
        (r#"{"name":"a","organization":"acme","ttl":"soon"}"#, "ttl is no time"),
        (r#"{"name":"a","organization":"acme","ttl":7200,"max_ttl":3600}"#, "greater than max_ttl"),
        (r#"{"name":"a"}"#, "a role needs an owner"),
        (r#"{"organization":"acme"}"#, "a role has no name"),
        (r#"{"address":"http://tfe.example"}"#, "clear text"),
        (r#"{"keys":["a","b"]}"#, "read each role"),
        (r#"{"x":1}"#, "neither a role nor the config"),
    ] {
        let imported = import_text(&answer(data));
        assert_eq!((imported.left_out, imported.roles.len()), (1, 0), "{data}");
        assert!(imported.notes.join("\n").contains(words), "{data}: {:?}", imported.notes);
    }
    let both = answer(r#"{"name":"a","user_id":"user-1"}"#) + &answer(r#"{"name":"a","user_id":"user-2"}"#);
    assert_eq!(import_text(&both).left_out, 1);
    assert_eq!(
        import_text(&answer(r#"{"name":"_ci","user_id":"user-1"}"#)).roles.keys().next().unwrap().as_str(),
        "ci"
    );
}

#[test]
fn what_vault_does_otherwise_is_noted() {
    let notes = |data: &str| import_text(&answer(data)).notes.join("\n");
    let slot = notes(r#"{"name":"a","organization":"acme","description":"x"}"#);
    assert!(
        slot.contains("replaces the one that Vault hands out") && slot.contains("description was left out"),
        "{slot}"
    );
    let long = notes(r#"{"name":"a","user_id":"user-1","ttl":100000,"max_ttl":2764800}"#);
    assert!(long.contains("max_ttl = \"768h\"") && long.contains("its ttl is longer"), "{long}");
    assert!(notes(r#"{"name":"a","user_id":"user-1"}"#).contains("768h unless changed"));
    assert!(notes(r#"{"name":"a","user_id":"user-1","ttl":60,"colour":"red"}"#).contains("left out: colour"));
}

#[test]
fn no_token_is_ever_repeated() {
    let planted = "EXAMPLEnotreal.atlasv1.planted";
    for input in [
        answer(&format!(r#"{{"token":"{planted}","token_id":"at-1"}}"#)),
        answer(&format!(r#"{{"name":"a","user_id":"user-1","token":"{planted}"}}"#)),
        answer(&format!(r#"{{"address":"https://x","token":"{planted}"}}"#)),
        answer(&format!(r#"{{"address":"{planted}"}}"#)),
        format!("{{\"data\": {planted}"),
    ] {
        let said = match import(input.as_bytes(), &options()) {
            Ok(imported) => format!("{imported:?}"),
            Err(error) => error,
        };
        assert!(!said.contains("planted"), "{said}");
    }
}

#[test]
fn what_is_no_answer_of_vault() {
    for input in ["", "[]", "[\"a\"]", "5", "{", "Error reading"] {
        assert!(import(input.as_bytes(), &options()).is_err(), "{input}");
    }
}

#[test]
fn times_as_go_writes_them() {
    for (text, seconds) in [("90", 90), ("1h30m", 5400), ("768h0m0s", 2_764_800), ("0s", 0), ("2d", 172_800)] {
        assert_eq!(go_duration(text), Some(Duration::from_secs(seconds)), "{text}");
    }
    for text in ["", "1", "x", "1h3", "-1h", "1.5h", "h"] {
        assert_eq!(go_duration(text).is_some(), text == "1", "{text}");
    }
}
