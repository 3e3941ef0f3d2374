//! The forms of a lease: the bytes behind each door. Pure, and the same for the whole life of a lease.

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::ino::Door;
use crate::domain::lease::{LeaseId, LeaseRecord};
use crate::domain::name::RoleName;
use crate::domain::owner::CredentialType;
use crate::domain::role::{Limits, Role};

/// Bytes that hold a secret; wiped when the last handle goes.
pub type Secret = Zeroizing<Vec<u8>>;

/// Length of tokens and token ids seen last: what a size is guessed from before a token exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Bytes of a token.
    pub token: usize,
    /// Bytes of a token id.
    pub id: usize,
}

impl Default for Lengths {
    /// What HCP Terraform issues (reference section 4).
    fn default() -> Self {
        Self { token: 90, id: 19 }
    }
}

impl Lengths {
    /// Of a lease.
    pub fn of(record: &LeaseRecord) -> Option<Self> {
        Some(Self { token: record.token.as_ref()?.expose().len(), id: record.token_id.as_ref()?.0.len() })
    }
}

/// What a door shows of a lease.
struct Face<'a> {
    host: String,
    role: &'a RoleName,
    credential_type: CredentialType,
    lease_id: &'a str,
    issued_at: Timestamp,
    ends_at: Timestamp,
    ttl: u64,
    token: &'a str,
    token_id: &'a str,
}

/// The bytes of a door; `None` before the token exists.
pub fn render(door: Door, role: &RoleName, record: &LeaseRecord) -> Option<Secret> {
    let face = Face {
        host: record.address.host(),
        role,
        credential_type: record.credential_type,
        lease_id: record.id.as_str(),
        issued_at: record.issued_at,
        ends_at: record.ends_at,
        ttl: record.times.ttl.as_secs(),
        token: record.token.as_ref()?.expose(),
        token_id: &record.token_id.as_ref()?.0,
    };
    Some(Zeroizing::new(face.render(door).into_bytes()))
}

/// The size a door will have if the next token of `role` has these lengths.
pub fn guess(door: Door, name: &RoleName, role: &Role, limits: &Limits, host: String, lengths: Lengths) -> u64 {
    let face = Face {
        host,
        role: name,
        credential_type: role.credential_type,
        lease_id: &"0".repeat(LeaseId::LENGTH),
        issued_at: Timestamp::UNIX_EPOCH,
        ends_at: Timestamp::UNIX_EPOCH,
        ttl: role.times(limits).ttl.as_secs(),
        token: &"x".repeat(lengths.token),
        token_id: &"x".repeat(lengths.id),
    };
    face.render(door).len() as u64
}

impl Face<'_> {
    fn render(&self, door: Door) -> String {
        let Self { host, token, .. } = self;
        match door {
            Door::Token => (*token).to_owned(),
            Door::Env => format!("{}={token}\n", env_name(host)),
            Door::Tfrc => {
                let (host, token) = (json(host), json(token));
                format!("{{\n  \"credentials\": {{\n    {host}: {{\n      \"token\": {token}\n    }}\n  }}\n}}\n")
            }
            Door::TokenJson => format!(
                concat!(
                    "{{\"token\":{},\"token_id\":{},\"role\":{},\"credential_type\":{},\"lease_id\":{},",
                    "\"issued_at\":{},\"expires_at\":{},\"lease_duration\":{},\"renewable\":{}}}\n"
                ),
                json(token),
                json(self.token_id),
                json(self.role.as_str()),
                json(self.credential_type.as_str()),
                json(self.lease_id),
                json(&whole_seconds(self.issued_at)),
                json(&whole_seconds(self.ends_at)),
                self.ttl,
                !self.credential_type.is_slot(),
            ),
        }
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// RFC 3339 without fractions: fixed width, so that sizes can be foretold.
fn whole_seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The variable terraform reads for a host (reference 6.2). A port cannot be written for terraform; `tfctl` reads it
/// after an underscore.
pub fn env_name(host: &str) -> String {
    let (name, port) = host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let encoded = name.trim_matches(['[', ']']).replace('-', "__").replace(['.', ':'], "_");
    match port {
        Some(port) => format!("TF_TOKEN_{encoded}_{port}"),
        None => format!("TF_TOKEN_{encoded}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_names_as_terraform_wants() {
        assert_eq!(env_name("app.terraform.io"), "TF_TOKEN_app_terraform_io");
        assert_eq!(env_name("tfe.my-corp.example"), "TF_TOKEN_tfe_my__corp_example");
        assert_eq!(env_name("xn--caf-dma.fr"), "TF_TOKEN_xn____caf__dma_fr");
        assert_eq!(env_name("127.0.0.1:8443"), "TF_TOKEN_127_0_0_1_8443");
    }
}
