//! Upstream: is it there, does it accept each anchor, is its clock ours, and may the anchors do what the roles need.
//!
//! GET calls only. The anchors and roles are those of the settings file and, where it can be read, of the ledger.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::task::JoinSet;

use super::roles::{self, RoleAsked};
use super::settings::{client_settings, count};
use super::state::AS_SERVICE;
use super::{Finding, Level};
use crate::adapters::tfc::{TfcClient, TfcSettings};
use crate::config::{Settings, is_unread};
use crate::domain::anchor::{Access, Identity};
use crate::domain::ledger::Stored;
use crate::domain::name::AnchorName;
use crate::domain::ports::{ApiError, ApiErrorKind, TokenApi};

const CHECK: &str = "upstream";
const CLOCK: &str = "clock";

/// A clock that is off by more makes tokens that are dead when they come, or live longer than they should.
const WRONG: SignedDuration = SignedDuration::from_secs(60);
const DOUBTFUL: SignedDuration = SignedDuration::from_secs(5);

/// One call with its repeats.
const CALL: Duration = Duration::from_secs(6);

/// More roles than that are not asked about: each may cost a call.
const MOST_ROLES: usize = 200;

/// What is to be asked.
pub struct Asked {
    anchors: Vec<(AnchorName, Access)>,
    roles: Vec<RoleAsked>,
    /// Anchors whose token is a credential of systemd, with how many roles use each.
    unread: Vec<(AnchorName, usize)>,
    /// The ledger, which may have more of both, could not be read.
    pub partial: bool,
}

impl Asked {
    /// From the settings and the ledger's records (`None` = they could not be read). What the file has wins.
    pub fn of(settings: &Settings, records: Option<&[Stored]>) -> Self {
        let mut anchors: Vec<(AnchorName, Access)> = settings.anchors.clone();
        let mut roles: Vec<RoleAsked> =
            settings.roles.iter().map(|(name, spec)| RoleAsked::of_spec(name.clone(), spec)).collect();
        for record in records.unwrap_or_default() {
            match record {
                Stored::Anchor(anchor) if !anchors.iter().any(|(name, _)| *name == anchor.name) => {
                    anchors.push((anchor.name.clone(), anchor.access.clone()));
                }
                Stored::Role(name, stored) if !roles.iter().any(|role| role.name == *name) => {
                    roles.push(RoleAsked::of_role(name.clone(), &stored.role));
                }
                _ => {}
            }
        }
        let (unread, anchors): (Vec<_>, Vec<_>) = anchors.into_iter().partition(|(_, access)| is_unread(&access.token));
        let roles_of = |name: &AnchorName| roles.iter().filter(|role| role.anchor == *name).count();
        let unread: Vec<_> = unread.into_iter().map(|(name, _)| (name.clone(), roles_of(&name))).collect();
        roles.retain(|role| !unread.iter().any(|(name, _)| role.anchor == *name));
        Self { anchors, roles, unread, partial: records.is_none() }
    }
}

/// What upstream said to an anchor.
#[derive(Debug, Clone)]
pub struct AnchorFacts {
    /// Its name.
    pub name: AnchorName,
    /// Scheme, host and port.
    pub origin: String,
    /// Whose it is, or what went wrong.
    pub answer: Result<Identity, ApiError>,
    /// Upstream's clock minus ours.
    pub clock: Option<SignedDuration>,
    /// Name and version of the server.
    pub server: Option<String>,
    /// `X-TFE-…-Version`.
    pub version: Option<String>,
}

/// Asks, and says what the answers mean. Nobody is waited for longer than `deadline`.
pub fn examine(settings: &Settings, asked: &Asked, deadline: Duration) -> Vec<Finding> {
    let mut findings: Vec<Finding> = asked.unread.iter().map(|(name, roles)| not_read(name, *roles)).collect();
    if asked.anchors.is_empty() {
        if findings.is_empty() {
            findings.push(no_anchor(asked));
        }
        return findings;
    }
    let tfc = TfcSettings { call_deadline: CALL, ..client_settings(settings) };
    // Why there is none is a finding of the settings.
    let Ok(client) = TfcClient::new(tfc) else { return findings };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![Finding::problem(CHECK, format!("no threads can be started: {error}"), "ulimit -u")],
    };
    let client = Arc::new(client);
    findings.extend(runtime.block_on(async {
        match tokio::time::timeout(deadline, ask(&client, asked)).await {
            Ok(found) => found,
            Err(_) => vec![Finding::problem(
                CHECK,
                format!("not everything was answered within {} s", deadline.as_secs()),
                "try again; a slow proxy or a rate limit may be in the way",
            )],
        }
    }));
    // A look-up of a host name cannot be interrupted.
    runtime.shutdown_background();
    findings
}

