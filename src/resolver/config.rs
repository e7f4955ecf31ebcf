//! The checked settings of a resolver.

use crate::addrs::{AddressOrder, Family};
use crate::cache::CacheConfig;
use crate::health::HealthConfig;

/// The settings that [`ResolverBuilder::build`](crate::ResolverBuilder::build) has checked.
pub(super) struct Config {
    pub(super) cache: CacheConfig,
    pub(super) health: HealthConfig,
    pub(super) select: SelectConfig,
}

/// The settings that say which addresses a connect is given.
pub(super) struct SelectConfig {
    pub(super) order: AddressOrder,
    pub(super) prefer: Option<Family>,
    pub(super) lanes: bool,
    pub(super) last_resort: bool,
}
