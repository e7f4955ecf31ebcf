//! Tests overrides, fallbacks and the choice of a lookup through stock reqwest.

use std::net::{IpAddr, Ipv4Addr};

use sidestep::lookup::System;
use sidestep::{AnswerSource, Resolver};
use testkit::{Fault, HOST, Mode, World, asking, get};

async fn source(world: &World) -> AnswerSource {
    world.resolver.resolve(HOST).await.unwrap().source()
}

/// A host with an override needs no lookup, and an override address that fails gets a penalty.
#[tokio::test]
async fn requests_fail_over_between_override_addresses() {
    let world = World::http(3).await;
    let ips = world.ips();
    let addrs = [ips[0], ips[1]];
    world.resolver.overrides().set(HOST, addrs).unwrap();
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

/// The name server fails from the start, and one of the fallback addresses is dead. When the name server works again
/// and the host is invalidated, the host gets a fresh answer.
#[tokio::test]
async fn fallback_addresses_serve_while_the_name_server_fails() {
    for fault in [Fault::ServFail, Fault::Silent] {
        // A lookup at a silent name server ends by a time limit.
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

/// Overrides, fallbacks and the lookup change while a client sends requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_the_tables_and_the_lookup_change() {
    let world = World::http(3).await;
    let (client, ips) = (world.client(), world.ips());
    let resolver = world.resolver.clone();
    let (lookup, name_server) = (asking(&world.dns), world.dns.addr());
    resolver.set_lookup(lookup);
    let changing = async {
        for round in 0..100_usize {
            let ip = ips[round % 3];
            resolver.overrides().set(HOST, [ip]).unwrap();
            tokio::task::yield_now().await;
            resolver.fallbacks().replace([(HOST, [ip])]).unwrap();
            resolver.invalidate(HOST);
            resolver.overrides().clear();
            let dns = sidestep::lookup::Dns::with_servers([name_server]).unwrap();
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

/// `getaddrinfo` parses `127.1` as an address, and the name server does not have this name.
#[tokio::test]
async fn the_lookup_can_change_to_the_system_and_back() {
    let world = World::http(1).await;
    let resolver: &Resolver = &world.resolver;
    let before = resolver.resolve(HOST).await.unwrap();
    assert!(resolver.resolve("127.1").await.unwrap_err().is_not_found());
    let name_server = resolver.set_lookup(System::new());
    let resolved = resolver.resolve("127.1").await.unwrap();
    assert_eq!(resolved.addrs(), [IpAddr::from(Ipv4Addr::LOCALHOST)]);
    assert_eq!(
        resolver.resolve(HOST).await.unwrap().addrs(),
        before.addrs()
    );
    resolver.set_lookup(name_server);
    resolver.invalidate("127.1");
    assert!(resolver.resolve("127.1").await.unwrap_err().is_not_found());
    get(&world.client(), &world.url()).await.unwrap();
    assert_eq!(world.queries(), 1, "the fresh answer was kept");
}
