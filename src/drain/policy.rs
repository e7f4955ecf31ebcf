//! Rule: when an open connection takes no new requests.

use std::fmt;
use std::time::{Duration, Instant};

/// The reason why a connection takes no new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrainReason {
    /// The address of the connection has failed for certain, and a healthy address is left.
    Penalized,
    /// DNS has not named the address of the connection for longer than the grace period.
    RemovedFromDns,
    /// The connection is older than the maximum connection age.
    MaxAge,
}

/// Describes the reason, to be read after "connection drained:".
impl fmt::Display for DrainReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Penalized => "the address has a penalty",
            Self::RemovedFromDns => "the address has left DNS",
            Self::MaxAge => "the connection has reached its maximum age",
        })
    }
}

/// The time limits of connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How long a connection takes requests after its address has left DNS.
    pub(crate) grace: Duration,
    /// How old a connection may become, before the random variation.
    pub(crate) age: Option<Duration>,
    /// How long a connection may have no new request. After that time the pool has closed it.
    pub(crate) idle: Duration,
}

/// The status of the address of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressStatus {
    /// Whether a fresh answer names the address; `None` if there is no fresh answer.
    pub(crate) listed: Option<bool>,
    /// Whether the address has failed for certain, or a connection to it went silent.
    pub(crate) penalized: bool,
    /// Whether the host has a healthy address to connect to.
    pub(crate) has_alternative: bool,
}

impl AddressStatus {
    /// The status of an address that the resolver knows nothing about.
    pub(crate) const UNKNOWN: Self = Self {
        listed: None,
        penalized: false,
        has_alternative: true,
    };
}

/// The age of one connection, its last use, and when its address left DNS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionAge {
    aged_at: Option<Instant>,
    used_at: Instant,
    listing: Listing,
}

/// Whether DNS names the address of a connection.
///
/// An address that DNS never named does not belong to the host, as a proxy's. Such an address cannot leave DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    Never,
    Listed,
    GoneSince(Instant),
}

impl ConnectionAge {
    /// Returns the age of a connection that was made at `born` or not much later.
    pub(crate) fn new(limits: &Limits, born: Instant, rng: &mut fastrand::Rng) -> Self {
        Self {
            aged_at: limits.age.map(|age| born + jittered(age, rng)),
            used_at: born,
            listing: Listing::Never,
        }
    }

    /// Records that a request went out on the connection.
    pub(crate) fn used(&mut self, now: Instant) {
        self.used_at = now;
    }

    /// Decides whether the connection is drained. A working connection is kept while no healthy address is left.
    #[must_use]
    pub(crate) fn drain_reason(
        &mut self,
        stand: AddressStatus,
        limits: &Limits,
        now: Instant,
    ) -> Option<DrainReason> {
        self.listing = self.listing.result(stand.listed, now);
        let aged = self.aged_at.is_some_and(|at| at <= now);
        let gone = stand.listed.is_some() && self.gone_at(limits).is_some_and(|at| at <= now);
        match () {
            () if !stand.has_alternative => None,
            () if stand.penalized => Some(DrainReason::Penalized),
            () if gone => Some(DrainReason::RemovedFromDns),
            () if aged => Some(DrainReason::MaxAge),
            () => None,
        }
    }

    /// Returns whether the pool has closed the connection because it had no requests.
    pub(crate) fn is_idle(&self, limits: &Limits, now: Instant) -> bool {
        self.used_at + limits.idle <= now
    }

    /// Returns whether the connection had no request since `then`.
    pub(crate) fn rests_since(&self, then: Instant) -> bool {
        self.used_at < then
    }

    /// Returns when time alone may change the decision.
    pub(crate) fn due(&self, limits: &Limits) -> Instant {
        let idle = self.used_at + limits.idle;
        let others = [self.aged_at, self.gone_at(limits)];
        others.into_iter().flatten().fold(idle, Instant::min)
    }

    /// Returns whether DNS has ever named the address of the connection.
    pub(crate) fn is_of_dns(&self) -> bool {
        self.listing != Listing::Never
    }

    fn gone_at(&self, limits: &Limits) -> Option<Instant> {
        match self.listing {
            Listing::GoneSince(since) => Some(since + limits.grace),
            Listing::Never | Listing::Listed => None,
        }
    }
}

impl Listing {
    fn result(self, listed: Option<bool>, now: Instant) -> Self {
        match (self, listed) {
            (_, Some(true)) => Self::Listed,
            (Self::Listed, Some(false)) => Self::GoneSince(now),
            (same, Some(false) | None) => same,
        }
    }
}

/// Returns an age that is at most 10 % longer or shorter.
///
/// Connections that were made together then do not end together (gRPC's proposal A9 spreads its maximum connection age
/// in the same way).
fn jittered(age: Duration, rng: &mut fastrand::Rng) -> Duration {
    age.mul_f64(0.9 + 0.2 * rng.f64())
}

#[cfg(test)]
mod tests;
