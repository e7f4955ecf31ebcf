//! Health of the addresses of each host, and of the two families.
//!
//! | an address is | from | until |
//! |---|---|---|
//! | healthy | a connect that succeeds | a strike |
//! | penalized | a hard strike, or a second soft one | the end of the penalty, or a connect that succeeds |
//! | on probation | the first soft strike, or the end of a penalty | a connect; if the connect fails, the penalty is twice as long |
//! | in doubt | a race that was lost by a whole delay, or a slow second lane | a probe, a connect, or the end of the doubt |
//!
//! A penalty also ends in these cases:
//!
//! - A probe connects, and the failure was in TCP; see [`record::AddressRecord::accept`].
//! - The program reports a connect that succeeded.
//! - The local network turns out to be down since before the failure, the program calls `clear` or reports another
//!   network, or the record makes room for another host.
//!
//! A penalty for a connection that died early or went silent, or for a server that cannot serve, does not end with a connect that
//! succeeds, because such an address fails after it accepts connections.

pub(crate) mod classify;
mod connects;
mod host_records;
mod last;
mod latency;
mod network;
mod outage;
pub(crate) mod outcome;
mod probe;
pub(crate) mod record;
mod slow;
mod store;
mod times;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use self::connects::RecentConnects;
pub(crate) use self::connects::SuccessfulConnect;
pub(crate) use self::host_records::HostRecords;
pub(crate) use self::last::Left;
use self::network::Network;
use self::outage::Verdict;
pub use self::outcome::Outcome;
use self::probe::Probes;
pub(crate) use self::probe::{OnProbe, Probe, ProbeConnect};
use self::record::{Failure, Rank, Transition};
use self::store::{HealthStore, Trial};
use crate::addrs::Family;
use crate::host::Host;

/// What is known of addresses, of connects and of the local network. Its methods alone change that state.
///
/// A method that records something returns what has changed, and the caller emits the events.
pub(crate) struct Health {
    records: HealthStore,
    connects: RecentConnects,
    network: Network,
    /// `None` if the program has turned probes off.
    probes: Option<Probes>,
    slow_connect_after: Option<Duration>,
}

/// The settings of [`Health`].
pub(crate) struct HealthConfig {
    /// Number of hosts to keep.
    pub(crate) capacity: usize,
    pub(crate) background_probe: bool,
    /// If `None`, a probe connects by a TCP socket.
    pub(crate) probe_connect: Option<Arc<ProbeConnect>>,
    /// If `None`, the recent connects to the host decide.
    pub(crate) slow_connect_after: Option<Duration>,
}

/// What a failed attempt has changed.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    None,
    /// The failure shows that the local network is down, and counts against no address.
    NetworkDown,
    /// The address is ordered behind the others for the time of the penalty, or, if the strike is not hard, only behind
    /// the healthy ones.
    Struck {
        penalty: Duration,
        hard: bool,
    },
}

impl Health {
    pub(crate) fn new(config: &HealthConfig, on_probe: Arc<OnProbe>, now: Instant) -> Self {
        Self {
            records: HealthStore::new(config.capacity, now),
            connects: RecentConnects::new(config.capacity, now),
            network: Network::default(),
            probes: config
                .background_probe
                .then(|| Probes::new(on_probe, config.probe_connect.clone())),
            slow_connect_after: config.slow_connect_after,
        }
    }

    /// Records a failed attempt at one address, which began at `began`.
    ///
    /// While many unrelated hosts fail together, the local network is down, and no failure counts against an address.
    pub(crate) fn record_failure(
        &self,
        host: &Host,
        addr: IpAddr,
        failure: &Failure,
        began: Instant,
        now: Instant,
    ) -> Effect {
        if self.was_elsewhere(began) {
            return Effect::None;
        }
        // A connection that was made and failed later shows that the network is up.
        if !failure.why.is_after_connect() {
            match self.network.record_failure(host, addr, now) {
                Verdict::Normal => {}
                Verdict::Down => return Effect::None,
                Verdict::Began(since) => {
                    self.records.clear_since(since);
                    return Effect::NetworkDown;
                }
            }
        }
        let (records, rng) = (&self.records, &fastrand::Rng::new());
        match records.record_failure(host, addr, failure, began, now, rng) {
            Transition::Suspected(penalty) => Effect::Struck {
                penalty,
                hard: false,
            },
            Transition::Penalized(penalty) => Effect::Struck {
                penalty,
                hard: true,
            },
            Transition::None | Transition::Recovered => Effect::None,
        }
    }

