//! The client's view of upstream, as `status` and `metrics` show it.

use std::sync::Arc;

use crate::adapters::tfc::TfcClient;
use crate::domain::anchor::Access;
use crate::vfs::{Health, Upstreams};

/// [`Upstreams`] over the HTTP client.
pub(super) struct ClientHealth(pub(super) Arc<TfcClient>);

impl Upstreams for ClientHealth {
    fn health(&self, access: &Access) -> Health {
        let Some(seen) = self.0.health().into_iter().find(|seen| seen.origin == access.address.origin()) else {
            return Health::default();
        };
        let server: Vec<String> = [seen.app_name, seen.tfe_version].into_iter().flatten().collect();
        Health {
            reachable: Some(seen.reachable),
            failing_since: seen.failing_since,
            refused_since: self.0.refused_since(access),
            last_contact: seen.last_contact,
            last_error: seen.last_error.map(|(at, text)| format!("{at}: {text}")),
            calls: seen.calls.iter().map(|call| (call.method.into(), call.outcome.into(), call.count)).collect(),
            clock_offset: seen.clock_offset,
            server: (!server.is_empty()).then(|| server.join(" ")),
        }
    }
}
