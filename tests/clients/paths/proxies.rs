//! HTTP and HTTPS proxies, with forwarded requests and tunnels. The client looks the proxy up, so failures of its
//! addresses are recorded. Failures behind the proxy are not.

use std::sync::Arc;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use sidestep::Outcome;
use sidestep::reqwest::ClientBuilderExt as _;
use testkit::guests::{Asked, http_proxy};
use testkit::{Edges, HOST, Mode, RecordType, Scheme, World};
use tower::Layer as _;

use crate::paths::stock::{Client, Http, of_hyper, of_reqwest};
use crate::paths::{in_order, nobody_was_blamed, only_these_failed};

/// The host of the origin, which is in the certificate of the origin. The client must not look this host up.
pub(crate) const ORIGIN: &str = "origin.edge.test";

/// A client, proxies whose host the client looks up, and the origin behind them.
pub(crate) struct Path {
    pub(crate) case: String,
    /// The edges of this world are the proxies.
    pub(crate) world: World,
    pub(crate) asked: Asked,
    pub(crate) origin: Edges,
    pub(crate) client: Client,
}

impl Path {
    /// Starts three proxies with one scheme and an origin with another.
    async fn through(proxy: Scheme, origin: Scheme) -> Self {
        let case = format!("{proxy:?} proxy, {origin:?} origin");
        let origin = Edges::on(&[[127, 0, 0, 9].into()], origin).await;
        let (guest, asked) = http_proxy((origin.ips()[0], origin.port()).into());
        let world = in_order(Edges::hosting(3, proxy, guest).await).await;
        let proxy = reqwest::Proxy::all(world.url()).unwrap();
        Self::by(case, world, asked, origin, proxy)
    }

