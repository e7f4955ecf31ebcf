//! The settings of the layer.

use std::time::Duration;

use tower::Layer;

use super::Drain;
use super::registry::Registry;
use crate::Resolver;
use crate::drain::policy::Limits;

/// Drains pooled connections whose address failed or left DNS, and old ones, over HTTP/1.1 and HTTP/2.
///
/// A [`ConnectLayer`](crate::ConnectLayer) acts when a connection is made. But a client that keeps its connections
/// makes none for hours, and HTTP/2 sends all requests on one connection. Put this layer around hyper-util's client
/// ([`Client`](hyper_util::client::legacy::Client)). Before each request, the layer drains each pooled connection to
/// the same origin for which a condition of this table holds:
///
/// | condition | exception |
/// |---|---|
/// | its address has [failed for certain](crate::AddressState::Penalized), or a connection to that address [went silent](crate::Outcome::Silent) | |
/// | answers that are fresh and not suspect have not named its address for the [`dns_grace_period`](Self::dns_grace_period) | DNS never named the address, as with a proxy |
/// | it is older than [`max_connection_age`](Self::max_connection_age) | |
/// | any of these | the host has no healthy address left, so a working connection is kept |
///
/// The next request then goes out on a new connection, to an address that the resolver selects. Nothing in flight is
/// interrupted: a response on a draining connection, and its body, come to their end before the connection is closed.
/// [`Event::ConnectionDrained`](crate::Event::ConnectionDrained) reports each drained connection.
///
/// The layer keeps the answer of a host fresh as long as requests are sent to the host, even if no connect needs the
/// answer, so that the layer follows DNS. What [`ResolverBuilder::max_ttl`](crate::ResolverBuilder::max_ttl) says about
/// a host in use applies.
///
/// # What it does not do
///
/// - The layer does not detect dead addresses. A failed connect does, or a response under a
///   [`PassiveHealthLayer`](crate::PassiveHealthLayer), which may be inside or outside of this layer.
///   `http2_keep_alive_interval` of the client's builder detects a connection that hangs.
/// - If you capture the connection of a request yourself, by hyper-util's `capture_connection`, this layer's capture
///   replaces yours, because a request has room for one capture.
/// - The layer can't wrap a `reqwest::Client`: reqwest 0.13 does not forward the extensions of a request to hyper, and
///   a pooled connection can't be reached without them. `DrainLayer::reqwest` (feature `reqwest`) makes a reqwest
///   client that has the same effect. Without that, set `http2_keep_alive_interval`, `http2_keep_alive_timeout` and
///   `http2_keep_alive_while_idle(true)`, so that the client notices a dead connection, and `pool_idle_timeout`, so
///   that an idle connection ends.
/// - The layer can't wrap a tonic `Channel`, which owns its one connection. Set `http2_keep_alive_interval`,
///   `keep_alive_timeout` and `keep_alive_while_idle(true)` on its `Endpoint`. Or pass hyper-util's client under this
///   layer (`http2_only(true)`) to `with_origin` of the generated client, in place of a channel.
/// - The layer does not know a connection that the pool has made in the background until a request uses the connection.
///   The first request goes out on that connection, whatever its address.
///
/// # Memory
///
/// The layer uses some 720 bytes for each connection that had a request within [`idle_timeout`](Self::idle_timeout). A
/// pool does not report that it closes a connection. So if an origin has more than 256 connections and a new one is
/// made, the layer forgets those that had no request in the second before. Such a connection is closed, or busy with a
/// long response and known again by its next one.
///
/// # Examples
///
/// ```
/// use hyper_util::client::legacy::{Client, connect::HttpConnector};
/// use hyper_util::rt::TokioExecutor;
/// use std::time::Duration;
/// use tower::Layer as _;
///
/// let resolver = sidestep::Resolver::new();
/// let http = HttpConnector::new_with_resolver(resolver.clone());
/// let connector = resolver.connect_layer().layer(http);
/// let client: Client<_, String> = Client::builder(TokioExecutor::new()).build(connector);
/// let layer = resolver.drain_layer().max_connection_age(Duration::from_secs(600));
/// let service = layer.layer(client); // a tower::Service<http::Request<String>>
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it is put around a client"]
pub struct DrainLayer {
    resolver: Resolver,
    limits: Limits,
}

/// The default grace period: as long as an answer is kept at most by default. So two answers in a row must leave an
/// address out, and an address that comes back with the next answer drains nothing.
const GRACE: Duration = Duration::from_secs(60);
/// The default idle timeout: hyper-util and reqwest keep idle connections for so long by default.
const IDLE: Duration = Duration::from_secs(90);

/// Longest time of a setting. No connection lives for so long, and sums of such times stay far below the limit of
/// `Instant`.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

impl Resolver {
    /// Returns the layer that drains pooled connections; see [`DrainLayer`].
    pub fn drain_layer(&self) -> DrainLayer {
        DrainLayer::new(self)
    }
}

impl DrainLayer {
    /// Creates a layer that uses this resolver; the same as [`Resolver::drain_layer`].
    pub fn new(resolver: &Resolver) -> Self {
        Self {
            resolver: resolver.clone(),
            limits: Limits {
                grace: GRACE,
                age: None,
                idle: IDLE,
            },
        }
    }

    /// Sets how long a connection takes new requests after its address has left DNS.
    ///
    /// Defaults to 60 s, as [`max_ttl`](crate::ResolverBuilder::max_ttl) does, so that an address that one answer
    /// leaves out and the next one names again drains nothing. Keep the time at `max_ttl` or above. Make it longer if a
    /// name server returns a few of many addresses in turn.
    pub fn dns_grace_period(mut self, grace: Duration) -> Self {
        self.limits.grace = grace.min(LONGEST);
        self
    }

    /// Sets the age from which on a connection takes no new requests. With `None`, the age does not matter.
    ///
    /// The age of each connection varies by up to 10 %, so that not all connections end at once.
    ///
    /// Defaults to `None`. Set an age of some minutes if new addresses must get their share of the requests on few
    /// long-lived connections.
    pub fn max_connection_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.limits.age = age.into().map(|age| age.min(LONGEST));
        self
    }

    /// Sets how long the client keeps an idle connection. A connection that had no request for that long counts as
    /// closed. If the connection is still open, it takes no new requests.
    ///
    /// Defaults to 90 s, as `pool_idle_timeout` of the client does. Set both to the same time.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.limits.idle = timeout.min(LONGEST);
        self
    }

    /// Returns an empty registry for the pool of one client.
    pub(crate) fn registry(&self) -> Registry {
        Registry::new(self.resolver.clone(), self.limits)
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = Drain<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Drain::new(inner, self.registry())
    }
}
