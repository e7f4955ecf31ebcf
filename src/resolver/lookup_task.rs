//! Runs one in-flight lookup, which waits for its turn, has a time limit and stores its answer.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::Inner;
use super::limits::{LookupLimits, QUEUE};
use crate::addrs::{self, AddressOrder, AddressSet};
use crate::cache::ttl;
use crate::cache::{CompletedLookup, FreshAddresses, HostEntry, InFlightLookup, LookupSender};
use crate::host::Host;
use crate::lookup::{Answer, Lookup, Waiting};
use crate::{ResolveError, time};

/// A task that runs one lookup, and wakes the waiters however the lookup ends.
pub(super) struct LookupTask {
    shared: Weak<Inner>,
    host: Host,
    in_flight: InFlightLookup,
    sender: Option<LookupSender>,
}

impl LookupTask {
    pub(super) fn new(
        shared: &Arc<Inner>,
        host: &Host,
        in_flight: &InFlightLookup,
        sender: LookupSender,
    ) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            host: host.clone(),
            in_flight: in_flight.clone(),
            sender: Some(sender),
        }
    }

    pub(super) async fn run(mut self, lookup: Arc<dyn Lookup>) {
        let Some((limits, limit)) = self.limits() else {
            return;
        };
        // The time limit counts from when the lookup is sent, and not from the start of the wait for a turn.
        let waiting = tokio::time::timeout(limit * QUEUE, limits.lookups.acquire());
        let Ok(Ok(turn)) = waiting.await else {
            let error = ResolveError::no_turn(self.host.as_str());
            self.store_and_send(Err(error), time::now());
            return;
        };
        let sent_at = time::now();
        let until = sent_at + limit;
        let mut fresh_addrs = self.ask(&*lookup, until).await;
        let mut late = None;
        if let Ok(answer) = &mut fresh_addrs {
            late = answer.late.take().and_then(|late| late.take());
            late = self.wait_for_other_family(answer, late, until).await;
        }
        if !self.store_and_send(fresh_addrs, sent_at) {
            return;
        }
        drop(turn);
        if let Some(late) = late {
            self.wait_for_late(&limits, late, sent_at, until).await;
        }
    }

    fn limits(&self) -> Option<(Arc<LookupLimits>, Duration)> {
        let shared = self.shared.upgrade()?;
        Some((Arc::clone(&shared.limits), shared.config.lookup_timeout))
    }

    async fn ask(&self, lookup: &dyn Lookup, until: Instant) -> Result<Answer, ResolveError> {
        let host = self.host.as_str();
        let asking = async { tokio::time::timeout_at(until.into(), lookup.lookup(host)).await };
        match AssertUnwindSafe(asking).catch_unwind().await {
            Ok(Ok(fresh_addrs)) => fresh_addrs,
            Ok(Err(_elapsed)) => Err(ResolveError::timed_out(host)),
            Err(_panic) => Err(ResolveError::panicked(host)),
        }
    }

    /// Waits for the other family of a partial answer, for as long as `resolution_delay` returns.
    ///
    /// Returns the part of the lookup that is still pending.
    async fn wait_for_other_family(
        &self,
        answer: &mut Answer,
        late: Option<Waiting>,
        until: Instant,
    ) -> Option<Waiting> {
        let mut late = late?;
        if !answer.is_partial {
            return Some(late);
        }
        let delay = self.shared.upgrade()?.resolution_delay(answer);
        let wait_until = delay.map_or(until, |delay| until.min(time::now() + delay));
        match guarded(wait_until, &mut late).await {
            None => Some(late),
            Some((whole, rest)) => {
                if let Some(whole) = whole {
                    *answer = whole;
                }
                rest.and_then(|rest| rest.take())
            }
        }
    }

    /// Waits for the late half of an answer that is already served, and stores the whole answer.
    ///
    /// The number of such waits is limited. Beyond the limit, answers stay partial.
    async fn wait_for_late(
        &mut self,
        limits: &LookupLimits,
        mut late: Waiting,
        sent_at: Instant,
        until: Instant,
    ) {
        let Ok(_turn) = limits.late.try_acquire() else {
            return;
        };
        while let Some((whole, rest)) = guarded(until, &mut late).await {
            if let Some(whole) = whole
                && !self.store_and_send(Ok(whole), sent_at)
            {
                return;
            }
            match rest.and_then(|rest| rest.take()) {
                Some(rest) => late = rest,
                None => return,
            }
        }
    }

    /// Stores the result of the lookup, and wakes the waiters.
    ///
    /// Returns false if the resolver was dropped, or if the network has changed since the lookup was sent.
    fn store_and_send(
        &mut self,
        fresh_addrs: Result<Answer, ResolveError>,
        sent_at: Instant,
    ) -> bool {
        let Some(shared) = self.shared.upgrade() else {
            return false;
        };
        if shared.health.was_elsewhere(sent_at) {
            return false;
        }
        let completed = shared.completed(&self.host, fresh_addrs, sent_at);
        let landed = shared.complete_lookup(&self.host, &self.in_flight, &completed);
        // The result is stored before the waiters wake, or a waiter would start another lookup.
        if let Some(sender) = self.sender.take() {
            sender.send_replace(landed);
        }
        true
    }
}

