//! What can be changed while a fake runs: limits, token length, and one switch for each thing that nobody documents.

use serde::{Deserialize, Serialize};

use super::options::FakeOptions;

/// What a create call with an end in the past does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PastEnd {
    /// 422.
    Reject,
    /// 201 and a token that answers 401 from the start.
    CreateDead,
}

/// Behaviour that tests (or `POST /_fake/switches`) change at run time. The defaults are what the reference holds for
/// likely.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switches {
    /// Requests a second and user; 0 is off.
    pub rate: u32,
    /// Characters of new tokens, 24 at least.
    pub token_length: usize,
    /// Added to every answer.
    pub base_latency_us: u64,
    /// How long a deleted token goes on working.
    pub revocation_lag_ms: i64,
    /// A past `expired-at`.
    pub past_end: PastEnd,
    /// Shorter lifetimes are refused with 422.
    pub min_lifetime_ms: i64,
    /// Lifetimes above the organization's maximum are refused with 422, instead of making a token that is useless.
    pub refuse_over_max_ttl: bool,
    /// Status for a description that is taken.
    pub duplicate_status: u16,
    /// Longer descriptions are refused with 422.
    pub max_description: Option<usize>,
    /// More tokens of one owner are refused with 422.
    pub max_tokens: Option<usize>,
    /// A token may delete itself; otherwise that is 404.
    pub may_delete_itself: bool,
    /// The organization token and the owners team's token may manage the organization token; otherwise that is 404.
    pub services_manage_organization_token: bool,
    /// `filter[names]` tells capitals apart.
    pub filter_names_case_sensitive: bool,
    /// An organization token does not find the team "owners" by `filter[names]` (terraform-provider-tfe#817).
    pub hide_owners_from_filter: bool,
    /// `account/details` lacks `authenticated-resource`, as before 2023-11.
    pub hide_authenticated_resource: bool,
    /// `account/details` spells the key `links` twice in one object, as the documented sample does.
    pub repeat_links_key: bool,
    /// Every API request gets this status, as if the address were on no allow list.
    pub blocked_status: Option<u16>,
    /// Added to the `Date` header only.
    pub date_skew_ms: i64,
}

impl Switches {
    /// The documented behaviour with the limits of `options`.
    pub fn new(options: &FakeOptions) -> Self {
        Self {
            rate: options.rate,
            token_length: options.token_length,
            base_latency_us: u64::try_from(options.base_latency.as_micros()).unwrap_or(u64::MAX),
            revocation_lag_ms: 0,
            past_end: PastEnd::Reject,
            min_lifetime_ms: 0,
            refuse_over_max_ttl: false,
            duplicate_status: 422,
            max_description: None,
            max_tokens: None,
            may_delete_itself: true,
            services_manage_organization_token: true,
            filter_names_case_sensitive: true,
            hide_owners_from_filter: false,
            hide_authenticated_resource: false,
            repeat_links_key: false,
            blocked_status: None,
            date_skew_ms: 0,
        }
    }
}
