//! Rule: which address of a race is dialled when.
//!
//! RFC 8305 (Happy Eyeballs v2), section 5, over the whole list and with TLS as part of an attempt.
//! Addresses, ends and the time go in; what to do next comes out. It knows no connector and no
//! clock.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::Outcome;
use crate::order::MOST_ATTEMPTS;

/// The times of a race.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Between the starts of two attempts.
    pub(super) delay: Duration,
    /// For how long one attempt may take.
    pub(super) attempt_timeout: Option<Duration>,
    /// After this time an attempt is slow.
    pub(super) slow_after: Duration,
    /// When the race is over.
    pub(super) deadline: Option<Instant>,
}

/// So many addresses of an answer may show a wrong certificate: the departed edge's, and one other's.
const MOST_WRONG_CERTIFICATES: usize = 2;

/// A race asks for the second time no sooner than this after the first.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What a race is to do.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Dial this address now.
    Dial(IpAddr),
    /// This attempt has taken too long: end it, as a failure.
    End(IpAddr),
    /// Nothing is left to dial: ask whether there are other addresses by now.
    AskAgain,
    /// Wait for an end of an attempt, for news, or until then.
    Wait(Option<Instant>),
    /// Nothing more can come of it.
    GiveUp,
}

/// A race over the addresses of one host.
///
/// Any number of its attempts may be pending, up to `most`: no attempt waits for the end of a slow one, and no slow one is
/// dropped for the next, because the slow one may be the only one that connects (curl 8.22 drops the oldest of six:
/// `lib/cf-ip-happy.c`).
#[derive(Debug)]
pub(super) struct Plan {
    pace: Pace,
    runners: SmallVec<[Runner; 4]>,
    /// How many attempts the race may start, whatever later answers say.
    most: usize,
    /// When the next attempt may start, however the others go.
    next_start: Instant,
    asked: Asked,
    /// How often the host was looked up again.
    lookups: u32,
    /// When the answer was asked for while an attempt was still pending.
    asked_early: Option<Instant>,
    /// Whether the next attempt starts for another reason than time.
    starts_free: bool,
    /// Whether the budget allowed no attempt when the last one was due because of time.
    is_held: bool,
    /// Nothing more is dialled, nor asked.
    is_stopped: bool,
    /// How many addresses of the answer have shown a wrong certificate.
    wrong_certificates: usize,
}

#[derive(Debug)]
struct Runner {
    addr: IpAddr,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Waiting,
    /// Of an answer whose certificates are wrong: it is not dialled.
    PassedOver,
    Running {
        since: Instant,
        /// Whether the connector has asked for its address.
        has_begun: bool,
    },
    Failed(Outcome),
}

/// Whether the host was asked for again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    NotYet,
    Pending,
    Answered,
}

impl Plan {
    /// A race in which the first address is being dialled since then.
    pub(super) fn begun(
        pace: Pace,
        addrs: impl IntoIterator<Item = IpAddr>,
        since: Instant,
    ) -> Self {
        let mut plan = Self {
            pace,
            runners: SmallVec::new(),
            most: 0,
            next_start: since,
            asked: Asked::NotYet,
            lookups: 0,
            asked_early: None,
            starts_free: false,
            is_held: false,
            is_stopped: false,
            wrong_certificates: 0,
        };
        plan.learn(addrs);
        plan.most = MOST_ATTEMPTS.min(2 * plan.runners.len());
        if let Some(first) = plan.next_up() {
            plan.start(first, since);
            plan.began(first, since);
        }
        plan
    }

    /// Takes the answer to [`Step::AskAgain`]. By RFC 8305, section 6, an attempt that runs to an address
    /// that has left goes on, and what was added is sorted into the list. Its new addresses go before those that still wait: those
    /// are of an older one. If all attempts are to addresses that have left, the next one starts at once. A race dials
    /// each address at most once.
    pub(super) fn answered(&mut self, addrs: &[IpAddr], now: Instant) {
        self.asked = Asked::Answered;
        self.wrong_certificates = 0;
        if !addrs.is_empty() && !self.running().any(|(addr, _)| addrs.contains(&addr)) {
            self.next_start = self.next_start.min(now);
            self.starts_free = true;
        }
        let waits = |runner: &Runner| runner.state == State::Waiting;
        let first = self.runners.iter().position(waits);
        let known = self.runners.len();
        self.learn(addrs.iter().copied());
        if let Some(first) = first {
            self.runners[first..].rotate_left(known - first);
        }
    }

    /// Takes the news that an attempt was dealt its address only then: before that it had not begun.
    pub(super) fn began(&mut self, addr: IpAddr, at: Instant) {
        if self.since(addr).is_some() {
            let (since, has_begun) = (at, true);
            self.set(addr, State::Running { since, has_begun });
        }
    }

