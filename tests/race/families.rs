//! One family or two, `localhost` and addresses in the URL, over real sockets: OkHttp's
//! `FastFallbackTest`.

use std::net::IpAddr;

use futures_util::future::join_all;
use sidestep::Outcome;

use crate::clients::{EVERY, Kind, in_order};
use crate::common::{Edges, Mode, Scheme, World};
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

/// One of IPv4 and one of IPv6, listed in this order.
async fn dual(kind: Kind) -> World {
    let scheme = match kind {
        Kind::Http => Scheme::Http,
        Kind::Https | Kind::Alpn | Kind::AlpnTold => Scheme::Https,
    };
    let edges = Edges::on(&[v4(2), V6], scheme).await;
    in_order(edges, |b| b.prefer_family(sidestep::Family::V6)).await
}

/// OkHttp `callIpv6FirstEvenWhenIpv4IpIsListedFirst`, `callIpv6WhenBothServersAreReachable`.
#[tokio::test]
async fn where_both_families_serve_ipv6_alone_is_dialled() {
    if !has_v6() {
        return;
    }
    for kind in EVERY {
        let world = dual(kind).await;
        let answer = kind.client(&world).gets(&world, "both").await;
        assert!(answer.contains("::1"), "{kind:?}: {answer}");
        assert_eq!(accepted(&world), [0, 1], "{kind:?}");
        assert_eq!(world.journal.failures(), []);
    }
}

/// OkHttp `reachesIpv4WhenIpv6IsDown`, `reachesIpv6WhenIpv4IsDown`,
/// `reachesIpv4AfterUnreachableIpv6Address`.
#[tokio::test]
async fn where_one_family_is_dead_the_other_serves() {
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
        .flat_map(|kind| dead.iter().map(move |it| (*kind, it)));
    join_all(
        cases.map(|(kind, (dead, mode, serves, learned))| async move {
            let case = format!("{dead} {mode:?} {kind:?}");
            let world = dual(kind).await;
            world.edges.set(*dead, *mode).await;
            let answer = kind.client(&world).gets(&world, &case).await;
            assert!(answer.contains(serves), "{case}: {answer}");
            assert_eq!(world.journal.failures(), *learned, "{case}");
        }),
    )
    .await;
}

/// OkHttp `getHostString`; Bun's holes: an address in the URL asks nobody, and blames nobody.
#[tokio::test]
async fn an_address_in_the_url_is_dialled_as_it_is() {
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

/// `localhost` is both loopback addresses, and asks nobody (RFC 6761).
#[tokio::test]
async fn localhost_serves_though_one_family_of_it_refuses() {
    for kind in EVERY {
        let scheme = match kind {
            Kind::Http => Scheme::Http,
            Kind::Https | Kind::Alpn | Kind::AlpnTold => Scheme::Https,
        };
        let edges = Edges::on(&[v4(1)], scheme).await;
        let world = in_order(edges, |builder| builder).await;
        let answer = kind.client(&world).get(&world.edges.url("localhost")).await;
        assert!(answer.unwrap().contains("127.0.0.1"), "{kind:?}");
        assert_eq!(world.dns.total(), 0);
    }
}
