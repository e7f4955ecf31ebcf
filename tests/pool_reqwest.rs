//! Stock reqwest whose connections follow health, DNS and age: HTTP/1.1, HTTP/2 in the clear with
//! prior knowledge, and HTTP/2 by ALPN.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{Edges, Guest, HOST, Scheme, Seen, World, within};
use http::header::HOST as HOST_HEADER;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use sidestep::reqwest::{ClientBuilderExt as _, RotatingClient};
use sidestep::{AddressOrder, DrainLayer, DrainReason, Outcome, ResolverBuilder};
use tokio::sync::oneshot;
use tower::{Service as _, ServiceExt as _};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wire {
    Http1,
    Http2,
    Alpn,
}

const WIRES: [Wire; 3] = [Wire::Http1, Wire::Http2, Wire::Alpn];

impl Wire {
    async fn world_with(self, set: impl FnOnce(ResolverBuilder) -> ResolverBuilder) -> World {
        let ips: [IpAddr; 2] = [[127, 0, 0, 2].into(), [127, 0, 0, 3].into()];
        let scheme = match self {
            Self::Http1 | Self::Http2 => Scheme::Http,
            Self::Alpn => Scheme::Https,
        };
        World::of(Edges::on(&ips, scheme).await, set).await
    }

    /// The first of two edges is dialled while both are well.
    async fn world(self) -> World {
        self.world_with(|builder| builder.address_order(AddressOrder::Preserve))
            .await
    }

    fn builder(self, edges: &Edges) -> reqwest::ClientBuilder {
        let mut tls = edges.client_config();
        if self == Self::Alpn {
            tls.alpn_protocols = vec![b"h2".to_vec()];
        }
        let builder = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(tls);
        match self {
            Self::Http2 => builder.http2_prior_knowledge(),
            Self::Http1 | Self::Alpn => builder,
        }
    }

    /// Returns a client, and how many stock ones it has made.
    fn client(self, world: &World, layer: &DrainLayer) -> (RotatingClient, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        let (edges, resolver, count) = (world.edges.clone(), world.resolver.clone(), made.clone());
        let client = layer.reqwest(move || {
            count.fetch_add(1, Ordering::Relaxed);
            self.builder(&edges).sidestep(&resolver).build()
        });
        (client.unwrap(), made)
    }
}

async fn send(client: &RotatingClient, url: &str) -> reqwest::Result<String> {
    let request = client.request_builder(Method::GET, url).build()?;
    client.execute(request).await?.text().await
}

/// Sends a request and returns which edge has answered.
async fn ask(client: &RotatingClient, world: &World) -> IpAddr {
    let text = send(client, &world.url()).await.unwrap();
    let addr = text.split(' ').nth(1).and_then(|addr| addr.parse().ok());
    addr.unwrap_or_else(|| panic!("no edge says {text:?}"))
}

/// Begins a request that is in flight until it is told to end.
async fn begin(
    client: &RotatingClient,
    world: &World,
) -> (oneshot::Sender<()>, tokio::task::JoinHandle<String>) {
    let (end, ended) = oneshot::channel::<()>();
    let (taken, begun) = oneshot::channel::<()>();
    let chunk = async move {
        taken.send(()).unwrap();
        ended.await.map(|()| Bytes::from("in flight"))
    };
    let body = reqwest::Body::wrap_stream(futures_util::stream::once(chunk));
    let url = world.url() + "echo";
    let request = client
        .request_builder(Method::POST, url)
        .body(body)
        .build()
        .unwrap();
    let client = client.clone();
    let answer = tokio::spawn(async move {
        let answer = client.execute(request).await.unwrap();
        answer.text().await.unwrap()
    });
    begun.await.unwrap();
    (end, answer)
}

fn retired(world: &World) -> Vec<(IpAddr, DrainReason)> {
    let retired = |seen: Seen| match seen {
        Seen::Retired(addr, why) => Some((addr, why)),
        _ => None,
    };
    let seen = world.journal.seen();
    seen.into_iter().filter_map(retired).collect()
}

#[tokio::test]
async fn requests_leave_a_penalized_address_and_none_in_flight_is_cut() {
    for wire in WIRES {
        let world = wire.world().await;
        let (client, made) = wire.client(&world, &world.resolver.drain_layer());
        let ips = world.ips();
        let (end, in_flight) = begin(&client, &world).await;
        for _ in 0..3 {
            assert_eq!(ask(&client, &world).await, ips[0], "{wire:?}");
        }
        let before = world.edges.accepted(ips[0]);
        world.resolver.report(HOST, ips[0], Outcome::Refused);
        for _ in 0..3 {
            assert_eq!(ask(&client, &world).await, ips[1], "{wire:?}");
        }
        end.send(()).unwrap();
        assert_eq!(in_flight.await.unwrap(), "in flight", "{wire:?}");
        assert_eq!(ask(&client, &world).await, ips[1], "{wire:?}");
        let accepted = ips.iter().map(|&ip| world.edges.accepted(ip));
        assert!(accepted.eq([before, 1]), "{wire:?}: they are kept");
        assert_eq!(retired(&world), [(ips[0], DrainReason::Penalized)]);
        assert_eq!(made.load(Ordering::Relaxed), 2, "{wire:?}");
    }
}

