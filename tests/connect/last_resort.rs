//! Behavior F14: addresses that connected shortly before and have left the answer are the last resort.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sidestep::{ConnectError, Outcome};
use testkit::{DialLog, Edges, Fault, HOST, Mode, Seen, World, get, hyper_client, sleep};
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

const FAULTS: [Mode; 3] = [Mode::Refuse, Mode::BlackHole, Mode::TlsReset];

/// Sends 200 requests while each answer names one random address of four for 1 s, and one of the four is dead.
///
/// Returns the number of requests that fail.
async fn failures(mode: Mode, is_on: bool, send: impl AsyncFn(&World) -> bool) -> usize {
    let mut rng = fastrand::Rng::with_seed(7);
    let world = World::of(Edges::https(4).await, |builder| builder.last_resort(is_on)).await;
    let ips = world.ips();
    for &ip in &ips {
        world.dns.set(HOST, &[ip], 1);
        assert!(send(&world).await);
        sleep(1_500 * MS).await;
    }
    world.edges.set(ips[0], mode).await;
    let mut failed = 0;
    for _ in 0..200 {
        world.dns.set(HOST, &[ips[rng.usize(..4)]], 1);
        failed += usize::from(!send(&world).await);
        sleep(300 * MS).await;
    }
    failed
}

#[tokio::test]
async fn with_one_random_address_per_answer_a_dead_edge_fails_no_request() {
    for mode in FAULTS {
        let send = async |world: &World| get(&world.client(), &world.url()).await.is_ok();
        assert_eq!(failures(mode, true, send).await, 0, "{mode:?}");
    }
}

#[tokio::test]
async fn with_a_race_a_dead_edge_fails_no_request() {
    for mode in FAULTS {
        assert_eq!(failures(mode, true, send_by_race).await, 0, "{mode:?}");
    }
}

#[tokio::test]
async fn without_the_last_resort_some_requests_fail() {
    for mode in [Mode::Refuse, Mode::TlsReset] {
        let send = async |world: &World| get(&world.client(), &world.url()).await.is_ok();
        assert!(failures(mode, false, send).await > 0, "{mode:?}");
    }
    assert!(failures(Mode::Refuse, false, send_by_race).await > 0);
}

async fn send_by_race(world: &World) -> bool {
    hyper_client::get(&hyper_client::raced(world), &world.url())
        .await
        .is_ok()
}

/// Returns a world whose first address has connected and left the answer, which names the others.
async fn with_last_resort(
    n: u8,
    set: impl FnOnce(sidestep::ResolverBuilder) -> sidestep::ResolverBuilder,
) -> World {
    let world = World::of(Edges::http(n).await, set).await;
    let ips = world.ips();
    world.dns.set(HOST, &ips[..1], 1);
    get(&world.client(), &world.url()).await.unwrap();
    world.dns.set(HOST, &ips[1..], 1);
    sleep(1_500 * MS).await;
    world
}

/// Returns the address of each attempt, in order.
fn attempted(world: &World) -> Vec<IpAddr> {
    let attempts = DialLog::start().to_port(world.edges.port());
    attempts
        .iter()
        .map(|attempt| attempt.addr.to_canonical())
        .collect()
}

#[tokio::test]
async fn current_addresses_go_before_the_last_resort() {
    let world = with_last_resort(3, |builder| builder).await;
    let (client, ips) = (world.client(), world.ips());
    let answer = world.resolver.resolve(HOST).await.unwrap();
    assert!(
        !answer.addrs().contains(&ips[0]),
        "the answer names the others"
    );
    for _ in 0..10 {
        get(&client, &world.url()).await.unwrap();
    }
    assert_eq!(world.edges.accepted(ips[0]), 1);
    for &ip in &ips[1..] {
        world.edges.set(ip, Mode::Refuse).await;
    }
    for _ in 0..10 {
        let before = attempted(&world).len();
        let body = get(&client, &world.url()).await.unwrap();
        assert!(body.contains("127.0.0.2"), "{body}");
        let attempted = &attempted(&world)[before..];
        let first = attempted.iter().position(|ip| *ip == ips[0]);
        let current = &attempted[..first.unwrap()];
        assert!(
            ips[1..].iter().all(|ip| current.contains(ip)),
            "{attempted:?}"
        );
        sleep(S).await;
    }
}

