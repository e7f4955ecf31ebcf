//! A pure rule that decides when a race attempts which address.
//!
//! The rule follows RFC 8305 (Happy Eyeballs v2), section 5, over the whole list and with TLS as part of an attempt.
//! The caller passes in addresses, ends of attempts and the time, and the rule returns the next step. The rule knows
//! no connector and no clock.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::Outcome;
use crate::addrs::MAX_ATTEMPTS;

/// The times of a race.
#[derive(Clone, Copy, Debug)]
pub(super) struct RaceConfig {
    /// The time between the starts of two attempts.
    pub(super) delay: Duration,
    /// The time that one attempt may take.
    pub(super) attempt_timeout: Option<Duration>,
    /// The time after which an attempt is slow.
    pub(super) slow_after: Duration,
    /// When the race must end.
    pub(super) deadline: Option<Instant>,
}

/// The number of wrong certificates after which no more addresses of an answer are attempted. The first one may come
/// from an address that the host no longer uses, the second one from one other address.
const MOST_WRONG_CERTIFICATES: usize = 2;

/// The least time between the two re-resolves of a race.
const RERESOLVE_AGAIN: Duration = Duration::from_secs(1);

/// What a race must do next.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Attempt this address now.
    Dial(IpAddr),
    /// End the attempt of this address as a failure, because the attempt has taken too long.
    TimeOut(IpAddr),
    /// Re-resolve the host, because there may be other addresses by now.
    Reresolve,
    /// Wait for the end of an attempt, for an answer, or until this time.
    Wait(Option<Instant>),
    /// End the race, because no attempt is left or the deadline has passed.
    GiveUp,
}

/// A race over the addresses of one host.
///
/// Any number of its attempts may be pending, up to `most`. No attempt waits for the end of a slow one. No slow
/// attempt is dropped for the next, because the slow attempt may be the only one that connects (curl 8.22 drops the
/// oldest of six: `lib/cf-ip-happy.c`).
#[derive(Debug)]
pub(super) struct RaceState {
    config: RaceConfig,
    candidates: SmallVec<[Candidate; 4]>,
    /// The most attempts that the race may start, whatever later answers name.
    most: usize,
    /// When the next attempt may start, whatever the other attempts do.
    next_start: Instant,
    asked: Reresolved,
    /// The number of re-resolves.
    lookups: u32,
    /// When the host was re-resolved for the first time, if an attempt was pending then.
    asked_early: Option<Instant>,
    /// Whether the next attempt starts for another reason than time.
    starts_free: bool,
    /// Whether the budget refused the last attempt that was due because of time.
    is_held: bool,
    /// Whether the race starts no more attempts and no more re-resolves.
    is_stopped: bool,
    /// The number of addresses of the answer that have shown a wrong certificate.
    wrong_certificates: usize,
}

#[derive(Debug)]
struct Candidate {
    addr: IpAddr,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Waiting,
    /// The address is not attempted, because certificates of its answer are wrong.
    Skipped,
    Running {
        since: Instant,
        /// Whether the connector has resolved the address.
        has_begun: bool,
    },
    Failed(Outcome),
}

/// The state of the last re-resolve.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reresolved {
    NotYet,
    Pending,
    Answered,
}

impl RaceState {
    /// Creates a race whose first attempt began at `since`.
    pub(super) fn begun(
        config: RaceConfig,
        addrs: impl IntoIterator<Item = IpAddr>,
        since: Instant,
    ) -> Self {
        let mut state = Self {
            config,
            candidates: SmallVec::new(),
            most: 0,
            next_start: since,
            asked: Reresolved::NotYet,
            lookups: 0,
            asked_early: None,
            starts_free: false,
            is_held: false,
            is_stopped: false,
            wrong_certificates: 0,
        };
        state.learn(addrs);
        state.most = MAX_ATTEMPTS.min(2 * state.candidates.len());
        if let Some(first) = state.next_up() {
            state.start(first, since);
            state.began(first, since);
        }
        state
    }

