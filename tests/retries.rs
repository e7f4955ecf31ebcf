//! What `.sidestep()` sends again, how often, and what that costs when everything is dead.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{Edges, Guest, HOST, Mode, Nack, NameServer, World, asking, get, nacking};
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{Outcome, Resolver};
use tokio::net::TcpListener;

/// A burst that meets a dead edge all at once: no budget turns it into errors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_failed_handshakes_costs_no_request() {
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

/// When all edges are dead a request dials each once, as a refused connect does anyway.
#[tokio::test]
async fn when_all_are_dead_a_request_costs_a_connect_for_each_address() {
    let world = World::https(4).await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::TlsReset).await;
    }
    let client = world.client();
    let requests = 200;
    for _ in 0..requests {
        assert!(get(&client, &world.url()).await.unwrap_err().is_connect());
    }
    let dials = world.accepted();
    println!("{dials} connects for {requests} requests while all of 4 edges are dead");
    assert!(
        dials <= 4 * requests + 20,
        "{dials} connects for {requests} requests"
    );
    assert!(
        world.queries() < 10,
        "and hardly any lookups: {}",
        world.queries()
    );
}

/// The connection dies before the request is on its way, on another thread: as safe to send again
/// as after a failed connect, and learned from.
///
/// A request never ends that hyper hands to a connection in the moment in which the connection ends
/// (hyperium/hyper#4122, found in 1.12.0). That is rare, so the rounds in which it happens are counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_accepts_and_closes_is_learned_on_every_runtime() {
    let mut lost = 0;
    for _ in 0..150 {
        let round =
            tokio::time::timeout(Duration::from_secs(30), round_with_an_edge_that_closes()).await;
        lost += usize::from(round.is_err());
    }
    assert!(lost <= 2, "{lost} rounds did not end");
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
    let dialled = world.edges.accepted(dead);
    assert!(
        dialled <= 1,
        "dialled {dialled} times; {:?}",
        world.journal.seen()
    );
    assert_eq!(world.journal.failures().len(), dialled);
}

/// HTTP/2 dies in its preface. A POST that was not on its way is sent again too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_that_dies_in_its_preface_costs_no_request() {
    for _ in 0..60 {
        let world = World::http(2).await;
        world.edges.set(world.ips()[0], Mode::AcceptAndClose).await;
        let client = world
            .builder()
            .http2_prior_knowledge()
            .sidestep(&world.resolver);
        let client = client.build().unwrap();
        let requests = (0..6).map(|_| async { get(&client, &world.url()).await });
        for answer in futures_util::future::join_all(requests).await {
            answer.unwrap_or_else(|error| panic!("{error:?}; {:?}", world.journal.seen()));
        }
    }
}

/// A server that ends a kept connection is no dead edge.
#[tokio::test]
async fn the_end_of_a_connection_that_has_answered_is_not_held_against_the_edge() {
    let addr = common::answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let dns = NameServer::start().await;
    dns.set(HOST, &[addr.ip()], 60);
    let journal = common::Journal::default();
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
        .expect("it is sent again on a new connection");
    assert_eq!(journal.failures(), []);
}

/// IPv4 has moved and IPv6 has no route: the error is about IPv6, and the move is found.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_move_is_found_though_the_error_is_about_the_other_family() {
    let world = World::of(Edges::http(2).await, |builder| {
        builder.prefer_family(sidestep::Family::V4)
    })
    .await;
    let client = world.client();
    let [old, new] = world.ips()[..] else {
        panic!("there are two");
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

/// IPv6 can't be reached and leads; one IPv4 edge shows a wrong certificate and the other serves.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_wrong_certificate_behind_a_dead_family_costs_no_request() {
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

/// However the URL spells the host, one request walks past all the broken edges.
#[tokio::test]
async fn the_root_dot_in_a_url_costs_no_retry() {
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

/// Layers of two resolvers around one client: the one that is asked learns.
#[tokio::test]
async fn of_two_resolvers_the_last_one_set_is_asked_and_learns() {
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
            .count(|seen| *seen == common::Seen::ContextLost),
        0
    );
}

/// A streaming body can't be sent twice, so nothing is.
#[tokio::test]
async fn a_streaming_body_is_left_alone() {
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

/// A client that speaks HTTP/2 at once, in the clear.
fn http2_client(resolver: &Resolver, edges: &Edges) -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .tls_backend_preconfigured(edges.client_config())
        .sidestep(resolver)
        .build()
        .unwrap()
}

/// Setting a retry policy replaces reqwest's own; what it did must still be done.
#[tokio::test]
async fn what_http2_did_not_process_is_sent_again_as_stock_reqwest_does() {
    for nack in [Nack::RefusedStream, Nack::GoAway] {
        let (addr, asked) = nacking(nack, 2).await;
        let dns = NameServer::start().await;
        dns.set(HOST, &[addr.ip()], 60);
        let resolver = Resolver::builder().lookup(asking(&dns)).build().unwrap();
        let edges = Edges::http(1).await;
        let client = http2_client(&resolver, &edges);
        let url = format!("http://{HOST}:{}/", addr.port());
        let answer = client
            .post(&url)
            .body("not idempotent")
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success());
        assert_eq!(asked.load(Ordering::SeqCst), 3, "{nack:?}");
    }
}

