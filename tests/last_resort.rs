//! Behavior F14: addresses that connected a short while ago and left since are the last resort.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;
#[path = "common/hyper_client.rs"]
mod hyper_client;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{DialLog, Edges, Fault, HOST, Mode, Seen, World, get, sleep};
use sidestep::{ConnectError, Outcome};
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

const DEATHS: [Mode; 3] = [Mode::Refuse, Mode::BlackHole, Mode::TlsReset];

/// A name server that names one random address of four for 1 s, while one of the four is dead.
///
/// Returns how many of 200 requests fail.
async fn failures(mode: Mode, is_on: bool, sends: impl AsyncFn(&World) -> bool) -> usize {
    let mut rng = fastrand::Rng::with_seed(7);
    let world = World::of(Edges::https(4).await, |builder| builder.last_resort(is_on)).await;
    let ips = world.ips();
    for &ip in &ips {
        world.dns.set(HOST, &[ip], 1);
        assert!(sends(&world).await);
        sleep(1_500 * MS).await;
    }
    world.edges.set(ips[0], mode).await;
    let mut failed = 0;
    for _ in 0..200 {
        world.dns.set(HOST, &[ips[rng.usize(..4)]], 1);
        failed += usize::from(!sends(&world).await);
        sleep(300 * MS).await;
    }
    failed
}

#[tokio::test]
async fn of_one_random_address_per_answer_a_dead_one_costs_no_request() {
    for mode in DEATHS {
        let sends = async |world: &World| get(&world.client(), &world.url()).await.is_ok();
        assert_eq!(failures(mode, true, sends).await, 0, "{mode:?}");
    }
}

#[tokio::test]
async fn a_dead_address_costs_no_request_under_a_race_either() {
    for mode in DEATHS {
        assert_eq!(failures(mode, true, race).await, 0, "{mode:?}");
    }
}

#[tokio::test]
async fn without_the_last_resort_some_requests_fail() {
    for mode in [Mode::Refuse, Mode::TlsReset] {
        let sends = async |world: &World| get(&world.client(), &world.url()).await.is_ok();
        assert!(failures(mode, false, sends).await > 0, "{mode:?}");
    }
    assert!(failures(Mode::Refuse, false, race).await > 0);
}

async fn race(world: &World) -> bool {
    hyper_client::get(&hyper_client::raced(world), &world.url())
        .await
        .is_ok()
}

