//! The cache entry of one host, and every change to it.
//!
//! The code is pure: the caller passes the time.

mod plan;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Id;

use super::answer::{CachedAnswer, Generation};
use super::lookups::{CompletedLookup, InFlightLookup};
use crate::cache::reresolve::ReresolveBackoff;
use crate::cache::ttl;
use crate::error::ResolveError;
use crate::events::LookupReason;
use crate::time::Backoff;

/// Delay before a failed lookup may be repeated for callers without a healthy address: 1 s, doubling to 30 s.
///
/// RFC 9520, section 3.2, gives the bounds: at least 1 s, at most 5 min, and growing.
const FAILED_LOOKUP: Backoff = Backoff {
    least: Duration::from_secs(1),
    most: Duration::from_secs(30),
};

/// How a caller is served.
#[derive(Clone, Debug)]
pub(crate) enum ServePlan {
    /// Serve the cached answer.
    Serve,
    /// Serve the cached answer, and look up the host in the background.
    ServeAndRefresh(LookupReason),
    /// Wait for a lookup. If the lookup fails, the cached answer is served.
    Wait(LookupReason),
    /// Return an error, because the cached answer is negative or the last lookup has just failed.
    Fail(ResolveError),
}

/// The answer of one host, its last failed lookup, and its lookups in flight.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostEntry {
    generation: Generation,
    answer: Option<Arc<CachedAnswer>>,
    failure: Option<Arc<Failure>>,
    explicitly_invalidated: bool,
    reresolve: ReresolveBackoff,
    lookups: Vec<InFlightLookup>,
}

/// A lookup that returned no addresses.
#[derive(Debug)]
struct Failure {
    error: ResolveError,
    failed_at: Instant,
    retry_at: Instant,
    /// When the lookup may be repeated while the answer has a healthy address.
    relaxed_retry_at: Instant,
    in_a_row: u32,
    /// When the lookup of the last negative answer was sent.
    ///
    /// Addresses of an earlier lookup do not replace the negative answer.
    negative_at: Option<Instant>,
    /// How the fallbacks are served until the next lookup, if the host has fallbacks.
    fallbacks: Option<FallbackUse>,
}

/// How fallbacks are served after a failed lookup.
#[derive(Clone, Copy, Debug)]
struct FallbackUse {
    /// The generation at which the failed lookup was sent. A failed connect to a fallback makes the generation old.
    generation: Generation,
    /// When the next caller looks the host up in the background.
    refresh_at: Instant,
}

impl HostEntry {
    /// Returns the entry of a host that is added after `hosts` others.
    pub(super) fn added(hosts: u64) -> Self {
        Self {
            generation: Generation::of_new_host(hosts),
            ..Self::default()
        }
    }

    /// Invalidates the answer, so that the next caller waits for a fresh one.
    pub(crate) fn invalidate_explicitly(&mut self) {
        self.generation.bump();
        self.explicitly_invalidated = true;
        self.failure = None;
    }

    /// Invalidates a partial answer whose only family has no route.
    ///
    /// The next caller then waits for a fresh answer. Returns false if the answer is not partial, is not of generation
    /// `seen`, or may not be re-resolved yet.
    #[must_use]
    pub(crate) fn invalidate_partial(&mut self, seen: Generation, now: Instant) -> bool {
        let is_partial = |known: &Arc<CachedAnswer>| known.is_partial && known.generation == seen;
        let is_news = self.generation == seen
            && self.answer.as_ref().is_some_and(is_partial)
            && self.reresolve.is_due(now);
        if is_news {
            self.invalidate_explicitly();
        }
        is_news
    }

    /// Marks the answer of generation `seen` as suspect, or the fallbacks that are served in its place.
    ///
    /// Returns false if they are of another generation or suspect already. A failed connect to a fallback says nothing
    /// about the answer of a lookup in flight, so the method then returns false, too.
    #[must_use]
    pub(crate) fn invalidate(&mut self, seen: Generation) -> bool {
        let is_news = self.generation == seen
            && self.served_generation() == Some(seen)
            && (self.answer.is_some() || !self.is_in_use());
        if is_news {
            self.generation.bump();
        }
        is_news
    }

    /// Returns a lookup to join, or registers `in_flight` and returns `None`.
    ///
    /// If a lookup has completed since the caller decided to look up the host, the caller gets the result of that
    /// lookup. A refresh is sent all the same.
    pub(crate) fn join_or_start(
        &mut self,
        in_flight: &InFlightLookup,
        cause: LookupReason,
        now: Instant,
    ) -> Option<InFlightLookup> {
        if let Some(current) = self.joinable(in_flight.runtime) {
            return Some(current.clone());
        }
        if cause != LookupReason::Refresh
            && let Some(outcome) = self.settled(now)
        {
            let over = InFlightLookup::over(in_flight.runtime, outcome, now);
            return Some(over.sent_at(self.generation));
        }
        if cause == LookupReason::ConnectFailed {
            self.reresolve.start(now);
        }
        self.lookups.retain(InFlightLookup::is_in_flight);
        self.lookups.push(in_flight.sent_at(self.generation));
        None
    }

