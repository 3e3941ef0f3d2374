//! What is written into `roles/NAME`.

use tfcfs::domain::document::{RoleSpec, check_role_prefix, render_role};
use tfcfs::domain::role::Role;

use crate::common::machine::Names;
use crate::properties::{cuts, planted, sentence};

pub fn target(input: &[u8]) {
    let document = planted(input);
    let beginning = check_role_prefix(&document, &Names);
    if let Err(error) = &beginning {
        sentence(&error.message);
        assert!(error.certain);
    }
    match RoleSpec::parse(&document, &Names) {
        Err(error) => {
            sentence(&error.message);
            assert!(error.certain || beginning.is_ok(), "{error}");
        }
        Ok(spec) => {
            beginning.expect("what is accepted in the close was refused in the write");
            for cut in cuts(document.len()) {
                check_role_prefix(&document[..cut], &Names).expect("the beginning of a good document");
            }
            let found = spec.lookup().map(|_| "team-found".to_owned());
            reads_back(&spec.resolve(found));
        }
    }
}

/// What is in force, printed and written again, is the same.
pub fn reads_back(role: &Role) {
    let text = render_role(role);
    let again = RoleSpec::parse(text.as_bytes(), &Names).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(again.lookup(), None, "{text}");
    assert_eq!(&again.resolve(None), role, "{text}");
    assert_eq!(render_role(role), text);
}
