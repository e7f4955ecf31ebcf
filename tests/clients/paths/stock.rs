//! Stock clients with sidestep: every library and HTTP version, with and without TLS.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Uri;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use sidestep::reqwest::ClientBuilderExt as _;
use testkit::{Edges, Scheme, World, get, while_pending, within};
use tower::Layer as _;

/// The library of a client, and how sidestep is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    /// reqwest with `.sidestep()`.
    Reqwest,
    /// reqwest with the resolver and the layer, and no retries.
    TwoLines,
    /// hyper-util's legacy client, and hyper-rustls for TLS.
    Hyper,
}

/// The HTTP version that a client speaks from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

/// A kind of stock client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stock {
    pub(crate) library: Library,
    pub(crate) http: Http,
    pub(crate) scheme: Scheme,
}

/// A stock client that makes a new connection for each request.
pub(crate) struct Client(Arc<dyn Fn(&str) -> ResponseFuture + Send + Sync>);

type ResponseFuture = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Client {
    fn new<F>(get: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, BoxError>> + Send + 'static,
    {
        Self(Arc::new(move |url| Box::pin(get(url.to_owned()))))
    }

    /// Sends a GET and returns the body.
    pub(crate) async fn get(&self, url: &str) -> Result<String, BoxError> {
        within(format!("the response of {url}"), while_pending(self.0(url))).await
    }
}

impl Stock {
    /// Every stock client.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let libraries = [Library::Reqwest, Library::TwoLines, Library::Hyper];
        libraries.into_iter().flat_map(|library| {
            [Http::One, Http::Two].into_iter().flat_map(move |http| {
                [Scheme::Http, Scheme::Https].map(|scheme| Self {
                    library,
                    http,
                    scheme,
                })
            })
        })
    }

    /// Every stock client that uses TLS.
    pub(crate) fn tls() -> impl Iterator<Item = Self> {
        Self::all().filter(|stock| stock.scheme == Scheme::Https)
    }

    pub(crate) fn sends_again(self) -> bool {
        self.library == Library::Reqwest
    }

    /// Starts `n` edges that speak as this client does. Their addresses are always in the same order, so the first one
    /// is attempted first.
    pub(crate) async fn world(self, n: u8) -> World {
        let edges = match self.scheme {
            Scheme::Http => Edges::http(n).await,
            Scheme::Https => Edges::https(n).await,
        };
        crate::paths::in_order(edges).await
    }

    pub(crate) fn client(self, world: &World) -> Client {
        match self.library {
            Library::Reqwest => of_reqwest(self.reqwest(world).sidestep(&world.resolver)),
            Library::TwoLines => of_reqwest(
                self.reqwest(world)
                    .dns_resolver(world.resolver.clone())
                    .connector_layer(world.resolver.connect_layer()),
            ),
            Library::Hyper => of_hyper(self.connector(world), self.http),
        }
    }

    pub(crate) fn reqwest(self, world: &World) -> reqwest::ClientBuilder {
        let mut tls = world.edges.client_config();
        let builder = world.builder();
        match self.http {
            Http::One => builder.http1_only(),
            Http::Two => {
                tls.alpn_protocols = vec![b"h2".to_vec()];
                let builder = builder.tls_backend_preconfigured(tls);
                match self.scheme {
                    Scheme::Http => builder.http2_prior_knowledge(),
                    Scheme::Https => builder,
                }
            }
        }
    }

    /// A connector with TLS inside of the connect layer, so that the layer sees a failed handshake.
    fn connector(self, world: &World) -> impl Connect + Clone + Send + Sync + 'static {
        let mut http = HttpConnector::new_with_resolver(world.resolver.clone());
        http.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(world.edges.client_config())
            .https_or_http();
        let https = match self.http {
            Http::One => https.enable_http1().wrap_connector(http),
            Http::Two => https.enable_http2().wrap_connector(http),
        };
        world.resolver.connect_layer().layer(https)
    }
}

/// A client of reqwest with these settings.
pub(crate) fn of_reqwest(builder: reqwest::ClientBuilder) -> Client {
    let client = builder.build().expect("the client is valid");
    Client::new(move |url| {
        let client = client.clone();
        async move { Ok(get(&client, &url).await?) }
    })
}

/// A client of hyper-util around a connector.
pub(crate) fn of_hyper<C>(connector: C, http: Http) -> Client
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let client: legacy::Client<C, Empty<Bytes>> = legacy::Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .http2_only(http == Http::Two)
        .build(connector);
    Client::new(move |url| {
        let client = client.clone();
        async move {
            let response = client.get(url.parse::<Uri>()?).await?;
            let body = response.into_body().collect().await?.to_bytes();
            Ok(String::from_utf8(body.into())?)
        }
    })
}
