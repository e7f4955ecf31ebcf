//! What a caller that dials for itself gets.

use std::net::IpAddr;
use std::time::Duration;

use crate::observe::Source;

/// The addresses of a host, and where they came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub(super) addrs: Vec<IpAddr>,
    pub(super) source: Source,
    pub(super) age: Duration,
}

impl Resolved {
    /// Returns the addresses, in the order in which to dial them. Never empty.
    #[must_use]
    pub fn addrs(&self) -> &[IpAddr] {
        &self.addrs
    }

    /// Returns where they came from.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// Returns how long ago they had been asked for, or taken from the fallbacks; zero where nothing
    /// was asked.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.age
    }
}