#[tokio::test]
async fn an_address_that_connected_61_s_ago_is_no_last_resort() {
    for (after, is_used) in [(50, true), (61, false)] {
        let world = with_last_resort(2, |builder| builder).await;
        let ips = world.ips();
        sleep(after * S).await;
        world.edges.set(ips[1], Mode::Refuse).await;
        let response = get(&world.client(), &world.url()).await;
        assert_eq!(response.is_ok(), is_used, "after {after} s");
    }
}

#[tokio::test]
async fn a_dead_address_that_dns_names_alone_delays_one_race() {
    let world = with_last_resort(2, |builder| builder).await;
    let client = hyper_client::raced(&world);
    world.edges.set(world.ips()[1], Mode::BlackHole).await;
    let mut delayed = 0;
    for n in 0..60 {
        let began = Instant::now();
        let body = hyper_client::get(&client, &world.url()).await.unwrap();
        let took = Instant::now() - began;
        assert!(body.contains("127.0.0.2"), "{body}");
        assert!(took < 300 * MS, "request {n}: {took:?}");
        delayed += usize::from(took > 200 * MS);
    }
    assert_eq!(delayed, 1, "one race until the penalty ends");
}

/// A probe tries the address at the end of each penalty. No request attempts the address first until a
/// probe has connected.
#[tokio::test]
async fn a_dead_address_that_dns_names_alone_delays_one_request_over_all_penalties() {
    for is_race in [false, true] {
        let world = with_last_resort(2, |builder| builder).await;
        let (client, raced) = (world.client(), hyper_client::raced(&world));
        world.edges.set(world.ips()[1], Mode::BlackHole).await;
        let mut late = 0;
        for _ in 0..500 {
            let began = Instant::now();
            let is_ok = match is_race {
                true => hyper_client::get(&raced, &world.url()).await.is_ok(),
                false => get(&client, &world.url()).await.is_ok(),
            };
            assert!(is_ok);
            late += usize::from(Instant::now() - began > 200 * MS);
            sleep(100 * MS).await;
        }
        let probes = world.journal.count(|seen| matches!(seen, Seen::Probe(_)));
        assert!(probes > 1, "{:?}", world.journal.seen());
        assert_eq!(late, 1, "race: {is_race}");
    }
}

/// An address of the answer that had failed often serves again. While the last resort leads, probes find out.
#[tokio::test]
async fn while_the_last_resort_leads_the_addresses_of_the_answer_are_probed() {
    for is_race in [false, true] {
        let world = with_last_resort(2, |builder| builder).await;
        let (client, race) = (world.client(), hyper_client::raced(&world));
        let ips = world.ips();
        world.edges.set(ips[1], Mode::BlackHole).await;
        let get = async || match is_race {
            true => hyper_client::get(&race, &world.url()).await.unwrap(),
            false => get(&client, &world.url()).await.unwrap(),
        };
        while !world.is_penalized(ips[1]) || world.penalty_left(ips[1]) < 8 * S {
            get().await;
            sleep(S).await;
        }
        world.edges.set(ips[1], Mode::Serve).await;
        for _ in 0..12 {
            get().await;
            sleep(500 * MS).await;
        }
        let body = get().await;
        assert!(
            body.contains("127.0.0.3"),
            "race {is_race}: {body}, {:?}",
            world.journal.seen()
        );
    }
}

/// An edge refuses and later drops all packets, while the penalty for the refusal still runs.
#[tokio::test]
async fn an_address_that_refuses_and_later_hangs_goes_after_the_last_resort() {
    let world = with_last_resort(2, |builder| builder).await;
    let client = world.client();
    world.edges.set(world.ips()[1], Mode::Refuse).await;
    get(&client, &world.url()).await.unwrap();
    world.edges.set(world.ips()[1], Mode::BlackHole).await;
    let mut late = 0;
    for _ in 0..10 {
        sleep(600 * MS).await;
        let began = Instant::now();
        get(&client, &world.url()).await.unwrap();
        late += usize::from(Instant::now() - began > 200 * MS);
    }
    assert_eq!(late, 1, "{:?}", world.journal.seen());
}

