//! Tests which pooled connections a `DrainLayer` drains because of health, DNS or age, over HTTP/1.1, HTTP/2 in the
//! clear, and HTTP/2 by ALPN.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use sidestep::{AddressOrder, AddressState, AnswerSource, Drain, DrainLayer, DrainReason, Outcome};
use testkit::hyper_client::{tcp, tls};
use testkit::{Edges, Fault, Guest, HOST, Mode, RecordType, Scheme, Seen, World, within};
use tokio::sync::{mpsc, oneshot};
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, Service, ServiceExt as _};

type Body = UnsyncBoxBody<Bytes, std::io::Error>;
type Stock = BoxCloneSyncService<Request<Body>, Response<Incoming>, BoxError>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    Http1,
    /// HTTP/2 in the clear, with prior knowledge.
    Http2,
    /// HTTP/2 by ALPN, over TLS.
    Alpn,
}

const PROTOCOLS: [Protocol; 3] = [Protocol::Http1, Protocol::Http2, Protocol::Alpn];

impl Protocol {
    fn scheme(self) -> Scheme {
        match self {
            Self::Http1 | Self::Http2 => Scheme::Http,
            Self::Alpn => Scheme::Https,
        }
    }

    /// Creates a world of two edges. Connects go to the first one while both are healthy.
    async fn world(self) -> World {
        let edges = match self.scheme() {
            Scheme::Http => Edges::http(2).await,
            Scheme::Https => Edges::https(2).await,
        };
        self.world_of(edges).await
    }

    async fn world_of(self, edges: Edges) -> World {
        World::of(edges, |builder| {
            builder.address_order(AddressOrder::Preserve)
        })
        .await
    }

    /// Returns hyper-util's client with a pool.
    fn client(self, world: &World) -> Stock {
        let https = tls(&world.edges).enable_all_versions();
        let https = https.wrap_connector(tcp(&world.resolver));
        let connector = world.resolver.connect_layer().layer(https);
        let client = Client::builder(TokioExecutor::new())
            .http2_only(self == Self::Http2)
            .build(connector);
        BoxCloneSyncService::new(client.map_err(BoxError::from))
    }

    fn pool(self, world: &World) -> Drain<Stock> {
        world.resolver.drain_layer().layer(self.client(world))
    }
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Returns a body that sends its first half at once, and its second half after `go`.
fn two_halves(
    first: &'static str,
    taken: oneshot::Sender<()>,
    second: &'static str,
    go: oneshot::Receiver<()>,
) -> Body {
    let first = async move {
        // The receiver may be dropped already.
        let _: Result<(), ()> = taken.send(());
        Ok(Frame::data(Bytes::from(first)))
    };
    let second = async move {
        go.await.map_err(std::io::Error::other)?;
        Ok(Frame::data(Bytes::from(second)))
    };
    let chunks = futures_util::stream::once(first).chain(futures_util::stream::once(second));
    StreamBody::new(chunks).boxed_unsync()
}

async fn send<S>(service: &mut S, url: &str, body: Body) -> Result<Response<Incoming>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Incoming>>,
{
    let request = Request::post(url).body(body).unwrap();
    service.ready().await?.call(request).await
}

async fn text(response: Response<Incoming>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.into()).unwrap()
}

/// Sends a request and returns the edge that has responded.
async fn serving_edge<S>(service: &mut S, world: &World) -> IpAddr
where
    S: Service<Request<Body>, Response = Response<Incoming>, Error = BoxError>,
{
    let response = send(service, &world.url(), empty()).await.unwrap();
    let text = text(response).await;
    let addr = text.split(' ').nth(1).and_then(|addr| addr.parse().ok());
    addr.unwrap_or_else(|| panic!("no edge sends {text:?}"))
}

/// Sends requests until the edge `wanted` responds.
async fn send_until_served_by<S>(service: &mut S, world: &World, wanted: IpAddr)
where
    S: Service<Request<Body>, Response = Response<Incoming>, Error = BoxError>,
{
    let sending = async {
        while serving_edge(service, world).await != wanted {
            testkit::sleep(Duration::from_millis(5)).await;
        }
    };
    within("a response of the other edge", sending).await;
}

/// A request that is in flight until the test ends its body.
struct InFlight {
    end: oneshot::Sender<()>,
    response: tokio::task::JoinHandle<String>,
}