async fn ask(client: &Arc<TfcClient>, asked: &Asked) -> Vec<Finding> {
    let mut calls = JoinSet::new();
    for (name, access) in asked.anchors.clone() {
        let client = client.clone();
        calls.spawn(async move {
            let answer = client.whoami(&access).await;
            let origin = access.address.origin().to_owned();
            let seen = client.health().into_iter().find(|seen| seen.origin == origin);
            let (clock, app, version) =
                seen.map_or((None, None, None), |seen| (seen.clock_offset, seen.app_name, seen.tfe_version));
            let server = [app, version.clone()].into_iter().flatten().collect::<Vec<_>>().join(" ");
            let server = (!server.is_empty()).then_some(server);
            (AnchorFacts { name, origin, answer, clock, server, version }, access)
        });
    }
    let mut anchors = calls.join_all().await;
    anchors.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    let mut findings: Vec<Finding> = anchors.iter().map(|(facts, _)| judge(facts)).collect();
    findings.extend(clocks(anchors.iter().map(|(facts, _)| facts)));
    let (now, later) = asked.roles.split_at(asked.roles.len().min(MOST_ROLES));
    let mut calls = JoinSet::new();
    for role in now.iter().cloned() {
        let client = client.clone();
        let anchor = anchors.iter().find(|(facts, _)| facts.name == role.anchor).cloned();
        let partial = asked.partial;
        calls.spawn(async move { roles::examine(&client, &role, anchor.as_ref(), partial).await });
    }
    let mut judged = calls.join_all().await;
    judged.sort_by(|one, other| one.what.cmp(&other.what));
    findings.extend(judged);
    if !later.is_empty() {
        findings.push(Finding::warning(
            CHECK,
            format!("{} more were not asked about", count(later.len(), "role")),
            "tfcfs errors shows what their openers meet",
        ));
    }
    findings
}

fn not_read(name: &AnchorName, roles: usize) -> Finding {
    let what = format!(
        "the token of anchor \"{name}\" is a credential of systemd, which only the service gets: neither it nor {} were asked about",
        count(roles, "role")
    );
    Finding::warning(CHECK, what, AS_SERVICE)
}

fn no_anchor(asked: &Asked) -> Finding {
    if asked.partial {
        return Finding::ok(CHECK, "not asked: the anchors are in the ledger, which cannot be read now");
    }
    Finding::warning(
        CHECK,
        "there is no anchor yet, so nobody can have a token",
        "write one to the file config of the mount (cat MOUNT/README), or put [anchors.default] into the settings file",
    )
}

/// What an anchor's answer means.
pub fn judge(facts: &AnchorFacts) -> Finding {
    let (name, origin) = (&facts.name, &facts.origin);
    let error = match &facts.answer {
        Ok(identity) => {
            let whose =
                identity.owner.as_ref().map_or_else(|| "somebody upstream does not name".into(), ToString::to_string);
            let server = facts.server.as_ref().map(|server| format!(" ({server})")).unwrap_or_default();
            return Finding::ok(CHECK, format!("{origin}{server} accepts anchor \"{name}\", of {whose}"));
        }
        Err(error) => error,
    };
    let detail = match error.detail.as_str() {
        "" => String::new(),
        detail => format!(" [{detail}]"),
    };
    let problem = |what: &str, way_out: &str| {
        Finding::problem(CHECK, format!("{origin}: {what}, asked with anchor \"{name}\"{detail}"), way_out)
    };
    match error.kind {
        ApiErrorKind::Unauthorized => problem(
            "it refuses the token (401): revoked, expired, or switched off",
            "put a good token into the anchor's token_file and reload (SIGHUP), or write it to the file config of the mount",
        ),
        ApiErrorKind::NotVisible => problem(
            "it does not know whose token this is (403 or 404)",
            "is address the one of HCP Terraform or Terraform Enterprise, and base_path right (/api/v2/)?",
        ),
        ApiErrorKind::Refused => {
            problem("the connection is refused", "correct address and port, or start what should listen there")
        }
        ApiErrorKind::Unreachable => problem(
            "it cannot be reached",
            "correct the address; look at name server, route, firewall and proxy (HTTPS_PROXY, proxy)",
        ),
        ApiErrorKind::Tls => problem(
            "TLS fails",
            "for a private authority set ca_file in the settings; for an expired certificate look at both clocks",
        ),
        ApiErrorKind::Timeout => {
            problem("no answer in time", "look at network, firewall and proxy (HTTPS_PROXY, proxy); try again")
        }
        ApiErrorKind::RateLimited => Finding::warning(
            CHECK,
            format!("{origin}: the rate limit of anchor \"{name}\"'s owner is used up{detail}"),
            "nothing, if that was a moment's rush; else give tfcfs an anchor of its own, or lower rate in the settings",
        ),
        _ => problem(
            "it failed, or what answers is not this API",
            "look at what listens there (a proxy, a login page?); ask its operator",
        ),
    }
}

