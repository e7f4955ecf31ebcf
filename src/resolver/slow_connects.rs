//! Decides what a slow connect means for its address and host, and whether the connect is given up.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Inner;
use crate::addrs::{Family, MAX_ADDRS};
use crate::attempt::attribution;
use crate::attempt::{AllAddrs, AttemptContext, Resolution};
use crate::cache::{CachedAnswer, Origin};
use crate::events::Event;
use crate::health::outcome::Outcome;
use crate::health::record::{AddressRecord, Failure, Rank};
use crate::time;

impl Inner {
    /// Records that a connect is slow at an address, and re-resolves the host at once.
    ///
    /// The address gets a strike if the address itself, or another address that a connect may use, is healthy.
    /// Otherwise all addresses of the host are slow together, so the network or the host is slow, and a second slow
    /// connect adds no strike. A probe that has connected to the address since its last failure no longer counts.
    ///
    /// If a connect to the address that began later has succeeded, the address is not slow, and nothing is recorded.
    /// The cause then lies behind the address, or in the TLS of this one connect.
    pub(super) fn slow(&self, resolution: &Resolution, addr: IpAddr) {
        if self.connects_for_others(resolution, addr) {
            return;
        }
        let now = time::now();
        let known = self.cache.current(&resolution.host, now);
        let targets = known.map(|known| self.targets(resolution, &known, now));
        let targets = targets.unwrap_or_default();
        let counts = self.health.read(resolution.host.as_str(), now, |records| {
            let is_healthy = |other: &IpAddr| records.rank(*other) <= Rank::Healthy;
            let mut others = targets.iter().filter(|other| **other != addr);
            let accepts = records.find(addr).is_some_and(AddressRecord::needs_request);
            is_healthy(&addr) || accepts || others.any(is_healthy)
        });
        match counts {
            true => self.hold_against(resolution, addr, &Failure::unseen(Outcome::Slow)),
            false => self.health.withdraw_probe(&resolution.host, addr),
        }
        self.search(resolution, resolution.resolved_at);
    }

    /// Marks the answer of a slow connect suspect, and re-resolves the host at once. The connect began at `began`.
    pub(crate) fn search(&self, resolution: &Resolution, began: Instant) {
        let (host, seen) = (&resolution.host, resolution.generation);
        self.health.note_slow(host, began);
        self.cache.probe_penalized(host, time::now());
        self.cache.replace_now(host, seen);
    }

    /// Marks the current answer of a host suspect, and re-resolves the host, because a connect stays slow.
    ///
    /// If the current answer names none of the addresses that the connect is pending at, the call does nothing.
    pub(crate) fn search_again(&self, resolution: &Resolution, now: Instant) {
        if let Some(known) = self.cache.current(&resolution.host, now)
            && !has_moved(&known, resolution)
        {
            let host = &resolution.host;
            self.health.note_slow(host, resolution.resolved_at);
            self.cache.replace_now(host, known.generation);
        }
    }

    /// Records that an attempt at `addr` was pending when another address of the host connected.
    ///
    /// The other attempt began a whole delay later. If the attempt at `addr` was slow compared with the recent
    /// connects, the address gets a strike. Otherwise the network may be slow, and a probe decides.
    pub(super) fn beaten(&self, resolution: &Resolution, addr: IpAddr, now: Instant) {
        if self.connects_for_others(resolution, addr) {
            return;
        }
        let pending = now.saturating_duration_since(resolution.resolved_at);
        let host = &resolution.host;
        match self.health.is_beaten(host, pending) {
            true => self.hold_against(resolution, addr, &Failure::unseen(Outcome::Slow)),
            false => self.health.doubt(host, addr, now),
        }
        let since = resolution.resolved_at;
        if let Some(penalty) = self.health.deprioritize_if_dark(host, addr, since, now) {
            self.emit(&Event::FamilyDark {
                host: host.as_str(),
                family: Family::of(addr),
                penalty,
            });
        }
    }

    /// Records an attempt that lost a race by a whole delay; see [`beaten`](Self::beaten).
    pub(crate) fn lost(&self, context: &AttemptContext) {
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
    pub(crate) fn record_give_up(&self, resolution: &Resolution, is_up: bool) {
        self.health.note_give_up(&resolution.host, time::now());
        if let Some(addr) = self.pending_at(resolution) {
            self.health.withdraw_probe(&resolution.host, addr);
        }
        if let Some(addr) = second_head(resolution).filter(|_| !is_up)
            && !self.connects_for_others(resolution, addr)
        {
            self.health.doubt(&resolution.host, addr, time::now());
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
    /// then takes one attempt from the budget of the host, and is allowed for one round only; see
    /// [`Health::take_give_up`](crate::health::Health::take_give_up). If each answer differs from the last, two give-ups show whether DNS has moved; see
    /// [`Health::take_move`](crate::health::Health::take_move).
    pub(crate) fn is_better_given_up(
        &self,
        resolution: &Resolution,
        is_up: bool,
        now: Instant,
    ) -> bool {
        let Some(known) = self.cache.current(&resolution.host, now) else {
            return false;
        };
        if has_moved(&known, resolution) {
            return self
                .health
                .has_connected_since(&resolution.host, resolution.resolved_at)
                || self.health.take_move(&resolution.host, now);
        }
        let Some(pending_at) = self.pending_at(resolution) else {
            return false;
        };
        let host = resolution.host.as_str();
        let is_reached = self.health.read(host, now, |records| {
            let record = records.find(pending_at);
            record.is_some_and(AddressRecord::is_reached)
        });
        let pending = now.saturating_duration_since(resolution.resolved_at);
        let hangs = pending >= HANGS;
        // The probe of that address has this long to connect.
        let is_silent =
            hangs || (!is_reached && pending >= 2 * self.health.slow_after(&resolution.host));
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
            is_in_first_lane && self.health.has_connected_since(&resolution.host, since)
        };
        is_due
            && self.has_other(resolution, pending_at, &known, is_better, now)
            && (others_connect() || self.health.take_give_up(&resolution.host, now))
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
        let slow_at = resolution.resolved_at + self.health.slow_after(&resolution.host);
        match second_head(resolution).filter(|_| !is_up) {
            None => slow_at,
            Some(addr) if self.connects_for_others(resolution, addr) => {
                let soon = self.health.lane_wait(&resolution.host);
                slow_at.max(resolution.resolved_at + attribution::HEAD_START) + soon
            }
            Some(_) => slow_at + attribution::HEAD_START,
        }
    }

    /// Returns whether a connect to `addr` that began after the connect of `resolution` has succeeded.
    fn connects_for_others(&self, resolution: &Resolution, addr: IpAddr) -> bool {
        self.health
            .has_connected_to(addr, &resolution.host, resolution.resolved_at)
    }

    /// Returns whether a connect could go to an address other than the one at which it is pending: one that has no
    /// penalty and was not slow.
    pub(crate) fn may_connect_elsewhere(&self, resolution: &Resolution, now: Instant) -> bool {
        self.cache
            .current(&resolution.host, now)
            .is_some_and(|known| {
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
            let is_such = |addr: &IpAddr| records.find(*addr).is_none_or(&is_such);
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
