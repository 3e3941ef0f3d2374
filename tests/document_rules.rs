//! Documents, beyond the sentences of `documents.rs`: where an error stands, what is certain and when, what two writes
//! of a `config` owe each other, and what holds for any text.

use std::time::Duration;

use proptest::option;
use proptest::prelude::*;
use tfcfs::domain::anchor::{Access as AnchorAccess, Address, Anchor};
use tfcfs::domain::document::{
    Accounts, ConfigSpec, DocumentError, RoleSpec, check_config_prefix, check_role_prefix, render_role,
};
use tfcfs::domain::owner::{CredentialType, Owner};
use tfcfs::domain::role::{Access, OnClose, Role, Share};
use tfcfs::domain::token::Token;

/// `web` is 33.
struct Names;

impl Accounts for Names {
    fn uid(&self, name: &str) -> Option<u32> {
        (name == "web").then_some(33)
    }
    fn gid(&self, name: &str) -> Option<u32> {
        self.uid(name)
    }
}

fn parse(text: &str) -> Result<RoleSpec, DocumentError> {
    RoleSpec::parse(text.as_bytes(), &Names)
}

fn prefix(text: &str) -> Result<(), DocumentError> {
    check_role_prefix(text.as_bytes(), &Names)
}

/// Refused in the `write` already, with this sentence in both places.
fn certain(text: &str, says: &str) {
    let error = parse(text).expect_err(text);
    assert!(error.message.contains(says) && error.certain, "{text:?}: {error:?}");
    assert_eq!(prefix(text), Err(error), "{text:?}");
}

/// Accepted by the `write`, refused by the `close`.
fn missing(text: &str, says: &str) {
    let error = parse(text).expect_err(text);
    assert!(error.message.contains(says) && !error.certain, "{text:?}: {error:?}");
    assert_eq!(prefix(text), Ok(()), "{text:?}");
}

#[test]
fn every_error_about_a_key_names_its_line() {
    certain("# a role\n\nuser_id = \"u\"\ntll = 5\n", "line 4: unknown key \"tll\"");
    certain("user_id = \"u\"\r\nshare=opne\r\n", "line 2: share must be one of");
    certain("{\n\"user_id\": \"u\",\n\n\"ttl\": \"soon\"}", "line 4: ttl is not a time");
    certain("{\"user_id\": \"u\",\n\"nope\":\n1}", "line 2: unknown key \"nope\"");
    certain("user_id = \"\"\"\nu\"\"\"\nttl = -1\n", "line 3: ttl is negative");
    certain("ttl = \"2h\"\nmax_ttl = \"1h\"\n", "line 1: ttl is greater than max_ttl");
    certain("user_id = \"u\"\nuser_id = \"v\"\n", "line 2: user_id is given twice");
    certain("zzz = 1\naaa = 1\n", "line 1: unknown key \"zzz\"");
    let error = ConfigSpec::parse(b"token = \"t\"\n[anchors.ci]\ninsecure = 1\n").unwrap_err();
    assert!(error.message.starts_with("line 3: insecure in [anchors.ci] must be true or false"), "{error}");
}

#[test]
fn a_long_key_is_cut_because_it_may_be_a_secret() {
    let error = ConfigSpec::parse(format!("{}=1\n", "hunter2".repeat(10)).as_bytes()).unwrap_err();
    assert!(error.message.contains("unknown key \"hunter2h…\""), "{error}");
    let error = ConfigSpec::parse(format!("{{\"{0}\": 1, \"{0}\": 2}}", "hunter2".repeat(10)).as_bytes()).unwrap_err();
    assert!(!error.message.contains("hunter2hu"), "{error}");
}