/// A world whose first edge has connected and left, and whose others are named.
async fn left(
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

/// Every address that was dialled, in order.
fn dialled(world: &World) -> Vec<IpAddr> {
    let dials = DialLog::start().to_port(world.edges.port());
    dials.iter().map(|dial| dial.addr.to_canonical()).collect()
}

#[tokio::test]
async fn a_current_address_always_goes_first() {
    let world = left(3, |builder| builder).await;
    let (client, ips) = (world.client(), world.ips());
    let answer = world.resolver.resolve(HOST).await.unwrap();
    assert!(!answer.addrs().contains(&ips[0]), "DNS names the others");
    for _ in 0..10 {
        get(&client, &world.url()).await.unwrap();
    }
    assert_eq!(world.edges.accepted(ips[0]), 1);
    for &ip in &ips[1..] {
        world.edges.set(ip, Mode::Refuse).await;
    }
    for _ in 0..10 {
        let before = dialled(&world).len();
        let answer = get(&client, &world.url()).await.unwrap();
        assert!(answer.contains("127.0.0.2"), "{answer}");
        let dialled = &dialled(&world)[before..];
        let first = dialled.iter().position(|ip| *ip == ips[0]);
        let current = &dialled[..first.unwrap()];
        assert!(
            ips[1..].iter().all(|ip| current.contains(ip)),
            "{dialled:?}"
        );
        sleep(S).await;
    }
}

#[tokio::test]
async fn an_address_that_connected_61_s_ago_is_not_used() {
    for (after, is_used) in [(50, true), (61, false)] {
        let world = left(2, |builder| builder).await;
        let ips = world.ips();
        sleep(after * S).await;
        world.edges.set(ips[1], Mode::Refuse).await;
        let answer = get(&world.client(), &world.url()).await;
        assert_eq!(answer.is_ok(), is_used, "after {after} s");
    }
}

#[tokio::test]
async fn a_dead_address_that_dns_names_alone_costs_one_race_one_delay() {
    let world = left(2, |builder| builder).await;
    let client = hyper_client::raced(&world);
    world.edges.set(world.ips()[1], Mode::BlackHole).await;
    let mut delayed = 0;
    for n in 0..60 {
        let began = Instant::now();
        let answer = hyper_client::get(&client, &world.url()).await.unwrap();
        let took = Instant::now() - began;
        assert!(answer.contains("127.0.0.2"), "{answer}");
        assert!(took < 300 * MS, "request {n}: {took:?}");
        delayed += usize::from(took > 200 * MS);
    }
    assert_eq!(delayed, 1, "until its penalty ends");
}

/// A probe tries the address at the end of each penalty. Until the probe has connected, no request goes there first.
#[tokio::test]
async fn a_dead_address_that_dns_names_alone_costs_one_request_over_all_its_penalties() {
    for is_race in [false, true] {
        let world = left(2, |builder| builder).await;
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
        assert_eq!(late, 1, "as a race: {is_race}");
    }
}

/// The process of an edge dies, and its machine later. The penalty of the first fault still runs.
#[tokio::test]
async fn an_address_that_refused_and_hangs_now_goes_behind_the_last_resort() {
    let world = left(2, |builder| builder).await;
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

/// Without probes one request tries a current address at the end of its penalty, though one that left serves.
#[tokio::test]
async fn a_request_tries_a_current_address_before_one_that_left() {
    let world = left(2, |builder| builder.background_probe(false)).await;
    let client = world.client();
    world.edges.set(world.ips()[1], Mode::BlackHole).await;
    let answer = get(&client, &world.url()).await.unwrap();
    assert!(answer.contains("127.0.0.2"), "{answer}");
    world.edges.set(world.ips()[1], Mode::Serve).await;
    sleep(13 * S).await;
    let answer = get(&client, &world.url()).await.unwrap();
    assert!(answer.contains("127.0.0.3"), "{answer}");
}

/// DNS names the last edge alone, which hangs, and of those that left only the last but one serves, while so many
/// requests come at once. No request fails.
///
/// Returns the connects to the edge that is named, and those to dead ones that left.
async fn burst(edges: u8, requests: usize) -> (usize, usize) {
    let world = World::https(edges).await.in_real_time();
    let (client, ips) = (world.client(), world.ips());
    for &ip in &ips {
        world.dns.set(HOST, &[ip], 1);
        get(&client, &world.url()).await.unwrap();
        sleep(1_500 * MS).await;
    }
    let [dead @ .., _, named] = &ips[..] else {
        panic!("two edges at least")
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
    let connects = |ip: &IpAddr| world.edges.accepted(*ip) - 1;
    (connects(named), dead.iter().map(connects).sum())
}

/// A request that meets several dead addresses of the last resort does not go back to the one that is named.
#[tokio::test]
async fn an_address_that_hangs_goes_behind_the_last_resort() {
    let (named, dead) = burst(5, 50).await;
    assert_eq!(named, 50, "each request meets it once");
    assert!(dead <= 50, "{dead}");
}

/// Requests that come at once try different addresses of the last resort; by chance they do not, once in 10^5 times.
#[tokio::test]
async fn the_last_resort_is_tried_in_random_order() {
    let (_, dead) = burst(3, 18).await;
    assert!((1..18).contains(&dead), "{dead}");
}

/// While all current addresses are dead, the last resort serves for 60 s and no longer.
#[tokio::test]
async fn its_own_connects_do_not_prolong_the_last_resort() {
    let world = left(2, |builder| builder).await;
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
async fn an_address_that_the_filter_refuses_by_now_is_not_used() {
    let is_refused = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_refused);
    let first = IpAddr::from([127, 0, 0, 2]);
    let filter = move |_: &str, addr| addr != first || !flag.load(Ordering::SeqCst);
    let world = left(2, |builder| builder.filter(filter)).await;
    world.edges.set(world.ips()[1], Mode::Refuse).await;
    get(&world.client(), &world.url()).await.unwrap();
    is_refused.store(true, Ordering::SeqCst);
    get(&world.client(), &world.url()).await.unwrap_err();
    assert_eq!(world.edges.accepted(first), 2);
}

#[tokio::test]
async fn what_ends_an_answer_ends_its_last_resort() {
    type End = fn(&World);
    let ends: [(&str, End); 4] = [
        ("the switch", |_| {}),
        ("by hand", |world| world.resolver.invalidate(HOST)),
        ("another network", |world| world.resolver.network_changed()),
        ("a pin", |world| {
            world
                .resolver
                .overrides()
                .set(HOST, [world.ips()[1]])
                .unwrap();
        }),
    ];
    for (case, end) in ends {
        let world = left(2, |builder| builder.last_resort(case != "the switch")).await;
        world.edges.set(world.ips()[1], Mode::Refuse).await;
        end(&world);
        get(&world.client(), &world.url()).await.expect_err(case);
        get(&world.client(), &world.url()).await.expect_err(case);
        assert_eq!(world.edges.accepted(world.ips()[0]), 1, "{case}");
    }
}

#[tokio::test]
async fn an_answer_without_addresses_ends_the_last_resort() {
    let world = left(2, |builder| builder).await;
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

/// The error tells of it as of any other address, and it has a record of its own.
#[tokio::test]
async fn a_last_resort_that_fails_is_told_of_and_harms_no_current_address() {
    let world = left(2, |builder| builder).await;
    let (client, ips) = (world.client(), world.ips());
    for &ip in &ips {
        world.edges.set(ip, Mode::Refuse).await;
    }
    let without_retries = world.client_without_retries();
    let error = get(&without_retries, &world.url()).await.unwrap_err();
    let attempts = ConnectError::find(&error).unwrap().attempts();
    let told: Vec<_> = attempts.iter().map(|it| (it.addr, it.outcome)).collect();
    let refused = Some(Outcome::Refused);
    assert_eq!(told, [(ips[1], refused), (ips[0], refused)]);
    world.edges.set(ips[1], Mode::Serve).await;
    let answer = get(&client, &world.url()).await.unwrap();
    assert!(answer.contains("127.0.0.3"), "{answer}");
    let failed = |seen: &Seen| matches!(seen, Seen::Failed(ip, _) if *ip == ips[0]);
    assert_eq!(world.journal.count(failed), 1);
    world.edges.set(ips[0], Mode::Serve).await;
    world.edges.set(ips[1], Mode::Refuse).await;
    get(&client, &world.url()).await.unwrap_err();
    assert_eq!(world.edges.accepted(ips[0]), 1, "it has a penalty");
}
