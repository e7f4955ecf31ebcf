//! hyper-util's client, for the tests that compare it with stock reqwest.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Uri;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_rustls::builderstates::WantsProtocols1;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use sidestep::Resolver;
use tower::Layer as _;

use crate::{Edges, World, while_pending, within};

pub type Body = Empty<Bytes>;

/// Returns a client over this connector; each request makes a new connection.
pub fn build<C>(connector: C) -> Client<C, Body>
where
    C: Connect + Clone,
{
    Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(connector)
}

/// Returns a TCP connector with this resolver, for a TLS connector around it.
pub fn tcp(resolver: &Resolver) -> HttpConnector<Resolver> {
    let mut http = HttpConnector::new_with_resolver(resolver.clone());
    http.enforce_http(false);
    http
}

/// Returns a builder of TLS that trusts the edges.
pub fn tls(edges: &Edges) -> HttpsConnectorBuilder<WantsProtocols1> {
    HttpsConnectorBuilder::new()
        .with_tls_config(edges.client_config())
        .https_or_http()
}

/// Returns a client that trusts the edges and races their addresses.
pub fn raced(world: &World) -> Client<impl Connect + Clone + Send + Sync + 'static + use<>, Body> {
    let tcp = world
        .resolver
        .tcp_connected_layer()
        .layer(tcp(&world.resolver));
    let https = tls(&world.edges).enable_http1().enable_http2();
    let https = https.wrap_connector(tcp);
    build(world.resolver.happy_eyeballs_layer().layer(https))
}

/// Sends a GET and returns the body of the response, which names the edge.
pub async fn get<C>(client: &Client<C, Body>, url: &str) -> Result<String, Error>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let request = async {
        let response = client.get(url.parse::<Uri>().unwrap()).await?;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Ok(String::from_utf8(body.into()).unwrap())
    };
    within("the response", while_pending(request)).await
}
