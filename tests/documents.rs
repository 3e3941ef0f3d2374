//! Documents: what is refused and with which sentence, what is accepted in three notations, and when.

mod common;

use common::machine::Names;
use proptest::prelude::*;
use tfcfs::domain::anchor::{Access, Address, Anchor};
use tfcfs::domain::document::{
    ConfigSpec, DocumentError, RoleSpec, check_config_prefix, check_role_prefix, render_config, render_role,
};
use tfcfs::domain::role::{OnClose, Role, Share};
use tfcfs::domain::token::{Token, TokenId};

const SECRET: &str = "hunter2.atlasv1.hunter2";

fn spec(text: impl AsRef<[u8]>) -> Result<RoleSpec, DocumentError> {
    RoleSpec::parse(text.as_ref(), &Names)
}

fn role(text: impl AsRef<[u8]>) -> Role {
    spec(&text).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(text.as_ref()))).resolve(None)
}

fn refusal(text: impl AsRef<[u8]>) -> DocumentError {
    let error = spec(&text).expect_err(&String::from_utf8_lossy(text.as_ref()));
    assert!(!error.message.contains('\n') && error.message.len() < 700, "one sentence: {error}");
    error
}

/// The role is refused, the sentence has all these words, and already the write fails.
fn refused_at_once(text: impl AsRef<[u8]>, words: &[&str]) {
    let error = refusal(&text);
    has_words(&error, words);
    assert!(error.certain, "{error}");
    assert_eq!(check_role_prefix(text.as_ref(), &Names), Err(error));
}

/// The role is refused, but only once it is finished: something may follow.
fn refused_in_the_end(text: &str, words: &[&str]) {
    let error = refusal(text);
    has_words(&error, words);
    assert!(!error.certain, "{error}");
    assert_eq!(check_role_prefix(text.as_bytes(), &Names), Ok(()));
}

fn has_words(error: &DocumentError, words: &[&str]) {
    for word in words {
        assert!(error.message.contains(word), "{word:?} is not in: {error}");
    }
}

/// A value of a role that already has an owner.
fn value_refused(line: &str, words: &[&str]) {
    refused_at_once(format!("team_id = \"team-1\"\n{line}\n"), words);
}

