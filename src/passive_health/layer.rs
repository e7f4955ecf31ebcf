//! The settings of the layer.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tower::Layer;

use super::PassiveHealth;
use super::counted::Counted;
use crate::Resolver;
use crate::time::LONGEST;

/// Watches requests, and so detects addresses that accept connections but do not serve.
///
/// Put the layer right around an HTTP client, inside of tower layers that box the error (`timeout`, `buffer`,
/// `load_shed`), because the layer reads the client's own error. The client is a [`reqwest::Client`], or hyper-util's
/// client with a [`ConnectLayer`](crate::ConnectLayer) in its connector. The layer changes no requests, responses or
/// errors. Its reports decide to which address *later* connects go.
///
/// | what happened | outcome |
/// |---|---|
/// | the connection died before the first byte of a response | [`Outcome::ClosedEarly`](crate::Outcome::ClosedEarly) |
/// | the response has one of the [`statuses`](Self::statuses) and says `Connection: close` | [`Outcome::Unavailable`](crate::Outcome::Unavailable) |
/// | the request was dropped or timed out without a response, on a connection that was made for it, later than [`slow_response_after`](Self::slow_response_after), which is off by default | [`Outcome::Silent`](crate::Outcome::Silent) |
///
/// Each of these is a soft strike for the address, and the host is re-resolved. After one strike the address is ordered
/// after the healthy ones, after two it is ordered last. Strikes within half a second are one. As any penalty, this one
/// ends: 5 s after the first strike, 10 s after the second, doubling to 5 min. Then one request tries the address. If
/// all addresses fail in this way, all are used in turn.
///
/// The caller gets the response or the error unchanged, whatever the method, and the layer sends nothing again. A
/// status only counts for an address that the resolver knows for the host, so behind a proxy no status counts.
///
/// A reqwest client with [`sidestep`](crate::reqwest::ClientBuilderExt::sidestep) detects without this layer that a
/// connection died. Such a client needs this layer for the statuses.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "reqwest")]
/// # fn client() -> Result<(), reqwest::Error> {
/// use sidestep::reqwest::ClientBuilderExt as _;
/// use tower::Layer as _;
///
/// let resolver = sidestep::Resolver::new();
/// let client = reqwest::Client::builder().sidestep(&resolver).build()?;
/// let service = resolver.passive_health_layer().layer(client); // a tower::Service<reqwest::Request>
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PassiveHealthLayer {
    resolver: Resolver,
    counted: Counted,
}

impl Resolver {
    /// Returns the layer that watches requests; see [`PassiveHealthLayer`].
    #[must_use]
    pub fn passive_health_layer(&self) -> PassiveHealthLayer {
        PassiveHealthLayer::new(self)
    }
}

impl PassiveHealthLayer {
    /// Creates a layer that reports to this resolver; the same as [`Resolver::passive_health_layer`].
    #[must_use]
    pub fn new(resolver: &Resolver) -> Self {
        Self {
            resolver: resolver.clone(),
            counted: Counted {
                statuses: Arc::new([
                    StatusCode::BAD_GATEWAY,
                    StatusCode::SERVICE_UNAVAILABLE,
                    StatusCode::GATEWAY_TIMEOUT,
                ]),
                require_connection_close: true,
                slow_response_after: None,
            },
        }
    }

    /// Sets which statuses count against the address that responds with them. With an empty list, no status counts.
    ///
    /// Defaults to 502, 503 and 504. Leave out a status that your service sends while its address is healthy, as when
    /// an origin behind all edges is down.
    #[must_use]
    pub fn statuses(mut self, statuses: impl IntoIterator<Item = StatusCode>) -> Self {
        self.counted.statuses = statuses.into_iter().collect();
        self
    }

    /// Sets whether a response only counts if it says `Connection: close`, by which the server itself ends the
    /// connection.
    ///
    /// Defaults to `true`. HTTP/2 has no such header (RFC 9113, section 8.2.2), so no response counts there. Set
    /// `false` for HTTP/2 if the server at the address sends the statuses itself.
    #[must_use]
    pub fn require_connection_close(mut self, on: bool) -> Self {
        self.counted.require_connection_close = on;
        self
    }
}

impl PassiveHealthLayer {
    /// Sets the time after which a request without a response counts against its address.
    ///
    /// The request counts if the caller drops the request or a timeout ends it. The time starts when the connection is
    /// made.
    ///
    /// Defaults to `None`, so that no such request counts, because no time fits every service. A report that takes a
    /// minute, a long poll and a stream of events all look like an address that hangs. Set the time above the slowest
    /// response of the service and below the timeout of the requests.
    ///
    /// Only the first request on a connection counts, and only if the connection was made for that request, because a
    /// pooled connection has responded before. A request that gets its response never counts, however late the response
    /// is.
    #[must_use]
    pub fn slow_response_after(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.counted.slow_response_after = after.into().map(|after| after.min(LONGEST));
        self
    }
}

impl<S> Layer<S> for PassiveHealthLayer {
    type Service = PassiveHealth<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PassiveHealth::new(inner, self.resolver.clone(), self.counted.clone())
    }
}
