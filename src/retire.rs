//! Rule: when a connection that is up takes no new requests any more.

use std::fmt;
use std::time::{Duration, Instant};

/// Why a connection takes no new requests any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retirement {
    /// Its address has failed for certain, and a healthy one is left.
    Penalised,
    /// DNS has not named its address for longer than the grace period.
    Departed,
    /// It is older than a connection may be.
    Aged,
}

/// As in "retired, for its address is penalised".
impl fmt::Display for Retirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Penalised => "its address is penalised",
            Self::Departed => "its address has left DNS",
            Self::Aged => "it is old",
        })
    }
}

/// How long connections may be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// After its address has left DNS.
    pub(crate) grace: Duration,
    /// In all, about.
    pub(crate) age: Option<Duration>,
    /// Without a new request: then the pool has closed it.
    pub(crate) idle: Duration,
}

/// How the address of a connection stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stand {
    /// Whether a good answer names it; `None` while there is no good answer.
    pub(crate) listed: Option<bool>,
    /// Whether it goes last for certain failures.
    pub(crate) penalised: bool,
    /// Whether there is somebody better to dial.
    pub(crate) others: bool,
}

impl Stand {
    /// Of an address that the resolver knows nothing about.
    pub(crate) const UNKNOWN: Self = Self {
        listed: None,
        penalised: false,
        others: true,
    };
}

/// The time of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tenure {
    aged_at: Option<Instant>,
    used_at: Instant,
    listing: Listing,
}

/// Whether DNS names the address of a connection. One that it never named is none of the host's, as
/// a proxy's is: it cannot leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    Never,
    Listed,
    GoneSince(Instant),
}

impl Tenure {
    /// Of a connection that was dialled at `born`, or not much later.
    pub(crate) fn new(limits: &Limits, born: Instant, rng: &mut fastrand::Rng) -> Self {
        Self {
            aged_at: limits.age.map(|age| born + jittered(age, rng)),
            used_at: born,
            listing: Listing::Never,
        }
    }

    /// A request has gone out on it.
    pub(crate) fn used(&mut self, now: Instant) {
        self.used_at = now;
    }

    /// Decides whether it is to be retired. What works is kept while there is nobody better to dial.
    #[must_use]
    pub(crate) fn judge(
        &mut self,
        stand: Stand,
        limits: &Limits,
        now: Instant,
    ) -> Option<Retirement> {
        self.listing = self.listing.told(stand.listed, now);
        let aged = self.aged_at.is_some_and(|at| at <= now);
        let gone = stand.listed.is_some() && self.gone_at(limits).is_some_and(|at| at <= now);
        match () {
            () if !stand.others => None,
            () if stand.penalised => Some(Retirement::Penalised),
            () if gone => Some(Retirement::Departed),
            () if aged => Some(Retirement::Aged),
            () => None,
        }
    }

    /// Whether the pool has closed it for want of requests.
    pub(crate) fn is_idle(&self, limits: &Limits, now: Instant) -> bool {
        self.used_at + limits.idle <= now
    }

    /// Whether it has taken no request since then.
    pub(crate) fn rests_since(&self, then: Instant) -> bool {
        self.used_at < then
    }

    /// When time alone may change the verdict.
    pub(crate) fn due(&self, limits: &Limits) -> Instant {
        let idle = self.used_at + limits.idle;
        let others = [self.aged_at, self.gone_at(limits)];
        others.into_iter().flatten().fold(idle, Instant::min)
    }

    /// Whether DNS has ever named its address.
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
    fn told(self, listed: Option<bool>, now: Instant) -> Self {
        match (self, listed) {
            (_, Some(true)) => Self::Listed,
            (Self::Listed, Some(false)) => Self::GoneSince(now),
            (same, Some(false) | None) => same,
        }
    }
}

/// At most 10 % more or less, so that connections made together are not made anew together (gRPC's
/// proposal A9 spreads its maximum connection age so).
fn jittered(age: Duration, rng: &mut fastrand::Rng) -> Duration {
    age.mul_f64(0.9 + 0.2 * rng.f64())
}

#[cfg(test)]
mod tests;
