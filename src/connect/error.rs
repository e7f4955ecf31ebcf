//! The error of a failed connect, with the outcome at each address.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::error::BoxError;
use crate::events::{AnswerSource, AttemptReport};
use crate::health::classify::error_chain;
use crate::resolver::ConnectReport;

/// The error of a failed connect, with its host, its addresses and what happened at each.
///
/// A [`ConnectLayer`](crate::ConnectLayer) wraps the error of the connector, which is then the
/// [`source`](StdError::source) of the `ConnectError`. The layer passes an error on unchanged if
///
/// - the lookup failed,
/// - the error can't be classified, such as tower's `Elapsed`,
/// - the connect resolved no name, or two names (SOCKS).
///
/// There is no `ConnectError` either if the client ends the connect by a timeout of its own, such as reqwest's
/// `connect_timeout` or `timeout`, or if the connection died after it was made. The
/// [snapshot](crate::Resolver::snapshot) and the log then show the failure. If the
/// [timeout of the layer](crate::ConnectLayer::timeout) is shorter and ends the connect, the error is a `ConnectError`.
///
/// # Examples
///
/// ```
/// use std::error::Error;
/// use sidestep::ConnectError;
///
/// // The error may come from reqwest, hyper or a connector.
/// fn explain(error: &(dyn Error + 'static)) {
///     if let Some(connect) = ConnectError::find(error) {
///         eprintln!("{connect}");
///         // connecting to api.example.com failed: 192.0.2.1 failed in TLS, 192.0.2.2 refused
///         // 3.2s ago, 192.0.2.3 not attempted (from a fresh answer, 12s old)
///     }
/// }
/// ```
#[derive(Debug)]
pub struct ConnectError {
    account: ConnectReport,
    given_up_after: Option<Duration>,
    /// Whether the connect was a race. A race re-resolves the host within one connect.
    is_race: bool,
    source: BoxError,
}

impl ConnectError {
    pub(crate) fn new(
        account: ConnectReport,
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

    /// Marks the error as the error of a race.
    pub(crate) fn of_race(self) -> Self {
        Self {
            is_race: true,
            ..self
        }
    }

    /// Returns the first `ConnectError` among an error and its sources.
    ///
    /// The text of a `reqwest::Error`, for example, names only the URL. The `ConnectError` among its sources names the
    /// addresses.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        error_chain(error).find_map(|cause| cause.downcast_ref())
    }

    /// Returns the host of the connect. Behind a proxy this is the host of the proxy.
    #[must_use]
    pub fn host(&self) -> &str {
        self.account.host.as_str()
    }

    /// Returns the addresses that the connector was given, in order, with the outcome of each.
    #[must_use]
    pub fn attempts(&self) -> &[AttemptReport] {
        &self.account.attempts
    }

    /// Returns where the addresses came from.
    #[must_use]
    pub fn served_from(&self) -> AnswerSource {
        self.account.source
    }

    /// Returns the age of the answer at the time of the connect.
    ///
    /// The age counts from when the lookup was sent. The age of overrides and fallbacks is zero.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.account.age
    }

    /// Returns true if the connect was given up while it was pending.
    ///
    /// A connect is given up after the [timeout](crate::ConnectLayer::timeout) of the layer, or sooner if the
    /// connect was [slow](crate::ResolverBuilder::slow_connect_after) and there was something better to connect to. A
    /// [race](crate::HappyEyeballsLayer) is given up after its own [timeout](crate::HappyEyeballsLayer::timeout).
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.given_up_after.is_some()
    }

    /// Returns the time after which the connect was given up.
    pub(crate) fn given_up_after(&self) -> Option<Duration> {
        self.given_up_after
    }

    /// Returns the number of lanes in which the connector attempted the addresses.
    pub(crate) fn lanes(&self) -> usize {
        self.account.lanes
    }

    /// Returns whether the connect was a race.
    pub(crate) fn is_race(&self) -> bool {
        self.is_race
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConnectReport {
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

impl fmt::Display for AttemptReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addr = self.addr;
        match (self.outcome, self.ago) {
            (None, _) => write!(f, "{addr} not attempted"),
            (Some(outcome), None) => write!(f, "{addr} {outcome}"),
            (Some(outcome), Some(ago)) => write!(f, "{addr} {outcome} {:?} ago", rounded(ago)),
        }
    }
}

/// Rounds down to a tenth of a second, or to a millisecond if the time is less than one second.
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