    /// Takes the answer to [`Step::Reresolve`]; see [`take_addrs`](Self::take_addrs).
    pub(super) fn answered(&mut self, addrs: &[IpAddr], now: Instant) {
        self.asked = Reresolved::Answered;
        self.wrong_certificates = 0;
        self.take_addrs(addrs, now);
    }

    /// Takes the addresses of the current answer, in order.
    ///
    /// By RFC 8305, section 6, an attempt that runs to an address that has left goes on, and added addresses are
    /// sorted into the list. The addresses of the answer go before the other waiting ones, because those are from an
    /// older answer, or the last resort. If all attempts are to addresses that the answer does not name, the next
    /// attempt starts at once and takes nothing from the budget. A race attempts each address at most once.
    pub(super) fn take_addrs(&mut self, addrs: &[IpAddr], now: Instant) {
        if !addrs.is_empty() && !self.running().any(|(addr, _)| addrs.contains(&addr)) {
            self.next_start = self.next_start.min(now);
            self.starts_free = true;
        }
        self.learn(addrs.iter().copied());
        self.candidates
            .sort_by_key(|candidate| match candidate.state {
                State::Waiting => {
                    let place = addrs.iter().position(|addr| *addr == candidate.addr);
                    Some(place.unwrap_or(usize::MAX))
                }
                State::Skipped | State::Running { .. } | State::Failed(_) => None,
            });
    }

    /// Records when the resolver returned the address of an attempt. The attempt has not begun before that time.
    pub(super) fn began(&mut self, addr: IpAddr, at: Instant) {
        if self.since(addr).is_some() {
            let (since, has_begun) = (at, true);
            self.set(addr, State::Running { since, has_begun });
        }
    }

    /// Records the failure of an attempt.
    ///
    /// The next attempt starts at once. The delay is for attempts that are pending (RFC 8305, section 5: "connection
    /// attempts SHOULD NOT be made simultaneously"), and a failure says more than the delay would. A fault of this
    /// machine would meet every attempt, so the race starts no more of them. After a second wrong certificate no more
    /// addresses of the answer are attempted, because the cause is not just one address that the host no longer uses.
    pub(super) fn failed(&mut self, addr: IpAddr, why: Outcome, now: Instant) {
        self.set(addr, State::Failed(why));
        self.next_start = self.next_start.min(now);
        self.starts_free = true;
        self.is_stopped |= why == Outcome::LocalError;
        self.wrong_certificates += usize::from(why == Outcome::BadCertificate);
        if self.wrong_certificates >= MOST_WRONG_CERTIFICATES {
            let waits = |candidate: &&mut Candidate| candidate.state == State::Waiting;
            let waiting = self.candidates.iter_mut().filter(waits);
            waiting.for_each(|candidate| candidate.state = State::Skipped);
        }
    }

    /// Records that TCP is up and TLS has begun.
    ///
    /// By RFC 8305, section 5, an attempt succeeds "generally when the TCP handshake completes", and the other
    /// attempts end there. Here TLS is part of an attempt, so the other attempts wait. The address is alive, and gets
    /// one more delay before the next attempt starts beside this one.
    pub(super) fn is_up(&mut self, addr: IpAddr, now: Instant) {
        if self.since(addr).is_some() {
            self.next_start = self.next_start.max(now + self.config.delay);
        }
    }

    /// Returns the addresses that the winner has beaten. Their attempts are pending, and started a whole delay before
    /// the winner.
    ///
    /// An attempt with a shorter head start has only lost. "Once one of the connection attempts succeeds, all other
    /// connections attempts that have not yet succeeded SHOULD be canceled" (RFC 8305, section 5; the parenthesis is
    /// left out). Canceled attempts have not failed.
    pub(super) fn beaten_by(&self, winner: IpAddr) -> impl Iterator<Item = IpAddr> {
        let won = self.since(winner);
        let is_beaten = move |since| won.is_some_and(|won| won >= since + self.config.delay);
        let others = self.running().filter(move |(addr, _)| *addr != winner);
        others
            .filter(move |(_, since)| is_beaten(*since))
            .map(|(addr, _)| addr)
    }

