//! A single connect to addresses of which all or many hang, while no other connect looks the host up.

use std::error::Error as StdError;
use std::iter;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sidestep::AddressOrder;
use sidestep::reqwest::ClientBuilderExt as _;
use testkit::script::S;
use testkit::{Edges, HOST, Mode, Scheme, World, get};
use tower::util::MapFutureLayer;

use crate::stage::{MS, Stage, connects, hangs, v4};

const MINUTE: Duration = Duration::from_secs(60);

fn client(world: &World) -> reqwest::Client {
    let builder = world.builder().timeout(MINUTE);
    builder.sidestep(&world.resolver).build().unwrap()
}

/// DNS changes after both lookups of the race.
#[tokio::test(start_paused = true)]
async fn a_race_finds_an_answer_that_changes_while_attempts_are_pending() {
    for moves_at in [2, 5, 12, 20] {
        let stage = Stage::new([(v4(2), hangs()), (v4(3), hangs()), (v4(4), connects(10))]);
        stage.says(&[v4(2), v4(3)]);
        let (connected, ()) = tokio::join!(stage.connected(), async {
            tokio::time::sleep(moves_at * S).await;
            stage.says(&[v4(4)]);
        });
        let (addr, at) = connected;
        assert_eq!(addr, v4(4), "after {moves_at} s");
        let latest = u64::from(moves_at) * 1_000 + 3_000;
        assert!(at <= latest, "after {moves_at} s: {at}");
    }
}

/// Stock reqwest finds the new answer, too, with one address and with several.
#[tokio::test]
async fn a_request_finds_an_answer_that_changes_while_its_connect_is_pending() {
    for (n, keeps_first) in [(1, false), (4, false), (4, true)] {
        for moves_at in [2, 5] {
            let case =
                format!("{n} dead addresses, keeps the first: {keeps_first}, after {moves_at} s");
            let world = World::of(Edges::http(n + 1).await, |b| {
                b.address_order(AddressOrder::Preserve)
            })
            .await;
            let ips = world.ips();
            let (old, new) = ips.split_at(usize::from(n));
            world.dns.set(HOST, old, 1800);
            for &ip in old {
                world.edges.set(ip, Mode::BlackHole).await;
            }
            let (client, url) = (client(&world), world.url());
            let begun = tokio::time::Instant::now();
            let (result, ()) = tokio::join!(get(&client, &url), async {
                tokio::time::sleep(moves_at * S).await;
                let first = keeps_first.then_some(old[0]);
                let now: Vec<IpAddr> = first.into_iter().chain(new.iter().copied()).collect();
                world.dns.set(HOST, &now, 1800);
            });
            let took = tokio::time::Instant::now() - begun;
            result.unwrap_or_else(|error| panic!("{case}: {error:?}"));
            assert!(took <= moves_at * S + 3 * S, "{case}: {took:?}");
        }
    }
}

/// All addresses swallow packets for 12 s and come back. Stock reqwest connects when the system sends its SYN again.
#[tokio::test]
async fn a_request_succeeds_when_black_holes_come_back() {
    let world = World::of(Edges::http(4).await, |b| {
        b.address_order(AddressOrder::Preserve)
    });
    let world = world.await.in_real_time();
    for ip in world.ips() {
        world.edges.set(ip, Mode::BlackHole).await;
    }
    let (client, url) = (client(&world), world.url());
    let (result, ()) = tokio::join!(client.get(url).send(), async {
        tokio::time::sleep(12 * S).await;
        for ip in world.ips() {
            world.edges.set(ip, Mode::Serve).await;
        }
    });
    result.unwrap();
}

/// No layer sees whether TCP has connected, so the first address of the second lane is in doubt, although no attempt
/// was made.
#[tokio::test]
async fn the_first_request_succeeds_although_several_edges_hang_in_tls() {
    for (n, broken) in [(2, 1), (4, 2), (4, 3), (8, 5), (8, 7)] {
        let world = World::of(Edges::https(n).await, |b| {
            b.address_order(AddressOrder::Preserve)
        })
        .await;
        for &ip in &world.ips()[..broken] {
            world.edges.set(ip, Mode::Hang).await;
        }
        let client = client(&world);
        for _ in 0..3 {
            let response = get(&client, &world.url()).await;
            response.unwrap_or_else(|error| panic!("{broken} of {n} hang in TLS: {error:?}"));
        }
    }
}

