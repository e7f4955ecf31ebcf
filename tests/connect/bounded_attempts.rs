//! One request costs a bounded number of attempts, sends and lookups while every address is dead.
//!
//! One socket accepts connections to all of 127.0.0.0/8, so that each answer can name other addresses.
//! `cargo test --test connect bounded_attempts -- --nocapture` prints a row for each case.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream as StdTcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http_body_util::Full;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sidestep::lookup::{Answer, Lookup, LookupFuture};
use sidestep::{ConnectError, Resolver};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use testkit::hyper_client::{tcp, tls};
use testkit::{Edges, HOST};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::retry::RetryLayer;
use tower::util::MapErrLayer;
use tower::{Layer as _, ServiceExt as _};

/// The fault of all addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The address refuses the connect.
    Refuse,
    /// The address resets the connection after it has read the request.
    Reset,
    /// The address resets the connection in the TLS handshake.
    TlsReset,
    /// The address drops all packets.
    BlackHole,
    /// The address closes the connection before it reads the request.
    Close,
    /// The address closes the connection after it has read the request.
    CloseEarly,
}

/// What the lookup returns after the first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dns {
    /// Each answer has the same addresses.
    Same,
    /// No further answer comes.
    Silent,
    /// Each answer has other addresses.
    New,
    /// Each answer has other addresses, and comes after the time for which the connect waits.
    Late,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientKind {
    Reqwest,
    RaceAndRetry,
    #[cfg(feature = "middleware")]
    Middleware,
}

/// Counts what one request costs.
#[derive(Clone, Debug, Default)]
struct Cost {
    /// Connections that the socket has accepted.
    accepted: Arc<AtomicUsize>,
    /// Attempts that the connect errors list.
    reported: Arc<AtomicUsize>,
    sends: Arc<AtomicUsize>,
    lookups: Arc<AtomicUsize>,
}

/// Behavior F13 in `docs/behaviors.md` states this bound.
const MAX_ATTEMPTS: usize = 16;
/// The request waits for the first lookup and two re-resolutions. Its last failure starts one more re-resolution.
const MAX_LOOKUPS: usize = 1 + 2 + 1;

/// Time for which a connect waits for a fresh answer.
const STALE_AFTER: Duration = Duration::from_millis(50);

/// The faults, with both methods if the client may send the request.
const CASES: [(Fault, Method); 9] = [
    (Fault::Refuse, Method::GET),
    (Fault::Reset, Method::GET),
    (Fault::Reset, Method::POST),
    (Fault::TlsReset, Method::GET),
    (Fault::BlackHole, Method::GET),
    (Fault::Close, Method::GET),
    (Fault::Close, Method::POST),
    (Fault::CloseEarly, Method::GET),
    (Fault::CloseEarly, Method::POST),
];
const CLIENTS: &[ClientKind] = &[
    ClientKind::Reqwest,
    ClientKind::RaceAndRetry,
    #[cfg(feature = "middleware")]
    ClientKind::Middleware,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_sends_and_lookups_of_one_request_are_bounded() {
    println!("fault      method addresses DNS    client       | attempts sends lookups");
    let edges = Edges::https(1).await;
    let rows = stream::iter(rows()).map(|row| {
        let edges = &edges;
        async move {
            let cost = request(edges, &row).await;
            (row, cost)
        }
    });
    // The cases wait most of the time, so nine of them run at once.
    let mut rows = rows.buffered(9);
    let mut too_many = Vec::new();
    while let Some((row, cost)) = rows.next().await {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        let attempts = count(&cost.accepted).max(count(&cost.reported));
        let (sends, lookups) = (count(&cost.sends), count(&cost.lookups));
        let line = format!("{row} | {attempts:>8} {sends:>5} {lookups:>7}");
        println!("{line}");
        let max_sends = if row.method == Method::GET { 2 } else { 1 };
        let is_bounded = attempts <= MAX_ATTEMPTS.min(2 * row.size)
            && sends <= max_sends
            && lookups <= MAX_LOOKUPS;
        if !is_bounded || attempts == 0 {
            too_many.push(line);
        }
    }
    assert!(too_many.is_empty(), "{}", too_many.join("\n"));
}

/// One case of the table.
#[derive(Clone, Debug)]
struct Row {
    fault: Fault,
    method: Method,
    size: usize,
    dns: Dns,
    client_kind: ClientKind,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = format!("{:?}", self.fault);
        let (dns, client_kind) = (format!("{:?}", self.dns), format!("{:?}", self.client_kind));
        let (method, size) = (self.method.as_str(), self.size);
        write!(
            f,
            "{fault:<10} {method:<6} {size:>9} {dns:<6} {client_kind:<12}"
        )
    }
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (fault, method) in CASES {
        for size in [1, 4, 64] {
            for dns in [Dns::Same, Dns::Silent, Dns::New, Dns::Late] {
                let row = |&client_kind| Row {
                    fault,
                    method: method.clone(),
                    size,
                    dns,
                    client_kind,
                };
                rows.extend(CLIENTS.iter().map(row));
            }
        }
    }
    rows
}

