//! Answers from addresses that the program configures: overrides and fallbacks.

use std::sync::Arc;
use std::time::Instant;

use super::Inner;
use crate::addrs::AddressSet;
use crate::cache::ttl;
use crate::cache::{CachedAnswer, Fallback, FreshAddresses, Origin};
use crate::events::Event;
use crate::host::Host;
use crate::time;

impl Inner {
    /// Returns the override of a host. The filter does not apply, because the program has chosen the addresses.
    pub(super) fn override_for(&self, host: &str, now: Instant) -> Option<CachedAnswer> {
        let row = self.overrides.find(host)?;
        Some(CachedAnswer::overridden(
            AddressSet::new(row.addrs.iter().copied()),
            0,
            now,
        ))
    }

    /// Returns the override of a host for a caller that connects, and counts the call for round robin.
    pub(super) fn select_override(&self, host: &str, now: Instant) -> Option<CachedAnswer> {
        let row = self.overrides.find(host)?;
        let addrs = AddressSet::new(row.addrs.iter().copied());
        Some(CachedAnswer::overridden(addrs, row.turn(), now))
    }

    /// Returns the override of a host or its cached answer, without counting that as a use.
    pub(super) fn current(&self, host: &Host, now: Instant) -> Option<Arc<CachedAnswer>> {
        let overridden = self.override_for(host.as_str(), now).map(Arc::new);
        overridden.or_else(|| self.kept(host))
    }

    /// Returns the cached answer of a host, fresh or not.
    pub(super) fn kept(&self, host: &Host) -> Option<Arc<CachedAnswer>> {
        let known = self
            .store
            .peek(host.as_str(), |slot| slot.answer().cloned());
        known.flatten()
    }

    /// Stores the fallbacks of a host as its answer, because a lookup has failed or takes too long.
    ///
    /// The fallbacks live as long as an answer without a TTL. Returns `None` if the host has no fallbacks, or if the
    /// answer of a lookup may be served.
    pub(super) fn fall_back(&self, host: &Host) -> Option<Arc<CachedAnswer>> {
        let (fallback, now) = (self.fallback(host)?, time::now());
        let known = self
            .store
            .edit(host, |slot| slot.fall_back(&fallback, None, now))?;
        self.make_room(host);
        self.tell_fallback(host, &known);
        Some(known)
    }

    pub(super) fn tell_fallback(&self, host: &Host, known: &CachedAnswer) {
        if matches!(known.origin, Origin::Fallback(_)) {
            self.emit(&Event::FallbackServed {
                host: host.as_str(),
                addrs: known.addrs.as_slice(),
            });
        }
    }

    /// Updates an answer that holds fallbacks which the program has changed since.
    pub(super) fn refit(&self, host: &Host) {
        let is_outdated =
            |known: &Arc<CachedAnswer>| known.is_outdated(|| self.fallbacks.edition());
        let outdated = self
            .store
            .peek(host.as_str(), |slot| slot.answer().is_some_and(is_outdated));
        if outdated == Some(true) {
            let fallback = self.fallback(host);
            self.store
                .edit_present(host, |slot| slot.refit(fallback.as_ref()));
        }
    }

    /// Returns the fallbacks of a host, filtered and sorted.
    pub(super) fn fallback(&self, host: &Host) -> Option<Fallback> {
        let edition = self.fallbacks.edition();
        let row = self.fallbacks.find(host.as_str())?;
        let addrs = self.apply_filter(host.as_str(), &row.addrs).ok()?;
        let life = self.config.ttl.positive(None);
        let fresh_addrs = FreshAddresses {
            addrs: self.sorted(addrs),
            is_partial: false,
            origin: Origin::Fallback(edition),
            life,
            refresh_after: ttl::refresh_after(life, &mut fastrand::Rng::new()),
        };
        Some(Fallback {
            fresh_addrs,
            max_stale: self.config.max_stale,
        })
    }
}