/// Without probes one request tries a current address after its penalty, although the last resort serves.
#[tokio::test]
async fn without_probes_a_request_tries_a_current_address_after_its_penalty() {
    let world = with_last_resort(2, |builder| builder.background_probe(false)).await;
    let client = world.client();
    world.edges.set(world.ips()[1], Mode::BlackHole).await;
    let body = get(&client, &world.url()).await.unwrap();
    assert!(body.contains("127.0.0.2"), "{body}");
    world.edges.set(world.ips()[1], Mode::Serve).await;
    sleep(13 * S).await;
    let body = get(&client, &world.url()).await.unwrap();
    assert!(body.contains("127.0.0.3"), "{body}");
}

/// Sends `requests` requests at once and checks that none fails.
///
/// DNS names the last edge alone, and that edge hangs. All other edges are the last resort, and only the edge before
/// the last one serves. Returns the number of connects to the named edge, and to the dead edges of the last resort,
/// without probes.
async fn burst(edges: u8, requests: usize) -> (usize, usize) {
    let world = World::https(edges).await.in_real_time();
    let (client, ips) = (world.client(), world.ips());
    for &ip in &ips {
        world.dns.set(HOST, &[ip], 1);
        get(&client, &world.url()).await.unwrap();
        sleep(1_500 * MS).await;
    }
    let [dead @ .., _, named] = &ips[..] else {
        panic!("there are two edges at least")
    };
    for ip in dead.iter().chain([named]) {
        world.edges.set(*ip, Mode::Hang).await;
    }
    let send = |_| {
        let (client, url) = (client.clone(), world.url());
        tokio::spawn(async move { get(&client, &url).await })
    };
    let all: Vec<_> = (0..requests).map(send).collect();
    for request in all {
        request.await.unwrap().unwrap();
    }
    let probes = |ip: IpAddr| world.journal.count(|seen| *seen == Seen::Probe(ip));
    let connects = |ip: &IpAddr| world.edges.accepted(*ip) - probes(*ip) - 1;
    (connects(named), dead.iter().map(connects).sum())
}

/// A request that attempts several dead addresses of the last resort does not attempt the named address again.
#[tokio::test]
async fn an_address_that_hangs_goes_after_the_last_resort() {
    let (named, dead) = burst(5, 50).await;
    assert_eq!(named, 50, "each request attempts the named edge once");
    assert!(dead <= 50, "{dead}");
}

/// Requests at the same time try different addresses of the last resort. The test fails by chance once in 10^5 runs.
#[tokio::test]
async fn the_last_resort_is_tried_in_random_order() {
    let (_, dead) = burst(3, 18).await;
    assert!((1..18).contains(&dead), "{dead}");
}

/// While all current addresses are dead, the last resort serves for 60 s and no longer.
#[tokio::test]
async fn connects_to_the_last_resort_do_not_prolong_it() {
    let world = with_last_resort(2, |builder| builder).await;
    let client = world.client();
    world.edges.set(world.ips()[1], Mode::Refuse).await;
    for _ in 0..5 {
        get(&client, &world.url()).await.unwrap();
        sleep(10 * S).await;
    }
    sleep(10 * S).await;
    get(&client, &world.url()).await.unwrap_err();
}

#[tokio::test]
async fn an_address_that_the_filter_refuses_is_no_last_resort() {
    let is_refused = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_refused);
    let first = IpAddr::from([127, 0, 0, 2]);
    let filter = move |_: &str, addr| addr != first || !flag.load(Ordering::SeqCst);
    let world = with_last_resort(2, |builder| builder.filter(filter)).await;
    world.edges.set(world.ips()[1], Mode::Refuse).await;
    get(&world.client(), &world.url()).await.unwrap();
    is_refused.store(true, Ordering::SeqCst);
    get(&world.client(), &world.url()).await.unwrap_err();
    assert_eq!(world.edges.accepted(first), 2);
}