async fn request(edges: &Edges, row: &Row) -> Cost {
    let Row {
        fault,
        ref method,
        size,
        dns,
        client_kind,
    } = *row;
    let cost = Cost::default();
    let resolver = Resolver::builder()
        .lookup(FakeLookup {
            size,
            dns,
            lookups: Arc::clone(&cost.lookups),
        })
        .serve_stale_after(STALE_AFTER)
        .slow_connect_after(Duration::from_millis(50))
        .build()
        .unwrap();
    let (port, _guard) = listen(fault, &cost);
    let scheme = if fault == Fault::TlsReset {
        "https"
    } else {
        "http"
    };
    let url = format!("{scheme}://{HOST}:{port}/");
    let sending = async {
        match client_kind {
            ClientKind::Reqwest => send_with_reqwest(edges, &resolver, &cost, method, &url).await,
            ClientKind::RaceAndRetry => send_with_race(edges, &resolver, &cost, method, &url).await,
            #[cfg(feature = "middleware")]
            ClientKind::Middleware => {
                send_with_middleware(edges, &resolver, &cost, method, &url).await
            }
        }
    };
    // Only the timeout of the kernel ends a connect to a single address that drops packets.
    let limit = match fault {
        Fault::BlackHole => Duration::from_secs(2),
        _ => Duration::from_secs(60),
    };
    if tokio::time::timeout(limit, sending).await.is_err() {
        assert_eq!(
            fault,
            Fault::BlackHole,
            "only a request to a black hole reaches the limit"
        );
        cost.reported.fetch_add(1, Ordering::SeqCst);
    }
    cost
}

/// Time after which a connect is given up, if another address is left to attempt.
const GIVE_UP_AFTER: Duration = Duration::from_millis(150);

/// Returns a builder of a stock client that counts the attempts in its connect errors.
fn stock(edges: &Edges, resolver: &Resolver, cost: &Cost) -> reqwest::ClientBuilder {
    let reported = Arc::clone(&cost.reported);
    let layer = resolver.connect_layer().caller_retries(true);
    reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(edges.client_config())
        .dns_resolver(resolver.clone())
        .connector_layer(layer.timeout(GIVE_UP_AFTER))
        .retry(sidestep::reqwest::retry(resolver))
        .connector_layer(MapErrLayer::new(move |error| count(error, &reported)))
}

async fn send_with_reqwest(
    edges: &Edges,
    resolver: &Resolver,
    cost: &Cost,
    method: &Method,
    url: &str,
) {
    let client = stock(edges, resolver, cost).build().unwrap();
    let request = client.request(method.clone(), url).body("asked");
    request.send().await.unwrap_err();
}

#[cfg(feature = "middleware")]
async fn send_with_middleware(
    edges: &Edges,
    resolver: &Resolver,
    cost: &Cost,
    method: &Method,
    url: &str,
) {
    let never = reqwest::retry::never();
    let client = stock(edges, resolver, cost).retry(never).build().unwrap();
    let client = reqwest_middleware::ClientBuilder::new(client)
        .with(resolver.middleware())
        .build();
    let request = client.request(method.clone(), url).body("asked");
    request.send().await.unwrap_err();
}

