//! Resolves one name, from the cache or by a lookup, and selects the addresses for the caller.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::future::ResolveFuture;
use super::query::Query;
use super::{Inner, Resolved};
use crate::addrs::{
    self, AddressList, AddressOrder, Family, MAX_ADDRS, MAX_PER_FAMILY, SelectParams,
};
use crate::attempt::attribution;
use crate::attempt::{AllAddrs, AttemptContext, Resolution};
use crate::cache::{CachedAnswer, HostEntry, LookupReason, Origin, ServePlan};
use crate::events::{AnswerSource, Event};
use crate::health::record::Rank;
use crate::host::{self, Host};
use crate::{ResolveError, time};

impl Inner {
    /// Selects addresses for a connector, and records them in the attempt context of the caller.
    ///
    /// Returns `None` if `selected` holds the addresses already, and otherwise a future of the addresses.
    #[inline(always)]
    pub(super) fn resolve_into(
        self: &Arc<Self>,
        name: &str,
        selected: &mut AddressList,
    ) -> Option<ResolveFuture> {
        let context = AttemptContext::current(self.id);
        if let Some(context) = &context
            && Self::assigned_address(context, name, selected)
        {
            return None;
        }
        if !self.resolve_cached(name, context.as_ref(), selected) {
            return Some(self.resolve_uncached(name, context));
        }
        if context.is_none() {
            self.note_asked_outside(selected);
        }
        None
    }

    /// Selects addresses from a fresh answer, and returns false if no fresh answer may be served.
    ///
    /// A fresh answer is the common case. A name in its one spelling then needs no parsing and no wait.
    #[inline(always)]
    fn resolve_cached(
        self: &Arc<Self>,
        name: &str,
        context: Option<&AttemptContext>,
        selected: &mut AddressList,
    ) -> bool {
        if !self.overrides.is_empty() && self.overrides.find(name).is_some() {
            return false;
        }
        let now = time::now();
        let hit = self.store.read(name, |host, slot| {
            let known = slot.fresh(now)?;
            self.note_use(host, known);
            self.select_into(host, known, context, now, selected);
            Some(())
        });
        hit.flatten().is_some()
    }

    #[inline(never)]
    fn resolve_uncached(
        self: &Arc<Self>,
        name: &str,
        context: Option<AttemptContext>,
    ) -> ResolveFuture {
        let host = match self.query(name) {
            Err(error) => return ResolveFuture::known(Err(error)),
            Ok(Query::Immediate(selected, _)) => return ResolveFuture::known(Ok(selected)),
            Ok(Query::Lookup(host) | Query::Reserved(host)) => host,
        };
        let shared = Arc::clone(self);
        ResolveFuture::asking(async move {
            let known = shared.answer(&host).await?;
            let mut selected = AddressList::new();
            shared.select_into(&host, &known, context.as_ref(), time::now(), &mut selected);
            if context.is_none() {
                shared.note_asked_outside(&selected);
            }
            Ok(selected)
        })
    }

    /// Parses a name, and filters its addresses if the name needs no lookup.
    fn query(&self, name: &str) -> Result<Query, ResolveError> {
        match self.read_query(name)? {
            Query::Immediate(selected, source) if self.filter.is_some() => {
                let sifted = self.apply_filter(&host::normalized(name), selected.as_slice())?;
                Ok(Query::answered(&sifted, source))
            }
            Query::Reserved(host) if self.overrides.find(host.as_str()).is_none() => {
                Err(ResolveError::never_sent(host.as_str()))
            }
            question => Ok(question),
        }
    }

    /// Returns all addresses of a host in the order in which to connect to them.
    pub(super) async fn resolve(self: &Arc<Self>, name: &str) -> Result<Resolved, ResolveError> {
        let host = match self.query(name)? {
            Query::Immediate(selected, source) => {
                return Ok(Resolved {
                    addrs: selected.collect(),
                    source,
                    age: Duration::ZERO,
                    expires_in: None,
                });
            }
            Query::Lookup(host) | Query::Reserved(host) => host,
        };
        let known = self.answer(&host).await?;
        let now = time::now();
        Ok(Resolved {
            addrs: self.all_in_order(&host, &known, now).into_vec(),
            source: self.source(&host, &known, now),
            age: known.age(now),
            expires_in: known.expires_in(now),
        })
    }

