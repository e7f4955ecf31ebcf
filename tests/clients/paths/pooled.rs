//! Pooled connections that die, that go silent, or that become idle before another one is made.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use sidestep::Outcome;
use sidestep::reqwest::ClientBuilderExt as _;
use testkit::guests::{closes_at_the_second, one_at_a_time};
use testkit::{Edges, HOST, Mode, RecordType, Scheme, Seen, World, get, sleep, within};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::paths::stock::{Http, Stock};
use crate::paths::{in_order, nobody_was_blamed, only_these_failed};

/// A stock reqwest client that pools its connections.
fn pooling(stock: Stock, world: &World) -> reqwest::Client {
    let builder = stock.reqwest(world).pool_max_idle_per_host(usize::MAX);
    builder.sidestep(&world.resolver).build().unwrap()
}

/// The client uses HTTP/1.1, HTTP/2 with prior knowledge, or HTTP/2 by ALPN. Its only connection dies with the edge,
/// and the next request connects to another edge, where the connection is pooled.
#[tokio::test]
async fn after_a_pooled_connection_dies_the_next_request_uses_another_edge() {
    for stock in Stock::all().filter(|stock| stock.sends_again()) {
        let case = format!("{stock:?}");
        let world = stock.world(2).await;
        let (client, ips) = (pooling(stock, &world), world.ips());
        for _ in 0..3 {
            get(&client, &world.url()).await.unwrap();
        }
        assert_eq!(
            world.edges.accepted(ips[0]),
            1,
            "{case}: the connection is pooled"
        );
        world.edges.set(ips[0], Mode::Refuse).await;
        for _ in 0..3 {
            let body = get(&client, &world.url()).await.unwrap();
            assert!(body.contains("127.0.0.3"), "{case}: {body}");
        }
        assert_eq!(
            world.edges.accepted(ips[1]),
            1,
            "{case}: the connection is pooled"
        );
        // No connect was made since, so the host has not been looked up again yet.
        world.resolver.resolve(HOST).await.unwrap();
        only_these_failed(&world, &case, &[(ips[0], Outcome::Failed)]).await;
    }
}

/// If an edge loses power, neither data nor FIN nor RST arrives. Only a ping detects that, by default after 15 s.
#[tokio::test]
async fn a_get_on_a_silent_pooled_connection_is_sent_again_after_a_ping() {
    const MS: Duration = Duration::from_millis(1);
    const S: Duration = Duration::from_secs(1);
    let is_pinged = |stock: &Stock| stock.sends_again() && stock.http == Http::Two;
    for (stock, ping) in Stock::all()
        .filter(is_pinged)
        .flat_map(|stock| [None, Some(2 * S)].map(|ping| (stock, ping)))
    {
        let case = format!("{stock:?}, {ping:?}");
        let (world, max_idle) = (stock.world(4).await, usize::MAX);
        let builder = stock.reqwest(&world).pool_max_idle_per_host(max_idle);
        let builder = builder.sidestep(&world.resolver);
        let (builder, expected) = match ping {
            None => (builder, 15 * S),
            Some(ping) => {
                let builder = builder.http2_keep_alive_interval(ping);
                (builder.http2_keep_alive_timeout(ping), 2 * ping)
            }
        };
        let (client, ips) = (builder.build().unwrap(), world.ips());
        get(&client, &world.url()).await.unwrap();
        world.edges.set_and_go_silent(ips[0], Mode::BlackHole).await;
        let (began, request) = (Instant::now(), client.get(world.url()).send());
        // The clock runs while the request waits for the ping, and not while the client connects again.
        let running = async {
            while world.journal.failures().is_empty() {
                sleep(10 * MS).await;
            }
            std::future::pending().await
        };
        let body = within(&case, async {
            tokio::select! {
                biased;
                response = request => response.unwrap().text().await.unwrap(),
                () = running => unreachable!("the clock runs until the test ends"),
            }
        });
        let body = body.await;
        let took = Instant::now() - began;
        assert!(body.contains("127.0.0.3"), "{case}: {body}");
        assert!(took <= expected + S / 2, "{case}: {took:?}");
        let silent = (ips[0], Outcome::Silent);
        assert_eq!(world.journal.failures(), [silent], "{case}");
    }
}