    /// Stores the result of a lookup, and returns the result for the waiters.
    ///
    /// Returns `None` if the lookup failed and was not registered any more.
    pub(crate) fn complete(
        &mut self,
        in_flight: &InFlightLookup,
        completed: &CompletedLookup,
        now: Instant,
    ) -> Option<Result<Arc<CachedAnswer>, ResolveError>> {
        let sent_at = self.remove(in_flight);
        if let Some(newer) = self
            .answer
            .clone()
            .filter(|known| known.asked_at > completed.asked_at)
        {
            return Some(Ok(newer));
        }
        if let Some(failure) = &self.failure
            && failure.negative_at > Some(completed.asked_at)
        {
            return Some(Err(failure.error.clone()));
        }
        match &completed.outcome {
            Ok(fresh_addrs) => {
                let generation = sent_at.unwrap_or(in_flight.generation);
                let known = CachedAnswer::new(fresh_addrs, generation, completed.asked_at);
                let known = match &self.answer {
                    Some(old) => known.in_turn_with(old, now),
                    None => known,
                };
                let may_be_kept = |old: &&Arc<CachedAnswer>| {
                    fresh_addrs.is_partial && now < old.gone_at(completed.max_stale)
                };
                let known = match self.answer.as_ref().filter(may_be_kept) {
                    Some(old) => known.completed(old),
                    None => known,
                };
                let known = Arc::new(match &self.answer {
                    Some(old) => known.after(old),
                    None => known,
                });
                self.store_answer(Arc::clone(&known));
                self.failure = None;
                Some(Ok(known))
            }
            Err(error) => {
                let Some(sent_at) = sent_at else {
                    // The next use of the answer schedules a refresh with the current `Lookup`.
                    self.answer.as_ref().inspect(|known| known.clear_used());
                    return None;
                };
                self.fail(error.clone(), sent_at, completed, now);
                Some(Err(error.clone()))
            }
        }
    }

    /// Removes a lookup, and returns the generation at which it was sent.
    ///
    /// Returns `None` if the lookup was not registered.
    pub(crate) fn remove(&mut self, in_flight: &InFlightLookup) -> Option<Generation> {
        let place = self.lookups.iter().position(|other| other.is(in_flight))?;
        let generation = self.lookups.swap_remove(place).generation;
        // Most hosts have no lookup in flight, so an empty list takes no memory.
        self.lookups.shrink_to_fit();
        Some(generation)
    }

    /// Forgets the last failure and the lookups in flight, after another `Lookup` was configured.
    ///
    /// Callers no longer join these lookups. If one of them returns addresses, the addresses are stored; its failure is
    /// ignored.
    pub(crate) fn detach_lookups(&mut self) {
        self.failure = None;
        self.lookups.clear();
    }

    /// Records whether the answer has a healthy address left.
    pub(crate) fn set_has_healthy(&mut self, is_left: bool) {
        self.reresolve.set_has_healthy(is_left);
    }

    /// Returns whether [`detach_lookups`](Self::detach_lookups) would change the entry.
    pub(crate) fn has_pending_state(&self) -> bool {
        self.failure.is_some() || !self.lookups.is_empty()
    }

    fn store_answer(&mut self, known: Arc<CachedAnswer>) {
        if let Some(old) = &self.answer {
            let is_new = known.addrs.has_new(&old.addrs);
            known.continue_counts(old, is_new);
            if is_new {
                self.reresolve.changed();
            }
        }
        self.explicitly_invalidated &= known.generation < self.generation;
        self.answer = Some(known);
    }

    fn fail(
        &mut self,
        error: ResolveError,
        generation: Generation,
        completed: &CompletedLookup,
        now: Instant,
    ) {
        // The next caller needs a lookup that is sent after the invalidation. This one was sent before.
        if self.explicitly_invalidated && generation < self.generation {
            return;
        }
        let in_a_row = self
            .failure
            .as_ref()
            .map_or(1, |failure| failure.in_a_row.saturating_add(1));
        let mut denied_at = self
            .failure
            .as_ref()
            .and_then(|failure| failure.negative_at);
        let until = if error.is_negative_answer() {
            denied_at = Some(completed.asked_at);
            self.answer = None;
            self.explicitly_invalidated = false;
            now + ttl::negative(error.negative_ttl())
        } else {
            // The next use of the answer schedules a refresh again.
            if let Some(known) = &self.answer {
                known.clear_used();
            }
            match error.is_of_this_machine() {
                // The error says nothing about DNS, so the next caller looks up the host again.
                true => now,
                false => now + FAILED_LOOKUP.delay(in_a_row),
            }
        };
        if completed.fallbacks_for.is_some() && self.servable(now, completed.max_stale).is_none() {
            self.answer = None;
            self.explicitly_invalidated = false;
        }
        let fallbacks = completed.fallbacks_for.map(|most| FallbackUse {
            generation,
            refresh_at: until.max(now + most),
        });
        let at_leisure = self.answer.as_ref().map_or(until, |known| {
            let life = known.expires_at.saturating_duration_since(known.asked_at);
            until.max(completed.asked_at + ttl::retry_after(life, completed.share))
        });
        self.failure = Some(Arc::new(Failure {
            error,
            failed_at: now,
            retry_at: until,
            relaxed_retry_at: at_leisure,
            in_a_row,
            negative_at: denied_at,
            fallbacks,
        }));
    }

