//! Records how each connect ended, in the health of its addresses and the state of its answer.

use std::error::Error as StdError;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::Inner;
use crate::addrs::Family;
use crate::attempt::ConnectionId;
use crate::attempt::attribution;
use crate::attempt::attribution::FamiliesUsed;
use crate::attempt::{AttemptContext, NewConnection, RequestConnection, Resolution};
use crate::cache::route;
use crate::events::Event;
use crate::health::classify;
use crate::health::outcome::{Outcome, Severity};
use crate::health::record::{Failure, Transition};
use crate::health::{Effect, SuccessfulConnect};
use crate::host::Host;
use crate::time;

/// The end of a connect, as far as a connector layer sees it.
#[derive(Clone, Debug)]
pub(crate) enum AttemptEnd {
    /// The connect succeeded, and the socket names both ends of the connection.
    Connected(ConnectionId),
    /// The connect succeeded, and the socket does not name its peer, mostly because the peer is already gone.
    ConnectedUnknownPeer,
    /// The connect failed with this outcome and this text of its error.
    Failed(Outcome, Arc<str>),
    /// TCP failed at this address, after it had failed at the other addresses of the same resolution.
    FailedAt(IpAddr, Outcome, Arc<str>),
    /// The connect was pending for so long that it is slow.
    Slow,
    /// The layer gave the connect up after its timeout. The connector may not have attempted the addresses after the
    /// first.
    TimedOut,
}

impl AttemptEnd {
    /// Returns the outcome of the connect.
    pub(crate) fn outcome(&self) -> Outcome {
        self.clone()
            .failure()
            .map_or(Outcome::Connected, |(failure, _)| failure.why)
    }

    /// Returns the failure of the connect, if there is one, and whether the failure came after TCP was up.
    pub(super) fn failure(self) -> Option<(Failure, bool)> {
        let (why, error, after_tcp) = match self {
            Self::Connected(_) | Self::ConnectedUnknownPeer => return None,
            Self::Failed(why, error) => (why, Some(error), why.is_after_tcp()),
            Self::FailedAt(_, why, error) => (why, Some(error), false),
            Self::Slow => (Outcome::Slow, None, true),
            Self::TimedOut => (Outcome::TimedOut, None, true),
        };
        let soft = why.severity() == Severity::Soft;
        Some((Failure { why, soft, error }, after_tcp))
    }

    /// Returns the resolution whose addresses the connect has attempted.
    ///
    /// If the connect resolved two names, as through SOCKS, the failure is attributed to neither, unless the error
    /// names an address.
    pub(super) fn note(&self, context: &AttemptContext) -> Option<Resolution> {
        match self {
            Self::FailedAt(addr, ..) => context.containing(*addr),
            _ => context.single(),
        }
    }
}

impl Inner {
    /// Records the end of a connect for the addresses in its attempt context.
    pub(crate) fn attempt_ended(
        &self,
        context: &AttemptContext,
        families_used: FamiliesUsed,
        ending: &AttemptEnd,
    ) {
        match ending {
            &AttemptEnd::Connected(ends) => {
                self.network_works();
                self.connected(context, families_used, ends);
            }
            AttemptEnd::ConnectedUnknownPeer => {
                self.network_works();
                self.connected_unknown_peer(context, families_used);
            }
            failed => {
                if let Some(resolution) = failed.note(context)
                    && let Some((failure, after_tcp)) = failed.clone().failure()
                {
                    self.failed(&resolution, families_used, &failure, after_tcp);
                }
            }
        }
    }

