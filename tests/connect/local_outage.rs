//! Tests behavior F6 through stock reqwest: the local network is down, or changes.

use std::net::IpAddr;

use sidestep::{AddressState, Resolver};
use testkit::{Edges, Mode, Scheme, World, get};

fn host(n: u8) -> String {
    format!("h{n}.test")
}

/// Returns the address of host `n`, which has its own network.
fn ip(n: u8) -> IpAddr {
    [127, n, 0, 2].into()
}

/// Starts `n` edges, with one host for each.
async fn world(n: u8) -> World {
    let ips: Vec<IpAddr> = (1..=n).map(ip).collect();
    let world = World::of(Edges::on(&ips, Scheme::Http).await, |builder| builder).await;
    for n in 1..=n {
        world.dns.set(&host(n), &[ip(n)], 60);
    }
    world
}

fn is_healthy(resolver: &Resolver, n: u8) -> bool {
    let snapshot = resolver.snapshot();
    let host = snapshot.host(&host(n)).unwrap();
    host.addr(ip(n)).unwrap().state == AddressState::Healthy
}

/// Four unrelated hosts fail together. No address gets a penalty until a connect succeeds.
#[tokio::test]
async fn if_unrelated_hosts_fail_together_no_address_gets_a_penalty() {
    let world = world(5).await;
    let client = world.client();
    let url = |n| world.edges.url(&host(n));
    for n in 1..=4 {
        world.edges.set(ip(n), Mode::Refuse).await;
    }
    for n in 1..=4 {
        get(&client, &url(n)).await.unwrap_err();
    }
    assert!((1..=4).all(|n| is_healthy(&world.resolver, n)));
    get(&client, &url(5)).await.unwrap();
    get(&client, &url(1)).await.unwrap_err();
    assert!(
        !is_healthy(&world.resolver, 1),
        "the address gets a penalty after another host has connected"
    );
}

/// After a network change a request looks the host up again, and its address has no penalty.
#[tokio::test]
async fn after_a_network_change_the_next_request_looks_the_host_up_again() {
    let world = world(1).await;
    let (client, url) = (world.client(), world.edges.url(&host(1)));
    world.edges.set(ip(1), Mode::Refuse).await;
    get(&client, &url).await.unwrap_err();
    world.edges.set(ip(1), Mode::Serve).await;
    let queries = world.dns.total();
    world.resolver.network_changed();
    get(&client, &url).await.unwrap();
    assert_eq!(world.dns.total(), queries + 2, "A and AAAA");
    assert!(is_healthy(&world.resolver, 1));
}