#[test]
fn a_mode_in_ten_digits_is_never_guessed() {
    // 256 is 0400, and 44 would be 0054.
    for number in ["256", "288", "440", "44", "0"] {
        certain(&format!("mode = {number}\n"), &format!("{number} without quotes is a decimal number"));
        certain(&format!("{{\"mode\": {number}}}"), "is a decimal number");
    }
    for text in ["mode = 0o440", "mode=0440", "mode = \"440\"", "{\"mode\": \"0o440\", \"user_id\": \"u\"}"] {
        let text = if text.starts_with('{') { text.to_owned() } else { format!("user_id=u\n{text}") };
        assert_eq!(parse(&text).unwrap().resolve(None).access.mode, Some(0o440), "{text}");
    }
}

#[test]
fn numbers_are_no_names() {
    certain("organization = 123\n", "organization must be text, not a whole number; put it in quotes");
    certain("organization=1e3\nttl=1h\n", "organization must be text, not a number with a fraction; put it in quotes");
    assert_eq!(parse("organization=\"123\"\nttl=1h").unwrap().resolve(None).owner.id(), "123");
}

#[test]
fn unquoted_values_mix_with_toml() {
    let text = "description=it's [CI] # and why\nuser_id = \"u\"\ncredential_type=user\nttl=1h30m\n";
    let role = parse(text).unwrap().resolve(None);
    assert_eq!(role.description.as_deref(), Some("it's [CI]"));
    assert_eq!(role.ttl, Some(Duration::from_secs(5400)));
    let config = ConfigSpec::parse(b"token=a\n[anchors.tfe]\naddress=https://tfe.example\ntoken=b\n").unwrap();
    assert_eq!(config.anchors[1].address.as_deref(), Some("https://tfe.example"));
}

#[test]
fn what_is_certain_does_not_hide_behind_what_is_missing() {
    certain("organization = \"acme\"\nshare = \"open\"\nmode = \"0777\"\n", "mode must be");
    certain("ttl = \"2h\"\nmax_ttl = \"1h\"\nteam = \"ops\"\n", "ttl is greater");
    certain("bogus = 1\nuser_id = [\n", "unknown key");
    certain("organization = \"acme\n", "line 1");
}

#[test]
fn a_contradiction_is_certain_once_nothing_can_follow() {
    for line in ["share = \"open\"", "share = \"unit\"", "on_close = \"revoke\"", "description = \"x\""] {
        for kind in ["organization", "team_legacy"] {
            certain(&format!("credential_type = \"{kind}\"\n{line}\n"), "cannot be had");
        }
        missing(&format!("organization = \"acme\"\n{line}\n"), "cannot be had");
        missing(&format!("team_id = \"t\"\n{line}\n"), "write credential_type = \"team\"");
        assert!(parse(&format!("organization = \"acme\"\n{line}\nteam = \"t\"\ncredential_type = \"team\"")).is_ok());
    }
    missing("team = \"ops\"\nteam_id = \"t\"\n", "organization is missing");
    certain("credential_type = \"user\"\norganization = \"acme\"\n", "which is an organization: it needs user_id");
}

#[test]
fn what_is_still_being_written_is_not_judged() {
    for text in [
        "bogus = 1",
        "organization = \"acme",
        "organization = \"\"\"acme\n",
        "organization = [\n\"bogus\n",
        "{\"bogus\": 1",
        "user_id = \"u\"\nttl",
        "\u{feff}",
        "  {",
    ] {
        assert_eq!(prefix(text), Ok(()), "{text:?}");
    }
    assert_eq!(check_role_prefix(b"\xef\xbb", &Names), Ok(()), "half a byte order mark");
    assert!(check_role_prefix(b"bogus = 1\ndescription = \"\xc3", &Names).is_err(), "half a letter, later");
    assert!(prefix("bogus = 1\nuser_id = [\n").is_err());
}

fn stored(address: Address) -> Anchor {
    let token = Token::parse("old.token").unwrap();
    Anchor::new("default".parse().unwrap(), AnchorAccess { address, token, owner: None }, None)
}

