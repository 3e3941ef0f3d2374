//! What is fixed when a fake starts: which product it plays, where it listens.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// Which product and version the fake plays; decides headers and features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// app.terraform.io of mid-2026.
    Hcp,
    /// Terraform Enterprise with a numeric version.
    Tfe(u32, u32),
    /// Terraform Enterprise v202505-1, of the time before numeric versions.
    TfeMonthly,
    /// Terraform Enterprise 2.1 behind a proxy that removes every header which would tell so, the rate limit's too.
    NoHeaders,
}

impl Mode {
    /// Whether this is HCP Terraform.
    pub fn is_hcp(self) -> bool {
        self == Self::Hcp
    }

    /// Described team tokens, the plural path.
    pub fn has_multi_team_tokens(self) -> bool {
        self.at_least(1, 1)
    }

    /// Tokens end after two years unless asked otherwise, and lifetimes can be limited.
    pub fn ends_tokens_by_default(self) -> bool {
        self.at_least(2, 0)
    }

    /// `links.auth-token` on `account/details`.
    pub fn names_token_in_use(self) -> bool {
        self.at_least(2, 1)
    }

    fn at_least(self, major: u32, minor: u32) -> bool {
        match self {
            Self::Hcp => true,
            Self::Tfe(have_major, have_minor) => (have_major, have_minor) >= (major, minor),
            Self::TfeMonthly => false,
            Self::NoHeaders => (2, 1) >= (major, minor),
        }
    }

    /// The version headers of this product.
    pub fn headers(self) -> Vec<(&'static str, String)> {
        let api = |version: &str, app: &str| vec![("tfp-api-version", version.to_owned()), ("tfp-appname", app.into())];
        match self {
            Self::Hcp => api("2.6", "HCP Terraform"),
            Self::Tfe(1, 0) => api("2.6", "Terraform Enterprise"),
            Self::Tfe(major, minor) => {
                let mut headers = api("2.6", "Terraform Enterprise");
                headers.push(("x-tfe-current-version", format!("{major}.{minor}.0")));
                headers
            }
            Self::TfeMonthly => {
                let mut headers = api("2.6", "Terraform Enterprise");
                headers.push(("x-tfe-version", "202505-1".into()));
                headers
            }
            Self::NoHeaders => Vec::new(),
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "hcp" => return Ok(Self::Hcp),
            "tfe-monthly" => return Ok(Self::TfeMonthly),
            "no-headers" => return Ok(Self::NoHeaders),
            _ => {}
        }
        let version = text.strip_prefix("tfe:").and_then(|version| version.split_once('.'));
        let parsed = version.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let (major, minor) =
            parsed.ok_or_else(|| format!("{text:?} is none of hcp, tfe:2.1, tfe:1.0, tfe-monthly, no-headers"))?;
        Ok(Self::Tfe(major, minor))
    }
}

/// How to start a fake. `FakeOptions { mode: Mode::Tfe(2, 1), ..FakeOptions::default() }`.
#[derive(Debug, Clone)]
pub struct FakeOptions {
    /// What it plays.
    pub mode: Mode,
    /// Where to listen.
    pub listen: SocketAddr,
    /// HTTPS with a certificate of a made-up CA, instead of plain HTTP.
    pub tls: bool,
    /// Requests a second and user; 0 switches the limit and its headers off.
    pub rate: u32,
    /// Characters of a token, at least 24.
    pub token_length: usize,
    /// Added to every answer, as a real network would.
    pub base_latency: Duration,
}

impl Default for FakeOptions {
    fn default() -> Self {
        Self {
            mode: Mode::Hcp,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: false,
            rate: 30,
            token_length: 90,
            base_latency: Duration::ZERO,
        }
    }
}
