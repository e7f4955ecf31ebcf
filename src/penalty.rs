//! Rule: what one address has coming after it failed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::outcome::Outcome;

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

/// Soft strikes so close together are one: a connection that dies takes all its requests with it.
const ONE_EVENT: Duration = Duration::from_millis(500);

/// Where an address stands among its host's addresses. Less is dialled earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// One caller was told to find out whether the address is back.
    Trial,
    /// Nothing is held against it.
    Healthy,
    /// It was seen to be slow or cut off once, or its penalty is over and nobody has tried.
    Recovering,
    /// It failed; the one whose penalty ends first leads, and one that failed again goes last.
    Penalised(Instant),
    /// It accepted a connection and closed it early. Last only for who can't send a request once
    /// more after that: a connect that fails can be repeated.
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

/// What is held against one address of one host.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    standing: Standing,
    strikes: u32,
    why: Outcome,
    error: Option<Arc<str>>,
    since: Instant,
    /// Where the host was last connected to.
    port: Option<u16>,
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
            port: None,
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
            Standing::Trial { .. } => false,
            Standing::Suspect { until } | Standing::Penalised { until, .. } => now < until,
        };
        if began < self.since || (after_connect && running) {
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
            Standing::Healthy => return false,
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
            Standing::Penalised { until, turn } if now < until => Rank::Penalised(turn),
            Standing::Suspect { .. } | Standing::Penalised { .. } | Standing::Trial { .. } => {
                Rank::Recovering
            }
        }
    }

    /// Where it stands for one whose request can't be sent once more after it was on its way.
    pub(crate) fn careful_rank(&self, now: Instant) -> Rank {
        match self.rank(now) {
            Rank::Healthy => Rank::Healthy,
            _ if self.why == Outcome::ClosedEarly => Rank::ClosesEarly,
            rank => rank,
        }
    }

    /// Notes the port that the host was connected to. Returns whether that is news.
    pub(crate) fn learn_port(&mut self, port: u16) -> bool {
        self.port.replace(port) != Some(port)
    }

    /// The port at which a connect of our own can find out whether the address is back: where it
    /// is known and the failure was in TCP. What TLS or a request found out only those can undo.
    pub(crate) fn probe_port(&self) -> Option<u16> {
        self.port.filter(|_| self.why.is_in_tcp())
    }

    /// When it last changed for the worse or the better.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// When the penalty ends, or has ended.
    pub(crate) fn end(&self) -> Option<Instant> {
        match self.standing {
            Standing::Healthy | Standing::Trial { .. } => None,
            Standing::Suspect { until } | Standing::Penalised { until, .. } => Some(until),
        }
    }

    /// When its turn is among addresses that are all bad.
    pub(crate) fn turn(&self) -> Option<Instant> {
        match self.standing {
            Standing::Penalised { turn, .. } => Some(turn),
            Standing::Healthy | Standing::Suspect { .. } | Standing::Trial { .. } => None,
        }
    }

    /// Whether nothing would be lost without this record.
    pub(crate) fn is_spent(&self, now: Instant) -> bool {
        self.standing == Standing::Healthy && now > self.since + self.quiet_time()
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
            Standing::Healthy => self.why != Outcome::Connected && began < self.since,
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
mod tests {
    use super::*;
    use crate::outcome::Blame;
    use crate::time;
    use proptest::prelude::*;

    const S: Duration = Duration::from_secs(1);

    fn rng() -> fastrand::Rng {
        fastrand::Rng::with_seed(7)
    }

    fn of(why: Outcome) -> Failure {
        let soft = why.blame() == Blame::Soft;
        Failure {
            why,
            soft,
            error: None,
        }
    }

    fn failed(outcome: Outcome) -> (Record, Instant) {
        let now = time::now();
        let mut record = Record::new(now);
        assert_ne!(
            record.fail(&of(outcome), now, now, now, &mut rng()),
            Transition::None
        );
        (record, now)
    }

    fn end(record: &Record) -> Instant {
        record.end().unwrap()
    }

    /// A penalty ends although nothing else happens; then one caller tries and the rest wait.
    #[test]
    fn after_the_penalty_one_trial_decides() {
        let (mut record, now) = failed(Outcome::Refused);
        assert!(matches!(record.rank(now + 3 * S), Rank::Penalised(_)));
        assert!(!record.try_take_trial(now + 3 * S));
        let later = end(&record);
        assert_eq!(record.rank(later), Rank::Recovering);
        assert!(record.try_take_trial(later));
        assert!(!record.try_take_trial(later), "only one at a time");
        assert!(
            record.try_take_trial(later + TRIAL),
            "a trial that never reports ends"
        );
    }

    #[test]
    fn a_failed_trial_doubles_the_penalty_and_a_success_clears_it() {
        let (mut record, _) = failed(Outcome::Refused);
        for strikes in 2..6 {
            let now = end(&record);
            assert!(record.try_take_trial(now));
            let began = now + Duration::from_millis(1);
            assert_ne!(
                record.fail(&of(Outcome::Refused), began, began, began, &mut rng()),
                Transition::None
            );
            let length = end(&record) - began;
            let exact = PENALTY.delay(strikes);
            assert!(
                length >= exact.mul_f64(0.8) && length <= exact.mul_f64(1.2),
                "{length:?}"
            );
        }
        let now = end(&record);
        assert_eq!(record.succeed(now, now), Transition::Recovered);
        assert_eq!((record.rank(now), record.strikes), (Rank::Healthy, 0));
    }

    /// A thousand callers that fail at the same moment are one strike.
    #[test]
    fn failures_inside_a_penalty_only_start_it_anew() {
        let (mut record, now) = failed(Outcome::Refused);
        let until = end(&record);
        for ms in 0..1000 {
            let now = now + Duration::from_millis(ms);
            assert_eq!(
                record.fail(&of(Outcome::Refused), now, now, now, &mut rng()),
                Transition::None
            );
        }
        assert_eq!(record.strikes, 1);
        assert!(end(&record) > until, "it counts from the last failure");
        let later = now + 2 * S;
        let _ = record.fail(
            &of(Outcome::Refused),
            later,
            later + 9 * S,
            later,
            &mut rng(),
        );
        assert!(end(&record) < later + 7 * S, "and is no longer than before");
        assert!(
            record.turn() > Some(later + 9 * S),
            "but all others have their turn first"
        );
    }

    #[test]
    fn a_failure_that_began_before_the_address_recovered_is_old_news() {
        let (mut record, began) = failed(Outcome::TimedOut);
        let cleared = began + 2 * S;
        let _ = record.succeed(cleared, cleared);
        let late = record.fail(
            &of(Outcome::TimedOut),
            began,
            cleared + S,
            cleared + S,
            &mut rng(),
        );
        assert_eq!(
            (late, record.rank(cleared + S)),
            (Transition::None, Rank::Healthy)
        );
        let fresh = record.fail(
            &of(Outcome::TimedOut),
            cleared + S,
            cleared + S,
            cleared + S,
            &mut rng(),
        );
        assert!(matches!(fresh, Transition::Penalised(_)));
    }

    /// Soft means two strikes: the first only lets the healthy ones go first.
    #[test]
    fn a_soft_mark_penalises_at_the_second_strike() {
        let (mut record, now) = failed(Outcome::ClosedEarly);
        assert_eq!(record.rank(now), Rank::Recovering);
        let again = now + S;
        let second = record.fail(&of(Outcome::ClosedEarly), again, again, again, &mut rng());
        assert!(matches!(second, Transition::Penalised(_)));
        assert!(matches!(record.rank(again), Rank::Penalised(_)));
    }

    /// A dial that was slow and then fails is penalised, and is one strike.
    #[test]
    fn a_slow_dial_that_fails_is_penalised_once() {
        let (mut record, began) = failed(Outcome::Stalled);
        let given_up = began + 9 * S;
        let change = record.fail(
            &of(Outcome::TimedOut),
            began,
            given_up,
            given_up,
            &mut rng(),
        );
        assert!(matches!(change, Transition::Penalised(_)));
        assert_eq!(record.strikes, 1);
    }

    /// An edge that accepts and closes is connected to each time; its strikes must still add up.
    #[test]
    fn connecting_does_not_excuse_an_edge_that_fails_after_it() {
        for why in [Outcome::ClosedEarly, Outcome::Unavailable] {
            let (mut record, _) = failed(why);
            for strikes in 2..5 {
                let now = end(&record);
                assert!(record.try_take_trial(now));
                let made = now + Duration::from_millis(1);
                assert_eq!(record.succeed(now, made), Transition::Recovered);
                let then = now + Duration::from_millis(2);
                let change = record.fail(&of(why), then, then, then, &mut rng());
                assert!(matches!(change, Transition::Penalised(_)), "{why}");
                assert_eq!(record.strikes, strikes, "{why}");
            }
            let now = end(&record);
            let _ = record.succeed(now, now);
            assert!(!record.is_spent(now), "{why}");
            let later = now + 10 * 60 * S;
            assert!(
                record.is_spent(later),
                "{why}: after a quiet time it is forgotten"
            );
        }
    }

    /// Others that connect meanwhile neither excuse a closer nor undo a later failure.
    #[test]
    fn a_success_that_began_before_the_failure_is_old_news() {
        let (mut record, began) = failed(Outcome::Tls);
        let early = began - S;
        assert_eq!(record.succeed(early, began + S), Transition::None);
        assert!(matches!(record.rank(began + S), Rank::Penalised(_)));
        let (mut closer, began) = failed(Outcome::ClosedEarly);
        assert_eq!(closer.succeed(began + S, began + S), Transition::None);
        assert_eq!(closer.rank(began + S), Rank::Recovering);
    }

    proptest! {
        /// Whatever happens to an address, its penalty ends by itself and is never over the cap.
        #[test]
        fn every_penalty_ends(steps in prop::collection::vec((0_u8..4, 0_u64..400_000), 0..60), seed: u64) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut now = time::now();
            let mut record = Record::new(now);
            for (step, ms) in steps {
                now += Duration::from_millis(ms);
                match step {
                    0 => { let _ = record.succeed(now, now); }
                    1 => { let _ = record.try_take_trial(now); }
                    2 => { let _ = record.fail(&of(Outcome::Stalled), now, now, now, &mut rng); }
                    _ => { let _ = record.fail(&of(Outcome::Refused), now, now, now, &mut rng); }
                }
                let over = now + PENALTY.most.mul_f64(1.21);
                prop_assert!(record.rank(over) <= Rank::Recovering);
            }
        }
    }
}
