//! What a caller gets, and when the host is looked up next.

use std::time::{Duration, Instant};

use super::{Cause, FAILED_LOOKUP, Failure, Known, Origin, Plan, Slot};

impl Slot {
    /// Whether the last lookup failed, and not so long ago that the next is likely to do better. A
    /// name server that is silent would keep the callers of each lookup waiting once more.
    fn failed_lately(&self, now: Instant) -> bool {
        let failure = self.failure.as_ref();
        failure.is_some_and(|failure| now < failure.at_leisure + FAILED_LOOKUP.most)
    }

    /// Decides what a caller gets. `health_left` tells whether an address is left that nothing is
    /// held against.
    pub(crate) fn plan(
        &self,
        now: Instant,
        serve_stale: Duration,
        health_left: impl FnOnce(&Known) -> bool,
    ) -> Plan {
        if self.good(now).is_some() {
            return Plan::Serve;
        }
        let failure = self.failure_in_force(now);
        let Some(known) = self.servable(now, serve_stale) else {
            return failure.map_or(Plan::Ask(self.cause_without_answer()), |failure| {
                Plan::Fail(failure.error.clone())
            });
        };
        match () {
            () if failure.is_some() => Plan::Serve,
            () if self.by_hand => Plan::Ask(Cause::Invalidated),
            // Nobody waits once fallbacks are in service: what is known of them does not age.
            () if now >= known.expires_at && known.origin != Origin::Lookup => {
                Plan::ServeAndAsk(Cause::Expired)
            }
            () => self.plan_for_aged(now, known, health_left(known)),
        }
    }

    /// An answer is past its life, or a connect failed on it.
    fn plan_for_aged(&self, now: Instant, known: &Known, health_left: bool) -> Plan {
        let failure = self.failure.as_ref();
        let waits = failure.is_some_and(|failure| now < failure.at_leisure);
        match () {
            () if waits && health_left => Plan::Serve,
            () if now >= known.expires_at && health_left && self.failed_lately(now) => {
                Plan::ServeAndAsk(Cause::Expired)
            }
            () if now >= known.expires_at => Plan::Ask(Cause::Expired),
            () => self.plan_for_suspect(now, health_left),
        }
    }

    /// A connect failed on this answer. Demotion has made a fresh one unnecessary as long as a
    /// healthy address is left; when none is, the fresh answer is worth waiting for.
    fn plan_for_suspect(&self, now: Instant, health_left: bool) -> Plan {
        let due = self.recheck.is_due(now);
        let in_the_air = self.is_being_replaced();
        match (health_left, due || in_the_air) {
            (true, _) if due && !in_the_air => Plan::ServeAndAsk(Cause::ConnectFailed),
            (false, true) => Plan::Ask(Cause::ConnectFailed),
            (true | false, _) => Plan::Serve,
        }
    }

    /// Returns when the host is to be looked up though nobody asks, and why: ahead of the end of an
    /// answer in use, or again after a connect to it failed.
    pub(crate) fn next_lookup(&self, now: Instant) -> Option<(Instant, Cause)> {
        let in_use = self.known.as_ref().filter(|known| known.was_used());
        let ahead = in_use.map(|known| (self.waited_out(known.refresh_at), Cause::Ageing));
        let again = self.recheck_at(now).map(|at| (at, Cause::ConnectFailed));
        [ahead, again]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }

    /// Returns when a suspect answer may be looked up again, unless that is under way. One that was
    /// invalidated by hand waits for its next caller.
    pub(crate) fn recheck_at(&self, now: Instant) -> Option<Instant> {
        let open = self.is_suspect() && !self.by_hand && !self.is_being_replaced();
        open.then(|| self.waited_out(self.recheck.due_at(now)))
    }

    /// That time, but not while a failed lookup is waited out.
    pub(super) fn waited_out(&self, at: Instant) -> Instant {
        let end = |failure: &Failure| match self.spacing_alone() {
            Some(_) => self.end_of(failure),
            None => failure.at_leisure,
        };
        self.failure.as_deref().map_or(at, |it| at.max(end(it)))
    }

    /// Whether a lookup is in the air that was sent after the answer had become suspect.
    fn is_being_replaced(&self) -> bool {
        let mut flights = self.flights.iter();
        flights.any(|flight| flight.generation == self.generation && flight.is_in_the_air())
    }
}