    /// Takes the failure of an attempt. The delay is for attempts that are pending (RFC 8305, section 5:
    /// "connection attempts SHOULD NOT be made simultaneously"), so the next one starts at once: an end says more than the delay
    /// would. A fault of this machine would be every attempt's, so it ends the race. After a second wrong
    /// certificate no more addresses of the answer are dialled: those are no departed edge's.
    pub(super) fn failed(&mut self, addr: IpAddr, why: Outcome, now: Instant) {
        self.set(addr, State::Failed(why));
        self.next_start = self.next_start.min(now);
        self.starts_free = true;
        self.is_stopped |= why == Outcome::Local;
        self.wrong_certificates += usize::from(why == Outcome::BadCertificate);
        if self.wrong_certificates >= MOST_WRONG_CERTIFICATES {
            let waits = |runner: &&mut Runner| runner.state == State::Waiting;
            let waiting = self.runners.iter_mut().filter(waits);
            waiting.for_each(|runner| runner.state = State::PassedOver);
        }
    }

    /// Takes the news that TCP is up and TLS runs. By RFC 8305, section 5, an attempt succeeds "generally
    /// when the TCP handshake completes", and the others end there. Here TLS is part of it, so the
    /// others wait: the address lives, and gets one more delay before another is dialled beside it.
    pub(super) fn is_up(&mut self, addr: IpAddr, now: Instant) {
        if self.since(addr).is_some() {
            self.next_start = self.next_start.max(now + self.pace.delay);
        }
    }

    /// "Once one of the connection attempts succeeds, all other connections attempts that have not yet
    /// succeeded SHOULD be canceled" (section 5; the parenthesis is left out), and are no failures.
    ///
    /// Returns who was beaten: who runs beside the winner though it had a head start of a whole delay.
    /// Who had less has only lost.
    pub(super) fn beaten_by(&self, winner: IpAddr) -> impl Iterator<Item = IpAddr> {
        let won = self.since(winner);
        let is_beaten = move |since| won.is_some_and(|won| won >= since + self.pace.delay);
        let others = self.running().filter(move |(addr, _)| *addr != winner);
        others
            .filter(move |(_, since)| is_beaten(*since))
            .map(|(addr, _)| addr)
    }

    /// Whether attempts are pending, and the race itself looks the host up no more, or can't start what is left.
    pub(super) fn waits_for_others(&self) -> bool {
        let may_go_on = self.lookups <= 1 && !self.is_held;
        !may_go_on && self.asked == Asked::Answered && self.running().next().is_some()
    }

    /// Returns each address and what it has come to by now, in the order of the race. `None`: it was
    /// not dialled.
    pub(super) fn ends(&self, now: Instant) -> impl Iterator<Item = (IpAddr, Option<Outcome>)> {
        let slow_after = self.pace.slow_after;
        self.runners.iter().map(move |runner| {
            let end = match runner.state {
                State::Waiting | State::PassedOver => None,
                State::Running { since, .. } if now >= since + slow_after => Some(Outcome::Stalled),
                State::Running { .. } => Some(Outcome::Abandoned),
                State::Failed(why) => Some(why),
            };
            (runner.addr, end)
        })
    }

    /// Says what to do now. A step to dial, to end or to ask counts as done. `choose` says which of the waiting
    /// addresses may be dialled because of time; it is told when the oldest pending attempt began.
    pub(super) fn next(
        &mut self,
        now: Instant,
        choose: impl FnOnce(&[IpAddr], Instant) -> Option<IpAddr>,
    ) -> Step {
        None.or_else(|| self.stop_at_the_deadline(now))
            .or_else(|| self.end_the_overdue(now))
            .or_else(|| self.dial_the_next(now, choose))
            .or_else(|| self.ask_again(now))
            .or_else(|| self.give_up())
            .unwrap_or_else(|| self.wait())
    }

    fn stop_at_the_deadline(&self, now: Instant) -> Option<Step> {
        let is_over = self.pace.deadline.is_some_and(|deadline| now >= deadline);
        is_over.then_some(Step::GiveUp)
    }

    /// An attempt ends only for another one: with nothing left to start it may still connect.
    fn end_the_overdue(&mut self, now: Instant) -> Option<Step> {
        let limit = self.limit()?;
        let (addr, _) = self.running().find(|(_, since)| now >= *since + limit)?;
        self.failed(addr, Outcome::TimedOut, now);
        Some(Step::End(addr))
    }

    /// "One connection attempt to a single address is started first, followed by the others, one at
    /// a time" (section 5), a Connection Attempt Delay apart: "starting a new connection attempt does not
    /// affect previous attempts".
    fn dial_the_next(
        &mut self,
        now: Instant,
        choose: impl FnOnce(&[IpAddr], Instant) -> Option<IpAddr>,
    ) -> Option<Step> {
        if now < self.next_start {
            return None;
        }
        let first = self.next_up()?;
        let oldest = self.running().map(|(_, since)| since).min();
        let chosen = match oldest {
            Some(since) if !self.starts_free => choose(&self.waiting(), since),
            Some(_) | None => Some(first),
        };
        self.is_held = chosen.is_none();
        let Some(addr) = chosen else {
            // Once the oldest attempt is slow, `choose` may return an address that connects for others.
            let slow_at = oldest.map(|since| since + self.pace.slow_after);
            let later = now + self.pace.delay;
            let sooner = slow_at.filter(|at| now < *at && *at < later);
            self.next_start = sooner.unwrap_or(later);
            return None;
        };
        self.starts_free = false;
        self.start(addr, now);
        Some(Step::Dial(addr))
    }

