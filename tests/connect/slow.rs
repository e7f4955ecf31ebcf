//! Tests slow connects through stock reqwest, to addresses that swallow packets or hang in TLS.
//!
//! Times are those of the stopped clock, which advances only while a connect waits for time alone.

use std::net::IpAddr;
use std::time::Duration;

use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressOrder, Outcome, ResolverBuilder};
use testkit::{Edges, HOST, Mode, Seen, World, get};
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);
/// Time that the steps of the clock and the checks for a better address add.
const SLACK: Duration = Duration::from_millis(130);

/// Sends a GET, which must succeed, and returns how long that took.
async fn timed(client: &reqwest::Client, world: &World) -> Duration {
    let begun = Instant::now();
    get(client, &world.url())
        .await
        .unwrap_or_else(|error| panic!("{error:?}; {:?}", world.journal.seen()));
    Instant::now() - begun
}

/// Advances the clock by `time` while only probes connect.
async fn rest(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        tokio::time::advance(100 * MS).await;
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }
}

/// Creates a world of these edges, of which those at the indexes `dead` are in `mode`.
async fn world(edges: Edges, order: AddressOrder, dead: &[usize], mode: Mode) -> World {
    world_by(edges, |builder| builder.address_order(order), dead, mode).await
}

async fn world_by(
    edges: Edges,
    set: impl FnOnce(ResolverBuilder) -> ResolverBuilder,
    dead: &[usize],
    mode: Mode,
) -> World {
    let world = World::of(edges, set).await;
    for &place in dead {
        world.edges.set(world.ips()[place], mode).await;
    }
    world
}

/// Up to seven addresses swallow packets, at any place in the answer. Requests come at different rates.
#[tokio::test]
async fn each_address_that_swallows_packets_delays_requests_once() {
    each_dead_address_delays_requests_once(|builder| builder, &[100, 1_000, 5_000, 30_000]).await;
}

/// Without a second lane the addresses are attempted one after the other, as those of an answer of IPv6 alone.
#[tokio::test]
async fn each_address_of_one_lane_that_swallows_packets_delays_requests_once() {
    each_dead_address_delays_requests_once(
        |builder| builder.ipv4_mapped_fallback(false),
        &[100, 5_000],
    )
    .await;
}

async fn each_dead_address_delays_requests_once(
    set: fn(ResolverBuilder) -> ResolverBuilder,
    pauses: &[u32],
) {
    let cases: [(u8, &[usize]); 7] = [
        (2, &[0]),
        (3, &[0, 1]),
        (4, &[0]),
        (4, &[1, 2]),
        (4, &[0, 1, 2]),
        (8, &[0, 2, 4, 5, 6]),
        (8, &[0, 1, 2, 3, 4, 5, 6]),
    ];
    for (n, dead) in cases {
        for order in [AddressOrder::Preserve, AddressOrder::Shuffle] {
            for &pause in pauses {
                let case = format!("{n} addresses, {dead:?} dead, {order:?}, each {pause} ms");
                let edges = Edges::http(n).await;
                let set = |builder: ResolverBuilder| set(builder.address_order(order));
                let world = world_by(edges, set, dead, Mode::BlackHole).await;
                let client = world.client();
                let k = u32::try_from(dead.len()).unwrap();
                let first = timed(&client, &world).await;
                assert!(
                    first <= 350 * MS * k + 300 * MS + SLACK,
                    "{case}: {first:?}"
                );
                let mut late = 0;
                for _ in 0..20 {
                    rest(pause * MS).await;
                    let took = timed(&client, &world).await;
                    assert!(took <= 350 * MS * k + 300 * MS + SLACK, "{case}: {took:?}");
                    late += usize::from(took > 50 * MS);
                }
                // Each dead address that the first request did not attempt may delay one later request.
                assert!(late <= dead.len(), "{case}: {late} late requests");
            }
        }
    }
}

/// The first request of a resolver gives connects up before a connect has shown which port to probe.
#[tokio::test]
async fn addresses_that_the_first_request_gave_up_delay_no_later_request() {
    for (n, dead) in [(4, 2), (4, 3), (8, 5), (8, 7)] {
        for pause in [6_200, 30_000] {
            let dead: Vec<_> = (0..dead).collect();
            let case = format!("{n} addresses, {dead:?} dead, then {pause} ms");
            let edges = Edges::http(n).await;
            let world = world(edges, AddressOrder::Preserve, &dead, Mode::BlackHole).await;
            let client = world.client();
            let first = timed(&client, &world).await;
            assert!(first >= 600 * MS, "{case}: {first:?}");
            for _ in 0..3 {
                rest(pause * MS).await;
                let took = timed(&client, &world).await;
                assert!(took <= 50 * MS, "{case}: {took:?}");
            }
        }
    }
}

