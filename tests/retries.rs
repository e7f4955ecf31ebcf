//! What `.sidestep()` sends again, how often, and what that costs when everything is dead.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use common::{Edges, HOST, Mode, NameServer, World, asking, get};
use sidestep::Resolver;
use sidestep::reqwest::ClientBuilderExt as _;
use tokio::net::TcpListener;

fn accepted(world: &World) -> usize {
    world.ips().iter().map(|&ip| world.edges.accepted(ip)).sum()
}

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

/// Without hope there is no retry: when all edges are dead, a request costs about one connect.
#[tokio::test]
async fn when_all_are_dead_retries_do_not_multiply_the_load() {
    let world = World::https(4).await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::TlsReset).await;
    }
    let client = world.client();
    let requests = 200;
    for _ in 0..requests {
        assert!(get(&client, &world.url()).await.unwrap_err().is_connect());
    }
    let dials = accepted(&world);
    println!("{dials} connects for {requests} requests while all edges are dead");
    assert!(
        dials <= requests + 20,
        "{dials} connects for {requests} requests"
    );
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
        .get_until(&client, |world| world.is_penalised(dead))
        .await;
    assert_eq!(
        world.journal.count(|seen| *seen == common::Seen::SlipLost),
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
    assert_eq!(accepted(&world), 1);
}

/// How an HTTP/2 server turns a request away without having looked at it.
#[derive(Clone, Copy, Debug)]
enum Nack {
    RefusedStream,
    GoAway,
}

/// Turns the first `nacks` requests away and answers the others.
async fn nacking(nack: Nack, nacks: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let asked = Arc::clone(&counter);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let turned_away = asked.fetch_add(1, Ordering::SeqCst) < nacks;
                    match nack {
                        Nack::RefusedStream if turned_away => {
                            respond.send_reset(h2::Reason::REFUSED_STREAM);
                        }
                        Nack::GoAway if turned_away => {
                            respond.send_reset(h2::Reason::REFUSED_STREAM);
                            connection.graceful_shutdown();
                        }
                        Nack::RefusedStream | Nack::GoAway => {
                            let answer = http::Response::new(());
                            respond.send_response(answer, true).unwrap();
                        }
                    }
                }
            });
        }
    });
    (addr, asked)
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
        let client = reqwest::Client::builder()
            .no_proxy()
            .http2_prior_knowledge()
            .tls_backend_preconfigured(edges.client_config())
            .sidestep(&resolver)
            .build()
            .unwrap();
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
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .tls_backend_preconfigured(edges.client_config())
        .sidestep(&resolver)
        .build()
        .unwrap();
    client
        .get(format!("http://{addr}/"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(asked.load(Ordering::SeqCst), 3);
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
        [(ips[0], sidestep::Outcome::Stalled)],
        "dialled once"
    );
}
