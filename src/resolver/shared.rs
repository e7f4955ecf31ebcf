//! The state that all clones of a resolver share.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use super::config::{Config, Sources};
use super::limits::LookupLimits;
use super::mapped_support;
use super::refresh_timers::RefreshTimers;
use super::route::Routes;
use super::upstream::CurrentLookup;
#[cfg(feature = "watch-network")]
use super::watch::Watch;
use crate::addrs::AddressList;
use crate::attempt::NewConnections;
use crate::bounded::{Bounded, Edit};
use crate::cache::reresolve::RateLimiter;
use crate::cache::{HostEntry, LookupReason, Store};
use crate::events::{Event, Observe, Observers};
use crate::filter::Filter;
use crate::health::{Health, OnProbe, Probe};
use crate::lookup::{Lookup, StaticHosts};
use crate::time;

pub(crate) struct Inner {
    /// Tells the attempt contexts of several resolvers apart.
    pub(super) id: u64,
    pub(super) config: Config,
    pub(super) lookup: CurrentLookup,
    pub(super) limits: Arc<LookupLimits>,
    pub(super) routes: Routes,
    pub(super) overrides: StaticHosts,
    pub(super) fallbacks: StaticHosts,
    pub(super) filter: Option<Arc<Filter>>,
    pub(super) store: Store,
    pub(super) health: Health,
    pub(super) lookup_limiter: Mutex<RateLimiter>,
    pub(super) invalidation_limiter: Mutex<RateLimiter>,
    #[cfg(feature = "watch-network")]
    pub(super) watch: Watch,
    /// The timers that start lookups without a caller.
    pub(super) timers: RefreshTimers,
    pub(super) observers: Observers,
    /// Whether a connector layer was made. Without a layer, no attempt context can be lost.
    pub(super) context_expected: AtomicBool,
    queries_without_context: AtomicU64,
    /// The last addresses that were returned outside of any attempt context.
    resolved_outside: Bounded<IpAddr, ()>,
    pub(super) context_loss_warned: AtomicBool,
    /// Number of connects in a row that resolved no name.
    pub(super) connects_without_query: AtomicU32,
    pub(super) new_connections: NewConnections,
}

/// Number of addresses in `resolved_outside`, enough for the connects of one moment.
const RESOLVED_OUTSIDE: usize = 1024;

