//! Connections that are kept follow health, DNS and age; over HTTP/1.1, HTTP/2 in the clear, and
//! HTTP/2 by ALPN.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;
#[path = "common/hyper_client.rs"]
mod hyper_client;

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use common::{Edges, Fault, Guest, HOST, Mode, RecordType, Scheme, Seen, World, within};
use futures_util::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_client::{tcp, tls};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use sidestep::{AddressOrder, AddressState, AnswerSource, Drain, DrainLayer, DrainReason, Outcome};
use tokio::sync::{mpsc, oneshot};
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, Service, ServiceExt as _};

type Body = UnsyncBoxBody<Bytes, std::io::Error>;
type Stock = BoxCloneSyncService<Request<Body>, Response<Incoming>, BoxError>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wire {
    Http1,
    /// In the clear, with prior knowledge.
    Http2,
    /// By ALPN.
    Alpn,
}

const WIRES: [Wire; 3] = [Wire::Http1, Wire::Http2, Wire::Alpn];

impl Wire {
    fn scheme(self) -> Scheme {
        match self {
            Self::Http1 | Self::Http2 => Scheme::Http,
            Self::Alpn => Scheme::Https,
        }
    }

    /// A world of two edges, the first of which is dialled while both are well.
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

    /// hyper-util's client, which keeps its connections.
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

/// The first half at once, and the second when `go` says so.
fn in_two(
    first: &'static str,
    taken: oneshot::Sender<()>,
    second: &'static str,
    go: oneshot::Receiver<()>,
) -> Body {
    let first = async move {
        // Whoever does not wait for it does not hear it.
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

async fn text(answer: Response<Incoming>) -> String {
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.into()).unwrap()
}

/// Sends a request and returns which edge has answered.
async fn ask<S>(service: &mut S, world: &World) -> IpAddr
where
    S: Service<Request<Body>, Response = Response<Incoming>, Error = BoxError>,
{
    let answer = send(service, &world.url(), empty()).await.unwrap();
    let text = text(answer).await;
    let addr = text.split(' ').nth(1).and_then(|addr| addr.parse().ok());
    addr.unwrap_or_else(|| panic!("no edge says {text:?}"))
}

/// Sends requests until one is answered by this edge.
async fn ask_until<S>(service: &mut S, world: &World, wanted: IpAddr)
where
    S: Service<Request<Body>, Response = Response<Incoming>, Error = BoxError>,
{
    let asking = async {
        while ask(service, world).await != wanted {
            common::sleep(Duration::from_millis(5)).await;
        }
    };
    within("an answer of the other edge", asking).await;
}

/// A request that is in flight until it is told to end, and what it is answered then.
struct InFlight {
    end: oneshot::Sender<()>,
    answer: tokio::task::JoinHandle<String>,
}

impl InFlight {
    /// Returns when the edge has it: HTTP/1.1 makes a connection of its own for it.
    async fn start(pool: &Drain<Stock>, world: &World) -> Self {
        let (end, ended) = oneshot::channel::<()>();
        let (taken, begun) = oneshot::channel::<()>();
        let body = in_two("it was ", taken, "in flight", ended);
        let (mut pool, url) = (pool.clone(), world.url() + "echo");
        let answer =
            tokio::spawn(async move { text(send(&mut pool, &url, body).await.unwrap()).await });
        begun.await.unwrap();
        Self { end, answer }
    }

    async fn comes_to_its_end(self) {
        self.end.send(()).unwrap();
        assert_eq!(self.answer.await.unwrap(), "it was in flight");
    }
}

fn retired(world: &World) -> Vec<(IpAddr, DrainReason)> {
    let retired = |seen: Seen| match seen {
        Seen::Retired(addr, why) => Some((addr, why)),
        _ => None,
    };
    world
        .journal
        .seen()
        .into_iter()
        .filter_map(retired)
        .collect()
}

#[tokio::test]
async fn requests_leave_a_penalized_address_and_none_in_flight_is_cut() {
    for wire in WIRES {
        let world = wire.world().await;
        let (mut pool, ips) = (wire.pool(&world), world.ips());
        let in_flight = InFlight::start(&pool, &world).await;
        assert_eq!(ask(&mut pool, &world).await, ips[0], "{wire:?}");
        let before = world.edges.accepted(ips[0]);
        world.resolver.report(HOST, ips[0], Outcome::Refused);
        for _ in 0..3 {
            assert_eq!(ask(&mut pool, &world).await, ips[1], "{wire:?}");
        }
        in_flight.comes_to_its_end().await;
        assert_eq!(ask(&mut pool, &world).await, ips[1], "{wire:?}");
        assert_eq!(world.edges.accepted(ips[0]), before, "{wire:?}");
        assert_eq!(world.edges.accepted(ips[1]), 1, "{wire:?}: it is kept");
        let expected = vec![(ips[0], DrainReason::Penalized); before];
        assert_eq!(retired(&world), expected, "{wire:?}");
        let counted = world.resolver.snapshot().drained_connections;
        assert_eq!(counted, before as u64, "{wire:?}");
    }
}

/// A first soft strike moves no connection; nor does the failure of another host's address.
#[tokio::test]
async fn a_soft_strike_moves_nothing() {
    for wire in WIRES {
        let world = wire.world().await;
        let (mut pool, ips) = (wire.pool(&world), world.ips());
        assert_eq!(ask(&mut pool, &world).await, ips[0]);
        world.resolver.report(HOST, ips[0], Outcome::ClosedEarly);
        assert_eq!(world.standing(ips[0]), AddressState::Probation);
        world.dns.set("other.test", &ips, 60);
        world.resolver.resolve("other.test").await.unwrap();
        let refused = Outcome::Refused;
        world.resolver.report("other.test", ips[0], refused);
        assert_eq!(ask(&mut pool, &world).await, ips[0], "{wire:?}");
        assert_eq!(retired(&world), [], "{wire:?}");
        assert_eq!(world.accepted(), 1, "{wire:?}");
    }
}

/// Where one connection went silent the others are silent too: one soft strike moves them.
#[tokio::test]
async fn connections_to_an_address_that_went_silent_take_no_new_requests() {
    for wire in WIRES {
        let world = wire.world().await;
        let (mut pool, ips) = (wire.pool(&world), world.ips());
        assert_eq!(ask(&mut pool, &world).await, ips[0]);
        world.resolver.report(HOST, ips[0], Outcome::Silent);
        assert_eq!(world.standing(ips[0]), AddressState::Probation);
        assert_eq!(ask(&mut pool, &world).await, ips[1], "{wire:?}");
        assert_eq!(
            retired(&world),
            [(ips[0], DrainReason::Penalized)],
            "{wire:?}"
        );
    }
}

/// There is nobody better to dial, so what works is kept, until one is back.
#[tokio::test]
async fn while_all_addresses_are_bad_connections_are_kept() {
    for wire in WIRES {
        let world = wire.world().await;
        let (mut pool, ips) = (wire.pool(&world), world.ips());
        assert_eq!(ask(&mut pool, &world).await, ips[0]);
        for &ip in &ips {
            world.resolver.report(HOST, ip, Outcome::Refused);
        }
        for _ in 0..3 {
            assert_eq!(ask(&mut pool, &world).await, ips[0], "{wire:?}");
        }
        assert_eq!((world.accepted(), retired(&world)), (1, vec![]), "{wire:?}");
        world.resolver.report(HOST, ips[1], Outcome::Connected);
        assert_eq!(ask(&mut pool, &world).await, ips[1], "{wire:?}");
        assert_eq!(retired(&world), [(ips[0], DrainReason::Penalized)]);
    }
}

/// Nobody dials and nobody calls `invalidate`: the layer has the host looked up in time.
#[tokio::test]
async fn requests_follow_dns_though_nobody_dials() {
    for wire in WIRES {
        let edges = match wire.scheme() {
            Scheme::Http => Edges::http(2).await,
            Scheme::Https => Edges::https(2).await,
        };
        let short = Duration::from_millis(50);
        let world = World::of(edges, |builder| builder.min_ttl(short).max_ttl(short)).await;
        let ips = world.ips();
        world.dns.set(HOST, &ips[..1], 1800);
        let layer = world.resolver.drain_layer().dns_grace_period(2 * short);
        let mut pool = layer.layer(wire.client(&world));
        let in_flight = InFlight::start(&pool, &world).await;
        assert_eq!(ask(&mut pool, &world).await, ips[0]);
        let before = world.edges.accepted(ips[0]);
        world.dns.set(HOST, &ips[1..], 1800);
        ask_until(&mut pool, &world, ips[1]).await;
        in_flight.comes_to_its_end().await;
        assert_eq!(ask(&mut pool, &world).await, ips[1], "{wire:?}");
        assert_eq!(world.edges.accepted(ips[0]), before, "{wire:?}");
        let (addrs, whys): (Vec<_>, Vec<_>) = retired(&world).into_iter().unzip();
        assert!(addrs.iter().all(|&addr| addr == ips[0]), "{wire:?}");
        let departed = |why: &DrainReason| *why == DrainReason::RemovedFromDns;
        assert!(!whys.is_empty() && whys.iter().all(departed), "{wire:?}");
    }
}

/// While the name server fails and fallbacks are served, nobody knows who has left.
#[tokio::test]
async fn fallbacks_move_nothing() {
    let short = Duration::from_millis(50);
    let edges = Edges::http(2).await;
    let world = World::of(edges, |builder| {
        let builder = builder.min_ttl(short).max_ttl(short);
        builder.max_stale(Duration::ZERO)
    });
    let (world, wire) = (world.await, Wire::Http2);
    let ips = world.ips();
    world.dns.set(HOST, &ips[..1], 1800);
    let layer = world
        .resolver
        .drain_layer()
        .dns_grace_period(Duration::ZERO);
    let mut pool = layer.layer(wire.client(&world));
    assert_eq!(ask(&mut pool, &world).await, ips[0]);
    world.dns.fault(Fault::ServFail);
    world.resolver.fallbacks().set(HOST, [ips[1]]).unwrap();
    let has_fallen_back = || {
        let snapshot = world.resolver.snapshot();
        let source = snapshot.host(HOST).and_then(|host| host.source);
        source == Some(AnswerSource::Fallback)
    };
    let falling_back = async {
        while !has_fallen_back() {
            assert_eq!(ask(&mut pool, &world).await, ips[0]);
            common::sleep(Duration::from_millis(5)).await;
        }
    };
    within("a fallback", falling_back).await;
    assert_eq!(ask(&mut pool, &world).await, ips[0]);
    assert_eq!((world.accepted(), retired(&world)), (1, vec![]));
}

/// What was known of the host is forgotten, and its connection is still in use: DNS is followed on.
#[tokio::test]
async fn on_another_network_a_host_in_use_is_looked_up_though_nobody_dials() {
    let world = Wire::Http2.world().await;
    let mut pool = Wire::Http2.pool(&world);
    ask(&mut pool, &world).await;
    assert_eq!(world.queries(), 1);
    world.resolver.network_changed();
    ask(&mut pool, &world).await;
    world.dns.asked(HOST, RecordType::A, 2).await;
    assert_eq!(world.accepted(), 1);
}

#[tokio::test]
async fn within_the_grace_period_an_address_that_left_dns_takes_requests() {
    for wire in WIRES {
        let world = wire.world().await;
        let (mut pool, ips) = (wire.pool(&world), world.ips());
        assert_eq!(ask(&mut pool, &world).await, ips[0]);
        world.dns.set(HOST, &ips[1..], 1800);
        world.resolver.invalidate(HOST);
        let resolved = world.resolver.resolve(HOST).await.unwrap();
        assert_eq!(resolved.addrs(), &ips[1..]);
        for _ in 0..3 {
            assert_eq!(ask(&mut pool, &world).await, ips[0], "{wire:?}");
        }
        assert_eq!((world.accepted(), retired(&world)), (1, vec![]), "{wire:?}");
    }
}

/// It was of DNS when it was made, though there was no request between then and the change.
#[tokio::test]
async fn a_connection_leaves_that_was_used_once_before_its_address_left_dns() {
    let world = Wire::Http2.world().await;
    let layer = world
        .resolver
        .drain_layer()
        .dns_grace_period(Duration::ZERO);
    let mut pool = layer.layer(Wire::Http2.client(&world));
    let ips = world.ips();
    assert_eq!(ask(&mut pool, &world).await, ips[0]);
    world.dns.set(HOST, &ips[1..], 1800);
    world.resolver.invalidate(HOST);
    world.resolver.resolve(HOST).await.unwrap();
    assert_eq!(ask(&mut pool, &world).await, ips[1]);
    assert_eq!(retired(&world), [(ips[0], DrainReason::RemovedFromDns)]);
}

#[tokio::test]
async fn an_old_connection_is_replaced_and_its_requests_come_to_their_end() {
    for wire in WIRES {
        let world = wire.world().await;
        let age = Duration::from_millis(100);
        let layer = world.resolver.drain_layer().max_connection_age(age);
        let mut pool = layer.layer(wire.client(&world));
        let ip = world.ips()[0];
        let in_flight = InFlight::start(&pool, &world).await;
        assert_eq!(ask(&mut pool, &world).await, ip);
        let before = world.accepted();
        let replaced = async {
            while retired(&world).is_empty() || world.accepted() == before {
                assert_eq!(ask(&mut pool, &world).await, ip, "{wire:?}");
                common::sleep(Duration::from_millis(5)).await;
            }
        };
        within("a new connection", replaced).await;
        in_flight.comes_to_its_end().await;
        let is_old = |&(_, why): &(IpAddr, DrainReason)| why == DrainReason::MaxAge;
        assert!(retired(&world).iter().all(is_old), "{wire:?}");
    }
}

/// An edge that names itself, sends the first half of its answer, and waits.
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
                let body = in_two("first ", oneshot::channel().0, "second", wait);
                async { Ok::<_, std::convert::Infallible>(Response::new(body)) }
            });
            let http = auto::Builder::new(TokioExecutor::new());
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        }
    })
}

