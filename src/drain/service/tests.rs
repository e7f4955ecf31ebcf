use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tower::{Layer as _, ServiceExt as _};

use super::*;
use crate::Resolver;

type Stock = Client<HttpConnector<Resolver>, Empty<Bytes>>;

/// Starts a server that answers one request on each connection, and then closes it without an announcement.
async fn brief() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut room = [0; 1024];
            let _ = stream.read(&mut room).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            let _ = stream.write_all(answer).await;
        }
    });
    addr
}

fn pool() -> Drain<Stock> {
    let resolver = Resolver::new();
    let http = HttpConnector::new_with_resolver(resolver.clone());
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(http);
    resolver.drain_layer().layer(client)
}

async fn get(pool: &mut Drain<Stock>, addr: SocketAddr) {
    let request = Request::get(format!("http://{addr}/"));
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    pool.ready().await.unwrap().call(request).await.unwrap();
}

/// The pool does not report that the connections have ended, and yet the registry forgets them.
#[tokio::test(start_paused = true)]
async fn thousands_of_short_connections_leave_no_trace() {
    let (mut pool, addr) = (pool(), brief().await);
    let mut most = 0;
    for _ in 0..5_000 {
        get(&mut pool, addr).await;
        most = most.max(pool.registry.len());
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    assert!((100..=256).contains(&most), "{most} at once");
    tokio::time::advance(Duration::from_secs(90)).await;
    let other = brief().await;
    get(&mut pool, other).await;
    assert_eq!(pool.registry.len(), 1, "the one to the other origin");
}

/// The future records the connection before the future is dropped.
#[tokio::test]
async fn a_request_that_is_given_up_leaves_its_connection_known() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut pool = pool();
    let request = Request::get(format!("http://{addr}/"));
    let asking = pool.call(request.body(Empty::<Bytes>::new()).unwrap());
    let heard = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        stream
    };
    let open = tokio::select! {
        ended = asking => panic!("the server has not answered: {ended:?}"),
        stream = heard => stream,
    };
    assert_eq!(pool.registry.len(), 1);
    drop(open);
}

/// Starts a server that answers all requests of a connection, and counts connections.
async fn patient() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                while stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(answer).await.unwrap();
                }
            });
        }
    });
    (addr, accepted)
}

async fn capture(client: &Stock, addr: SocketAddr) -> Captured {
    let request = Request::get(format!("http://{addr}/"));
    let mut request = request.body(Empty::<Bytes>::new()).unwrap();
    let captured = Captured::of(&mut request);
    client.request(request).await.unwrap();
    captured
}

/// If a connection dies, hyper-util may send its request again, and then the other connection is captured.
#[tokio::test]
async fn only_the_connection_that_is_meant_is_retired() {
    let ((addr, accepted), resolver) = (patient().await, Resolver::new());
    let http = HttpConnector::new_with_resolver(resolver);
    let client: Stock = Client::builder(TokioExecutor::new()).build(http);
    let accepted = || accepted.load(Ordering::Relaxed);
    let first = capture(&client, addr).await;
    let other = capture(&client, patient().await.0).await;
    capture(&client, addr).await;
    assert_eq!(accepted(), 1, "it is kept");
    first.poison(other.ends().unwrap());
    capture(&client, addr).await;
    assert_eq!(accepted(), 1, "the other was meant");
    first.poison(first.ends().unwrap());
    capture(&client, addr).await;
    assert_eq!(accepted(), 2);
}

/// The idle time counts from the last request on the connection, not from the first.
#[tokio::test(start_paused = true)]
async fn a_connection_in_use_is_not_taken_for_idle() {
    let ((addr, accepted), resolver) = (patient().await, Resolver::new());
    let http = HttpConnector::new_with_resolver(resolver.clone());
    let client: Stock = Client::builder(TokioExecutor::new()).build(http);
    let mut pool = resolver.drain_layer().layer(client);
    for _ in 0..5 {
        get(&mut pool, addr).await;
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 1);
    tokio::time::advance(Duration::from_secs(31)).await;
    get(&mut pool, addr).await;
    assert_eq!(accepted.load(Ordering::Relaxed), 2, "91 s without one");
}

#[test]
fn an_origin_is_told_in_one_spelling() {
    let of = |uri: &'static str| origin(&Uri::from_static(uri)).map(|(origin, _)| origin);
    assert_eq!(
        of("http://A.test:80/x").as_deref(),
        Some("http://a.test:80")
    );
    assert_eq!(of("/only/a/path"), None);
}
