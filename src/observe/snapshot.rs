//! Plain numbers to look at.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Counters, Source};
use crate::Outcome;

/// What a resolver knows at one moment; made by [`Resolver::snapshot`](crate::Resolver::snapshot).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// One view per host, by name.
    pub hosts: Vec<HostView>,
    /// Lookups sent.
    pub lookups: u64,
    /// Lookups that brought no addresses.
    pub failed_lookups: u64,
    /// Times that a host's own fallbacks were taken for an answer.
    pub fell_back: u64,
    /// Times that an answer past its life was served.
    pub served_stale: u64,
    /// Times that an answer was marked suspect.
    pub invalidations: u64,
    /// Times that an address was put behind the others.
    pub failed_addresses: u64,
    /// Times that such an address served again.
    pub recovered_addresses: u64,
    /// Times that one caller was told to try an address whose penalty was over.
    pub trials: u64,
    /// Times that a probe found out whether an address connects.
    pub probes: u64,
    /// Times that the filter refused an address.
    pub refused_addresses: u64,
    /// Times that a pooled connection was told to take no new requests.
    pub retired_connections: u64,
    /// Times that a family went second as a whole, because it was slow while the other one connected.
    pub dark_families: u64,
}

/// One host of a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostView {
    /// The host, in lower case; a pinned suffix with its dot.
    pub host: String,
    /// Its addresses and what is held against them. Empty when only a failure is known.
    pub addrs: Vec<AddressView>,
    /// Where they came from. `None` when only a failure is known.
    pub source: Option<Source>,
    /// How long ago the answer had been asked for.
    pub age: Option<Duration>,
    /// For how long the answer is good; zero when it is stale.
    pub life_left: Option<Duration>,
    /// Whether a connect failed on the answer, or it was invalidated by hand, and no fresh one
    /// has come yet.
    pub suspect: bool,
}

/// One address of a [`HostView`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressView {
    /// The address.
    pub addr: IpAddr,
    /// Where it stands.
    pub standing: Standing,
    /// For how long it has been bad, from its first failure in a row on; of a healthy one, how long
    /// ago it recovered. `None` when nothing was ever held against it.
    pub since: Option<Duration>,
    /// For how long it still goes behind the healthy ones by a penalty; `None` when none is running.
    /// One that is over leaves it [recovering](Standing::Recovering) until somebody has tried it.
    pub until: Option<Duration>,
    /// How the dial failed that it was last put behind the others for, if it ever was.
    pub why: Option<Outcome>,
    /// What the error of that dial said and the causes behind it, cut short; `None` where no error
    /// was seen.
    pub error: Option<String>,
    /// Failures in a row.
    pub strikes: u32,
}

/// One address of a connect that failed; see [`ConnectError`](crate::ConnectError).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The address.
    pub addr: IpAddr,
    /// How its last dial failed. `None`: it was not dialled, as far as can be told.
    ///
    /// A connector gives one error for all that it has dialled: a failure in TCP, which comes when
    /// every address has failed, is told of each with the outcome of the last; one after TCP was up,
    /// or the end of a connect that was still pending, of the first address.
    pub outcome: Option<Outcome>,
    /// How long ago that was, where an earlier connect found it out and it is still held against the
    /// address. `None`: it was this connect.
    pub ago: Option<Duration>,
}

/// Where an address stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// Nothing is held against it.
    Healthy,
    /// It goes after the healthy ones: after a first soft strike, while a probe finds out whether it is slow, or when
    /// its penalty is over and no request has tried it yet.
    Recovering,
    /// It goes last for so long.
    Penalised(Duration),
}

impl Snapshot {
    pub(crate) fn of(counters: &Counters, hosts: Vec<HostView>) -> Self {
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
            fell_back: read(fell_back),
            served_stale: read(served_stale),
            invalidations: read(invalidations),
            failed_addresses: read(failed_addresses),
            recovered_addresses: read(recovered_addresses),
            trials: read(trials),
            probes: read(probes),
            refused_addresses: read(refused_addresses),
            retired_connections: read(retired_connections),
            dark_families: read(dark_families),
        }
    }

    /// Returns the view of one host, in whatever spelling.
    #[must_use]
    pub fn host(&self, host: &str) -> Option<&HostView> {
        let of = |host: &str| {
            self.hosts
                .iter()
                .find(|view| view.host.eq_ignore_ascii_case(host))
        };
        of(host).or_else(|| of(host.strip_suffix('.')?))
    }
}

impl HostView {
    /// Returns the view of one address.
    #[must_use]
    pub fn addr(&self, addr: IpAddr) -> Option<&AddressView> {
        self.addrs.iter().find(|view| view.addr == addr)
    }
}
