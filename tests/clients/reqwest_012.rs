//! Tests a stock client of reqwest 0.12 whose edges die.

use std::sync::atomic::Ordering;

use reqwest012::{Client, ClientBuilder, Request, Result};
use sidestep::reqwest012::ClientBuilderExt as _;
use sidestep::{Outcome, Resolver};
use testkit::{Edges, Mode, Nack, World, nacking};
use tower::{Layer as _, Service as _};

fn client(world: &World) -> Client {
    stock(&world.edges)
        .sidestep(&world.resolver)
        .build()
        .unwrap()
}

fn stock(edges: &Edges) -> ClientBuilder {
    Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .use_preconfigured_tls(edges.client_config())
}

async fn get(client: &Client, url: &str) -> Result<String> {
    let request = async {
        let response = client.get(url).send().await?;
        response.error_for_status()?.text().await
    };
    testkit::within("the response", testkit::while_pending(request)).await
}

#[tokio::test]
async fn no_request_fails_when_one_edge_is_dead() {
    for (https, mode) in [
        (false, Mode::Refuse),
        (false, Mode::AcceptAndClose),
        (false, Mode::CloseAfterRequest),
        (true, Mode::TlsReset),
        (true, Mode::WrongCertificate),
        (true, Mode::BlackHole),
    ] {
        let world = match https {
            true => World::https(2).await,
            false => World::http(2).await,
        };
        let (client, dead) = (client(&world), world.ips()[0]);
        world.edges.set(dead, mode).await;
        for n in 0..60 {
            let response = get(&client, &world.url()).await;
            let response = response.unwrap_or_else(|error| panic!("{mode:?}, {n}: {error:?}"));
            assert!(response.contains("127.0.0.3"), "{mode:?}, {n}: {response}");
        }
        assert_ne!(
            world.journal.failures(),
            [],
            "{mode:?}: no request met the dead edge"
        );
    }
}

/// A POST that the server may have processed is not sent again.
#[tokio::test]
async fn a_request_whose_connection_dies_is_sent_twice_if_it_is_idempotent() {
    let world = World::http(3).await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::CloseAfterRequest).await;
    }
    let client = client(&world);
    client.post(world.url()).send().await.unwrap_err();
    assert_eq!(world.accepted(), 1);
    get(&client, &world.url()).await.unwrap_err();
    assert_eq!(world.accepted(), 3);
}

#[tokio::test]
async fn if_all_edges_are_dead_a_request_attempts_each_address_once() {
    let world = World::https(4).await;
    let client = client(&world);
    for ip in world.ips() {
        world.edges.set(ip, Mode::TlsReset).await;
    }
    get(&client, &world.url()).await.unwrap_err();
    for ip in world.ips() {
        assert_eq!(world.edges.accepted(ip), 1, "{ip}");
    }
}

/// Clients of both reqwest versions share the failures that their resolver has recorded.
#[tokio::test]
async fn clients_of_both_versions_share_the_recorded_failures() {
    let world = World::https(2).await;
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::TlsReset).await;
    let client_012 = client(&world);
    while !world.is_penalized(dead) {
        get(&client_012, &world.url()).await.unwrap();
    }
    for _ in 0..40 {
        testkit::get(&world.client(), &world.url()).await.unwrap();
    }
    assert_eq!(world.edges.accepted(dead), 1);
}

/// The retry policy replaces that of reqwest, so the policy of sidestep must do the same.
#[tokio::test]
async fn a_request_that_http2_did_not_process_is_sent_again_as_by_stock_reqwest() {
    let (addr, requests) = nacking(Nack::RefusedStream, 2).await;
    let edges = Edges::http(1).await;
    let client = stock(&edges).http2_prior_knowledge();
    let client = client.sidestep(&Resolver::new()).build().unwrap();
    get(&client, &format!("http://{addr}/")).await.unwrap();
    assert_eq!(requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_passive_health_layer_records_an_unavailable_response() {
    let world = World::http(1).await;
    let edge = world.ips()[0];
    world.edges.set(edge, Mode::Unavailable).await;
    let mut service = world.resolver.passive_health_layer().layer(client(&world));
    let url = world.url().parse().unwrap();
    let request = Request::new(reqwest012::Method::GET, url);
    service.call(request).await.unwrap();
    assert_eq!(world.journal.failures(), [(edge, Outcome::Unavailable)]);
}
