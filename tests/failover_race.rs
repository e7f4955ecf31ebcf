//! The same edges die under hyper-util's legacy client with a race: no request fails.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{HOST, Mode, World};
use http_body_util::{BodyExt as _, Empty};
use hyper::Uri;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use sidestep::{ConnectError, Order, Outcome, Standing};
use tower::Layer as _;

type Body = Empty<Bytes>;

fn client(world: &World) -> Client<impl Connect + Clone + Send + Sync + 'static, Body> {
    let mut http = HttpConnector::new_with_resolver(world.resolver.clone());
    http.enforce_http(false);
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(world.edges.client_config())
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(world.resolver.tcp_layer().layer(http));
    Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(world.resolver.race_layer().layer(https))
}

async fn get<C>(client: &Client<C, Body>, url: &str) -> Result<String, Error>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let answer = client.get(url.parse::<Uri>().unwrap()).await?;
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Ok(String::from_utf8(body.into()).unwrap())
}

/// Dead edges lead the answer.
async fn as_given(n: u8) -> World {
    World::of(common::Edges::https(n).await, |builder| {
        builder.order(Order::AsGiven)
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
        assert_ne!(world.standing(dead), Standing::Healthy, "{mode:?}");
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
    assert!(began.elapsed() >= Duration::from_millis(750));
    let stalled: Vec<_> = ips[..3].iter().map(|&ip| (ip, Outcome::Stalled)).collect();
    assert_eq!(world.journal.failures(), stalled);
    let began = Instant::now();
    get(&client, &world.url()).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(250));
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
            (ips[0], Some(Outcome::Tls)),
            (ips[1], Some(Outcome::Refused)),
            (ips[2], Some(Outcome::Tls)),
        ]
    );
    println!("{told}");
}
