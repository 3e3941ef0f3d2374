//! Documents as they are read back: exactly what is in force, defaults left out, writable unchanged.

use std::fmt::Write;
use std::time::Duration;

use toml::Value;

use super::config::SET;
use super::times;
use crate::domain::anchor::{Anchor, DEFAULT_ADDRESS, DEFAULT_BASE_PATH};
use crate::domain::name::AnchorName;
use crate::domain::owner::{CredentialType, Owner};
use crate::domain::role::{OnClose, Role, Share};

struct Lines(String);

impl Lines {
    fn text(&mut self, key: &str, value: &str) {
        let _ = writeln!(self.0, "{key} = {}", Value::from(value));
    }

    fn time(&mut self, key: &str, value: Option<Duration>) {
        if let Some(value) = value {
            self.text(key, &times::shown(value));
        }
    }

    fn number(&mut self, key: &str, value: Option<u32>) {
        if let Some(value) = value {
            let _ = writeln!(self.0, "{key} = {value}");
        }
    }
}

/// A role as TOML.
pub fn render_role(role: &Role) -> String {
    let mut lines = Lines(String::new());
    match &role.owner {
        Owner::Organization { name } => lines.text("organization", name),
        Owner::Team { id } => {
            if let Some(organization) = &role.organization {
                lines.text("organization", organization);
            }
            if let Some(team) = &role.team {
                lines.text("team", team);
            }
            lines.text("team_id", id);
        }
        Owner::User { id } => lines.text("user_id", id),
    }
    // A team's type is always shown: that it is a slot surprises otherwise.
    if matches!(role.credential_type, CredentialType::Team | CredentialType::TeamLegacy) {
        lines.text("credential_type", role.credential_type.as_str());
    }
    if let Some(description) = &role.description {
        lines.text("description", description);
    }
    match role.share {
        Share::Role => {}
        Share::Unit => lines.text("share", "unit"),
        Share::Open => lines.text("share", "open"),
    }
    lines.time("ttl", role.ttl);
    lines.time("max_ttl", role.max_ttl);
    if role.on_close == OnClose::Revoke {
        lines.text("on_close", "revoke");
    }
    lines.number("max_leases", role.max_leases);
    lines.time("min_rotation_interval", role.min_rotation_interval);
    lines.time("rotate_every", role.rotate_every);
    lines.number("uid", role.access.uid);
    lines.number("gid", role.access.gid);
    if let Some(mode) = role.access.mode {
        lines.text("mode", &format!("{mode:04o}"));
    }
    if !role.allow_units.is_empty() {
        let units = role.allow_units.iter().map(|unit| Value::from(unit.to_string())).collect();
        let _ = writeln!(lines.0, "allow_units = {}", Value::Array(units));
    }
    if role.anchor != AnchorName::default() {
        lines.text("anchor", role.anchor.as_str());
    }
    lines.0
}

/// The anchors as TOML. A token is shown as `"(set)"`, never in any other form.
pub fn render_config(anchors: &[&Anchor]) -> String {
    if anchors.is_empty() {
        return "# no anchor yet; write:  token = \"…\"   (and address = \"https://…\" for Terraform Enterprise)\n"
            .into();
    }
    let mut lines = Lines(String::new());
    let default = AnchorName::default();
    let (first, others): (Vec<&Anchor>, Vec<&Anchor>) = anchors.iter().partition(|anchor| anchor.name == default);
    for anchor in first.into_iter().chain(others) {
        if anchor.name != default {
            let _ = writeln!(lines.0, "\n[anchors.{}]", Value::from(anchor.name.as_str()));
        }
        let address = &anchor.access.address;
        if address.origin() != DEFAULT_ADDRESS || anchor.name != default {
            lines.text("address", address.origin());
        }
        if address.base_path() != DEFAULT_BASE_PATH {
            lines.text("base_path", address.base_path());
        }
        if address.insecure() {
            let _ = writeln!(lines.0, "insecure = true");
        }
        lines.text("token", SET);
        lines.time("rotate_every", anchor.rotate_every);
        let owner = anchor.access.owner.as_ref().map_or_else(|| "not told by upstream".into(), ToString::to_string);
        let _ = writeln!(lines.0, "# owner: {owner}");
        if let Some(id) = &anchor.token_id {
            let _ = writeln!(lines.0, "# token id: {id}");
        }
    }
    lines.0
}
