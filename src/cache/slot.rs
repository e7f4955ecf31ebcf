//! What is known of one host, and every legal change to it. Pure: told the time.

mod plan;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Id;

use super::flight::{Fallback, Flight, Landing};
use super::known::{Generation, Known, Origin};
use crate::backoff::Backoff;
use crate::error::Error;
use crate::recheck::Recheck;
use crate::ttl;

/// Time after a failed lookup in which it is not repeated for those who have nothing to dial (RFC 9520,
/// section 3.2: at least 1 s, at most 5 min, growing).
const FAILED_LOOKUP: Backoff = Backoff {
    least: Duration::from_secs(1),
    most: Duration::from_secs(30),
};

/// Why a host is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Its answer is in use and near its end.
    Ageing,
    /// A connect to one of its addresses failed, or what came after it.
    ConnectFailed,
    /// Its answer is past its TTL.
    Expired,
    /// It was invalidated by hand.
    Invalidated,
    /// Nothing is known of it.
    Unknown,
}

/// What to do for a caller.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    /// Serve what is known.
    Serve,
    /// Serve what is known and look up behind the caller's back.
    ServeAndAsk(Cause),
    /// Look up and wait for it; what is known is served if that fails.
    Ask(Cause),
    /// Fail: a negative answer is known, or the last lookup failed just now.
    Fail(Error),
}

/// What is known of one host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    generation: Generation,
    known: Option<Arc<Known>>,
    failure: Option<Arc<Failure>>,
    by_hand: bool,
    recheck: Recheck,
    flights: Vec<Flight>,
}

/// A lookup that brought no addresses.
#[derive(Debug)]
struct Failure {
    error: Error,
    failed_at: Instant,
    until: Instant,
    /// While a healthy address of an answer is left, it is not repeated before this.
    at_leisure: Instant,
    in_a_row: u32,
    /// When the last negative answer was asked for: an older lookup's addresses do not undo it.
    denied_at: Option<Instant>,
}

impl Slot {
    /// Ends what is known: the next caller waits for a fresh answer.
    pub(crate) fn invalidate_by_hand(&mut self) {
        self.generation.bump();
        self.by_hand = true;
        self.failure = None;
    }

    /// The only family of a partial answer has no route: the next caller waits for a fresh answer.
    /// Returns false for an older answer's news, and while a lookup for that reason is waited out.
    #[must_use]
    pub(crate) fn invalidate_partial(&mut self, seen: Generation, now: Instant) -> bool {
        let is_partial = |known: &Arc<Known>| known.is_partial && known.generation == seen;
        let is_news = self.generation == seen
            && self.known.as_ref().is_some_and(is_partial)
            && self.recheck.is_due(now);
        if is_news {
            self.invalidate_by_hand();
        }
        is_news
    }

    /// Marks the answer of that generation suspect. Returns false for an older answer's news, and
    /// when the mark is there already.
    #[must_use]
    pub(crate) fn invalidate(&mut self, seen: Generation) -> bool {
        let is_news = self.generation == seen
            && self.generation_known() == Some(seen)
            && !self.is_fallback_for_a_flight();
        if is_news {
            self.generation.bump();
        }
        is_news
    }

    /// A lookup is in the air that will replace what is served: a failed connect to the program's
    /// own addresses says nothing about it.
    fn is_fallback_for_a_flight(&self) -> bool {
        let is_fallback = |known: &Arc<Known>| matches!(known.origin, Origin::Fallback(_));
        self.known.as_ref().is_some_and(is_fallback) && self.is_in_use()
    }

    /// Joins the lookup in the air, or makes `flight` it. One that has landed since the caller was
    /// told to ask is as good.
    pub(crate) fn board(&mut self, flight: &Flight, cause: Cause, now: Instant) -> Option<Flight> {
        if let Some(current) = self.boardable(flight.runtime) {
            return Some(current.clone());
        }
        if cause != Cause::Ageing
            && let Some(outcome) = self.settled(now)
        {
            let over = Flight::over(flight.runtime, outcome, now);
            return Some(over.sent_at(self.generation));
        }
        if cause == Cause::ConnectFailed {
            self.recheck.start(now);
        }
        self.flights.retain(Flight::is_in_the_air);
        self.flights.push(flight.sent_at(self.generation));
        None
    }

