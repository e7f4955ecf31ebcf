//! The hyper clients that the lab compares.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector, dns::Name};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use sidestep::Resolver;
use testkit::lab::clients::{Connections, Hickory, PING};
use testkit::lab::get::{Failure, Get, through_hyper};
use tower::retry::Retry;
use tower::{Layer as _, service_fn};

type Body = Empty<Bytes>;

/// One way to build hyper-util's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hyper {
    /// Looks the host up at every connect and caches nothing, as `getaddrinfo` does.
    Stock,
    /// Uses a race of sidestep, TLS included.
    Race(Version),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    /// HTTP/2 by ALPN, or in the clear with prior knowledge.
    Http2,
}

impl Hyper {
    pub(crate) const ALL: [Self; 3] = [
        Self::Stock,
        Self::Race(Version::Http1),
        Self::Race(Version::Http2),
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Stock => "hyper stock",
            Self::Race(Version::Http1) => "hyper + race",
            Self::Race(Version::Http2) => "hyper + race, HTTP/2",
        }
    }

    /// Returns the host that only this client looks up, so that its queries can be counted.
    pub(crate) fn host(self) -> &'static str {
        match self {
            Self::Stock => "hyper.edge.test",
            Self::Race(Version::Http1) => "race.edge.test",
            Self::Race(Version::Http2) => "race-http2.edge.test",
        }
    }

    /// Builds a service that sends a GET to `url`, with the name server and the authority of the lab.
    pub(crate) fn build(
        self,
        dns: SocketAddr,
        tls: ClientConfig,
        connections: Connections,
        url: &str,
    ) -> Result<Get, Failure> {
        match self {
            Self::Stock => stock(connections, dns, tls, url),
            Self::Race(version) => race(version, connections, dns, tls, url),
        }
    }
}

fn stock(
    connections: Connections,
    dns: SocketAddr,
    tls: ClientConfig,
    url: &str,
) -> Result<Get, Failure> {
    let hickory = Hickory::new(dns, Some(0))?;
    let ask = move |name: Name| {
        let hickory = hickory.clone();
        Box::pin(async move { hickory.addrs(name.as_str()).await })
    };
    let http = HttpConnector::new_with_resolver(service_fn(ask));
    let version = match connections {
        Connections::New => Version::Http1,
        Connections::Kept => Version::Http2,
    };
    let https = secured(plain(http), tls, version);
    through_hyper(client(https, version, connections), url)
}

fn race(
    version: Version,
    connections: Connections,
    dns: SocketAddr,
    tls: ClientConfig,
    url: &str,
) -> Result<Get, Failure> {
    let lookup = sidestep::lookup::Dns::with_servers([dns])?;
    let resolver = Resolver::builder().lookup(lookup).build()?;
    let http = HttpConnector::new_with_resolver(resolver.clone());
    let tcp = resolver.tcp_connected_layer().layer(plain(http));
    let connector = resolver
        .happy_eyeballs_layer()
        .layer(secured(tcp, tls, version));
    // hyper sends no request again, and a race does not help if an edge accepts and closes, or goes silent later.
    let client = client(connector, version, connections);
    through_hyper(Retry::new(resolver.retry_policy(), client), url)
}

/// Allows `https`, and sets `TCP_NODELAY` as reqwest does. Without that option Nagle's algorithm delays HTTP/2 by 40
/// ms.
fn plain<R>(mut http: HttpConnector<R>) -> HttpConnector<R> {
    http.enforce_http(false);
    http.set_nodelay(true);
    http
}

fn secured<C>(inner: C, tls: ClientConfig, version: Version) -> HttpsConnector<C> {
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    match version {
        Version::Http1 => https.enable_http1().wrap_connector(inner),
        Version::Http2 => https.enable_http2().wrap_connector(inner),
    }
}

fn client<C>(connector: C, version: Version, connections: Connections) -> Client<C, Body>
where
    C: Connect + Clone,
{
    let mut builder = Client::builder(TokioExecutor::new());
    builder.http2_only(version == Version::Http2);
    match connections {
        Connections::New => builder.pool_max_idle_per_host(0),
        Connections::Kept => builder
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PING),
    };
    builder.build(connector)
}