    /// The second chance: as soon as an attempt is slow, for DNS may have moved, and once more while all that is
    /// left is slow. Or, if none was slow, when all have failed.
    fn ask_again(&mut self, now: Instant) -> Option<Step> {
        let is_due = self.ask_at().is_some_and(|due| now >= due);
        is_due.then(|| {
            let is_early = self.asked == Asked::NotYet && self.running().next().is_some();
            self.asked_early = is_early.then_some(now);
            self.asked = Asked::Pending;
            self.lookups += 1;
            Step::AskAgain
        })
    }

    fn give_up(&self) -> Option<Step> {
        let is_over = self.running().next().is_none() && self.asked != Asked::Pending;
        is_over.then_some(Step::GiveUp)
    }

    fn wait(&self) -> Step {
        let start = Some(self.next_start).filter(|_| self.next_up().is_some());
        let limit = self.limit();
        let first = self.running().map(|(_, since)| since).min();
        let end = first.zip(limit).map(|(since, limit)| since + limit);
        let dues = [start, end, self.ask_at(), self.pace.deadline];
        Step::Wait(dues.into_iter().flatten().min())
    }

    /// How long an attempt may take, while there is another one: to start, or waiting for its connector.
    fn limit(&self) -> Option<Duration> {
        let waits = |runner: &Runner| {
            matches!(
                runner.state,
                State::Running {
                    has_begun: false,
                    ..
                }
            )
        };
        let has_other = self.next_up().is_some() || self.runners.iter().any(waits);
        self.pace.attempt_timeout.filter(|_| has_other)
    }

    /// Returns when to look the host up again. The first lookup is due when an attempt is slow, or when all have
    /// failed. The second lookup is due while all attempts that are left are slow, and no other attempt may start, or
    /// the budget allows none.
    fn ask_at(&self) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        let starts = self.running().map(|(_, since)| since);
        let slow_at = |since| since + self.pace.slow_after;
        let may_start = self.next_up().is_some() && !self.is_held;
        match (self.asked, self.asked_early) {
            (Asked::NotYet, _) if may_start => starts.min().map(slow_at),
            (Asked::NotYet, _) => Some(starts.min().map_or(self.next_start, slow_at)),
            (Asked::Answered, Some(asked)) if !may_start => {
                let all_slow_at = starts.max().map(slow_at);
                all_slow_at.map(|at| at.max(asked + ASK_AGAIN))
            }
            (Asked::Answered | Asked::Pending, _) => None,
        }
    }

    fn learn(&mut self, addrs: impl IntoIterator<Item = IpAddr>) {
        for addr in addrs {
            if !self.runners.iter().any(|runner| runner.addr == addr) {
                let state = State::Waiting;
                self.runners.push(Runner { addr, state });
            }
        }
    }

    fn start(&mut self, addr: IpAddr, now: Instant) {
        let (since, has_begun) = (now, false);
        self.set(addr, State::Running { since, has_begun });
        self.next_start = now + self.pace.delay;
    }

    fn waiting(&self) -> SmallVec<[IpAddr; 8]> {
        let waits = |runner: &&Runner| runner.state == State::Waiting;
        let waiting = self.runners.iter().filter(waits);
        waiting.map(|runner| runner.addr).collect()
    }

    fn next_up(&self) -> Option<IpAddr> {
        let mut waiting = self
            .runners
            .iter()
            .filter(|runner| runner.state == State::Waiting);
        waiting
            .next()
            .filter(|_| !self.is_over())
            .map(|runner| runner.addr)
    }

    /// Whether nothing more is dialled: the race was stopped, or its attempts are used up.
    fn is_over(&self) -> bool {
        let waits = |state| matches!(state, State::Waiting | State::PassedOver);
        let runners = self.runners.iter();
        self.is_stopped || runners.filter(|runner| !waits(runner.state)).count() >= self.most
    }

    fn running(&self) -> impl Iterator<Item = (IpAddr, Instant)> {
        self.runners.iter().filter_map(|runner| match runner.state {
            State::Running { since, .. } => Some((runner.addr, since)),
            State::Waiting | State::PassedOver | State::Failed(_) => None,
        })
    }

    fn since(&self, addr: IpAddr) -> Option<Instant> {
        let mut running = self.running();
        running
            .find(|(other, _)| *other == addr)
            .map(|(_, since)| since)
    }

    fn set(&mut self, addr: IpAddr, state: State) {
        let mut runners = self.runners.iter_mut();
        if let Some(runner) = runners.find(|runner| runner.addr == addr) {
            runner.state = state;
        }
    }
}

#[cfg(test)]
mod tests;