fn merged(text: &str, stored: &Anchor) -> Result<AnchorAccess, DocumentError> {
    ConfigSpec::parse(text.as_bytes()).unwrap().anchors[0].merge(Some(stored))
}

#[test]
fn consent_to_clear_text_is_for_one_address() {
    let lab = Address::parse("http://lab.example", "/api/v2/", true).unwrap();
    assert_eq!(merged("token = \"new\"", &stored(lab.clone())).unwrap().address, lab);
    let error = merged("address = \"http://other.example\"\ntoken = \"new\"", &stored(lab)).unwrap_err();
    assert!(error.message.contains("clear text") && !error.certain, "{error}");
    let error = ConfigSpec::parse(b"insecure = false\naddress = \"http://other.example\"\n").unwrap_err();
    assert!(error.certain, "{error}");
}

#[test]
fn the_path_of_one_server_is_not_that_of_another() {
    let tfe = stored(Address::parse("https://tfe.example", "/tfe/api/v2/", false).unwrap());
    assert_eq!(merged("token = \"new\"", &tfe).unwrap().address, tfe.access.address);
    let moved = merged("address = \"https://new.example\"\ntoken = \"new\"", &tfe).unwrap();
    assert_eq!(moved.address.base_path(), "/api/v2/");
}

fn id() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_é-][A-Za-z0-9_.=é\"'\\\\\\[{-]{0,20}"
}

/// Owner, type, organization and team.
fn owner() -> impl Strategy<Value = (Owner, CredentialType, Option<String>, Option<String>)> {
    let team_kind = prop_oneof![Just(CredentialType::Team), Just(CredentialType::TeamLegacy)];
    prop_oneof![
        id().prop_map(|name| (Owner::Organization { name }, CredentialType::Organization, None, None)),
        id().prop_map(|id| (Owner::User { id }, CredentialType::User, None, None)),
        (id(), team_kind, option::of((id(), option::of(id())))).prop_map(|(id, kind, organization)| {
            let (organization, team) = organization.unzip();
            (Owner::Team { id }, kind, organization, team.flatten())
        }),
    ]
}

fn time() -> impl Strategy<Value = Option<Duration>> {
    let seconds = prop_oneof![1..200u64, (1..3000u64).prop_map(|h| h * 3600), 1..300_000_000u64];
    option::of(seconds.prop_map(Duration::from_secs))
}

fn mode() -> impl Strategy<Value = Option<u16>> {
    option::of((0..8u16).prop_map(|bits| (bits & 1) << 2 | (bits & 2) << 4 | (bits & 4) << 6))
}

fn role() -> impl Strategy<Value = Role> {
    let share = prop_oneof![Just(Share::Role), Just(Share::Unit), Just(Share::Open)];
    let on_close = prop_oneof![Just(OnClose::Linger), Just(OnClose::Revoke)];
    let account = || option::of(0..u32::MAX - 1);
    (
        owner(),
        option::of("[ -~é]{0,20}[!-~]"),
        share,
        (time(), time(), time()),
        on_close,
        (option::of(1..1_000_000u32), option::of((60..100_000u64).prop_map(Duration::from_secs))),
        (account(), account(), mode()),
        "[a-z0-9][a-z0-9_.-]{0,10}",
    )
        .prop_map(|(owner, description, share, times, on_close, (max_leases, rotate_every), access, anchor)| {
            let (owner, credential_type, organization, team) = owner;
            let slot = credential_type.is_slot();
            let (ttl, max_ttl) = match (times.0, times.1) {
                (Some(ttl), Some(max_ttl)) => (Some(ttl.min(max_ttl)), Some(max_ttl)),
                times => times,
            };
            Role {
                owner,
                credential_type,
                organization,
                team,
                description: description.filter(|_| !slot),
                share: if slot { Share::Role } else { share },
                ttl,
                max_ttl,
                on_close: if slot { OnClose::Linger } else { on_close },
                max_leases,
                min_rotation_interval: times.2,
                // Not for unshared roles, and not below the interval.
                rotate_every: rotate_every
                    .filter(|time| (slot || share != Share::Open) && times.2.is_none_or(|least| *time >= least)),
                access: Access { uid: access.0, gid: access.1, mode: access.2 },
                allow_units: match access.0 {
                    Some(uid) if uid % 2 == 1 => vec!["a.service".parse().unwrap(), "/b/\"c".parse().unwrap()],
                    _ => Vec::new(),
                },
                anchor: anchor.parse().unwrap_or_default(),
            }
        })
}

