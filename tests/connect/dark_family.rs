//! Behavior F16: a dark family goes second as a whole.
//!
//! Loopback has one IPv6 address. So the dark family of these tests is IPv4, which a setting orders first. The rule
//! is the same for both families.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use sidestep::Family;
use testkit::{Edges, HOST, Mode, Scheme, Seen, World, get, hyper_client, sleep};
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

/// Returns a world with four IPv4 addresses, which go first, and one IPv6 address.
///
/// Returns `None` if this machine has no IPv6.
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

/// Sends a GET with stock reqwest and returns the response body, which names the edge.
async fn get_by_reqwest(world: &World) -> String {
    get(&world.client(), &world.url()).await.unwrap()
}

/// Sends a GET with hyper and a race, and returns the response body.
async fn get_by_race(world: &World) -> String {
    let body = hyper_client::get(&hyper_client::raced(world), &world.url()).await;
    body.unwrap()
}

/// Sends 50 requests and checks that two of them take `delay` or longer.
///
/// `delay` is the time after which the client attempts the second family.
async fn assert_two_slow_requests(
    world: &World,
    delay: Duration,
    send: impl AsyncFn(&World) -> String,
) {
    let mut slow = 0;
    for _ in 0..50 {
        let began = Instant::now();
        let body = send(world).await;
        assert!(body.contains("::1"), "{body}");
        slow += usize::from(began.elapsed() >= delay);
        sleep(200 * MS).await;
    }
    assert_eq!(slow, 2, "{:?}", world.journal.seen());
    let dark = world.journal.count(|seen| *seen == Seen::FamilyDark);
    assert_eq!(dark, 1, "one event per dark family");
    assert_eq!(world.resolver.snapshot().dark_families, 1);
}

#[tokio::test]
async fn a_family_that_is_dark_from_the_start_slows_two_requests() {
    let Some(world) = two_families().await else {
        return;
    };
    set_v4(&world, Mode::BlackHole).await;
    assert_two_slow_requests(&world, 300 * MS, get_by_reqwest).await;
}

/// Slow addresses of different hosts show together that a family is dark.
#[tokio::test]
async fn a_dark_family_slows_two_requests_over_all_hosts() {
    let Some(world) = two_families().await else {
        return;
    };
    set_v4(&world, Mode::BlackHole).await;
    let (ips, client, mut slow) = (world.ips(), world.client(), 0);
    for n in 0..4 {
        let host = format!("host{n}.test");
        world.dns.set(&host, &[ips[n], ips[4]], 60);
        let began = Instant::now();
        let body = get(&client, &world.url().replace(HOST, &host)).await;
        assert!(body.unwrap().contains("::1"));
        slow += usize::from(began.elapsed() >= 300 * MS);
    }
    assert_eq!(slow, 2, "{:?}", world.journal.seen());
}

#[tokio::test]
async fn a_family_that_becomes_dark_slows_two_requests_until_a_probe_connects() {
    let Some(world) = two_families().await else {
        return;
    };
    for _ in 0..10 {
        assert!(get_by_reqwest(&world).await.contains("127.0.0."));
    }
    set_v4(&world, Mode::BlackHole).await;
    assert_two_slow_requests(&world, 300 * MS, get_by_reqwest).await;
    set_v4(&world, Mode::Serve).await;
    let is_probe = |seen: &Seen| matches!(seen, Seen::Probe(ip) if ip.is_ipv4());
    let probes = world.journal.count(is_probe);
    // The penalty after a second failure lasts up to 12 s.
    for _ in 0..15 {
        if get_by_reqwest(&world).await.contains("127.0.0.") {
            assert!(world.journal.count(is_probe) > probes);
            return;
        }
        sleep(S).await;
    }
    panic!(
        "the family does not go first again: {:?}",
        world.journal.seen()
    );
}

#[tokio::test]
async fn a_dark_family_slows_two_races() {
    let Some(world) = two_families().await else {
        return;
    };
    set_v4(&world, Mode::BlackHole).await;
    assert_two_slow_requests(&world, 250 * MS, get_by_race).await;
}
