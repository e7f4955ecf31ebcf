//! How long connects to a host take, and what may start or end because a connect takes long.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::record::AddressRecord;
use super::{Health, latency};
use crate::addrs::Family;
use crate::host::Host;

impl Health {
    /// Returns the time after which a connect to a host is slow.
    pub(crate) fn slow_after(&self, host: &Host) -> Duration {
        let recent = || latency::slow_after(self.connects.took(host));
        self.slow_connect_after.unwrap_or_else(recent)
    }

    /// Returns the time after which an attempt of a race to a host is slow.
    pub(crate) fn slow_after_in_race(&self, host: &Host) -> Duration {
        let recent = || latency::slow_after_in_race(self.connects.took(host));
        self.slow_connect_after.unwrap_or_else(recent)
    }

    /// Returns how long a race to a host waits for an attempt before the next one starts, if the program sets no delay.
    pub(crate) fn attempt_delay(&self, host: &Host) -> Duration {
        latency::attempt_delay(self.connects.took(host))
    }

    /// Returns how long a connect waits for a second lane whose first address is known to connect.
    pub(crate) fn lane_wait(&self, host: &Host) -> Duration {
        latency::lane_wait(self.connects.took(host))
    }

    /// Returns whether an attempt was slow that lost a race by a whole attempt delay, when it was pending for `pending`.
    pub(crate) fn is_beaten(&self, host: &Host, pending: Duration) -> bool {
        match self.slow_connect_after {
            Some(after) => pending >= after,
            None => latency::is_beaten(pending, self.connects.took(host)),
        }
    }

    /// Returns whether recent connects to a host took `time` or longer.
    pub(crate) fn took_at_least(&self, host: &Host, time: Duration) -> bool {
        self.connects.took(host) >= Some(time)
    }

    /// Records that a connect to a host that began at `since` is slow.
    pub(crate) fn note_slow(&self, host: &Host, since: Instant) {
        self.connects.note_slow(host, since);
    }

    /// Returns whether connects to a host are slow: none that began as late as the last slow connect has succeeded.
    pub(crate) fn are_slow(&self, host: &Host) -> bool {
        self.connects.are_slow(host)
    }

    /// Returns whether a connect to a host that began at `since` or later has succeeded.
    pub(crate) fn has_connected_since(&self, host: &Host, since: Instant) -> bool {
        self.connects.has_connected_since(host, since)
    }

    /// Returns whether a connect to this address that began in a later millisecond than `since` has succeeded.
    pub(crate) fn has_connected_to(&self, addr: IpAddr, host: &Host, since: Instant) -> bool {
        self.connects.has_connected_to(addr, host, since)
    }

    /// Returns the waiting address that a race may start because of time, beside attempts pending since `since`.
    ///
    /// | address | if |
    /// |---|---|
    /// | an address that another connect has reached meanwhile | the attempts are slow |
    /// | an address that a probe has reached, once for each probe | the attempts are slow |
    /// | the address with the best rank | the budget of the host allows an attempt |
    pub(crate) fn choose_attempt(
        &self,
        host: &Host,
        waiting: &[IpAddr],
        since: Instant,
        now: Instant,
    ) -> Option<IpAddr> {
        let is_slow = now >= since + self.slow_after_in_race(host);
        let connects = |addr: &IpAddr| self.has_connected_to(*addr, host, since);
        let by_evidence = || {
            let known = waiting.iter().copied().find(connects);
            known.or_else(|| self.take_reached(host, waiting, now))
        };
        let by_budget = || {
            let first = self.read(host.as_str(), now, |records| {
                let rank = |addr: &&IpAddr| records.rank_to_select(**addr);
                waiting.iter().min_by_key(rank).copied()
            })?;
            self.connects.take_from_budget(host, now).then_some(first)
        };
        let free = is_slow.then(by_evidence).flatten();
        free.or_else(by_budget)
    }

    /// Takes the waiting address with the best rank that a probe has reached while its failure needs a request.
    ///
    /// The probe no longer counts, so that one attempt and not each pending race finds out whether the address serves.
    fn take_reached(&self, host: &Host, waiting: &[IpAddr], now: Instant) -> Option<IpAddr> {
        let reached = self.read(host.as_str(), now, |records| {
            let needs_request = |addr: &&IpAddr| {
                let record = records.find(**addr);
                record.is_some_and(AddressRecord::needs_request)
            };
            let reached = waiting.iter().filter(needs_request);
            reached
                .min_by_key(|addr| records.rank_to_select(**addr))
                .copied()
        });
        reached.filter(|addr| self.records.withdraw_probe(host, *addr))
    }

    /// Returns whether a slow connect may be given up for an untried address, and counts the give-up.
    ///
    /// The limit applies while no other connect to the host has succeeded; see [`latency::next_round`].
    #[must_use]
    pub(crate) fn take_give_up(&self, host: &Host, now: Instant) -> bool {
        self.connects.take_give_up(host, now)
    }

    /// Returns whether a slow connect whose addresses have left the answer may be given up, and counts the give-up.
    ///
    /// The limit applies while no other connect to the host has succeeded; see [`latency::next_move`].
    #[must_use]
    pub(crate) fn take_move(&self, host: &Host, now: Instant) -> bool {
        self.connects.take_move(host, now)
    }

    /// Records that a slow connect to a host is given up, so that a retry follows.
    pub(crate) fn note_give_up(&self, host: &Host, now: Instant) {
        self.connects.note_give_up(host, now);
    }

    /// Records an address that was slow since `since`, and puts its family second if the family is dark.
    ///
    /// A family is not dark unless the other family has connected to the host since. Returns how long the family goes
    /// second, if the family went first before.
    pub(crate) fn deprioritize_if_dark(
        &self,
        host: &Host,
        addr: IpAddr,
        since: Instant,
        now: Instant,
    ) -> Option<Duration> {
        let other = Family::of(addr).other();
        let other_connects = self.connects.has_connected_in(other, host, since);
        let records = &self.records;
        let penalty = other_connects.then(|| records.deprioritize_if_dark(addr, now));
        penalty.flatten()
    }
}
