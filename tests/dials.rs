//! How many attempts, sends and lookups one request costs while every address is dead.
//!
//! One socket on all of 127.0.0.0/8 is every address, so that each answer may name others. The test
//! prints a row for each case: `cargo test --test dials -- --nocapture`.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;
#[path = "common/hyper_client.rs"]
mod hyper_client;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream as StdTcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{Edges, HOST};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http_body_util::Full;
use hyper::{Method, Request};
use hyper_client::{tcp, tls};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sidestep::lookup::{Answer, Lookup, LookupFuture};
use sidestep::{ConnectError, Resolver};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::retry::RetryLayer;
use tower::util::MapErrLayer;
use tower::{Layer as _, ServiceExt as _};

/// How every address is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Refuse,
    /// Resets the connection after the request was read.
    Reset,
    /// Resets the connection in the TLS handshake.
    TlsReset,
    Swallow,
    /// Closes the connection before the request is read.
    Close,
    /// Closes the connection after the request was read.
    CloseEarly,
}

/// What DNS does after the first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dns {
    Well,
    Silent,
    /// Each answer has other addresses.
    New,
    /// Each answer has other addresses, and comes after a connect has ceased to wait for it.
    Late,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Reqwest,
    RaceAndRetry,
    #[cfg(feature = "middleware")]
    Middleware,
}

/// What one request has cost.
#[derive(Clone, Debug, Default)]
struct Cost {
    /// Connections that the socket accepted.
    accepted: Arc<AtomicUsize>,
    /// Attempts that the errors of the connects tell of.
    told: Arc<AtomicUsize>,
    sends: Arc<AtomicUsize>,
    lookups: Arc<AtomicUsize>,
}

/// Documented in `src/clients/request_history.rs`.
const MOST_ATTEMPTS: usize = 16;
/// Two that the request waits for; the failure on the last answer starts one more for others.
const MOST_LOOKUPS: usize = 1 + 2 + 1;

/// For how long a connect waits for a fresh answer.
const STALE_AFTER: Duration = Duration::from_millis(50);

