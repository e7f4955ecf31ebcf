//! Keeps the settings.

use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderMap, StatusCode};
use tower_layer::Layer;

use super::Exchange;
use crate::Resolver;

/// Sees what becomes of requests, and so which edges accept connections and do not serve.
///
/// Put it right around an HTTP client, inside of tower layers that box the error (`timeout`,
/// `buffer`, `load_shed`), for it reads the client's own: a [`reqwest::Client`], or the one of
/// hyper-util with a [`ConnectLayer`](crate::ConnectLayer) in its connector. It changes neither
/// requests nor responses nor errors; what it tells the resolver is where *later* connects go.
///
/// | what happened | follows |
/// |---|---|
/// | the connection died before the first byte of a response | [`Outcome::ClosedEarly`](crate::Outcome::ClosedEarly) |
/// | the response has one of the [`statuses`](Self::statuses) and says `Connection: close` | [`Outcome::Unavailable`](crate::Outcome::Unavailable) |
/// | the request was dropped or timed out without a response on a connection that was made for it, later than [`slow_response_after`](Self::slow_response_after), which is off by default | [`Outcome::Silent`](crate::Outcome::Silent) |
///
/// Each is a soft strike against the address, and the host is looked up again: after one the
/// address goes behind the healthy ones, after two it goes last; strikes within half a second are one.
/// As any penalty that ends: 5 s after the first, 10 s after the second, doubling to 5 min, and then
/// one request tries the address. When all answer so, all are served in turn. The response that told
/// goes to the caller as it is, whatever the method; nothing is sent again. A status is only held
/// against an address that the resolver knows for the host: behind a proxy nothing is.
///
/// A reqwest client made with [`sidestep`](crate::reqwest::ClientBuilderExt::sidestep) sees
/// connections die by itself; it needs this layer for the statuses.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "reqwest")]
/// # fn client() -> Result<(), reqwest::Error> {
/// use sidestep::reqwest::ClientBuilderExt as _;
/// use tower_layer::Layer as _;
///
/// let resolver = sidestep::Resolver::new();
/// let client = reqwest::Client::builder().sidestep(&resolver).build()?;
/// let service = resolver.exchange_layer().layer(client); // a tower::Service<reqwest::Request>
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ExchangeLayer {
    resolver: Resolver,
    counted: Counted,
}

/// Which responses count against the address they came from.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    statuses: Arc<[StatusCode]>,
    only_closing: bool,
    pub(super) slow_response_after: Option<Duration>,
}

impl Resolver {
    /// Returns the layer that sees what becomes of requests; see [`ExchangeLayer`].
    #[must_use]
    pub fn exchange_layer(&self) -> ExchangeLayer {
        ExchangeLayer {
            resolver: self.clone(),
            counted: Counted {
                statuses: Arc::new([
                    StatusCode::BAD_GATEWAY,
                    StatusCode::SERVICE_UNAVAILABLE,
                    StatusCode::GATEWAY_TIMEOUT,
                ]),
                only_closing: true,
                slow_response_after: None,
            },
        }
    }
}

impl ExchangeLayer {
    /// Sets which statuses count against the address that answered with them. An empty list: none
    /// does.
    ///
    /// Defaults to 502, 503 and 504. Leave those out that your service answers with while its edge
    /// is well, as when an origin behind all edges is down.
    #[must_use]
    pub fn statuses(mut self, statuses: impl IntoIterator<Item = StatusCode>) -> Self {
        self.counted.statuses = statuses.into_iter().collect();
        self
    }

    /// Sets whether a response only counts when it says `Connection: close`: the edge itself wants
    /// to be left.
    ///
    /// Defaults to `true`. HTTP/2 has no such header (RFC 9113, section 8.2.2), so that nothing
    /// counts there. Turn it off for HTTP/2, where the statuses are the edge's own.
    #[must_use]
    pub fn only_closing(mut self, on: bool) -> Self {
        self.counted.only_closing = on;
        self
    }
}

impl ExchangeLayer {
    /// Sets from when on a request without a response counts against the address, when the caller drops
    /// the request or a timeout ends it. The time counts from when the connection was made.
    ///
    /// Defaults to `None`: no such request counts, because no time fits every service. A report that takes
    /// a minute, a long poll and a stream of events all look like an edge that hangs. Set it above the
    /// slowest response of the service and below the timeout of the requests.
    ///
    /// Only a request whose connection was made for it counts, and the first one on that: a pooled
    /// connection has answered before. Requests that get their response count for nothing, however late.
    #[must_use]
    pub fn slow_response_after(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.counted.slow_response_after = after.into();
        self
    }
}

impl Counted {
    pub(super) fn counts(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        self.statuses.contains(&status) && (!self.only_closing || is_closing(headers))
    }
}

/// RFC 9110, section 7.6.1: a list, in any case, and maybe over several lines.
fn is_closing(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CONNECTION).into_iter();
    let mut options = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    options.any(|option| option.trim().eq_ignore_ascii_case("close"))
}

impl<S> Layer<S> for ExchangeLayer {
    type Service = Exchange<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Exchange::new(inner, self.resolver.clone(), self.counted.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_is_found_wherever_it_stands_in_the_header() {
        let headers = |lines: &[&'static str]| {
            let line = |&line| (CONNECTION, http::HeaderValue::from_static(line));
            lines.iter().map(line).collect()
        };
        assert!(is_closing(&headers(&["close"])));
        assert!(is_closing(&headers(&["keep-alive, Close"])));
        assert!(is_closing(&headers(&["upgrade", "CLOSE"])));
        assert!(!is_closing(&headers(&["close-ish", "keep-alive"])));
        assert!(!is_closing(&headers(&[])));
    }
}
