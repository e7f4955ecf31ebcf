//! hyper-util's stock client around a race, in every make.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Uri, Version};
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client as Legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sidestep::{AddressOrder, Resolver, ResolverBuilder};
use tokio::net::TcpStream;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _};

use crate::common::{Edges, World, while_pending, within};
use crate::faults::BoxError;

/// What is spoken, and whether the race is told that TCP is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Http,
    Https,
    /// HTTP/2, as ALPN settles it.
    Alpn,
    /// The same with a [`TcpConnectedLayer`](sidestep::TcpConnectedLayer) inside of TLS.
    AlpnTold,
}

pub(crate) const EVERY: [Kind; 4] = [Kind::Http, Kind::Https, Kind::Alpn, Kind::AlpnTold];
pub(crate) const OVER_TLS: [Kind; 3] = [Kind::Https, Kind::Alpn, Kind::AlpnTold];

/// A raced connector, whatever is in it.
pub(crate) type Connector =
    BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

impl Kind {
    /// A world of `n` edges, always named in the same order.
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

    /// The race around TLS around this.
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

    /// A client that makes a new connection for each request, as far as HTTP/2 lets it.
    pub(crate) fn client(self, world: &World) -> Client {
        Client::new(self.connector(world), 0)
    }

    /// A client that keeps its connections.
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

/// A world whose name server and resolver keep the order, and whose clock is stopped: a healthy edge is up within
/// the delay, however busy the machine is.
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

/// A client and what it was answered with.
#[derive(Clone)]
pub(crate) struct Client(Legacy<Connector, Empty<Bytes>>);

impl Client {
    pub(crate) fn new(connector: Connector, idle: usize) -> Self {
        let mut builder = Legacy::builder(TokioExecutor::new());
        Self(builder.pool_max_idle_per_host(idle).build(connector))
    }

    /// Sends a GET and reads the whole answer, which names the edge that gave it.
    pub(crate) async fn get(&self, url: &str) -> Result<String, BoxError> {
        Ok(self.ask(url).await?.1)
    }

    /// The same, with the version that was spoken.
    pub(crate) async fn ask(&self, url: &str) -> Result<(Version, String), BoxError> {
        let asking = async {
            let answer = self.0.get(url.parse::<Uri>()?).await?;
            let version = answer.version();
            let body = answer.into_body().collect().await?.to_bytes();
            Ok((version, String::from_utf8(body.into())?))
        };
        within(format!("the answer of {url}"), while_pending(asking)).await
    }

    /// The same as [`get`](Self::get), of a request that is not to fail.
    pub(crate) async fn gets(&self, world: &World, case: &str) -> String {
        let answer = self.get(&world.url()).await;
        answer.unwrap_or_else(|error| panic!("{case}: {error:?}; {:?}", world.journal.seen()))
    }
}
