//! Whether an anchor may make what a role needs. Nothing is made to find out.

use super::Finding;
use super::upstream::{AnchorFacts, unusable};
use crate::adapters::tfc::TfcClient;
use crate::domain::anchor::{Access, Identity};
use crate::domain::document::{RoleSpec, TeamLookup};
use crate::domain::name::{AnchorName, RoleName};
use crate::domain::owner::{CredentialType, Owner};
use crate::domain::ports::{ApiError, ApiErrorKind, TokenApi};
use crate::domain::role::Role;

const CHECK: &str = "role";

/// Described team tokens came with that version of Terraform Enterprise.
const DESCRIBED: (u32, u32) = (1, 1);

/// A role, as far as its rights go.
#[derive(Debug, Clone)]
pub struct RoleAsked {
    /// Its name.
    pub name: RoleName,
    /// The anchor it names.
    pub anchor: AnchorName,
    owner: Owner,
    kind: CredentialType,
    /// Its team is named, not known by its id.
    lookup: Option<TeamLookup>,
}

impl RoleAsked {
    pub(super) fn of_spec(name: RoleName, spec: &RoleSpec) -> Self {
        Self { lookup: spec.lookup().cloned(), ..Self::of_role(name, &spec.clone().resolve(None)) }
    }

    pub(super) fn of_role(name: RoleName, role: &Role) -> Self {
        Self { name, anchor: role.anchor.clone(), owner: role.owner.clone(), kind: role.credential_type, lookup: None }
    }
}

/// What upstream said about a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// There is no such anchor; whether the ledger, which may have it, was not read.
    NoAnchor(bool),
    /// Its anchor does not work, so nothing was asked.
    NotAsked,
    /// No team of that name can be seen.
    NoTeam(String),
    /// The call failed.
    Failed(ApiError),
    /// Whether the anchor may make tokens of the owner; `None` = upstream does not say.
    May(Option<bool>),
}

pub(super) async fn examine(
    client: &TfcClient,
    role: &RoleAsked,
    anchor: Option<&(AnchorFacts, Access)>,
    partial: bool,
) -> Finding {
    let Some((facts, access)) = anchor else { return judge(role, None, None, &Said::NoAnchor(partial)) };
    let identity = facts.answer.as_ref().ok();
    let version = facts.version.as_deref();
    if unusable(facts) {
        return judge(role, identity, version, &Said::NotAsked);
    }
    let mut role = role.clone();
    if let Some(lookup) = role.lookup.take() {
        match client.team_id(access, &lookup.organization, &lookup.team).await {
            Ok(Some(id)) => role.owner = Owner::Team { id },
            Ok(None) => {
                let team = format!("team \"{}\" in organization {}", lookup.team, lookup.organization);
                return judge(&role, identity, version, &Said::NoTeam(team));
            }
            Err(error) => return judge(&role, identity, version, &Said::Failed(error)),
        }
    }
    let said = match client.may_make_tokens(access, &role.owner).await {
        Ok(may) => Said::May(may),
        Err(error) => Said::Failed(error),
    };
    judge(&role, identity, version, &said)
}

/// What it means, for an anchor of `identity` on a server of `version`.
pub fn judge(role: &RoleAsked, identity: Option<&Identity>, version: Option<&str>, said: &Said) -> Finding {
    let (name, anchor, owner) = (&role.name, &role.anchor, &role.owner);
    let problem = |what: String, way_out: &str| Finding::problem(CHECK, format!("role \"{name}\": {what}"), way_out);
    let whose = identity.and_then(|identity| identity.owner.as_ref());
    let rights = "give the anchor a token that may (of a user who is an owner, or of the organization for its teams), or name another anchor in the role";
    match said {
        Said::NoAnchor(true) => Finding::warning(
            CHECK,
            format!(
                "role \"{name}\": anchor \"{anchor}\" is not in the settings file; it may be in the ledger, which cannot be read now"
            ),
            "cat MOUNT/config shows the anchors in force",
        ),
        Said::NoAnchor(false) => problem(
            format!("there is no anchor \"{anchor}\""),
            "write it to the file config of the mount, or as [anchors.NAME] into the settings file",
        ),
        Said::NotAsked => Finding::warning(
            CHECK,
            format!("role \"{name}\": not looked at, since anchor \"{anchor}\" does not work"),
            "see to the anchor first",
        ),
        Said::NoTeam(team) => problem(
            format!("anchor \"{anchor}\" sees no {team}"),
            "correct the name, or write team_id; or the anchor may not see it",
        ),
        Said::Failed(error) if error.kind == ApiErrorKind::NotVisible => problem(
            format!(
                "{owner} does not exist, or anchor \"{anchor}\" may not see it (upstream answers the same to both)"
            ),
            "check the id; give the anchor a token that sees it, or name another anchor in the role",
        ),
        Said::Failed(error) => Finding::warning(
            CHECK,
            format!("role \"{name}\": upstream could not be asked about {owner} [{}]", error.detail),
            "try again in a moment",
        ),
        Said::May(_) if matches!(owner, Owner::User { .. }) && whose.is_some_and(|whose| whose != owner) => problem(
            format!(
                "only a token of {owner} itself makes tokens for it, and anchor \"{anchor}\" is of {}",
                whose.map_or_else(String::new, ToString::to_string)
            ),
            "add an anchor with a token of that user ([anchors.NAME]), and name it in the role: anchor = \"NAME\"",
        ),
        Said::May(Some(false)) => problem(format!("anchor \"{anchor}\" may not make tokens of {owner}"), rights),
        Said::May(_) if role.kind == CredentialType::Organization && whose == Some(owner) => problem(
            format!("its token would replace the one that anchor \"{anchor}\" is, which lives in the same place"),
            "give the anchor the token of a user or a team, or write the role for another organization",
        ),
        Said::May(_) if role.kind == CredentialType::Team && is_older(version) => problem(
            format!("Terraform Enterprise {} has no described team tokens", version.unwrap_or_default()),
            "upgrade it to 1.1, or write credential_type = \"team_legacy\" (one token for each team, which a new one kills)",
        ),
        Said::May(None) => Finding::ok(
            CHECK,
            format!("role \"{name}\": {owner} is there; whether anchor \"{anchor}\" may make its tokens is not told"),
        ),
        Said::May(Some(true)) => {
            Finding::ok(CHECK, format!("role \"{name}\": anchor \"{anchor}\" may make tokens of {owner}"))
        }
    }
}

