//! Decides what a slow connect means for its address and host, and whether the connect is given up.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::Inner;
use super::refresh::Urgency;
use super::resolve::{rank, rank_to_select};
use crate::addrs::{Family, MAX_ADDRS};
use crate::attempt::attribution;
use crate::attempt::{AllAddrs, AttemptContext, Resolution};
use crate::cache::{CachedAnswer, Origin};
use crate::events::Event;
use crate::health::latency;
use crate::health::outcome::Outcome;
use crate::health::record::{self, AddressRecord, Failure, Rank};
use crate::host::Host;
use crate::time;

impl Inner {
    /// Returns the time after which a connect to a host is slow.
    pub(crate) fn slow_after(&self, host: &Host) -> Duration {
        let recent = || latency::slow_after(self.connects.took(host));
        self.config.slow_connect_after.unwrap_or_else(recent)
    }

    /// Returns the time after which an attempt of a race to a host is slow.
    pub(crate) fn slow_after_in_race(&self, host: &Host) -> Duration {
        let recent = || latency::slow_after_in_race(self.connects.took(host));
        self.config.slow_connect_after.unwrap_or_else(recent)
    }

    /// Returns how long a race to a host waits for an attempt before the next one starts, if the program sets no delay.
    pub(crate) fn attempt_delay(&self, host: &Host) -> Duration {
        latency::attempt_delay(self.connects.took(host))
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
        let connects = |addr: &IpAddr| self.connects.has_connected_to(*addr, host, since);
        let by_evidence = || {
            let known = waiting.iter().copied().find(connects);
            known.or_else(|| self.take_reached(host, waiting, now))
        };
        let by_budget = || {
            let first = self.health.read(host.as_str(), now, |records| {
                let rank = |addr: &&IpAddr| rank_to_select(records, **addr, now);
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
        let reached = self.health.read(host.as_str(), now, |records| {
            let is_reached = |addr: &&IpAddr| {
                record::find(records, **addr).is_some_and(AddressRecord::needs_request)
            };
            let reached = waiting.iter().filter(is_reached);
            reached
                .min_by_key(|addr| rank_to_select(records, **addr, now))
                .copied()
        });
        reached.filter(|addr| self.health.withdraw_probe(host, *addr))
    }

    /// Records that a connect is slow at an address, and re-resolves the host at once.
    ///
    /// The address gets a strike if the address itself, or another address that a connect may use, is healthy.
    /// Otherwise all addresses of the host are slow together, so the network or the host is slow, and a second slow
    /// connect adds no strike. A probe that has connected to the address since its last failure no longer counts.
    ///
    /// If a connect to the address that began later has succeeded, the address is not slow, and nothing is recorded.
    /// The cause then lies behind the address, or in the TLS of this one connect.
    pub(super) fn slow(self: &Arc<Self>, resolution: &Resolution, addr: IpAddr) {
        if self.connects_for_others(resolution, addr) {
            return;
        }
        let now = time::now();
        let known = self.current(&resolution.host, now);
        let targets = known.map(|known| self.targets(resolution, &known, now));
        let targets = targets.unwrap_or_default();
        let counts = self.health.read(resolution.host.as_str(), now, |records| {
            let is_healthy = |other: &IpAddr| rank(records, *other, now) <= Rank::Healthy;
            let mut others = targets.iter().filter(|other| **other != addr);
            let accepts = record::find(records, addr).is_some_and(AddressRecord::needs_request);
            is_healthy(&addr) || accepts || others.any(is_healthy)
        });
        match counts {
            true => self.hold_against(resolution, addr, &Failure::unseen(Outcome::Slow)),
            false => {
                self.health.withdraw_probe(&resolution.host, addr);
            }
        }
        self.search(resolution);
    }

    /// Marks the answer of a slow connect suspect, and re-resolves the host at once.
    pub(crate) fn search(self: &Arc<Self>, resolution: &Resolution) {
        self.connects
            .note_slow(&resolution.host, resolution.resolved_at);
        self.probe_penalized(&resolution.host, time::now());
        self.suspect(&resolution.host, resolution.generation, false);
        self.reresolve(&resolution.host, Urgency::Now);
    }

    /// Marks the current answer of a host suspect, and re-resolves the host, because a connect stays slow.
    ///
    /// If the current answer names none of the addresses that the connect is pending at, the call does nothing.
    pub(crate) fn search_again(self: &Arc<Self>, resolution: &Resolution, now: Instant) {
        if let Some(known) = self.current(&resolution.host, now)
            && !has_moved(&known, resolution)
        {
            self.connects
                .note_slow(&resolution.host, resolution.resolved_at);
            self.suspect(&resolution.host, known.generation, false);
            self.reresolve(&resolution.host, Urgency::Now);
        }
    }

    /// Records that an attempt at `addr` was pending when another address of the host connected.
    ///
    /// The other attempt began a whole delay later. If the attempt at `addr` was slow compared with the recent
    /// connects, the address gets a strike. Otherwise the network may be slow, and a probe decides.
    pub(super) fn beaten(self: &Arc<Self>, resolution: &Resolution, addr: IpAddr, now: Instant) {
        if self.connects_for_others(resolution, addr) {
            return;
        }
        let pending = now.saturating_duration_since(resolution.resolved_at);
        let is_slow = match self.config.slow_connect_after {
            Some(after) => pending >= after,
            None => latency::is_beaten(pending, self.connects.took(&resolution.host)),
        };
        match is_slow {
            true => self.hold_against(resolution, addr, &Failure::unseen(Outcome::Slow)),
            false => self.doubt(&resolution.host, addr, now),
        }
        self.deprioritize_if_dark(resolution, addr, now);
    }

    /// Orders the family of a slow address second if the family is dark while the other family connects.
    fn deprioritize_if_dark(&self, resolution: &Resolution, addr: IpAddr, now: Instant) {
        let (host, family) = (&resolution.host, Family::of(addr));
        let other_connects =
            self.connects
                .has_connected_in(family.other(), host, resolution.resolved_at);
        let penalty = other_connects.then(|| self.health.deprioritize_if_dark(addr, now));
        if let Some(penalty) = penalty.flatten() {
            self.emit(&Event::FamilyDark {
                host: host.as_str(),
                family,
                penalty,
            });
        }
    }

    /// Puts an address in doubt until a probe has decided.
    fn doubt(self: &Arc<Self>, host: &Host, addr: IpAddr, now: Instant) {
        if self.health.doubt(host, addr, self.config.probe, now) {
            self.probe_doubted(host, now);
        }
    }

    /// Starts the probes of a host's addresses in doubt.
    ///
    /// If no port of the host is known, no probe starts. A connect records the port before it calls this method, so
    /// that no doubt is missed.
    pub(super) fn probe_doubted(self: &Arc<Self>, host: &Host, now: Instant) {
        if let Some(port) = self.connects.port(host)
            && Handle::try_current().is_ok()
        {
            for addr in self.health.take_probes(host, now) {
                self.probe(host, addr, port);
            }
        }
    }

    /// Probes the penalized addresses of a host before their penalties end.
    ///
    /// A connect is slow, or no healthy address is left. A long penalty only says that its address has failed often, and
    /// the next connect needs to know which address connects now.
    pub(super) fn probe_penalized(self: &Arc<Self>, host: &Host, now: Instant) {
        if self.config.probe
            && Handle::try_current().is_ok()
            && let Some(port) = self.connects.port(host)
            && let Some(known) = self.current(host, now)
        {
            let addrs = known.addrs.as_slice();
            for addr in self.health.take_early_probes(host, addrs, now) {
                self.probe(host, addr, port);
            }
        }
    }

    /// Records an attempt that lost a race by a whole delay; see [`beaten`](Self::beaten).
    pub(crate) fn lost(self: &Arc<Self>, context: &AttemptContext) {
        if let Some(resolution) = context.single()
            && let Some(addr) = head(&resolution)
        {
            self.beaten(&resolution, addr, time::now());
        }
    }

    /// Records that a slow connect is given up, and puts the first address of its second lane in doubt.
    ///
    /// The second lane is slow, too, or has not started because the first lane is pending after TCP. If TCP is known
    /// to be up, no address is put in doubt.
    pub(crate) fn record_give_up(self: &Arc<Self>, resolution: &Resolution, is_up: bool) {
        self.connects.note_give_up(&resolution.host, time::now());
        if let Some(addr) = self.pending_at(resolution) {
            self.health.withdraw_probe(&resolution.host, addr);
        }
        if let Some(addr) = second_head(resolution).filter(|_| !is_up)
            && !self.connects_for_others(resolution, addr)
        {
            self.doubt(&resolution.host, addr, time::now());
        }
    }

    /// Returns whether a slow connect is given up, so that a retry connects to something better.
    ///
    /// The connect is given up in two cases:
    ///
    /// - The current answer names none of the addresses that the connect may be pending at.
    /// - All lanes of the connect are slow, and another address is healthy, or a probe has connected to another address
    ///   and not to the one that the connect is pending at. If the connect hangs for [`HANGS`], the probe of that
    ///   address does not count, and a connect is given up that is pending in its second lane while the first address
    ///   connects for others.
    ///
    /// If no connect has succeeded since this one began, the whole host may be slow. A give-up for another address
    /// then takes one attempt from the budget of the host, and is allowed for one round only; see [`latency::next_round`]. If
    /// each answer differs from the last, two give-ups show whether DNS has moved; see [`latency::next_move`].
    pub(crate) fn is_better_given_up(
        &self,
        resolution: &Resolution,
        is_up: bool,
        now: Instant,
    ) -> bool {
        let Some(known) = self.current(&resolution.host, now) else {
            return false;
        };
        if has_moved(&known, resolution) {
            return self
                .connects
                .has_connected_since(&resolution.host, resolution.resolved_at)
                || self.connects.take_move(&resolution.host, now);
        }
        let Some(pending_at) = self.pending_at(resolution) else {
            return false;
        };
        let host = resolution.host.as_str();
        let is_reached = self.health.read(host, now, |records| {
            record::find(records, pending_at).is_some_and(AddressRecord::is_reached)
        });
        let pending = now.saturating_duration_since(resolution.resolved_at);
        let hangs = pending >= HANGS;
        // The probe of that address has this long to connect.
        let is_silent = hangs || (!is_reached && pending >= 2 * self.slow_after(&resolution.host));
        let is_better = |record: &AddressRecord| {
            record.rank(now) <= Rank::Healthy
                || (is_silent && record.needs_request())
                || (hangs && record.is_reached())
        };
        // If the first address connects for others, this one connect may just take long.
        let is_in_first_lane = head(resolution) == Some(pending_at);
        let is_due = match is_in_first_lane {
            true => now >= self.all_slow_at(resolution, is_up),
            false => hangs,
        };
        let others_connect = || {
            let since = resolution.resolved_at;
            is_in_first_lane && self.connects.has_connected_since(&resolution.host, since)
        };
        is_due
            && self.has_other(resolution, pending_at, &known, is_better, now)
            && (others_connect() || self.connects.take_give_up(&resolution.host, now))
    }

    /// Returns the address at which a slow connect is pending.
    ///
    /// If the first address connects for others, the connect is pending in its second lane. `None`: both addresses
    /// connect for others.
    fn pending_at(&self, resolution: &Resolution) -> Option<IpAddr> {
        let is_alive = |addr: &IpAddr| self.connects_for_others(resolution, *addr);
        let pending_at = match head(resolution).filter(is_alive) {
            Some(_) => second_head(resolution),
            None => head(resolution),
        };
        pending_at.filter(|addr| !is_alive(addr))
    }

    /// Returns when all lanes of a connect are slow.
    ///
    /// Once TCP is up, the connect has one lane. If another connect has reached the first address of the second lane,
    /// that lane is slow soon after its start.
    pub(crate) fn all_slow_at(&self, resolution: &Resolution, is_up: bool) -> Instant {
        let slow_at = resolution.resolved_at + self.slow_after(&resolution.host);
        match second_head(resolution).filter(|_| !is_up) {
            None => slow_at,
            Some(addr) if self.connects_for_others(resolution, addr) => {
                let soon = latency::lane_wait(self.connects.took(&resolution.host));
                slow_at.max(resolution.resolved_at + attribution::HEAD_START) + soon
            }
            Some(_) => slow_at + attribution::HEAD_START,
        }
    }

    /// Returns whether a connect to `addr` that began after the connect of `resolution` has succeeded.
    fn connects_for_others(&self, resolution: &Resolution, addr: IpAddr) -> bool {
        self.connects
            .has_connected_to(addr, &resolution.host, resolution.resolved_at)
    }

    /// Returns whether a connect could go to an address other than the one at which it is pending: one that has no
    /// penalty and was not slow.
    pub(crate) fn may_connect_elsewhere(&self, resolution: &Resolution, now: Instant) -> bool {
        self.current(&resolution.host, now).is_some_and(|known| {
            let is_open = |record: &AddressRecord| {
                let hangs = record.hangs(now) && !record.is_reached();
                !matches!(record.rank(now), Rank::Penalized(_)) && !hangs
            };
            head(resolution)
                .is_some_and(|head| self.has_other(resolution, head, &known, is_open, now))
        })
    }

    /// Returns the addresses that a connect can go to: those of the answer and of its last resort.
    fn targets(&self, resolution: &Resolution, known: &CachedAnswer, now: Instant) -> AllAddrs {
        let mut targets = AllAddrs::from_slice(known.addrs.as_slice());
        targets.extend(self.selected_left(&resolution.host, known, now));
        targets
    }

    /// Returns whether another address than the one that a connect is pending at has no record or such a one.
    fn has_other(
        &self,
        resolution: &Resolution,
        pending_at: IpAddr,
        known: &CachedAnswer,
        is_such: impl Fn(&AddressRecord) -> bool,
        now: Instant,
    ) -> bool {
        let targets = self.targets(resolution, known, now);
        self.health.read(resolution.host.as_str(), now, |records| {
            let mut others = targets.iter();
            let is_such = |addr: &IpAddr| record::find(records, *addr).is_none_or(&is_such);
            others.any(|addr| *addr != pending_at && is_such(addr))
        })
    }
}

/// The time after which a connect hangs. The system sends a SYN three times within this time.
pub(crate) const HANGS: Duration = Duration::from_secs(3);

/// Returns whether a newer answer names none of the addresses at which a connect is pending.
///
/// An answer with so many addresses that some may be left out does not count.
fn has_moved(known: &CachedAnswer, resolution: &Resolution) -> bool {
    let mut pending = head(resolution).into_iter().chain(second_head(resolution));
    known.generation != resolution.generation
        && matches!(known.origin, Origin::Lookup | Origin::Override)
        && (1..MAX_ADDRS).contains(&known.addrs.as_slice().len())
        && !pending.any(|addr| known.addrs.contains(addr))
}

/// Returns the address at which a connect is most likely pending.
fn head(resolution: &Resolution) -> Option<IpAddr> {
    resolution
        .addrs
        .as_slice()
        .first()
        .map(IpAddr::to_canonical)
}

/// Returns the first address of the second lane, which the connector attempts beside the first lane.
fn second_head(resolution: &Resolution) -> Option<IpAddr> {
    attribution::second_candidate(resolution.addrs.as_slice()).map(|addr| addr.to_canonical())
}
