//! Documents that are made up: they read back as themselves, every beginning of a good one passes, nothing panics.

use super::support::*;
use proptest::prelude::*;
use tfcfs::domain::anchor::{Access, Address, Anchor};
use tfcfs::domain::document::{
    ConfigSpec, DocumentError, check_config_prefix, check_role_prefix, render_config, render_role,
};
use tfcfs::domain::token::Token;

use crate::common::machine::Names;

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
