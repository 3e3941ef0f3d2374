//! What of a mount's `status` wants somebody's attention. Pure: the text, the place and the time come in.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use toml::{Table, Value};

use crate::commands::tables::cell;

/// A revocation that waits for so long wants a look, whatever the reason.
const OLD: SignedDuration = SignedDuration::from_secs(60);

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Trouble {
    /// What.
    pub(super) what: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<String>,
    /// What the daemon met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    /// What a person can do.
    pub(super) to_do: String,
    /// What happens if nobody does anything.
    pub(super) by_itself: String,
}

/// What is wrong, worst first.
pub(super) fn troubles(status: &Table, mount: &Path, now: Timestamp) -> Vec<Trouble> {
    let mut all = Vec::new();
    all.extend(ledger(status));
    all.extend(audit(status));
    all.extend(anchors(status, mount));
    all.extend(upstreams(status, mount));
    all.extend(revocations(status, now));
    all
}

fn text(table: &Table, key: &str) -> Option<String> {
    Some(cell(table, key)).filter(|text| !text.is_empty())
}

fn section<'a>(status: &'a Table, key: &str) -> Option<&'a Table> {
    status.get(key).and_then(Value::as_table)
}

fn ledger(status: &Table) -> Option<Trouble> {
    let ledger = section(status, "ledger")?;
    Some(Trouble {
        what: "the ledger cannot be written: no token can be made, rotated or recorded (EROFS)".into(),
        since: text(ledger, "failing_since"),
        why: text(ledger, "error"),
        to_do:
            "make room in the state directory, or mount its disk read-write again; tfcfs doctor says how much is left"
                .into(),
        by_itself: "tokens at hand are handed out until their end; all goes on with the first write that succeeds"
            .into(),
    })
}

fn audit(status: &Table) -> Vec<Trouble> {
    let Some(audit) = section(status, "audit") else { return Vec::new() };
    let required = audit.get("required").and_then(Value::as_bool).unwrap_or(false);
    let places = audit.iter().filter_map(|(name, place)| Some((name, place.as_table()?)));
    let trouble = |(name, place): (&String, &Table)| {
        let at = text(place, "place").unwrap_or_else(|| name.clone());
        let missing = place.get("dropped").and_then(Value::as_integer).unwrap_or(0);
        let lost = format!("{missing} lines are missing there");
        match text(place, "error") {
            Some(error) => Some(Trouble {
                what: match required {
                    true => format!("the audit trail {at} cannot be written, and it is required: every open of a token is refused (EROFS)"),
                    false => format!("the audit trail {at} cannot be written: {lost}"),
                },
                since: text(place, "failing_since"),
                why: Some(error),
                to_do: "make room, or correct owner and mode of the file and its directory; then reload: kill -HUP (systemctl reload tfcfs)".into(),
                by_itself: "it is tried again with each line and every 2 s; how many lines are missing is written as a line of its own".into(),
            }),
            None if missing > 0 => Some(Trouble {
                what: format!("the audit trail {at} is written, but {lost}"),
                since: None,
                why: None,
                to_do: "look for its lines \"dropped\", which say when and why; the count is back to 0 after a restart".into(),
                by_itself: "nothing more is missing now".into(),
            }),
            None => None,
        }
    };
    places.filter_map(trouble).collect()
}

/// Anchors that are missing or refused.
fn anchors(status: &Table, mount: &Path) -> Vec<Trouble> {
    let config = mount.join("config");
    let write = |key: &str| {
        format!("write a good one: printf 'token = \"%s\"\\n' \"$(cat {key})\" | tee {} >/dev/null", config.display())
    };
    let upstream = section(status, "upstream");
    if upstream.is_none_or(Table::is_empty) {
        return vec![Trouble {
            what: "no anchor is configured: nobody can have a token (ENOKEY)".into(),
            since: None,
            why: None,
            to_do: format!("{}; or [anchors.default] in the settings file", write("FILE")),
            by_itself: "nothing".into(),
        }];
    }
    let refused = upstream.into_iter().flatten().filter_map(|(name, anchor)| {
        let anchor = anchor.as_table()?;
        let since = text(anchor, "refused_since")?;
        Some(Trouble {
            what: format!("upstream refuses the token of anchor \"{name}\" (401, EKEYREJECTED): revoked, expired or switched off"),
            since: Some(since),
            why: text(anchor, "last_error"),
            to_do: format!("{} (of [anchors.{name}]); an anchor of the settings file: into its token_file, then kill -HUP (systemctl reload tfcfs)", write("FILE")),
            by_itself: "tokens at hand are handed out until their end; nothing new is made; revocations wait, and go on when the anchor is accepted".into(),
        })
    });
    refused.collect()
}