#[tokio::test]
async fn requests_follow_dns_though_nobody_dials() {
    for wire in WIRES {
        let short = Duration::from_millis(50);
        let world = wire
            .world_with(|builder| builder.min_ttl(short).max_ttl(short))
            .await;
        let ips = world.ips();
        world.dns.set(HOST, &ips[..1], 1800);
        let layer = world.resolver.drain_layer().dns_grace_period(2 * short);
        let (client, _) = wire.client(&world, &layer);
        assert_eq!(ask(&client, &world).await, ips[0], "{wire:?}");
        world.dns.set(HOST, &ips[1..], 1800);
        let moved = async {
            while ask(&client, &world).await != ips[1] {
                common::sleep(Duration::from_millis(5)).await;
            }
        };
        within("an answer of the other edge", moved).await;
        assert_eq!(retired(&world), [(ips[0], DrainReason::RemovedFromDns)]);
    }
}

#[tokio::test]
async fn while_all_addresses_are_bad_connections_are_kept() {
    for wire in WIRES {
        let world = wire.world().await;
        let (client, made) = wire.client(&world, &world.resolver.drain_layer());
        let ips = world.ips();
        assert_eq!(ask(&client, &world).await, ips[0], "{wire:?}");
        for &ip in &ips {
            world.resolver.report(HOST, ip, Outcome::Refused);
        }
        for _ in 0..3 {
            assert_eq!(ask(&client, &world).await, ips[0], "{wire:?}");
        }
        assert_eq!((world.accepted(), retired(&world)), (1, vec![]), "{wire:?}");
        assert_eq!(made.load(Ordering::Relaxed), 1, "{wire:?}");
    }
}

/// Another host's connections stay where they are.
#[tokio::test]
async fn only_the_origin_is_moved_whose_connection_is_retired() {
    let world = Wire::Http2.world().await;
    let ips = world.ips();
    world.dns.set("other.edge.test", &ips[..1], 1800);
    let other = world.edges.url("other.edge.test");
    let (mut client, made) = Wire::Http2.client(&world, &world.resolver.drain_layer());
    assert_eq!(ask(&client, &world).await, ips[0]);
    send(&client, &other).await.unwrap();
    world.resolver.report(HOST, ips[0], Outcome::Refused);
    assert_eq!(ask(&client.clone(), &world).await, ips[1]);
    let request = client.request_builder(Method::GET, &other).build().unwrap();
    let answer = client.ready().await.unwrap().call(request).await.unwrap();
    assert!(answer.text().await.unwrap().contains("127.0.0.2"));
    assert_eq!(world.edges.accepted(ips[0]), 2);
    assert_eq!(made.load(Ordering::Relaxed), 2, "a clone shares them");
}

/// An edge whose one name leads to its other one.
fn redirecting() -> Guest {
    Guest::new(|stream| async {
        let service = service_fn(|request: Request<Incoming>| async move {
            let host = request.headers()[HOST_HEADER].to_str().unwrap().to_owned();
            let answer = match host.strip_prefix("edge.test:") {
                Some(port) => Response::builder()
                    .status(302)
                    .header("location", format!("http://other.edge.test:{port}/")),
                None => Response::builder(),
            };
            answer.body(String::new())
        });
        let http = auto::Builder::new(TokioExecutor::new());
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
    })
}

#[tokio::test]
async fn a_connection_that_requests_are_redirected_to_is_left_too() {
    let edges = Edges::hosting(2, Scheme::Http, redirecting()).await;
    let world = World::of(edges, |builder| {
        builder.address_order(AddressOrder::Preserve)
    })
    .await;
    let ips = world.ips();
    world.dns.set("other.edge.test", &ips, 1800);
    let (client, _) = Wire::Http1.client(&world, &world.resolver.drain_layer());
    for _ in 0..2 {
        send(&client, &world.url()).await.unwrap();
    }
    assert_eq!(world.accepted(), 2);
    let refused = Outcome::Refused;
    world.resolver.report("other.edge.test", ips[0], refused);
    for _ in 0..2 {
        send(&client, &world.url()).await.unwrap();
    }
    assert_eq!(world.edges.accepted(ips[1]), 1);
}

#[tokio::test]
async fn when_no_other_client_can_be_made_the_one_before_serves() {
    let world = Wire::Http1.world().await;
    let (edges, resolver, ips) = (world.edges.clone(), world.resolver.clone(), world.ips());
    let made = AtomicUsize::new(0);
    let layer = world.resolver.drain_layer();
    let client = layer.reqwest(move || {
        let builder = Wire::Http1.builder(&edges).sidestep(&resolver);
        match made.fetch_add(1, Ordering::Relaxed) {
            0 => builder.build(),
            _ => builder.user_agent("\n").build(),
        }
    });
    let client = client.unwrap();
    assert_eq!(ask(&client, &world).await, ips[0]);
    world.resolver.report(HOST, ips[0], Outcome::Refused);
    assert_eq!(ask(&client, &world).await, ips[0]);
}

/// Why a whole client is left: reqwest keeps the extensions of a request to itself, so nothing of
/// its pool can be captured. When this fails, it can; then `Pool` is to serve reqwest as well.
#[tokio::test]
async fn stock_reqwest_lets_no_connection_be_captured() {
    for wire in WIRES {
        let world = wire.world().await;
        let client = wire.builder(&world.edges).sidestep(&world.resolver);
        let mut request = Request::get(world.url()).body("").unwrap();
        let captured = capture_connection(&mut request);
        let request = reqwest::Request::try_from(request).unwrap();
        let answer = client.build().unwrap().execute(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(captured.connection_metadata().is_none(), "{wire:?}");
    }
}
