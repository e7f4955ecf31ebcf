//! Fixed and fallback addresses and the choice of a lookup, through stock reqwest.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::net::{IpAddr, Ipv4Addr};

use sidestep::lookup::System;
use sidestep::{AnswerSource, Resolver};

use self::common::{Fault, HOST, Mode, World, asking, get};

async fn source(world: &World) -> AnswerSource {
    world.resolver.resolve(HOST).await.unwrap().source()
}

/// No query is sent for a pinned host, and a pinned edge that dies is demoted as any other.
#[tokio::test]
async fn pinned_edges_fail_over() {
    let world = World::http(3).await;
    let ips = world.ips();
    let pinned = [ips[0], ips[1]];
    world.resolver.overrides().set(HOST, pinned).unwrap();
    let client = world.client();
    world.edges.set(ips[0], Mode::Refuse).await;
    for _ in 0..20 {
        get(&client, &world.url()).await.unwrap();
    }
    assert!(world.is_penalized(ips[0]));
    assert_eq!(world.edges.accepted(ips[1]), 20);
    assert_eq!((world.edges.accepted(ips[2]), world.queries()), (0, 0));
    world.resolver.overrides().remove(HOST);
    assert_eq!(source(&world).await, AnswerSource::Fresh);
}

/// The name server is down from the beginning, an edge of the table is dead; no request fails.
/// When the name server is back and the host is invalidated, its answer is taken again.
#[tokio::test]
async fn fallback_edges_serve_while_the_name_server_is_down() {
    for fault in [Fault::ServFail, Fault::Silent] {
        // A lookup at a silent name server ends with time.
        let world = World::http(3).await.in_real_time();
        let ips = world.ips();
        world.dns.fault(fault);
        world
            .resolver
            .fallbacks()
            .set(
                &format!(".{}", HOST.split_once('.').unwrap().1),
                [ips[0], ips[1]],
            )
            .unwrap();
        world.edges.set(ips[0], Mode::Refuse).await;
        let client = world.client();
        for _ in 0..20 {
            get(&client, &world.url()).await.unwrap();
        }
        assert_eq!(source(&world).await, AnswerSource::Fallback);
        assert!(world.is_penalized(ips[0]));
        assert_eq!(world.edges.accepted(ips[1]), 20);
        world.dns.fault(Fault::None);
        world.resolver.invalidate(HOST);
        assert_eq!(source(&world).await, AnswerSource::Fresh);
    }
}

/// Tables and lookups change under a load, and no request notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_under_load_cost_no_request() {
    let world = World::http(3).await;
    let (client, ips) = (world.client(), world.ips());
    let resolver = world.resolver.clone();
    let (asked, switched) = (asking(&world.dns), world.dns.addr());
    resolver.set_lookup(asked);
    let changing = async {
        for round in 0..100_usize {
            let ip = ips[round % 3];
            resolver.overrides().set(HOST, [ip]).unwrap();
            tokio::task::yield_now().await;
            resolver.fallbacks().replace([(HOST, [ip])]).unwrap();
            resolver.invalidate(HOST);
            resolver.overrides().clear();
            let dns = sidestep::lookup::Dns::with_servers([switched]).unwrap();
            resolver.set_lookup(dns);
            resolver.fallbacks().clear();
            tokio::task::yield_now().await;
        }
    };
    let load = async {
        for _ in 0..200 {
            get(&client, &world.url()).await.unwrap();
        }
    };
    tokio::join!(changing, load);
}

/// `getaddrinfo` reads `127.1` as an address, by itself; a name server does not know it.
#[tokio::test]
async fn the_system_can_be_asked_in_place_of_the_name_server_and_back() {
    let world = World::http(1).await;
    let resolver: &Resolver = &world.resolver;
    let good = resolver.resolve(HOST).await.unwrap();
    assert!(resolver.resolve("127.1").await.unwrap_err().is_not_found());
    let name_server = resolver.set_lookup(System::new());
    let found = resolver.resolve("127.1").await.unwrap();
    assert_eq!(found.addrs(), [IpAddr::from(Ipv4Addr::LOCALHOST)]);
    assert_eq!(resolver.resolve(HOST).await.unwrap().addrs(), good.addrs());
    resolver.set_lookup(name_server);
    resolver.invalidate("127.1");
    assert!(resolver.resolve("127.1").await.unwrap_err().is_not_found());
    get(&world.client(), &world.url()).await.unwrap();
    assert_eq!(world.queries(), 1, "what was good stayed");
}
