//! Rule: what one address has coming after it failed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::outcome::{Blame, Outcome};

/// Penalty after the first failure, and its cap (Envoy's and Finagle's range: 1 s to 5 min).
pub(crate) const PENALTY: Backoff = Backoff {
    least: Duration::from_secs(5),
    most: Duration::from_secs(300),
};
/// How long one trial may take before another caller may try: longer than a SYN sent four times.
const TRIAL: Duration = Duration::from_secs(10);
/// How long a cleared address is remembered, so that a failure which began before it was cleared
/// is known to be old news. No dial that is not cut off lasts longer.
const MEMORY: Duration = Duration::from_secs(60);

/// How long a doubt lasts if no probe will come, and from the start of its probe, unless that decides sooner.
const DOUBT: Duration = Duration::from_secs(5);
/// How long a doubt lasts that waits for its probe, because no connect has told the port yet.
const UNPROBED_DOUBT: Duration = Duration::from_secs(60);

/// Soft strikes so close together are one: a connection that dies takes all its requests with it.
const ONE_EVENT: Duration = Duration::from_millis(500);

/// Where an address stands among its host's addresses. Less is dialled earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// One caller was told to find out whether the address is back.
    Trial,
    /// Nothing is held against it.
    Healthy,
    /// It may be slow, and a probe is on its way.
    Doubtful,
    /// It was seen to be slow or cut off once, or its penalty is over and nobody has tried.
    Recovering,
    /// It failed; the one whose penalty ends first leads, and one that failed again goes last.
    Penalised(Instant),
    /// A connection to it died early a moment ago; see [`Record::rank_to_deal`].
    ClosesEarly,
}

/// A failure of an address.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) why: Outcome,
    /// Whether a first one only moves the address behind the healthy ones.
    pub(crate) soft: bool,
    /// What the error said, if there was one.
    pub(crate) error: Option<Arc<str>>,
}

impl Failure {
    /// One that no error was seen of.
    pub(crate) fn unseen(why: Outcome) -> Self {
        Self {
            why,
            soft: why.blame() == Blame::Soft,
            error: None,
        }
    }

    /// One that is likely, and not certain.
    pub(crate) fn softly(why: Outcome) -> Self {
        Self {
            soft: true,
            ..Self::unseen(why)
        }
    }
}

/// What is held against one address of one host.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    standing: Standing,
    strikes: u32,
    why: Outcome,
    error: Option<Arc<str>>,
    since: Instant,
    /// Since when nothing good is known of it.
    bad_since: Instant,
    /// Whether a probe has connected since the last failure, which came after TCP, so that only a request can
    /// tell whether the address is back.
    accepts: bool,
    /// How often the network here was down before the last failure.
    outages_before: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    Healthy,
    Suspect {
        until: Instant,
    },
    Penalised {
        until: Instant,
        /// When its turn is among addresses that are all bad.
        turn: Instant,
    },
    Trial {
        until: Instant,
    },
    /// It lost a race by more than a whole delay, on a network that may just be slow.
    Doubtful {
        until: Instant,
        /// Whether a probe is to come.
        awaits_probe: bool,
    },
}

/// What a report changed.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transition {
    /// The report was old news or nothing was held against the address.
    None,
    /// The address goes behind the healthy ones for so long.
    Suspected(Duration),
    /// The address goes last for so long.
    Penalised(Duration),
    /// The address is as good as any.
    Recovered,
}

