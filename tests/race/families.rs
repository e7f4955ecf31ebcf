//! Hosts with one or two families, `localhost`, and addresses in the URL, over real sockets, after OkHttp's
//! `FastFallbackTest`.

use std::net::IpAddr;

use futures_util::future::join_all;
use sidestep::Outcome;
use testkit::{Edges, Mode, Scheme, World};

use crate::clients::{EVERY, Kind, in_order};
use crate::sockets::accepted;
use crate::stage::v4;

const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

fn has_v6() -> bool {
    let has = std::net::TcpListener::bind((V6, 0)).is_ok();
    if !has {
        println!("this machine has no IPv6 on loopback: skipped");
    }
    has
}

/// Starts an IPv4 edge and an IPv6 edge, listed in this order.
async fn dual(kind: Kind) -> World {
    let scheme = match kind {
        Kind::Http => Scheme::Http,
        Kind::Https | Kind::Alpn | Kind::AlpnTold => Scheme::Https,
    };
    let edges = Edges::on(&[v4(2), V6], scheme).await;
    in_order(edges, |b| b.prefer_family(sidestep::Family::V6)).await
}

/// OkHttp tests the same in `callIpv6FirstEvenWhenIpv4IpIsListedFirst` and `callIpv6WhenBothServersAreReachable`.
#[tokio::test]
async fn if_both_families_serve_only_ipv6_is_attempted() {
    if !has_v6() {
        return;
    }
    for kind in EVERY {
        let world = dual(kind).await;
        let body = kind.client(&world).gets(&world, "both").await;
        assert!(body.contains("::1"), "{kind:?}: {body}");
        assert_eq!(accepted(&world), [0, 1], "{kind:?}");
        assert_eq!(world.journal.failures(), []);
    }
}

/// OkHttp tests the same in `reachesIpv4WhenIpv6IsDown`, `reachesIpv6WhenIpv4IsDown` and
/// `reachesIpv4AfterUnreachableIpv6Address`.
#[tokio::test]
async fn if_one_family_is_dead_the_other_serves() {
    if !has_v6() {
        return;
    }
    let dead = [
        (V6, Mode::Refuse, "127.0.0.2", vec![(V6, Outcome::Refused)]),
        (V6, Mode::BlackHole, "127.0.0.2", vec![(V6, Outcome::Slow)]),
        (v4(2), Mode::Refuse, "::1", vec![]),
        (v4(2), Mode::BlackHole, "::1", vec![]),
    ];
    let cases = EVERY
        .iter()
        .flat_map(|kind| dead.iter().map(move |row| (*kind, row)));
    join_all(
        cases.map(|(kind, (dead, mode, serves, failures))| async move {
            let case = format!("{dead} {mode:?} {kind:?}");
            let world = dual(kind).await;
            world.edges.set(*dead, *mode).await;
            let body = kind.client(&world).gets(&world, &case).await;
            assert!(body.contains(serves), "{case}: {body}");
            assert_eq!(world.journal.failures(), *failures, "{case}");
        }),
    )
    .await;
}

/// An address in the URL needs no lookup, and its failure is not recorded. OkHttp tests the same in `getHostString`.
#[tokio::test]
async fn an_address_in_the_url_is_attempted_without_a_lookup() {
    for kind in EVERY {
        let world = kind.world(2).await;
        let client = kind.client(&world);
        let url = world.edges.url("127.0.0.3");
        assert!(client.get(&url).await.unwrap().contains("127.0.0.3"));
        world.edges.set(v4(3), Mode::Refuse).await;
        let error = client.get(&url).await.unwrap_err();
        assert_eq!(Outcome::from_error(&*error), Outcome::Refused, "{kind:?}");
        assert_eq!((world.queries(), world.journal.failures()), (0, vec![]));
    }
}

/// `localhost` has both loopback addresses and needs no lookup (RFC 6761).
#[tokio::test]
async fn localhost_serves_although_one_of_its_families_refuses() {
    for kind in EVERY {
        let scheme = match kind {
            Kind::Http => Scheme::Http,
            Kind::Https | Kind::Alpn | Kind::AlpnTold => Scheme::Https,
        };
        let edges = Edges::on(&[v4(1)], scheme).await;
        let world = in_order(edges, |builder| builder).await;
        let body = kind.client(&world).get(&world.edges.url("localhost")).await;
        assert!(body.unwrap().contains("127.0.0.1"), "{kind:?}");
        assert_eq!(world.dns.total(), 0);
    }
}
