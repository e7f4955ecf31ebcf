//! The checked settings of a resolver.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::addrs::{AddressOrder, Family};
use crate::cache::ttl::TtlBounds;
use crate::filter::Filter;
use crate::health::HealthConfig;
use crate::lookup::{Lookup, StaticHosts};

/// A function that returns the source address of a connect, or `None` without a route.
pub(crate) type SourceAddress = dyn Fn(IpAddr) -> Option<IpAddr> + Send + Sync;

/// The lookup, the tables of addresses and the filter of a resolver.
pub(super) struct Sources {
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) overrides: StaticHosts,
    pub(super) fallbacks: StaticHosts,
    pub(super) filter: Option<Arc<Filter>>,
}

/// The settings that [`ResolverBuilder::build`](crate::ResolverBuilder::build) has checked.
pub(crate) struct Config {
    pub(crate) health: HealthConfig,
    pub(crate) ttl: TtlBounds,
    pub(crate) max_stale: Duration,
    pub(crate) serve_stale_after: Duration,
    pub(crate) lookup_timeout: Duration,
    pub(crate) lookups_at_once: usize,
    pub(crate) capacity: usize,
    pub(crate) lanes: bool,
    pub(crate) last_resort: bool,
    pub(crate) order: AddressOrder,
    pub(crate) prefer: Option<Family>,
    /// If `None`, the routes of the system decide.
    pub(crate) source_address: Option<Arc<SourceAddress>>,
}

impl Config {
    /// Returns the function that finds the source address of a connect, without a cache.
    #[cfg(feature = "watch-network")]
    pub(super) fn source_of(&self) -> Arc<SourceAddress> {
        let source = self.source_address.clone();
        source.unwrap_or_else(|| Arc::new(super::route::source_of))
    }
}
