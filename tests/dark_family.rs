//! Behavior F16: a family that is dark goes second as a whole.
//!
//! Loopback has a single IPv6 address. So the dark family of these tests is IPv4, which goes first by a setting,
//! and the other one is IPv6. The rule is the same for both.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;
#[path = "common/hyper_client.rs"]
mod hyper_client;

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use common::{Edges, HOST, Mode, Scheme, Seen, World, get, sleep};
use sidestep::Family;
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

/// Four addresses of IPv4, which goes first, and one of IPv6. `None`: this machine has no IPv6.
async fn two_families() -> Option<World> {
    let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
    if std::net::TcpListener::bind((v6, 0)).is_err() {
        println!("this machine has no IPv6 on loopback: skipped");
        return None;
    }
    let mut ips: Vec<IpAddr> = (2..6).map(|last| [127, 0, 0, last].into()).collect();
    ips.push(v6);
    let edges = Edges::on(&ips, Scheme::Http).await;
    Some(World::of(edges, |builder| builder.prefer_family(Family::V4)).await)
}

async fn set_v4(world: &World, mode: Mode) {
    for ip in world.ips().into_iter().filter(IpAddr::is_ipv4) {
        world.edges.set(ip, mode).await;
    }
}

/// Sends a GET by stock reqwest and returns what edge has answered.
async fn stock(world: &World) -> String {
    get(&world.client(), &world.url()).await.unwrap()
}

/// The same by hyper with a race.
async fn race(world: &World) -> String {
    let answer = hyper_client::get(&hyper_client::raced(world), &world.url()).await;
    answer.unwrap()
}

/// Of 50 requests at most two take as long as the head start of the first family. `least` is that time.
async fn costs_two_requests(world: &World, least: Duration, sends: impl AsyncFn(&World) -> String) {
    let mut slow = 0;
    for _ in 0..50 {
        let began = Instant::now();
        let answer = sends(world).await;
        assert!(answer.contains("::1"), "{answer}");
        slow += usize::from(began.elapsed() >= least);
        sleep(200 * MS).await;
    }
    assert_eq!(slow, 2, "{:?}", world.journal.seen());
    let dark = world.journal.count(|seen| *seen == Seen::FamilyDark);
    assert_eq!(dark, 1, "once per episode");
    assert_eq!(world.resolver.snapshot().dark_families, 1);
}

#[tokio::test]
async fn a_family_that_is_dark_from_the_start_costs_two_requests() {
    let Some(world) = two_families().await else {
        return;
    };
    set_v4(&world, Mode::BlackHole).await;
    costs_two_requests(&world, 300 * MS, stock).await;
}

/// A host with one address of each family tells as much as one with several.
#[tokio::test]
async fn a_family_that_is_dark_costs_two_requests_over_all_hosts() {
    let Some(world) = two_families().await else {
        return;
    };
    set_v4(&world, Mode::BlackHole).await;
    let (ips, client, mut slow) = (world.ips(), world.client(), 0);
    for n in 0..4 {
        let host = format!("host{n}.test");
        world.dns.set(&host, &[ips[n], ips[4]], 60);
        let began = Instant::now();
        let answer = get(&client, &world.url().replace(HOST, &host)).await;
        assert!(answer.unwrap().contains("::1"));
        slow += usize::from(began.elapsed() >= 300 * MS);
    }
    assert_eq!(slow, 2, "{:?}", world.journal.seen());
}

#[tokio::test]
async fn a_family_that_becomes_dark_costs_two_requests_and_leads_again_after_a_probe() {
    let Some(world) = two_families().await else {
        return;
    };
    for _ in 0..10 {
        assert!(stock(&world).await.contains("127.0.0."));
    }
    set_v4(&world, Mode::BlackHole).await;
    costs_two_requests(&world, 300 * MS, stock).await;
    set_v4(&world, Mode::Serve).await;
    let is_probe = |seen: &Seen| matches!(seen, Seen::Probe(ip) if ip.is_ipv4());
    let probes = world.journal.count(is_probe);
    // The penalty after a second failure takes up to 12 s.
    for _ in 0..15 {
        if stock(&world).await.contains("127.0.0.") {
            assert!(world.journal.count(is_probe) > probes);
            return;
        }
        sleep(S).await;
    }
    panic!("the family does not lead again: {:?}", world.journal.seen());
}

#[tokio::test]
async fn a_dark_family_costs_two_races() {
    let Some(world) = two_families().await else {
        return;
    };
    set_v4(&world, Mode::BlackHole).await;
    costs_two_requests(&world, 250 * MS, race).await;
}
