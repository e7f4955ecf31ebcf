//! A race around hyper-util's tunnel: it is the proxy's addresses that are raced. OkHttp's
//! `RouteSelectorTest` of proxies.

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use sidestep::Outcome;
use std::sync::Arc;
use tower::Layer as _;

use crate::clients::{Client, boxed, http, in_order};
use crate::common::{Edges, HOST, Mode, RecordType, Scheme, World};
use crate::guests::{Asked, http_proxy};
use crate::stage::v4;

/// Its certificate is good for this name, and nobody may ask for it.
const ORIGIN: &str = "origin.edge.test";

/// A client, proxies whose name it asks for, and the origin behind them.
struct Path {
    /// Its edges are the proxies.
    world: World,
    asked: Asked,
    origin: Edges,
    client: Client,
}

impl Path {
    async fn through(proxies: u8) -> Self {
        Self::by(proxies, |world| world.url()).await
    }

    /// The proxy is spelled so.
    async fn by(proxies: u8, spelled: impl FnOnce(&World) -> String) -> Self {
        let origin = Edges::on(&[v4(99)], Scheme::Https).await;
        let (guest, asked) = http_proxy((origin.ips()[0], origin.port()).into());
        let proxies = Edges::hosting(proxies, Scheme::Http, guest).await;
        let world = in_order(proxies, |builder| builder).await;
        let proxy = spelled(&world).parse().unwrap();
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(trusting(&origin))
            .https_only()
            .enable_http1()
            .wrap_connector(Tunnel::new(proxy, http(&world.resolver)));
        let client = Client::new(boxed(world.resolver.happy_eyeballs_layer().layer(https)), 0);
        Self {
            world,
            asked,
            origin,
            client,
        }
    }

    async fn get(&self, case: &str) {
        let answer = self.client.get(&self.origin.url(ORIGIN)).await;
        answer.unwrap_or_else(|error| panic!("{case}: {error:?}"));
    }
}

impl Path {
    async fn meets_once(&self, mode: Mode, outcome: Outcome) {
        let dead = self.world.ips()[0];
        self.world.edges.set(dead, mode).await;
        for _ in 0..5 {
            self.get(&format!("{mode:?}")).await;
        }
        assert!(self.world.edges.accepted(dead) <= 1, "{mode:?}");
        assert_eq!(self.world.journal.failures(), [(dead, outcome)], "{mode:?}");
        assert_eq!(self.world.dns.queries(ORIGIN, RecordType::A), 0);
        assert_eq!(self.asked.all().len(), 5, "{mode:?}");
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

/// OkHttp `explicitProxyTriesThatProxysAddressesOnly`, `failedRouteWithSingleProxy`: the dead one is
/// met once, and the origin is asked for by nobody.
#[tokio::test]
async fn a_dead_address_of_a_proxy_costs_no_request_and_the_origin_is_not_asked_for() {
    for (mode, outcome) in [
        (Mode::Refuse, Outcome::Refused),
        (Mode::AcceptAndClose, Outcome::ClosedEarly),
    ] {
        Path::through(3).await.meets_once(mode, outcome).await;
    }
}

/// The same for one that swallows packets: the second request does not wait for it.
#[tokio::test]
async fn a_black_holed_address_of_a_proxy_costs_one_delay() {
    let path = Path::through(3).await;
    path.meets_once(Mode::BlackHole, Outcome::Slow).await;
}

/// OkHttp `getHostString`: an address for a proxy is no name.
#[tokio::test]
async fn a_proxy_given_by_its_address_is_never_asked_for() {
    let path = Path::by(2, |world| world.edges.url("127.0.0.3")).await;
    path.get("by its address").await;
    assert_eq!(path.world.dns.total(), 0);
    path.world.edges.set(v4(3), Mode::Refuse).await;
    let error = path.client.get(&path.origin.url(ORIGIN)).await.unwrap_err();
    assert_eq!(Outcome::from_error(&*error), Outcome::Refused, "{error:?}");
    assert_eq!(path.world.journal.failures(), []);
}

/// OkHttp `proxyMoveTest`: the proxy moves; what was there is gone, cleanly or without a word.
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

/// What fails behind a tunnel is not the proxy's, and no other of its addresses would help; what is
/// tried all the same is bounded.
#[tokio::test]
async fn behind_a_tunnel_the_origins_failure_is_held_against_no_proxy() {
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
        let answer = path.client.get(&path.origin.url(ORIGIN)).await;
        assert!(answer.is_err(), "{mode:?}: {answer:?}");
        assert_eq!(path.world.journal.failures(), [], "{mode:?}");
        let accepted = path.world.accepted();
        assert!(
            accepted <= 4,
            "{mode:?}: each proxy once at most: {accepted}"
        );
        path.origin.set(origin, Mode::Serve).await;
        path.get("after").await;
    }
}

/// OkHttp `proxyDnsFailureContinuesToNextProxy`, where there is one proxy: it is told as it is.
#[tokio::test]
async fn a_proxy_that_has_no_name_is_told_as_the_lookups_error() {
    let path = Path::through(1).await;
    path.world.dns.remove(HOST);
    let error = path.client.get(&path.origin.url(ORIGIN)).await.unwrap_err();
    let mut causes =
        std::iter::successors(Some(&*error as &(dyn std::error::Error + 'static)), |it| {
            it.source()
        });
    let lookup = causes.find_map(|cause| cause.downcast_ref::<sidestep::ResolveError>());
    assert!(lookup.expect("it is behind the others").is_not_found());
}
