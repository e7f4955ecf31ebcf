//! Tests which requests `.sidestep()` sends again, how often, and how many connects they cost if all edges are dead.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{Outcome, Resolver};
use testkit::{Edges, Guest, HOST, Mode, Nack, NameServer, World, asking, get, nacking};
use tokio::net::TcpListener;

/// Many requests meet dead edges at once. No retry budget makes them fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_in_a_burst_of_failed_handshakes() {
    let world = World::https(4).await;
    let client = world.client();
    for ip in world.ips().into_iter().take(3) {
        world.edges.set(ip, Mode::TlsReset).await;
    }
    let requests: Vec<_> = (0..300)
        .map(|_| {
            let (client, url) = (client.clone(), world.url());
            tokio::spawn(async move { get(&client, &url).await })
        })
        .collect();
    for request in requests {
        assert!(request.await.unwrap().unwrap().contains("127.0.0.5"));
    }
}

/// If all edges fail in TLS, a request attempts each address once, as a refused connect does.
#[tokio::test]
async fn if_all_edges_are_dead_a_request_attempts_each_address_once() {
    let world = World::https(4).await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::TlsReset).await;
    }
    let client = world.client();
    let requests = 200;
    for _ in 0..requests {
        assert!(get(&client, &world.url()).await.unwrap_err().is_connect());
    }
    let connects = world.accepted();
    println!("{connects} connects for {requests} requests while all of 4 edges are dead");
    assert!(
        connects <= 4 * requests + 20,
        "{connects} connects for {requests} requests"
    );
    assert!(
        world.queries() < 10,
        "too many lookups: {}",
        world.queries()
    );
}

/// The connection dies on another thread before the request is sent. So the request is as safe to send again as after a
/// failed connect, and the failure is recorded.
///
/// If hyper gives a request to a connection in the moment in which the connection ends, the request never ends
/// (hyperium/hyper#4122, found in 1.12.0). That is rare, so the test counts the rounds that do not end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_accepts_and_closes_is_a_failure_on_a_multi_thread_runtime() {
    let mut hung = 0;
    for _ in 0..150 {
        let round =
            tokio::time::timeout(Duration::from_secs(30), round_with_an_edge_that_closes()).await;
        hung += usize::from(round.is_err());
    }
    assert!(hung <= 2, "{hung} rounds did not end");
}

async fn round_with_an_edge_that_closes() {
    let world = World::http(2).await;
    let client = world.client();
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::AcceptAndClose).await;
    for n in 0..4 {
        let request = if n % 2 == 0 {
            client.get(world.url())
        } else {
            client.put(world.url())
        };
        request
            .send()
            .await
            .unwrap_or_else(|error| panic!("request {n}: {error:?}; {:?}", world.journal.seen()));
    }
    let connects = world.edges.accepted(dead);
    assert!(
        connects <= 1,
        "{connects} connects; {:?}",
        world.journal.seen()
    );
    assert_eq!(world.journal.failures().len(), connects);
}

/// An edge closes each HTTP/2 connection in the preface, before the requests are sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_when_http2_connections_close_in_the_preface() {
    for _ in 0..60 {
        let world = World::http(2).await;
        world.edges.set(world.ips()[0], Mode::AcceptAndClose).await;
        let client = world
            .builder()
            .http2_prior_knowledge()
            .sidestep(&world.resolver);
        let client = client.build().unwrap();
        let requests = (0..6).map(|_| async { get(&client, &world.url()).await });
        for response in futures_util::future::join_all(requests).await {
            response.unwrap_or_else(|error| panic!("{error:?}; {:?}", world.journal.seen()));
        }
    }
}

/// A server may close a connection after a response.
#[tokio::test]
async fn the_end_of_a_connection_after_a_response_is_no_failure_of_the_address() {
    let addr = testkit::answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let dns = NameServer::start().await;
    dns.set(HOST, &[addr.ip()], 60);
    let journal = testkit::Journal::default();
    let builder = Resolver::builder()
        .lookup(asking(&dns))
        .observe(journal.observer());
    let edges = Edges::http(1).await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(edges.client_config())
        .sidestep(&builder.build().unwrap())
        .build()
        .unwrap();
    let url = format!("http://{HOST}:{}/", addr.port());
    get(&client, &url).await.unwrap();
    get(&client, &url)
        .await
        .expect("the request is sent again on a new connection");
    assert_eq!(journal.failures(), []);
}

/// DNS names a new IPv4 address, and IPv6 has no route. The error is about IPv6, and the new address is found.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_new_address_is_found_if_the_error_is_about_the_other_family() {
    let world = World::of(Edges::http(2).await, |builder| {
        builder.prefer_family(sidestep::Family::V4)
    })
    .await;
    let client = world.client();
    let [old, new] = world.ips()[..] else {
        panic!("there are two edges");
    };
    // Multicast has no route for TCP, and no packet leaves.
    let no_route = "ff02::1".parse().unwrap();
    world.dns.set(HOST, &[old, no_route], 1800);
    get(&client, &world.url()).await.unwrap();
    world.dns.set(HOST, &[new, no_route], 1800);
    world.edges.set(old, Mode::Refuse).await;
    assert!(
        get(&client, &world.url())
            .await
            .unwrap()
            .contains("127.0.0.3")
    );
}

