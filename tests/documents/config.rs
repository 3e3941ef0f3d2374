//! The mount's `config`: keys, addresses, tokens that are never shown, and what is kept when it is absent.

use super::support::*;
use tfcfs::domain::document::{ConfigSpec, check_config_prefix};

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