impl InFlight {
    /// Sends the request and waits until its body is read. Over HTTP/1.1 the request has its own connection.
    async fn start(pool: &Drain<Stock>, world: &World) -> Self {
        let (end, ended) = oneshot::channel::<()>();
        let (taken, begun) = oneshot::channel::<()>();
        let body = two_halves("it was ", taken, "in flight", ended);
        let (mut pool, url) = (pool.clone(), world.url() + "echo");
        let response =
            tokio::spawn(async move { text(send(&mut pool, &url, body).await.unwrap()).await });
        begun.await.unwrap();
        Self { end, response }
    }

    async fn finish(self) {
        self.end.send(()).unwrap();
        assert_eq!(self.response.await.unwrap(), "it was in flight");
    }
}

fn drained(world: &World) -> Vec<(IpAddr, DrainReason)> {
    let drained = |seen: Seen| match seen {
        Seen::Retired(addr, why) => Some((addr, why)),
        _ => None,
    };
    world
        .journal
        .seen()
        .into_iter()
        .filter_map(drained)
        .collect()
}

#[tokio::test]
async fn requests_leave_a_penalized_address_and_requests_in_flight_finish() {
    for protocol in PROTOCOLS {
        let world = protocol.world().await;
        let (mut pool, ips) = (protocol.pool(&world), world.ips());
        let in_flight = InFlight::start(&pool, &world).await;
        assert_eq!(
            serving_edge(&mut pool, &world).await,
            ips[0],
            "{protocol:?}"
        );
        let before = world.edges.accepted(ips[0]);
        world.resolver.report(HOST, ips[0], Outcome::Refused);
        for _ in 0..3 {
            assert_eq!(
                serving_edge(&mut pool, &world).await,
                ips[1],
                "{protocol:?}"
            );
        }
        in_flight.finish().await;
        assert_eq!(
            serving_edge(&mut pool, &world).await,
            ips[1],
            "{protocol:?}"
        );
        assert_eq!(world.edges.accepted(ips[0]), before, "{protocol:?}");
        assert_eq!(
            world.edges.accepted(ips[1]),
            1,
            "{protocol:?}: the connection is kept"
        );
        let expected = vec![(ips[0], DrainReason::Penalized); before];
        assert_eq!(drained(&world), expected, "{protocol:?}");
        let count = world.resolver.snapshot().drained_connections;
        assert_eq!(count, before as u64, "{protocol:?}");
    }
}

/// A first soft strike drains no connection, and neither does a failure of the same address for another host.
#[tokio::test]
async fn a_soft_strike_drains_no_connection() {
    for protocol in PROTOCOLS {
        let world = protocol.world().await;
        let (mut pool, ips) = (protocol.pool(&world), world.ips());
        assert_eq!(serving_edge(&mut pool, &world).await, ips[0]);
        world.resolver.report(HOST, ips[0], Outcome::ClosedEarly);
        assert_eq!(world.standing(ips[0]), AddressState::Probation);
        world.dns.set("other.test", &ips, 60);
        world.resolver.resolve("other.test").await.unwrap();
        let refused = Outcome::Refused;
        world.resolver.report("other.test", ips[0], refused);
        assert_eq!(
            serving_edge(&mut pool, &world).await,
            ips[0],
            "{protocol:?}"
        );
        assert_eq!(drained(&world), [], "{protocol:?}");
        assert_eq!(world.accepted(), 1, "{protocol:?}");
    }
}

/// If one connection to an address is silent, the others are silent too. So one soft strike drains them.
#[tokio::test]
async fn connections_to_a_silent_address_take_no_new_requests() {
    for protocol in PROTOCOLS {
        let world = protocol.world().await;
        let (mut pool, ips) = (protocol.pool(&world), world.ips());
        assert_eq!(serving_edge(&mut pool, &world).await, ips[0]);
        world.resolver.report(HOST, ips[0], Outcome::Silent);
        assert_eq!(world.standing(ips[0]), AddressState::Probation);
        assert_eq!(
            serving_edge(&mut pool, &world).await,
            ips[1],
            "{protocol:?}"
        );
        assert_eq!(
            drained(&world),
            [(ips[0], DrainReason::Penalized)],
            "{protocol:?}"
        );
    }
}

