//! Settings of a pool layer at their ends.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::World;
use http_body_util::Empty;
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sidestep::DrainLayer;
use tower::{Layer as _, ServiceExt as _};

async fn serves(set: impl FnOnce(DrainLayer) -> DrainLayer) {
    let world = World::http(2).await;
    let http = HttpConnector::new_with_resolver(world.resolver.clone());
    let connector = world.resolver.connect_layer().layer(http);
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let pool = set(world.resolver.drain_layer()).layer(client);
    for gone in [false, true, true] {
        if gone {
            world.dns.set(common::HOST, &world.ips()[1..], 60);
            world.resolver.invalidate(common::HOST);
            world.resolver.resolve(common::HOST).await.unwrap();
        }
        let request = Request::get(world.url()).body(Empty::new()).unwrap();
        pool.clone().oneshot(request).await.unwrap();
    }
}

/// Who never wants a connection to end for its age says so, or sets the longest time there is.
#[tokio::test]
async fn the_longest_age_is_no_panic() {
    serves(|layer| layer.max_connection_age(Duration::MAX)).await;
}

/// As beside a client with `pool_idle_timeout(None)`.
#[tokio::test]
async fn the_longest_idle_time_is_no_panic() {
    serves(|layer| layer.idle_timeout(Duration::MAX)).await;
}

#[tokio::test]
async fn the_longest_grace_is_no_panic() {
    serves(|layer| layer.dns_grace_period(Duration::MAX)).await;
}

/// Nothing of a pool is kept for no time at all.
#[tokio::test]
async fn no_time_at_all_is_no_panic() {
    serves(|layer| {
        let layer = layer
            .idle_timeout(Duration::ZERO)
            .dns_grace_period(Duration::ZERO);
        layer.max_connection_age(Duration::ZERO)
    })
    .await;
}
