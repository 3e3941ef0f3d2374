//! Roles: what is refused and with which sentence, and what three notations mean.

use super::support::*;
use tfcfs::domain::document::{check_config_prefix, check_role_prefix};
use tfcfs::domain::role::{OnClose, Share};

use crate::common::machine::Names;

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