/// reqwest's own limit: twice.
#[tokio::test]
async fn a_request_is_turned_away_three_times_at_most() {
    let (addr, asked) = nacking(Nack::RefusedStream, usize::MAX).await;
    let resolver = Resolver::new();
    let edges = Edges::http(1).await;
    let client = http2_client(&resolver, &edges);
    client
        .get(format!("http://{addr}/"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

/// One edge of four refuses every stream on a connection that stays up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_refuses_every_stream_costs_no_request() {
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
    let edges = Edges::hosting(4, common::Scheme::Http, guest).await;
    let world = World::of(edges, |builder| {
        builder.address_order(sidestep::AddressOrder::Preserve)
    })
    .await;
    let client = http2_client(&world.resolver, &world.edges);
    for _ in 0..20 {
        let posts = (0..20).map(|_| client.post(world.url()).body("asked").send());
        for answer in futures_util::future::join_all(posts).await {
            answer.unwrap_or_else(|error| panic!("{error:?}; {:?}", world.journal.seen()));
        }
    }
    assert_eq!(
        world.journal.failures(),
        [(world.ips()[0], Outcome::Unavailable)]
    );
    assert!(refused.load(Ordering::SeqCst) <= 40, "{refused:?}");
}

/// IPv6 is dead and IPv4 is not: it is learned, and not paid for at each request.
#[tokio::test]
async fn a_black_holed_family_is_learned() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return println!("this machine has no IPv6");
    }
    let ips = ["::1".parse().unwrap(), "127.0.0.2".parse().unwrap()];
    let world = World::of(Edges::on(&ips, common::Scheme::Http).await, |b| b).await;
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
        "dialled once"
    );
}

/// A failed retry is not retried, so it goes to an address that has failed before it goes back to the
/// one that closed its connection.
#[tokio::test]
async fn after_an_early_close_the_retry_goes_to_any_other_address() {
    let world = World::http(2).await;
    let client = world.client();
    let [closes, other] = world.ips()[..] else {
        panic!("there are two edges");
    };
    get(&client, &world.url()).await.unwrap();
    world.edges.set(closes, Mode::CloseAfterRequest).await;
    world.resolver.report(HOST, other, Outcome::Refused);
    let answer = get(&client, &world.url()).await.unwrap();
    assert!(answer.contains(&other.to_string()), "{answer}");
    assert_eq!(world.journal.failures().len(), 2, "it met both");
}

/// A connector is handed four addresses. Where there are more and all are bad, the request goes on.
#[tokio::test]
async fn of_many_bad_addresses_every_one_is_dialled() {
    let world = World::http(9).await;
    let client = world.client();
    for ip in world.ips() {
        world.edges.set(ip, Mode::Refuse).await;
    }
    assert!(get(&client, &world.url()).await.unwrap_err().is_connect());
    assert_eq!(world.journal.failures().len(), 9);
    for ip in world.ips() {
        world.edges.set(ip, Mode::Serve).await;
        let answer = get(&client, &world.url()).await.unwrap();
        assert!(answer.contains(&ip.to_string()), "{answer}");
        world.edges.set(ip, Mode::Refuse).await;
    }
}

/// A connection that dies late, or under many requests, was made for the retry all the same.
#[tokio::test]
async fn a_server_that_closes_after_a_while_sees_a_get_twice() {
    let (addr, seen) = closing(Duration::from_millis(5_200)).await;
    let (client, _dns) = client_of(addr, |builder| builder).await;
    let url = format!("http://{HOST}:{}/", addr.port());
    let ended = tokio::time::timeout(Duration::from_secs(30), get(&client, &url)).await;
    assert!(ended.expect("it is not sent for ever").is_err());
    assert_eq!(seen.load(Ordering::Relaxed), 2);
}

/// HTTP/2: a connection that dies takes all its requests with it, and so does the next. Who joined
/// that while others had dialled it a moment before its own failure has one more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_die_together_are_not_sent_for_ever() {
    let (addr, seen) = closing(Duration::from_millis(300)).await;
    let (client, _dns) = client_of(addr, reqwest::ClientBuilder::http2_prior_knowledge).await;
    let url = format!("http://{HOST}:{}/", addr.port());
    let all = (0..20).map(|_| get(&client, &url));
    for ended in futures_util::future::join_all(all).await {
        assert!(ended.is_err());
    }
    let seen = seen.load(Ordering::Relaxed);
    assert!(seen <= 60, "20 requests were sent {seen} times");
}

/// A server that reads requests and closes after a while, and how many it has read.
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