#[tokio::test]
async fn the_last_resort_ends_with_its_answer() {
    type End = fn(&World);
    let ends: [(&str, End); 4] = [
        ("last_resort(false)", |_| {}),
        ("invalidate", |world| world.resolver.invalidate(HOST)),
        ("network_changed", |world| world.resolver.network_changed()),
        ("override", |world| {
            world
                .resolver
                .overrides()
                .set(HOST, [world.ips()[1]])
                .unwrap();
        }),
    ];
    for (case, end) in ends {
        let world = with_last_resort(2, |builder| {
            builder.last_resort(case != "last_resort(false)")
        })
        .await;
        world.edges.set(world.ips()[1], Mode::Refuse).await;
        end(&world);
        get(&world.client(), &world.url()).await.expect_err(case);
        get(&world.client(), &world.url()).await.expect_err(case);
        assert_eq!(world.edges.accepted(world.ips()[0]), 1, "{case}");
    }
}

#[tokio::test]
async fn an_answer_without_addresses_ends_the_last_resort() {
    let world = with_last_resort(2, |builder| builder).await;
    let ips = world.ips();
    world.edges.set(ips[1], Mode::Refuse).await;
    world.dns.negative_ttl(1);
    world.dns.set(HOST, &[], 1);
    sleep(2 * S).await;
    get(&world.client(), &world.url()).await.unwrap_err();
    sleep(2 * S).await;
    for ip in [ips[1], IpAddr::from([127, 0, 0, 99]), ips[1]] {
        world.dns.set(HOST, &[ip], 1);
        sleep(2 * S).await;
        get(&world.client(), &world.url()).await.unwrap_err();
    }
    assert_eq!(world.edges.accepted(ips[0]), 1);
}

#[tokio::test]
async fn a_fallback_that_has_connected_is_no_last_resort() {
    let world = World::of(Edges::http(2).await, |builder| builder).await;
    let (client, ips) = (world.client(), world.ips());
    world.resolver.fallbacks().set(HOST, [ips[0]]).unwrap();
    world.dns.fault(Fault::ServFail);
    get(&client, &world.url()).await.unwrap();
    world.dns.fault(Fault::None);
    world.dns.set(HOST, &ips[1..], 1);
    world.resolver.fallbacks().remove(HOST);
    sleep(2 * S).await;
    get(&client, &world.url()).await.unwrap();
    world.edges.set(ips[1], Mode::Refuse).await;
    get(&client, &world.url()).await.unwrap_err();
    assert_eq!(world.edges.accepted(ips[0]), 1);
}

/// The error lists the address of the last resort like any other address, and that address gets a penalty of its own.
#[tokio::test]
async fn a_last_resort_that_fails_is_in_the_error_and_harms_no_current_address() {
    let world = with_last_resort(2, |builder| builder).await;
    let (client, ips) = (world.client(), world.ips());
    for &ip in &ips {
        world.edges.set(ip, Mode::Refuse).await;
    }
    let without_retries = world.client_without_retries();
    let error = get(&without_retries, &world.url()).await.unwrap_err();
    let attempts = ConnectError::find(&error).unwrap().attempts();
    let outcomes: Vec<_> = attempts
        .iter()
        .map(|attempt| (attempt.addr, attempt.outcome))
        .collect();
    let refused = Some(Outcome::Refused);
    assert_eq!(outcomes, [(ips[1], refused), (ips[0], refused)]);
    world.edges.set(ips[1], Mode::Serve).await;
    let body = get(&client, &world.url()).await.unwrap();
    assert!(body.contains("127.0.0.3"), "{body}");
    let failed = |seen: &Seen| matches!(seen, Seen::Failed(ip, _) if *ip == ips[0]);
    assert_eq!(world.journal.count(failed), 1);
    world.edges.set(ips[0], Mode::Serve).await;
    world.edges.set(ips[1], Mode::Refuse).await;
    get(&client, &world.url()).await.unwrap_err();
    assert_eq!(world.edges.accepted(ips[0]), 1, "the address has a penalty");
}