impl Record {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            standing: Standing::Healthy,
            strikes: 0,
            why: Outcome::Connected,
            error: None,
            since: now,
            bad_since: now,
            accepts: false,
            outages_before: 0,
        }
    }

    /// Takes a failure whose dial began at `began`. `last_turn` is the last one among the host's
    /// addresses.
    pub(crate) fn fail(
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
        if let Standing::Penalised { until, turn } = &mut self.standing
            && now < *until
        {
            // The same outage: no strike, but the penalty counts from the last failure, and the
            // others have their turn before it.
            *until = now + PENALTY.jittered(self.strikes, rng);
            *turn = last_turn.max(*until) + Duration::from_nanos(1);
            self.since = now;
            // A process died, and its host then: connects that were refused hang now.
            if self.why.is_in_tcp() && failure.why.is_slow() {
                self.why = failure.why;
            }
            return Transition::None;
        }
        self.strike(failure, began, now);
        let penalty = PENALTY.jittered(self.strikes, rng);
        let until = now + penalty;
        if failure.soft && self.strikes == 1 {
            self.standing = Standing::Suspect { until };
            Transition::Suspected(penalty)
        } else {
            self.standing = Standing::Penalised { until, turn: until };
            Transition::Penalised(penalty)
        }
    }

    fn strike(&mut self, failure: &Failure, began: Instant, now: Instant) {
        if self.is_spent(now) {
            self.strikes = 0;
        }
        if matches!(self.standing, Standing::Healthy | Standing::Doubtful { .. }) {
            self.bad_since = now;
        }
        self.accepts = false;
        // A dial that was slow and has failed now is one strike.
        let counted = matches!(self.standing, Standing::Suspect { .. }) && began <= self.since;
        if !counted {
            self.strikes = self.strikes.saturating_add(1);
        }
        self.why = failure.why;
        self.error.clone_from(&failure.error);
        self.since = now;
    }

    /// Takes a success whose dial began at `began`. It clears, with two exceptions: one that began
    /// before the failure is old news, and that a connection was made says nothing about an edge
    /// that fails after it accepted connections. That one serves again after its penalty,
    /// and its strikes are only forgotten after a quiet time.
    pub(crate) fn succeed(&mut self, began: Instant, now: Instant) -> Transition {
        let after_connect = self.why.is_after_connect();
        let running = match self.standing {
            Standing::Healthy => return Transition::None,
            Standing::Doubtful { .. } => {
                self.standing = Standing::Healthy;
                return Transition::None;
            }
            Standing::Trial { .. } => false,
            Standing::Suspect { until } | Standing::Penalised { until, .. } => now < until,
        };
        // One that was only slow is not: that it has connected now says that the address does.
        let is_old = began < self.since && self.why != Outcome::Stalled;
        if is_old || (after_connect && running) {
            return Transition::None;
        }
        self.standing = Standing::Healthy;
        self.since = now;
        if !after_connect {
            self.strikes = 0;
        }
        Transition::Recovered
    }

    /// Takes the one trial that follows a penalty. Returns whether this caller has it.
    #[must_use]
    pub(crate) fn try_take_trial(&mut self, now: Instant) -> bool {
        let due = match self.standing {
            Standing::Healthy | Standing::Doubtful { .. } => return false,
            Standing::Suspect { until }
            | Standing::Penalised { until, .. }
            | Standing::Trial { until } => until <= now,
        };
        if due {
            self.standing = Standing::Trial { until: now + TRIAL };
        }
        due
    }

    pub(crate) fn rank(&self, now: Instant) -> Rank {
        match self.standing {
            Standing::Healthy => Rank::Healthy,
            Standing::Doubtful { until, .. } if now >= until => Rank::Healthy,
            Standing::Penalised { until, turn } if now < until => Rank::Penalised(turn),
            Standing::Doubtful { .. } => Rank::Doubtful,
            Standing::Suspect { .. } | Standing::Penalised { .. } | Standing::Trial { .. } => {
                Rank::Recovering
            }
        }
    }

    /// Where the address stands for the connect of a moment: an address that has just closed a
    /// connection early goes last. The request that was on the connection is sent again at once, and for
    /// the last time.
    pub(crate) fn rank_to_deal(&self, now: Instant) -> Rank {
        let has_closed = matches!(self.why, Outcome::ClosedEarly | Outcome::Silent);
        match self.rank(now) {
            Rank::Healthy => Rank::Healthy,
            _ if has_closed && now < self.since + ONE_EVENT => Rank::ClosesEarly,
            rank => rank,
        }
    }

    /// Takes a probe that has connected. It clears a fault in TCP. What came after TCP, and a connect that was
    /// slow for a reason that is not known, leave the address to the trial of one request, which is due at once.
    pub(crate) fn accept(&mut self, began: Instant, now: Instant) -> Transition {
        let is_clear = self.why.is_in_tcp();
        match self.standing {
            Standing::Trial { .. } if !is_clear => {
                self.standing = Standing::Suspect { until: now };
                self.accepts = true;
                Transition::None
            }
            Standing::Suspect { .. } | Standing::Penalised { .. } if !is_clear => Transition::None,
            _ => self.succeed(began, now),
        }
    }

    /// Whether only a request can tell if the address is back.
    pub(crate) fn needs_request(&self) -> bool {
        self.accepts
    }

    /// Doubts a healthy address: it goes behind the healthy ones until a probe has decided, or for a while.
    /// Returns whether that is news.
    #[must_use]
    pub(crate) fn doubt(&mut self, awaits_probe: bool, now: Instant) -> bool {
        let is_news = self.rank(now) == Rank::Healthy;
        if is_news {
            let doubt = if awaits_probe { UNPROBED_DOUBT } else { DOUBT };
            self.standing = Standing::Doubtful {
                until: now + doubt,
                awaits_probe,
            };
        }
        is_news
    }

    /// Whether the address is in doubt and waits for a probe.
    pub(crate) fn awaits_probe(&self, now: Instant) -> bool {
        let awaits = |standing| {
            matches!(
                standing,
                Standing::Doubtful {
                    awaits_probe: true,
                    ..
                }
            )
        };
        awaits(self.standing) && self.rank(now) == Rank::Doubtful
    }

    /// Takes the one probe of a doubt, which ends soon after it. Returns whether this caller has it.
    #[must_use]
    pub(crate) fn try_take_probe(&mut self, now: Instant) -> bool {
        let awaits_probe = self.awaits_probe(now);
        if awaits_probe {
            self.standing = Standing::Doubtful {
                until: now + DOUBT,
                awaits_probe: false,
            };
        }
        awaits_probe
    }

    /// Whether the last failure was so short a while ago that its request may be on its way again.
    pub(crate) fn has_just_failed(&self, now: Instant) -> bool {
        let is_bad = matches!(
            self.standing,
            Standing::Suspect { .. } | Standing::Penalised { .. }
        );
        is_bad && !self.accepts && now < self.since + ONE_EVENT
    }

    /// Whether the address goes behind the last resort.
    pub(crate) fn goes_behind_last_resort(&self, now: Instant) -> bool {
        self.has_just_failed(now) || self.hangs(now)
    }

    /// Whether the address hung, and no probe has connected since. It would cost each connect the time after which one
    /// is slow.
    pub(crate) fn hangs(&self, now: Instant) -> bool {
        self.rank(now) >= Rank::Recovering && self.why.is_slow() && !self.accepts
    }

    /// Notes that the last failure came after so many outages of the network here.
    pub(crate) fn failed_after(&mut self, outages: u32) {
        self.outages_before = outages;
    }

    pub(crate) fn outages_before(&self) -> u32 {
        self.outages_before
    }

    /// When it last changed for the worse or the better.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Since when it stands where it does among the others: since its first failure in a row, or its
    /// recovery.
    pub(crate) fn stands_since(&self) -> Instant {
        match self.standing {
            Standing::Healthy | Standing::Doubtful { .. } => self.since,
            Standing::Suspect { .. } | Standing::Penalised { .. } | Standing::Trial { .. } => {
                self.bad_since
            }
        }
    }

    /// When the penalty ends, or has ended.
    pub(crate) fn end(&self) -> Option<Instant> {
        match self.standing {
            Standing::Healthy | Standing::Trial { .. } => None,
            Standing::Suspect { until }
            | Standing::Penalised { until, .. }
            | Standing::Doubtful { until, .. } => Some(until),
        }
    }

    /// When its turn is among addresses that are all bad.
    pub(crate) fn turn(&self) -> Option<Instant> {
        match self.standing {
            Standing::Penalised { turn, .. } => Some(turn),
            Standing::Healthy
            | Standing::Suspect { .. }
            | Standing::Trial { .. }
            | Standing::Doubtful { .. } => None,
        }
    }

    /// Whether nothing would be lost without this record.
    pub(crate) fn is_spent(&self, now: Instant) -> bool {
        self.rank(now) == Rank::Healthy && now > self.since + self.quiet_time()
    }

    pub(crate) fn strikes(&self) -> u32 {
        self.strikes
    }

    pub(crate) fn why(&self) -> Outcome {
        self.why
    }

    /// What the error of the last failure said, if there was one.
    pub(crate) fn error(&self) -> Option<&Arc<str>> {
        self.error.as_ref()
    }

    /// A failure that began before the last verdict is overtaken by it: a thousand callers that
    /// fail at once are one strike.
    fn is_old_news(&self, failure: &Failure, began: Instant) -> bool {
        match self.standing {
            // A doubt changes nothing of what was cleared.
            Standing::Healthy | Standing::Doubtful { .. } => {
                self.why != Outcome::Connected && began < self.since
            }
            Standing::Suspect { .. } => failure.soft && began <= self.since + ONE_EVENT,
            Standing::Penalised { .. } | Standing::Trial { .. } => began <= self.since,
        }
    }

    /// As long again as the last penalty, and at least as long as a dial may take.
    fn quiet_time(&self) -> Duration {
        MEMORY.max(2 * PENALTY.delay(self.strikes))
    }
}

#[cfg(test)]
mod tests;