#[tokio::test]
async fn an_error_does_not_report_a_black_hole_as_connected() {
    let world = World::of(Edges::http(4).await, |b| {
        b.address_order(AddressOrder::Preserve)
    })
    .await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::BlackHole).await;
    }
    let error = get(&client(&world), &world.url()).await.unwrap_err();
    let causes = iter::successors(Some(&error as &dyn StdError), |&cause| cause.source());
    let text: String = causes.map(|cause| format!("{cause}: ")).collect();
    assert!(!text.contains(" connected "), "{text}");
}

/// Of an answer of 200 addresses each lookup keeps another sample. In half of the cases the sample has none of the
/// addresses at which a connect is pending.
#[tokio::test]
async fn no_connect_is_given_up_for_another_sample_of_an_answer() {
    let connects = (0..10).map(|_| connects_to_one_of_many());
    assert_eq!(futures_util::future::join_all(connects).await, [1; 10]);
}

/// Returns the number of connects that one request makes to 200 addresses that take 600 ms each.
async fn connects_to_one_of_many() -> usize {
    let ips: Vec<IpAddr> = (1..=200).map(|n| [127, 0, 1, n].into()).collect();
    let edges = Edges::on(&ips, Scheme::Http).await;
    let world = World::of(edges, |builder| builder).await.in_real_time();
    let connects = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connects);
    let late = MapFutureLayer::new(move |connecting| {
        counted.fetch_add(1, Ordering::SeqCst);
        async {
            let connected = connecting.await;
            tokio::time::sleep(600 * MS).await;
            connected
        }
    });
    let client = world.builder().connector_layer(late);
    let client = client.sidestep(&world.resolver).build().unwrap();
    get(&client, &world.url()).await.unwrap();
    connects.load(Ordering::SeqCst)
}

/// Each answer has other addresses, and each connect takes 500 ms. A connect is given up only if its request can be
/// sent again.
#[tokio::test]
async fn a_request_over_a_slow_link_succeeds_while_answers_change() {
    let ips: Vec<IpAddr> = (1..=12).map(|n| [127, 0, 2, n].into()).collect();
    for size in [3, 4] {
        let world = World::of(Edges::on(&ips, Scheme::Http).await, |builder| builder);
        let world = Arc::new(world.await.in_real_time());
        let answers: Vec<_> = ips.chunks(size).map(<[IpAddr]>::to_vec).collect();
        world.dns.set(HOST, &answers[0], 1800);
        let connects = Arc::new(AtomicUsize::new(0));
        let (shared, counted) = (Arc::clone(&world), Arc::clone(&connects));
        let late = MapFutureLayer::new(move |connecting| {
            let connect = counted.fetch_add(1, Ordering::SeqCst) + 1;
            let answer = answers[connect % answers.len()].clone();
            let shared = Arc::clone(&shared);
            async move {
                let connected = connecting.await;
                shared.dns.set(HOST, &answer, 1800);
                tokio::time::sleep(500 * MS).await;
                connected
            }
        });
        let client = world.builder().connector_layer(late);
        let client = client.sidestep(&world.resolver).build().unwrap();
        let response = get(&client, &world.url()).await;
        response.unwrap_or_else(|error| panic!("{size} addresses: {error:?}"));
        assert!(connects.load(Ordering::SeqCst) > 1, "{size} addresses");
    }
}

/// The start of a connect is stored in milliseconds, which exceed 32 bits after 49.7 days.
#[tokio::test(start_paused = true)]
async fn a_black_hole_is_recorded_after_fifty_days() {
    let stage = Stage::with([(v4(2), connects(1)), (v4(3), connects(1))], |builder| {
        builder.address_order(AddressOrder::Preserve)
    });
    tokio::time::sleep(Duration::from_millis((1 << 32) - 2_000)).await;
    stage.again();
    assert_eq!(stage.connected().await, (v4(2), 1));
    tokio::time::sleep(4 * S).await;
    stage.turns(v4(2), hangs());
    stage.again();
    assert_eq!(stage.connected().await, (v4(3), 251));
    tokio::time::sleep(S).await;
    stage.again();
    assert_eq!(stage.connected().await, (v4(3), 1));
}