    /// Takes what a lookup brought, and the answer if it was one. `None`: it failed after it had
    /// been let go.
    pub(crate) fn land(
        &mut self,
        flight: &Flight,
        landing: &Landing,
        now: Instant,
    ) -> Option<Result<Arc<Known>, Error>> {
        let sent_at = self.remove(flight);
        if let Some(newer) = self
            .known
            .clone()
            .filter(|known| known.asked_at > landing.asked_at && known.origin == Origin::Lookup)
        {
            return Some(Ok(newer));
        }
        if let Some(failure) = &self.failure
            && failure.denied_at > Some(landing.asked_at)
        {
            return Some(Err(failure.error.clone()));
        }
        match &landing.outcome {
            Ok(brought) => {
                let generation = sent_at.unwrap_or(flight.generation);
                let known = Known::new(brought, generation, landing.asked_at);
                let known = match &self.known {
                    Some(old) => known.in_turn_with(old, now),
                    None => known,
                };
                let may_be_kept = |old: &&Arc<Known>| {
                    brought.is_partial
                        && old.origin == Origin::Lookup
                        && now < old.gone_at(landing.serve_stale)
                };
                let known = match self.known.as_ref().filter(may_be_kept) {
                    Some(old) => known.completed(old),
                    None => known,
                };
                let known = Arc::new(match &self.known {
                    Some(old) => known.after(old),
                    None => known,
                });
                self.know(Arc::clone(&known));
                self.failure = None;
                Some(Ok(known))
            }
            Err(error) => {
                let Some(sent_at) = sent_at else {
                    // Whoever uses it next has it looked up ahead by the lookup of now.
                    self.known.as_ref().inspect(|known| known.forget_use());
                    return None;
                };
                self.fail(error.clone(), sent_at, landing, now);
                let fallback = landing.fallback.as_ref();
                let known = fallback.and_then(|it| self.fall_back(it, Some(sent_at), now));
                Some(known.ok_or_else(|| error.clone()))
            }
        }
    }

    /// Forgets a flight; returns the generation at which it was sent. `None`: it was let go before.
    pub(crate) fn remove(&mut self, flight: &Flight) -> Option<Generation> {
        let place = self.flights.iter().position(|other| other.is(flight))?;
        let generation = self.flights.swap_remove(place).generation;
        // Hosts are many and seldom looked up: an empty list is to take no memory.
        self.flights.shrink_to_fit();
        Some(generation)
    }

    /// Another lookup is asked from now on. What the old one failed at is forgotten, and what it is
    /// still asked is let go: nobody else joins it, and only an answer of it counts.
    pub(crate) fn let_go(&mut self) {
        self.failure = None;
        self.flights.clear();
    }

    /// Notes whether a healthy address is left of the answer.
    pub(crate) fn health_is_left(&mut self, is_left: bool) {
        self.recheck.health_is_left(is_left);
    }

    /// Whether there is something to let go.
    pub(crate) fn is_busy(&self) -> bool {
        self.failure.is_some() || !self.flights.is_empty()
    }

    fn know(&mut self, known: Arc<Known>) {
        if let Some(old) = &self.known {
            let is_new = known.addrs.has_new(&old.addrs);
            known.continue_counts(old, is_new);
            if is_new {
                self.recheck.changed();
            }
        }
        self.by_hand &= known.generation < self.generation;
        self.known = Some(known);
    }

    /// A lookup that was sent at this generation has failed, or takes too long: takes the fallback
    /// for an answer, unless a lookup's may be served.
    pub(crate) fn fall_back(
        &mut self,
        fallback: &Fallback,
        sent_at: Option<Generation>,
        now: Instant,
    ) -> Option<Arc<Known>> {
        let servable = self.servable(now, fallback.serve_stale);
        if servable.is_some_and(|known| known.origin == Origin::Lookup) {
            return None;
        }
        let by_hand = self.by_hand;
        let generation = sent_at.unwrap_or(self.generation);
        // Not asked again before the failure is waited out, and then ahead of its end.
        let not_before = self.failure.as_ref().map_or(now, |failure| failure.until);
        let known = Arc::new(Known::fallen_back(
            &fallback.brought,
            generation,
            not_before,
            now,
        ));
        self.know(Arc::clone(&known));
        // Without a failed lookup the next caller is still owed one.
        self.by_hand |= by_hand && sent_at.is_none();
        Some(known)
    }

    /// The fallbacks have changed: what this host has of them now, or nothing. Times stay.
    pub(crate) fn refit(&mut self, fallback: Option<&Fallback>) {
        let Some(old) = self.known.take_if(|known| known.origin != Origin::Lookup) else {
            return;
        };
        self.known = fallback.map(|fallback| Arc::new(old.refitted(&fallback.brought)));
    }

