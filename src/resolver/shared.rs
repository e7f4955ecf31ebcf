//! What all clones of a resolver share.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use super::config::{Config, Sources};
use super::lanes;
use super::lookups::Lookups;
use super::network::Network;
use super::route::Routes;
use super::sleepers::Sleepers;
use super::turns::Turns;
#[cfg(feature = "watch-network")]
use super::watch::Watch;
use crate::attempt::Recent;
use crate::bounded::{Bounded, Edit};
use crate::cache::{Cause, Slot, Store};
use crate::filter::Filter;
use crate::health::{Book, Connects};
use crate::lookup::{Lookup, Table};
use crate::observe::{Event, Observe, Observers};
use crate::order::Dealt;
use crate::recheck::Quota;
use crate::time;

pub(crate) struct Shared {
    /// Tells the slips of several resolvers apart.
    pub(super) id: u64,
    pub(super) config: Config,
    pub(super) lookups: Lookups,
    pub(super) turns: Arc<Turns>,
    pub(super) routes: Routes,
    pub(super) pins: Table,
    pub(super) fallbacks: Table,
    pub(super) filter: Option<Arc<Filter>>,
    pub(super) store: Store,
    pub(super) book: Book,
    pub(super) quota: Mutex<Quota>,
    pub(super) quota_by_hand: Mutex<Quota>,
    pub(super) network: Network,
    #[cfg(feature = "watch-network")]
    pub(super) watch: Watch,
    /// Tasks that sleep until a host is looked up though nobody asks.
    pub(super) sleepers: Sleepers,
    pub(super) observers: Observers,
    /// Ends with the last resolver, and tells those who wait for that.
    pub(super) life: watch::Sender<()>,
    /// Whether a connector layer was made: only then can a slip be lost.
    pub(super) layered: AtomicBool,
    unslipped: AtomicU64,
    /// The last addresses that were dealt outside of any slip.
    dealt_outside: Bounded<IpAddr, ()>,
    pub(super) warned: AtomicBool,
    /// Connects in a row that asked for no name.
    pub(super) blank: AtomicU32,
    pub(super) recent: Recent,
    pub(super) connects: Connects,
}

/// Addresses dealt outside of a slip that are remembered: those of the connects of one moment.
const DEALT_OUTSIDE: usize = 1024;

impl Shared {
    pub(super) fn new(config: Config, sources: Sources, user: Option<Arc<dyn Observe>>) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let now = time::now();
        Self {
            id: MADE.fetch_add(1, Ordering::Relaxed),
            routes: Routes::new(),
            turns: Arc::new(Turns::new(config.lookups_at_once)),
            store: Store::new(config.capacity),
            book: Book::new(config.capacity, now),
            connects: Connects::new(config.capacity, now),
            config: Config {
                lanes: config.lanes && lanes::are_dialled(),
                ..config
            },
            lookups: Lookups::new(sources.lookup),
            pins: sources.pins,
            fallbacks: sources.fallbacks,
            filter: sources.filter,
            quota: Mutex::default(),
            quota_by_hand: Mutex::default(),
            network: Network::default(),
            #[cfg(feature = "watch-network")]
            watch: Watch::default(),
            sleepers: Sleepers::new(config.capacity),
            life: watch::Sender::new(()),
            observers: Observers::new(user),
            layered: AtomicBool::new(false),
            unslipped: AtomicU64::new(0),
            dealt_outside: Bounded::new(DEALT_OUTSIDE),
            warned: AtomicBool::new(false),
            blank: AtomicU32::new(0),
            recent: Recent::new(now),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.observers.tell(event);
    }

    pub(super) fn use_system(&self, on: bool) {
        if self.lookups.use_system(on) {
            self.let_go();
        }
    }

    pub(super) fn set_lookup(&self, lookup: Arc<dyn Lookup>) {
        self.lookups.configure(lookup);
        self.let_go();
    }

    /// Another lookup is asked from now on.
    fn let_go(&self) {
        let mut busy = Vec::new();
        self.store.for_each(|host, slot| {
            if slot.is_busy() {
                busy.push(host.clone());
            }
        });
        for host in busy {
            self.store.edit_present(&host, Slot::let_go);
        }
    }

    /// Takes one lookup after a failure from the quota of all hosts, and one by hand from a quota that
    /// no failures use up; others need none.
    pub(super) fn take_from_quota(&self, cause: Cause) -> bool {
        let quota = match cause {
            Cause::ConnectFailed => &self.quota,
            Cause::Invalidated => &self.quota_by_hand,
            Cause::Ageing | Cause::Expired | Cause::Unknown => return true,
        };
        edit(quota, |quota| quota.take(time::now()))
    }

    /// Takes one for later, and tells when.
    pub(super) fn book_from_quota(&self, now: Instant) -> Option<Instant> {
        edit(&self.quota, |quota| quota.book(now))
    }

    /// Notes that a connector layer was made: from now on slips can be lost.
    pub(crate) fn expect_slips(&self) {
        self.layered.store(true, Ordering::Relaxed);
    }

    /// Notes what was dealt outside of any slip; see [`Event::SlipLost`].
    #[inline]
    pub(super) fn note_asked_outside(&self, dealt: &Dealt) {
        if self.layered.load(Ordering::Relaxed) && !self.warned.load(Ordering::Relaxed) {
            self.remember_asked_outside(dealt);
        }
    }

    #[inline(never)]
    fn remember_asked_outside(&self, dealt: &Dealt) {
        self.unslipped.fetch_add(1, Ordering::Relaxed);
        let addrs = dealt.as_slice().iter().map(IpAddr::to_canonical);
        for addr in addrs {
            if self.dealt_outside.read(&addr, |_, ()| ()).is_none() {
                self.dealt_outside.edit(&addr, |_| (Edit::Put(()), ()));
                let oldest_first = |_: &IpAddr, (): &(), age| Some(Reverse(age));
                self.dealt_outside.make_room(&addr, oldest_first);
            }
        }
    }

    /// Whether an address was dealt outside of any slip a short while ago.
    pub(super) fn was_dealt_outside(&self, addr: IpAddr) -> bool {
        self.dealt_outside.contains(&addr)
    }

    /// How often a connector has asked outside of any slip; see [`Event::SlipLost`].
    pub(crate) fn unslipped(&self) -> u64 {
        self.unslipped.load(Ordering::Relaxed)
    }
}

fn edit<T>(quota: &Mutex<Quota>, change: impl FnOnce(&mut Quota) -> T) -> T {
    change(&mut quota.lock().unwrap_or_else(PoisonError::into_inner))
}
