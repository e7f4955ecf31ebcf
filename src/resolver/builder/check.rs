//! Checks the settings of a resolver.

use super::ResolverBuilder;
use crate::cache::CacheConfig;
use crate::cache::ttl::TtlBounds;
use crate::error::ConfigError;
use crate::health::HealthConfig;
use crate::resolver::config::{Config, SelectConfig};
use crate::time::LONGEST;

impl ResolverBuilder {
    pub(super) fn check(&self) -> Result<Config, ConfigError> {
        let invalid = |setter, problem| Err(ConfigError::new(setter, problem));
        let Self {
            lookup: _,
            overrides: _,
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
            ref probe_connect,
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
                cache: CacheConfig {
                    capacity,
                    ttl: TtlBounds {
                        min: min_ttl,
                        max: max_ttl,
                    },
                    max_stale,
                    serve_stale_after,
                    lookup_timeout,
                    lookups_at_once,
                    order,
                    prefer,
                    source_address: source_address.clone(),
                },
                health: HealthConfig {
                    capacity,
                    background_probe: probe,
                    probe_connect: probe_connect.clone(),
                    slow_connect_after,
                },
                select: SelectConfig {
                    order,
                    prefer,
                    lanes,
                    last_resort,
                },
            }),
        }
    }
}