/// The connect timeout of the client is long enough for three slow connects.
#[tokio::test]
async fn a_connect_timeout_does_not_keep_a_request_from_a_healthy_address() {
    for dead in [&[0_usize][..], &[0, 1, 2]] {
        let world = world(
            Edges::http(4).await,
            AddressOrder::Preserve,
            dead,
            Mode::BlackHole,
        )
        .await;
        let client = world
            .builder()
            .connect_timeout(2_000 * MS)
            .sidestep(&world.resolver)
            .build()
            .unwrap();
        for _ in 0..5 {
            let took = timed(&client, &world).await;
            assert!(took <= 1_350 * MS + SLACK, "{dead:?}: {took:?}");
        }
    }
}

/// DNS names new addresses, and all old addresses swallow packets.
#[tokio::test]
async fn new_addresses_in_dns_are_found_within_a_second() {
    for n in [1, 2, 4, 8] {
        for connect_timeout in [None, Some(2_000 * MS)] {
            let world = World::http(n + 1).await;
            let ips = world.ips();
            let (old, new) = ips.split_at(usize::from(n));
            world.dns.set(HOST, old, 1800);
            let mut builder = world.builder();
            if let Some(timeout) = connect_timeout {
                builder = builder.connect_timeout(timeout);
            }
            let client = builder.sidestep(&world.resolver).build().unwrap();
            timed(&client, &world).await;
            for &ip in old {
                world.edges.set(ip, Mode::BlackHole).await;
            }
            world.dns.set(HOST, new, 1800);
            let took = timed(&client, &world).await;
            assert!(
                took <= 600 * MS,
                "{n} addresses, {connect_timeout:?}: {took:?}"
            );
            let later = timed(&client, &world).await;
            assert!(later <= 50 * MS, "{n} addresses: {later:?}");
        }
    }
}

/// An edge accepts connections and hangs in TLS. No TCP probe clears its penalty, and after each penalty one request
/// tries the address.
#[tokio::test]
async fn an_edge_that_hangs_in_tls_delays_one_request_after_each_penalty() {
    for n in [2, 4] {
        let world = world(
            Edges::https(n).await,
            AddressOrder::Shuffle,
            &[0],
            Mode::Hang,
        )
        .await;
        let hung = world.ips()[0];
        let client = world.client();
        let mut late = 0;
        for _ in 0..600 {
            let took = timed(&client, &world).await;
            assert!(took <= 650 * MS + SLACK, "{n} edges: {took:?}");
            late += usize::from(took > 50 * MS);
            rest(100 * MS).await;
        }
        // Penalties of 5, 10, 20 and 40 s, a fifth less or more, in a minute.
        assert!((2..=5).contains(&late), "{n} edges: {late} late requests");
        let is_recovery = |seen: &Seen| *seen == Seen::Recovered(hung);
        assert_eq!(
            world.journal.count(is_recovery),
            0,
            "{:?}",
            world.journal.seen()
        );
        let failures = world.journal.failures();
        let is_slow = |failure: &(IpAddr, Outcome)| *failure == (hung, Outcome::Slow);
        assert!(failures.iter().all(is_slow), "{failures:?}");
    }
}

/// If all addresses swallow packets and DNS names no new one, no connect is given up, because the kernel may still
/// connect.
#[tokio::test]
async fn without_a_better_address_a_connect_stays_pending() {
    for n in [1, 2, 3, 4] {
        let dead: Vec<_> = (0..usize::from(n)).collect();
        let world = world(
            Edges::http(n).await,
            AddressOrder::Preserve,
            &dead,
            Mode::BlackHole,
        )
        .await;
        let client = world
            .builder()
            .timeout(20_000 * MS)
            .sidestep(&world.resolver)
            .build()
            .unwrap();
        let error = get(&client, &world.url()).await.unwrap_err();
        assert!(error.is_timeout() && !error.is_connect(), "{n}: {error:?}");
        let failures = world.journal.failures().len();
        assert!(
            failures <= usize::from(n),
            "{n}: {:?}",
            world.journal.seen()
        );
    }
}

/// One request waits for the only address, which swallows packets. DNS names another address long after the lookup of
/// the slow connect, and the request goes to that address.
#[tokio::test]
async fn a_request_that_waits_follows_a_late_change_in_dns() {
    for changes_after in [2_000 * MS, 6_000 * MS] {
        let world = World::http(2).await;
        let ips = world.ips();
        world.dns.set(HOST, &ips[..1], 1800);
        world.edges.set(ips[0], Mode::BlackHole).await;
        let client = world.client();
        let change = async {
            tokio::time::sleep(changes_after).await;
            world.dns.set(HOST, &ips[1..], 1800);
        };
        let (took, ()) = tokio::join!(timed(&client, &world), change);
        // Lookups begin 3 s after the connect, and are 1 to 2 s apart.
        let expected =
            changes_after.max(3_000 * MS)..=changes_after.max(3_000 * MS) + 2_000 * MS + SLACK;
        assert!(expected.contains(&took), "{changes_after:?}: {took:?}");
    }
}