/// IPv6 leads and has no route. One IPv4 edge has a wrong certificate, and the other one serves.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_request_fails_if_a_family_has_no_route_and_a_certificate_is_wrong() {
    for _ in 0..20 {
        let world = World::https(2).await;
        let mut ips = world.ips();
        world.edges.set(ips[0], Mode::WrongCertificate).await;
        ips.push("ff02::1".parse().unwrap());
        world.dns.set(HOST, &ips, 1800);
        let client = world.client();
        for _ in 0..3 {
            get(&client, &world.url())
                .await
                .unwrap_or_else(|error| panic!("{error:?}; {:?}", world.journal.seen()));
        }
    }
}

/// One request attempts all dead edges, whatever the spelling of the host in its URL.
#[tokio::test]
async fn with_a_root_dot_in_its_url_a_request_attempts_all_edges() {
    let world = World::https(6).await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::TlsReset).await;
    }
    let client = world.client();
    get(&client, &world.edges.url("EDGE.test."))
        .await
        .unwrap_err();
    assert!(world.ips().iter().all(|&ip| world.edges.accepted(ip) > 0));
}

/// A client has the layers of two resolvers. The resolver that does the lookups records the failures.
#[tokio::test]
async fn of_two_resolvers_the_last_one_does_lookups_and_records_failures() {
    let world = World::http(2).await;
    let other = Resolver::builder()
        .lookup(asking(&world.dns))
        .build()
        .unwrap();
    let client = world
        .builder()
        .sidestep(&other)
        .sidestep(&world.resolver)
        .build()
        .unwrap();
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::Refuse).await;
    world
        .get_until(&client, |world| world.is_penalized(dead))
        .await;
    assert_eq!(
        world
            .journal
            .count(|seen| *seen == testkit::Seen::ContextLost),
        0
    );
}

/// A streaming body cannot be sent twice.
#[tokio::test]
async fn a_request_with_a_streaming_body_is_not_sent_again() {
    let world = World::https(2).await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::TlsReset).await;
    }
    let chunk = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from("once"))]);
    let body = reqwest::Body::wrap_stream(chunk);
    world
        .client()
        .post(world.url())
        .body(body)
        .send()
        .await
        .unwrap_err();
    assert_eq!(world.accepted(), 1);
}

/// Returns a client that uses HTTP/2 in the clear, with prior knowledge.
fn http2_client(resolver: &Resolver, edges: &Edges) -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .tls_backend_preconfigured(edges.client_config())
        .sidestep(resolver)
        .build()
        .unwrap()
}

/// The retry policy replaces that of reqwest, so the policy of sidestep must do the same.
#[tokio::test]
async fn a_request_that_http2_did_not_process_is_sent_again_as_by_stock_reqwest() {
    for nack in [Nack::RefusedStream, Nack::GoAway] {
        let (addr, requests) = nacking(nack, 2).await;
        let dns = NameServer::start().await;
        dns.set(HOST, &[addr.ip()], 60);
        let resolver = Resolver::builder().lookup(asking(&dns)).build().unwrap();
        let edges = Edges::http(1).await;
        let client = http2_client(&resolver, &edges);
        let url = format!("http://{HOST}:{}/", addr.port());
        let response = client
            .post(&url)
            .body("not idempotent")
            .send()
            .await
            .unwrap();
        assert!(response.status().is_success());
        assert_eq!(requests.load(Ordering::SeqCst), 3, "{nack:?}");
    }
}

/// A rejected request is sent again at most twice, as by stock reqwest.
#[tokio::test]
async fn a_request_that_http2_never_processes_is_sent_at_most_three_times() {
    let (addr, requests) = nacking(Nack::RefusedStream, usize::MAX).await;
    let resolver = Resolver::new();
    let edges = Edges::http(1).await;
    let client = http2_client(&resolver, &edges);
    client
        .get(format!("http://{addr}/"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(requests.load(Ordering::SeqCst), 3);
}

/// One of four edges refuses every stream, and its connection stays open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_when_one_edge_refuses_every_stream() {
    let refused = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&refused);
    let guest = Guest::knowing_where(move |ip, stream| {
        let counter = Arc::clone(&counter);
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                if ip == IpAddr::from([127, 0, 0, 2]) {
                    counter.fetch_add(1, Ordering::SeqCst);
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                } else {
                    respond
                        .send_response(http::Response::new(()), true)
                        .unwrap();
                }
            }
        }
    });
    let edges = Edges::hosting(4, testkit::Scheme::Http, guest).await;
    let world = World::of(edges, |builder| {
        builder.address_order(sidestep::AddressOrder::Preserve)
    })
    .await;
    let client = http2_client(&world.resolver, &world.edges);
    for _ in 0..20 {
        let posts = (0..20).map(|_| client.post(world.url()).body("asked").send());
        for response in futures_util::future::join_all(posts).await {
            response.unwrap_or_else(|error| panic!("{error:?}; {:?}", world.journal.seen()));
        }
    }
    assert_eq!(
        world.journal.failures(),
        [(world.ips()[0], Outcome::Unavailable)]
    );
    assert!(refused.load(Ordering::SeqCst) <= 40, "{refused:?}");
}