    pub(crate) fn by(
        case: String,
        world: World,
        asked: Asked,
        origin: Edges,
        proxy: reqwest::Proxy,
    ) -> Self {
        let builder = reqwest::Client::builder()
            .proxy(proxy)
            .pool_max_idle_per_host(0)
            .tls_backend_preconfigured(trusting([&world.edges, &origin]))
            .sidestep(&world.resolver);
        let client = of_reqwest(builder);
        Self {
            case,
            world,
            asked,
            origin,
            client,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.origin.url(ORIGIN)
    }

    pub(crate) async fn get(&self) {
        let response = self.client.get(&self.url()).await;
        response.unwrap_or_else(|error| {
            panic!("{}: {error:?}; {:?}", self.case, self.world.journal.seen())
        });
    }

    /// Sends requests while one proxy is dead, and checks that no request fails and no other proxy has failed.
    pub(crate) async fn survives(&self, mode: Mode, outcome: Outcome) {
        let dead = self.world.ips()[0];
        self.world.edges.set(dead, mode).await;
        for _ in 0..10 {
            self.get().await;
        }
        let case = format!("{mode:?} {}", self.case);
        assert!(self.world.edges.accepted(dead) <= 1, "{case}");
        only_these_failed(&self.world, &case, &[(dead, outcome)]).await;
    }

    /// Sends a request while the origin is dead, and checks that the request fails and no proxy has failed.
    pub(crate) async fn blames_no_proxy_for(&self, mode: Mode) {
        let case = format!("{mode:?} {}", self.case);
        self.get().await;
        self.origin.set(self.origin.ips()[0], mode).await;
        let response = self.client.get(&self.url()).await;
        assert!(response.is_err(), "{case}: {response:?}");
        nobody_was_blamed(&self.world, &case);
        self.origin.set(self.origin.ips()[0], Mode::Serve).await;
        self.get().await;
        assert!(
            self.world
                .ips()
                .iter()
                .all(|&ip| !self.world.is_penalized(ip))
        );
    }

    pub(crate) fn origin_queries(&self) -> usize {
        self.world.dns.queries(ORIGIN, RecordType::A)
    }
}

/// The TLS settings of a client that trusts all these edges.
pub(crate) fn trusting<const N: usize>(edges: [&Edges; N]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for edges in edges {
        roots.add(edges.ca()).unwrap();
    }
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

impl Path {
    /// hyper's client around hyper-util's own tunnel. Here the request of the connect has the host of the origin.
    async fn by_hyper() -> Self {
        let mut path = Self::through(Scheme::Http, Scheme::Https).await;
        let proxy = path.world.url().parse().unwrap();
        let http = HttpConnector::new_with_resolver(path.world.resolver.clone());
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(trusting([&path.world.edges, &path.origin]))
            .https_only()
            .enable_http1()
            .wrap_connector(Tunnel::new(proxy, http));
        let connector = path.world.resolver.connect_layer().layer(https);
        path.client = of_hyper(connector, Http::One);
        path.case = "hyper, tunnel".to_owned();
        path
    }
}

const EVERY: [(Scheme, Scheme); 4] = [
    (Scheme::Http, Scheme::Http),
    (Scheme::Http, Scheme::Https),
    (Scheme::Https, Scheme::Http),
    (Scheme::Https, Scheme::Https),
];

/// A forwarded request has its target in the request line, and a tunnel is requested by host and port.
#[tokio::test]
async fn the_proxy_is_looked_up_and_the_origin_is_not() {
    for (proxy, origin) in EVERY {
        let path = Path::through(proxy, origin).await;
        path.get().await;
        let target = match origin {
            Scheme::Http => path.url(),
            Scheme::Https => format!("{ORIGIN}:{}", path.origin.port()),
        };
        assert_eq!(path.asked.all(), [target], "{}", path.case);
        assert_eq!((path.origin_queries(), path.world.queries()), (0, 1));
        nobody_was_blamed(&path.world, &path.case);
        assert!(path.world.resolver.snapshot().host(HOST).is_some());
    }
}

#[tokio::test]
async fn a_dead_proxy_fails_no_request() {
    for (proxy, origin) in EVERY {
        for (mode, outcome) in [
            (Mode::Refuse, Outcome::Failed),
            (Mode::BlackHole, Outcome::Slow),
        ] {
            let path = Path::through(proxy, origin).await;
            path.survives(mode, outcome).await;
        }
    }
}

/// The handshake with the proxy itself fails.
#[tokio::test]
async fn a_proxy_broken_in_tls_fails_no_request() {
    for origin in [Scheme::Http, Scheme::Https] {
        for (mode, outcome) in [
            (Mode::TlsReset, Outcome::TlsFailed),
            (Mode::AcceptAndClose, Outcome::TlsFailed),
            (Mode::WrongCertificate, Outcome::BadCertificate),
        ] {
            let path = Path::through(Scheme::Https, origin).await;
            path.survives(mode, outcome).await;
        }
    }
}

/// The proxy closes each connection at once, or after a CONNECT or a request.
#[tokio::test]
async fn a_proxy_that_closes_fails_no_request() {
    for (proxy, origin) in EVERY {
        let path = Path::through(proxy, origin).await;
        path.survives(Mode::CloseAfterRequest, Outcome::ClosedEarly)
            .await;
    }
    for origin in [Scheme::Http, Scheme::Https] {
        let path = Path::through(Scheme::Http, origin).await;
        path.survives(Mode::AcceptAndClose, Outcome::ClosedEarly)
            .await;
    }
}

/// The proxy reports the failure, the TLS handshake with the origin fails, or the origin closes early.
#[tokio::test]
async fn a_failure_of_the_origin_behind_a_tunnel_is_no_failure_of_the_proxy() {
    for proxy in [Scheme::Http, Scheme::Https] {
        for mode in [
            Mode::Refuse,
            Mode::TlsReset,
            Mode::AcceptAndClose,
            Mode::WrongCertificate,
            Mode::CloseAfterRequest,
        ] {
            let path = Path::through(proxy, Scheme::Https).await;
            path.blames_no_proxy_for(mode).await;
        }
    }
}

/// The layer sees the host of the origin in the request of the connect.
#[tokio::test]
async fn under_hyper_too_the_failures_of_proxy_and_origin_are_distinguished() {
    let dead = Path::by_hyper().await;
    dead.survives(Mode::Refuse, Outcome::Failed).await;
    for mode in [
        Mode::Refuse,
        Mode::TlsReset,
        Mode::AcceptAndClose,
        Mode::WrongCertificate,
    ] {
        Path::by_hyper().await.blames_no_proxy_for(mode).await;
    }
}