    /// Records that a connect or a probe has succeeded, and returns whether that ends an outage of the local network.
    #[must_use]
    pub(crate) fn network_works(&self) -> bool {
        self.network.record_success()
    }

    /// Records a connect to a host: how long it took, and that its address and the family connect.
    ///
    /// `resolved_at` is when the connect was given its addresses.
    pub(crate) fn connected(
        &self,
        host: &Host,
        connect: &SuccessfulConnect,
        resolved_at: Instant,
        now: Instant,
    ) -> Transition {
        self.connects.connected(host, connect);
        self.family_connects(connect.addr);
        self.record_success(host, connect.addr, resolved_at, now)
    }

    /// Records a successful attempt at one address, which began at `began`.
    pub(crate) fn record_success(
        &self,
        host: &Host,
        addr: IpAddr,
        began: Instant,
        now: Instant,
    ) -> Transition {
        self.records.record_success(host, addr, began, now)
    }

    /// Records a probe that began at `began` and has connected to an address.
    pub(crate) fn accepts(
        &self,
        host: &Host,
        addr: IpAddr,
        began: Instant,
        now: Instant,
    ) -> Transition {
        self.family_connects(addr);
        self.records.accepts(host, addr, began, now)
    }

    /// Records that the family of an address connects, so that the family no longer goes second.
    pub(crate) fn family_connects(&self, addr: IpAddr) {
        self.records.family_connects(Family::of(addr));
    }

    /// Records that this machine has no route for a family, and returns how long the family goes second.
    pub(crate) fn no_route(&self, family: Family, now: Instant) -> Duration {
        self.records.no_route(family, now)
    }

    /// Records that a connect to an address hangs although a probe has connected to the address.
    pub(crate) fn withdraw_probe(&self, host: &Host, addr: IpAddr) {
        self.records.withdraw_probe(host, addr);
    }

    /// Puts an address in doubt until a probe has decided, and starts the probe.
    pub(crate) fn doubt(&self, host: &Host, addr: IpAddr, now: Instant) {
        if self.records.doubt(host, addr, self.probes.is_some(), now) {
            self.probe_doubted(host, now);
        }
    }

    /// Starts the probes of a host's addresses in doubt.
    ///
    /// If no port of the host is known, no probe starts. A connect records the port before it calls this method, so
    /// that no doubt is missed.
    pub(crate) fn probe_doubted(&self, host: &Host, now: Instant) {
        if self.records.has_records(host) {
            self.probe_each(host, || self.records.take_probes(host, now));
        }
    }

    /// Probes those of the addresses that are penalized, before their penalties end.
    ///
    /// A connect is slow, or no healthy address is left. A long penalty only says that its address has failed often, and
    /// the next connect needs to know which address connects now.
    pub(crate) fn probe_penalized(&self, host: &Host, addrs: &[IpAddr], now: Instant) {
        self.probe_each(host, || self.records.take_early_probes(host, addrs, now));
    }

    /// Probes the addresses that `take` returns. Without a known port or a runtime, `take` is not called.
    fn probe_each(&self, host: &Host, take: impl FnOnce() -> Vec<IpAddr>) {
        if let Some(probes) = &self.probes
            && Handle::try_current().is_ok()
            && let Some(port) = self.connects.port(host)
        {
            for addr in take() {
                probes.start(host, SocketAddr::new(addr, port));
            }
        }
    }

    /// Starts the trial of one of the addresses whose penalty is over, if a trial is due.
    ///
    /// A probe tries the address if possible. Otherwise the caller tries the address that the method returns.
    #[inline]
    pub(crate) fn take_trial(&self, host: &Host, addrs: &[IpAddr], now: Instant) -> Option<IpAddr> {
        match self.has_no_records() {
            true => None,
            false => self.take_due_trial(host, addrs, now),
        }
    }