    fn source(&self, host: &Host, known: &CachedAnswer, now: Instant) -> AnswerSource {
        let suspect = self.store.peek(host.as_str(), HostEntry::is_suspect);
        AnswerSource::of(known, suspect == Some(true), now)
    }

    /// Returns the override of a host, its cached answer, the answer of a lookup, or the fallbacks of the host.
    ///
    /// The [`ServePlan`] of the host decides whether the caller waits for a lookup.
    pub(super) async fn answer(
        self: &Arc<Self>,
        host: &Host,
    ) -> Result<Arc<CachedAnswer>, ResolveError> {
        let now = time::now();
        let known = match self.override_for(host.as_str(), now) {
            Some(overridden) => overridden,
            None => {
                let known = self.answer_by_plan(host, now).await;
                // Another lookup may have succeeded meanwhile.
                known.or_else(|error| self.servable_or_fallback(host, time::now()).ok_or(error))?
            }
        };
        self.count_turn(host, &known);
        Ok(known)
    }

    async fn answer_by_plan(
        self: &Arc<Self>,
        host: &Host,
        now: Instant,
    ) -> Result<Arc<CachedAnswer>, ResolveError> {
        let planned = self
            .store
            .read(host.as_str(), |host, slot| self.plan(host, slot, now));
        let unknown = || {
            (
                ServePlan::Wait(LookupReason::Miss),
                self.fallback(host, now),
            )
        };
        match planned.unwrap_or_else(unknown) {
            (ServePlan::Serve, Some(known)) => {
                self.note_use(host, &known);
                Ok(self.served(host, known))
            }
            (ServePlan::ServeAndRefresh(cause), Some(known)) => {
                // If no lookup can start, the answer stays as it is, and a later caller starts the lookup.
                let _ = self.join_or_start_lookup(host, cause);
                Ok(self.served(host, known))
            }
            (ServePlan::Fail(error), _) => Err(error),
            (ServePlan::Wait(cause), None) => self.look_up(host, cause).await,
            (ServePlan::Wait(cause), Some(known)) => {
                self.look_up_or_serve(host, cause, known).await
            }
            (ServePlan::Serve | ServePlan::ServeAndRefresh(_), None) => {
                self.look_up(host, LookupReason::Miss).await
            }
        }
    }

    /// Waits for a fresh answer as long as `serve_stale_after` allows, and otherwise serves the old answer or fallbacks.
    ///
    /// A host in use is refreshed before its answer expires, so that no caller waits. If the refresh is still pending
    /// when the answer expires, the answer is served stale as long as one of its addresses is healthy.
    pub(super) async fn look_up_or_serve(
        self: &Arc<Self>,
        host: &Host,
        cause: LookupReason,
        old: Arc<CachedAnswer>,
    ) -> Result<Arc<CachedAnswer>, ResolveError> {
        if cause == LookupReason::Expired
            && old.origin == Origin::Lookup
            && self.is_looked_up_in_time(host, &old)
        {
            // The pending lookup may have been sent before a connect failed. This call then starts another lookup.
            let _ = self.join_or_start_lookup(host, cause);
            return Ok(self.served(host, old));
        }
        let wait = self.time_to_wait(host);
        match within(wait, self.look_up(host, cause)).await {
            Some(Ok(known)) => return Ok(known),
            Some(Err(error)) if error.is_negative_answer() => return Err(error),
            // `complete_lookup` has told of a failed lookup, and the first caller that waited tells of a slow one.
            None if !wait.is_zero() => self.tell_fallback(host),
            Some(Err(_)) | None => {}
        }
        Ok(self.served(host, old))
    }

    /// Returns how long a caller waits for the in-flight lookup of a host, or for a new lookup.
    ///
    /// The time counts from when the lookup was sent. Otherwise each caller would wait the full time for a lookup
    /// that takes long.
    fn time_to_wait(&self, host: &Host) -> Duration {
        let waited = self.joinable_since(host).map_or(Duration::ZERO, |sent| {
            time::now().saturating_duration_since(sent)
        });
        self.config.serve_stale_after.saturating_sub(waited)
    }

