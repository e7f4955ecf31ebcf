//! Behaviour F6 through stock reqwest: the network here is down, or another one.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::net::IpAddr;

use sidestep::{AddressState, Resolver};

use self::common::{Edges, Mode, Scheme, World, get};

fn name(n: u8) -> String {
    format!("h{n}.test")
}

/// Each in a network of its own.
fn ip(n: u8) -> IpAddr {
    [127, n, 0, 2].into()
}

/// One host on each of so many edges.
async fn world(n: u8) -> World {
    let ips: Vec<IpAddr> = (1..=n).map(ip).collect();
    let world = World::of(Edges::on(&ips, Scheme::Http).await, |builder| builder).await;
    for n in 1..=n {
        world.dns.set(&name(n), &[ip(n)], 60);
    }
    world
}

fn is_healthy(resolver: &Resolver, n: u8) -> bool {
    let snapshot = resolver.snapshot();
    let host = snapshot.host(&name(n)).unwrap();
    host.addr(ip(n)).unwrap().state == AddressState::Healthy
}

/// Four hosts fail together: no address is to blame, until something connects.
#[tokio::test]
async fn while_all_fail_no_address_is_to_blame() {
    let world = world(5).await;
    let client = world.client();
    let url = |n| world.edges.url(&name(n));
    for n in 1..=4 {
        world.edges.set(ip(n), Mode::Refuse).await;
    }
    for n in 1..=4 {
        get(&client, &url(n)).await.unwrap_err();
    }
    assert!((1..=4).all(|n| is_healthy(&world.resolver, n)));
    get(&client, &url(5)).await.unwrap();
    get(&client, &url(1)).await.unwrap_err();
    assert!(!is_healthy(&world.resolver, 1), "now it is its own");
}

/// On another network the host is asked for again, and its address is dialled as a new one.
#[tokio::test]
async fn on_another_network_the_next_request_asks_again() {
    let world = world(1).await;
    let (client, url) = (world.client(), world.edges.url(&name(1)));
    world.edges.set(ip(1), Mode::Refuse).await;
    get(&client, &url).await.unwrap_err();
    world.edges.set(ip(1), Mode::Serve).await;
    let asked = world.dns.total();
    world.resolver.network_changed();
    get(&client, &url).await.unwrap();
    assert_eq!(world.dns.total(), asked + 2, "A and AAAA");
    assert!(is_healthy(&world.resolver, 1));
}
