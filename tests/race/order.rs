//! The order in which a race attempts addresses, after OkHttp's `InetAddressOrderTest` and `RouteSelectorTest`, gRPC's
//! interleaving, and the matrix of Go's and hyper-util's dialers.

use std::net::IpAddr;

use sidestep::{AddressOrder, Family};

use crate::stage::{Fate, Stage, connects, hangs, refuses, v4, v6};

/// Returns the addresses in the order in which a race attempts them, 250 ms apart.
async fn attempted(stage: &Stage) -> Vec<IpAddr> {
    let limit = std::time::Duration::from_millis(250 * 16 - 10);
    let race = tokio::time::timeout(limit, stage.connect()).await;
    assert!(race.is_err(), "no address connects");
    let starts = stage.starts();
    for (place, (_, begun)) in (0..).zip(&starts) {
        assert_eq!(*begun, 250 * place, "{starts:?}");
    }
    starts.into_iter().map(|(addr, _)| addr).collect()
}

fn all_hang<const N: usize>(addrs: [IpAddr; N]) -> [(IpAddr, Fate); N] {
    addrs.map(|addr| (addr, hangs()))
}

/// RFC 8305, section 4, requires this order. OkHttp tests the same in `InetAddressOrderTest` and
/// `addressesSortedWhenFastFallbackIsOn`, gRPC in `Interleaving{IPv4,IPv6,Unknown}Preferred`.
#[tokio::test(start_paused = true)]
async fn families_take_turns_to_the_end_of_the_list() {
    let given = [v4(2), v4(3), v4(4), v6(1), v6(2)];
    let stage = Stage::with(all_hang(given), |b| b.prefer_family(Family::V6));
    let ipv6_leads = [v6(1), v4(2), v6(2), v4(3), v4(4)];
    assert_eq!(attempted(&stage).await, ipv6_leads);
    let stage = Stage::with(all_hang(given), |b| b.prefer_family(Family::V4));
    let ipv4_leads = [v4(2), v6(1), v4(3), v6(2), v4(4)];
    assert_eq!(attempted(&stage).await, ipv4_leads);
    let as_given = Stage::new(all_hang([v6(2), v6(1), v4(3), v4(2)]));
    let ipv6_was_first = [v6(2), v4(3), v6(1), v4(2)];
    assert_eq!(attempted(&as_given).await, ipv6_was_first);
}

/// A single family has nothing to interleave. OkHttp tests the same in `InetAddressOrderTest`.
#[tokio::test(start_paused = true)]
async fn a_single_family_keeps_its_order() {
    for given in [[v4(4), v4(2), v4(3)], [v6(3), v6(1), v6(2)]] {
        let stage = Stage::new(all_hang(given));
        assert_eq!(attempted(&stage).await, given);
    }
    for only in [v4(2), v6(1)] {
        let stage = Stage::new(all_hang([only]));
        assert_eq!(attempted(&stage).await, [only]);
    }
}

/// OkHttp tests the same in `callIpv6FirstEvenWhenIpv4IpIsListedFirst`.
#[tokio::test(start_paused = true)]
async fn ipv6_goes_first_although_ipv4_is_listed_first() {
    let both = [(v4(2), connects(10)), (v6(1), connects(10))];
    let stage = Stage::with(both, |b| b.address_order(AddressOrder::Shuffle));
    assert_eq!(stage.connected().await, (v6(1), 10));
    assert_eq!(stage.starts(), [(v6(1), 0)]);
}

/// A stock connector gets four addresses of a family, and a race attempts every one. OkHttp tests the same in
/// `queryForAllSelectedRoutes`.
#[tokio::test(start_paused = true)]
async fn every_address_of_the_answer_is_attempted() {
    let mut cast: Vec<_> = (2..=16).map(|last| (v4(last), refuses(1))).collect();
    cast.push((v4(17), connects(1)));
    let stage = Stage::of(&cast, |builder| builder);
    assert_eq!(stage.connected().await, (v4(17), 16));
    let each: Vec<IpAddr> = stage.starts().into_iter().map(|(addr, _)| addr).collect();
    let given: Vec<IpAddr> = cast.iter().map(|(addr, _)| *addr).collect();
    assert_eq!(each, given);
}

/// Shuffling spreads the first attempts over all addresses. gRPC tests the same in `ShuffleAddressList`.
#[tokio::test(start_paused = true)]
async fn each_shuffled_address_goes_first_equally_often() {
    let cast = [2, 3, 4, 5].map(|last| (v4(last), connects(1)));
    let stage = Stage::with(cast, |b| b.address_order(AddressOrder::Shuffle));
    let mut first = [0; 4];
    for _ in 0..400 {
        stage.again();
        let (addr, _) = stage.connected().await;
        assert_eq!(stage.starts(), [(addr, 0)]);
        first[cast.iter().position(|(other, _)| *other == addr).unwrap()] += 1;
    }
    // Each address is expected to lead 100 times, with a deviation of 9. The window is five deviations.
    assert!(first.iter().all(|n| (55..=145).contains(n)), "{first:?}");
}

/// In the matrix of Go and hyper-util each family is local, slow or unreachable, and IPv6 goes first.
#[tokio::test(start_paused = true)]
async fn if_one_family_is_slow_or_dead_the_other_connects_in_time() {
    let (local, slow, dead, silent) = (connects(1), connects(2_000), refuses(1), hangs());
    let (six, four) = (v6(1), v4(2));
    let matrix = [
        ((local, local), (six, 1)),
        ((local, slow), (six, 1)),
        ((local, dead), (six, 1)),
        ((local, silent), (six, 1)),
        ((slow, local), (four, 251)),
        ((slow, slow), (six, 2_000)),
        ((slow, dead), (six, 2_000)),
        ((slow, silent), (six, 2_000)),
        ((dead, local), (four, 2)),
        ((dead, slow), (four, 2_001)),
        ((silent, local), (four, 251)),
        ((silent, slow), (four, 2_250)),
    ];
    for (place, ((v6_fate, v4_fate), expected)) in matrix.into_iter().enumerate() {
        let stage = Stage::new([(six, v6_fate), (four, v4_fate)]);
        assert_eq!(stage.connected().await, expected, "row {place}");
    }
}