/// IPv6 is black-holed, and IPv4 serves. Only the first request attempts IPv6.
#[tokio::test]
async fn a_black_holed_family_is_attempted_once() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return println!("this machine has no IPv6");
    }
    let ips = ["::1".parse().unwrap(), "127.0.0.2".parse().unwrap()];
    let world = World::of(Edges::on(&ips, testkit::Scheme::Http).await, |b| b).await;
    let client = world.client();
    assert!(
        get(&client, &world.url()).await.unwrap().contains("::1"),
        "IPv6 goes first"
    );
    world.edges.set(ips[0], Mode::BlackHole).await;
    for _ in 0..10 {
        assert!(
            get(&client, &world.url())
                .await
                .unwrap()
                .contains("127.0.0.2")
        );
    }
    assert_eq!(
        world.journal.failures(),
        [(ips[0], Outcome::Slow)],
        "IPv6 is attempted once"
    );
}

/// A failed retry is not sent again. So the retry goes to an address with a penalty rather than to the address that
/// closed the connection.
#[tokio::test]
async fn after_an_early_close_the_retry_goes_to_any_other_address() {
    let world = World::http(2).await;
    let client = world.client();
    let [first, other] = world.ips()[..] else {
        panic!("there are two edges");
    };
    get(&client, &world.url()).await.unwrap();
    world.edges.set(first, Mode::CloseAfterRequest).await;
    world.resolver.report(HOST, other, Outcome::Refused);
    let response = get(&client, &world.url()).await.unwrap();
    assert!(response.contains(&other.to_string()), "{response}");
    assert_eq!(
        world.journal.failures().len(),
        2,
        "the request met both edges"
    );
}

/// A connector gets at most four addresses. If all of them fail, the request attempts the other addresses too.
#[tokio::test]
async fn if_many_addresses_are_dead_each_one_is_attempted() {
    let world = World::http(9).await;
    let client = world.client();
    for ip in world.ips() {
        world.edges.set(ip, Mode::Refuse).await;
    }
    assert!(get(&client, &world.url()).await.unwrap_err().is_connect());
    assert_eq!(world.journal.failures().len(), 9);
    for ip in world.ips() {
        world.edges.set(ip, Mode::Serve).await;
        let response = get(&client, &world.url()).await.unwrap();
        assert!(response.contains(&ip.to_string()), "{response}");
        world.edges.set(ip, Mode::Refuse).await;
    }
}

/// A retry whose connection dies late is not sent again.
#[tokio::test]
async fn a_server_that_closes_connections_late_gets_a_get_twice() {
    let (addr, seen) = closing(Duration::from_millis(5_200)).await;
    let (client, _dns) = client_of(addr, |builder| builder).await;
    let url = format!("http://{HOST}:{}/", addr.port());
    let result = tokio::time::timeout(Duration::from_secs(30), get(&client, &url)).await;
    assert!(result.expect("the request ends").is_err());
    assert_eq!(seen.load(Ordering::Relaxed), 2);
}

/// Each HTTP/2 connection dies with all its requests. A request that joins a connection of other requests just before
/// its own connection fails is sent once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_fail_together_are_not_sent_forever() {
    let (addr, seen) = closing(Duration::from_millis(300)).await;
    let (client, _dns) = client_of(addr, reqwest::ClientBuilder::http2_prior_knowledge).await;
    let url = format!("http://{HOST}:{}/", addr.port());
    let all = (0..20).map(|_| get(&client, &url));
    for result in futures_util::future::join_all(all).await {
        assert!(result.is_err());
    }
    let seen = seen.load(Ordering::Relaxed);
    assert!(seen <= 60, "20 requests were sent {seen} times");
}

/// Starts a server that reads requests and closes each connection after some time. Returns the number of requests too.
async fn closing(after: Duration) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let read = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let read = Arc::clone(&read);
            let service = hyper::service::service_fn(move |_| {
                read.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<Result<hyper::Response<String>, std::io::Error>>()
            });
            tokio::spawn(async move {
                let executor = hyper_util::rt::TokioExecutor::new();
                let server = hyper_util::server::conn::auto::Builder::new(executor);
                let stream = hyper_util::rt::TokioIo::new(stream);
                let serving = server.serve_connection(stream, service);
                let _ = tokio::time::timeout(after, serving).await;
            });
        }
    });
    (addr, seen)
}

async fn client_of(
    addr: SocketAddr,
    set: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> (reqwest::Client, NameServer) {
    let dns = NameServer::start().await;
    dns.set(HOST, &[addr.ip()], 60);
    let resolver = Resolver::builder().lookup(asking(&dns)).build().unwrap();
    let edges = Edges::http(1).await;
    let builder = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(edges.client_config())
        .sidestep(&resolver);
    (set(builder).build().unwrap(), dns)
}