impl Inner {
    pub(super) fn new(
        config: Config,
        sources: Sources,
        user: Option<Arc<dyn Observe>>,
    ) -> Arc<Self> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let now = time::now();
        Arc::new_cyclic(|inner: &Weak<Self>| Self {
            id: MADE.fetch_add(1, Ordering::Relaxed),
            routes: Routes::new(),
            limits: Arc::new(LookupLimits::new(config.lookups_at_once)),
            store: Store::new(config.capacity),
            health: Health::new(&config.health, Self::on_probe(inner.clone()), now),
            config: Config {
                lanes: config.lanes && mapped_support::are_connected_to(),
                ..config
            },
            lookup: CurrentLookup::new(sources.lookup),
            overrides: sources.overrides,
            fallbacks: sources.fallbacks,
            filter: sources.filter,
            lookup_limiter: Mutex::default(),
            invalidation_limiter: Mutex::default(),
            #[cfg(feature = "watch-network")]
            watch: Watch::default(),
            timers: RefreshTimers::new(config.capacity),
            observers: Observers::new(user),
            context_expected: AtomicBool::new(false),
            queries_without_context: AtomicU64::new(0),
            resolved_outside: Bounded::new(RESOLVED_OUTSIDE),
            context_loss_warned: AtomicBool::new(false),
            connects_without_query: AtomicU32::new(0),
            new_connections: NewConnections::new(now),
        })
    }

    /// Returns the receiver of the probes. A probe holds the resolver weakly.
    fn on_probe(inner: Weak<Self>) -> Arc<OnProbe> {
        Arc::new(move |host, addr, probe| {
            let Some(inner) = inner.upgrade() else {
                return;
            };
            match probe {
                Probe::Started => inner.emit(&Event::Probe {
                    host: host.as_str(),
                    addr: addr.ip(),
                    port: addr.port(),
                }),
                Probe::Ended(probed, began) => inner.probed(host, addr.ip(), &probed, began),
            }
        })
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Returns what is known of addresses and connects, for the questions of a layer.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.observers.tell(event);
    }

    pub(super) fn set_lookup(&self, lookup: Arc<dyn Lookup>) -> Arc<dyn Lookup> {
        let before = self.lookup.replace(lookup);
        self.detach_lookups();
        before
    }

    /// Detaches the in-flight lookups and forgets failed ones, because another lookup is used from now on.
    fn detach_lookups(&self) {
        let mut busy = Vec::new();
        self.store.for_each(|host, slot| {
            if slot.has_pending_state() {
                busy.push(host.clone());
            }
        });
        for host in busy {
            self.store.edit_present(&host, HostEntry::detach_lookups);
        }
    }

    /// Takes one lookup from the rate limit of its reason, and returns false if that limit is reached.
    ///
    /// | reason | rate limit |
    /// |---|---|
    /// | a connect has failed | one for all hosts |
    /// | the program has invalidated the answer | another one for all hosts, which failures do not use up |
    /// | any other | none |
    pub(super) fn try_acquire_lookup(&self, cause: LookupReason) -> bool {
        let limiter = match cause {
            LookupReason::ConnectFailed => &self.lookup_limiter,
            LookupReason::Invalidated => &self.invalidation_limiter,
            LookupReason::Refresh | LookupReason::Expired | LookupReason::Miss => return true,
        };
        edit(limiter, |limiter| limiter.try_acquire(time::now()))
    }

    /// Reserves one lookup after a failed connect, and returns when the lookup may start.
    ///
    /// Returns `None` if too many lookups wait already.
    pub(super) fn reserve_lookup(&self, now: Instant) -> Option<Instant> {
        edit(&self.lookup_limiter, |limiter| limiter.reserve(now))
    }

    /// Records that a connector layer was made, so that from now on attempt contexts can be lost.
    pub(crate) fn expect_context(&self) {
        self.context_expected.store(true, Ordering::Relaxed);
    }

    /// Records addresses that were returned outside of any attempt context; see [`Event::ContextLost`].
    #[inline]
    pub(super) fn note_asked_outside(&self, selected: &AddressList) {
        if self.context_expected.load(Ordering::Relaxed)
            && !self.context_loss_warned.load(Ordering::Relaxed)
        {
            self.remember_asked_outside(selected);
        }
    }

    #[inline(never)]
    fn remember_asked_outside(&self, selected: &AddressList) {
        self.queries_without_context.fetch_add(1, Ordering::Relaxed);
        let addrs = selected.as_slice().iter().map(IpAddr::to_canonical);
        for addr in addrs {
            if self.resolved_outside.read(&addr, |_, ()| ()).is_none() {
                self.resolved_outside.edit(&addr, |_| (Edit::Put(()), ()));
                let oldest_first = |_: &IpAddr, (): &(), age| Some(Reverse(age));
                self.resolved_outside.make_room(&addr, oldest_first);
            }
        }
    }

    /// Returns whether an address was recently returned outside of any attempt context.
    pub(super) fn was_resolved_outside(&self, addr: IpAddr) -> bool {
        self.resolved_outside.contains(&addr)
    }

    /// Returns how often a connector has resolved a name outside of any attempt context; see [`Event::ContextLost`].
    pub(crate) fn queries_without_context(&self) -> u64 {
        self.queries_without_context.load(Ordering::Relaxed)
    }
}

fn edit<T>(limiter: &Mutex<RateLimiter>, change: impl FnOnce(&mut RateLimiter) -> T) -> T {
    change(&mut limiter.lock().unwrap_or_else(PoisonError::into_inner))
}