/// Whether a version of Terraform Enterprise has no described team tokens: `1.0.3`, or a month as `202505-1`. Of HCP Terraform
/// there is none.
fn is_older(version: Option<&str>) -> bool {
    let Some(version) = version.map(|text| text.trim_start_matches('v')) else { return false };
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) < DESCRIBED,
        // The months came before the numbers.
        _ => version.len() > 6 && version.as_bytes().get(6) == Some(&b'-') && version.starts_with("20"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    fn role(owner: Owner, kind: CredentialType) -> RoleAsked {
        RoleAsked { name: "app".parse().unwrap(), anchor: AnchorName::default(), owner, kind, lookup: None }
    }

    fn team() -> RoleAsked {
        role(Owner::Team { id: "team-1".into() }, CredentialType::Team)
    }

    fn of(owner: Owner) -> Identity {
        Identity { owner: Some(owner), username: "u".into(), token_id: None }
    }

    #[track_caller]
    fn is(finding: &Finding, level: Level, what: &str, way_out: &str) {
        assert_eq!(finding.level, level, "{finding:?}");
        assert!(finding.what.contains(what), "{finding:?}");
        assert!(finding.way_out.clone().unwrap_or_default().contains(way_out), "{finding:?}");
    }

    #[test]
    fn each_lack_of_a_right_has_its_way_out() {
        let alice = of(Owner::User { id: "user-1".into() });
        let judge = |role: &RoleAsked, said: Said| super::judge(role, Some(&alice), None, &said);
        is(&judge(&team(), Said::May(Some(true))), Level::Ok, "may make tokens of team team-1", "");
        is(&judge(&team(), Said::May(None)), Level::Ok, "is not told", "");
        is(&judge(&team(), Said::May(Some(false))), Level::Problem, "may not make tokens", "a token that may");
        is(&judge(&team(), Said::NoAnchor(false)), Level::Problem, "no anchor \"default\"", "[anchors.NAME]");
        is(&judge(&team(), Said::NoAnchor(true)), Level::Warning, "may be in the ledger", "config");
        is(&judge(&team(), Said::NotAsked), Level::Warning, "not looked at", "anchor first");
        is(&judge(&team(), Said::NoTeam("team \"x\"".into())), Level::Problem, "sees no team \"x\"", "team_id");
        let hidden = ApiError::new(ApiErrorKind::NotVisible, "404");
        is(&judge(&team(), Said::Failed(hidden)), Level::Problem, "does not exist, or", "check the id");
        let failed = ApiError::new(ApiErrorKind::Remote, "503");
        is(&judge(&team(), Said::Failed(failed)), Level::Warning, "[503]", "try again");
        let own = role(Owner::User { id: "user-1".into() }, CredentialType::User);
        is(&judge(&own, Said::May(Some(true))), Level::Ok, "may make", "");
        is(&judge(&own, Said::May(Some(false))), Level::Problem, "may not make", "");
        let other = role(Owner::User { id: "user-2".into() }, CredentialType::User);
        is(
            &judge(&other, Said::May(Some(true))),
            Level::Problem,
            "only a token of user user-2 itself",
            "[anchors.NAME]",
        );
    }

    #[test]
    fn an_organization_cannot_replace_its_own_anchor() {
        let acme = Owner::Organization { name: "acme".into() };
        let slot = role(acme.clone(), CredentialType::Organization);
        is(&judge(&slot, Some(&of(acme)), None, &Said::May(Some(true))), Level::Problem, "would replace", "of a user");
    }

    #[test]
    fn described_team_tokens_need_a_version() {
        for (version, older) in
            [("1.0.3", true), ("202505-1", true), ("v202211-1", true), ("1.1.0", false), ("2.0", false)]
        {
            assert_eq!(is_older(Some(version)), older, "{version}");
        }
        assert!(!is_older(None));
        let finding = judge(&team(), None, Some("1.0.3"), &Said::May(Some(true)));
        is(&finding, Level::Problem, "1.0.3 has no described", "team_legacy");
        let legacy = role(Owner::Team { id: "team-1".into() }, CredentialType::TeamLegacy);
        assert_eq!(judge(&legacy, None, Some("1.0.3"), &Said::May(Some(true))).level, Level::Ok);
    }
}
