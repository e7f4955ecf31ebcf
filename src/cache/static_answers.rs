//! Answers from addresses that the program configures: overrides and fallbacks.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Cache;
use super::answer::{CachedAnswer, Origin};
use super::entry::HostEntry;
use crate::addrs::AddressSet;
use crate::events::Event;
use crate::host::Host;
use crate::lookup::StaticHosts;
use crate::time;

impl Cache {
    /// Returns the table of overrides.
    pub(crate) fn overrides(&self) -> &StaticHosts {
        &self.overrides
    }

    /// Returns the table of fallbacks.
    pub(crate) fn fallbacks(&self) -> &StaticHosts {
        &self.fallbacks
    }

    /// Returns whether a host has an override.
    #[inline]
    pub(crate) fn has_override(&self, host: &str) -> bool {
        !self.overrides.is_empty() && self.overrides.find(host).is_some()
    }

    /// Returns the override of a host. The filter does not apply, because the program has chosen the addresses.
    pub(crate) fn override_for(&self, host: &str, now: Instant) -> Option<Arc<CachedAnswer>> {
        let row = self.overrides.find(host)?;
        let addrs = AddressSet::new(row.addrs.iter().copied());
        Some(Arc::new(CachedAnswer::overridden(addrs, now)))
    }

    /// Returns the fallbacks of a host, filtered and sorted, or `None` if the filter refuses all of them.
    ///
    /// No event is emitted, because the fallbacks are read more often than they are served.
    pub(super) fn fallback(&self, host: &Host, now: Instant) -> Option<Arc<CachedAnswer>> {
        let row = self.fallbacks.find(host.as_str())?;
        let may_pass = |addr: &IpAddr| self.may_pass(host.as_str(), *addr);
        let addrs: Vec<_> = row.addrs.iter().copied().filter(may_pass).collect();
        if addrs.is_empty() {
            return None;
        }
        let addrs = self.sorted(addrs);
        let generation = self.hosts.peek(host.as_str(), HostEntry::generation);
        let known = CachedAnswer::fallback(addrs, generation.unwrap_or_default(), now);
        Some(Arc::new(known))
    }

    /// Counts a call for round robin, if the addresses that the caller gets are from a table.
    pub(super) fn count_turn(&self, host: &Host, known: &CachedAnswer) {
        let table = match known.origin {
            Origin::Lookup => return,
            Origin::Fallback => &self.fallbacks,
            Origin::Override => &self.overrides,
        };
        if let Some(row) = table.find(host.as_str()) {
            known.set_turn(row.turn());
        }
    }

    /// Returns the override of a host, or its answer without counting that as a use.
    ///
    /// A host that was never looked up has no answer, even if it has fallbacks: behind a proxy, the proxy looks it up.
    pub(crate) fn current(&self, host: &Host, now: Instant) -> Option<Arc<CachedAnswer>> {
        let overridden = self.override_for(host.as_str(), now);
        let answer = || match self.contains(host) {
            true => self.servable_or_fallback(host, now),
            false => None,
        };
        overridden.or_else(answer).or_else(|| self.cached(host))
    }

    /// Returns the cached answer of a host, or its fallbacks if the cached answer may not be served.
    pub(super) fn servable_or_fallback(
        &self,
        host: &Host,
        now: Instant,
    ) -> Option<Arc<CachedAnswer>> {
        let servable = |entry: &HostEntry| self.servable(entry, now);
        let answer = self.hosts.peek(host.as_str(), servable).flatten();
        answer.or_else(|| self.fallback(host, now))
    }

    /// Returns the cached answer of a host, fresh or not.
    pub(crate) fn cached(&self, host: &Host) -> Option<Arc<CachedAnswer>> {
        let known = self
            .hosts
            .peek(host.as_str(), |entry| entry.answer().cloned());
        known.flatten()
    }

    /// Reports that the fallbacks of a host are served, and which of them the filter refuses, if they are.
    pub(super) fn tell_fallback(&self, host: &Host) {
        let now = time::now();
        let servable = |entry: &HostEntry| self.servable(entry, now).is_some();
        let row = self.fallbacks.find(host.as_str());
        if let Some(row) = row.filter(|_| self.hosts.peek(host.as_str(), servable) != Some(true)) {
            // Each refused address is an event. If all are refused, no fallback is served.
            drop(self.apply_filter(host.as_str(), &row.addrs));
        }
        if let Some(known) = self.current(host, now)
            && known.origin == Origin::Fallback
        {
            self.emit(&Event::FallbackServed {
                host: host.as_str(),
                addrs: known.addrs.as_slice(),
            });
        }
    }
}