/// The method matters where the request is sent.
const CASES: [(Fault, Method); 9] = [
    (Fault::Refuse, Method::GET),
    (Fault::Reset, Method::GET),
    (Fault::Reset, Method::POST),
    (Fault::TlsReset, Method::GET),
    (Fault::Swallow, Method::GET),
    (Fault::Close, Method::GET),
    (Fault::Close, Method::POST),
    (Fault::CloseEarly, Method::GET),
    (Fault::CloseEarly, Method::POST),
];
const CLIENTS: &[By] = &[
    By::Reqwest,
    By::RaceAndRetry,
    #[cfg(feature = "middleware")]
    By::Middleware,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dials_and_sends_for_one_request_are_bounded() {
    println!("fault      method addresses DNS    client       | attempts sends lookups");
    let edges = Edges::https(1).await;
    let rows = stream::iter(rows()).map(|row| {
        let edges = &edges;
        async move {
            let cost = request(edges, &row).await;
            (row, cost)
        }
    });
    // Most of their time they wait.
    let mut rows = rows.buffered(9);
    let mut too_many = Vec::new();
    while let Some((row, cost)) = rows.next().await {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        let attempts = count(&cost.accepted).max(count(&cost.told));
        let (sends, lookups) = (count(&cost.sends), count(&cost.lookups));
        let shown = format!("{row} | {attempts:>8} {sends:>5} {lookups:>7}");
        println!("{shown}");
        let most_sends = if row.method == Method::GET { 2 } else { 1 };
        let is_bounded = attempts <= MOST_ATTEMPTS.min(2 * row.size)
            && sends <= most_sends
            && lookups <= MOST_LOOKUPS;
        if !is_bounded || attempts == 0 {
            too_many.push(shown);
        }
    }
    assert!(too_many.is_empty(), "{}", too_many.join("\n"));
}

/// One case.
#[derive(Clone, Debug)]
struct Row {
    fault: Fault,
    method: Method,
    size: usize,
    dns: Dns,
    by: By,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = format!("{:?}", self.fault);
        let (dns, by) = (format!("{:?}", self.dns), format!("{:?}", self.by));
        let (method, size) = (self.method.as_str(), self.size);
        write!(f, "{fault:<10} {method:<6} {size:>9} {dns:<6} {by:<12}")
    }
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (fault, method) in CASES {
        for size in [1, 4, 64] {
            for dns in [Dns::Well, Dns::Silent, Dns::New, Dns::Late] {
                let row = |&by| Row {
                    fault,
                    method: method.clone(),
                    size,
                    dns,
                    by,
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
        by,
    } = *row;
    let cost = Cost::default();
    let resolver = Resolver::builder()
        .lookup(Fake {
            size,
            dns,
            asked: Arc::clone(&cost.lookups),
        })
        .serve_stale_after(STALE_AFTER)
        .slow_connect_after(Duration::from_millis(50))
        .build()
        .unwrap();
    let (port, _door) = open(fault, &cost);
    let scheme = if fault == Fault::TlsReset {
        "https"
    } else {
        "http"
    };
    let url = format!("{scheme}://{HOST}:{port}/");
    let sending = async {
        match by {
            By::Reqwest => by_reqwest(edges, &resolver, &cost, method, &url).await,
            By::RaceAndRetry => by_race(edges, &resolver, &cost, method, &url).await,
            #[cfg(feature = "middleware")]
            By::Middleware => by_middleware(edges, &resolver, &cost, method, &url).await,
        }
    };
    // The connect to a lone address that swallows packets ends with the kernel's patience.
    let patience = match fault {
        Fault::Swallow => Duration::from_secs(2),
        _ => Duration::from_secs(60),
    };
    if tokio::time::timeout(patience, sending).await.is_err() {
        assert_eq!(fault, Fault::Swallow, "a request ends");
        cost.told.fetch_add(1, Ordering::SeqCst);
    }
    cost
}

/// A stock client which counts the attempts that its connects tell of.
/// Time after which a connect is given up, if there is something else to attempt.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(150);

fn stock(edges: &Edges, resolver: &Resolver, cost: &Cost) -> reqwest::ClientBuilder {
    let told = Arc::clone(&cost.told);
    let layer = resolver.connect_layer().caller_retries(true);
    reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(edges.client_config())
        .dns_resolver(resolver.clone())
        .connector_layer(layer.timeout(GIVEN_UP_AFTER))
        .retry(sidestep::reqwest::retry(resolver))
        .connector_layer(MapErrLayer::new(move |error| count(error, &told)))
}

async fn by_reqwest(edges: &Edges, resolver: &Resolver, cost: &Cost, method: &Method, url: &str) {
    let client = stock(edges, resolver, cost).build().unwrap();
    let request = client.request(method.clone(), url).body("asked");
    request.send().await.unwrap_err();
}

#[cfg(feature = "middleware")]
async fn by_middleware(
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

async fn by_race(edges: &Edges, resolver: &Resolver, cost: &Cost, method: &Method, url: &str) {
    let https = tls(edges).enable_http1();
    let https = https.wrap_connector(resolver.tcp_connected_layer().layer(tcp(resolver)));
    let race = resolver.happy_eyeballs_layer();
    let race = race.attempt_timeout(GIVEN_UP_AFTER).layer(https);
    let told = Arc::clone(&cost.told);
    let counted = MapErrLayer::new(move |error| count(error, &told)).layer(race);
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(counted);
    let client = RetryLayer::new(resolver.retry_policy()).layer(client);
    let request = Request::builder().method(method).uri(url);
    let request = request.body(Full::from("asked")).unwrap();
    client.oneshot(request).await.unwrap_err();
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Counts the attempts of a connect. One that was given up may have attempted an address in each lane.
fn count(error: BoxError, told: &AtomicUsize) -> BoxError {
    if let Some(connect) = ConnectError::find(&*error) {
        let attempts = connect.attempts().iter();
        let now = attempts.filter(|it| it.ago.is_none() && it.outcome.is_some());
        let lanes = usize::from(connect.is_given_up()) + 1;
        let lanes = lanes.min(connect.attempts().len());
        told.fetch_add(now.count().max(lanes), Ordering::SeqCst);
    }
    error
}

struct Fake {
    size: usize,
    dns: Dns,
    asked: Arc<AtomicUsize>,
}

impl Lookup for Fake {
    fn lookup<'a>(&'a self, _: &'a str) -> LookupFuture<'a> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        let first = match self.dns {
            Dns::Silent if asked > 0 => return std::future::pending().boxed(),
            Dns::Well | Dns::Silent => 0,
            Dns::New | Dns::Late => asked * self.size,
        };
        let addr = |n: usize| Ipv4Addr::new(127, 1, (n / 250) as u8, 2 + (n % 250) as u8);
        let addrs = (first..first + self.size).map(|n| IpAddr::V4(addr(n)));
        let answer = Answer::new(addrs).with_ttl(Duration::from_secs(60));
        let delay = match self.dns {
            Dns::Late if asked > 0 => STALE_AFTER + STALE_AFTER / 2,
            _ => Duration::ZERO,
        };
        Box::pin(tokio::time::sleep(delay).map(|()| Ok(answer)))
    }
}

/// Keeps the port while a test uses it.
enum Door {
    #[expect(dead_code, reason = "held, and not read")]
    Shut(Socket, Vec<StdTcpStream>),
    Open(tokio::task::AbortHandle),
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Self::Open(task) = self {
            task.abort();
        }
    }
}

fn open(fault: Fault, cost: &Cost) -> (u16, Door) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    socket.bind(&any.into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    match fault {
        Fault::Refuse => return (port, Door::Shut(socket, Vec::new())),
        Fault::Swallow => {
            socket.listen(0).unwrap();
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let patience = Duration::from_millis(100);
            let connects =
                std::iter::from_fn(|| StdTcpStream::connect_timeout(&addr, patience).ok());
            let fillers = connects.take(64).collect();
            return (port, Door::Shut(socket, fillers));
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
            tokio::spawn(meet(stream, fault, Arc::clone(&cost.sends)));
        }
    });
    (port, Door::Open(task.abort_handle()))
}

async fn meet(mut stream: TcpStream, fault: Fault, sends: Arc<AtomicUsize>) -> io::Result<()> {
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

/// A pool of connections that die one by one, each as it reads a request: the limit counts sends.
#[tokio::test]
async fn a_pool_of_dying_connections_sees_a_request_twice() {
    const KEPT: usize = 8;
    for (method, most) in [
        (Method::GET, 2),
        (Method::PUT, 2),
        (Method::DELETE, 2),
        (Method::POST, 1),
    ] {
        let (addr, sends) = dying_after_one_answer(KEPT).await;
        let cost = Cost::default();
        let resolver = Resolver::builder()
            .lookup(Fake {
                size: 64,
                dns: Dns::Well,
                asked: Arc::clone(&cost.lookups),
            })
            .build()
            .unwrap();
        let edges = Edges::https(1).await;
        let client = stock(&edges, &resolver, &cost).build().unwrap();
        let url = format!("http://{HOST}:{}/", addr.port());
        let fill = (0..KEPT).map(|_| common::get(&client, &url));
        for answer in futures_util::future::join_all(fill).await {
            answer.unwrap();
        }
        let request = client.request(method.clone(), &url).body("asked");
        request.send().await.unwrap_err();
        assert_eq!(sends.load(Ordering::SeqCst), most, "{method}");
    }
}

/// A server whose first connections answer one request each, all together, and die at the next.
async fn dying_after_one_answer(connections: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let sends = Arc::new(AtomicUsize::new(0));
    let all = Arc::new(tokio::sync::Barrier::new(connections));
    let counted = Arc::clone(&sends);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (all, counted) = (Arc::clone(&all), Arc::clone(&counted));
            tokio::spawn(async move {
                let mut room = [0; 4096];
                let _read: usize = stream.read(&mut room).await?;
                all.wait().await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer).await?;
                if stream.read(&mut room).await? > 0 {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                io::Result::Ok(())
            });
        }
    });
    (addr, sends)
}
