//! Through HTTP and HTTPS proxies, forwarded and by tunnels: the name asked is the proxy's, so that
//! its addresses are learned about; what fails behind it is not held against them.

use std::sync::Arc;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use sidestep::Outcome;
use sidestep::reqwest::ClientBuilderExt as _;
use tower::Layer as _;

use crate::common::{Edges, HOST, Mode, RecordType, Scheme, World};
use crate::guests::{Asked, http_proxy};
use crate::stock::{Client, Http, of_hyper, of_reqwest};
use crate::{in_order, nobody_was_blamed, only_these_failed};

/// Its certificate is good for this name, and nobody may ask for it.
pub(crate) const ORIGIN: &str = "origin.edge.test";

/// A client, proxies whose name it asks for, and the origin behind them.
pub(crate) struct Path {
    pub(crate) case: String,
    /// Its edges are the proxies.
    pub(crate) world: World,
    pub(crate) asked: Asked,
    pub(crate) origin: Edges,
    pub(crate) client: Client,
}

impl Path {
    /// Three proxies that are spoken to in one way, and an origin that is spoken to in another.
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
        let answer = self.client.get(&self.url()).await;
        answer.unwrap_or_else(|error| {
            panic!("{}: {error:?}; {:?}", self.case, self.world.journal.seen())
        });
    }

    /// Sends requests while a proxy is dead; none fails, and only it is blamed.
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

    /// Sends a request while the origin is dead; it fails, and no proxy is blamed.
    pub(crate) async fn blames_no_proxy_for(&self, mode: Mode) {
        let case = format!("{mode:?} {}", self.case);
        self.get().await;
        self.origin.set(self.origin.ips()[0], mode).await;
        let answer = self.client.get(&self.url()).await;
        assert!(answer.is_err(), "{case}: {answer:?}");
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
    /// hyper's client with hyper-util's own tunnel in it: here the request tells whom the connect is
    /// for.
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

/// What a plain request's target is, is in the request line; a tunnel is asked for by name.
#[tokio::test]
async fn the_proxy_is_asked_for_and_the_origin_is_not() {
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
async fn a_dead_proxy_costs_no_request() {
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

/// TLS with the proxy itself.
#[tokio::test]
async fn a_proxy_broken_in_tls_costs_no_request() {
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

/// It accepts and goes away, with a CONNECT or a request on it.
#[tokio::test]
async fn a_proxy_that_closes_costs_no_request() {
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

/// The origin's failure is not the proxy's: not one that the proxy tells of, not one in the TLS
/// handshake with it, and not its early close.
#[tokio::test]
async fn behind_a_tunnel_the_origins_failure_is_not_the_proxys() {
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

/// The same where the layer is told whom the connect is for.
#[tokio::test]
async fn under_hyper_too_a_tunnels_two_ends_are_told_apart() {
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