/// One finding for each upstream whose clock can be told.
fn clocks<'a>(anchors: impl Iterator<Item = &'a AnchorFacts>) -> Vec<Finding> {
    let mut seen: Vec<(&str, SignedDuration)> = Vec::new();
    for facts in anchors {
        if let Some(offset) = facts.clock.filter(|_| !seen.iter().any(|(origin, _)| *origin == facts.origin)) {
            seen.push((&facts.origin, offset));
        }
    }
    seen.into_iter().map(|(origin, offset)| judge_clock(origin, offset)).collect()
}

/// What the difference of the clocks means; positive = upstream is ahead.
pub fn judge_clock(origin: &str, offset: SignedDuration) -> Finding {
    let seconds = offset.abs().as_secs();
    let (direction, effect) = match offset.is_positive() {
        true => ("ahead of ours", "tokens end that much sooner, and short-lived ones are dead when they come"),
        false => ("behind ours", "tokens live that much longer upstream than they should"),
    };
    let way_out = "set this machine's clock (timedatectl set-ntp true), or have upstream's set";
    let what = format!("the clock of {origin} is {seconds} s {direction}: {effect}");
    match offset.abs() {
        off if off > WRONG => Finding::problem(CLOCK, what, way_out),
        off if off > DOUBTFUL => Finding::warning(CLOCK, what, way_out),
        _ => Finding::ok(CLOCK, format!("the clock of {origin} and ours agree")),
    }
}

/// Whether something is wrong with an anchor that makes asking about its roles useless.
pub(super) fn unusable(facts: &AnchorFacts) -> bool {
    judge(facts).level != Level::Ok
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(answer: Result<Identity, ApiError>) -> AnchorFacts {
        AnchorFacts {
            name: AnchorName::default(),
            origin: "https://x".into(),
            answer,
            clock: None,
            server: Some("HCP Terraform".into()),
            version: None,
        }
    }

    #[test]
    fn each_failure_of_upstream_has_its_way_out() {
        let identity = Identity { owner: None, username: "u".into(), token_id: None };
        let fine = judge(&facts(Ok(identity)));
        assert_eq!(fine.level, Level::Ok);
        assert!(fine.what.contains("https://x (HCP Terraform) accepts anchor \"default\""), "{fine:?}");
        for (kind, what, way_out) in [
            (ApiErrorKind::Unauthorized, "401", "token_file"),
            (ApiErrorKind::NotVisible, "403 or 404", "base_path"),
            (ApiErrorKind::Refused, "refused", "address and port"),
            (ApiErrorKind::Unreachable, "cannot be reached", "name server"),
            (ApiErrorKind::Tls, "TLS fails", "ca_file"),
            (ApiErrorKind::Timeout, "no answer in time", "proxy"),
            (ApiErrorKind::Remote, "not this API", "operator"),
            (ApiErrorKind::Invalid, "not this API", "operator"),
        ] {
            let finding = judge(&facts(Err(ApiError::new(kind, "words of upstream"))));
            assert_eq!(finding.level, Level::Problem, "{finding:?}");
            assert!(finding.what.contains(what) && finding.what.contains("[words of upstream]"), "{finding:?}");
            assert!(finding.way_out.as_ref().unwrap().contains(way_out), "{finding:?}");
        }
        let limited = judge(&facts(Err(ApiError::new(ApiErrorKind::RateLimited, ""))));
        assert_eq!(limited.level, Level::Warning);
    }

    #[test]
    fn clocks_a_minute_apart_are_a_problem() {
        let level = |seconds| judge_clock("https://x", SignedDuration::from_secs(seconds)).level;
        assert_eq!([0, 5, -5, 6, -60, 61, -61].map(level), {
            use Level::{Ok, Problem, Warning};
            [Ok, Ok, Ok, Warning, Warning, Problem, Problem]
        });
        assert!(judge_clock("x", SignedDuration::from_secs(90)).what.contains("90 s ahead of ours"));
        assert!(judge_clock("x", SignedDuration::from_secs(-90)).what.contains("90 s behind ours"));
    }

    #[test]
    fn without_an_anchor() {
        let asked = |partial| Asked { anchors: Vec::new(), roles: Vec::new(), unread: Vec::new(), partial };
        assert_eq!(no_anchor(&asked(false)).level, Level::Warning);
        assert_eq!(no_anchor(&asked(true)).level, Level::Ok);
    }
}
