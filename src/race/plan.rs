//! Rule: which address of a race is dialled when.
//!
//! RFC 8305 (Happy Eyeballs v2), section 5, over the whole list and with TLS as part of an attempt.
//! Addresses, ends and the time go in; what to do next comes out. It knows no connector and no
//! clock.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::Outcome;

/// The times of a race.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Between the starts of two attempts.
    pub(super) delay: Duration,
    /// For how long one attempt may take.
    pub(super) attempt_timeout: Option<Duration>,
    /// From then on an attempt is held to be slow.
    pub(super) stalled_after: Duration,
    /// When the race is over.
    pub(super) deadline: Option<Instant>,
}

/// So many attempts at once, and no more are started; none that runs is dropped for a new one, as
/// the slow one may be the only one that lives (curl drops the oldest: `lib/cf-ip-happy.c`, also six).
const MOST_IN_FLIGHT: usize = 6;
/// So many addresses of an answer may show a wrong certificate: the departed edge's, and one other's.
const MOST_WRONG_CERTIFICATES: usize = 2;

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
#[derive(Debug)]
pub(super) struct Plan {
    pace: Pace,
    runners: SmallVec<[Runner; 4]>,
    /// When the next attempt may start, however the others go.
    next_start: Instant,
    asked: Asked,
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
            next_start: since,
            asked: Asked::NotYet,
            is_stopped: false,
            wrong_certificates: 0,
        };
        plan.learn(addrs);
        plan.start_next(since);
        plan
    }

    /// Takes the answer to [`Step::AskAgain`]. By RFC 8305, section 6, an attempt that runs to an address
    /// that has left goes on, and what was added is sorted into the list. Its new addresses go before those that still wait: those
    /// are of an older one. A race dials each address at most once.
    pub(super) fn answered(&mut self, addrs: impl IntoIterator<Item = IpAddr>) {
        self.asked = Asked::Answered;
        self.wrong_certificates = 0;
        let waits = |runner: &Runner| runner.state == State::Waiting;
        let first = self.runners.iter().position(waits);
        let known = self.runners.len();
        self.learn(addrs);
        if let Some(first) = first {
            self.runners[first..].rotate_left(known - first);
        }
    }

    /// Takes the news that an attempt was dealt its address only then: before that it had not begun.
    pub(super) fn began(&mut self, addr: IpAddr, at: Instant) {
        if self.since(addr).is_some() {
            self.set(addr, State::Running { since: at });
        }
    }

    /// Takes the failure of an attempt. The delay is for attempts that are pending (RFC 8305, section 5:
    /// "connection attempts SHOULD NOT be made simultaneously"), so the next one starts at once: an end says more than the delay
    /// would. A fault of this machine would be every attempt's, so it ends the race. After a second wrong
    /// certificate no more addresses of the answer are dialled: those are no departed edge's.
    pub(super) fn failed(&mut self, addr: IpAddr, why: Outcome, now: Instant) {
        self.set(addr, State::Failed(why));
        self.next_start = self.next_start.min(now);
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

    /// Returns each address and what it has come to by now, in the order of the race. `None`: it was
    /// not dialled.
    pub(super) fn ends(&self, now: Instant) -> impl Iterator<Item = (IpAddr, Option<Outcome>)> {
        let stalled_after = self.pace.stalled_after;
        self.runners.iter().map(move |runner| {
            let end = match runner.state {
                State::Waiting | State::PassedOver => None,
                State::Running { since } if now >= since + stalled_after => Some(Outcome::Stalled),
                State::Running { .. } => Some(Outcome::Abandoned),
                State::Failed(why) => Some(why),
            };
            (runner.addr, end)
        })
    }

    /// Says what to do now. A step to dial, to end or to ask counts as done.
    pub(super) fn next(&mut self, now: Instant) -> Step {
        None.or_else(|| self.stop_at_the_deadline(now))
            .or_else(|| self.end_the_overdue(now))
            .or_else(|| self.dial_the_next(now))
            .or_else(|| self.ask_again(now))
            .or_else(|| self.give_up())
            .unwrap_or_else(|| self.wait())
    }

    fn stop_at_the_deadline(&self, now: Instant) -> Option<Step> {
        let is_over = self.pace.deadline.is_some_and(|deadline| now >= deadline);
        is_over.then_some(Step::GiveUp)
    }

    fn end_the_overdue(&mut self, now: Instant) -> Option<Step> {
        let limit = self.pace.attempt_timeout?;
        let (addr, _) = self.running().find(|(_, since)| now >= *since + limit)?;
        self.failed(addr, Outcome::TimedOut, now);
        Some(Step::End(addr))
    }

    /// "One connection attempt to a single address is started first, followed by the others, one at
    /// a time" (section 5), a Connection Attempt Delay apart: "starting a new connection attempt does not
    /// affect previous attempts".
    fn dial_the_next(&mut self, now: Instant) -> Option<Step> {
        let may_start = self.has_room() && now >= self.next_start;
        let addr = may_start.then(|| self.start_next(now)).flatten()?;
        Some(Step::Dial(addr))
    }

    /// The second chance, once: when all have failed, and also when all that is left hangs, as the
    /// edges of an old answer do that are gone without a word.
    fn ask_again(&mut self, now: Instant) -> Option<Step> {
        let is_due = self.ask_at().is_some_and(|due| now >= due);
        is_due.then(|| {
            self.asked = Asked::Pending;
            Step::AskAgain
        })
    }

    fn give_up(&self) -> Option<Step> {
        let is_over = self.running().next().is_none() && self.asked != Asked::Pending;
        is_over.then_some(Step::GiveUp)
    }

    fn wait(&self) -> Step {
        let start = Some(self.next_start).filter(|_| self.has_room() && self.next_up().is_some());
        let limit = self.pace.attempt_timeout;
        let first = self.running().map(|(_, since)| since).min();
        let end = first.zip(limit).map(|(since, limit)| since + limit);
        let dues = [start, end, self.ask_at(), self.pace.deadline];
        Step::Wait(dues.into_iter().flatten().min())
    }

    /// When there is nothing left but to ask again: nobody waits, or there is no room for one.
    fn ask_at(&self) -> Option<Instant> {
        let may_start = self.next_up().is_some() && self.has_room();
        if self.asked != Asked::NotYet || self.is_stopped || may_start {
            return None;
        }
        let last = self.running().map(|(_, since)| since).max();
        Some(last.map_or(self.next_start, |last| last + self.pace.stalled_after))
    }

    fn learn(&mut self, addrs: impl IntoIterator<Item = IpAddr>) {
        for addr in addrs {
            if !self.runners.iter().any(|runner| runner.addr == addr) {
                let state = State::Waiting;
                self.runners.push(Runner { addr, state });
            }
        }
    }

    fn start_next(&mut self, now: Instant) -> Option<IpAddr> {
        let addr = self.next_up()?;
        self.set(addr, State::Running { since: now });
        self.next_start = now + self.pace.delay;
        Some(addr)
    }

    fn next_up(&self) -> Option<IpAddr> {
        let mut waiting = self
            .runners
            .iter()
            .filter(|runner| runner.state == State::Waiting);
        waiting
            .next()
            .filter(|_| !self.is_stopped)
            .map(|runner| runner.addr)
    }

    fn has_room(&self) -> bool {
        self.running().count() < MOST_IN_FLIGHT
    }

    fn running(&self) -> impl Iterator<Item = (IpAddr, Instant)> {
        self.runners.iter().filter_map(|runner| match runner.state {
            State::Running { since } => Some((runner.addr, since)),
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