    fn take_due_trial(&self, host: &Host, addrs: &[IpAddr], now: Instant) -> Option<IpAddr> {
        let port = self.probes.as_ref().and_then(|_| self.connects.port(host));
        let may_be_retry = || self.connects.has_just_given_up(host, now);
        let records = &self.records;
        let Trial { addr, port } = records.take_trial(host, addrs, port, may_be_retry, now)?;
        let is_probed = port
            .zip(self.probes.as_ref())
            .is_some_and(|(port, probes)| probes.start(host, SocketAddr::new(addr, port)));
        (!is_probed).then_some(addr)
    }

    /// Returns whether no host has a record. This case is by far the most common and the cheapest.
    #[inline]
    pub(crate) fn has_no_records(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns whether a host has records.
    pub(crate) fn has_records(&self, host: &Host) -> bool {
        self.records.has_records(host)
    }

    /// Returns the hosts that have records.
    pub(crate) fn hosts(&self) -> Vec<Host> {
        self.records.hosts()
    }

    /// Calls `look` with the records of a host.
    #[inline]
    pub(crate) fn read<T>(
        &self,
        host: &str,
        now: Instant,
        look: impl FnOnce(HostRecords<'_>) -> T,
    ) -> T {
        self.records
            .read(host, now, |records| look(HostRecords { records, now }))
    }

    /// Returns the best rank among the addresses of a host, or `None` if there is no address.
    pub(crate) fn best_rank(&self, host: &Host, addrs: &[IpAddr], now: Instant) -> Option<Rank> {
        self.read(host.as_str(), now, |records| {
            addrs.iter().map(|&addr| records.rank(addr)).min()
        })
    }

    /// Returns whether one of the addresses of a host is healthy.
    pub(crate) fn has_healthy(&self, host: &Host, addrs: &[IpAddr], now: Instant) -> bool {
        let best = self.best_rank(host, addrs, now);
        best.is_some_and(|rank| rank <= Rank::Healthy)
    }

    /// Returns the family to connect to first: `wanted`, unless only that family has no route or is dark.
    #[inline]
    pub(crate) fn preferred_family(&self, wanted: Family, now: Instant) -> Family {
        self.records.preferred_family(wanted, now)
    }

    /// Returns whether a family goes second, because it has no route or is dark.
    pub(crate) fn is_second(&self, family: Family, now: Instant) -> bool {
        self.records.is_second(family, now)
    }

    /// Returns the addresses that a connect to a host may use as last resort, in order of their rank.
    ///
    /// The addresses connected within the last 60 s and have left the answer, which `is_listed` knows. They have no
    /// penalty, and `may_pass` accepts them. Addresses of the same rank are in random order. Callers that connect at
    /// the same time then attempt different addresses, so that few of them wait for an address that fails.
    pub(crate) fn left(
        &self,
        host: &Host,
        is_listed: impl Fn(IpAddr) -> bool,
        may_pass: impl Fn(IpAddr) -> bool,
        now: Instant,
    ) -> Left {
        let mut left = self.connects.left(host, is_listed, now);
        left.retain(|addr| may_pass(*addr));
        self.read(host.as_str(), now, |records| {
            left.retain(|addr| records.rank(*addr) <= Rank::Probation);
            fastrand::shuffle(&mut left);
            left.sort_by_key(|addr| records.rank(*addr));
        });
        left
    }

    /// Forgets which addresses of a host have connected, so that none serves as last resort.
    pub(crate) fn forget_left(&self, host: &Host, now: Instant) {
        self.connects.forget_addrs(host, now);
    }

    /// Forgets all hosts. What began before counts as begun on another network.
    pub(crate) fn clear(&self, now: Instant) {
        self.network.changed(now);
        self.records.clear();
        self.connects.clear(now);
    }

    /// Returns whether a lookup or an attempt that began at `began` began on another network.
    pub(crate) fn was_elsewhere(&self, began: Instant) -> bool {
        self.network.was_elsewhere(began)
    }
}
