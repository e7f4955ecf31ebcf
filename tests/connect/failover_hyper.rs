//! hyper-util's legacy client with the connect layer reaches a live edge if another edge fails, with and without TLS.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::Frame;
use hyper::{Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sidestep::{AddressState, Outcome, Resolver};
use testkit::hyper_client::{Body, build, get, tcp, tls};
use testkit::{HOST, Mode, Seen, World};
use tokio::net::TcpStream;
use tower::{Layer as _, Service, ServiceExt as _, util::BoxCloneSyncService};

/// Returns a client whose connect layer is around TLS, so that the layer sees a failed handshake.
fn client(world: &World) -> Client<impl Connect + Clone + Send + Sync + 'static, Body> {
    let https = tls(&world.edges).enable_http1();
    let https = https.wrap_connector(tcp(&world.resolver));
    build(world.resolver.connect_layer().layer(https))
}

#[tokio::test]
async fn an_edge_that_refuses_fails_no_request() {
    let world = World::http(2).await;
    let (client, dead) = (client(&world), world.ips()[0]);
    world.edges.set(dead, Mode::Refuse).await;
    for _ in 0..200 {
        get(&client, &world.url()).await.unwrap();
    }
    assert_eq!(world.journal.failures(), [(dead, Outcome::Failed)]);
}

#[tokio::test]
async fn a_black_holed_edge_is_slow_once_and_fails_no_request() {
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

/// hyper does not send a request again, so one request fails. Later requests go to the other edge.
#[tokio::test]
async fn an_edge_that_fails_in_tls_fails_one_request() {
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
async fn after_dns_changes_one_request_fails_and_the_next_reach_the_new_edges() {
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
async fn an_edge_that_serves_again_recovers_after_its_penalty() {
    let world = World::http(2).await;
    let (client, dead) = (client(&world), world.ips()[0]);
    world.edges.set(dead, Mode::Refuse).await;
    while !world.is_penalized(dead) {
        get(&client, &world.url()).await.unwrap();
    }
    world.edges.set(dead, Mode::Serve).await;
    let penalty = world.penalty_left(dead);
    testkit::sleep(penalty).await;
    get(&client, &world.url()).await.unwrap();
    assert_eq!(
        world.journal.count(|seen| *seen == Seen::Recovered(dead)),
        1
    );
}

/// If a pooled connection becomes free during a connect, hyper-util finishes the connect in the background. The layer
/// records how the connect ends.
#[tokio::test]
async fn the_end_of_a_connect_in_the_background_is_recorded() {
    let world = World::of(testkit::Edges::http(2).await, |b| {
        b.ipv4_mapped_fallback(false)
    });
    // The test does not wait for the slow connect, so a stopped clock would not advance.
    let world = world.await.in_real_time();
    let ips = world.ips();
    world.dns.set(HOST, &ips[..1], 1800);
    let connector = world
        .resolver
        .connect_layer()
        .layer(HttpConnector::new_with_resolver(world.resolver.clone()));
    let client = Client::builder(TokioExecutor::new()).build(connector);
    // A request whose body has not ended uses the first connection. Then DNS names a black-holed
    // edge.
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
    world.dns.asked(HOST, testkit::RecordType::A, 2).await;
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
        .expect("the pooled connection serves the second request");
    world
        .journal
        .saw(|seen| *seen == Seen::Failed(ips[1], Outcome::Slow))
        .await;
}

/// A layer below the connect layer may box the connector.
#[tokio::test]
async fn a_boxing_layer_below_the_connect_layer_changes_nothing() {
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

/// A connector that spawns a task for each connect, as `tower::buffer` does.
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

/// A connector that spawns tasks loses the attempt context. Requests still succeed, and one event reports the loss.
#[tokio::test]
async fn a_connector_that_spawns_tasks_is_reported_once() {
    let world = World::http(2).await;
    let spawning = Spawning(HttpConnector::new_with_resolver(world.resolver.clone()));
    let client = build(world.resolver.connect_layer().layer(spawning));
    for _ in 0..20 {
        get(&client, &world.url()).await.unwrap();
    }
    assert_eq!(world.journal.count(|seen| *seen == Seen::ContextLost), 1);
    assert_eq!(world.journal.failures(), []);
}

/// A connector that calls the resolver in `call`, and not in its future.
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
            let mut last_error = None;
            for mut addr in resolving.await? {
                addr.set_port(port);
                match TcpStream::connect(addr).await {
                    Ok(stream) => return Ok(TokioIo::new(stream)),
                    Err(error) => last_error = Some(error),
                }
            }
            Err(last_error.expect("an answer has addresses").into())
        })
    }
}

/// hyper-rustls calls its inner connector in `call`. The attempt context covers a resolution there too.
#[tokio::test]
async fn a_failure_of_a_connector_that_resolves_in_call_is_recorded() {
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

/// An address in the URL needs no resolution, so an empty attempt context is not reported.
#[tokio::test]
async fn an_address_in_the_url_is_not_reported_as_a_lost_context() {
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
    assert_eq!(world.journal.failures(), [], "the failure is no strike");
}

/// Many requests spread evenly over the edges.
#[tokio::test]
async fn requests_spread_evenly_over_all_edges() {
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
    // Each edge serves 100 requests on average, with a standard deviation of 9. The bounds are five deviations away.
    assert!(served.iter().all(|n| (55..=145).contains(n)), "{served:?}");
}