/// Upstreams that do not work, or have another time; each address once.
fn upstreams(status: &Table, mount: &Path) -> Vec<Trouble> {
    let mut failing: BTreeMap<String, (Vec<String>, &Table)> = BTreeMap::new();
    let mut clocks: BTreeMap<String, String> = BTreeMap::new();
    for (name, anchor) in section(status, "upstream").into_iter().flatten() {
        let Some(anchor) = anchor.as_table() else { continue };
        let address = text(anchor, "address").unwrap_or_else(|| name.clone());
        if let Some(clock) = text(anchor, "clock") {
            clocks.insert(address.clone(), clock);
        }
        // Older daemons say only that it is not reachable.
        if anchor.contains_key("failing_since") || anchor.get("reachable") == Some(&Value::Boolean(false)) {
            failing.entry(address).or_insert((Vec::new(), anchor)).0.push(format!("\"{name}\""));
        }
    }
    let does_not_work = failing.into_iter().map(|(address, (names, anchor))| {
        let reachable = anchor.get("reachable") != Some(&Value::Boolean(false));
        let how = if reachable { "answers, but its answers are of no use" } else { "cannot be reached" };
        Trouble {
            what: format!("upstream {address} {how} (anchor {})", names.join(", ")),
            since: text(anchor, "failing_since").or_else(|| text(anchor, "last_contact")),
            why: text(anchor, "last_error"),
            to_do: format!("tfcfs doctor {} asks it and says what is in the way; else ask its operator", mount.display()),
            by_itself: "tokens at hand are handed out until their end; each open that needs a new one asks again; revocations are repeated until they are proven".into(),
        }
    });
    let wrong_time = clocks.into_iter().map(|(address, clock)| Trouble {
        what: format!("the clock of {address} is {clock}"),
        since: None,
        why: None,
        to_do: "timedatectl set-ntp true here, or have it set there".into(),
        by_itself: "lives of tokens are shortened by the difference, so that none is handed out past its end".into(),
    });
    does_not_work.chain(wrong_time).collect()
}

fn revocations(status: &Table, now: Timestamp) -> Option<Trouble> {
    let revocations = section(status, "revocations")?;
    let pending = revocations.get("pending").and_then(Value::as_integer).filter(|pending| *pending > 0)?;
    let oldest = text(revocations, "oldest");
    let reason = text(revocations, "reason");
    let age =
        oldest.as_deref().and_then(|oldest| oldest.parse().ok()).map(|oldest: Timestamp| now.duration_since(oldest));
    if reason.is_none() && age.is_none_or(|age| age < OLD) {
        return None;
    }
    let what = match pending {
        1 => "1 token that should be gone may still work upstream: its revocation waits".into(),
        many => format!("{many} tokens that should be gone may still work upstream: their revocations wait"),
    };
    Some(Trouble {
        what,
        since: oldest,
        why: reason,
        to_do: "tfcfs leases --pending shows each and why; what can never be proven: tfcfs forget LEASE".into(),
        by_itself: "each is tried again, after 1 s, doubled up to 5 minutes, for ever; upstream ends each token at its max_ttl + 60 s".into(),
    })
}

/// ` (12 min ago)`; nothing for what is no time.
pub(super) fn ago(at: &str, now: Timestamp) -> String {
    let Ok(at) = at.parse::<Timestamp>() else { return String::new() };
    let seconds = now.duration_since(at).as_secs().max(0);
    let text = match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days", seconds / 86_400),
    };
    format!(" ({text} ago)")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: &str = "
