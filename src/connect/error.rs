//! Why a connect failed, in full.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::error::BoxError;
use crate::observe::{Attempt, Source};
use crate::outcome::causes;
use crate::resolver::Account;

/// A connect failed: to which host, at which addresses, and what happened to each.
///
/// A [`ConnectLayer`](crate::ConnectLayer) puts it around the connector's error, which is its
/// [`source`](StdError::source). An error of the lookup, one that can't be read, such as tower's `Elapsed`, and one of a
/// connect that asked nobody or asked for two names (SOCKS), is passed on as it is.
///
/// Nor is there one where the client ended the connect by a timeout of its own, such as reqwest's
/// `connect_timeout` or `timeout`, or where the connection died after it was made: then the
/// [snapshot](crate::Resolver::snapshot) and the log tell. An
/// [`attempt_timeout`](crate::Builder::attempt_timeout) below the client's comes with an account.
///
/// # Examples
///
/// ```
/// use std::error::Error;
/// use sidestep::ConnectError;
///
/// // As from reqwest, hyper or a connector:
/// fn explain(error: &(dyn Error + 'static)) {
///     if let Some(connect) = ConnectError::find(error) {
///         eprintln!("{connect}");
///         // connecting to api.example.com failed: 192.0.2.1 failed in TLS, 192.0.2.2 refused
///         // 3.2s ago, 192.0.2.3 not dialled (from a fresh answer, 12s old)
///     }
/// }
/// ```
#[derive(Debug)]
pub struct ConnectError {
    account: Account,
    given_up_after: Option<Duration>,
    /// Whether the connect was a race, which looks the host up again within one connect.
    #[cfg_attr(
        not(feature = "__again"),
        expect(dead_code, reason = "read by the judge")
    )]
    is_race: bool,
    source: BoxError,
}

impl ConnectError {
    pub(crate) fn new(
        account: Account,
        given_up_after: Option<Duration>,
        source: BoxError,
    ) -> Self {
        Self {
            account,
            given_up_after,
            is_race: false,
            source,
        }
    }

    /// Says that the connect was a race.
    pub(crate) fn of_race(self) -> Self {
        Self {
            is_race: true,
            ..self
        }
    }

    /// Finds it among an error and what lies behind that, such as a `reqwest::Error`, whose own text
    /// names nothing but the URL.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        causes(error).find_map(|cause| cause.downcast_ref())
    }

    /// Returns the host that was connected to; behind a proxy that is the proxy.
    #[must_use]
    pub fn host(&self) -> &str {
        self.account.host.as_str()
    }

    /// Returns the addresses that the connector was given, in their order, and what happened to
    /// each.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.account.attempts
    }

    /// Returns where the addresses were from.
    #[must_use]
    pub fn served_from(&self) -> Source {
        self.account.source
    }

    /// Returns how long before they were dialled the addresses had been asked for; zero for pins.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.account.age
    }

    /// Returns true when the connect was still pending and was given up: after
    /// [`attempt_timeout`](crate::Builder::attempt_timeout), or sooner because it was
    /// [slow](crate::Builder::stalled_after) and there was something better.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.given_up_after.is_some()
    }

    /// Returns after what time the connect was given up.
    #[cfg(feature = "__again")]
    pub(crate) fn given_up_after(&self) -> Option<Duration> {
        self.given_up_after
    }

    /// Returns in how many lanes the connector attempted the addresses.
    #[cfg(feature = "__again")]
    pub(crate) fn lanes(&self) -> usize {
        self.account.lanes
    }

    /// Whether the connect was a race.
    #[cfg(feature = "__again")]
    pub(crate) fn is_race(&self) -> bool {
        self.is_race
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Account {
            host,
            attempts,
            source,
            age,
            lanes: _,
        } = &self.account;
        match self.given_up_after {
            None => write!(f, "connecting to {host} failed: ")?,
            Some(after) => {
                let after = rounded(after);
                write!(f, "connecting to {host} was given up after {after:?}: ")?;
            }
        }
        for (place, attempt) in attempts.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{attempt}")?;
        }
        write!(f, " (from {source}")?;
        match rounded(*age) {
            Duration::ZERO => f.write_str(")"),
            age => write!(f, ", {age:?} old)"),
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addr = self.addr;
        match (self.outcome, self.ago) {
            (None, _) => write!(f, "{addr} not dialled"),
            (Some(outcome), None) => write!(f, "{addr} {outcome}"),
            (Some(outcome), Some(ago)) => write!(f, "{addr} {outcome} {:?} ago", rounded(ago)),
        }
    }
}

/// Down to a tenth of a second, or a millisecond where it is less than one.
fn rounded(time: Duration) -> Duration {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let unit = if millis < 1_000 { 1 } else { 100 };
    Duration::from_millis(millis - millis % unit)
}

impl StdError for ConnectError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}