/// Several requests, one of them a POST, wait for one HTTP/2 connection, whose connect is given up.
#[tokio::test]
async fn requests_that_wait_for_an_http2_connect_that_is_given_up_are_sent_again() {
    let world = world(
        Edges::http(4).await,
        AddressOrder::Preserve,
        &[0, 1],
        Mode::BlackHole,
    )
    .await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(world.edges.client_config())
        .http2_prior_knowledge()
        .sidestep(&world.resolver)
        .build()
        .unwrap();
    let url = world.url();
    let gets = (0..6).map(|_| get(&client, &url));
    let post = testkit::while_pending(client.post(&url).body("asked").send());
    let (gets, post) = tokio::join!(futures_util::future::join_all(gets), post);
    for response in gets {
        response.unwrap_or_else(|error| panic!("{error:?}; {:?}", world.journal.seen()));
    }
    post.unwrap();
}

/// An address has a long penalty and serves again, and all other addresses die. A probe connects to the address, and
/// the request in flight goes there.
#[tokio::test]
async fn without_a_healthy_address_requests_go_to_an_address_with_a_long_penalty() {
    for mode in [Mode::BlackHole, Mode::Hang, Mode::Refuse] {
        let (world, client) = with_a_long_penalty(3, mode).await;
        let ips = world.ips();
        assert!(world.penalty_left(ips[0]) > 5_000 * MS, "{mode:?}");
        world.edges.set(ips[0], Mode::Serve).await;
        for &ip in &ips[1..] {
            world.edges.set(ip, Mode::BlackHole).await;
        }
        let took = timed(&client, &world).await;
        assert!(took <= 1_000 * MS + SLACK, "{mode:?}: {took:?}");
    }
}

/// A world of `n` edges of which the first one behaves like `mode` and has a long penalty.
async fn with_a_long_penalty(n: u8, mode: Mode) -> (World, reqwest::Client) {
    let world = world(Edges::https(n).await, AddressOrder::Preserve, &[0], mode).await;
    let (client, dead) = (world.client(), world.ips()[0]);
    let is_long = || world.is_penalized(dead) && world.penalty_left(dead) > 15_000 * MS;
    while !is_long() {
        rest(1_000 * MS).await;
        timed(&client, &world).await;
    }
    rest(6_000 * MS).await;
    (world, client)
}

/// TCP to an address that hangs in TLS proves little. A connect that is slow at another address, to which a probe
/// connects, is not given up for that address before the connect hangs.
#[tokio::test]
async fn a_slow_connect_is_not_given_up_for_an_address_that_hangs_in_tls() {
    let (world, client) = with_a_long_penalty(2, Mode::Hang).await;
    let ips = world.ips();
    let connects = || {
        let probes = world.journal.count(|seen| *seen == Seen::Probe(ips[0]));
        world.edges.accepted(ips[0]) - probes
    };
    let before = connects();
    world.edges.set(ips[1], Mode::Hang).await;
    let request = testkit::while_pending(client.get(world.url()).timeout(2_500 * MS).send());
    request.await.unwrap_err();
    assert_eq!(connects(), before, "{:?}", world.journal.seen());
}

/// The address that had failed often serves again, and the other one hangs in TLS. A probe connects to both, and the
/// request in flight is given up after 3 s.
#[tokio::test]
async fn a_connect_that_hangs_in_tls_is_given_up_for_an_address_with_a_long_penalty() {
    let (world, client) = with_a_long_penalty(2, Mode::Hang).await;
    let ips = world.ips();
    world.edges.set(ips[0], Mode::Serve).await;
    world.edges.set(ips[1], Mode::Hang).await;
    let took = timed(&client, &world).await;
    assert!(took <= 3_600 * MS + SLACK, "{took:?}");
}

/// Recent connects took 400 ms, and the second address hangs in TLS. The second lane does not start with that address,
/// because its TCP would end the lane of the healthy first address.
#[tokio::test]
async fn on_a_slow_link_the_second_lane_does_not_start_with_an_address_that_hangs_in_tls() {
    let set = |builder: ResolverBuilder| {
        let builder = builder.address_order(AddressOrder::Preserve);
        builder.slow_connect_after(1_000 * MS)
    };
    let world = world_by(Edges::https(2).await, set, &[0], Mode::Hang).await;
    let (client, ips) = (world.client(), world.ips());
    while !world.is_penalized(ips[0]) {
        rest(1_000 * MS).await;
        timed(&client, &world).await;
    }
    for _ in 0..8 {
        let next = world
            .edges
            .accepts(ips[1], world.edges.accepted(ips[1]) + 1);
        let late = async {
            next.await;
            tokio::time::advance(400 * MS).await;
        };
        tokio::join!(timed(&client, &world), late);
    }
    assert!(world.penalty_left(ips[0]) > 1_000 * MS);
    let connects = world.edges.accepted(ips[0]);
    world.edges.set(ips[1], Mode::BlackHole).await;
    let request = testkit::while_pending(client.get(world.url()).timeout(700 * MS).send());
    request.await.unwrap_err();
    assert_eq!(
        world.edges.accepted(ips[0]),
        connects,
        "{:?}",
        world.journal.seen()
    );
}
