//! The result of [`Resolver::resolve`](crate::Resolver::resolve).

use std::net::IpAddr;
use std::time::Duration;

use crate::events::AnswerSource;

/// The addresses of a host, and where they came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub(super) addrs: Vec<IpAddr>,
    pub(super) source: AnswerSource,
    pub(super) age: Duration,
    pub(super) expires_in: Option<Duration>,
}

impl Resolved {
    /// Returns the addresses in the order in which to connect to them. There is at least one.
    #[must_use]
    pub fn addrs(&self) -> &[IpAddr] {
        &self.addrs
    }

    /// Returns where the addresses came from.
    #[must_use]
    pub fn source(&self) -> AnswerSource {
        self.source
    }

    /// Returns how long ago the lookup of the addresses was sent.
    ///
    /// The age is zero if the addresses came from no lookup, as overrides and fallbacks.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.age
    }

    /// Returns how long the cached answer stays fresh.
    ///
    /// The time is zero if the answer is stale, and `None` if the addresses do not expire: overrides, fallbacks, and
    /// hosts that needed no lookup.
    #[must_use]
    pub fn expires_in(&self) -> Option<Duration> {
        self.expires_in
    }
}