/// Without a better address the connections are kept, until another address connects.
#[tokio::test]
async fn while_all_addresses_have_a_penalty_connections_are_kept() {
    for protocol in PROTOCOLS {
        let world = protocol.world().await;
        let (mut pool, ips) = (protocol.pool(&world), world.ips());
        assert_eq!(serving_edge(&mut pool, &world).await, ips[0]);
        for &ip in &ips {
            world.resolver.report(HOST, ip, Outcome::Refused);
        }
        for _ in 0..3 {
            assert_eq!(
                serving_edge(&mut pool, &world).await,
                ips[0],
                "{protocol:?}"
            );
        }
        assert_eq!(
            (world.accepted(), drained(&world)),
            (1, vec![]),
            "{protocol:?}"
        );
        world.resolver.report(HOST, ips[1], Outcome::Connected);
        assert_eq!(
            serving_edge(&mut pool, &world).await,
            ips[1],
            "{protocol:?}"
        );
        assert_eq!(drained(&world), [(ips[0], DrainReason::Penalized)]);
    }
}

/// Without connects and calls of `invalidate`, the layer refreshes the answer of the host.
#[tokio::test]
async fn requests_follow_dns_without_new_connects() {
    for protocol in PROTOCOLS {
        let edges = match protocol.scheme() {
            Scheme::Http => Edges::http(2).await,
            Scheme::Https => Edges::https(2).await,
        };
        let short = Duration::from_millis(50);
        let world = World::of(edges, |builder| builder.min_ttl(short).max_ttl(short)).await;
        let ips = world.ips();
        world.dns.set(HOST, &ips[..1], 1800);
        let layer = world.resolver.drain_layer().dns_grace_period(2 * short);
        let mut pool = layer.layer(protocol.client(&world));
        let in_flight = InFlight::start(&pool, &world).await;
        assert_eq!(serving_edge(&mut pool, &world).await, ips[0]);
        let before = world.edges.accepted(ips[0]);
        world.dns.set(HOST, &ips[1..], 1800);
        send_until_served_by(&mut pool, &world, ips[1]).await;
        in_flight.finish().await;
        assert_eq!(
            serving_edge(&mut pool, &world).await,
            ips[1],
            "{protocol:?}"
        );
        assert_eq!(world.edges.accepted(ips[0]), before, "{protocol:?}");
        let (addrs, whys): (Vec<_>, Vec<_>) = drained(&world).into_iter().unzip();
        assert!(addrs.iter().all(|&addr| addr == ips[0]), "{protocol:?}");
        let departed = |why: &DrainReason| *why == DrainReason::RemovedFromDns;
        assert!(
            !whys.is_empty() && whys.iter().all(departed),
            "{protocol:?}"
        );
    }
}

/// While the name server fails and fallbacks are served, no address counts as removed from DNS.
#[tokio::test]
async fn fallbacks_drain_no_connection() {
    let short = Duration::from_millis(50);
    let edges = Edges::http(2).await;
    let world = World::of(edges, |builder| {
        let builder = builder.min_ttl(short).max_ttl(short);
        builder.max_stale(Duration::ZERO)
    });
    let (world, protocol) = (world.await, Protocol::Http2);
    let ips = world.ips();
    world.dns.set(HOST, &ips[..1], 1800);
    let layer = world
        .resolver
        .drain_layer()
        .dns_grace_period(Duration::ZERO);
    let mut pool = layer.layer(protocol.client(&world));
    assert_eq!(serving_edge(&mut pool, &world).await, ips[0]);
    world.dns.fault(Fault::ServFail);
    world.resolver.fallbacks().set(HOST, [ips[1]]).unwrap();
    let has_fallen_back = || {
        let snapshot = world.resolver.snapshot();
        let source = snapshot.host(HOST).and_then(|host| host.source);
        source == Some(AnswerSource::Fallback)
    };
    let falling_back = async {
        while !has_fallen_back() {
            assert_eq!(serving_edge(&mut pool, &world).await, ips[0]);
            testkit::sleep(Duration::from_millis(5)).await;
        }
    };
    within("a fallback", falling_back).await;
    assert_eq!(serving_edge(&mut pool, &world).await, ips[0]);
    assert_eq!((world.accepted(), drained(&world)), (1, vec![]));
}

/// A network change removes the answer. The connection is still in use, so the host is looked up again.
#[tokio::test]
async fn after_a_network_change_a_host_in_use_is_looked_up_without_a_connect() {
    let world = Protocol::Http2.world().await;
    let mut pool = Protocol::Http2.pool(&world);
    serving_edge(&mut pool, &world).await;
    assert_eq!(world.queries(), 1);
    world.resolver.network_changed();
    serving_edge(&mut pool, &world).await;
    world.dns.asked(HOST, RecordType::A, 2).await;
    assert_eq!(world.accepted(), 1);
}

