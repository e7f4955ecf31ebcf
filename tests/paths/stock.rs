//! Stock clients with sidestep in them: every library, version of HTTP, and with or without TLS.

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
use tower::Layer as _;

use crate::common::{Edges, Scheme, World, get, while_pending, within};

/// How sidestep is put into which library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    /// reqwest with `.sidestep()`.
    Reqwest,
    /// reqwest with the resolver and the layer, and no retries.
    TwoLines,
    /// hyper-util's legacy client, and hyper-rustls for TLS.
    Hyper,
}

/// Which version is spoken from the start.
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
pub(crate) struct Client(Arc<dyn Fn(&str) -> LookupFuture + Send + Sync>);

type LookupFuture = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Client {
    fn new<F>(get: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, BoxError>> + Send + 'static,
    {
        Self(Arc::new(move |url| Box::pin(get(url.to_owned()))))
    }

    /// Sends a GET and reads the whole answer.
    pub(crate) async fn get(&self, url: &str) -> Result<String, BoxError> {
        within(format!("the answer of {url}"), while_pending(self.0(url))).await
    }
}

impl Stock {
    /// Every kind.
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

    /// Every kind that speaks TLS.
    pub(crate) fn tls() -> impl Iterator<Item = Self> {
        Self::all().filter(|stock| stock.scheme == Scheme::Https)
    }

    pub(crate) fn sends_again(self) -> bool {
        self.library == Library::Reqwest
    }

    /// Starts `n` edges that speak as this client does, always named in the same order, so that
    /// the first one is dialled first.
    pub(crate) async fn world(self, n: u8) -> World {
        let edges = match self.scheme {
            Scheme::Http => Edges::http(n).await,
            Scheme::Https => Edges::https(n).await,
        };
        crate::in_order(edges).await
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

    /// TLS inside of our layer, so that a failed handshake is seen.
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

/// As the builder says.
pub(crate) fn of_reqwest(builder: reqwest::ClientBuilder) -> Client {
    let client = builder.build().expect("the client is valid");
    Client::new(move |url| {
        let client = client.clone();
        async move { Ok(get(&client, &url).await?) }
    })
}

/// hyper-util's client around a connector.
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
            let answer = client.get(url.parse::<Uri>()?).await?;
            let body = answer.into_body().collect().await?.to_bytes();
            Ok(String::from_utf8(body.into())?)
        }
    })
}
