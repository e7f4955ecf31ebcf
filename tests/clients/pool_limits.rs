//! Tests the shortest and the longest settings of a `DrainLayer`.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sidestep::DrainLayer;
use testkit::World;
use tower::{Layer as _, ServiceExt as _};

async fn requests_succeed(set: impl FnOnce(DrainLayer) -> DrainLayer) {
    let world = World::http(2).await;
    let http = HttpConnector::new_with_resolver(world.resolver.clone());
    let connector = world.resolver.connect_layer().layer(http);
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let pool = set(world.resolver.drain_layer()).layer(client);
    for is_removed in [false, true, true] {
        if is_removed {
            world.dns.set(testkit::HOST, &world.ips()[1..], 60);
            world.resolver.invalidate(testkit::HOST);
            world.resolver.resolve(testkit::HOST).await.unwrap();
        }
        let request = Request::get(world.url()).body(Empty::new()).unwrap();
        pool.clone().oneshot(request).await.unwrap();
    }
}

/// A program may set the longest time so that no connection is drained for its age.
#[tokio::test]
async fn the_longest_connection_age_does_not_panic() {
    requests_succeed(|layer| layer.max_connection_age(Duration::MAX)).await;
}

/// A program may set the longest time if its client has `pool_idle_timeout(None)`.
#[tokio::test]
async fn the_longest_idle_timeout_does_not_panic() {
    requests_succeed(|layer| layer.idle_timeout(Duration::MAX)).await;
}

#[tokio::test]
async fn the_longest_grace_period_does_not_panic() {
    requests_succeed(|layer| layer.dns_grace_period(Duration::MAX)).await;
}

/// If all times are zero, the layer keeps no record of its connections.
#[tokio::test]
async fn times_of_zero_do_not_panic() {
    requests_succeed(|layer| {
        let layer = layer
            .idle_timeout(Duration::ZERO)
            .dns_grace_period(Duration::ZERO);
        layer.max_connection_age(Duration::ZERO)
    })
    .await;
}
