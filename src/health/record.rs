//! Rule: the strikes and penalties of one address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::health::outcome::{Outcome, Severity};
use crate::time::Backoff;

/// Penalty after the first strike, and its cap: 5 s, doubling to 5 min.
///
/// Envoy and Finagle use penalties from 1 s to 5 min.
pub(crate) const PENALTY: Backoff = Backoff {
    least: Duration::from_secs(5),
    most: Duration::from_secs(300),
};
/// How long one trial may take before another caller may try the address.
///
/// A SYN is sent four times in less time.
const TRIAL: Duration = Duration::from_secs(10);
/// How long the record of a recovered address is kept at least.
///
/// Within this time, a failure whose connect began before the recovery is recognized as outdated. A connect that is not
/// cut off takes no longer.
const MEMORY: Duration = Duration::from_secs(60);

/// How long a doubt lasts without a probe, or from the start of its probe unless the probe decides sooner.
const DOUBT: Duration = Duration::from_secs(5);
/// How long a doubt waits for its probe, while no connect has revealed the port.
const UNPROBED_DOUBT: Duration = Duration::from_secs(60);

/// Soft failures within this time are one strike, because a connection that dies ends all its requests.
const ONE_EVENT: Duration = Duration::from_millis(500);

/// The rank of an address among the addresses of its host.
///
/// An address of lower rank is attempted earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// The caller tries this address, whose penalty is over.
    Trial,
    /// The address has no penalty, and is not in doubt.
    Healthy,
    /// The address may be slow, and a probe may decide.
    Doubtful,
    /// A probe has connected since the last failure, and a request must decide. Fewer strikes go first.
    Accepted(u32),
    /// The address has one soft strike, or its penalty is over and no connect has succeeded since.
    Probation,
    /// The address has a penalty. The time is its turn among penalized addresses.
    ///
    /// An address whose penalty ends earlier goes first. An address that failed again during its penalty goes last.
    Penalized(Instant),
    /// A connection to the address died early a moment ago; see [`AddressRecord::rank_to_select`].
    ClosesEarly,
}

/// A failure of an address.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) why: Outcome,
    /// Whether the failure, as a first strike, only orders the address behind healthy ones.
    pub(crate) soft: bool,
    /// The text of the error, if there was one.
    pub(crate) error: Option<Arc<str>>,
}

impl Failure {
    /// Returns a failure without an error text.
    pub(crate) fn unseen(why: Outcome) -> Self {
        Self {
            why,
            soft: why.severity() == Severity::Soft,
            error: None,
        }
    }

    /// Returns a soft failure, for an address that has probably but not certainly failed.
    pub(crate) fn softly(why: Outcome) -> Self {
        Self {
            soft: true,
            ..Self::unseen(why)
        }
    }
}

/// The health record of one address of one host.
#[derive(Clone, Debug)]
pub(crate) struct AddressRecord {
    state: State,
    strikes: u32,
    why: Outcome,
    error: Option<Arc<str>>,
    since: Instant,
    /// When the first failure after the last healthy state was recorded.
    bad_since: Instant,
    /// Whether a probe has connected since the last failure, which a probe cannot clear.
    ///
    /// Only a request can then clear the failure.
    accepts: bool,
    /// Whether a probe has connected since the last failure, also right after a connect was slow.
    is_reached: bool,
    /// When a probe was last taken before the end of the penalty; see [`AddressRecord::try_take_early_probe`].
    probed_at: Option<Instant>,
    /// Number of outages of the local network before the last failure.
    outages_before: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Healthy,
    SoftStrike {
        until: Instant,
    },
    Penalized {
        until: Instant,
        /// The turn of the address among penalized addresses; see [`Rank::Penalized`].
        turn: Instant,
    },
    Trial {
        until: Instant,
    },
    /// The address may be slow, or the network is.
    ///
    /// The address has lost a race by a whole attempt delay, or is first in a second lane that was slow.
    Doubtful {
        until: Instant,
        /// Whether the doubt waits for its probe.
        awaits_probe: bool,
    },
}

/// How a report changed the record of an address.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transition {
    /// The report added no strike and cleared no failure.
    None,
    /// The address goes behind healthy addresses for this time.
    Suspected(Duration),
    /// The address goes last for this time.
    Penalized(Duration),
    /// The address is healthy again.
    Recovered,
}

/// Returns the record of an address among the records of its host.
pub(crate) fn find(records: &[(IpAddr, AddressRecord)], addr: IpAddr) -> Option<&AddressRecord> {
    let found = records.iter().find(|(other, _)| *other == addr);
    found.map(|(_, record)| record)
}

