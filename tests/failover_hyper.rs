//! The same edges die under hyper-util's legacy client, with and without TLS.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;
#[path = "common/hyper_client.rs"]
mod hyper_client;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use common::{HOST, Mode, Seen, World};
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::Frame;
use hyper::{Request, Uri};
use hyper_client::{Body, build, get, tcp, tls};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sidestep::{AddressState, Outcome, Resolver};
use tokio::net::TcpStream;
use tower::{Layer as _, Service, ServiceExt as _, util::BoxCloneSyncService};

/// TLS inside of our layer, so that a failed handshake is seen.
fn client(world: &World) -> Client<impl Connect + Clone + Send + Sync + 'static, Body> {
    let https = tls(&world.edges).enable_http1();
    let https = https.wrap_connector(tcp(&world.resolver));
    build(world.resolver.connect_layer().layer(https))
}

#[tokio::test]
async fn a_refusing_edge_costs_no_request() {
    let world = World::http(2).await;
    let (client, dead) = (client(&world), world.ips()[0]);
    world.edges.set(dead, Mode::Refuse).await;
    for _ in 0..200 {
        get(&client, &world.url()).await.unwrap();
    }
    assert_eq!(world.journal.failures(), [(dead, Outcome::Failed)]);
}

#[tokio::test]
async fn a_black_hole_costs_one_race() {
    let world = World::https(2).await;
    let (client, dead) = (client(&world), world.ips()[0]);
    world.edges.set(dead, Mode::BlackHole).await;
    let requests = async {
        while world.standing(dead) == AddressState::Healthy {
            get(&client, &world.url()).await.unwrap();
        }
    };
    requests.await;
    assert_eq!(world.journal.failures(), [(dead, Outcome::Slow)]);
}

/// Plain hyper does not send a request again: one request sees the error, the next ones do not.
#[tokio::test]
async fn an_edge_broken_in_tls_costs_one_request() {
    for (mode, outcome) in [
        (Mode::TlsReset, Outcome::TlsFailed),
        (Mode::WrongCertificate, Outcome::BadCertificate),
    ] {
        let world = World::https(2).await;
        let (client, dead) = (client(&world), world.ips()[0]);
        world.edges.set(dead, mode).await;
        let mut failed = 0;
        for _ in 0..100 {
            failed += usize::from(get(&client, &world.url()).await.is_err());
        }
        assert_eq!(
            (failed, world.journal.failures()),
            (1, vec![(dead, outcome)]),
            "{mode:?}"
        );
    }
}

#[tokio::test]
async fn when_dns_has_moved_the_next_request_finds_the_new_edges() {
    let world = World::http(4).await;
    let client = client(&world);
    let ips = world.ips();
    world.dns.set(HOST, &ips[..2], 1800);
    get(&client, &world.url()).await.unwrap();
    world.dns.set(HOST, &ips[2..], 1800);
    for &ip in &ips[..2] {
        world.edges.set(ip, Mode::Refuse).await;
    }
    assert!(get(&client, &world.url()).await.unwrap_err().is_connect());
    for _ in 0..10 {
        get(&client, &world.url()).await.unwrap();
    }
}

#[tokio::test]
async fn an_edge_that_comes_back_serves_again() {
    let world = World::http(2).await;
    let (client, dead) = (client(&world), world.ips()[0]);
    world.edges.set(dead, Mode::Refuse).await;
    while !world.is_penalized(dead) {
        get(&client, &world.url()).await.unwrap();
    }
    world.edges.set(dead, Mode::Serve).await;
    let penalty = world.penalty_left(dead);
    common::sleep(penalty).await;
    get(&client, &world.url()).await.unwrap();
    assert_eq!(
        world.journal.count(|seen| *seen == Seen::Recovered(dead)),
        1
    );
}

/// A pooled connection becomes free while ours still connects: hyper-util moves the connect to
/// the background, and its end is seen there too.
#[tokio::test]
async fn a_connect_that_goes_on_in_the_background_is_still_seen() {
    let world = World::of(common::Edges::http(2).await, |b| {
        b.ipv4_mapped_fallback(false)
    });
    // No test waits for the connect that needs time.
    let world = world.await.in_real_time();
    let ips = world.ips();
    world.dns.set(HOST, &ips[..1], 1800);
    let connector = world
        .resolver
        .connect_layer()
        .layer(HttpConnector::new_with_resolver(world.resolver.clone()));
    let client = Client::builder(TokioExecutor::new()).build(connector);
    // One connection is in use by a request whose body is not at its end; the name moves to an
    // edge that does not answer.
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let frame = async move { ended.await.map(|()| Frame::data(Bytes::from("x"))) };
    let body = StreamBody::new(futures_util::stream::once(frame)).boxed();
    let request = Request::post(world.url() + "echo").body(body).unwrap();
    let busy = tokio::spawn(client.request(request));
    world.edges.accepts(ips[0], 1).await;
    world.dns.set(HOST, &[ips[1]], 1800);
    world.edges.set(ips[1], Mode::BlackHole).await;
    world.resolver.invalidate(HOST);
    let empty = Empty::new().map_err(|never| match never {}).boxed();
    let request = Request::get(world.url()).body(empty).unwrap();
    let second = tokio::spawn(client.request(request));
    world.dns.asked(HOST, common::RecordType::A, 2).await;
    // The first connection goes back to the pool and serves the second request.
    end.send(()).unwrap();
    drop(
        busy.await
            .unwrap()
            .unwrap()
            .into_body()
            .collect()
            .await
            .unwrap(),
    );
    second
        .await
        .unwrap()
        .expect("the pooled connection serves it");
    world
        .journal
        .saw(|seen| *seen == Seen::Failed(ips[1], Outcome::Slow))
        .await;
}

