//! The same edges die under a stock client of reqwest 0.12.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::sync::atomic::Ordering;

use common::{Edges, Mode, Nack, World, nacking};
use reqwest012::{Client, ClientBuilder, Request, Result};
use sidestep::reqwest012::ClientBuilderExt as _;
use sidestep::{Outcome, Resolver};
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
    let getting = async {
        let answer = client.get(url).send().await?;
        answer.error_for_status()?.text().await
    };
    common::within("the answer", common::while_pending(getting)).await
}

#[tokio::test]
async fn a_dead_edge_costs_no_request() {
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
            let answer = get(&client, &world.url()).await;
            let answer = answer.unwrap_or_else(|error| panic!("{mode:?}, {n}: {error:?}"));
            assert!(answer.contains("127.0.0.3"), "{mode:?}, {n}: {answer}");
        }
        assert_ne!(world.journal.failures(), [], "{mode:?}: it was met");
    }
}

/// Some do not resend a POST that may have been acted on; nor do we.
#[tokio::test]
async fn what_may_have_been_acted_on_is_sent_twice_if_it_is_idempotent() {
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
async fn when_all_are_dead_a_request_costs_a_connect_for_each_address() {
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

/// What a client of one version learns, one of the other knows.
#[tokio::test]
async fn both_versions_learn_together() {
    let world = World::https(2).await;
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::TlsReset).await;
    let old = client(&world);
    while !world.is_penalized(dead) {
        get(&old, &world.url()).await.unwrap();
    }
    for _ in 0..40 {
        common::get(&world.client(), &world.url()).await.unwrap();
    }
    assert_eq!(world.edges.accepted(dead), 1);
}

/// Setting a retry policy replaces reqwest's own; what it did must still be done.
#[tokio::test]
async fn what_http2_did_not_process_is_sent_again_as_stock_reqwest_does() {
    let (addr, asked) = nacking(Nack::RefusedStream, 2).await;
    let edges = Edges::http(1).await;
    let client = stock(&edges).http2_prior_knowledge();
    let client = client.sidestep(&Resolver::new()).build().unwrap();
    get(&client, &format!("http://{addr}/")).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_exchange_layer_sees_what_answers_say() {
    let world = World::http(1).await;
    let edge = world.ips()[0];
    world.edges.set(edge, Mode::Unavailable).await;
    let mut service = world.resolver.passive_health_layer().layer(client(&world));
    let url = world.url().parse().unwrap();
    let request = Request::new(reqwest012::Method::GET, url);
    service.call(request).await.unwrap();
    assert_eq!(world.journal.failures(), [(edge, Outcome::Unavailable)]);
}
