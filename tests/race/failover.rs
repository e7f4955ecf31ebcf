//! hyper-util's legacy client with a race reaches a live edge if other edges fail, and no request fails.

use std::time::Duration;

use sidestep::{AddressOrder, AddressState, ConnectError, Outcome};
use testkit::hyper_client::{get, raced as client};
use testkit::{HOST, Mode, World};
use tokio::time::Instant;

/// Returns a world whose resolver keeps the order of the answer, so that a dead edge can go first.
async fn in_answer_order(n: u8) -> World {
    World::of(testkit::Edges::https(n).await, |builder| {
        builder.address_order(AddressOrder::Preserve)
    })
    .await
}

#[tokio::test]
async fn an_edge_with_any_fault_fails_no_request() {
    for mode in [
        Mode::Refuse,
        Mode::BlackHole,
        Mode::TlsReset,
        Mode::WrongCertificate,
        Mode::AcceptAndClose,
        Mode::Hang,
    ] {
        let world = in_answer_order(3).await;
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
async fn black_holed_edges_delay_the_first_connect_and_not_the_next() {
    let world = in_answer_order(4).await;
    let (client, ips) = (client(&world), world.ips());
    for &dead in &ips[..3] {
        world.edges.set(dead, Mode::BlackHole).await;
    }
    let began = Instant::now();
    get(&client, &world.url()).await.unwrap();
    assert!(Instant::now() - began >= Duration::from_millis(750));
    let slow: Vec<_> = ips[..3].iter().map(|&ip| (ip, Outcome::Slow)).collect();
    assert_eq!(world.journal.failures(), slow);
    let began = Instant::now();
    get(&client, &world.url()).await.unwrap();
    assert!(Instant::now() - began < Duration::from_millis(250));
}

#[tokio::test]
async fn after_dns_changes_the_same_request_reaches_the_new_edges() {
    for mode in [
        Mode::Refuse,
        Mode::BlackHole,
        Mode::TlsReset,
        Mode::WrongCertificate,
    ] {
        let world = in_answer_order(4).await;
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
async fn if_all_addresses_fail_the_error_names_each_with_its_outcome() {
    let world = in_answer_order(3).await;
    let (client, ips) = (client(&world), world.ips());
    world.edges.set(ips[0], Mode::TlsReset).await;
    world.edges.set(ips[1], Mode::Refuse).await;
    world.edges.set(ips[2], Mode::AcceptAndClose).await;
    let error = get(&client, &world.url()).await.unwrap_err();
    let connect_error = ConnectError::find(&error).unwrap();
    let outcomes: Vec<_> = connect_error
        .attempts()
        .iter()
        .map(|attempt| (attempt.addr, attempt.outcome))
        .collect();
    assert_eq!(
        outcomes,
        [
            (ips[0], Some(Outcome::TlsFailed)),
            (ips[1], Some(Outcome::Refused)),
            (ips[2], Some(Outcome::TlsFailed)),
        ]
    );
    println!("{connect_error}");
}