/// The server accepts one request at a time, so the others wait for a free stream when the connection dies.
#[tokio::test]
async fn requests_that_wait_for_a_stream_are_sent_again_if_the_connection_dies() {
    let is_http2 = |stock: &Stock| stock.sends_again() && stock.http == Http::Two;
    for stock in Stock::all().filter(is_http2) {
        let first = IpAddr::from([127, 0, 0, 2]);
        let (guest, has_second) = one_at_a_time(first);
        let world = in_order(Edges::hosting(2, stock.scheme, guest).await).await;
        let client = pooling(stock, &world);
        get(&client, &world.url()).await.unwrap();
        let all = join_all((0..5).map(|_| client.get(world.url()).send()));
        let kill = async {
            has_second.notified().await;
            world.edges.set(first, Mode::Refuse).await;
        };
        let (responses, ()) = within("five responses", async { tokio::join!(all, kill) }).await;
        for response in responses {
            response.unwrap_or_else(|error| panic!("{stock:?}: {error:?}"));
        }
        assert!(world.edges.accepted(world.ips()[1]) > 0, "{stock:?}");
    }
}

/// A request needs a second connection and waits for a lookup. Then the first connection becomes idle and serves the
/// request. The connect goes on in the background, and only its failure is recorded.
#[tokio::test]
async fn a_connect_that_lost_to_a_pooled_connection_is_recorded() {
    let stock = Stock::all().next().unwrap();
    let world = stock.world(3).await;
    let (client, ips) = (pooling(stock, &world), world.ips());
    world.dns.set(HOST, &ips[..1], 1800);
    let (end, ended) = oneshot::channel::<()>();
    let chunk = async move { ended.await.map(|()| Bytes::from("x")) };
    let body = reqwest::Body::wrap_stream(futures_util::stream::once(chunk));
    let busy = client.post(world.url() + "echo").body(body).send();
    let busy = tokio::spawn(async move { busy.await?.text().await });
    world.edges.accepts(ips[0], 1).await;
    world.edges.set(ips[1], Mode::Refuse).await;
    world.dns.set(HOST, &ips[1..], 1800);
    world.dns.hold();
    world.resolver.invalidate(HOST);
    let second = tokio::spawn({
        let (client, url) = (client.clone(), world.url());
        async move { get(&client, &url).await }
    });
    world.dns.asked(HOST, RecordType::A, 2).await;
    end.send(()).unwrap();
    assert_eq!(busy.await.unwrap().unwrap(), "x");
    let response = second.await.unwrap().unwrap();
    assert!(
        response.contains("127.0.0.2"),
        "the pooled connection serves: {response}"
    );
    assert_eq!(world.journal.failures(), []);
    world.dns.release();
    let failed = (ips[1], Outcome::Failed);
    let recorded = world
        .journal
        .saw(|seen| *seen == Seen::Failed(failed.0, failed.1));
    recorded.await;
    assert_eq!(world.journal.failures(), [failed]);
    assert!(world.is_penalized(ips[1]) && !world.is_penalized(ips[2]));
}

/// A connection to a proxy ends after a response, so the proxy is not dead.
#[tokio::test]
async fn the_end_of_a_pooled_connection_to_a_proxy_is_no_failure() {
    let proxies = Edges::hosting(2, Scheme::Http, closes_at_the_second()).await;
    let world = in_order(proxies).await;
    let builder = reqwest::Client::builder()
        .proxy(reqwest::Proxy::all(world.url()).unwrap())
        .tls_backend_preconfigured(world.edges.client_config());
    let client = builder.sidestep(&world.resolver).build().unwrap();
    for _ in 0..3 {
        let response = get(&client, "http://origin.test/").await;
        response.expect("the request is sent again on a new connection");
    }
    assert_eq!(world.accepted(), 3);
    nobody_was_blamed(&world, "");
}
