//! Tests which requests tower sends again by sidestep's policy, over hyper-util's client, and how often.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{Connect, Connected, Connection, HttpConnector};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use sidestep::{AddressOrder, Resolver};
use testkit::hyper_client::{tcp, tls};
use testkit::{Edges, HOST, Mode, Nack, NameServer, Seen, World, asking, nacking};
use tokio::io::DuplexStream;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tower::retry::RetryLayer;
use tower::{Layer as _, Service, ServiceExt as _};

type Body = Full<Bytes>;

/// Returns hyper-util's client with tower's retry, over a connector of this resolver.
fn client<L>(world: &World, layer: L, max_idle: usize) -> impl HttpClient
where
    L: tower::Layer<HttpsConnector<HttpConnector<Resolver>>>,
    L::Service: Connect + Clone + Send + Sync + 'static,
{
    let https = tls(&world.edges).enable_http1();
    let https = https.wrap_connector(tcp(&world.resolver));
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(max_idle)
        .build::<_, Body>(layer.layer(https));
    RetryLayer::new(world.resolver.retry_policy()).layer(client)
}

fn with_connect_layer(world: &World) -> impl HttpClient {
    client(
        world,
        world.resolver.connect_layer().caller_retries(true),
        0,
    )
}

trait HttpClient: Service<Request<Body>, Response = Response<Incoming>, Error = Error> + Clone {}

impl<S> HttpClient for S where
    S: Service<Request<Body>, Response = Response<Incoming>, Error = Error> + Clone
{
}

async fn send(client: &impl HttpClient, method: Method, url: &str) -> Result<String, Error> {
    let request = Request::builder().method(method).uri(url);
    let request = request.body(Full::from("asked")).unwrap();
    let sending = async {
        let response = client.clone().oneshot(request).await?;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Ok(String::from_utf8(body.into()).unwrap())
    };
    testkit::within("the response", testkit::while_pending(sending)).await
}

/// If no byte of a request was sent, a request of any method is sent to the next edge.
#[tokio::test]
async fn no_request_fails_when_an_edge_fails_before_the_request_is_sent() {
    for (https, mode) in [
        (true, Mode::Refuse),
        (true, Mode::TlsReset),
        (true, Mode::WrongCertificate),
        (true, Mode::Hang),
        (false, Mode::AcceptAndClose),
    ] {
        let edges = match https {
            true => Edges::https(2).await,
            false => Edges::http(2).await,
        };
        let timeout = Duration::from_millis(200);
        let world = World::of(edges, |builder| builder.slow_connect_after(timeout / 2)).await;
        let layer = world.resolver.connect_layer().caller_retries(true);
        let client = client(&world, layer.timeout(timeout), 0);
        let dead = world.ips()[0];
        world.edges.set(dead, mode).await;
        // On an accepted connection, the request may have been sent before the edge closes.
        let unsafe_method = if https { Method::POST } else { Method::PUT };
        for n in 0..40 {
            let method = [&Method::GET, &unsafe_method][n % 2].clone();
            let response = send(&client, method, &world.url()).await;
            let response = response.unwrap_or_else(|error| panic!("{mode:?}, {n}: {error:?}"));
            assert!(response.contains("127.0.0.3"), "{mode:?}, {n}: {response}");
        }
        let probes = world.journal.count(|seen| *seen == Seen::Probe(dead));
        assert!(
            world.edges.accepted(dead) - probes <= 1,
            "{mode:?}: the address was attempted again"
        );
        assert_ne!(
            world.journal.failures(),
            [],
            "{mode:?}: no request met the dead edge"
        );
    }
}

/// A request that the server may have processed is sent again once if its method is idempotent (RFC 9110, section
/// 9.2.2).
#[tokio::test]
async fn a_request_whose_connection_dies_is_sent_twice_if_it_is_idempotent() {
    for (method, times) in [
        (Method::GET, 2),
        (Method::PUT, 2),
        (Method::DELETE, 2),
        (Method::POST, 1),
        (Method::PATCH, 1),
    ] {
        let world = World::http(3).await;
        for ip in world.ips() {
            world.edges.set(ip, Mode::CloseAfterRequest).await;
        }
        let client = with_connect_layer(&world);
        send(&client, method.clone(), &world.url())
            .await
            .unwrap_err();
        assert_eq!(world.accepted(), times, "{method}");
    }
}

