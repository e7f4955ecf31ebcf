//! Things that a race must not do. Each test comes from a review that tried to break the race.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::Empty;
use hyper::{Request, Uri};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as Legacy;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioExecutor;
use sidestep::Outcome;
use testkit::guests::http_proxy;
use testkit::{Edges, Mode, Scheme, World};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::retry::RetryLayer;
use tower::{Layer as _, Service, ServiceExt as _};

use crate::clients::{Client, Kind, boxed, http};
use crate::faults::{self, BoxError};
use crate::stage::{MS, Stage, connects, fails, hangs, refuses, v4, v6};

/// The machine has no IPv6: AAAA records have no route, A records refuse, and the host has moved (F8).
#[tokio::test(start_paused = true)]
async fn without_a_route_for_ipv6_a_race_still_attempts_a_fresh_answer() {
    let no_route = fails(0, faults::no_route);
    let stage = Stage::new([(v6(1), no_route), (v4(2), connects(1))]);
    stage.connected().await;
    stage.again();
    stage.turns(v4(2), refuses(1));
    stage.turns(v4(4), connects(1));
    stage.says(&[v6(1), v4(4)]);
    assert_eq!(stage.connected().await.0, v4(4));
}

/// One address fails with an error that has no class, and the host has moved (F8).
#[tokio::test(start_paused = true)]
async fn after_an_unknown_error_a_race_still_attempts_a_fresh_answer() {
    let stage = Stage::new([(v4(2), connects(1)), (v4(3), connects(1))]);
    stage.connected().await;
    stage.again();
    stage.turns(v4(2), refuses(1));
    stage.turns(v4(3), fails(1, faults::odd));
    stage.turns(v4(4), connects(1));
    stage.says(&[v4(4)]);
    assert_eq!(stage.connected().await.0, v4(4));
}

/// TCP and TLS take 500 to 900 ms, as over a satellite or on a train. Every edge is healthy.
#[tokio::test(start_paused = true)]
async fn on_a_slow_network_no_address_has_failed() {
    // The resolver shuffles with a seed of its own, and the first races have seen the fewest connects.
    for seed in 0..100 {
        slow_network(fastrand::Rng::with_seed(seed), 12).await;
    }
    slow_network(fastrand::Rng::with_seed(7), 300).await;
}

async fn slow_network(mut rng: fastrand::Rng, races: usize) {
    let all = [v4(2), v4(3), v4(4), v4(5)];
    let stage = Stage::with(all.map(|addr| (addr, connects(600))), |b| {
        b.address_order(sidestep::AddressOrder::Shuffle)
    });
    for _ in 0..races {
        for addr in all {
            stage.turns(addr, connects(rng.u64(500..900)));
        }
        stage.again();
        stage.connected().await;
        tokio::time::sleep(200 * MS).await;
    }
    assert_eq!(stage.journal.failures(), []);
}

/// On a link that takes 400 ms to connect, the first race puts a black hole last. No address gets a penalty, because a
/// healthy address may be as slow.
#[tokio::test(start_paused = true)]
async fn on_a_link_of_400_ms_the_first_race_puts_a_black_hole_last() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), connects(400))]);
    for (first, at) in [(v4(2), 650), (v4(3), 400), (v4(3), 400)] {
        stage.again();
        assert_eq!(stage.connected().await, (v4(3), at));
        assert_eq!(stage.starts()[0], (first, 0));
    }
    assert_eq!(stage.journal.failures(), []);
}

/// Each of 1 000 tasks runs two races on a host whose addresses all swallow packets.
#[tokio::test(start_paused = true)]
async fn a_thousand_tasks_on_black_holes_make_few_lookups() {
    let stage = Stage::new([2, 3, 4, 5].map(|n| (v4(n), hangs())));
    let stage = Arc::new(stage);
    let tasks = (0..1_000).map(|n| {
        let stage = stage.clone();
        async move {
            tokio::time::sleep(n * MS).await;
            for _ in 0..2 {
                let _ = stage.connect().await;
            }
        }
    });
    join_all(tasks).await;
    println!("{} queries in {} ms", stage.asked(), stage.now());
    // While no address is healthy, the host is looked up every 2 s.
    let most = 4 + stage.now() / 2_000;
    assert!(stage.asked() as u64 <= most, "{}", stage.asked());
}

