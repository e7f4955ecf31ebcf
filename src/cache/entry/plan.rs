//! How a caller is served, and when the host is looked up next.

use std::time::{Duration, Instant};

use super::{CachedAnswer, FAILED_LOOKUP, Failure, FallbackUse, HostEntry, ServePlan};
use crate::events::LookupReason;

impl HostEntry {
    /// Returns whether the last lookup failed so recently that the next one is likely to fail too.
    ///
    /// A silent name server would make the callers of each such lookup wait.
    fn failed_lately(&self, now: Instant) -> bool {
        let failure = self.failure.as_ref();
        failure.is_some_and(|failure| now < failure.relaxed_retry_at + FAILED_LOOKUP.most)
    }

    /// Decides how a caller is served. `health_left` returns whether the answer has a healthy address left.
    pub(crate) fn plan(
        &self,
        now: Instant,
        max_stale: Duration,
        health_left: impl FnOnce(&CachedAnswer) -> bool,
    ) -> ServePlan {
        if self.fresh(now).is_some() {
            return ServePlan::Serve;
        }
        let failure = self.failure_in_force(now);
        let Some(known) = self.servable(now, max_stale) else {
            return failure.map_or(ServePlan::Wait(self.cause_without_answer()), |failure| {
                ServePlan::Fail(failure.error.clone())
            });
        };
        match () {
            () if failure.is_some() => ServePlan::Serve,
            () if self.explicitly_invalidated => ServePlan::Wait(LookupReason::Invalidated),
            () => self.plan_for_aged(now, known, health_left(known)),
        }
    }

    /// Decides how a caller of a host with fallbacks is served, if no answer may be served.
    ///
    /// After a failed lookup no caller waits for the next one, unless connects to all fallbacks have failed.
    pub(crate) fn plan_with_fallbacks(&self, now: Instant, health_left: bool) -> ServePlan {
        let Some(failure) = &self.failure else {
            return ServePlan::Wait(self.cause_without_answer());
        };
        let is_due = |fallbacks: FallbackUse| now >= fallbacks.refresh_at;
        match () {
            () if self.failure_in_force(now).is_some() => ServePlan::Serve,
            () if self.is_suspect() => self.plan_for_suspect(now, health_left),
            () if failure.fallbacks.is_none_or(is_due) => {
                ServePlan::ServeAndRefresh(LookupReason::Expired)
            }
            () => ServePlan::Serve,
        }
    }

    /// Decides how a caller is served whose answer has expired or is suspect.
    fn plan_for_aged(&self, now: Instant, known: &CachedAnswer, health_left: bool) -> ServePlan {
        let failure = self.failure.as_ref();
        let waits = failure.is_some_and(|failure| now < failure.relaxed_retry_at);
        match () {
            () if waits && health_left => ServePlan::Serve,
            () if now >= known.expires_at && health_left && self.failed_lately(now) => {
                ServePlan::ServeAndRefresh(LookupReason::Expired)
            }
            () if now >= known.expires_at => ServePlan::Wait(LookupReason::Expired),
            () => self.plan_for_suspect(now, health_left),
        }
    }

    /// Decides how a caller is served whose answer is suspect.
    ///
    /// If a healthy address is left, the caller does not wait, because failed addresses are ordered last. If none is
    /// left and a lookup is due or in flight, the caller waits for a fresh answer.
    fn plan_for_suspect(&self, now: Instant, health_left: bool) -> ServePlan {
        let due = self.reresolve.is_due(now);
        let in_the_air = self.is_being_replaced();
        match (health_left, due || in_the_air) {
            (true, _) if due && !in_the_air => {
                ServePlan::ServeAndRefresh(LookupReason::ConnectFailed)
            }
            (false, true) => ServePlan::Wait(LookupReason::ConnectFailed),
            (true | false, _) => ServePlan::Serve,
        }
    }

    /// Returns when the host is to be looked up without a caller, and why.
    ///
    /// The lookup is the refresh of an answer in use or a re-resolution after a failed connect, whichever is due first.
    pub(crate) fn next_lookup(&self, now: Instant) -> Option<(Instant, LookupReason)> {
        let in_use = self.answer.as_ref().filter(|known| known.was_used());
        let ahead = in_use.map(|known| (self.waited_out(known.refresh_at), LookupReason::Refresh));
        let again = self
            .reresolve_at(now)
            .map(|at| (at, LookupReason::ConnectFailed));
        [ahead, again]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }

    /// Returns when a suspect answer may be re-resolved.
    ///
    /// Returns `None` if the answer is not suspect, if a lookup that was sent after the failure is in flight, or if the
    /// program invalidated the answer. After an invalidation, the next caller sends the lookup.
    pub(crate) fn reresolve_at(&self, now: Instant) -> Option<Instant> {
        let open = self.is_suspect() && !self.explicitly_invalidated && !self.is_being_replaced();
        open.then(|| self.waited_out(self.reresolve.due_at(now)))
    }

    /// Returns the later of `at` and the time from which a failed lookup may be repeated.
    pub(super) fn waited_out(&self, at: Instant) -> Instant {
        let end = |failure: &Failure| match self.spacing_alone() {
            Some(_) => self.end_of(failure),
            None => failure.relaxed_retry_at,
        };
        self.failure.as_deref().map_or(at, |it| at.max(end(it)))
    }

    /// Returns whether a lookup in flight was sent after the answer became suspect.
    fn is_being_replaced(&self) -> bool {
        let mut lookups = self.lookups.iter();
        lookups.any(|in_flight| in_flight.generation == self.generation && in_flight.is_in_flight())
    }
}
