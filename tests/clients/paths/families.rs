//! Hosts with one or many addresses, of one or both families, under every stock client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sidestep::{AddressState, Family, Outcome};
use testkit::{Edges, Mode, Seen, World};

use crate::paths::stock::Stock;
use crate::paths::{in_order, in_order_with, nobody_was_blamed, only_these_failed};

const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

fn has_v6() -> bool {
    let has = std::net::TcpListener::bind((V6, 0)).is_ok();
    if !has {
        println!("this machine has no IPv6 on loopback: skipped");
    }
    has
}

fn accepted(world: &World) -> Vec<usize> {
    let ips = world.ips();
    ips.iter().map(|&ip| world.edges.accepted(ip)).collect()
}

/// The only address dies and comes back. Each request attempts it, penalized or not.
async fn dies_and_comes_back(stock: Stock, only: IpAddr, mode: Mode, outcome: Outcome) {
    let case = format!("{only} {mode:?} {stock:?}");
    let world = in_order(Edges::on(&[only], stock.scheme).await).await;
    let client = stock.client(&world);
    client.get(&world.url()).await.unwrap();
    world.edges.set(only, mode).await;
    client.get(&world.url()).await.unwrap_err();
    assert!(world.is_penalized(only), "{case}");
    let failures = world.journal.failures();
    assert!(
        failures.iter().all(|seen| *seen == (only, outcome)),
        "{case}: {failures:?}"
    );
    world.edges.set(only, Mode::Serve).await;
    client
        .get(&world.url())
        .await
        .expect("the address is attempted at once");
    assert_eq!(world.standing(only), AddressState::Healthy, "{case}");
    let recovered = world.journal.count(|seen| *seen == Seen::Recovered(only));
    assert_eq!(recovered, 1, "{case}");
    assert_eq!(world.journal.failures(), failures, "{case}");
}

/// The host has one IPv4 address.
#[tokio::test]
async fn a_single_address_is_attempted_whether_dead_or_back() {
    for stock in Stock::all() {
        dies_and_comes_back(stock, v4(2), Mode::Refuse, Outcome::Refused).await;
    }
    for stock in Stock::tls() {
        dies_and_comes_back(stock, v4(2), Mode::TlsReset, Outcome::TlsFailed).await;
        dies_and_comes_back(
            stock,
            v4(2),
            Mode::WrongCertificate,
            Outcome::BadCertificate,
        )
        .await;
    }
}

/// The host has one IPv6 address. Machines have one such address on loopback.
#[tokio::test]
async fn a_single_ipv6_address_is_attempted_whether_dead_or_back() {
    if !has_v6() {
        return;
    }
    for stock in Stock::all() {
        dies_and_comes_back(stock, V6, Mode::Refuse, Outcome::Refused).await;
    }
    for stock in Stock::tls() {
        dies_and_comes_back(stock, V6, Mode::TlsReset, Outcome::TlsFailed).await;
    }
}

/// Three of eight addresses refuse. One connect attempts each of the three once, and the addresses after the winner
/// have not failed.
#[tokio::test]
async fn of_many_addresses_only_those_before_the_winner_have_failed() {
    for stock in Stock::all() {
        let world = stock.world(8).await;
        let (client, ips) = (stock.client(&world), world.ips());
        for &dead in &ips[..3] {
            world.edges.set(dead, Mode::Refuse).await;
        }
        for _ in 0..10 {
            let body = client.get(&world.url()).await.unwrap();
            assert!(body.contains("127.0.0.5"), "{stock:?}: {body}");
        }
        let failed: Vec<_> = ips[..3].iter().map(|&ip| (ip, Outcome::Failed)).collect();
        only_these_failed(&world, &format!("{stock:?}"), &failed).await;
    }
}

/// All addresses refuse, and the error of the connect gives the outcome of all of them.
#[tokio::test]
async fn if_all_addresses_refuse_all_are_penalized() {
    for stock in Stock::all() {
        let world = stock.world(3).await;
        let client = stock.client(&world);
        for ip in world.ips() {
            world.edges.set(ip, Mode::Refuse).await;
        }
        client.get(&world.url()).await.unwrap_err();
        let failures = world.journal.failures();
        for ip in world.ips() {
            assert!(
                failures.contains(&(ip, Outcome::Refused)),
                "{stock:?}: {failures:?}"
            );
            assert!(world.is_penalized(ip), "{stock:?}");
        }
    }
}

