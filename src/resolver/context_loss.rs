//! Notices connects whose attempt context was lost, and connects that ask another resolver.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::addrs::AddressList;
use crate::bounded::{Bounded, Edit};
use crate::events::Event;

/// What shows that an attempt context was lost; see [`Event::ContextLost`] and [`Event::NeverAsked`].
#[derive(Debug)]
pub(super) struct ContextLoss {
    /// Whether a connector layer was made. Without a layer, no attempt context can be lost.
    is_expected: AtomicBool,
    queries_without_context: AtomicU64,
    /// The last addresses that were returned outside of any attempt context.
    resolved_outside: Bounded<IpAddr, ()>,
    was_warned: AtomicBool,
    /// Number of connects in a row that resolved no name.
    connects_without_query: AtomicU32,
}

/// Number of addresses in `resolved_outside`, enough for the connects of one moment.
const RESOLVED_OUTSIDE: usize = 1024;
/// Number of connects in a row without a resolved name after which the log warns.
const EMPTY_CONTEXTS: u32 = 20;

impl ContextLoss {
    pub(super) fn new() -> Self {
        Self {
            is_expected: AtomicBool::new(false),
            queries_without_context: AtomicU64::new(0),
            resolved_outside: Bounded::new(RESOLVED_OUTSIDE),
            was_warned: AtomicBool::new(false),
            connects_without_query: AtomicU32::new(0),
        }
    }

    /// Records that a connector layer was made, so that from now on attempt contexts can be lost.
    pub(super) fn expect_context(&self) {
        self.is_expected.store(true, Ordering::Relaxed);
    }

    /// Records addresses that were returned outside of any attempt context.
    #[inline]
    pub(super) fn resolved_outside(&self, selected: &AddressList) {
        if self.is_expected.load(Ordering::Relaxed) && !self.was_warned.load(Ordering::Relaxed) {
            self.remember(selected);
        }
    }

    #[inline(never)]
    fn remember(&self, selected: &AddressList) {
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

    /// Returns how often a connector has resolved a name outside of any attempt context.
    pub(super) fn queries_without_context(&self) -> u64 {
        self.queries_without_context.load(Ordering::Relaxed)
    }

    /// Records a connect that resolved a name in its attempt context.
    pub(super) fn resolved_inside(&self) {
        let connects = &self.connects_without_query;
        if (1..EMPTY_CONTEXTS).contains(&connects.load(Ordering::Relaxed)) {
            connects.store(0, Ordering::Relaxed);
        }
    }

    /// Records a connect to `winner` whose attempt context is empty, and returns the event to emit, if there is one.
    ///
    /// The context was lost if all of these are true:
    ///
    /// - The context is empty at the end of the connect.
    /// - The resolver has resolved a name outside of any context since `queries_before`.
    /// - `winner` is an address that the resolver returned outside of any context.
    ///
    /// An empty context alone shows nothing. If the URL holds an address, or the client has an override, the client
    /// resolves no name. A few such connects show nothing, either, but [`EMPTY_CONTEXTS`] of them in a row do. Each
    /// event is returned once.
    pub(super) fn found_empty(
        &self,
        queries_before: u64,
        winner: IpAddr,
    ) -> Option<Event<'static>> {
        let addr = winner.to_canonical();
        if self.queries_without_context() == queries_before {
            let connects = self.count_empty();
            return connects.map(|connects| Event::NeverAsked { addr, connects });
        }
        let is_lost =
            !self.was_warned.load(Ordering::Relaxed) && self.resolved_outside.contains(&addr);
        let is_first = is_lost && !self.was_warned.swap(true, Ordering::Relaxed);
        is_first.then_some(Event::ContextLost { addr })
    }

    /// Counts a connect that resolved no name, and returns the number of them if the log is to warn.
    fn count_empty(&self) -> Option<u32> {
        if self.connects_without_query.load(Ordering::Relaxed) >= EMPTY_CONTEXTS {
            return None;
        }
        let connects = self.connects_without_query.fetch_add(1, Ordering::Relaxed) + 1;
        (connects == EMPTY_CONTEXTS).then_some(connects)
    }
}