impl AddressRecord {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            state: State::Healthy,
            strikes: 0,
            why: Outcome::Connected,
            error: None,
            since: now,
            bad_since: now,
            accepts: false,
            is_reached: false,
            probed_at: None,
            outages_before: 0,
        }
    }

    /// Records a failure whose connect began at `began`. `last_turn` is the latest turn among the host's addresses.
    pub(crate) fn record_failure(
        &mut self,
        failure: &Failure,
        began: Instant,
        last_turn: Instant,
        now: Instant,
        rng: &mut fastrand::Rng,
    ) -> Transition {
        if self.is_old_news(failure, began) {
            return Transition::None;
        }
        if let State::Penalized { until, turn } = &mut self.state
            && now < *until
        {
            // A failure during a penalty adds no strike. The penalty starts again, and the other penalized addresses
            // have their turn first.
            *until = now + PENALTY.jittered(self.strikes, rng);
            *turn = last_turn.max(*until) + Duration::from_nanos(1);
            self.since = now;
            self.accepts = false;
            self.is_reached = false;
            // Connects that were refused are slow now: the process went down, and then its machine.
            // Or TCP connects now, and TLS fails.
            if self.why.is_in_tcp() && !failure.why.is_in_tcp() {
                self.why = failure.why;
                self.error.clone_from(&failure.error);
            }
            return Transition::None;
        }
        self.strike(failure, began, now);
        let penalty = PENALTY.jittered(self.strikes, rng);
        let until = now + penalty;
        if failure.soft && self.strikes == 1 {
            self.state = State::SoftStrike { until };
            Transition::Suspected(penalty)
        } else {
            self.state = State::Penalized { until, turn: until };
            Transition::Penalized(penalty)
        }
    }

    fn strike(&mut self, failure: &Failure, began: Instant, now: Instant) {
        if self.is_spent(now) {
            self.strikes = 0;
        }
        if matches!(self.state, State::Healthy | State::Doubtful { .. }) {
            self.bad_since = now;
        }
        self.accepts = false;
        self.is_reached = false;
        // A connect that was slow and has failed now is one strike.
        let counted = matches!(self.state, State::SoftStrike { .. }) && began <= self.since;
        if !counted {
            self.strikes = self.strikes.saturating_add(1);
        }
        self.why = failure.why;
        self.error.clone_from(&failure.error);
        self.since = now;
    }

    /// Records a successful connect that began at `began`, and clears the failure with two exceptions.
    ///
    /// - If the connect began before the failure, the success is outdated, unless that failure was a slow connect.
    /// - If the address fails after it accepts connections, the connect proves nothing. The address is healthy again
    ///   after its penalty, and its strikes are forgotten only after a quiet time.
    pub(crate) fn record_success(&mut self, began: Instant, now: Instant) -> Transition {
        let after_connect = self.why.is_after_connect();
        let running = match self.state {
            State::Healthy => return Transition::None,
            State::Doubtful { .. } => {
                self.state = State::Healthy;
                return Transition::None;
            }
            State::Trial { .. } => false,
            State::SoftStrike { until } | State::Penalized { until, .. } => now < until,
        };
        // A slow connect that has succeeded in the end proves that the address connects, so it is not outdated.
        let is_old = began < self.since && self.why != Outcome::Slow;
        if is_old || (after_connect && running) {
            return Transition::None;
        }
        self.state = State::Healthy;
        self.since = now;
        self.accepts = false;
        self.is_reached = false;
        if !after_connect {
            self.strikes = 0;
        }
        Transition::Recovered
    }

    /// Takes the one trial that follows a penalty, and returns whether this caller gets the trial.
    #[must_use]
    pub(crate) fn try_take_trial(&mut self, now: Instant) -> bool {
        let due = match self.state {
            State::Healthy | State::Doubtful { .. } => return false,
            State::SoftStrike { until }
            | State::Penalized { until, .. }
            | State::Trial { until } => until <= now,
        };
        if due {
            self.state = State::Trial { until: now + TRIAL };
        }
        due
    }

    pub(crate) fn rank(&self, now: Instant) -> Rank {
        match self.state {
            State::Healthy => Rank::Healthy,
            State::Doubtful { until, .. } if now >= until => Rank::Healthy,
            State::Penalized { until, turn } if now < until => Rank::Penalized(turn),
            State::Doubtful { .. } => Rank::Doubtful,
            State::SoftStrike { .. } | State::Penalized { .. } | State::Trial { .. } => {
                Rank::Probation
            }
        }
    }

    /// Returns the rank for a connect that starts now.
    ///
    /// An address that has just closed a connection early goes last, because the request that was on the connection is
    /// sent again at once and for the last time.
    pub(crate) fn rank_to_select(&self, now: Instant) -> Rank {
        let has_closed = matches!(self.why, Outcome::ClosedEarly | Outcome::Silent);
        let is_closing = has_closed && now < self.since + ONE_EVENT;
        match self.rank(now) {
            Rank::Healthy => Rank::Healthy,
            // TCP connects, so such an address goes before one that may be a black hole.
            Rank::Probation | Rank::Penalized(_) if self.is_reached && !is_closing => {
                Rank::Accepted(self.strikes)
            }
            // The address has accepted a connection and failed later.
            Rank::Probation if self.why.is_after_connect() && !is_closing => {
                Rank::Accepted(self.strikes)
            }
            _ if is_closing => Rank::ClosesEarly,
            rank => rank,
        }
    }

    /// Records a probe that has connected, which clears a failure in TCP.
    ///
    /// If the failure came after TCP, or if the connect was slow for an unknown reason, a request must try the address.
    /// That trial is due at once, or when the penalty ends. If no address is healthy, the address is attempted next.
    pub(crate) fn accept(&mut self, began: Instant, now: Instant) -> Transition {
        if self.why.is_in_tcp() {
            return self.record_success(began, now);
        }
        match self.state {
            State::Healthy | State::Doubtful { .. } => return self.record_success(began, now),
            State::Trial { .. } => {
                self.state = State::SoftStrike { until: now };
                (self.accepts, self.is_reached) = (true, true);
            }
            State::Penalized { .. } if self.was_probed_early(began) => {
                (self.accepts, self.is_reached) = (true, true);
            }
            // The address was slow a moment ago, and may hang after TCP.
            State::SoftStrike { .. } if self.was_probed_early(began) => self.is_reached = true,
            State::SoftStrike { .. } | State::Penalized { .. } => {}
        }
        Transition::None
    }

    /// Returns whether a probe that began at `began` was taken after the last failure, before the penalty ended.
    fn was_probed_early(&self, began: Instant) -> bool {
        self.probed_at
            .is_some_and(|at| self.since <= at && at <= began)
    }

    /// Returns whether a probe is due before the end of a penalty.
    ///
    /// | the address | the probe is due |
    /// |---|---|
    /// | has a penalty | [`PENALTY`]`.least` after the last failure or probe, because a longer penalty only says that the address has failed often |
    /// | has one soft strike, because a connect was slow | at once, and not again |
    pub(crate) fn is_early_probe_due(&self, now: Instant) -> bool {
        let last = self.probed_at.map_or(self.since, |at| at.max(self.since));
        match self.state {
            State::Penalized { until, .. } => now < until && now >= last + PENALTY.least,
            State::SoftStrike { until } => {
                let is_probed = self.probed_at.is_some_and(|at| at >= self.since);
                now < until && self.why.is_slow() && !is_probed
            }
            State::Healthy | State::Trial { .. } | State::Doubtful { .. } => false,
        }
    }

    /// Takes a probe before the end of a penalty, and returns whether this caller gets the probe.
    #[must_use]
    pub(crate) fn try_take_early_probe(&mut self, now: Instant) -> bool {
        let is_due = self.is_early_probe_due(now);
        if is_due {
            self.probed_at = Some(now);
        }
        is_due
    }

    /// Returns whether only a request can clear the failure.
    pub(crate) fn needs_request(&self) -> bool {
        self.accepts
    }

    /// Records that a connect hangs although a probe has connected, so that the probe no longer counts.
    ///
    /// Returns whether that is a change.
    #[must_use]
    pub(crate) fn withdraw_probe(&mut self) -> bool {
        let was_reached = self.is_reached;
        (self.accepts, self.is_reached) = (false, false);
        was_reached
    }

    /// Returns whether a probe has connected since the last failure.
    pub(crate) fn is_reached(&self) -> bool {
        self.is_reached
    }

    /// Puts a healthy address in doubt, and returns whether the address was healthy.
    ///
    /// An address in doubt goes behind healthy ones until a probe decides or the doubt ends.
    #[must_use]
    pub(crate) fn doubt(&mut self, awaits_probe: bool, now: Instant) -> bool {
        let is_news = self.rank(now) == Rank::Healthy;
        if is_news {
            let doubt = if awaits_probe { UNPROBED_DOUBT } else { DOUBT };
            self.state = State::Doubtful {
                until: now + doubt,
                awaits_probe,
            };
        }
        is_news
    }

    /// Returns whether the address is in doubt and waits for a probe.
    pub(crate) fn awaits_probe(&self, now: Instant) -> bool {
        let awaits = |standing| {
            matches!(
                standing,
                State::Doubtful {
                    awaits_probe: true,
                    ..
                }
            )
        };
        awaits(self.state) && self.rank(now) == Rank::Doubtful
    }

    /// Takes the one probe of a doubt, and returns whether this caller gets the probe.
    ///
    /// The doubt ends [`DOUBT`] later at the latest.
    #[must_use]
    pub(crate) fn try_take_probe(&mut self, now: Instant) -> bool {
        let awaits_probe = self.awaits_probe(now);
        if awaits_probe {
            self.state = State::Doubtful {
                until: now + DOUBT,
                awaits_probe: false,
            };
        }
        awaits_probe
    }

    /// Returns whether the last failure is so recent that a retry of its request may be under way.
    pub(crate) fn has_just_failed(&self, now: Instant) -> bool {
        let is_bad = matches!(
            self.state,
            State::SoftStrike { .. } | State::Penalized { .. }
        );
        is_bad && !self.accepts && now < self.since + ONE_EVENT
    }

    /// Returns whether the address goes behind the last resort.
    pub(crate) fn goes_behind_last_resort(&self, now: Instant) -> bool {
        self.has_just_failed(now) || self.hangs(now)
    }

    /// Returns whether the address was slow, and no probe has connected since.
    ///
    /// Such an address would delay each connect by the time after which a connect is slow.
    pub(crate) fn hangs(&self, now: Instant) -> bool {
        self.rank(now) >= Rank::Probation && self.why.is_slow() && !self.accepts
    }

    /// Returns whether TCP to the address may be up while a connect hangs or fails in TLS.
    pub(crate) fn may_hang_after_tcp(&self, now: Instant) -> bool {
        let is_after_tcp = self.why.is_slow() || self.why == Outcome::TlsFailed;
        self.rank(now) >= Rank::Probation && is_after_tcp
    }

    /// Records the number of outages of the local network before the last failure.
    pub(crate) fn failed_after(&mut self, outages: u32) {
        self.outages_before = outages;
    }

    pub(crate) fn outages_before(&self) -> u32 {
        self.outages_before
    }

    /// Returns when the address last failed or recovered.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Returns when the current state began: the first failure in a row, or the recovery.
    pub(crate) fn state_since(&self) -> Instant {
        match self.state {
            State::Healthy | State::Doubtful { .. } => self.since,
            State::SoftStrike { .. } | State::Penalized { .. } | State::Trial { .. } => {
                self.bad_since
            }
        }
    }

    /// Returns when the penalty or doubt ends, or has ended.
    pub(crate) fn end(&self) -> Option<Instant> {
        match self.state {
            State::Healthy | State::Trial { .. } => None,
            State::SoftStrike { until }
            | State::Penalized { until, .. }
            | State::Doubtful { until, .. } => Some(until),
        }
    }

    /// Returns the turn of the address among penalized addresses.
    pub(crate) fn turn(&self) -> Option<Instant> {
        match self.state {
            State::Penalized { turn, .. } => Some(turn),
            State::Healthy
            | State::SoftStrike { .. }
            | State::Trial { .. }
            | State::Doubtful { .. } => None,
        }
    }

    /// Returns whether the record may be removed without a loss of knowledge.
    pub(crate) fn is_spent(&self, now: Instant) -> bool {
        self.rank(now) == Rank::Healthy && now > self.since + self.quiet_time()
    }

    pub(crate) fn strikes(&self) -> u32 {
        self.strikes
    }

    pub(crate) fn why(&self) -> Outcome {
        self.why
    }

    /// Returns the error text of the last failure, if there was one.
    pub(crate) fn error(&self) -> Option<&Arc<str>> {
        self.error.as_ref()
    }

    /// Returns whether a failure is outdated, because its connect began before the last change of the record.
    ///
    /// A thousand callers that fail at once are therefore one strike.
    fn is_old_news(&self, failure: &Failure, began: Instant) -> bool {
        match self.state {
            // A doubt does not undo a recovery.
            State::Healthy | State::Doubtful { .. } => {
                self.why != Outcome::Connected && began < self.since
            }
            State::SoftStrike { .. } => failure.soft && began <= self.since + ONE_EVENT,
            State::Penalized { .. } | State::Trial { .. } => began <= self.since,
        }
    }

    /// Returns how long a healthy address keeps its record: twice the last penalty, and at least [`MEMORY`].
    fn quiet_time(&self) -> Duration {
        MEMORY.max(2 * PENALTY.delay(self.strikes))
    }
}

#[cfg(test)]
mod tests;