/// Runs one connect at a time, as a concurrency limit around a connector does.
#[derive(Clone)]
struct OneAtATime<C> {
    inner: C,
    permits: Arc<Semaphore>,
    mine: Mine,
}

#[derive(Default)]
struct Mine {
    acquiring: Option<Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send>>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Clone for Mine {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<C> Service<Uri> for OneAtATime<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.mine.permit.is_none() {
            let permits = self.permits.clone();
            let acquiring = self.mine.acquiring.get_or_insert_with(|| {
                Box::pin(async move {
                    permits
                        .acquire_owned()
                        .await
                        .expect("the semaphore is open")
                })
            });
            self.mine.permit = Some(std::task::ready!(acquiring.as_mut().poll(cx)));
            self.mine.acquiring = None;
        }
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let permit = self
            .mine
            .permit
            .take()
            .expect("`poll_ready` has acquired a permit");
        let connecting = self.inner.call(uri);
        Box::pin(async move {
            let connected = connecting.await;
            drop(permit);
            connected
        })
    }
}

/// The time of an attempt counts from when the resolver returned its address. An attempt that waits for a permit has
/// not begun, and its address has not failed.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_waited_for_its_connector_keeps_its_full_time() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), connects(400))]);
    let limit = |inner| OneAtATime {
        inner,
        permits: Arc::new(Semaphore::new(1)),
        mine: Mine::default(),
    };
    let race = stage.race_over(limit);
    let uri = Uri::from_static("https://edge.test/");
    let link = race.oneshot(uri).await;
    let failures = stage.journal.failures();
    let has_not_failed = failures.iter().all(|(addr, _)| *addr != v4(3));
    assert!(has_not_failed, "{failures:?}");
    assert_eq!(link.map(|link| link.addr()).ok(), Some(v4(3)));
}

/// If an attempt has just begun when the connect times out, the error does not report the attempt as slow.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_has_just_begun_is_not_reported_as_slow() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), hangs())]);
    let stage = stage.racing(|race| race.timeout(251 * MS));
    let (error, at) = stage.failed().await;
    assert_eq!(at, 251);
    let attempts = crate::stage::attempts(&error);
    assert_ne!(attempts[1], (v4(3), Some(Outcome::Slow)), "{error}");
}

/// A race stops at a local fault and at a second wrong certificate. A retry policy does not start the race again
/// because another address has refused before.
#[tokio::test]
async fn a_retry_policy_does_not_multiply_the_attempts_of_a_stopped_race() {
    let world = Kind::Https.world(8).await;
    let ips = world.ips();
    world.edges.set(ips[0], Mode::Refuse).await;
    for &ip in &ips[1..] {
        world.edges.set(ip, Mode::WrongCertificate).await;
    }
    let race = Kind::Https.connector(&world);
    let client = Legacy::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(race);
    let client = RetryLayer::new(world.resolver.retry_policy()).layer(client);
    let request = Request::get(world.url()).body(Empty::new()).unwrap();
    client.oneshot(request).await.unwrap_err();
    // A race makes two attempts, and the retry policy allows two other addresses after a wrong certificate.
    assert!(world.accepted() <= 4, "{}", world.accepted());
}

/// If the origin behind a tunnel swallows packets, no proxy has failed.
#[tokio::test]
async fn a_slow_origin_behind_a_tunnel_gives_no_proxy_a_penalty() {
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (guest, _) = http_proxy(origin.local_addr().unwrap());
    let proxies = Edges::hosting(3, Scheme::Http, guest).await;
    // The clock runs in real time, because a stopped clock does not advance for a silent origin.
    let world = World::of(proxies, |b| b.slow_connect_after(400 * MS))
        .await
        .in_real_time();
    let tcp = world
        .resolver
        .tcp_connected_layer()
        .layer(http(&world.resolver));
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(Edges::https(1).await.client_config())
        .https_only()
        .enable_http1()
        .wrap_connector(Tunnel::new(world.url().parse().unwrap(), tcp));
    let race = world.resolver.happy_eyeballs_layer();
    let race = race.attempt_timeout(800 * MS);
    let client = Client::new(boxed(race.layer(https)), 0);
    client.get("https://origin.test/").await.unwrap_err();
    let penalized = world.ips().into_iter().filter(|&ip| world.is_penalized(ip));
    assert_eq!(penalized.count(), 0, "{:?}", world.journal.failures());
}

