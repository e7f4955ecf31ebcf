//! A fault of this machine under hyper-util's client is no strike for an address.

use std::io;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Uri;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sidestep::{AddressState, Family, Outcome};
use testkit::{HOST, World};
use tokio::net::TcpStream;
use tower::{Layer as _, ServiceExt as _, service_fn};

const EADDRNOTAVAIL: i32 = 99;
const ENETDOWN: i32 = 100;
const EHOSTDOWN: i32 = 112;

/// Sends a request with a connector that resolves the host and then fails with this error code.
async fn fail(world: &World, code: i32) {
    let resolver = world.resolver.clone();
    let connector = service_fn(move |_: Uri| {
        let resolver = resolver.clone();
        async move {
            let name: Name = HOST.parse().unwrap();
            resolver.oneshot(name).await.unwrap();
            Err::<TokioIo<TcpStream>, _>(io::Error::from_raw_os_error(code))
        }
    });
    let connector = world.resolver.connect_layer().layer(connector);
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    client.get(world.url().parse().unwrap()).await.unwrap_err();
}

#[tokio::test]
async fn a_connect_without_a_local_port_or_network_is_no_strike() {
    for code in [EADDRNOTAVAIL, ENETDOWN] {
        let world = World::http(2).await;
        fail(&world, code).await;
        assert_eq!(world.journal.failures(), [], "{code}");
        assert_eq!(
            world.journal.count(|seen| *seen == testkit::Seen::NoRoute),
            0,
            "{code}"
        );
        assert!(
            world
                .ips()
                .iter()
                .all(|&ip| world.standing(ip) == AddressState::Healthy)
        );
    }
}

/// A broadcast address has no route, and so this machine has no source address for a connect to it.
#[tokio::test]
async fn a_family_without_a_local_address_has_no_route() {
    let edges = testkit::Edges::http(1).await;
    let world = World::of(edges, |builder| builder.prefer_family(Family::V4)).await;
    world
        .dns
        .set(HOST, &["255.255.255.255".parse().unwrap()], 60);
    fail(&world, EADDRNOTAVAIL).await;
    assert_eq!(
        world.journal.count(|seen| *seen == testkit::Seen::NoRoute),
        1
    );
}

#[tokio::test]
async fn a_machine_that_is_down_is_a_strike_for_its_address() {
    let world = World::http(1).await;
    fail(&world, EHOSTDOWN).await;
    assert_eq!(
        world.journal.failures(),
        [(world.ips()[0], Outcome::Unreachable)]
    );
}