impl Drop for LookupTask {
    /// Removes a lookup that has ended without a result, for example because its runtime was shut down.
    ///
    /// The waiters find the lookup ended, and start one on their own runtime.
    fn drop(&mut self) {
        if self.sender.is_some()
            && let Some(shared) = self.shared.upgrade()
        {
            let forget = |slot: &mut HostEntry| slot.remove(&self.in_flight);
            shared.store.edit_present(&self.host, forget);
        }
    }
}

/// Waits for a late part until `until`, and returns `None` if the late part panics or takes longer.
async fn guarded(until: Instant, late: &mut Waiting) -> Option<<Waiting as Future>::Output> {
    let waiting = AssertUnwindSafe(tokio::time::timeout_at(until.into(), late));
    waiting.catch_unwind().await.ok()?.ok()
}

impl Inner {
    fn completed(
        &self,
        host: &Host,
        fresh_addrs: Result<Answer, ResolveError>,
        sent_at: Instant,
    ) -> CompletedLookup {
        let asked_at = match &fresh_addrs {
            Ok(answer) => answer.asked_at.unwrap_or(sent_at),
            Err(_) => sent_at,
        };
        // The user's `filter` or `source_address` may panic, as a lookup may.
        let read = || fresh_addrs.and_then(|answer| self.read(host.as_str(), answer));
        let outcome = catch_unwind(AssertUnwindSafe(read));
        let outcome = outcome.unwrap_or_else(|_panic| Err(ResolveError::panicked(host.as_str())));
        let has_fallbacks = outcome.is_err() && self.fallbacks.find(host.as_str()).is_some();
        let fallbacks_for = has_fallbacks.then(|| self.config.ttl.positive(None));
        CompletedLookup {
            asked_at,
            outcome,
            share: ttl::share(&mut rand::rng()),
            max_stale: self.config.max_stale,
            fallbacks_for: fallbacks_for.map(|life| ttl::refresh_after(life, &mut rand::rng())),
        }
    }

    fn read(&self, host: &str, answer: Answer) -> Result<FreshAddresses, ResolveError> {
        let Answer {
            addrs,
            ttl,
            is_partial,
            asked_at: _,
            late: _,
        } = answer;
        if addrs.is_empty() {
            return Err(ResolveError::no_records(host));
        }
        let sifted = self.apply_filter(host, &addrs::distinct(addrs));
        let addrs = self.sorted(sifted.map_err(|error| match ttl {
            Some(ttl) => error.with_negative_ttl(ttl),
            None => error,
        })?);
        let life = self.config.ttl.positive(ttl);
        let life = if is_partial { ttl::partial(life) } else { life };
        let refresh_after = ttl::refresh_after(life, &mut rand::rng());
        Ok(FreshAddresses {
            addrs,
            is_partial,
            life,
            refresh_after,
        })
    }

    /// Returns the source address of a connect to an address.
    pub(super) fn source_of(&self, addr: IpAddr) -> Option<IpAddr> {
        match &self.config.source_address {
            Some(source_of) => source_of(addr),
            None => self.routes.source_of(addr, time::now()),
        }
    }

    /// Sorts addresses by RFC 6724, unless the configuration keeps the given order.
    pub(super) fn sorted(&self, addrs: Vec<IpAddr>) -> AddressSet {
        match self.config.order {
            AddressOrder::Preserve => AddressSet::new(addrs),
            AddressOrder::Shuffle | AddressOrder::RoundRobin => {
                let addrs = AddressSet::sampled(addrs, &mut rand::rng());
                addrs.classed(|addr| self.source_of(addr))
            }
        }
    }
}