#[tokio::test]
async fn during_the_grace_period_an_address_removed_from_dns_takes_requests() {
    for protocol in PROTOCOLS {
        let world = protocol.world().await;
        let (mut pool, ips) = (protocol.pool(&world), world.ips());
        assert_eq!(serving_edge(&mut pool, &world).await, ips[0]);
        world.dns.set(HOST, &ips[1..], 1800);
        world.resolver.invalidate(HOST);
        let resolved = world.resolver.resolve(HOST).await.unwrap();
        assert_eq!(resolved.addrs(), &ips[1..]);
        for _ in 0..3 {
            assert_eq!(
                serving_edge(&mut pool, &world).await,
                ips[0],
                "{protocol:?}"
            );
        }
        assert_eq!(
            (world.accepted(), drained(&world)),
            (1, vec![]),
            "{protocol:?}"
        );
    }
}

/// DNS named the address when the connection was made. No other request came before DNS changed.
#[tokio::test]
async fn a_connection_used_once_is_drained_after_dns_removed_its_address() {
    let world = Protocol::Http2.world().await;
    let layer = world
        .resolver
        .drain_layer()
        .dns_grace_period(Duration::ZERO);
    let mut pool = layer.layer(Protocol::Http2.client(&world));
    let ips = world.ips();
    assert_eq!(serving_edge(&mut pool, &world).await, ips[0]);
    world.dns.set(HOST, &ips[1..], 1800);
    world.resolver.invalidate(HOST);
    world.resolver.resolve(HOST).await.unwrap();
    assert_eq!(serving_edge(&mut pool, &world).await, ips[1]);
    assert_eq!(drained(&world), [(ips[0], DrainReason::RemovedFromDns)]);
}

#[tokio::test]
async fn an_old_connection_is_replaced_and_its_requests_finish() {
    for protocol in PROTOCOLS {
        let world = protocol.world().await;
        let age = Duration::from_millis(100);
        let layer = world.resolver.drain_layer().max_connection_age(age);
        let mut pool = layer.layer(protocol.client(&world));
        let ip = world.ips()[0];
        let in_flight = InFlight::start(&pool, &world).await;
        assert_eq!(serving_edge(&mut pool, &world).await, ip);
        let before = world.accepted();
        let replaced = async {
            while drained(&world).is_empty() || world.accepted() == before {
                assert_eq!(serving_edge(&mut pool, &world).await, ip, "{protocol:?}");
                testkit::sleep(Duration::from_millis(5)).await;
            }
        };
        within("a new connection", replaced).await;
        in_flight.finish().await;
        let is_old = |&(_, why): &(IpAddr, DrainReason)| why == DrainReason::MaxAge;
        assert!(drained(&world).iter().all(is_old), "{protocol:?}");
    }
}

/// Returns a guest whose response at `/halves` has a second half that the test releases.
fn in_halves(halves: mpsc::UnboundedSender<oneshot::Sender<()>>) -> Guest {
    Guest::new(move |stream| {
        let halves = halves.clone();
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (go, wait) = oneshot::channel::<()>();
                if request.uri().path() == "/halves" {
                    halves.send(go).unwrap();
                } else {
                    go.send(()).unwrap();
                }
                let body = two_halves("first ", oneshot::channel().0, "second", wait);
                async { Ok::<_, std::convert::Infallible>(Response::new(body)) }
            });
            let http = auto::Builder::new(TokioExecutor::new());
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        }
    })
}

#[tokio::test]
async fn a_response_that_is_still_streaming_is_not_cut_off() {
    for protocol in PROTOCOLS {
        let (sender, mut halves) = mpsc::unbounded_channel();
        let edges = Edges::hosting(2, protocol.scheme(), in_halves(sender)).await;
        let world = protocol.world_of(edges).await;
        let (mut pool, ips) = (protocol.pool(&world), world.ips());
        let url = world.url() + "halves";
        let response = send(&mut pool, &url, empty()).await.unwrap();
        world.resolver.report(HOST, ips[0], Outcome::Refused);
        let other = send(&mut pool, &world.url(), empty()).await.unwrap();
        assert_eq!(world.edges.accepted(ips[1]), 1, "{protocol:?}");
        assert_eq!(text(other).await, "first second", "{protocol:?}");
        assert_eq!(drained(&world), [(ips[0], DrainReason::Penalized)]);
        halves.recv().await.unwrap().send(()).unwrap();
        assert_eq!(text(response).await, "first second", "{protocol:?}");
    }
}

