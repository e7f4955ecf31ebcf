//! Serves callers: from a fresh answer, or by the plan of the host, after a lookup if the plan says so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::Cache;
use super::answer::{CachedAnswer, Origin};
use super::entry::{HostEntry, ServePlan};
use crate::events::{Event, LookupReason};
use crate::host::Host;
use crate::{ResolveError, time};

impl Cache {
    /// Calls `serve` with the fresh answer of a host, or returns `None` if no fresh answer may be served.
    ///
    /// A fresh answer is the common case. A name in its one spelling then needs no parsing and no wait.
    #[inline(always)]
    pub(crate) fn read_fresh<T>(
        self: &Arc<Self>,
        name: &str,
        serve: impl FnOnce(&Host, &CachedAnswer, Instant) -> T,
    ) -> Option<T> {
        if self.has_override(name) {
            return None;
        }
        let now = time::now();
        let hit = self.hosts.read(name, |host, entry| {
            let known = entry.fresh(now)?;
            self.note_use(host, known);
            Some(serve(host, known, now))
        });
        hit?
    }

    /// Returns the override of a host, its cached answer, the answer of a lookup, or the fallbacks of the host.
    ///
    /// The [`ServePlan`] of the host decides whether the caller waits for a lookup.
    pub(crate) async fn answer(
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

    /// Returns the answer for a race whose attempts are slow or have failed, or `None` if there is no answer.
    ///
    /// If the answer is suspect, the method waits for a fresh answer, at most for `serve_stale_after`. If the backoff
    /// defers the lookup, the method first waits for the start of the lookup, at most for the same time. The method
    /// waits even if an address still counts as healthy, for example because its family has no route.
    pub(crate) async fn reresolved(self: &Arc<Self>, host: &Host) -> Option<Arc<CachedAnswer>> {
        if let Some(due) = self.deferred_until(host) {
            tokio::time::sleep_until(due.into()).await;
        }
        let known = self.answer(host).await.ok()?;
        if known.origin != Origin::Lookup || !self.may_be_replaced(host) {
            return Some(known);
        }
        let fresh = self.look_up_or_serve(host, LookupReason::ConnectFailed, known);
        fresh.await.ok()
    }

    /// Returns when the host may be re-resolved, if that is later than now and within `serve_stale_after`.
    fn deferred_until(&self, host: &Host) -> Option<Instant> {
        let now = time::now();
        let due = self
            .hosts
            .peek(host.as_str(), |entry| entry.reresolve_at(now));
        let is_soon = |due: &Instant| *due > now && *due <= now + self.config.serve_stale_after;
        due.flatten().filter(is_soon)
    }

    /// Returns whether the answer is suspect, and a lookup that replaces it is in flight or may start.
    fn may_be_replaced(&self, host: &Host) -> bool {
        let now = time::now();
        let open = |entry: &HostEntry| match entry.reresolve_at(now) {
            Some(due) => due <= now,
            None => entry.is_suspect(),
        };
        self.hosts.peek(host.as_str(), open) == Some(true)
    }

    async fn answer_by_plan(
        self: &Arc<Self>,
        host: &Host,
        now: Instant,
    ) -> Result<Arc<CachedAnswer>, ResolveError> {
        let planned = self
            .hosts
            .read(host.as_str(), |host, entry| self.plan(host, entry, now));
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
    async fn look_up_or_serve(
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
        let asked = |entry: &HostEntry| {
            let runtime = tokio::runtime::Handle::try_current().ok()?;
            Some(entry.was_asked_before(known.expires_at, runtime.id()))
        };
        self.hosts.peek(host.as_str(), asked).flatten() == Some(true)
            && self.has_healthy(host, known, time::now())
    }

    /// Returns when the in-flight lookup that a caller may join was sent.
    fn joinable_since(&self, host: &Host) -> Option<Instant> {
        let sent = |entry: &HostEntry| {
            let runtime = tokio::runtime::Handle::try_current().ok()?;
            entry.joinable(runtime.id()).map(|in_flight| in_flight.sent)
        };
        self.hosts.peek(host.as_str(), sent).flatten()
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
        entry: &HostEntry,
        now: Instant,
    ) -> (ServePlan, Option<Arc<CachedAnswer>>) {
        let servable = self.servable(entry, now);
        if servable.is_none()
            && let Some(fallback) = self.fallback(host, now)
        {
            let health_left = self.has_healthy(host, &fallback, now);
            return (entry.plan_with_fallbacks(now, health_left), Some(fallback));
        }
        let plan = entry.plan(now, self.config.max_stale, |known| {
            self.has_healthy(host, known, now)
        });
        (plan, servable)
    }

    pub(super) fn servable(&self, entry: &HostEntry, now: Instant) -> Option<Arc<CachedAnswer>> {
        entry.servable(now, self.config.max_stale).cloned()
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
    pub(crate) fn has_healthy(&self, host: &Host, known: &CachedAnswer, now: Instant) -> bool {
        self.health.has_healthy(host, known.addrs.as_slice(), now)
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