/// A layer below ours that boxes changes nothing.
#[tokio::test]
async fn a_boxing_layer_in_between_is_no_obstacle() {
    let world = World::http(2).await;
    let boxed = BoxCloneSyncService::new(HttpConnector::new_with_resolver(world.resolver.clone()));
    let client = build(world.resolver.connect_layer().layer(boxed));
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::Refuse).await;
    for _ in 0..100 {
        get(&client, &world.url()).await.unwrap();
    }
    assert_eq!(world.journal.failures(), [(dead, Outcome::Failed)]);
}

/// Spawns each connect on a task of its own, as `tower::buffer` does.
#[derive(Clone)]
struct Spawning(HttpConnector<Resolver>);

impl Service<Uri> for Spawning {
    type Response = <HttpConnector<Resolver> as Service<Uri>>::Response;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let http = self.0.clone();
        let connecting = tokio::spawn(async move { http.oneshot(uri).await });
        Box::pin(async move { Ok(connecting.await??) })
    }
}

/// Where a spawning layer loses the context nothing breaks, and one warning says what to move.
#[tokio::test]
async fn a_spawning_layer_in_between_is_warned_of_once() {
    let world = World::http(2).await;
    let spawning = Spawning(HttpConnector::new_with_resolver(world.resolver.clone()));
    let client = build(world.resolver.connect_layer().layer(spawning));
    for _ in 0..20 {
        get(&client, &world.url()).await.unwrap();
    }
    assert_eq!(world.journal.count(|seen| *seen == Seen::ContextLost), 1);
    assert_eq!(world.journal.failures(), []);
}

/// Asks the resolver while it is called, and not in its future.
#[derive(Clone)]
struct Eager(Resolver);

impl Service<Uri> for Eager {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let port = uri.port_u16().unwrap_or(80);
        let resolving = self.0.call(uri.host().unwrap().parse().unwrap());
        Box::pin(async move {
            let mut failed = None;
            for mut addr in resolving.await? {
                addr.set_port(port);
                match TcpStream::connect(addr).await {
                    Ok(stream) => return Ok(TokioIo::new(stream)),
                    Err(error) => failed = Some(error),
                }
            }
            Err(failed.expect("there are addresses").into())
        })
    }
}

/// hyper-rustls calls the connector below at once; one that asks then is seen too.
#[tokio::test]
async fn a_connector_that_asks_while_it_is_called_is_seen() {
    let world = World::http(2).await;
    let client = build(
        world
            .resolver
            .connect_layer()
            .layer(Eager(world.resolver.clone())),
    );
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::Refuse).await;
    for _ in 0..100 {
        get(&client, &world.url()).await.unwrap();
    }
    assert_eq!(world.journal.failures(), [(dead, Outcome::Failed)]);
}

/// A blank context alone is no reason to warn: an address in the URL needs no lookup.
#[tokio::test]
async fn an_address_in_the_url_is_not_warned_of() {
    let world = World::http(2).await;
    let client = client(&world);
    for _ in 0..5 {
        get(&client, &world.url()).await.unwrap();
        get(&client, &world.edges.url("127.0.0.2")).await.unwrap();
    }
    assert_eq!(world.journal.count(|seen| *seen == Seen::ContextLost), 0);
    world.edges.set(world.ips()[0], Mode::Refuse).await;
    get(&client, &world.edges.url("127.0.0.2"))
        .await
        .unwrap_err();
    assert_eq!(
        world.journal.failures(),
        [],
        "and its failure blames nobody"
    );
}

/// hyper tells where a request went; over many each edge gets its share.
#[tokio::test]
async fn every_edge_gets_its_share() {
    let world = World::http(4).await;
    let client = client(&world);
    for _ in 0..400 {
        get(&client, &world.url()).await.unwrap();
    }
    let served: Vec<usize> = world
        .ips()
        .iter()
        .map(|&ip| world.edges.served(ip))
        .collect();
    // 100 each are expected, with a deviation of 9; five deviations.
    assert!(served.iter().all(|n| (55..=145).contains(n)), "{served:?}");
}
