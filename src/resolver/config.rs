//! What a builder has proved.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::Builder;
use crate::error::InvalidConfig;
use crate::filter::Filter;
use crate::lookup::{Lookup, Table};
use crate::order::{Family, Order};
use crate::ttl::TtlBounds;

/// Tells from which address one would be dialled.
pub(crate) type SourceAddress = dyn Fn(IpAddr) -> Option<IpAddr> + Send + Sync;

/// Where addresses come from.
pub(super) struct Sources {
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) pins: Table,
    pub(super) fallbacks: Table,
    pub(super) filter: Option<Arc<Filter>>,
}

/// What `build` has proved.
pub(crate) struct Config {
    pub(crate) ttl: TtlBounds,
    pub(crate) serve_stale: Duration,
    pub(crate) stale_after: Duration,
    pub(crate) lookup_timeout: Duration,
    pub(crate) lookups_at_once: usize,
    /// `None`: by the recent connects to the host.
    pub(crate) stalled_after: Option<Duration>,
    pub(crate) attempt_timeout: Option<Duration>,
    /// `None`: by the recent connects to the host.
    pub(crate) attempt_delay: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) capacity: usize,
    pub(crate) lanes: bool,
    pub(crate) probe: bool,
    pub(crate) last_resort: bool,
    pub(crate) order: Order,
    pub(crate) prefer: Option<Family>,
    /// `None`: by the routes of the system.
    pub(crate) source_address: Option<Arc<SourceAddress>>,
}

impl Config {
    /// Returns from which address another one would be dialled, asked anew.
    #[cfg(feature = "watch-network")]
    pub(super) fn source_of(&self) -> Arc<SourceAddress> {
        let source = self.source_address.clone();
        source.unwrap_or_else(|| Arc::new(super::route::source_of))
    }
}

impl Builder {
    pub(super) fn check(&self) -> Result<Config, InvalidConfig> {
        let invalid = |setter, problem| Err(InvalidConfig::new(setter, problem));
        let Self {
            lookup: _,
            pins: _,
            fallbacks: _,
            observe: _,
            filter: _,
            min_ttl,
            max_ttl,
            serve_stale,
            stale_after,
            lookup_timeout,
            lookups_at_once,
            stalled_after,
            attempt_timeout,
            attempt_delay,
            connect_timeout,
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
            () if serve_stale > LONGEST => invalid("serve_stale", "it must not exceed 7 days"),
            () if lookup_timeout.is_zero() => invalid("lookup_timeout", "it must not be zero"),
            () if lookup_timeout > LONGEST => {
                invalid("lookup_timeout", "it must not exceed 7 days")
            }
            () if stale_after > LONGEST => invalid("stale_after", "it must not exceed 7 days"),
            () if stalled_after.is_some_and(|t| t.is_zero() || t > LONGEST) => invalid(
                "stalled_after",
                "it must be over zero and at most 7 days, or None",
            ),
            () if attempt_timeout.is_some_and(|t| t.is_zero() || t > LONGEST) => invalid(
                "attempt_timeout",
                "it must be over zero and at most 7 days, or None",
            ),
            () if attempt_timeout.is_some_and(|t| Some(t) < stalled_after)
                && attempt_timeout == Self::new().attempt_timeout =>
            {
                invalid(
                    "stalled_after",
                    "it must not exceed attempt_timeout (10 s unless set, or None)",
                )
            }
            () if attempt_timeout.is_some_and(|t| Some(t) < stalled_after) => {
                invalid("attempt_timeout", "it must not be under stalled_after")
            }
            () if attempt_delay.is_some_and(|delay| !DELAYS.contains(&delay)) => invalid(
                "attempt_delay",
                "it must be at least 100 ms and at most 2 s (RFC 8305, section 8), or None",
            ),
            () if connect_timeout.is_some_and(|t| t.is_zero() || t > LONGEST) => invalid(
                "connect_timeout",
                "it must be over zero and at most 7 days, or None",
            ),
            () if lookups_at_once == 0 => {
                invalid("lookups_at_once", "at least one lookup must be sent")
            }
            () if capacity == 0 => invalid("capacity", "at least one host must be kept"),
            () => Ok(Config {
                ttl: TtlBounds {
                    min: min_ttl,
                    max: max_ttl,
                },
                serve_stale,
                stale_after,
                lookup_timeout,
                lookups_at_once,
                stalled_after,
                attempt_timeout,
                attempt_delay,
                connect_timeout,
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

/// No setting of time is longer: RFC 8767, section 4, caps a TTL there, and sums of them stay far
/// from the end of the clock.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Within these the time between two starts of a race may be set (RFC 8305, section 8: at least
/// 100 ms and at most 2 s are recommended, and under 10 ms it must never be).
const DELAYS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(2);