/// One of two edges closes after each request, and no GET fails.
#[tokio::test]
async fn a_request_is_sent_again_to_another_edge() {
    let world = World::http(2).await;
    let (client, dead) = (with_connect_layer(&world), world.ips()[0]);
    world.edges.set(dead, Mode::CloseAfterRequest).await;
    for _ in 0..20 {
        let response = send(&client, Method::GET, &world.url()).await.unwrap();
        assert!(response.contains("127.0.0.3"), "{response}");
    }
    assert_ne!(world.journal.failures(), []);
}

/// All requests share one policy, and each has its own count. If all edges are dead, a request attempts each address
/// once.
#[tokio::test]
async fn each_request_attempts_each_dead_edge_once() {
    let world = World::https(4).await;
    let client = with_connect_layer(&world);
    all_reset(&world).await;
    for n in 1..=5 {
        send(&client, Method::POST, &world.url()).await.unwrap_err();
        let connects: Vec<_> = accepted(&world).collect();
        assert_eq!(connects, [n; 4]);
    }
}

/// DNS named one dead address, and now names four others, the first of which is dead too. The race may make two
/// attempts, and the request is sent again to a healthy address.
#[tokio::test]
async fn a_request_is_sent_again_after_a_race_that_has_used_its_attempts() {
    let edges = Edges::http(5).await;
    let world = World::of(edges, |builder| {
        builder.address_order(AddressOrder::Preserve)
    })
    .await;
    let ips = world.ips();
    for &dead in &ips[..2] {
        world.edges.set(dead, Mode::Refuse).await;
    }
    world.dns.set(HOST, &ips[..1], 1800);
    world.resolver.resolve(HOST).await.unwrap();
    world.dns.set(HOST, &ips[1..], 1800);
    let raced = client(&world, world.resolver.happy_eyeballs_layer(), 0);
    send(&raced, Method::POST, &world.url()).await.unwrap();
}

/// A race attempts all addresses in one connect, so the policy starts no other race.
#[tokio::test]
async fn addresses_that_a_race_has_attempted_are_not_raced_again() {
    let world = World::https(4).await;
    let client = client(&world, world.resolver.happy_eyeballs_layer(), 0);
    all_reset(&world).await;
    send(&client, Method::GET, &world.url()).await.unwrap_err();
    let connects: Vec<_> = accepted(&world).collect();
    assert_eq!(connects, [1; 4]);
}

/// A server may close a connection after a response.
#[tokio::test]
async fn the_end_of_a_connection_after_a_response_is_no_failure_of_the_address() {
    let world = World::http(1).await;
    let addr = testkit::answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    world.dns.set(HOST, &[addr.ip()], 60);
    let client = client(&world, world.resolver.connect_layer(), 1);
    for _ in 0..3 {
        let url = format!("http://{HOST}:{}/", addr.port());
        send(&client, Method::GET, &url).await.unwrap();
    }
    assert_eq!(world.journal.failures(), []);
}

#[tokio::test]
async fn a_request_that_http2_did_not_process_is_sent_again_twice() {
    for (nack, nacks, served) in [
        (Nack::RefusedStream, 2, true),
        (Nack::GoAway, 2, true),
        (Nack::RefusedStream, 3, false),
    ] {
        let (addr, requests) = nacking(nack, nacks).await;
        let dns = NameServer::start().await;
        dns.set(HOST, &[addr.ip()], 60);
        let resolver = Resolver::builder().lookup(asking(&dns)).build().unwrap();
        let http = HttpConnector::new_with_resolver(resolver.clone());
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build::<_, Body>(resolver.connect_layer().layer(http));
        let client = RetryLayer::new(resolver.retry_policy()).layer(client);
        let url = format!("http://{HOST}:{}/", addr.port());
        let response = send(&client, Method::POST, &url).await;
        assert_eq!(response.is_ok(), served, "{nack:?}: {response:?}");
        assert_eq!(requests.load(Ordering::SeqCst), 3, "{nack:?}");
    }
}

async fn all_reset(world: &World) {
    for ip in world.ips() {
        world.edges.set(ip, Mode::TlsReset).await;
    }
}