/// New addresses are attempted as soon as the first of many attempts is slow (F8).
#[tokio::test(start_paused = true)]
async fn a_fresh_answer_is_attempted_when_the_first_of_many_black_holes_is_slow() {
    for n in [5, 6, 8] {
        let old: Vec<_> = (2..2 + n).map(|last| (v4(last), hangs())).collect();
        let stage = Stage::of(&old, |builder| builder);
        stage.resolver.resolve(testkit::HOST).await.unwrap();
        stage.turns(v4(17), connects(10));
        stage.says(&[v4(17)]);
        stage.again();
        assert_eq!(stage.connected().await, (v4(17), 310), "{n} addresses");
    }
}

/// The addresses behave at random, and the caller drops the race at a random time. No attempt and no connection is
/// left, and a race attempts each address at most once.
#[tokio::test(start_paused = true)]
async fn a_race_dropped_at_any_time_leaves_no_attempt_and_no_connection() {
    let mut rng = fastrand::Rng::with_seed(5);
    for round in 0..400 {
        let cast: Vec<_> = (2..2 + rng.u8(1..=9))
            .map(|last| {
                let after = rng.u64(0..1_500);
                let fate = match rng.u8(0..6) {
                    0 | 1 => refuses(after),
                    2 => connects(after),
                    3 => fails(after, faults::cut_in_tls),
                    4 => fails(after, faults::odd),
                    _ => hangs(),
                };
                (v4(last), fate)
            })
            .collect();
        let (lookup_delay, reports_tcp) = (rng.u64(0..50), rng.bool());
        let mut stage = Stage::of(&cast, |builder| builder);
        if reports_tcp {
            stage = stage.telling_of_tcp();
        }
        let stage = stage.asking_after(lookup_delay);
        let at = rng.u32(0..15_000);
        let ended = tokio::time::timeout(at * MS, stage.connect()).await;
        let held = usize::from(matches!(&ended, Ok(Ok(_))));
        assert_eq!((stage.pending(), stage.open()), (0, held), "{round}");
        let mut attempted: Vec<_> = stage.starts().into_iter().map(|(addr, _)| addr).collect();
        attempted.sort();
        attempted.dedup();
        assert_eq!(attempted.len(), stage.starts().len(), "{round}");
        drop(ended);
        assert_eq!(stage.open(), 0, "{round}");
    }
}

/// A connector with retries of its own resolves its host twice in one connect. The host is the same both times, so the
/// second connect does not wait for the black hole of the first.
#[tokio::test(start_paused = true)]
async fn a_black_hole_is_recorded_if_the_connector_resolves_its_host_twice() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), connects(10))]);
    let resolver = stage.resolver.clone();
    let race = stage.race_over(|inner| Twice { inner, resolver });
    let uri = Uri::from_static("https://edge.test/");
    for wait in [260, 10] {
        stage.again();
        let link = race.clone().oneshot(uri.clone()).await;
        assert_eq!((link.unwrap().addr(), stage.now()), (v4(3), wait));
    }
}

#[derive(Clone)]
struct Twice<C> {
    inner: C,
    resolver: sidestep::Resolver,
}

impl<C> Service<Uri> for Twice<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let name = uri.host().unwrap().parse::<Name>().unwrap();
        let (resolving, connecting) = (self.resolver.clone().oneshot(name), self.inner.call(uri));
        Box::pin(async move {
            resolving.await?;
            connecting.await
        })
    }
}

/// A user has put `happy_eyeballs_layer()` around a connector that still has `connect_layer()`.
#[tokio::test(start_paused = true)]
async fn a_connect_layer_inside_a_race_leaves_the_outcomes_to_the_race() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), refuses(10)), (v4(4), connects(1))]);
    let resolver = stage.resolver.clone();
    let race = stage.race_over(|inner| resolver.connect_layer().layer(inner));
    let link = race.oneshot(Uri::from_static("https://edge.test/")).await;
    assert_eq!(link.unwrap().addr(), v4(4));
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 250), (v4(4), 260)]);
    assert_eq!(
        stage.journal.failures(),
        [(v4(3), Outcome::Refused), (v4(2), Outcome::Slow)]
    );
}
