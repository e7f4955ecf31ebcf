//! hyper-util's stock client around a race: in the clear, over TLS, and with HTTP/2.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Uri, Version};
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client as Legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sidestep::{AddressOrder, Resolver, ResolverBuilder};
use testkit::{Edges, World, while_pending, within};
use tokio::net::TcpStream;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _};

use crate::faults::BoxError;

/// The protocol of a client, and whether its race learns when TCP has connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Http,
    Https,
    /// HTTP/2, selected by ALPN.
    Alpn,
    /// HTTP/2, selected by ALPN, with a [`TcpConnectedLayer`](sidestep::TcpConnectedLayer) inside of TLS.
    AlpnTold,
}

pub(crate) const EVERY: [Kind; 4] = [Kind::Http, Kind::Https, Kind::Alpn, Kind::AlpnTold];
pub(crate) const OVER_TLS: [Kind; 3] = [Kind::Https, Kind::Alpn, Kind::AlpnTold];

/// A connector with a race, of any kind.
pub(crate) type Connector =
    BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

impl Kind {
    /// Starts a world of `n` edges whose addresses are always in the same order.
    pub(crate) async fn world(self, n: u8) -> World {
        in_order(self.edges(n).await, |builder| builder).await
    }

    pub(crate) async fn edges(self, n: u8) -> Edges {
        match self {
            Self::Http => Edges::http(n).await,
            Self::Https | Self::Alpn | Self::AlpnTold => Edges::https(n).await,
        }
    }

    pub(crate) fn connector(self, world: &World) -> Connector {
        self.around(world, http(&world.resolver))
    }

    /// Puts TLS around `http`, and the race around TLS.
    pub(crate) fn around(self, world: &World, http: HttpConnector<Resolver>) -> Connector {
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(world.edges.client_config())
            .https_or_http();
        let race = world.resolver.happy_eyeballs_layer();
        match self {
            Self::Http | Self::Https => {
                boxed(race.layer(https.enable_http1().wrap_connector(http)))
            }
            Self::Alpn => {
                let https = https.enable_all_versions().wrap_connector(http);
                boxed(race.layer(https))
            }
            Self::AlpnTold => {
                let tcp = world.resolver.tcp_connected_layer().layer(http);
                let https = https.enable_all_versions().wrap_connector(tcp);
                boxed(race.layer(https))
            }
        }
    }

    /// A client that makes a new connection for each request, as far as HTTP/2 allows.
    pub(crate) fn client(self, world: &World) -> Client {
        Client::new(self.connector(world), 0)
    }

    /// A client that pools its connections.
    pub(crate) fn keeping(self, world: &World) -> Client {
        Client::new(self.connector(world), usize::MAX)
    }

    pub(crate) fn version(self) -> Version {
        match self {
            Self::Http | Self::Https => Version::HTTP_11,
            Self::Alpn | Self::AlpnTold => Version::HTTP_2,
        }
    }
}

pub(crate) fn http(resolver: &Resolver) -> HttpConnector<Resolver> {
    let mut http = HttpConnector::new_with_resolver(resolver.clone());
    http.enforce_http(false);
    http
}

pub(crate) fn boxed<S>(connector: S) -> Connector
where
    S: tower::Service<
            Uri,
            Response = MaybeHttpsStream<TokioIo<TcpStream>>,
            Error = BoxError,
            Future: Send,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    BoxCloneSyncService::new(connector.map_err(Into::into))
}

/// A world whose name server and resolver keep the order of addresses, and whose clock is stopped. A healthy edge
/// connects within the delay, even on a busy machine.
pub(crate) async fn in_order(
    edges: Edges,
    set: impl FnOnce(ResolverBuilder) -> ResolverBuilder,
) -> World {
    let builder = |b: ResolverBuilder| {
        set(b
            .address_order(AddressOrder::Preserve)
            .background_probe(false))
    };
    let world = World::of(edges, builder).await;
    world.dns.rotate(false);
    world
}

/// A client of hyper-util.
#[derive(Clone)]
pub(crate) struct Client(Legacy<Connector, Empty<Bytes>>);

impl Client {
    pub(crate) fn new(connector: Connector, idle: usize) -> Self {
        let mut builder = Legacy::builder(TokioExecutor::new());
        Self(builder.pool_max_idle_per_host(idle).build(connector))
    }

    /// Sends a GET and returns the body, which names the edge that served the request.
    pub(crate) async fn get(&self, url: &str) -> Result<String, BoxError> {
        Ok(self.ask(url).await?.1)
    }

    /// Sends a GET and returns the HTTP version and the body.
    pub(crate) async fn ask(&self, url: &str) -> Result<(Version, String), BoxError> {
        let request = async {
            let response = self.0.get(url.parse::<Uri>()?).await?;
            let version = response.version();
            let body = response.into_body().collect().await?.to_bytes();
            Ok((version, String::from_utf8(body.into())?))
        };
        within(format!("the response of {url}"), while_pending(request)).await
    }

    /// Sends a GET that must not fail, and returns the body.
    pub(crate) async fn gets(&self, world: &World, case: &str) -> String {
        let body = self.get(&world.url()).await;
        body.unwrap_or_else(|error| panic!("{case}: {error:?}; {:?}", world.journal.seen()))
    }
}