fn accepted(world: &World) -> impl Iterator<Item = usize> {
    let at_edge = |ip: IpAddr| world.edges.accepted(ip);
    world.ips().into_iter().map(at_edge)
}

/// A failed automatic retry is not sent again (RFC 9110, section 9.2.2), also if the URL has an IP address.
#[tokio::test]
async fn a_request_to_an_ip_address_is_sent_twice_at_most() {
    for method in [Method::GET, Method::DELETE, Method::POST] {
        let world = World::http(1).await;
        let edge = world.ips()[0];
        world.edges.set(edge, Mode::CloseAfterRequest).await;
        let url = world.edges.url(&edge.to_string());
        let times = if method == Method::POST { 1 } else { 2 };
        let plain = with_connect_layer(&world);
        send(&plain, method.clone(), &url).await.unwrap_err();
        assert_eq!(world.accepted(), times, "{method}, connect layer");
        let raced = client(&world, world.resolver.happy_eyeballs_layer(), 0);
        send(&raced, method.clone(), &url).await.unwrap_err();
        assert_eq!(world.accepted(), 2 * times, "{method}, race");
    }
}

#[tokio::test]
async fn a_request_of_reqwest_to_an_ip_address_is_sent_twice_at_most() {
    let world = World::http(1).await;
    let edge = world.ips()[0];
    world.edges.set(edge, Mode::CloseAfterRequest).await;
    let url = world.edges.url(&edge.to_string());
    testkit::get(&world.client(), &url).await.unwrap_err();
    assert_eq!(world.accepted(), 2);
}

/// Each request makes a new connection by a race, and is sent as often as over a connector without a race.
#[tokio::test]
async fn a_raced_request_whose_connection_dies_is_sent_twice_if_it_is_idempotent() {
    for (method, times) in [(Method::GET, 2), (Method::POST, 1)] {
        let world = World::http(3).await;
        for ip in world.ips() {
            world.edges.set(ip, Mode::CloseAfterRequest).await;
        }
        let client = client(&world, world.resolver.happy_eyeballs_layer(), 0);
        send(&client, method.clone(), &world.url())
            .await
            .unwrap_err();
        assert_eq!(world.accepted(), times, "{method}");
    }
}

/// An address in the URL is the only address to connect to.
#[tokio::test]
async fn a_connect_to_an_ip_address_in_the_url_is_not_repeated() {
    let world = World::https(1).await;
    let edge = world.ips()[0];
    world.edges.set(edge, Mode::TlsReset).await;
    let url = world.edges.url(&edge.to_string());
    send(&with_connect_layer(&world), Method::GET, &url)
        .await
        .unwrap_err();
    assert_eq!(world.accepted(), 1);
}

/// The system may give one local port to several connections if they go to different addresses. The end of one of them
/// is no failure of the other addresses.
#[tokio::test]
async fn connections_from_one_local_port_are_distinguished() {
    for _ in 0..10 {
        let world = World::http(2).await.in_real_time();
        let (dead, alive) = (world.ips()[0], world.ips()[1]);
        world.edges.set(dead, Mode::CloseAfterRequest).await;
        world.edges.answer_after(Duration::from_millis(50));
        let ports = SharedPorts::new(&world);
        let connector = tower::service_fn(move |_: Uri| ports.clone().connect());
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build::<_, Body>(world.resolver.connect_layer().layer(connector));
        let client = RetryLayer::new(world.resolver.retry_policy()).layer(client);
        let url = world.url();
        let requests = (0..4).map(|_| send(&client, Method::GET, &url));
        for response in futures_util::future::join_all(requests).await {
            response.unwrap_or_else(|error| panic!("{error:?}; {:?}", world.journal.seen()));
        }
        let failures = world.journal.failures();
        assert!(
            !failures.iter().any(|(addr, _)| *addr == alive),
            "{failures:?}"
        );
    }
}

/// Connects to the first address of each answer, from the same few ports to each address.
#[derive(Clone)]
struct SharedPorts {
    resolver: Resolver,
    port: u16,
    /// Local addresses with free ports.
    from: Arc<[SocketAddr]>,
    /// Number of connects to each address.
    counts: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

impl SharedPorts {
    fn new(world: &World) -> Self {
        let bound = || TcpListener::bind("127.0.0.1:0").unwrap();
        let held: Vec<_> = (0..8).map(|_| bound()).collect();
        Self {
            resolver: world.resolver.clone(),
            port: world.edges.port(),
            from: held.iter().map(|it| it.local_addr().unwrap()).collect(),
            counts: Arc::default(),
        }
    }

