//! Keeps the settings.

use std::time::Duration;

use tower_layer::Layer;

use super::Pool;
use super::registry::Registry;
use crate::Resolver;
use crate::retire::Limits;

/// Moves pooled connections along with health and DNS, HTTP/2 ones too.
///
/// A [`ConnectLayer`](crate::ConnectLayer) acts when a connection is made; a client that keeps its
/// connections makes none for hours, and HTTP/2 sends all requests on one. Put this layer around
/// hyper-util's client ([`Client`](hyper_util::client::legacy::Client)): before each request it
/// has those of the pool's connections to the same origin take no new requests of which one of these
/// holds:
///
/// | what holds | unless |
/// |---|---|
/// | its address has [failed for certain](crate::Standing::Penalised), or a connection to it [went silent](crate::Outcome::Silent) | |
/// | good answers have not named its address for the [`grace`](Self::grace) period | DNS never named it, as a proxy's |
/// | it is older than [`max_connection_age`](Self::max_connection_age) | |
/// | all of these | no healthy address of the host is left: what works is kept |
///
/// The next request is then dialled, where the resolver says. Nothing in flight is cut: a response
/// that is under way on such a connection, and its body, come to their end, and then the connection
/// is closed. [`Event::Retired`](crate::Event::Retired) tells of each.
///
/// So that DNS is followed, a host is looked up in time as long as requests are sent to it, though
/// none is dialled; what [`Builder::max_ttl`](crate::Builder::max_ttl) says of a host in use holds.
///
/// # What it does not do
///
/// - It finds no dead edge by itself. A connect that fails does, or a response under an
///   [`ExchangeLayer`](crate::ExchangeLayer), which may go inside of this layer or outside of it. A
///   connection that hangs is found by `http2_keep_alive_interval` of the client's builder.
/// - A request that you capture the connection of yourself, by hyper-util's `capture_connection`, is
///   captured by this layer in your place: it has room for one.
/// - It can't serve a `reqwest::Client`: reqwest 0.13 does not hand the extensions of a request on to
///   hyper, and they are the only way to a pooled connection. `PoolLayer::reqwest` (feature
///   `reqwest`) makes a stock reqwest client that moves all the same. Without it, set `http2_keep_alive_interval`,
///   `http2_keep_alive_timeout` and `http2_keep_alive_while_idle(true)`, so that a dead connection is
///   noticed, and `pool_idle_timeout`, so that an idle one ends.
/// - Nor a tonic `Channel`, which owns its one connection: set `http2_keep_alive_interval`,
///   `keep_alive_timeout` and `keep_alive_while_idle(true)` on its `Endpoint`. Or make the generated
///   client `with_origin` of hyper-util's client under this layer (`http2_only(true)`) in place of one.
/// - A connection that the pool has made in the background, and no request has used yet, is not known;
///   the first request goes out on it wherever it leads.
///
/// # Memory
///
/// Some 720 bytes for each connection that had a request within
/// [`idle_timeout`](Self::idle_timeout). Nothing tells when a pool closes one, so with more than 256
/// to one origin, those that had no request for a second when a new one had to be dialled are
/// forgotten: they are closed, or busy with a long response and known again by their next one.
///
/// # Examples
///
/// ```
/// use hyper_util::client::legacy::{Client, connect::HttpConnector};
/// use hyper_util::rt::TokioExecutor;
/// use std::time::Duration;
/// use tower_layer::Layer as _;
///
/// let resolver = sidestep::Resolver::new();
/// let http = HttpConnector::new_with_resolver(resolver.clone());
/// let connector = resolver.connect_layer().layer(http);
/// let client: Client<_, String> = Client::builder(TokioExecutor::new()).build(connector);
/// let layer = resolver.pool_layer().max_connection_age(Duration::from_secs(600));
/// let service = layer.layer(client); // a tower::Service<http::Request<String>>
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it is put around a client"]
pub struct PoolLayer {
    resolver: Resolver,
    limits: Limits,
}

/// As long as an answer is kept at most, by default, so that two in a row agree that an address has
/// left: one that comes back with the next answer moves nothing.
const GRACE: Duration = Duration::from_secs(60);
/// For so long hyper-util and reqwest keep idle connections by default.
const IDLE: Duration = Duration::from_secs(90);

/// No connection lives for so long; sums of it stay far from the end of the clock.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

impl Resolver {
    /// Returns the layer that moves pooled connections; see [`PoolLayer`].
    pub fn pool_layer(&self) -> PoolLayer {
        PoolLayer {
            resolver: self.clone(),
            limits: Limits {
                grace: GRACE,
                age: None,
                idle: IDLE,
            },
        }
    }
}

impl PoolLayer {
    /// Sets for how long a connection still takes requests after its address has left DNS.
    ///
    /// Defaults to 60 s, which is [`max_ttl`](crate::Builder::max_ttl): an address that one answer
    /// leaves out and the next one names again moves nothing. Keep it at `max_ttl` or above; make it
    /// longer where a name server hands out a few of many addresses in turn.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.limits.grace = grace.min(LONGEST);
        self
    }

    /// Sets how old a connection may become before it takes no new requests, at most 10 % more or
    /// less so that not all end at once. `None`: any age.
    ///
    /// Defaults to `None`. Set it, to minutes, where new edges are to get their share of requests
    /// that go out on few long-lived connections.
    pub fn max_connection_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.limits.age = age.into().map(|age| age.min(LONGEST));
        self
    }

    /// Sets for how long the client keeps an idle connection. One that had no request for that long
    /// is taken for closed, and gets none, should it be there still.
    ///
    /// Defaults to 90 s, as does `pool_idle_timeout` of the client. Set it where you set that.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.limits.idle = timeout.min(LONGEST);
        self
    }

    /// Starts to keep account of one client's pool.
    pub(crate) fn registry(&self) -> Registry {
        Registry::new(self.resolver.clone(), self.limits)
    }
}

impl<S> Layer<S> for PoolLayer {
    type Service = Pool<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Pool::new(inner, self.registry())
    }
}
