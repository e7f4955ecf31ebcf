//! A race around hyper-util's tunnel, which races the addresses of the proxy. After the proxies of OkHttp's
//! `RouteSelectorTest`.

use std::sync::Arc;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use sidestep::Outcome;
use testkit::guests::{Asked, http_proxy};
use testkit::{Edges, HOST, Mode, RecordType, Scheme, World};
use tower::Layer as _;

use crate::clients::{Client, boxed, http, in_order};
use crate::stage::v4;

/// The host of the origin, which is in the certificate of the origin. The client must not look this host up.
const ORIGIN: &str = "origin.edge.test";

/// A client, proxies whose host the client looks up, and the origin behind them.
struct Path {
    /// The edges of this world are the proxies.
    world: World,
    targets: Asked,
    origin: Edges,
    client: Client,
}

impl Path {
    async fn through(proxies: u8) -> Self {
        Self::with_url(proxies, |world| world.url()).await
    }

    /// Gives the client the URL of the proxy that `url` returns.
    async fn with_url(proxies: u8, url: impl FnOnce(&World) -> String) -> Self {
        let origin = Edges::on(&[v4(99)], Scheme::Https).await;
        let (guest, targets) = http_proxy((origin.ips()[0], origin.port()).into());
        let proxies = Edges::hosting(proxies, Scheme::Http, guest).await;
        let world = in_order(proxies, |builder| builder).await;
        let proxy = url(&world).parse().unwrap();
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(trusting(&origin))
            .https_only()
            .enable_http1()
            .wrap_connector(Tunnel::new(proxy, http(&world.resolver)));
        let client = Client::new(boxed(world.resolver.happy_eyeballs_layer().layer(https)), 0);
        Self {
            world,
            targets,
            origin,
            client,
        }
    }

    async fn get(&self, case: &str) {
        let response = self.client.get(&self.origin.url(ORIGIN)).await;
        response.unwrap_or_else(|error| panic!("{case}: {error:?}"));
    }
}

impl Path {
    async fn attempts_dead_proxy_once(&self, mode: Mode, outcome: Outcome) {
        let dead = self.world.ips()[0];
        self.world.edges.set(dead, mode).await;
        for _ in 0..5 {
            self.get(&format!("{mode:?}")).await;
        }
        assert!(self.world.edges.accepted(dead) <= 1, "{mode:?}");
        assert_eq!(self.world.journal.failures(), [(dead, outcome)], "{mode:?}");
        assert_eq!(self.world.dns.queries(ORIGIN, RecordType::A), 0);
        assert_eq!(self.targets.all().len(), 5, "{mode:?}");
    }
}

fn trusting(edges: &Edges) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(edges.ca()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// OkHttp tests the same in `explicitProxyTriesThatProxysAddressesOnly` and `failedRouteWithSingleProxy`.
#[tokio::test]
async fn a_dead_address_of_a_proxy_fails_no_request_and_the_origin_is_not_looked_up() {
    for (mode, outcome) in [
        (Mode::Refuse, Outcome::Refused),
        (Mode::AcceptAndClose, Outcome::ClosedEarly),
    ] {
        Path::through(3)
            .await
            .attempts_dead_proxy_once(mode, outcome)
            .await;
    }
}

/// One address of the proxy swallows packets, and only the first request waits for it.
#[tokio::test]
async fn a_black_holed_address_of_a_proxy_costs_one_delay() {
    let path = Path::through(3).await;
    path.attempts_dead_proxy_once(Mode::BlackHole, Outcome::Slow)
        .await;
}

/// OkHttp tests the same in `getHostString`.
#[tokio::test]
async fn a_proxy_given_by_its_address_is_not_looked_up() {
    let path = Path::with_url(2, |world| world.edges.url("127.0.0.3")).await;
    path.get("by its address").await;
    assert_eq!(path.world.dns.total(), 0);
    path.world.edges.set(v4(3), Mode::Refuse).await;
    let error = path.client.get(&path.origin.url(ORIGIN)).await.unwrap_err();
    assert_eq!(Outcome::from_error(&*error), Outcome::Refused, "{error:?}");
    assert_eq!(path.world.journal.failures(), []);
}

/// The proxy moves, and its old address refuses or swallows packets. OkHttp tests the same in `proxyMoveTest`.
#[tokio::test]
async fn a_proxy_that_has_moved_is_found_in_the_same_request() {
    for mode in [Mode::Refuse, Mode::BlackHole] {
        let path = Path::through(2).await;
        let ips = path.world.ips();
        path.world.dns.set(HOST, &ips[..1], 1800);
        path.get("before").await;
        path.world.dns.set(HOST, &ips[1..], 1800);
        path.world.edges.set(ips[0], mode).await;
        path.get(&format!("{mode:?}")).await;
        assert_eq!(path.world.edges.accepted(ips[1]), 1);
        assert_eq!(path.world.queries(), 2);
    }
}

/// A failure behind a tunnel is not one of the proxy, and another proxy would not help. The number of attempts is
/// bounded.
#[tokio::test]
async fn a_failure_of_the_origin_behind_a_tunnel_gives_no_proxy_a_strike() {
    for mode in [
        Mode::Refuse,
        Mode::TlsReset,
        Mode::AcceptAndClose,
        Mode::WrongCertificate,
    ] {
        let path = Path::through(3).await;
        path.get("before").await;
        let origin = path.origin.ips()[0];
        path.origin.set(origin, mode).await;
        let response = path.client.get(&path.origin.url(ORIGIN)).await;
        assert!(response.is_err(), "{mode:?}: {response:?}");
        assert_eq!(path.world.journal.failures(), [], "{mode:?}");
        let accepted = path.world.accepted();
        assert!(
            accepted <= 4,
            "{mode:?}: each proxy is attempted once at most: {accepted}"
        );
        path.origin.set(origin, Mode::Serve).await;
        path.get("after").await;
    }
}

/// In OkHttp's `proxyDnsFailureContinuesToNextProxy` the next proxy is used. Here there is one proxy.
#[tokio::test]
async fn if_the_lookup_of_a_proxy_fails_its_error_is_returned() {
    let path = Path::through(1).await;
    path.world.dns.remove(HOST);
    let error = path.client.get(&path.origin.url(ORIGIN)).await.unwrap_err();
    let mut causes = std::iter::successors(
        Some(&*error as &(dyn std::error::Error + 'static)),
        |cause| cause.source(),
    );
    let lookup = causes.find_map(|cause| cause.downcast_ref::<sidestep::ResolveError>());
    assert!(
        lookup
            .expect("a `ResolveError` is among the causes")
            .is_not_found()
    );
}
