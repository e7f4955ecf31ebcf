//! The clients that connect past black holes.

use std::convert::Infallible;
use std::future::ready;
use std::net::{IpAddr, SocketAddr};

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressOrder, Resolver};
use testkit::Edges;
use tokio::net::TcpStream;
use tower::util::BoxService;
use tower::{BoxError, Layer as _, Service, ServiceExt as _, service_fn};

use crate::fixed::Fixed;
use crate::holes::HOST;

/// A client of sidestep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// hyper-util's connector in a race.
    Race,
    /// Stock reqwest with `.sidestep()`. The bench measures a request on a new connection instead of a connect,
    /// because reqwest replaces a failed connect within the request.
    Sidestep,
}

/// A client, and its resolver if sidestep provides the resolver.
pub(crate) struct Client {
    connects: BoxService<String, IpAddr, BoxError>,
    resolver: Option<Resolver>,
}

impl Client {
    /// Returns a new client, whose lookups return the addresses of these edges in their order.
    pub(crate) fn new(kind: Kind, edges: &Edges) -> Self {
        let resolver = resolver(&edges.ips());
        let connects = match kind {
            Kind::Race => {
                let http = HttpConnector::new_with_resolver(resolver.clone());
                through_connector(resolver.happy_eyeballs_layer().layer(http))
            }
            Kind::Sidestep => through_reqwest(&resolver, edges.client_config()),
        };
        Self {
            connects,
            resolver: Some(resolver),
        }
    }

    /// Restricts the resolver to the address `ip`, or removes the restriction.
    pub(crate) fn restrict_to(&self, ip: Option<IpAddr>) {
        let Some(resolver) = &self.resolver else {
            return;
        };
        match ip {
            Some(ip) => resolver.overrides().set(HOST, [ip]).expect("it is a name"),
            None => resolver.overrides().clear(),
        }
    }

    /// Connects, and returns the address that has connected.
    pub(crate) async fn connect(&mut self, url: String) -> IpAddr {
        let ready = self.connects.ready().await;
        let connected = ready.expect("a client is always ready").call(url).await;
        connected.expect("one address lives").to_canonical()
    }
}

/// Returns hyper-util's bare connector, with a new resolver.
pub(crate) fn bare(ips: &[IpAddr]) -> Client {
    let http = HttpConnector::new_with_resolver(resolver(ips));
    Client {
        connects: through_connector(http),
        resolver: None,
    }
}

/// Returns hyper-util's connector to these addresses, in this order.
pub(crate) fn stock(addrs: Vec<SocketAddr>) -> Client {
    let known = move |_: Name| ready(Ok::<_, Infallible>(addrs.clone().into_iter()));
    let http = HttpConnector::new_with_resolver(service_fn(known));
    Client {
        connects: through_connector(http),
        resolver: None,
    }
}

/// Returns a new resolver whose lookups return these addresses in this order.
fn resolver(ips: &[IpAddr]) -> Resolver {
    let builder = Resolver::builder()
        .lookup(Fixed(ips.to_vec()))
        .address_order(AddressOrder::Preserve);
    builder.build().expect("the settings are valid")
}

fn through_connector<S>(connector: S) -> BoxService<String, IpAddr, BoxError>
where
    S: Service<Uri, Response = TokioIo<TcpStream>> + Clone + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
{
    let connect = move |url: String| {
        let connector = connector.clone();
        async move {
            let made = connector.oneshot(url.parse()?).await.map_err(Into::into)?;
            Ok(made.into_inner().peer_addr()?.ip())
        }
    };
    BoxService::new(service_fn(connect))
}

fn through_reqwest(resolver: &Resolver, tls: ClientConfig) -> BoxService<String, IpAddr, BoxError> {
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .pool_max_idle_per_host(0) // a new connection for each request
        .no_proxy()
        .sidestep(resolver)
        .build()
        .expect("TLS is set up");
    let connect = move |url: String| {
        let sending = http.get(url).send();
        async move {
            let answer = sending.await?.error_for_status()?;
            let peer = answer.remote_addr().ok_or("reqwest names no address")?;
            answer.bytes().await?;
            Ok(peer.ip())
        }
    };
    BoxService::new(service_fn(connect))
}