#[test]
fn unknown_keys() {
    refused_at_once("bogus = 1\n", &["unknown key \"bogus\"; Known keys: organization, team_id"]);
    refused_at_once("tttl = 1\n", &["unknown key \"tttl\"; did you mean \"ttl\"? Known keys"]);
    refused_at_once("organisation=acme\n", &["did you mean \"organization\"?"]);
    refused_at_once(r#"{"teamid": "team-1"}"#, &["did you mean \"team_id\"?"]);
    refused_at_once("\"a\\nb\" = 1\n", &["unknown key \"ab\""]);
    refused_at_once(format!("{} = 1\n", "k".repeat(1000)), &["unknown key \"kkkk"]);
}

#[test]
fn no_owner() {
    for text in ["", "\n", "# nothing\n", "{}", "ttl = \"5m\"\n", "\u{feff}"] {
        refused_in_the_end(text, &["a role needs an owner", "organization = ", "team_id = ", "user_id = "]);
    }
    refused_in_the_end("team = \"ops\"\n", &["needs an owner", "organization and team"]);
}

#[test]
fn not_text() {
    let large = |size: usize| format!("team_id = \"team-1\"\n{}", "#\n".repeat(size / 2));
    refused_at_once(large(64 << 10), &["larger than 64 KiB"]);
    refused_at_once(large(1 << 20), &["larger than 64 KiB"]);
    role(large((64 << 10) - 32));
    refused_at_once(b"team_id = \"team-1\"\n\0", &["NUL bytes", "must be text"]);
    refused_at_once(b"team_id = \"t\xff\"\n", &["byte 13 is not UTF-8"]);
    assert_eq!(check_role_prefix("description = \"é".as_bytes().split_last().unwrap().1, &Names), Ok(()));
    refused_at_once("[1, 2]\n", &["line 1"]);
    refused_at_once("{\"ttl\": 5,}", &["line 1 column 11: this is not JSON"]);
    refused_at_once("{\"team_id\": \"team-1\"} x", &["this is not JSON"]);
    refused_at_once("team_id: team-1\n", &["line 1: expected key = value"]);
    refused_at_once("team_id = \"team-1\"\n\nttl 5m\n", &["line 3: expected key = value"]);
    refused_at_once("team_id = \"team-1\nttl = 5\n", &["line 1"]);
}

#[test]
fn what_is_never_closed_is_refused_in_the_end() {
    for text in ["team_id = \"\"\"team-1\n", "team_id = [\n", "{\"team_id\": \"team-1\"", "{\"team_id\": \"tea"] {
        assert_eq!(check_role_prefix(text.as_bytes(), &Names), Ok(()), "{text}");
        has_words(&refusal(text), &["line "]);
    }
}

#[test]
fn keys_given_twice() {
    refused_at_once("ttl = 5\nttl = 6\n", &["line 2: ttl is given twice"]);
    refused_at_once("ttl = \"5m\"\nttl = \"6m\"\n", &["line 2", "duplicate key"]);
    refused_at_once("ttl=5m\n\nttl=6m\n", &["line 3: ttl is given twice"]);
    refused_at_once("{\"ttl\": 5, \"ttl\": 6}", &["ttl is given twice; keep one of them"]);
}

#[test]
fn wrong_types() {
    value_refused("ttl = [5]", &["ttl must be a time", "not a list"]);
    value_refused("ttl = true", &["ttl must be a time", "not true or false"]);
    value_refused("share = 1.5", &["share must be text"]);
    value_refused("description = 2026-11-24", &["description must be text, not a date"]);
    value_refused("max_leases = \"many\"", &["max_leases must be a whole number, not text"]);
    value_refused("max_leases = 0", &["max_leases must be between 1 and"]);
    value_refused("max_leases = -1", &["max_leases must be between 1 and"]);
    value_refused("uid = 1.0", &["uid must be a name or a number"]);
    value_refused("[share]", &["share must be text, not a table"]);
    refused_at_once("team_id.x = \"1\"\n", &["team_id must be text, not a table"]);
    refused_at_once(r#"{"ttl": null}"#, &["ttl is null; leave the key out"]);
    refused_at_once(r#"{"ttl": [1]}"#, &["ttl must be a time", "not a list"]);
    refused_at_once(r#"{"max_leases": 18446744073709551615}"#, &["max_leases is too large a number"]);
}

#[test]
fn empty_values() {
    for key in ["organization", "team_id", "user_id", "share", "anchor"] {
        refused_at_once(format!("{key} = \" \"\n"), &[key, "is empty; leave the key out or give it a value"]);
        refused_at_once(format!("{key}=\n"), &["line 1", key, "has no value"]);
    }
    refused_at_once("team_id = \"a/b\"\n", &["team_id is not an id: no blanks, no slash"]);
    refused_at_once("organization = \"a b\"\n", &["organization is not an id"]);
}

#[test]
fn times() {
    value_refused("ttl = -5", &["ttl is negative"]);
    value_refused("ttl = \"-5m\"", &["ttl is negative"]);
    value_refused("ttl = \"11y\"", &["ttl is not a time; write seconds, or text such as"]);
    value_refused("ttl = 999999999999", &["ttl is more than ten years"]);
    value_refused("ttl = 9223372036854775807", &["ttl is more than ten years"]);
    value_refused("ttl = \"9223372036854775807d\"", &["ttl is not a time"]);
    value_refused("ttl = \"1500ms\"", &["ttl must be whole seconds"]);
    value_refused("ttl = 1.5", &["ttl must be a time"]);
    value_refused("ttl = \"soon\"", &["ttl is not a time"]);
    value_refused("ttl = \"\"", &["ttl is not a time"]);
    value_refused("ttl = \"2h\"\nmax_ttl = \"1h\"", &["ttl is greater than max_ttl"]);
    for (text, seconds) in [("300", 300), ("\"300\"", 300), ("\"5m\"", 300), ("\"1h30m\"", 5400), ("\"7d\"", 604_800)] {
        let parsed = role(format!("team_id = \"team-1\"\nttl = {text}\nmax_ttl = {text}\n"));
        assert_eq!(parsed.ttl.map(|ttl| ttl.as_secs()), Some(seconds), "{text}");
    }
    for zero in ["0", "\"0\"", "\"0s\""] {
        assert_eq!(role(format!("team_id = \"team-1\"\nttl = {zero}\nmax_ttl = 1\n")).ttl, None, "0 is the default");
    }
}

#[test]
fn modes_and_accounts() {
    for bad in ["\"0640\"", "\"0777\"", "0o600", "440", "\"rw\"", "-1", "\"\"", "\"9\"", "\"+440\""] {
        value_refused(&format!("mode = {bad}"), &["mode must be octal text with read bits only, such as \"0440\""]);
    }
    for good in ["mode = \"0440\"", "mode = \"440\"", "mode = \"0o440\"", "mode = 0o440"] {
        assert_eq!(role(format!("team_id = \"team-1\"\n{good}\n")).access.mode, Some(0o440), "{good}");
    }
    assert_eq!(role("team_id=team-1\nmode=0440\n").access.mode, Some(0o440));
    assert_eq!(role("team_id=team-1\nuid=web\ngid=0\n").access.uid, Some(33));
    value_refused("uid = \"nobody-here\"", &["uid names an account that this machine does not know; write its number"]);
    value_refused("gid = \"\"", &["gid names an account"]);
    value_refused("uid = -1", &["uid is not the number of an account"]);
    value_refused("uid = 4294967295", &["uid is not the number of an account"]);
    value_refused("uid = \"4294967295\"", &["uid is not the number of an account"]);
}

#[test]
fn units() {
    let units = |text: &str| {
        let role = role(format!("team_id=team-1\nallow_units={text}\n"));
        role.allow_units.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(units("[\"a.service\", \"/x.slice/y\"]"), ["a.service", "/x.slice/y"]);
    assert_eq!(units("a.service"), ["a.service"]);
    value_refused("allow_units = []", &["allow_units is empty; leave the key out to allow every unit"]);
    value_refused("allow_units = 7", &["allow_units must be a list of texts, not a whole number"]);
    value_refused("allow_units = [7]", &["allow_units must be a list of texts, not a whole number in it"]);
    value_refused("allow_units = [\"backup\"]", &["allow_units \"backup\" is not the name of a unit", ".service"]);
    value_refused("allow_units = [\"/a/../b\"]", &["allow_units \"/a/../b\" is not a cgroup path"]);
    let many = vec!["\"a.service\""; 65].join(",");
    value_refused(&format!("allow_units = [{many}]"), &["allow_units has more than 64 entries"]);
}

#[test]
fn rotation_by_schedule() {
    let every = |text: &str| role(format!("team_id=team-1\n{text}\n")).rotate_every.map(|time| time.as_secs());
    assert_eq!(
        (every("rotate_every=\"1d\""), every("rotate_every=60"), every("rotate_every=0")),
        (Some(86_400), Some(60), None)
    );
    value_refused("rotate_every = \"59s\"", &["line", "rotate_every must be at least 1m"]);
    value_refused("rotate_every = \"1h\"\nmin_rotation_interval = \"2h\"", &["not less than min_rotation_interval"]);
    value_refused(
        "rotate_every = \"1h\"\nshare = \"open\"",
        &["cannot be had with share = \"open\": every open already gets"],
    );
}

#[test]
fn words_and_names() {
    value_refused("share = \"units\"", &["share must be one of \"role\", \"unit\", \"open\"; did you mean \"unit\"?"]);
    value_refused("on_close = \"x\"", &["on_close must be one of \"linger\", \"revoke\""]);
    value_refused("credential_type = \"team-legacy\"", &["credential_type must be one of", "\"team_legacy\"?"]);
    value_refused("anchor = \"CI\"", &["anchor is not a name", "try \"ci\""]);
    value_refused("anchor = \"a/b\"", &["anchor is not a name", "'/' cannot stand"]);
    value_refused("anchor = \"config\"", &["anchor is not a name", "reserved"]);
    value_refused("description = \"a\\tb\"", &["description must be at most 120 bytes of printable text"]);
    value_refused(&format!("description = \"{}\"", "x".repeat(121)), &["description must be at most 120"]);
}

#[test]
fn two_owners() {
    for other in ["organization=acme", "team_id=team-1", "organization=acme\nteam=ops"] {
        refused_at_once(format!("user_id=user-1\n{other}\n"), &["two owners", "user_id excludes", "exactly one owner"]);
    }
    let both = role("organization=acme\nteam_id=team-1\n");
    assert_eq!((both.owner.kind(), both.organization.as_deref()), ("team", Some("acme")));
}

#[test]
fn types_and_owners() {
    let owners = [
        ("organization=acme\n", "organization", &["organization"][..]),
        ("team_id=team-1\n", "team", &["team_legacy", "team"]),
        ("organization=acme\nteam=ops\n", "team", &["team_legacy", "team"]),
        ("user_id=user-1\n", "user", &["user"]),
    ];
    for (owner, has, legal) in owners {
        assert_eq!(role(owner).credential_type.as_str(), legal[0], "what the owner implies");
        for kind in ["organization", "team_legacy", "team", "user"] {
            let text = format!("{owner}credential_type={kind}\n");
            if legal.contains(&kind) {
                assert_eq!(role(&text).credential_type.as_str(), kind);
                continue;
            }
            let words = [&*format!("credential_type = \"{kind}\" contradicts the owner, which is a"), has, "it needs"];
            match (has, kind) {
                // Its team may follow.
                ("organization", "team" | "team_legacy") => refused_in_the_end(&text, &words),
                _ => refused_at_once(&text, &words),
            }
        }
    }
}

#[test]
fn slots_are_the_same_for_everybody() {
    for owner in ["organization=acme\n", "team_id=team-1\n"] {
        for (line, words) in [
            ("share=open", "share other than \"role\" cannot be had"),
            ("share=unit", "share other than \"role\" cannot be had"),
            ("on_close=revoke", "on_close = \"revoke\" cannot be had"),
            ("description=x", "a description cannot be had"),
        ] {
            let error = refusal(format!("{owner}{line}\n"));
            has_words(&error, &[words, "credential_type = \"", "the same for everybody"]);
            let hint = error.message.contains("write credential_type = \"team\"");
            assert_eq!(hint, owner.starts_with("team"), "{error}");
        }
    }
    let many = role("team_id=team-1\ncredential_type=team\nshare=open\non_close=revoke\ndescription=x y\n");
    assert_eq!((many.share, many.on_close), (Share::Open, OnClose::Revoke));
}

#[test]
fn three_notations_one_role() {
    let toml = "organization = \"acme\"\nteam_id = \"team-1\"\ncredential_type = \"team\"\nttl = \"5m\"\nuid = 33\nmode = \"0440\"\n";
    let json =
        r#"{"organization":"acme","team_id":"team-1","credential_type":"team","ttl":300,"uid":"web","mode":"0440"}"#;
    let lines = "organization=acme\n# a team\n\nteam_id = team-1\ncredential_type=team\nttl=5m\nuid=web\nmode=0440\n";
    let expected = role(toml);
    for text in [json, lines] {
        assert_eq!(role(text), expected, "{text}");
        assert_eq!(role(format!("\u{feff}{text}")), expected, "BOM");
        assert_eq!(role(text.replace('\n', "\r\n")), expected, "CRLF");
        assert_eq!(role(text.trim_end()), expected, "no line break at the end");
    }
    assert_eq!(role(format!("\u{feff}{}", toml.replace('\n', "\r\n"))), expected);
    assert_eq!(role("organization=007\n").owner.id(), "007");
}

#[test]
fn teams_by_name_are_looked_up() {
    let spec = spec("organization=acme\nteam=ops\nanchor=ci\n").unwrap();
    let lookup = spec.lookup().unwrap();
    assert_eq!((&*lookup.organization, &*lookup.team, spec.anchor().as_str()), ("acme", "ops", "ci"));
    let role = spec.resolve(Some("team-9".into()));
    assert_eq!((role.owner.id(), role.team.as_deref()), ("team-9", Some("ops")));
}

#[test]
fn deep_keys_do_not_exhaust_the_stack() {
    let deep = "a.".repeat(30_000);
    for text in [format!("{deep}b=1\n"), format!("{deep}b=x\n"), format!("[{deep}b]\n"), "{\"a\":".repeat(13_000)] {
        refusal(&text);
        let _ = check_config_prefix(text.as_bytes());
    }
    refusal(format!("a={}\n", "[".repeat(60_000)));
}

fn config(text: impl AsRef<[u8]>) -> ConfigSpec {
    ConfigSpec::parse(text.as_ref()).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(text.as_ref())))
}

/// The only anchor of a document, completed by what is stored.
fn merged(text: &str, stored: Option<&Anchor>) -> Result<Access, DocumentError> {
    config(text).anchors[0].merge(stored)
}

fn stored(address: &str) -> Anchor {
    let address = Address::parse(address, "/api/v2/", true).unwrap();
    let access = Access { address, token: Token::parse("old.token").unwrap(), owner: None };
    Anchor::new("default".parse().unwrap(), access, Some(TokenId("at-1".into())))
}

fn config_refused(text: impl AsRef<[u8]>, words: &[&str]) {
    let error = ConfigSpec::parse(text.as_ref()).unwrap_err();
    has_words(&error, words);
    assert!(error.certain, "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "no secret in {error:?}");
    assert_eq!(check_config_prefix(text.as_ref()), Err(error), "the write fails already");
}

#[test]
fn config_keys_and_types() {
    config_refused("tokn = \"hunter2\"\n", &["unknown key \"tokn\"", "did you mean \"token\"?"]);
    config_refused("[anchors.ci]\ntokn = \"hunter2\"\n", &["\"tokn\" in [anchors.ci]", "did you mean \"token\"?"]);
    config_refused("token = [\"hunter2\"]\n", &["token must be text, not a list"]);
    config_refused("insecure = \"yes\"\n", &["insecure must be true or false, not text"]);
    config_refused("anchors = 1\n", &["anchors must be tables: [anchors.NAME]"]);
    config_refused("anchors.ci = 1\n", &["anchors must be tables: [anchors.NAME]"]);
    config_refused("[anchors.Ci]\ntoken = \"hunter2\"\n", &["[anchors.Ci]", "try \"ci\""]);
    config_refused("[anchors.\"a/b\"]\n", &["[anchors.a/b]", "'/' cannot stand in a name"]);
    config_refused("token=hunter2\nanchors.default.token=hunter2\n", &["\"default\" is given twice"]);
    config_refused("token = \"hunter2\"\ntoken = \"hunter2\"\n", &["line 2", "duplicate key"]);
    config_refused("{\"token\": \"hunter2\", \"token\": \"hunter2\"}", &["token is given twice"]);
    for empty in ["", "\n", "{}", "# token\n"] {
        let error = ConfigSpec::parse(empty.as_bytes()).unwrap_err();
        has_words(&error, &["the document is empty: write at least token"]);
        assert_eq!(check_config_prefix(empty.as_bytes()), Ok(()));
    }
}

#[test]
fn anchors_on_a_schedule() {
    let every = |text: &str| config(text).anchors[0].rotate_every.map(|time| time.as_secs());
    assert_eq!(every("token = \"abc\"\nrotate_every = \"30d\"\n"), Some(30 * 86_400));
    assert_eq!(every("[anchors.ci]\ntoken = \"abc\"\nrotate_every = 600\n"), Some(600));
    assert_eq!(every("token = \"abc\"\nrotate_every = 0\n"), None, "zero is off");
    config_refused("rotate_every = \"9m\"\n", &["line 1: rotate_every must be between 10m and 300d"]);
    config_refused("rotate_every = \"1y\"\n", &["rotate_every is not a time"]);
    config_refused("[anchors.ci]\nrotate_evry = 600\n", &["did you mean \"rotate_every\"?"]);
    let mut anchor = stored("https://tfe.example");
    anchor.rotate_every = Some(std::time::Duration::from_secs(86_400));
    let text = tfcfs::domain::document::render_config(&[&anchor]);
    assert!(text.contains("rotate_every = \"1d\""), "{text}");
    assert_eq!(every(&text), Some(86_400), "read back, it can be written back");
}

#[test]
fn a_pasted_token_alone_is_refused_and_not_shown() {
    for text in [SECRET.to_owned(), format!("{SECRET}\n"), format!("token {SECRET}\n"), format!("token: {SECRET}\n")] {
        let error = ConfigSpec::parse(text.as_bytes()).unwrap_err();
        has_words(&error, &["line 1: expected key = value"]);
        assert!(!error.message.contains("hunter2"));
    }
    for text in [format!("token = \"{SECRET}\n"), format!("{{\"token\": {SECRET}}}")] {
        let error = ConfigSpec::parse(text.as_bytes()).unwrap_err();
        assert!(!error.message.contains("hunter2"), "{error}");
    }
}

#[test]
fn addresses() {
    for (address, words) in [
        ("app.terraform.io", "address is not a URL"),
        ("https://", "address is not a URL"),
        ("ftp://tfe.example", "only https://"),
        ("https://tfe.example/app", "address has a path (that is what base_path is for)"),
        ("https://hunter2@tfe.example", "address has a user name or password"),
        ("https://tfe.example?x", "address has a query"),
    ] {
        config_refused(format!("address = \"{address}\"\n"), &["anchor \"default\"", words]);
        config_refused(format!("[anchors.ci]\naddress = \"{address}\"\n"), &["anchor \"ci\"", words]);
    }
    config_refused("base_path = \"api\"\n", &["base_path must begin with \"/\""]);
    config_refused("base_path = \"/../x\"\n", &["base_path must begin with \"/\""]);
}

#[test]
fn clear_text_only_on_demand() {
    let text = "address=http://tfe.example\ntoken=abc\n";
    assert_eq!(check_config_prefix(text.as_bytes()), Ok(()), "insecure may follow");
    let words = ["anchor \"default\"", "would send the token to tfe.example in clear text", "insecure = true"];
    has_words(&merged(text, None).unwrap_err(), &words);
    has_words(&config(text).anchors[0].check_alone().unwrap_err(), &words);
    assert!(merged(&format!("{text}insecure=true\n"), None).unwrap().address.insecure());
    assert!(merged("address=http://127.0.0.1:8080\ntoken=abc\n", None).is_ok());
}

#[test]
fn tokens_are_trimmed_and_never_shown() {
    for text in [format!("token = \"\\n {SECRET} \\n\"\n"), format!("token =   {SECRET}  \r\n")] {
        assert_eq!(merged(&text, None).unwrap().token.expose(), SECRET);
        assert!(!format!("{:?}", config(&text)).contains("hunter2"));
    }
    for inside in ["hunter2 hunter2", "hunter2\\nhunter2", "hunter2\u{e9}", &"hunter2".repeat(1000)] {
        config_refused(format!("token = \"{inside}\"\n"), &["token is refused: the token"]);
        config_refused(format!("{{\"token\": \"{inside}\"}}"), &["token is refused: the token"]);
    }
    config_refused("token=hunter2 hunter2\n", &["token is refused", "contains a blank"]);
    config_refused("token = \" \"\n", &["token is empty"]);
}

#[test]
fn what_is_absent_keeps_what_is_stored() {
    let old = stored("https://tfe.example");
    for text in ["token = \"(set)\"\n", "token = \" (set) \"\naddress = \"https://TFE.example/\"\n", "insecure=false\n"]
    {
        let access = merged(text, Some(&old)).unwrap();
        assert_eq!((access.address.origin(), access.token.expose()), ("https://tfe.example", "old.token"), "{text}");
    }
    let access = merged("token=new.token\n", Some(&old)).unwrap();
    assert_eq!((access.address.origin(), access.token.expose()), ("https://tfe.example", "new.token"));
    for text in ["address=https://other.example\n", "address=https://tfe.example:8443\ntoken=(set)\n"] {
        has_words(
            &merged(text, Some(&old)).unwrap_err(),
            &["anchor \"default\"", "new address", "write its token too"],
        );
    }
    has_words(&merged("token=(set)\n", None).unwrap_err(), &["anchor \"default\" has no token: write token = "]);
}

#[test]
fn several_anchors() {
    let names = |text: &str| -> Vec<String> { config(text).anchors.iter().map(|a| a.name.to_string()).collect() };
    assert_eq!(names("token=a\nanchors.ci.token=b\nanchors.b.address=https://b.example\n"), ["default", "b", "ci"]);
    assert_eq!(names("token = \"a\"\n[anchors.ci]\ntoken = \"b\"\n"), ["default", "ci"]);
    assert_eq!(names(r#"{"anchors": {"ci": {"token": "b"}}}"#), ["ci"], "default stays as it is");
    assert_eq!(names("[anchors.default]\ntoken = \"b\"\n"), ["default"]);
    assert_eq!(config("token=a\nanchors.ci.token=b\n"), config(r#"{"token":"a","anchors":{"ci":{"token":"b"}}}"#));
}

// What is generated -------------------------------------------------------------------------------------------------

/// Lines of a valid role: key, and the value as plain text.
fn role_lines() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let owner = prop_oneof![
        "[a-z0-9_-]{1,8}".prop_map(|id| vec![("organization", id)]),
        ("[a-z0-9_-]{1,8}", "team-[A-Za-z0-9]{1,8}").prop_map(|(a, b)| vec![("organization", a), ("team_id", b)]),
        "[a-z0-9_-]{1,8}".prop_map(|id| vec![("team_id", id), ("credential_type", "team".into())]),
        ("[a-z0-9]{1,8}", "[a-zé][a-zé.]{0,7}").prop_map(|(a, b)| vec![
            ("team", b),
            ("credential_type", "team_legacy".into()),
            ("organization", a)
        ]),
        "user-[a-z0-9]{1,8}".prop_map(|id| vec![("user_id", id)]),
    ];
    let rest = (
        proptest::option::of(1_u32..1_000_000),
        proptest::option::of(prop_oneof!["[1-9][0-9]{0,3}[smh]?", "0"]),
        proptest::option::of(prop_oneof![Just("0440"), Just("0400"), Just("444")]),
        proptest::option::of(0_u32..70_000),
        proptest::option::of("[a-z0-9][a-z0-9_.-]{0,5}".prop_filter("a name", |name| name != "config")),
        proptest::option::of("[a-zà-ü\"\\\\#=][ -~à-ü]{0,9}".prop_filter("text", |text| text.trim() == text)),
        (any::<bool>(), any::<bool>()),
    );
    (owner, rest).prop_flat_map(|(mut lines, (leases, ttl, mode, uid, anchor, description, (open, revoke)))| {
        lines.extend(leases.map(|n| ("max_leases", n.to_string())));
        lines.extend(ttl.map(|ttl| ("ttl", ttl)));
        lines.extend(mode.map(|mode| ("mode", mode.to_owned())));
        lines.extend(uid.map(|uid| ("uid", uid.to_string())));
        lines.extend(anchor.map(|anchor| ("anchor", anchor)));
        let many = lines.iter().any(|(key, value)| *key == "user_id" || value == "team");
        if many {
            lines.extend(description.map(|text| ("description", text)));
            lines.extend(open.then(|| ("share", "open".to_owned())));
            lines.extend(revoke.then(|| ("on_close", "revoke".to_owned())));
        }
        Just(lines).prop_shuffle()
    })
}

const NUMBERS: &[&str] = &["max_leases", "uid"];

fn as_toml(lines: &[(&str, String)]) -> String {
    let value = |key: &str, text: &String| match NUMBERS.contains(&key) {
        true => text.clone(),
        false => toml::Value::from(text.as_str()).to_string(),
    };
    lines.iter().map(|(key, text)| format!("{key} = {} # why\n", value(key, text))).collect()
}

fn as_multi_line_toml(lines: &[(&str, String)]) -> String {
    let escaped = |text: &String| text.replace('\\', "\\\\").replace('"', "\\\"");
    let value = |key: &str, text: &String| match NUMBERS.contains(&key) {
        true => text.clone(),
        false => format!("\"\"\"\n{}\\\n  \"\"\"", escaped(text)),
    };
    lines.iter().map(|(key, text)| format!("{key} = {}\n", value(key, text))).collect()
}

fn as_json(lines: &[(&str, String)]) -> String {
    let value = |key: &str, text: &String| match NUMBERS.contains(&key) {
        true => serde_json::from_str(text).unwrap(),
        false => serde_json::Value::from(text.as_str()),
    };
    let object: serde_json::Map<_, _> = lines.iter().map(|(key, text)| ((*key).to_owned(), value(key, text))).collect();
    serde_json::to_string_pretty(&object).unwrap()
}

fn as_lines(lines: &[(&str, String)]) -> String {
    lines.iter().map(|(key, text)| format!("{key}={text}\n")).collect()
}

fn every_beginning_passes(text: &str, check: impl Fn(&[u8]) -> Result<(), DocumentError>) {
    for end in 0..=text.len() {
        let beginning = &text.as_bytes()[..end];
        assert_eq!(check(beginning), Ok(()), "{:?} of {text:?}", String::from_utf8_lossy(beginning));
    }
}

fn accounts_prefix(bytes: &[u8]) -> Result<(), DocumentError> {
    check_role_prefix(bytes, &Names)
}

fn access() -> impl Strategy<Value = Access> {
    let address = prop_oneof![
        Just("https://app.terraform.io".to_owned()),
        ("https?", "[a-z]{1,9}", proptest::option::of(1_u16..)).prop_map(|(scheme, host, port)| match port {
            Some(port) => format!("{scheme}://{host}.example:{port}"),
            None => format!("{scheme}://{host}.example"),
        }),
    ];
    (address, "(/[a-z0-9]{1,5}){0,3}/?", "[!-~]{24,40}").prop_map(|(address, path, token)| Access {
        address: Address::parse(&address, &format!("/{}", path.trim_start_matches('/')), true).unwrap(),
        token: Token::parse(&token).unwrap(),
        owner: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_role_reads_back_as_itself(lines in role_lines()) {
        let written = spec(as_toml(&lines)).unwrap();
        let id = written.lookup().map(|_| "team-looked-up".to_owned());
        let written = written.resolve(id);
        let text = render_role(&written);
        prop_assert_eq!(role(&text), written, "{}", text);
        every_beginning_passes(&text, accounts_prefix);
    }

    #[test]
    fn every_beginning_of_a_good_role_passes(lines in role_lines()) {
        for text in [as_toml(&lines), as_multi_line_toml(&lines), as_json(&lines)] {
            prop_assert!(spec(&text).is_ok(), "{:?}: {text}", spec(&text));
            every_beginning_passes(&text, accounts_prefix);
            every_beginning_passes(&format!("\u{feff}{}", text.replace('\n', "\r\n")), accounts_prefix);
        }
        // Which unquoted values are text depends on all of them: what is not accepted promises nothing.
        let text = as_lines(&lines);
        if spec(&text).is_ok() {
            every_beginning_passes(&text, accounts_prefix);
        }
    }

    #[test]
    fn a_config_reads_back_as_itself(first in access(), other in access(), with_default in any::<bool>()) {
        let anchor = |name: &str, access: &Access| Anchor { name: name.parse().unwrap(), access: access.clone(), ..stored("https://x.example") };
        let mut anchors = vec![anchor("c.i", &other)];
        anchors.extend(with_default.then(|| anchor("default", &first)));
        let text = render_config(&anchors.iter().collect::<Vec<_>>());
        assert!(!text.contains(&format!("\"{}\"", other.token.expose())));
        every_beginning_passes(&text, check_config_prefix);
        let spec = config(&text);
        prop_assert_eq!(spec.anchors.len(), anchors.len(), "{}", text);
        for written in spec.anchors {
            let before = anchors.iter().find(|anchor| anchor.name == written.name).unwrap();
            prop_assert_eq!(&written.merge(Some(before)).unwrap(), &before.access, "{}", text);
        }
    }

    #[test]
    fn every_beginning_of_a_good_config_passes(access in access(), more in any::<bool>()) {
        let mut lines = vec![("address", access.address.origin().to_owned()), ("base_path", access.address.base_path().to_owned())];
        lines.push(("token", access.token.expose().to_owned()));
        if more {
            lines.push(("anchors.ci.token", "abc".into()));
        }
        let mut texts = vec![format!("{}insecure = true\n", as_toml(&lines)), as_multi_line_toml(&lines)];
        texts.push(format!("{}insecure=true\n", as_lines(&lines)));
        lines.truncate(3);
        texts.push(as_json(&lines));
        for text in texts {
            if ConfigSpec::parse(text.as_bytes()).is_ok() {
                every_beginning_passes(&text, check_config_prefix);
            }
        }
    }

    #[test]
    fn whatever_is_written_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[a-z=\"'\\[\\]{}.,:#\\\\\n\r 0-9-]{0,60}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            let finished = (spec(bytes).map(|_| ()), ConfigSpec::parse(bytes).map(|_| ()));
            // A write that fails is a document that fails.
            prop_assert!(check_role_prefix(bytes, &Names).is_ok() || finished.0.is_err());
            prop_assert!(check_config_prefix(bytes).is_ok() || finished.1.is_err());
        }
    }

    #[test]
    fn no_message_shows_a_value(quote in "[\"' ]{0,2}", noise in "[=:\"'{}, \n]{0,3}") {
        for text in [format!("token = {quote}{SECRET}{noise}"), format!("{{\"token\": {quote}{SECRET}{noise}")] {
            if let Err(error) = ConfigSpec::parse(text.as_bytes()) {
                prop_assert!(!error.message.contains("hunter2"), "{} for {}", error, text);
            }
        }
    }
}