    /// Returns whether a pending lookup was sent before the answer expired, and the answer has a healthy address.
    fn is_looked_up_in_time(&self, host: &Host, known: &CachedAnswer) -> bool {
        let asked = |slot: &HostEntry| {
            let runtime = tokio::runtime::Handle::try_current().ok()?;
            Some(slot.was_asked_before(known.expires_at, runtime.id()))
        };
        self.store.peek(host.as_str(), asked).flatten() == Some(true)
            && self.has_healthy(host, known, time::now())
    }

    /// Returns when the in-flight lookup that a caller may join was sent.
    fn joinable_since(&self, host: &Host) -> Option<Instant> {
        let sent = |slot: &HostEntry| {
            let runtime = tokio::runtime::Handle::try_current().ok()?;
            slot.joinable(runtime.id()).map(|in_flight| in_flight.sent)
        };
        self.store.peek(host.as_str(), sent).flatten()
    }

    /// Waits for the in-flight lookup of a host, or for a new lookup.
    ///
    /// If a lookup ends without a result, or its answer is too old to be served, the host is looked up again. A
    /// lookup ends without a result if its runtime is shut down or the network changes. A lookup that fails after the
    /// program has set another lookup also ends without a result.
    async fn look_up(
        self: &Arc<Self>,
        host: &Host,
        cause: LookupReason,
    ) -> Result<Arc<CachedAnswer>, ResolveError> {
        let mut last = Err(ResolveError::lost(host.as_str()));
        for _ in 0..TRIES {
            match self.join_or_start_lookup(host, cause)?.wait().await {
                Some(Ok(known)) if !known.may_be_served(time::now(), self.config.max_stale) => {
                    last = Ok(known);
                }
                Some(landed) => return landed,
                None => {}
            }
        }
        last
    }

    #[inline]
    pub(super) fn note_use(self: &Arc<Self>, host: &Host, known: &Arc<CachedAnswer>) {
        if known.is_first_use() {
            self.schedule_refresh(host, known);
        }
    }

    /// Decides how a caller is served, and returns the answer or the fallbacks that may be served.
    pub(super) fn plan(
        &self,
        host: &Host,
        slot: &HostEntry,
        now: Instant,
    ) -> (ServePlan, Option<Arc<CachedAnswer>>) {
        let servable = self.servable(slot, now);
        if servable.is_none()
            && let Some(fallback) = self.fallback(host, now)
        {
            let health_left = self.has_healthy(host, &fallback, now);
            return (slot.plan_with_fallbacks(now, health_left), Some(fallback));
        }
        let plan = slot.plan(now, self.config.max_stale, |known| {
            self.has_healthy(host, known, now)
        });
        (plan, servable)
    }

    pub(super) fn servable(&self, slot: &HostEntry, now: Instant) -> Option<Arc<CachedAnswer>> {
        slot.servable(now, self.config.max_stale).cloned()
    }

    fn served(&self, host: &Host, known: Arc<CachedAnswer>) -> Arc<CachedAnswer> {
        let now = time::now();
        if now >= known.expires_at && known.origin == Origin::Lookup {
            let age = now.saturating_duration_since(known.asked_at);
            self.emit(&Event::ServedStale {
                host: host.as_str(),
                age,
                is_first: known.is_first_stale(),
            });
        }
        known
    }

    /// Returns whether an answer has a healthy address.
    pub(super) fn has_healthy(&self, host: &Host, known: &CachedAnswer, now: Instant) -> bool {
        self.health.has_healthy(host, known.addrs.as_slice(), now)
    }

    #[inline]
    fn select_into(
        self: &Arc<Self>,
        host: &Host,
        known: &CachedAnswer,
        context: Option<&AttemptContext>,
        now: Instant,
        selected: &mut AddressList,
    ) {
        if let Some(context) = context
            && self.start_race(host, known, context, now, selected)
        {
            return;
        }
        let trial = self.take_trial(host, known, now);
        selected.fill(|out| self.in_order(host, known, MAX_PER_FAMILY, trial, now, out));
        if let Some(context) = context {
            let turned = match known.addrs.omits_earlier_addresses() {
                true => self.select_last_resort(host, known, selected, trial, now),
                false => selected.as_slice().len(),
            };
            if self.config.lanes && self.may_add_lane(host, selected, now) {
                selected.add_lane(turned);
            }
            context.record(self.resolution(host, known, selected.clone(), now));
        }
    }

