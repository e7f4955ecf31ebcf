//! The state of a resolver as plain data.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{AnswerSource, Counters};
use crate::Outcome;

/// The state of a resolver at one moment, from [`Resolver::snapshot`](crate::Resolver::snapshot).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The hosts, sorted by name.
    pub hosts: Vec<HostSnapshot>,
    /// Number of lookups.
    pub lookups: u64,
    /// Number of lookups that returned no addresses.
    pub failed_lookups: u64,
    /// Number of failed or slow lookups after which the fallbacks of the host were served.
    pub served_fallbacks: u64,
    /// Number of times that a stale answer was served.
    pub served_stale: u64,
    /// Number of times that an answer became suspect.
    pub invalidations: u64,
    /// Number of times that an address was ordered behind the others, because it had failed.
    pub failed_addresses: u64,
    /// Number of times that such an address recovered.
    pub recovered_addresses: u64,
    /// Number of trials, in which one request tries an address whose penalty is over.
    pub trials: u64,
    /// Number of probes.
    pub probes: u64,
    /// Number of times that the filter refused an address.
    pub refused_addresses: u64,
    /// Number of pooled connections that took no more requests, because they were drained.
    pub drained_connections: u64,
    /// Number of times that a family went second because it was slow while the other family connected.
    pub dark_families: u64,
}

/// One host of a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostSnapshot {
    /// The host in lower case, or an override's suffix with its leading dot.
    pub host: String,
    /// The addresses of the host and their states. Empty if the host has no answer.
    pub addrs: Vec<AddressSnapshot>,
    /// The source of the addresses. `None` if the host has no answer.
    pub source: Option<AnswerSource>,
    /// How long ago the lookup of the answer was sent; zero for overrides and fallbacks.
    pub age: Option<Duration>,
    /// How long the answer stays fresh; zero if the answer is stale, and for overrides and fallbacks.
    pub life_left: Option<Duration>,
    /// Whether the answer is suspect: a connect to one of its addresses failed, or the program invalidated the answer,
    /// and no newer answer has come.
    pub suspect: bool,
}

/// One address of a [`HostSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressSnapshot {
    /// The address.
    pub addr: IpAddr,
    /// The state of the address.
    pub state: AddressState,
    /// Time since the first failure in a row; for a healthy address, time since the address recovered.
    ///
    /// `None` if the resolver has no failure of the address on record.
    pub since: Option<Duration>,
    /// Time until the penalty or the doubt of the address ends; `None` if neither runs.
    ///
    /// After the penalty the address is in [probation](AddressState::Probation) until a connect has tried the address.
    pub until: Option<Duration>,
    /// The outcome that caused the last penalty; `None` if the resolver has no failure of the address on record.
    pub why: Option<Outcome>,
    /// The text of that failure's error and its causes, truncated; `None` if no error was seen.
    pub error: Option<String>,
    /// Number of strikes in a row.
    pub strikes: u32,
}

/// One address of a connect that failed; see [`ConnectError`](crate::ConnectError).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptReport {
    /// The address.
    pub addr: IpAddr,
    /// The outcome of the last attempt, or `None` if the connector is not known to have attempted the address.
    ///
    /// A connector returns one error for all its attempts. If TCP failed, every address has failed, and each address
    /// gets the outcome of the last attempt. If the connect failed after TCP, or ended while it was pending, only the
    /// first address gets the outcome.
    pub outcome: Option<Outcome>,
    /// How long ago the attempt failed, if it was in an earlier connect and the address has not recovered since.
    ///
    /// `None` if the attempt was in this connect.
    pub ago: Option<Duration>,
}

/// The state of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressState {
    /// No failure counts against the address.
    Healthy,
    /// The address is ordered behind the healthy addresses.
    ///
    /// An address is in this state after a first soft strike, while a probe decides whether the address is slow, and
    /// after a penalty until a connect has tried the address.
    Probation,
    /// The address is ordered last, until [`AddressSnapshot::until`].
    Penalized,
}

impl Snapshot {
    pub(crate) fn of(counters: &Counters, hosts: Vec<HostSnapshot>) -> Self {
        let Counters {
            lookups,
            failed_lookups,
            fell_back,
            served_stale,
            invalidations,
            failed_addresses,
            recovered_addresses,
            trials,
            probes,
            refused_addresses,
            retired_connections,
            dark_families,
        } = counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Self {
            hosts,
            lookups: read(lookups),
            failed_lookups: read(failed_lookups),
            served_fallbacks: read(fell_back),
            served_stale: read(served_stale),
            invalidations: read(invalidations),
            failed_addresses: read(failed_addresses),
            recovered_addresses: read(recovered_addresses),
            trials: read(trials),
            probes: read(probes),
            refused_addresses: read(refused_addresses),
            drained_connections: read(retired_connections),
            dark_families: read(dark_families),
        }
    }

    /// Returns the snapshot of a host, in any spelling of its name.
    #[must_use]
    pub fn host(&self, host: &str) -> Option<&HostSnapshot> {
        let of = |host: &str| {
            self.hosts
                .iter()
                .find(|view| view.host.eq_ignore_ascii_case(host))
        };
        of(host).or_else(|| of(host.strip_suffix('.')?))
    }
}

impl HostSnapshot {
    /// Returns the snapshot of an address.
    #[must_use]
    pub fn addr(&self, addr: IpAddr) -> Option<&AddressSnapshot> {
        self.addrs.iter().find(|view| view.addr == addr)
    }
}