/// HTTP/2 sends all requests on one connection, so an edge that responds with 503 would get all of them. Two strikes
/// drain the connection.
#[tokio::test]
async fn with_a_passive_health_layer_connections_to_an_unavailable_edge_are_drained() {
    for inside in [true, false] {
        let world = Protocol::Http2.world().await;
        let (pool, ips) = (world.resolver.drain_layer(), world.ips());
        let health = world
            .resolver
            .passive_health_layer()
            .require_connection_close(false);
        let client = stock_http2(&world);
        let mut service = match inside {
            true => BoxCloneSyncService::new(pool.layer(health.layer(client))),
            false => BoxCloneSyncService::new(health.layer(pool.layer(client))),
        }
        .map_err(BoxError::from);
        assert_eq!(serving_edge(&mut service, &world).await, ips[0]);
        world.edges.set(ips[0], Mode::Unavailable).await;
        send_until_served_by(&mut service, &world, ips[1]).await;
        assert!(world.is_penalized(ips[0]), "inside: {inside}");
        // A connection that the edge has closed is drained too, because the layer does not learn of its end.
        let expected = (ips[0], DrainReason::Penalized);
        let drained = drained(&world);
        assert!(drained.contains(&expected) && drained.iter().all(|it| *it == expected));
    }
}

fn stock_http2(
    world: &World,
) -> Client<impl hyper_util::client::legacy::connect::Connect + Clone + Send + Sync + 'static, Body>
{
    let http = HttpConnector::new_with_resolver(world.resolver.clone());
    Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build(world.resolver.connect_layer().layer(http))
}

/// Returns a client whose connector connects to the edges for every host, as for a proxy.
fn proxied(world: &World) -> Stock {
    let http = HttpConnector::new_with_resolver(world.resolver.clone());
    let proxy: Uri = world.url().parse().unwrap();
    let http = http.map_request(move |_: Uri| proxy.clone());
    let connector = world.resolver.connect_layer().layer(http);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    BoxCloneSyncService::new(client.map_err(BoxError::from))
}

/// The answer for a host says nothing about its proxy. A host that only the proxy connects to is not looked up.
#[tokio::test]
async fn a_connection_to_a_proxy_does_not_follow_dns_of_the_requested_hosts() {
    let world = Protocol::Http1.world().await;
    let layer = world
        .resolver
        .drain_layer()
        .dns_grace_period(Duration::ZERO);
    let mut pool = layer.layer(proxied(&world));
    let elsewhere: IpAddr = [127, 0, 0, 99].into();
    world.dns.set("origin.test", &[elsewhere], 1800);
    let url = "http://origin.test/";
    for is_resolved in [false, true] {
        for _ in 0..3 {
            let response = send(&mut pool, url, empty()).await.unwrap();
            assert!(text(response).await.contains("127.0.0.2"));
        }
        assert_eq!(
            (world.accepted(), drained(&world)),
            (1, vec![]),
            "{is_resolved}"
        );
        let queries = world.dns.queries("origin.test", RecordType::A);
        assert_eq!(queries, usize::from(is_resolved));
        world.resolver.resolve("origin.test").await.unwrap();
    }
}

/// The clones of a service share the pool, so they share the record of its connections.
#[tokio::test]
async fn a_clone_drains_connections_that_another_clone_made() {
    let world = Protocol::Http1.world().await;
    let (mut pool, ips) = (Protocol::Http1.pool(&world), world.ips());
    let mut clone = pool.clone();
    assert_eq!(serving_edge(&mut pool, &world).await, ips[0]);
    world.resolver.report(HOST, ips[0], Outcome::Refused);
    assert_eq!(serving_edge(&mut clone, &world).await, ips[1]);
    assert_eq!(drained(&world), [(ips[0], DrainReason::Penalized)]);
}

#[test]
fn the_layer_and_its_service_can_be_shared() {
    fn is_shared<T: Clone + Send + Sync + 'static>() {}
    is_shared::<DrainLayer>();
    is_shared::<Drain<Stock>>();
}