    async fn connect(mut self) -> io::Result<TokioIo<TcpStream>> {
        let name: Name = HOST.parse().unwrap();
        let mut addrs = self.resolver.call(name).await.map_err(io::Error::other)?;
        let to = addrs.next().expect("an answer has an address").ip();
        let index = {
            let mut counts = self.counts.lock().unwrap();
            let count = counts.entry(to).or_default();
            *count += 1;
            *count - 1
        };
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.from[index])?;
        let stream = socket.connect((to, self.port).into()).await?;
        Ok(TokioIo::new(stream))
    }
}

/// A connection whose TLS has negotiated HTTP/2.
struct NegotiatedHttp2 {
    stream: TokioIo<DuplexStream>,
    /// Whether no other request may use the connection.
    is_poisoned: bool,
}

impl Connection for NegotiatedHttp2 {
    fn connected(&self) -> Connected {
        let connected = Connected::new().negotiated_h2();
        if self.is_poisoned {
            connected.poison();
        }
        connected
    }
}

impl hyper::rt::Read for NegotiatedHttp2 {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for NegotiatedHttp2 {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A connect that waits for its connection from the test.
type PendingConnect = oneshot::Sender<NegotiatedHttp2>;

/// Returns a connector whose connects wait for the test, and those connects.
fn connector_of_the_test() -> (
    impl Connect + Clone + Send + Sync + 'static,
    mpsc::UnboundedReceiver<PendingConnect>,
) {
    let (connects, pending) = mpsc::unbounded_channel();
    let connector = tower::service_fn(move |_: Uri| {
        let (connect, connection) = oneshot::channel();
        connects.send(connect).unwrap();
        Box::pin(async move { connection.await.map_err(io::Error::other) })
    });
    (connector, pending)
}

/// Returns a connection whose handshake waits until the other end is served.
fn connection(is_poisoned: bool) -> (NegotiatedHttp2, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1);
    let stream = TokioIo::new(ours);
    (
        NegotiatedHttp2 {
            stream,
            is_poisoned,
        },
        theirs,
    )
}

/// Serves HTTP/2.
fn serve(stream: DuplexStream) {
    tokio::spawn(async move {
        let answer = hyper::service::service_fn(async |_: Request<Incoming>| {
            Ok::<_, io::Error>(Response::new(Full::<Bytes>::from("served")))
        });
        let server = auto::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(TokioIo::new(stream), answer).await;
    });
}

/// A request waits for the connect of another request and connects beside it. The connection of the other request takes
/// no more requests, and a third request negotiates HTTP/2. hyper-util then drops the connect of the waiting request and
/// returns an error, although no byte of the request was sent.
#[tokio::test]
async fn a_request_whose_connect_is_dropped_for_another_one_is_sent_again() {
    let resolver = Resolver::new();
    let (connector, mut connects) = connector_of_the_test();
    let client = Client::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let client = RetryLayer::new(resolver.retry_policy()).layer(client);
    let post = || {
        let client = client.clone();
        tokio::spawn(async move { send(&client, Method::POST, "http://edge.test/").await })
    };
    let (first, second) = (post(), post());
    let to_first = connects.recv().await.unwrap();
    let to_second = connects.recv().await.unwrap();
    let (poisoned, server) = connection(true);
    assert!(to_first.send(poisoned).is_ok());
    serve(server);
    assert_eq!(first.await.unwrap().unwrap(), "served");
    // The handshake of the third connection takes long.
    let third = post();
    let to_third = connects.recv().await.unwrap();
    let (shared, server) = connection(false);
    assert!(to_third.send(shared).is_ok());
    tokio::task::yield_now().await;
    assert!(to_second.send(connection(false).0).is_ok());
    // The second request is sent again, and waits for the third connection.
    let again = connects.recv().await.unwrap();
    serve(server);
    assert_eq!(second.await.unwrap().unwrap(), "served");
    assert_eq!(third.await.unwrap().unwrap(), "served");
    drop(again);
}