version = \"0.1.0\"
started_at = \"2026-11-24T11:00:00.000Z\"
[revocations]
pending = 0
[upstream.default]
address = \"https://x\"
reachable = true
[upstream.other]
address = \"https://x\"
reachable = true
";

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn of(text: &str) -> Vec<Trouble> {
        troubles(&text.parse().unwrap(), Path::new("/mnt/tfc"), now())
    }

    #[track_caller]
    fn one(text: &str, what: &str, since: Option<&str>, to_do: &str, by_itself: &str) {
        let found = of(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].what.contains(what), "{found:?}");
        assert_eq!(found[0].since.as_deref(), since);
        assert!(found[0].to_do.contains(to_do) && found[0].by_itself.contains(by_itself), "{found:?}");
    }

    #[test]
    fn what_is_fine_is_no_trouble() {
        assert_eq!(of(FINE), []);
        // On their way.
        let young = "pending = 3\noldest = \"2026-11-24T11:59:30.000Z\"";
        assert_eq!(of(&FINE.replace("pending = 0", young)), []);
    }

    #[test]
    fn each_trouble_says_since_when_what_to_do_and_what_happens_by_itself() {
        let t = "2026-11-24T11:30:00.000Z";
        let with = |section: &str| format!("{FINE}\n{section}");
        one(
            &with(&format!("[ledger]\nfailing_since = \"{t}\"\nerror = \"full\"")),
            "the ledger cannot be written",
            Some(t),
            "make room",
            "goes on with the first write",
        );
        let audit = |more: &str| format!("{FINE}\n[audit]\n{more}place = \"/a\"\nlines = 1\ndropped = 2\n");
        let failing = format!("failing_since = \"{t}\"\nerror = \"full\"\n");
        one(
            &audit(&format!("required = true\n[audit.file]\n{failing}")),
            "every open of a token is refused",
            Some(t),
            "make room",
            "every 2 s",
        );
        one(
            &audit(&format!("required = false\n[audit.file]\n{failing}")),
            "/a cannot be written: 2 lines",
            Some(t),
            "HUP",
            "",
        );
        one(&audit("required = false\n[audit.file]\n"), "is written, but 2 lines are missing", None, "dropped", "");
        let refused = FINE.replace("[upstream.other]", &format!("refused_since = \"{t}\"\n[upstream.other]"));
        one(&refused, "refuses the token of anchor \"default\"", Some(t), "tee /mnt/tfc/config", "revocations wait");
        // Two anchors of one upstream are one trouble.
        let down = FINE.replace("reachable = true", &format!("reachable = false\nfailing_since = \"{t}\""));
        one(
            &down,
            "https://x cannot be reached (anchor \"default\", \"other\")",
            Some(t),
            "tfcfs doctor /mnt/tfc",
            "asks again",
        );
        let broken = FINE.replace("[upstream.other]", &format!("failing_since = \"{t}\"\n[upstream.other]"));
        one(&broken, "answers, but its answers are of no use (anchor \"default\")", Some(t), "doctor", "");
        let clock = FINE.replace("[upstream.other]", "clock = \"90 s behind ours\"\n[upstream.other]");
        one(&clock, "the clock of https://x is 90 s behind ours", None, "timedatectl", "shortened");
        let waiting = FINE.replace("pending = 0", &format!("pending = 2\noldest = \"{t}\""));
        one(&waiting, "2 tokens that should be gone", Some(t), "tfcfs leases --pending", "for ever");
        let why = FINE.replace("pending = 0", "pending = 1\noldest = \"2026-11-24T11:59:59Z\"\nreason = \"no\"");
        one(&why, "1 token that should be gone", Some("2026-11-24T11:59:59Z"), "forget", "");
        one("[upstream]\n", "no anchor is configured", None, "tee /mnt/tfc/config", "nothing");
    }

    #[test]
    fn how_long_ago() {
        for (at, text) in [
            ("2026-11-24T12:00:00Z", " (0 s ago)"),
            ("2026-11-24T11:58:00Z", " (2 min ago)"),
            ("2026-11-24T09:30:00Z", " (2 h 30 min ago)"),
            ("2026-11-20T12:00:00Z", " (4 days ago)"),
            ("2026-11-25T12:00:00Z", " (0 s ago)"),
            ("never", ""),
        ] {
            assert_eq!(ago(at, now()), text, "{at}");
        }
    }
}