async fn send_with_race(
    edges: &Edges,
    resolver: &Resolver,
    cost: &Cost,
    method: &Method,
    url: &str,
) {
    let https = tls(edges).enable_http1();
    let https = https.wrap_connector(resolver.tcp_connected_layer().layer(tcp(resolver)));
    let race = resolver.happy_eyeballs_layer();
    let race = race.attempt_timeout(GIVE_UP_AFTER).layer(https);
    let reported = Arc::clone(&cost.reported);
    let counted = MapErrLayer::new(move |error| count(error, &reported)).layer(race);
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(counted);
    let client = RetryLayer::new(resolver.retry_policy()).layer(client);
    let request = Request::builder().method(method).uri(url);
    let request = request.body(Full::from("asked")).unwrap();
    client.oneshot(request).await.unwrap_err();
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Counts the attempts of a failed connect.
///
/// A connect that was given up may have attempted one address in each lane.
fn count(error: BoxError, reported: &AtomicUsize) -> BoxError {
    if let Some(connect) = ConnectError::find(&*error) {
        let attempts = connect.attempts().iter();
        let now = attempts.filter(|attempt| attempt.ago.is_none() && attempt.outcome.is_some());
        let lanes = usize::from(connect.is_given_up()) + 1;
        let lanes = lanes.min(connect.attempts().len());
        reported.fetch_add(now.count().max(lanes), Ordering::SeqCst);
    }
    error
}

struct FakeLookup {
    size: usize,
    dns: Dns,
    lookups: Arc<AtomicUsize>,
}

impl Lookup for FakeLookup {
    fn lookup<'a>(&'a self, _: &'a str) -> LookupFuture<'a> {
        let earlier = self.lookups.fetch_add(1, Ordering::SeqCst);
        let first = match self.dns {
            Dns::Silent if earlier > 0 => return std::future::pending().boxed(),
            Dns::Same | Dns::Silent => 0,
            Dns::New | Dns::Late => earlier * self.size,
        };
        let addr = |n: usize| Ipv4Addr::new(127, 1, (n / 250) as u8, 2 + (n % 250) as u8);
        let addrs = (first..first + self.size).map(|n| IpAddr::V4(addr(n)));
        let answer = Answer::new(addrs).with_ttl(Duration::from_secs(60));
        let delay = match self.dns {
            Dns::Late if earlier > 0 => STALE_AFTER + STALE_AFTER / 2,
            _ => Duration::ZERO,
        };
        Box::pin(tokio::time::sleep(delay).map(|()| Ok(answer)))
    }
}

/// Keeps the port in use until it is dropped.
enum PortGuard {
    #[expect(dead_code, reason = "the guard only keeps them open")]
    NotAccepting(Socket, Vec<StdTcpStream>),
    Accepting(tokio::task::AbortHandle),
}

impl Drop for PortGuard {
    fn drop(&mut self) {
        if let Self::Accepting(task) = self {
            task.abort();
        }
    }
}

fn listen(fault: Fault, cost: &Cost) -> (u16, PortGuard) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    socket.bind(&any.into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    match fault {
        Fault::Refuse => return (port, PortGuard::NotAccepting(socket, Vec::new())),
        Fault::BlackHole => {
            socket.listen(0).unwrap();
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let limit = Duration::from_millis(100);
            let connects = std::iter::from_fn(|| StdTcpStream::connect_timeout(&addr, limit).ok());
            let fillers = connects.take(64).collect();
            return (port, PortGuard::NotAccepting(socket, fillers));
        }
        Fault::Reset | Fault::TlsReset | Fault::Close | Fault::CloseEarly => {}
    }
    socket.listen(1024).unwrap();
    socket.set_nonblocking(true).unwrap();
    let (listener, cost) = (TcpListener::from_std(socket.into()).unwrap(), cost.clone());
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            cost.accepted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream, fault, Arc::clone(&cost.sends)));
        }
    });
    (port, PortGuard::Accepting(task.abort_handle()))
}

async fn serve(mut stream: TcpStream, fault: Fault, sends: Arc<AtomicUsize>) -> io::Result<()> {
    if fault == Fault::Close {
        return stream.shutdown().await;
    }
    let read = stream.read(&mut [0; 4096]).await?;
    if fault != Fault::TlsReset {
        sends.fetch_add(usize::from(read > 0), Ordering::SeqCst);
    }
    if fault != Fault::CloseEarly {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    }
    Ok(())
}

/// Each pooled connection closes when it reads a request. The bound counts sends, not connections.
#[tokio::test]
async fn a_client_whose_pooled_connections_close_sends_a_request_twice_at_most() {
    const KEPT: usize = 8;
    for (method, expected) in [
        (Method::GET, 2),
        (Method::PUT, 2),
        (Method::DELETE, 2),
        (Method::POST, 1),
    ] {
        let (addr, sends) = closing_after_one_response(KEPT).await;
        let cost = Cost::default();
        let resolver = Resolver::builder()
            .lookup(FakeLookup {
                size: 64,
                dns: Dns::Same,
                lookups: Arc::clone(&cost.lookups),
            })
            .build()
            .unwrap();
        let edges = Edges::https(1).await;
        let client = stock(&edges, &resolver, &cost).build().unwrap();
        let url = format!("http://{HOST}:{}/", addr.port());
        let fill = (0..KEPT).map(|_| testkit::get(&client, &url));
        for response in futures_util::future::join_all(fill).await {
            response.unwrap();
        }
        let request = client.request(method.clone(), &url).body("asked");
        request.send().await.unwrap_err();
        assert_eq!(sends.load(Ordering::SeqCst), expected, "{method}");
    }
}

/// Starts a server whose first connections serve one request each, all at once, and close at the next.
///
/// Returns the address of the server, and the number of requests after the first of each connection.
async fn closing_after_one_response(connections: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let sends = Arc::new(AtomicUsize::new(0));
    let barrier = Arc::new(tokio::sync::Barrier::new(connections));
    let counted = Arc::clone(&sends);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (barrier, counted) = (Arc::clone(&barrier), Arc::clone(&counted));
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let _read: usize = stream.read(&mut buffer).await?;
                barrier.wait().await;
                let response = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(response).await?;
                if stream.read(&mut buffer).await? > 0 {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                io::Result::Ok(())
            });
        }
    });
    (addr, sends)
}