#[tokio::test]
async fn a_response_that_is_still_streaming_is_not_cut() {
    for wire in WIRES {
        let (sender, mut halves) = mpsc::unbounded_channel();
        let edges = Edges::hosting(2, wire.scheme(), in_halves(sender)).await;
        let world = wire.world_of(edges).await;
        let (mut pool, ips) = (wire.pool(&world), world.ips());
        let url = world.url() + "halves";
        let answer = send(&mut pool, &url, empty()).await.unwrap();
        world.resolver.report(HOST, ips[0], Outcome::Refused);
        let other = send(&mut pool, &world.url(), empty()).await.unwrap();
        assert_eq!(world.edges.accepted(ips[1]), 1, "{wire:?}");
        assert_eq!(text(other).await, "first second", "{wire:?}");
        assert_eq!(retired(&world), [(ips[0], DrainReason::Penalized)]);
        halves.recv().await.unwrap().send(()).unwrap();
        assert_eq!(text(answer).await, "first second", "{wire:?}");
    }
}

/// HTTP/2 sends all requests on one connection, so an edge that answers 503 would get them all; two
/// strikes against it move them.
#[tokio::test]
async fn with_an_exchange_layer_an_edge_that_does_not_serve_is_left() {
    for inside in [true, false] {
        let world = Wire::Http2.world().await;
        let (pool, ips) = (world.resolver.drain_layer(), world.ips());
        let exchange = world
            .resolver
            .passive_health_layer()
            .require_connection_close(false);
        let client = stock_http2(&world);
        let mut service = match inside {
            true => BoxCloneSyncService::new(pool.layer(exchange.layer(client))),
            false => BoxCloneSyncService::new(exchange.layer(pool.layer(client))),
        }
        .map_err(BoxError::from);
        assert_eq!(ask(&mut service, &world).await, ips[0]);
        world.edges.set(ips[0], Mode::Unavailable).await;
        ask_until(&mut service, &world, ips[1]).await;
        assert!(world.is_penalized(ips[0]), "inside: {inside}");
        // The one that the edge has closed too: nobody tells that it is gone.
        let moved = (ips[0], DrainReason::Penalized);
        let retired = retired(&world);
        assert!(retired.contains(&moved) && retired.iter().all(|it| *it == moved));
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

/// A connector that dials the edges whatever the request is for, as one to a proxy does.
fn proxied(world: &World) -> Stock {
    let http = HttpConnector::new_with_resolver(world.resolver.clone());
    let proxy: Uri = world.url().parse().unwrap();
    let http = http.map_request(move |_: Uri| proxy.clone());
    let connector = world.resolver.connect_layer().layer(http);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    BoxCloneSyncService::new(client.map_err(BoxError::from))
}

/// What DNS says of a host says nothing about its proxy; and a host that only a proxy dials is not
/// asked for.
#[tokio::test]
async fn a_connection_to_a_proxy_does_not_follow_the_hosts_behind_it() {
    let world = Wire::Http1.world().await;
    let layer = world
        .resolver
        .drain_layer()
        .dns_grace_period(Duration::ZERO);
    let mut pool = layer.layer(proxied(&world));
    let elsewhere: IpAddr = [127, 0, 0, 99].into();
    world.dns.set("origin.test", &[elsewhere], 1800);
    let url = "http://origin.test/";
    for known in [false, true] {
        for _ in 0..3 {
            let answer = send(&mut pool, url, empty()).await.unwrap();
            assert!(text(answer).await.contains("127.0.0.2"));
        }
        assert_eq!((world.accepted(), retired(&world)), (1, vec![]), "{known}");
        let asked = world.dns.queries("origin.test", RecordType::A);
        assert_eq!(asked, usize::from(known));
        world.resolver.resolve("origin.test").await.unwrap();
    }
}

/// Its clones share the pool, so they share what is known of it.
#[tokio::test]
async fn a_clone_retires_what_another_has_used() {
    let world = Wire::Http1.world().await;
    let (mut pool, ips) = (Wire::Http1.pool(&world), world.ips());
    let mut clone = pool.clone();
    assert_eq!(ask(&mut pool, &world).await, ips[0]);
    world.resolver.report(HOST, ips[0], Outcome::Refused);
    assert_eq!(ask(&mut clone, &world).await, ips[1]);
    assert_eq!(retired(&world), [(ips[0], DrainReason::Penalized)]);
}

#[test]
fn the_layer_can_be_shared() {
    fn is_shared<T: Clone + Send + Sync + 'static>() {}
    is_shared::<DrainLayer>();
    is_shared::<Drain<Stock>>();
}
