//! The client's view of upstream, as `status` and `metrics` show it.

use std::sync::Arc;

use crate::adapters::tfc::TfcClient;
use crate::domain::anchor::Address;
use crate::vfs::{Health, Upstreams};

/// [`Upstreams`] over the HTTP client.
pub(super) struct ClientHealth(pub(super) Arc<TfcClient>);

impl Upstreams for ClientHealth {
    fn health(&self, address: &Address) -> Health {
        let _ = address;
        Health::default()
    }
}
