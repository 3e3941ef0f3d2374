//! What is written into `config`.

use tfcfs::domain::anchor::Anchor;
use tfcfs::domain::document::{ConfigSpec, DocumentError, check_config_prefix, render_config};

use crate::properties::{cuts, knows_the_secret, planted, secretless, sentence};

pub fn target(input: &[u8]) {
    let document = planted(input);
    let beginning = check_config_prefix(&document);
    if let Err(error) = &beginning {
        sentence(&error.message);
        assert!(error.certain);
    }
    let spec = match ConfigSpec::parse(&document) {
        Err(error) => {
            sentence(&error.message);
            assert!(error.certain || beginning.is_ok(), "{error}");
            return;
        }
        Ok(spec) => spec,
    };
    beginning.expect("what is accepted in the close was refused in the write");
    for cut in cuts(document.len()) {
        check_config_prefix(&document[..cut]).expect("the beginning of a good document");
    }
    // Other values than tokens are shown as they are.
    let public = |text: &Option<String>| text.as_ref().is_none_or(|text| !knows_the_secret(text.as_bytes()));
    if spec.anchors.iter().all(|anchor| public(&anchor.address) && public(&anchor.base_path)) {
        secretless(&format!("{spec:?}"));
    }
    for anchor in &spec.anchors {
        if let Err(error) = anchor.check_alone() {
            sentence(&error.message);
        }
    }
    match in_force(&spec) {
        Ok(anchors) => reads_back(&anchors),
        Err(error) => sentence(&error.message),
    }
}

/// The anchors of a document on a fresh mount.
fn in_force(spec: &ConfigSpec) -> Result<Vec<Anchor>, DocumentError> {
    let anchor = |spec: &tfcfs::domain::document::AnchorSpec| {
        let anchor = Anchor::new(spec.name.clone(), spec.merge(None)?, None);
        Ok(Anchor { rotate_every: spec.rotate_every, ..anchor })
    };
    spec.anchors.iter().map(anchor).collect()
}

/// What is in force, printed and written again, is the same.
fn reads_back(anchors: &[Anchor]) {
    let text = render_config(&anchors.iter().collect::<Vec<_>>());
    let again = ConfigSpec::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(again.anchors.len(), anchors.len(), "{text}");
    for spec in &again.anchors {
        let former = anchors.iter().find(|anchor| anchor.name == spec.name).expect("no new name");
        assert_eq!(spec.merge(Some(former)).as_ref(), Ok(&former.access), "{text}");
        assert_eq!(spec.rotate_every, former.rotate_every, "{text}");
    }
}
