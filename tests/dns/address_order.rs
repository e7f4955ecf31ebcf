//! Tests behavior A8 through stock reqwest: the address order decides which edge gets the next connection.

use sidestep::AddressOrder;
use testkit::{Edges, HOST, Mode, World, get};

/// Each new connection goes to the next edge.
#[tokio::test]
async fn with_round_robin_all_edges_get_the_same_number_of_connections() {
    let world = World::of(Edges::http(3).await, |builder| {
        builder.address_order(AddressOrder::RoundRobin)
    })
    .await;
    let client = world.client();
    for _ in 0..12 {
        get(&client, &world.url()).await.unwrap();
    }
    for ip in world.ips() {
        assert_eq!(world.edges.accepted(ip), 4, "{ip}");
    }
}

/// The first edge of the answer serves until the edge dies, and then the second one serves.
#[tokio::test]
async fn with_the_order_of_the_answer_the_first_edge_serves_until_it_dies() {
    let world = World::of(Edges::http(3).await, |builder| {
        builder.address_order(AddressOrder::Preserve)
    })
    .await;
    let (client, ips) = (world.client(), world.ips());
    for _ in 0..10 {
        get(&client, &world.url()).await.unwrap();
    }
    assert_eq!(world.edges.accepted(ips[0]), 10);
    world.edges.set(ips[0], Mode::Refuse).await;
    for _ in 0..10 {
        get(&client, &world.url()).await.unwrap();
    }
    assert_eq!(world.edges.accepted(ips[1]), 10);
    assert_eq!(world.edges.accepted(ips[2]), 0);
}

/// A host has addresses of both families, and the machine has no route to IPv6. IPv4 addresses lead.
#[tokio::test]
async fn without_a_route_to_ipv6_ipv4_addresses_are_attempted_first() {
    let world = World::of(Edges::http(2).await, |builder| {
        builder.source_address(|to| to.is_ipv4().then_some(to))
    })
    .await;
    let mut addrs = world.ips();
    addrs.push("2001:db8::7".parse().unwrap());
    world.dns.set(HOST, &addrs, 60);
    let client = world.client();
    for _ in 0..10 {
        get(&client, &world.url()).await.unwrap();
        assert!(world.resolver.resolve(HOST).await.unwrap().addrs()[0].is_ipv4());
    }
    assert_eq!(world.journal.failures(), []);
}
