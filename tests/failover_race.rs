//! The same edges die under hyper-util's legacy client with a race: no request fails.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;
#[path = "common/hyper_client.rs"]
mod hyper_client;

use std::time::Duration;

use common::{HOST, Mode, World};
use hyper_client::{get, raced as client};
use sidestep::{AddressOrder, AddressState, ConnectError, Outcome};
use tokio::time::Instant;

/// Dead edges lead the answer.
async fn as_given(n: u8) -> World {
    World::of(common::Edges::https(n).await, |builder| {
        builder.address_order(AddressOrder::Preserve)
    })
    .await
}

#[tokio::test]
async fn no_way_in_which_an_edge_dies_costs_a_request() {
    for mode in [
        Mode::Refuse,
        Mode::BlackHole,
        Mode::TlsReset,
        Mode::WrongCertificate,
        Mode::AcceptAndClose,
        Mode::Hang,
    ] {
        let world = as_given(3).await;
        let (client, dead) = (client(&world), world.ips()[0]);
        world.edges.set(dead, mode).await;
        for _ in 0..20 {
            get(&client, &world.url()).await.unwrap();
        }
        assert_ne!(world.standing(dead), AddressState::Healthy, "{mode:?}");
        assert!(world.edges.accepted(dead) <= 1, "{mode:?}");
    }
}

#[tokio::test]
async fn black_holes_cost_one_delay_each_and_the_next_connect_none() {
    let world = as_given(4).await;
    let (client, ips) = (client(&world), world.ips());
    for &dead in &ips[..3] {
        world.edges.set(dead, Mode::BlackHole).await;
    }
    let began = Instant::now();
    get(&client, &world.url()).await.unwrap();
    assert!(Instant::now() - began >= Duration::from_millis(750));
    let stalled: Vec<_> = ips[..3].iter().map(|&ip| (ip, Outcome::Slow)).collect();
    assert_eq!(world.journal.failures(), stalled);
    let began = Instant::now();
    get(&client, &world.url()).await.unwrap();
    assert!(Instant::now() - began < Duration::from_millis(250));
}

#[tokio::test]
async fn when_dns_has_moved_the_same_request_finds_the_new_edges() {
    for mode in [
        Mode::Refuse,
        Mode::BlackHole,
        Mode::TlsReset,
        Mode::WrongCertificate,
    ] {
        let world = as_given(4).await;
        let (client, ips) = (client(&world), world.ips());
        world.dns.set(HOST, &ips[..2], 1800);
        get(&client, &world.url()).await.unwrap();
        world.dns.set(HOST, &ips[2..], 1800);
        for &ip in &ips[..2] {
            world.edges.set(ip, mode).await;
        }
        for _ in 0..10 {
            get(&client, &world.url()).await.unwrap();
        }
        assert_eq!(world.queries(), 2, "{mode:?}");
    }
}

#[tokio::test]
async fn when_all_fail_the_error_tells_of_each() {
    let world = as_given(3).await;
    let (client, ips) = (client(&world), world.ips());
    world.edges.set(ips[0], Mode::TlsReset).await;
    world.edges.set(ips[1], Mode::Refuse).await;
    world.edges.set(ips[2], Mode::AcceptAndClose).await;
    let error = get(&client, &world.url()).await.unwrap_err();
    let told = ConnectError::find(&error).unwrap();
    let ends: Vec<_> = told
        .attempts()
        .iter()
        .map(|it| (it.addr, it.outcome))
        .collect();
    assert_eq!(
        ends,
        [
            (ips[0], Some(Outcome::TlsFailed)),
            (ips[1], Some(Outcome::Refused)),
            (ips[2], Some(Outcome::TlsFailed)),
        ]
    );
    println!("{told}");
}