/// Lines of text that are a role as often as not: every kind of value in every notation.
fn scribble() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "organization",
        "team_id",
        "team",
        "user_id",
        "credential_type",
        "description",
        "share",
        "ttl",
        "max_ttl",
        "mode",
        "uid",
        "max_leases",
        "on_close",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "acme",
            "123",
            "1e3",
            "007",
            "inf",
            "true",
            "2026-01-01",
            "\"acme\"",
            "'acme'",
            "it's",
            "a [b",
            "a # b",
            "team",
            "\"team\"",
            "user",
            "team_legacy",
            "organization",
            "open",
            "\"open\"",
            "role",
            "1h",
            "\"2h\"",
            "0o440",
            "0440",
            "33",
            "web",
            "revoke",
            "[1,\n2]",
            "\"\"\"\nx\"\"\"",
            "'''a\nb=c\n'''",
            "{a = 1,\nb = [2]\n}",
            "\"a\\\"b\"",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,8}",
    ];
    let line = prop_oneof![
        8 => (key, prop::sample::select(vec!["=", " = "]), value).prop_map(|(key, is, value)| format!("{key}{is}{value}")),
        1 => Just("# a comment with [ and \"\"\"".to_owned()),
        1 => Just(String::new()),
    ];
    (prop::collection::vec(line, 1..5), prop::sample::select(vec!["\n", "\r\n"]))
        .prop_map(|(lines, end)| lines.iter().map(|line| format!("{line}{end}")).collect())
}

/// A role as JSON, from its TOML.
fn json(role: &Role) -> String {
    let table: toml::Table = render_role(role).parse().unwrap();
    serde_json::to_string_pretty(&table).unwrap()
}

fn every_prefix_passes(text: &str) {
    for end in 0..=text.len() {
        let checked = check_role_prefix(&text.as_bytes()[..end], &Names);
        assert!(checked.is_ok(), "{:?}: {checked:?}", String::from_utf8_lossy(&text.as_bytes()[..end]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_role_that_is_read_back_is_the_same(role in role()) {
        for text in [render_role(&role), json(&role), render_role(&role).replace('\n', "\r\n")] {
            let spec = RoleSpec::parse(text.as_bytes(), &Names);
            let spec = spec.map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert!(spec.lookup().is_none());
            prop_assert_eq!(spec.resolve(None), role.clone(), "{}", text);
        }
    }

    #[test]
    fn no_prefix_of_a_good_role_is_refused(role in role()) {
        every_prefix_passes(&render_role(&role));
        every_prefix_passes(&json(&role));
    }

    #[test]
    fn what_a_prefix_is_refused_for_is_refused_in_the_end(text in scribble()) {
        match RoleSpec::parse(text.as_bytes(), &Names) {
            Ok(_) => every_prefix_passes(&text),
            Err(error) if error.certain => {
                prop_assert!(check_role_prefix(text.as_bytes(), &Names).is_err(), "{}", error);
            }
            Err(_) => every_prefix_passes(&text),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,100}") {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            let whole = RoleSpec::parse(bytes, &Names).is_ok();
            prop_assert!(!whole || check_role_prefix(bytes, &Names).is_ok());
            let whole = ConfigSpec::parse(bytes).is_ok();
            prop_assert!(!whole || check_config_prefix(bytes).is_ok());
        }
    }
}