    /// Returns the answer if it is fresh, not suspect, and not invalidated.
    #[inline]
    pub(crate) fn fresh(&self, now: Instant) -> Option<&Arc<CachedAnswer>> {
        self.answer.as_ref().filter(|known| {
            now < known.expires_at
                && known.generation == self.generation
                && !self.explicitly_invalidated
        })
    }

    /// Returns a result that makes a lookup unnecessary: a fresh answer, or a recent failure.
    fn settled(&self, now: Instant) -> Option<Result<Arc<CachedAnswer>, ResolveError>> {
        let good = self.fresh(now).cloned().map(Ok);
        good.or_else(|| self.failure_in_force(now).map(|it| Err(it.error.clone())))
    }

    fn failure_in_force(&self, now: Instant) -> Option<&Failure> {
        let failure = self.failure.as_deref();
        failure.filter(|failure| now < self.end_of(failure))
    }

    /// Returns when a failed lookup may be repeated.
    fn end_of(&self, failure: &Failure) -> Instant {
        let alone = self.spacing_alone();
        alone.map_or(failure.retry_at, |spacing| {
            failure.retry_at.min(failure.failed_at + spacing)
        })
    }

    /// Returns the longest time between two lookups, if the answer is suspect and has no healthy address left.
    fn spacing_alone(&self) -> Option<Duration> {
        let spacing = self.reresolve.longest_spacing();
        spacing.filter(|_| self.is_suspect())
    }

    /// Returns the answer unless it expired `max_stale` ago or earlier.
    pub(crate) fn servable(&self, now: Instant, max_stale: Duration) -> Option<&Arc<CachedAnswer>> {
        self.answer
            .as_ref()
            .filter(|known| known.may_be_served(now, max_stale))
    }

    /// Returns the lookup that a caller on a runtime joins instead of sending one.
    pub(crate) fn joinable(&self, runtime: Id) -> Option<&InFlightLookup> {
        self.lookups.iter().find(|in_flight| {
            in_flight.runtime == runtime
                && in_flight.generation >= self.generation
                && in_flight.is_in_flight()
        })
    }

    /// Returns the latest lookup in flight on a runtime, whatever its generation.
    pub(crate) fn in_flight(&self, runtime: Id) -> Option<&InFlightLookup> {
        let mut lookups = self.lookups.iter().rev();
        lookups.find(|in_flight| in_flight.runtime == runtime && in_flight.is_in_flight())
    }

    /// Returns whether a lookup in flight on a runtime was sent before `time`.
    pub(crate) fn was_asked_before(&self, time: Instant, runtime: Id) -> bool {
        let mut lookups = self.lookups.iter();
        lookups.any(|in_flight| {
            in_flight.runtime == runtime && in_flight.is_in_flight() && in_flight.sent < time
        })
    }

    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    pub(crate) fn answer(&self) -> Option<&Arc<CachedAnswer>> {
        self.answer.as_ref()
    }

    /// Returns whether the answer is suspect, and a lookup for a fresh one is in flight or may start.
    pub(crate) fn expects_fresh_answer(&self, now: Instant) -> bool {
        let is_due = self.reresolve_at(now).is_some_and(|due| due <= now);
        self.is_suspect() && (self.explicitly_invalidated || is_due || !self.lookups.is_empty())
    }

    /// Returns whether a connect to an address of the answer has failed, or the program has invalidated the answer.
    ///
    /// Without an answer, the method returns whether a connect to a fallback has failed.
    pub(crate) fn is_suspect(&self) -> bool {
        self.served_generation()
            .is_some_and(|known| known < self.generation)
    }

    /// Returns whether a caller got the answer from the cache.
    pub(crate) fn was_used_again(&self) -> bool {
        self.answer.as_ref().is_some_and(|known| known.was_used())
    }

    /// Returns the registered lookups, including those that ended without being removed.
    #[cfg(test)]
    pub(super) fn lookups(&self) -> &[InFlightLookup] {
        &self.lookups
    }

    pub(crate) fn is_in_use(&self) -> bool {
        self.lookups.iter().any(InFlightLookup::is_in_flight)
    }

    fn cause_without_answer(&self) -> LookupReason {
        match (&self.answer, self.explicitly_invalidated) {
            (_, true) => LookupReason::Invalidated,
            (Some(_), false) => LookupReason::Expired,
            (None, false) => LookupReason::Miss,
        }
    }

    /// Returns the generation of the answer, or of the fallbacks that are served without an answer.
    fn served_generation(&self) -> Option<Generation> {
        let answer = self.answer.as_ref().map(|known| known.generation);
        answer.or_else(|| Some(self.failure.as_ref()?.fallbacks?.generation))
    }
}

#[cfg(test)]
mod tests;