    /// Returns whether attempts are pending while the race itself can do nothing more.
    ///
    /// The race has used up its re-resolves, or the budget holds back the attempts that are left.
    pub(super) fn waits_for_others(&self) -> bool {
        let may_go_on = self.lookups <= 1 && !self.is_held;
        !may_go_on && self.asked == Reresolved::Answered && self.running().next().is_some()
    }

    /// Returns each address with its outcome by now, in the order of the race. `None`: the address was not attempted.
    pub(super) fn ends(&self, now: Instant) -> impl Iterator<Item = (IpAddr, Option<Outcome>)> {
        let slow_after = self.config.slow_after;
        self.candidates.iter().map(move |candidate| {
            let end = match candidate.state {
                State::Waiting | State::Skipped => None,
                State::Running { since, .. } if now >= since + slow_after => Some(Outcome::Slow),
                State::Running { .. } => Some(Outcome::Canceled),
                State::Failed(why) => Some(why),
            };
            (candidate.addr, end)
        })
    }

    /// Returns the next step. A step to attempt, to end an attempt or to re-resolve counts as done.
    ///
    /// `choose` returns which of the waiting addresses may be attempted because of time. Its second argument is when
    /// the oldest pending attempt began.
    pub(super) fn next(
        &mut self,
        now: Instant,
        choose: impl FnOnce(&[IpAddr], Instant) -> Option<IpAddr>,
    ) -> Step {
        None.or_else(|| self.stop_at_the_deadline(now))
            .or_else(|| self.end_the_overdue(now))
            .or_else(|| self.dial_the_next(now, choose))
            .or_else(|| self.reresolve(now))
            .or_else(|| self.give_up())
            .unwrap_or_else(|| self.wait())
    }

    fn stop_at_the_deadline(&self, now: Instant) -> Option<Step> {
        let is_over = self.config.deadline.is_some_and(|deadline| now >= deadline);
        is_over.then_some(Step::GiveUp)
    }

    /// Ends an attempt that has taken too long, if there is another attempt to make. If there is none, the attempt may
    /// still connect.
    fn end_the_overdue(&mut self, now: Instant) -> Option<Step> {
        let limit = self.limit()?;
        let (addr, _) = self.running().find(|(_, since)| now >= *since + limit)?;
        self.failed(addr, Outcome::TimedOut, now);
        Some(Step::TimeOut(addr))
    }