    fn fail(&mut self, error: Error, generation: Generation, landing: &Landing, now: Instant) {
        // Sent before the invalidation: the next caller is to have an answer that was sent after it.
        if self.by_hand && generation < self.generation {
            return;
        }
        let in_a_row = self
            .failure
            .as_ref()
            .map_or(1, |failure| failure.in_a_row.saturating_add(1));
        let mut denied_at = self.failure.as_ref().and_then(|failure| failure.denied_at);
        let until = if error.is_negative_answer() {
            denied_at = Some(landing.asked_at);
            self.known = None;
            self.by_hand = false;
            now + ttl::negative(error.negative_ttl())
        } else {
            // The next one who uses it has it looked up ahead once more.
            if let Some(known) = &self.known {
                known.forget_use();
            }
            match error.is_of_this_machine() {
                // It says nothing about DNS: the next caller asks again.
                true => now,
                false => now + FAILED_LOOKUP.delay(in_a_row),
            }
        };
        let known = self.known.as_ref();
        let answer = known.filter(|known| known.origin == Origin::Lookup);
        let at_leisure = answer.map_or(until, |known| {
            let life = known.expires_at.saturating_duration_since(known.asked_at);
            until.max(landing.asked_at + ttl::retry_after(life, landing.share))
        });
        self.failure = Some(Arc::new(Failure {
            error,
            failed_at: now,
            until,
            at_leisure,
            in_a_row,
            denied_at,
        }));
    }

    /// Returns the answer while nothing speaks against it.
    #[inline]
    pub(crate) fn good(&self, now: Instant) -> Option<&Arc<Known>> {
        self.known.as_ref().filter(|known| {
            now < known.expires_at && known.generation == self.generation && !self.by_hand
        })
    }

    /// Returns what makes a lookup needless: a good answer, or a failure just now.
    fn settled(&self, now: Instant) -> Option<Result<Arc<Known>, Error>> {
        let good = self.good(now).cloned().map(Ok);
        good.or_else(|| self.failure_in_force(now).map(|it| Err(it.error.clone())))
    }

    fn failure_in_force(&self, now: Instant) -> Option<&Failure> {
        let failure = self.failure.as_deref();
        failure.filter(|failure| now < self.end_of(failure))
    }

    /// Returns when a failed lookup may be repeated.
    fn end_of(&self, failure: &Failure) -> Instant {
        let alone = self.spacing_alone();
        alone.map_or(failure.until, |spacing| {
            failure.until.min(failure.failed_at + spacing)
        })
    }

    /// Returns the longest time between two lookups if the answer is suspect and no healthy address of it is left.
    fn spacing_alone(&self) -> Option<Duration> {
        let spacing = self.recheck.spacing_alone();
        spacing.filter(|_| self.is_suspect())
    }

    /// Returns the answer while it may be served at all.
    pub(crate) fn servable(&self, now: Instant, serve_stale: Duration) -> Option<&Arc<Known>> {
        self.known
            .as_ref()
            .filter(|known| known.may_be_served(now, serve_stale))
    }

    /// Whether a caller may join a lookup instead of starting one.
    pub(crate) fn boardable(&self, runtime: Id) -> Option<&Flight> {
        self.flights.iter().find(|flight| {
            flight.runtime == runtime
                && flight.generation >= self.generation
                && flight.is_in_the_air()
        })
    }

    /// Returns the latest lookup in the air on a runtime, whenever it was sent.
    pub(crate) fn in_the_air(&self, runtime: Id) -> Option<&Flight> {
        let mut flights = self.flights.iter().rev();
        flights.find(|flight| flight.runtime == runtime && flight.is_in_the_air())
    }

    /// Returns whether a lookup that is pending on a runtime was sent before `time`.
    pub(crate) fn was_asked_before(&self, time: Instant, runtime: Id) -> bool {
        let mut flights = self.flights.iter();
        flights
            .any(|flight| flight.runtime == runtime && flight.is_in_the_air() && flight.sent < time)
    }

    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    pub(crate) fn known(&self) -> Option<&Arc<Known>> {
        self.known.as_ref()
    }

    /// Whether a fresh answer is wanted and one may be had now, or is on its way.
    #[cfg(feature = "__again")]
    pub(crate) fn expects_news(&self, now: Instant) -> bool {
        let is_due = self.recheck_at(now).is_some_and(|due| due <= now);
        self.is_suspect() && (self.by_hand || is_due || !self.flights.is_empty())
    }

    /// Whether a connect failed on the answer, or it was invalidated by hand.
    pub(crate) fn is_suspect(&self) -> bool {
        self.generation_known()
            .is_some_and(|known| known < self.generation)
    }

    /// Whether somebody asked for the answer after it had come.
    pub(crate) fn was_asked_again(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.was_used())
    }

    /// The lookups in the air, and any that is forgotten here.
    #[cfg(test)]
    pub(super) fn flights(&self) -> &[Flight] {
        &self.flights
    }

    pub(crate) fn is_in_use(&self) -> bool {
        self.flights.iter().any(Flight::is_in_the_air)
    }

    fn cause_without_answer(&self) -> Cause {
        match (&self.known, self.by_hand) {
            (_, true) => Cause::Invalidated,
            (Some(_), false) => Cause::Expired,
            (None, false) => Cause::Unknown,
        }
    }

    fn generation_known(&self) -> Option<Generation> {
        self.known.as_ref().map(|known| known.generation)
    }
}

#[cfg(test)]
mod tests;