    /// Returns the outcome of a connect, and distinguishes the two meanings of EADDRNOTAVAIL.
    ///
    /// | if | the error means | outcome |
    /// |---|---|---|
    /// | this machine has a source address for every address of the connect | the local ports to one of them are used up | [`Outcome::LocalError`] |
    /// | an address has no source address, as IPv6 without an IPv6 address of this machine | there is no route | [`Outcome::NoRoute`] |
    pub(crate) fn refine_no_route(
        &self,
        context: &AttemptContext,
        outcome: Outcome,
        error: &(dyn StdError + 'static),
    ) -> Outcome {
        if outcome != Outcome::NoRoute || !classify::is_addr_not_available(error) {
            return outcome;
        }
        let has_source = |addr| route::source_of(addr).is_some();
        let have_sources = |resolution: Resolution| {
            attribution::every_address(resolution.addrs.as_slice()).all(has_source)
        };
        match context.single().is_some_and(have_sources) {
            true => Outcome::LocalError,
            false => outcome,
        }
    }

    fn connected(&self, context: &AttemptContext, families_used: FamiliesUsed, ends: ConnectionId) {
        let winner = ends.remote.ip();
        let now = time::now();
        let Some(resolution) = context.containing(winner) else {
            return;
        };
        self.context_loss.resolved_inside();
        let selected = resolution.addrs.as_slice();
        let losers: SmallVec<[IpAddr; 4]> =
            attribution::failed_before_winner(selected, winner).collect();
        for &loser in &losers {
            self.hold_against(&resolution, loser, &Failure::unseen(Outcome::Failed));
        }
        let late = now >= resolution.resolved_at + attribution::HEAD_START;
        let overtaken: SmallVec<[_; 4]> =
            attribution::slower_than_winner(selected, winner, late, families_used).collect();
        let is_second = late && !overtaken.is_empty();
        let head_start = if is_second {
            attribution::HEAD_START
        } else {
            Duration::ZERO
        };
        let began = resolution.resolved_at + head_start;
        let took = now.saturating_duration_since(began);
        let (port, peer) = (ends.remote.port(), ends.addr());
        let is_remembered = self.config.last_resort && resolution.source.is_of_lookup();
        let connect = SuccessfulConnect {
            addr: peer,
            port,
            began,
            took,
            is_remembered,
        };
        let (host, resolved_at) = (&resolution.host, resolution.resolved_at);
        let change = self.health.connected(host, &connect, resolved_at, now);
        self.tell_recovered(host, peer, change);
        self.health.probe_doubted(host, now);
        for (loser, why) in overtaken {
            match why {
                Outcome::Slow if late => self.beaten(&resolution, loser, now),
                _ => self.hold_against(&resolution, loser, &Failure::softly(why)),
            }
        }
        self.made(resolution, peer, losers, Some(ends));
    }

    /// Records a connection whose peer the connector does not name.
    ///
    /// If the connection dies before a response, its most likely peer is the first address of the list.
    ///
    /// hyper-util's connector names every peer, except a peer that is already gone. A connector that has never named
    /// a peer is of another kind, and its connection works. If the connect had only one address, that address works,
    /// too.
    fn connected_unknown_peer(&self, context: &AttemptContext, families_used: FamiliesUsed) {
        let Some(resolution) = context.single() else {
            return;
        };
        let (head, is_alone) = {
            let mut selected = attribution::every_address(resolution.addrs.as_slice());
            (selected.next(), selected.next().is_none())
        };
        if let Some(head) = head {
            if is_alone && !families_used.is_any() {
                self.record_success(&resolution.host, head, resolution.resolved_at, time::now());
            }
            self.made(resolution, head, SmallVec::new(), None);
        }
    }

    /// Records a new connection to `peer`, which the connector attempted after `losers`.
    fn made(
        &self,
        resolution: Resolution,
        peer: IpAddr,
        losers: SmallVec<[IpAddr; 4]>,
        ends: Option<ConnectionId>,
    ) {
        let mut attempted = losers;
        attempted.push(peer);
        let made = NewConnection {
            host: resolution.host,
            generation: resolution.generation,
            peer,
            ends,
            attempted,
            at: time::now(),
            died: None,
        };
        RequestConnection::note(&made);
        self.new_connections.note(made);
    }

    fn failed(
        &self,
        resolution: &Resolution,
        families_used: FamiliesUsed,
        failure: &Failure,
        after_tcp: bool,
    ) {
        let selected = resolution.addrs.as_slice();
        match failure.why.severity() {
            Severity::None => {}
            Severity::Family => self.no_route(resolution),
            Severity::Soft if failure.why == Outcome::Slow => {
                for addr in dialled(selected, families_used, failure.why, after_tcp) {
                    self.slow(resolution, addr);
                }
            }
            Severity::Soft | Severity::Hard => {
                for addr in dialled(selected, families_used, failure.why, after_tcp) {
                    let certain = match after_tcp {
                        true => !attribution::has_two_families(selected),
                        false => attribution::is_certain(selected, addr, families_used),
                    };
                    let soft = failure.soft || !certain;
                    let failure = failure.clone();
                    self.hold_against(resolution, addr, &Failure { soft, ..failure });
                }
            }
        }
    }

    /// Records that a connect found no route.
    ///
    /// If the connect was given one family, that family has no route. If the connect was given both families, both
    /// have failed, and the error is about one of them. All addresses may then be gone, so the host is looked up
    /// again. Each address gets a soft strike, because its failure is not certain.
    fn no_route(&self, resolution: &Resolution) {
        let selected = resolution.addrs.as_slice();
        if attribution::has_two_families(selected) {
            let failure = Failure::softly(Outcome::Failed);
            return attribution::every_address(selected)
                .for_each(|addr| self.hold_against(resolution, addr, &failure));
        }
        if let Some(first) = attribution::every_address(selected).next() {
            self.family_has_no_route(Family::of(first));
            self.cache
                .look_up_missing_family(&resolution.host, resolution.generation);
        }
    }

    fn family_has_no_route(&self, family: Family) {
        let penalty = self.health.no_route(family, time::now());
        self.emit(&Event::NoRoute { family, penalty });
    }

    pub(super) fn hold_against(&self, resolution: &Resolution, addr: IpAddr, failure: &Failure) {
        let is_news = self.penalize(&resolution.host, addr, failure, resolution.resolved_at);
        self.cache
            .suspect(&resolution.host, resolution.generation, is_news);
    }

    /// Records an outcome that the program reports, for the current answer of a host.
    pub(super) fn report_by_hand(&self, host: &Host, addr: IpAddr, outcome: Outcome) {
        self.report(host, addr, &Failure::unseen(outcome));
    }

    pub(super) fn report(&self, host: &Host, addr: IpAddr, report: &Failure) {
        let now = time::now();
        let Some(known) = self.cache.current(host, now) else {
            return;
        };
        if !known.addrs.contains(addr) {
            return;
        }
        let generation = known.generation;
        match report.why.severity() {
            Severity::None if report.why == Outcome::Connected => {
                self.network_works();
                self.health.family_connects(addr);
                self.record_success(host, addr, now, now);
            }
            Severity::None => {}
            Severity::Family => self.family_has_no_route(Family::of(addr)),
            Severity::Soft | Severity::Hard => {
                let is_news = self.penalize(host, addr, report, now);
                self.cache.suspect(host, generation, is_news);
            }
        }
    }

    /// Records the end of a probe.
    ///
    /// If the outcome says nothing about the address, the address stays as it is until the next trial.
    pub(super) fn probed(&self, host: &Host, addr: IpAddr, probed: &Failure, began: Instant) {
        match probed.why.severity() {
            Severity::None if probed.why == Outcome::Connected => {
                self.network_works();
                let change = self.health.accepts(host, addr, began, time::now());
                self.tell_recovered(host, addr, change);
            }
            Severity::None | Severity::Family => {}
            Severity::Soft | Severity::Hard => {
                self.penalize(host, addr, probed, began);
            }
        }
    }

    /// Records a failure of an address, and returns whether the address has changed its place in the order.
    pub(super) fn penalize(
        &self,
        host: &Host,
        addr: IpAddr,
        failure: &Failure,
        began: Instant,
    ) -> bool {
        let health = &self.health;
        match health.record_failure(host, addr, failure, began, time::now()) {
            Effect::None => false,
            Effect::NetworkDown => {
                self.emit(&Event::NetworkDown);
                false
            }
            Effect::Struck { penalty, hard } => {
                self.emit(&Event::AddressFailed {
                    host: host.as_str(),
                    addr,
                    outcome: failure.why,
                    error: failure.error.as_deref(),
                    penalty,
                    hard,
                });
                true
            }
        }
    }

    /// Records that a connect or a probe has succeeded, so that the local network is up.
    fn network_works(&self) {
        if self.health.network_works() {
            self.emit(&Event::NetworkUp);
        }
    }

    fn record_success(&self, host: &Host, addr: IpAddr, began: Instant, now: Instant) {
        let change = self.health.record_success(host, addr, began, now);
        self.tell_recovered(host, addr, change);
    }

    fn tell_recovered(&self, host: &Host, addr: IpAddr, change: Transition) {
        if change == Transition::Recovered {
            self.cache.recovered(host);
            self.emit(&Event::AddressRecovered {
                host: host.as_str(),
                addr,
            });
        }
    }

    /// Warns once if the attempt context of a connect was lost, and once if many connects have resolved no name.
    pub(crate) fn warn_if_context_lost(&self, queries_before: u64, winner: IpAddr) {
        if let Some(event) = self.context_loss.found_empty(queries_before, winner) {
            self.emit(&event);
        }
    }
}

/// Returns the addresses that a failed connect has attempted, as far as its outcome shows.
pub(super) fn dialled(
    selected: &[IpAddr],
    families_used: FamiliesUsed,
    why: Outcome,
    after_tcp: bool,
) -> Vec<IpAddr> {
    match why.severity() {
        Severity::None => Vec::new(),
        Severity::Family | Severity::Soft | Severity::Hard if after_tcp => {
            attribution::first_candidate(selected, families_used)
                .into_iter()
                .collect()
        }
        Severity::Family | Severity::Soft | Severity::Hard => {
            attribution::every_address(selected).collect()
        }
    }
}