    /// Starts the next attempt if that is due.
    ///
    /// RFC 8305, section 5, says "One connection attempt to a single address is started first, followed by the others,
    /// one at a time", a Connection Attempt Delay apart, and "starting a new connection attempt does not affect
    /// previous attempts".
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
            // Once the oldest attempt is slow, `choose` may return an address that connects for other requests.
            let slow_at = oldest.map(|since| since + self.config.slow_after);
            let later = now + self.config.delay;
            let sooner = slow_at.filter(|at| now < *at && *at < later);
            self.next_start = sooner.unwrap_or(later);
            return None;
        };
        self.starts_free = false;
        self.start(addr, now);
        Some(Step::Dial(addr))
    }

    /// Re-resolves the host if [`ask_at`](Self::ask_at) says so, because DNS may have moved.
    fn reresolve(&mut self, now: Instant) -> Option<Step> {
        let is_due = self.ask_at().is_some_and(|due| now >= due);
        is_due.then(|| {
            let is_early = self.asked == Reresolved::NotYet && self.running().next().is_some();
            self.asked_early = is_early.then_some(now);
            self.asked = Reresolved::Pending;
            self.lookups += 1;
            Step::Reresolve
        })
    }

    fn give_up(&self) -> Option<Step> {
        let is_over = self.running().next().is_none() && self.asked != Reresolved::Pending;
        is_over.then_some(Step::GiveUp)
    }

    fn wait(&self) -> Step {
        let start = Some(self.next_start).filter(|_| self.next_up().is_some());
        let limit = self.limit();
        let first = self.running().map(|(_, since)| since).min();
        let end = first.zip(limit).map(|(since, limit)| since + limit);
        let dues = [start, end, self.ask_at(), self.config.deadline];
        Step::Wait(dues.into_iter().flatten().min())
    }

    /// Returns how long an attempt may take. `None`: there is no other attempt to start, or that waits for its
    /// connector.
    fn limit(&self) -> Option<Duration> {
        let waits = |candidate: &Candidate| {
            matches!(
                candidate.state,
                State::Running {
                    has_begun: false,
                    ..
                }
            )
        };
        let has_other = self.next_up().is_some() || self.candidates.iter().any(waits);
        self.config.attempt_timeout.filter(|_| has_other)
    }

    /// Returns when to re-resolve the host.
    ///
    /// The first re-resolve is due when an attempt is slow, or when all attempts have failed. If an attempt was
    /// pending at the first re-resolve, there is a second one. The second re-resolve is due while all attempts that
    /// are left are slow, if no other attempt may start or the budget allows none.
    fn ask_at(&self) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        let starts = self.running().map(|(_, since)| since);
        let slow_at = |since| since + self.config.slow_after;
        let may_start = self.next_up().is_some() && !self.is_held;
        match (self.asked, self.asked_early) {
            (Reresolved::NotYet, _) if may_start => starts.min().map(slow_at),
            (Reresolved::NotYet, _) => Some(starts.min().map_or(self.next_start, slow_at)),
            (Reresolved::Answered, Some(asked)) if !may_start => {
                let all_slow_at = starts.max().map(slow_at);
                all_slow_at.map(|at| at.max(asked + RERESOLVE_AGAIN))
            }
            (Reresolved::Answered | Reresolved::Pending, _) => None,
        }
    }

    fn learn(&mut self, addrs: impl IntoIterator<Item = IpAddr>) {
        for addr in addrs {
            if !self
                .candidates
                .iter()
                .any(|candidate| candidate.addr == addr)
            {
                let state = State::Waiting;
                self.candidates.push(Candidate { addr, state });
            }
        }
    }

    fn start(&mut self, addr: IpAddr, now: Instant) {
        let (since, has_begun) = (now, false);
        self.set(addr, State::Running { since, has_begun });
        self.next_start = now + self.config.delay;
    }

    fn waiting(&self) -> SmallVec<[IpAddr; 8]> {
        let waits = |candidate: &&Candidate| candidate.state == State::Waiting;
        let waiting = self.candidates.iter().filter(waits);
        waiting.map(|candidate| candidate.addr).collect()
    }

    fn next_up(&self) -> Option<IpAddr> {
        let mut waiting = self
            .candidates
            .iter()
            .filter(|candidate| candidate.state == State::Waiting);
        waiting
            .next()
            .filter(|_| !self.is_over())
            .map(|candidate| candidate.addr)
    }

    /// Returns whether the race starts no more attempts, because it was stopped or its attempts are used up.
    fn is_over(&self) -> bool {
        let waits = |state| matches!(state, State::Waiting | State::Skipped);
        let runners = self.candidates.iter();
        self.is_stopped || runners.filter(|candidate| !waits(candidate.state)).count() >= self.most
    }

    fn running(&self) -> impl Iterator<Item = (IpAddr, Instant)> {
        self.candidates
            .iter()
            .filter_map(|candidate| match candidate.state {
                State::Running { since, .. } => Some((candidate.addr, since)),
                State::Waiting | State::Skipped | State::Failed(_) => None,
            })
    }

    fn since(&self, addr: IpAddr) -> Option<Instant> {
        let mut running = self.running();
        running
            .find(|(other, _)| *other == addr)
            .map(|(_, since)| since)
    }

    fn set(&mut self, addr: IpAddr, state: State) {
        let mut runners = self.candidates.iter_mut();
        if let Some(candidate) = runners.find(|candidate| candidate.addr == addr) {
            candidate.state = state;
        }
    }
}

#[cfg(test)]
mod tests;
