//! The rule for slow connects, seen through stock reqwest: addresses that swallow packets or hang in TLS.
//!
//! Times are of the stopped clock, which runs only while a connect waits for time.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::net::IpAddr;
use std::time::Duration;

use common::{Edges, HOST, Mode, Seen, World, get};
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressOrder, Outcome, ResolverBuilder};
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);
/// What the steps of the clock and a look for something better add.
const SLACK: Duration = Duration::from_millis(130);

/// Sends a GET, which must succeed, and returns how long that took.
async fn timed(client: &reqwest::Client, world: &World) -> Duration {
    let begun = Instant::now();
    get(client, &world.url())
        .await
        .unwrap_or_else(|error| panic!("{error:?}; {:?}", world.journal.seen()));
    Instant::now() - begun
}

/// Lets time pass in which only the crate's own probes connect.
async fn rest(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        tokio::time::advance(100 * MS).await;
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }
}

/// A world of `n` edges of which the ones at `dead` behave like `mode`.
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

/// Up to seven addresses may swallow packets, wherever they stand in the answer, and however seldom requests come.
#[tokio::test]
async fn addresses_that_swallow_packets_cost_their_time_once() {
    costs_their_time_once(|builder| builder, &[100, 1_000, 5_000, 30_000]).await;
}

/// As for an answer of IPv6 alone: the addresses are attempted one after the other.
#[tokio::test]
async fn addresses_of_one_lane_that_swallow_packets_cost_their_time_once() {
    costs_their_time_once(|builder| builder.ipv4_mapped_fallback(false), &[100, 5_000]).await;
}

async fn costs_their_time_once(set: fn(ResolverBuilder) -> ResolverBuilder, pauses: &[u32]) {
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
                // Those that the first request did not meet may each be met once.
                assert!(late <= dead.len(), "{case}: {late} late requests");
            }
        }
    }
}

/// The first request of a resolver gives connects up before any connect has told the port to probe.
#[tokio::test]
async fn what_the_first_request_has_given_up_costs_no_later_request() {
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

/// A client whose own connect timeout leaves the time.
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

/// DNS moves while every old address swallows packets; many and one.
#[tokio::test]
async fn a_move_away_from_black_holes_is_found_within_a_second() {
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

/// An edge that accepts and hangs in TLS is left, also if it is one of two; a probe in TCP never clears it, and
/// one request tries it once a penalty.
#[tokio::test]
async fn an_edge_that_hangs_in_tls_is_met_once_a_penalty() {
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

/// With every address swallowing packets and nothing new in DNS, nothing is given up: the kernel may yet connect.
#[tokio::test]
async fn with_nothing_better_a_connect_stays_pending() {
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
        let struck = world.journal.failures().len();
        assert!(struck <= usize::from(n), "{n}: {:?}", world.journal.seen());
    }
}

/// A single request waits at the only address, which swallows packets. DNS moves long after the lookup that the slow
/// connect has caused, and the request follows.
#[tokio::test]
async fn a_request_that_waits_follows_a_late_move() {
    for moves_after in [2_000 * MS, 6_000 * MS] {
        let world = World::http(2).await;
        let ips = world.ips();
        world.dns.set(HOST, &ips[..1], 1800);
        world.edges.set(ips[0], Mode::BlackHole).await;
        let client = world.client();
        let moves = async {
            tokio::time::sleep(moves_after).await;
            world.dns.set(HOST, &ips[1..], 1800);
        };
        let (took, ()) = tokio::join!(timed(&client, &world), moves);
        // Lookups begin 3 s after the connect, and are 1 to 2 s apart.
        let expected =
            moves_after.max(3_000 * MS)..=moves_after.max(3_000 * MS) + 2_000 * MS + SLACK;
        assert!(expected.contains(&took), "{moves_after:?}: {took:?}");
    }
}

/// Several requests wait for one HTTP/2 connection, whose connect is given up: each is sent again, a POST too.
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
    let post = common::while_pending(client.post(&url).body("asked").send());
    let (gets, post) = tokio::join!(futures_util::future::join_all(gets), post);
    for answer in gets {
        answer.unwrap_or_else(|error| panic!("{error:?}; {:?}", world.journal.seen()));
    }
    post.unwrap();
}

/// An address has failed often, so that its penalty is long, and serves again. If all other addresses die meanwhile, a
/// probe detects that it connects, and the request in flight goes there.
#[tokio::test]
async fn a_long_penalty_keeps_no_request_away_if_nothing_healthy_is_left() {
    for mode in [Mode::BlackHole, Mode::Hang, Mode::Refuse] {
        let world = world(Edges::https(3).await, AddressOrder::Preserve, &[0], mode).await;
        let client = world.client();
        let ips = world.ips();
        timed(&client, &world).await;
        let is_long = || world.is_penalized(ips[0]) && world.penalty_left(ips[0]) > 15_000 * MS;
        while !is_long() {
            rest(1_000 * MS).await;
            timed(&client, &world).await;
        }
        rest(6_000 * MS).await;
        assert!(world.penalty_left(ips[0]) > 5_000 * MS, "{mode:?}");
        world.edges.set(ips[0], Mode::Serve).await;
        for &ip in &ips[1..] {
            world.edges.set(ip, Mode::BlackHole).await;
        }
        let took = timed(&client, &world).await;
        assert!(took <= 1_000 * MS + SLACK, "{mode:?}: {took:?}");
    }
}