/// Starts an IPv6 edge and two IPv4 edges.
async fn dual(stock: Stock, prefer: Family) -> World {
    let edges = Edges::on(&[V6, v4(2), v4(3)], stock.scheme).await;
    in_order_with(edges, |builder| builder.prefer_family(prefer)).await
}

/// Both families serve. IPv6 is attempted, and IPv4 is not.
#[tokio::test]
async fn of_two_families_only_the_preferred_one_is_attempted() {
    if !has_v6() {
        return;
    }
    for stock in Stock::all() {
        let world = dual(stock, Family::V6).await;
        let client = stock.client(&world);
        for _ in 0..3 {
            client.get(&world.url()).await.unwrap();
        }
        assert_eq!(accepted(&world), [3, 0, 0], "{stock:?}");
        nobody_was_blamed(&world, &format!("{stock:?}"));
    }
}

/// IPv6 swallows packets. The first request records that, and IPv4 goes first from then on.
#[tokio::test]
async fn a_black_holed_family_delays_one_request() {
    if !has_v6() {
        return;
    }
    for stock in Stock::all() {
        let world = dual(stock, Family::V6).await;
        let client = stock.client(&world);
        world.edges.set(V6, Mode::BlackHole).await;
        for _ in 0..5 {
            client.get(&world.url()).await.unwrap();
        }
        assert_eq!(accepted(&world)[1..], [5, 0], "{stock:?}");
        only_these_failed(&world, &format!("{stock:?}"), &[(V6, Outcome::Slow)]).await;
    }
}

/// The first of two IPv4 addresses refuses, and IPv6 is not attempted.
#[tokio::test]
async fn only_the_dead_address_of_the_preferred_family_has_failed() {
    if !has_v6() {
        return;
    }
    for stock in Stock::all() {
        let world = dual(stock, Family::V4).await;
        let client = stock.client(&world);
        world.edges.set(v4(2), Mode::Refuse).await;
        for _ in 0..5 {
            client.get(&world.url()).await.unwrap();
        }
        let case = format!("{stock:?}");
        assert_eq!(accepted(&world), [0, 0, 5], "{case}");
        only_these_failed(&world, &case, &[(v4(2), Outcome::Failed)]).await;
    }
}

/// IPv6 refuses at once, and IPv4 serves. No failure is recorded, because a connector that is bound to an IPv4 address
/// looks the same and never attempts IPv6.
#[tokio::test]
async fn a_family_that_refuses_at_once_fails_no_request() {
    if !has_v6() {
        return;
    }
    for stock in Stock::all() {
        let world = dual(stock, Family::V6).await;
        let client = stock.client(&world);
        world.edges.set(V6, Mode::Refuse).await;
        for _ in 0..5 {
            client.get(&world.url()).await.unwrap();
        }
        nobody_was_blamed(&world, &format!("{stock:?}"));
    }
}

/// The first family fails in TLS. The resolver cannot know which of the two first addresses failed, so both get a soft
/// strike, and the next request finds the live one.
#[tokio::test]
async fn after_a_family_fails_in_tls_the_other_serves() {
    if !has_v6() {
        return;
    }
    for stock in Stock::tls() {
        let case = format!("{stock:?}");
        let world = dual(stock, Family::V6).await;
        let client = stock.client(&world);
        world.edges.set(V6, Mode::TlsReset).await;
        let mut failed = 0;
        for _ in 0..5 {
            failed += usize::from(client.get(&world.url()).await.is_err());
        }
        assert!(
            failed <= usize::from(!stock.sends_again()),
            "{case}: {failed}"
        );
        let failures = world.journal.failures();
        assert!(
            failures.contains(&(V6, Outcome::TlsFailed)),
            "{case}: {failures:?}"
        );
        assert!(
            !failures.iter().any(|(ip, _)| *ip == v4(3)),
            "{case}: {failures:?}"
        );
    }
}
