//! The checked settings of a resolver.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::ResolverBuilder;
use crate::addrs::{AddressOrder, Family};
use crate::error::ConfigError;
use crate::filter::Filter;
use crate::lookup::{Lookup, StaticHosts};
use crate::ttl::TtlBounds;

/// A function that returns the source address of a connect, or `None` without a route.
pub(crate) type SourceAddress = dyn Fn(IpAddr) -> Option<IpAddr> + Send + Sync;

/// The lookup, the tables of addresses and the filter of a resolver.
pub(super) struct Sources {
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) pins: StaticHosts,
    pub(super) fallbacks: StaticHosts,
    pub(super) filter: Option<Arc<Filter>>,
}

/// The settings that [`ResolverBuilder::build`] has checked.
pub(crate) struct Config {
    pub(crate) ttl: TtlBounds,
    pub(crate) max_stale: Duration,
    pub(crate) serve_stale_after: Duration,
    pub(crate) lookup_timeout: Duration,
    pub(crate) lookups_at_once: usize,
    /// If `None`, the recent connects to the host decide.
    pub(crate) slow_connect_after: Option<Duration>,
    pub(crate) capacity: usize,
    pub(crate) lanes: bool,
    pub(crate) probe: bool,
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

impl ResolverBuilder {
    pub(super) fn check(&self) -> Result<Config, ConfigError> {
        let invalid = |setter, problem| Err(ConfigError::new(setter, problem));
        let Self {
            lookup: _,
            pins: _,
            fallbacks: _,
            observe: _,
            filter: _,
            min_ttl,
            max_ttl,
            max_stale,
            serve_stale_after,
            lookup_timeout,
            lookups_at_once,
            slow_connect_after,
            capacity,
            lanes,
            probe,
            last_resort,
            order,
            prefer,
            ref source_address,
        } = *self;
        match () {
            () if max_ttl.is_zero() => invalid("max_ttl", "an answer must be kept for some time"),
            () if max_ttl > LONGEST => invalid("max_ttl", "it must not exceed 7 days (RFC 8767)"),
            () if min_ttl > max_ttl && min_ttl == Self::new().min_ttl => {
                invalid("max_ttl", "it must not be under min_ttl (1 s unless set)")
            }
            () if min_ttl > max_ttl => {
                invalid("min_ttl", "it must not exceed max_ttl (60 s unless set)")
            }
            () if max_stale > LONGEST => invalid("max_stale", "it must not exceed 7 days"),
            () if lookup_timeout.is_zero() => invalid("lookup_timeout", "it must not be zero"),
            () if lookup_timeout > LONGEST => {
                invalid("lookup_timeout", "it must not exceed 7 days")
            }
            () if serve_stale_after > LONGEST => {
                invalid("serve_stale_after", "it must not exceed 7 days")
            }
            () if slow_connect_after.is_some_and(|t| t.is_zero() || t > LONGEST) => invalid(
                "slow_connect_after",
                "it must be over zero and at most 7 days, or None",
            ),
            () if lookups_at_once == 0 => {
                invalid("lookups_at_once", "at least one lookup must be sent")
            }
            () if capacity == 0 => invalid("max_hosts", "at least one host must be kept"),
            () => Ok(Config {
                ttl: TtlBounds {
                    min: min_ttl,
                    max: max_ttl,
                },
                max_stale,
                serve_stale_after,
                lookup_timeout,
                lookups_at_once,
                slow_connect_after,
                capacity,
                lanes,
                probe,
                last_resort,
                order,
                prefer,
                source_address: source_address.clone(),
            }),
        }
    }
}

/// The longest time that a setting accepts, because RFC 8767, section 4, caps a TTL at 7 days.
///
/// Sums of such times stay far below the greatest `Instant`.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
