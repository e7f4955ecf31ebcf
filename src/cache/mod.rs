//! Keeps the answers of all hosts, looks hosts up, and decides how a caller is served.
//!
//! | an answer is | from | a caller gets |
//! |---|---|---|
//! | fresh | the end of its lookup | the answer |
//! | due for a refresh | `refresh_at` | the answer; if the answer is in use, the host is looked up in the background |
//! | expired | `expires_at` | a new answer, or the expired answer if the lookup is slow or fails |
//! | gone | `expires_at` + `max_stale` | a new answer, or the error of the lookup |
//! | suspect | a failed connect | the suspect answer while a healthy address is left, and otherwise as for an expired answer |
//! | invalidated | a call of the program | as for an expired answer |

mod answer;
mod apply_filter;
mod entry;
#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod laws;
mod limits;
mod lookup_task;
mod lookups;
mod refresh;
mod refresh_timers;
mod reresolve;
mod resolution_delay;
pub(crate) mod route;
mod serve;
mod sort;
mod static_answers;
mod store;
pub(crate) mod ttl;
mod upstream;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use self::answer::{CachedAnswer, Generation, Origin};
use self::entry::HostEntry;
use self::limits::{LookupLimits, RateLimits};
use self::refresh_timers::RefreshTimers;
use self::route::Routes;
use self::store::Store;
use self::ttl::TtlBounds;
use self::upstream::CurrentLookup;
use crate::addrs::{AddressOrder, Family};
use crate::events::{AnswerSource, Event, LookupReason, Observers};
use crate::filter::Filter;
use crate::health::Health;
use crate::host::Host;
use crate::lookup::{Lookup, StaticHosts};
use crate::time;

/// The answers of all hosts, and the lookups that replace them. Its methods alone change that state.
pub(crate) struct Cache {
    config: CacheConfig,
    hosts: Store,
    lookup: CurrentLookup,
    overrides: StaticHosts,
    fallbacks: StaticHosts,
    filter: Option<Arc<Filter>>,
    limits: Arc<LookupLimits>,
    rate_limits: RateLimits,
    /// The timers that start lookups without a caller.
    timers: RefreshTimers,
    routes: Routes,
    health: Arc<Health>,
    observers: Arc<Observers>,
}

/// A function that returns the source address of a connect, or `None` without a route.
pub(crate) type SourceAddress = dyn Fn(IpAddr) -> Option<IpAddr> + Send + Sync;

/// The lookup, the tables of addresses and the filter of a resolver.
pub(crate) struct Sources {
    pub(crate) lookup: Arc<dyn Lookup>,
    pub(crate) overrides: StaticHosts,
    pub(crate) fallbacks: StaticHosts,
    pub(crate) filter: Option<Arc<Filter>>,
}

/// The settings of a [`Cache`].
pub(crate) struct CacheConfig {
    /// Number of hosts to keep.
    pub(crate) capacity: usize,
    pub(crate) ttl: TtlBounds,
    pub(crate) max_stale: Duration,
    pub(crate) serve_stale_after: Duration,
    pub(crate) lookup_timeout: Duration,
    pub(crate) lookups_at_once: usize,
    pub(crate) order: AddressOrder,
    pub(crate) prefer: Option<Family>,
    /// If `None`, the routes of the system decide.
    pub(crate) source_address: Option<Arc<SourceAddress>>,
}

impl Cache {
    pub(crate) fn new(
        config: CacheConfig,
        sources: Sources,
        health: Arc<Health>,
        observers: Arc<Observers>,
    ) -> Self {
        Self {
            hosts: Store::new(config.capacity),
            lookup: CurrentLookup::new(sources.lookup),
            overrides: sources.overrides,
            fallbacks: sources.fallbacks,
            filter: sources.filter,
            limits: Arc::new(LookupLimits::new(config.lookups_at_once)),
            rate_limits: RateLimits::default(),
            timers: RefreshTimers::new(config.capacity),
            routes: Routes::new(),
            config,
            health,
            observers,
        }
    }

    /// Invalidates the answer of a host for the program, so that the next caller waits for a new lookup.
    pub(crate) fn invalidate(&self, host: &Host) {
        let known = self
            .hosts
            .edit_present(host, HostEntry::invalidate_explicitly);
        if known.is_some() {
            self.health.forget_left(host, time::now());
            self.tell_invalidated(host, LookupReason::Invalidated);
        }
    }

    fn tell_invalidated(&self, host: &Host, cause: LookupReason) {
        self.emit(&Event::Invalidated {
            host: host.as_str(),
            cause,
        });
    }

    /// Records that an address of a host has recovered, so that the answer has a healthy address.
    pub(crate) fn recovered(&self, host: &Host) {
        let healthy = |entry: &mut HostEntry| entry.set_has_healthy(true);
        self.hosts.edit_present(host, healthy);
    }

    /// Replaces the lookup, and returns the previous one.
    ///
    /// The in-flight lookups are detached, and failed ones are forgotten.
    pub(crate) fn set_lookup(&self, lookup: Arc<dyn Lookup>) -> Arc<dyn Lookup> {
        let before = self.lookup.replace(lookup);
        let mut busy = Vec::new();
        self.hosts.for_each(|host, entry| {
            if entry.has_pending_state() {
                busy.push(host.clone());
            }
        });
        for host in busy {
            self.hosts.edit_present(&host, HostEntry::detach_lookups);
        }
        before
    }

    /// Notifies the lookup that the network has changed.
    pub(crate) fn notify_lookup(&self) {
        self.lookup.get().network_changed();
    }

    /// Forgets all answers and in-flight lookups.
    pub(crate) fn clear(&self) {
        self.routes.clear();
        self.hosts.clear();
    }

    /// Returns the source of an answer of a host.
    pub(crate) fn source(&self, host: &Host, known: &CachedAnswer, now: Instant) -> AnswerSource {
        let suspect = self.hosts.peek(host.as_str(), HostEntry::is_suspect);
        known.source(suspect == Some(true), now)
    }

    /// Returns whether the answer of a host is fresh.
    pub(crate) fn is_fresh(&self, host: &Host, now: Instant) -> bool {
        let is_fresh = |entry: &HostEntry| entry.fresh(now).is_some();
        self.hosts.peek(host.as_str(), is_fresh) == Some(true)
    }

    /// Returns whether the answer of a host is suspect, and a lookup for a fresh one is in flight or may start.
    pub(crate) fn expects_fresh_answer(&self, host: &Host, now: Instant) -> bool {
        let expects = |entry: &HostEntry| entry.expects_fresh_answer(now);
        self.hosts.peek(host.as_str(), expects) == Some(true)
    }

    /// Returns whether a host was looked up.
    pub(crate) fn contains(&self, host: &Host) -> bool {
        self.hosts.peek(host.as_str(), |_| ()).is_some()
    }

    /// Calls `look` with each host, and whether its answer is suspect.
    pub(crate) fn for_each(&self, mut look: impl FnMut(&Host, bool)) {
        self.hosts
            .for_each(|host, entry| look(host, entry.is_suspect()));
    }

    /// Returns the number of hosts.
    pub(crate) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Returns whether a name with the root dot may have other addresses than the name without it.
    pub(crate) fn root_dot_matters(&self) -> bool {
        self.lookup.get().root_dot_matters()
    }

    fn emit(&self, event: &Event<'_>) {
        self.observers.tell(event);
    }

    fn make_room(&self, host: &Host) {
        self.hosts
            .make_room(host, |host| self.health.has_records(host));
    }
}