    /// Returns whether a second lane may start with the second of the selected addresses.
    ///
    /// The second lane starts 300 ms after the first lane, and TCP of either ends the other. So if recent connects took
    /// longer, a second address that hangs in TLS would keep the connect from a healthy first address.
    fn may_add_lane(&self, host: &Host, selected: &AddressList, now: Instant) -> bool {
        let &[first, second, ..] = selected.as_slice() else {
            return true;
        };
        let takes_over = self.health.read(host.as_str(), now, |records| {
            let second = records.find(second);
            records.rank(first) <= Rank::Healthy
                && second.is_some_and(|record| record.may_hang_after_tcp(now))
        });
        !(takes_over && self.health.took_at_least(host, attribution::HEAD_START))
    }

    #[inline(never)]
    pub(super) fn resolution(
        &self,
        host: &Host,
        known: &CachedAnswer,
        selected: AddressList,
        now: Instant,
    ) -> Resolution {
        Resolution {
            host: host.clone(),
            generation: known.generation,
            addrs: selected,
            resolved_at: now,
            source: self.source(host, known, now),
            age: known.age(now),
        }
    }

    pub(super) fn all_in_order(
        self: &Arc<Self>,
        host: &Host,
        known: &CachedAnswer,
        now: Instant,
    ) -> AllAddrs {
        let trial = self.take_trial(host, known, now);
        self.all_with_trial(host, known, trial, now)
    }

    /// Returns all addresses of a host in order, with the address of the caller's `trial` first.
    pub(super) fn all_with_trial(
        &self,
        host: &Host,
        known: &CachedAnswer,
        trial: Option<IpAddr>,
        now: Instant,
    ) -> AllAddrs {
        let mut addrs = AllAddrs::from_slice(known.addrs.as_slice());
        self.in_order(host, known, MAX_ADDRS, trial, now, &mut addrs);
        addrs
    }

    /// Returns the family that a connect attempts first.
    #[inline]
    pub(super) fn preferred_family(&self, known: &CachedAnswer, now: Instant) -> Family {
        let wanted = self.config.prefer.unwrap_or_else(|| known.addrs.leads());
        self.health.preferred_family(wanted, now)
    }

    #[inline(always)]
    fn in_order(
        &self,
        host: &Host,
        known: &CachedAnswer,
        per_family: usize,
        trial: Option<IpAddr>,
        now: Instant,
        out: &mut [IpAddr],
    ) -> usize {
        let (addrs, order) = (&known.addrs, self.config.order);
        let how = SelectParams {
            order,
            prefer: self.preferred_family(known, now),
            per_family,
            turn: if order == AddressOrder::RoundRobin {
                known.turn()
            } else {
                0
            },
        };
        let mut rng = rand::rng();
        if self.health.has_no_records() {
            return addrs::select(addrs, None, how, &mut rng, out);
        }
        self.health.read(host.as_str(), now, |records| {
            let rank = |addr| {
                if trial == Some(addr) {
                    Rank::Trial
                } else {
                    records.rank_to_select(addr)
                }
            };
            addrs::select(addrs, Some(&rank), how, &mut rng, out)
        })
    }

    /// Starts the trial of an address whose penalty is over, if a trial is due.
    ///
    /// A probe tries the address if possible. Otherwise the caller tries the address that the method returns.
    #[inline]
    pub(super) fn take_trial(
        &self,
        host: &Host,
        known: &CachedAnswer,
        now: Instant,
    ) -> Option<IpAddr> {
        let addr = self.health.take_trial(host, known.addrs.as_slice(), now)?;
        self.emit(&Event::TrialStarted {
            host: host.as_str(),
            addr,
        });
        Some(addr)
    }
}

/// The most lookups that one caller waits for, if lookups end without a result.
const TRIES: usize = 4;

/// Waits for a future for at most `wait`, and returns `None` if the future takes longer.
///
/// If the runtime has no timer, the function does not wait at all, because its callers have other addresses to serve.
async fn within<T>(wait: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    if let Some(ready) = future.as_mut().now_or_never() {
        return Some(ready);
    }
    let timer = || tokio::time::timeout(wait, future);
    // `timeout` panics on a runtime without a timer, and tokio offers no way to find out before.
    let has_runtime = tokio::runtime::Handle::try_current().is_ok();
    let timer = has_runtime.then(|| catch_unwind(AssertUnwindSafe(timer)).ok());
    timer.flatten()?.await.ok()
}

#[cfg(test)]
mod tests;
