//! Starts lookups. A lookup waits for its turn, has a time limit, and stores its answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::runtime::Handle;

use super::answer::{CachedAnswer, FreshAddresses};
use super::entry::HostEntry;
use super::limits::{LookupLimits, QUEUE};
use super::lookups::{CompletedLookup, InFlightLookup, LookupSender};
use super::{Cache, ttl};
use crate::addrs;
use crate::events::{Event, LookupReason};
use crate::host::Host;
use crate::lookup::{Answer, Lookup, Waiting};
use crate::{ResolveError, time};

/// A task that runs one lookup, and wakes the waiters however the lookup ends.
pub(super) struct LookupTask {
    cache: Weak<Cache>,
    host: Host,
    in_flight: InFlightLookup,
    sender: Option<LookupSender>,
}

impl LookupTask {
    pub(super) fn new(
        cache: &Arc<Cache>,
        host: &Host,
        in_flight: &InFlightLookup,
        sender: LookupSender,
    ) -> Self {
        Self {
            cache: Arc::downgrade(cache),
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
        let cache = self.cache.upgrade()?;
        Some((Arc::clone(&cache.limits), cache.config.lookup_timeout))
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
        let delay = self.cache.upgrade()?.resolution_delay(answer);
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
        let Some(cache) = self.cache.upgrade() else {
            return false;
        };
        if cache.health.was_elsewhere(sent_at) {
            return false;
        }
        let completed = cache.completed(&self.host, fresh_addrs, sent_at);
        let landed = cache.complete_lookup(&self.host, &self.in_flight, &completed);
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
            && let Some(cache) = self.cache.upgrade()
        {
            let forget = |entry: &mut HostEntry| entry.remove(&self.in_flight);
            cache.hosts.edit_present(&self.host, forget);
        }
    }
}

/// Waits for a late part until `until`, and returns `None` if the late part panics or takes longer.
async fn guarded(until: Instant, late: &mut Waiting) -> Option<<Waiting as Future>::Output> {
    let waiting = AssertUnwindSafe(tokio::time::timeout_at(until.into(), late));
    waiting.catch_unwind().await.ok()?.ok()
}

impl Cache {
    /// Joins the in-flight lookup of a host on this runtime, or starts a lookup.
    ///
    /// The task of the lookup runs on the runtime of the caller and ends with that runtime. The task holds the
    /// resolver weakly. If the last resolver is dropped, the answer of the lookup is dropped, too.
    pub(super) fn join_or_start_lookup(
        self: &Arc<Self>,
        host: &Host,
        cause: LookupReason,
    ) -> Result<InFlightLookup, ResolveError> {
        let runtime = Handle::try_current().map_err(|_| ResolveError::no_runtime(host.as_str()))?;
        let read = self.hosts.read(host.as_str(), |_, entry| {
            entry.joinable(runtime.id()).cloned()
        });
        if let Some(current) = read.flatten() {
            return Ok(current);
        }
        let now = time::now();
        if !self.rate_limits.try_acquire(cause, now) {
            let any = |entry: &HostEntry| {
                let in_flight = entry.in_flight(runtime.id()).cloned();
                (
                    in_flight,
                    entry.servable(now, self.config.max_stale).is_some(),
                )
            };
            match self.hosts.peek(host.as_str(), any) {
                // The second choice is a lookup that was sent before the invalidation.
                Some((Some(in_flight), _)) => return Ok(in_flight),
                Some((None, is_served)) if is_served || self.fallback(host, now).is_some() => {
                    return Err(ResolveError::too_many(host.as_str()));
                }
                // The host has no answer to serve, so the lookup is sent all the same.
                Some((None, _)) | None => {}
            }
        }
        Ok(self.start_lookup(&runtime, host, cause))
    }

    /// Starts a lookup, unless another caller has started one meanwhile.
    pub(super) fn start_lookup(
        self: &Arc<Self>,
        runtime: &Handle,
        host: &Host,
        cause: LookupReason,
    ) -> InFlightLookup {
        let now = time::now();
        let (sender, in_flight) = InFlightLookup::new(runtime.id(), now);
        let (current, generation) = self.hosts.edit(host, |entry| {
            let current = entry.join_or_start(&in_flight, cause, now);
            (current, entry.generation())
        });
        if let Some(current) = current {
            return current;
        }
        let in_flight = in_flight.sent_at(generation);
        self.make_room(host);
        self.emit(&Event::LookupStarted {
            host: host.as_str(),
            cause,
        });
        let task = LookupTask::new(self, host, &in_flight, sender);
        runtime.spawn(task.run(self.lookup.get()));
        in_flight
    }

    /// Stores the result of a lookup, and returns the result for its waiters.
    ///
    /// Returns `None` if the lookup was detached before it failed; see [`HostEntry::detach_lookups`]. The waiters
    /// then look the host up again.
    fn complete_lookup(
        &self,
        host: &Host,
        in_flight: &InFlightLookup,
        completed: &CompletedLookup,
    ) -> Option<Result<Arc<CachedAnswer>, ResolveError>> {
        let now = time::now();
        let landed = self
            .hosts
            .edit(host, |entry| entry.complete(in_flight, completed, now));
        self.make_room(host);
        match &completed.outcome {
            Ok(fresh_addrs) => {
                self.emit(&Event::LookupSucceeded {
                    host: host.as_str(),
                    addrs: fresh_addrs.addrs.as_slice(),
                    life: fresh_addrs.life,
                });
            }
            Err(error) => self.emit(&Event::LookupFailed {
                host: host.as_str(),
                error,
            }),
        }
        if let Some(Err(_)) = &landed {
            self.tell_fallback(host);
        }
        let is_denied = completed
            .outcome
            .as_ref()
            .is_err_and(ResolveError::is_negative_answer);
        let is_overtaken = landed.as_ref().is_some_and(Result::is_ok);
        if is_denied && !is_overtaken {
            self.health.forget_left(host, now);
        }
        landed
    }

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
            share: ttl::share(&mut fastrand::Rng::new()),
            max_stale: self.config.max_stale,
            fallbacks_for: fallbacks_for
                .map(|life| ttl::refresh_after(life, &mut fastrand::Rng::new())),
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
        let refresh_after = ttl::refresh_after(life, &mut fastrand::Rng::new());
        Ok(FreshAddresses {
            addrs,
            is_partial,
            life,
            refresh_after,
        })
    }
}
